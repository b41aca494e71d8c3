"""How the fits ended, by condition and method."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from mcstudy.analysis.mcse import wilson
from mcstudy.analysis.select import factor_columns, levels_of, select, varying
from mcstudy.figures.cells import Cells, Request, by_influence, places, short_places
from mcstudy.figures.drawing import about, data, finished, tips
from mcstudy.figures.style import INK, STATUS_COLOURS
from mcstudy.method import Status

_MOST_CONDITIONS = 30  # rows of bars, what a page still shows legibly
_PAGE = 760  # pixels that the panels of a row share
_PER_ROW, _LEAST_WIDTH = 5, 150  # panels, and the pixels of each where there are more rows
_LONGEST = 50  # letters of the name of a row
_ALL = "all conditions"
_PLACE, _COUNT = "\0place", "\0count"  # no factor can be called so


def statuses(request: Request) -> Any:
    """Return the share of each status, the conditions with the fewest good fits first.

    The line ends where the 95 % Monte Carlo interval of the share of good fits (`ok`) does.
    """
    shares = [f"share_{word}" for word in Status]
    frame = select(request.results.performance, request.where)
    frame = frame[frame["measure"].isin(shares) & (frame["replicates"] > 0)]
    factors = varying(frame, factor_columns(frame))
    order = by_influence(request.results.performance, "share_ok", request.where, factors)
    condition, conditions = places(request, frame, order)
    legend = ""
    if max(map(len, conditions)) > _LONGEST:
        condition, conditions, names = short_places(request, frame, order)
        legend = f"rows: {names}"
    count = frame["value"].to_numpy(dtype=float) * frame["replicates"].to_numpy(dtype=float)
    status = frame["measure"].str.removeprefix("share_")
    frame = frame.assign(status=status, **{_PLACE: condition, _COUNT: np.rint(count).astype(int)})
    kept, note = _worst(frame, conditions)
    lines = _lines(request, frame[frame[_PLACE].isin(kept)])
    if len(conditions) > 1:
        lines = [*_lines(request, frame.assign(**{_PLACE: _ALL})), *lines]
        kept = [_ALL, *kept]
    methods = [request.method_labels[name] for name in levels_of(frame, "method")]
    failed, total = int(frame[_COUNT][status != "ok"].sum()), int(frame[_COUNT].sum())
    good = "no fit ended otherwise than ok" if not failed else f"{failed:,} of {total:,} not ok"
    interval = "line: 95 % Monte Carlo interval of the share of ok"
    caption = about(request, Cells(frame, order, {}, 0), good, interval, note, legend)
    return finished(_bars(lines, kept, methods), "How the fits ended", caption, good)


def _worst(frame: pd.DataFrame, conditions: list[str]) -> tuple[list[str], str]:
    """Return the conditions that are shown, all, or those with the fewest good fits."""
    if len(conditions) <= _MOST_CONDITIONS:
        return conditions, ""
    if not frame[_COUNT][frame["status"] != "ok"].any():
        return [], f"the same under each of {len(conditions)} conditions"
    good = frame[frame["status"] == "ok"].groupby(_PLACE)["value"].min()
    first = sorted(conditions, key=lambda c: float(good.get(c, 0.0)))[:_MOST_CONDITIONS]
    note = f"the {len(first)} of {len(conditions)} conditions with the fewest ok"
    return first, note


def _lines(request: Request, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a record for each status that some fit had, by place and method."""
    made = []
    labels = request.method_labels
    for (place, method), cells in frame.groupby([_PLACE, "method"], sort=False):
        counts = cells.groupby("status")[_COUNT].sum().to_dict()
        begin, total, label = 0.0, sum(counts.values()), labels[str(method)]
        for status in Status:
            count = counts.get(str(status), 0)
            if count == 0 and status != Status.OK:
                continue
            lower, upper = wilson(count / total, total)
            end = begin + count / total
            made.append(
                {"p": place, "m": label, "s": str(status).replace("_", " ")}
                | {"v": round(count / total, 5), "a": round(begin, 5), "b": round(end, 5)}
                | {"n": f"{count}/{total}", "l": round(lower, 5), "u": round(upper, 5)}
                | {"h": status.meaning, "k": label}
            )
            begin = end
    return made


def _bars(lines: list[dict[str, Any]], conditions: list[str], methods: list[str]) -> Any:
    """Return the bars of all conditions, a panel for each method."""
    shown = {line["s"] for line in lines if line["v"]}
    words = {status.replace("_", " "): paint for status, paint in STATUS_COLOURS.items()}
    there = {word: paint for word, paint in words.items() if word in shown}
    scale = alt.Scale(domain=list(there), range=list(there.values()))
    y = alt.Y("p:N", sort=conditions, title=None, axis=alt.Axis(labelLimit=380, grid=False))
    base = alt.Chart()
    bars = base.mark_bar(height={"band": 0.78}).encode(
        x=alt.X("a:Q", title="Share of fits", scale=alt.Scale(domain=[0, 1])),
        x2="b:Q",
        y=y,
        color=alt.Color("s:N", scale=scale, legend=alt.Legend(title=None)),
        tooltip=tips(
            *(("p", "conditions"), ("m", "method"), ("s", "status"), ("h", "meaning")),
            *(("v", "share"), ("n", "fits"), ("l", "95 % Monte Carlo limits, from"), ("u", "to")),
        ),
    )
    error = (
        base.mark_rule(color=INK, strokeWidth=1.2)
        .encode(x=alt.X("l:Q", title="Share of fits"), x2="u:Q", y=y)
        .transform_filter("datum.s == 'ok'")
    )
    width = min(420, _PAGE // len(methods)) if len(methods) <= _PER_ROW else _LEAST_WIDTH
    chart = alt.layer(bars, error, data=data(lines))
    chart = chart.properties(width=width, height=19 * len(conditions))
    if len(methods) == 1:
        return chart
    return chart.facet(alt.Facet("k:N", sort=methods, title=None), columns=_PER_ROW)
