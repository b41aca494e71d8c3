"""Zip plot: the intervals of single replicates, those that miss the truth on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from mcstudy.analysis.mcse import wilson
from mcstudy.arrays import Floats
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import data, finished
from mcstudy.figures.panels import check_panels, only, rows_of_panels, tips, titled
from mcstudy.figures.rows import Replicates, budget, chosen_conditions, evenly, replicates_of
from mcstudy.figures.style import INK, MISS
from mcstudy.tables.numbers import number_with_error

_MOST_RANGE = 5  # times the range of another panel of the estimand


def zip_plot(request: Request) -> Any:
    """Return the zip plot: intervals ranked by |z|, those that miss on top (Morris et al. 2019)."""
    conditions, note = chosen_conditions(request, 1)
    if len(conditions) > 1:
        conditions = dict([next(iter(conditions.items()))])
        note = note.replace(", and the median one", "")
    rows = replicates_of(request, conditions, intervals=True)
    rows = [one for one in rows if _exist(one).any() and np.isfinite(one.truth)]
    check_panels(rows)
    most = budget(len(rows), 250)
    panels, thin, cut = [], False, False
    ranges, own = _ranges(rows)
    for one, ends_at in zip(rows, ranges, strict=True):
        made, thinned, ends = _zip_panel(request, one, most, ends_at)
        panels.append((one, made))
        thin, cut = thin or thinned, cut or ends
    notes = ["intervals end at the edge of a panel where they go beyond it"] if cut else []
    if own:
        notes.append("each panel has its own scale")
    if thin:
        notes.append(f"{most} of the intervals of each panel are drawn, evenly by rank")
    shown = "; ".join(notes)
    lines = [
        "; ".join(filter(None, [only(request, conditions, rows), note])),
        "orange: intervals that miss the truth (dashed); band: the coverage with its 95 % Monte "
        "Carlo interval" + (f"; {shown}" if shown else ""),
    ]
    chart = rows_of_panels(request, panels)
    return finished(
        chart,
        f"Intervals ranked by |estimate - truth| / {_spreads(rows)}",
        lines,
        _covers(request, rows),
    )


def _spreads(rows: Sequence[Replicates]) -> str:
    """Return what the distance of an estimate from the truth is divided by."""
    have = [bool((one.std_error > 0).any()) for one in rows]
    if all(have):
        return "SE"
    return (
        "SE, or half the width of the interval where there is no SE" if any(have) else "half width"
    )


def _exist(one: Replicates) -> Any:
    """Return which intervals exist; one without an end is one, as in the measures."""
    return ~(np.isnan(one.lower) | np.isnan(one.upper))


def _covers(request: Request, rows: Sequence[Replicates]) -> str:
    said = []
    for one in rows[:12]:
        there = _exist(one)
        hits = int(((one.lower <= one.truth) & (one.truth <= one.upper))[there].sum())
        where = f"{request.say(one.estimand)}, {request.method_labels[one.method]}, {one.interval}"
        said.append(f"{where}: {hits} of {int(there.sum())} contain the truth")
    return "; ".join(said)


def _zip_panel(
    request: Request, one: Replicates, most: int, bounds: list[float]
) -> tuple[Any, bool, bool]:
    """Return a panel of intervals, and whether not all of them are drawn."""
    there = np.flatnonzero(_exist(one))
    lower, upper = one.lower[there], one.upper[there]
    with np.errstate(all="ignore"):  # limits may be infinite, or as good as that
        spread = np.where(one.std_error[there] > 0, one.std_error[there], (upper - lower) / 2)
        z = np.nan_to_num(np.abs(one.estimate[there] - one.truth) / spread, nan=np.inf)
    order = np.argsort(z, kind="stable")
    hit = (lower <= one.truth) & (one.truth <= upper)
    picked = evenly(len(order), most)
    count = len(order)
    # A limit far outside, as 1e200, is no place that a renderer knows.
    left, right = lower.clip(bounds[0], bounds[1]), upper.clip(bounds[0], bounds[1])
    beyond = bool(((left != lower) | (right != upper))[order[picked]].any())
    drawn = [
        {"l": rounded(left[i]), "u": rounded(right[i]), "y": round(100 * (rank + 0.5) / count, 3)}
        | {"h": "contains the truth" if hit[i] else "misses it", "r": int(one.replicate[there[i]])}
        | {"t": f"{lower[i]:.6g} to {upper[i]:.6g}"}
        for rank, i in zip(picked.tolist(), order[picked].tolist(), strict=True)
    ]
    share = float(hit.mean())
    low, high = wilson(share, count)
    y = alt.Y("y:Q", title="Rank of |z|, %", scale=alt.Scale(domain=[0, 100]))
    scale = alt.Scale(domain=bounds, nice=False)
    x = alt.X("l:Q", title=request.say(one.estimand), scale=scale, axis=alt.Axis(tickCount=4))
    paint = alt.Color(
        "h:N",
        scale=alt.Scale(domain=["contains the truth", "misses it"], range=["#8FB8D6", MISS]),
        legend=None,
    )
    said = [("r", "replicate"), ("t", "interval"), ("h", "which")]
    width = max(0.8, min(3.0, 150 / len(drawn)))
    bars = alt.Chart(data(drawn)).mark_rule(strokeWidth=width, clip=True)
    bars = bars.encode(x=x, x2="u:Q", y=y, color=paint, tooltip=tips(said))
    words = f"{number_with_error(share, (share * (1 - share) / count) ** 0.5, low, high)}"
    band = alt.Chart(data([{"a": 100 * low, "b": 100 * high}])).mark_rect(color=INK, opacity=0.18)
    middle = alt.Chart(data([{"y": 100 * share}])).mark_rule(color=INK, strokeWidth=1)
    truth = alt.Chart(data([{"l": rounded(one.truth)}])).mark_rule(strokeDash=[5, 3], color=INK)
    both = alt.layer(band.encode(y="a:Q", y2="b:Q"), bars, middle.encode(y=y), truth.encode(x=x))
    head = [
        request.method_labels[one.method],
        request.say(one.interval),
        f"covers {words} of {count}",
        f"{missing} more are missing" if (missing := len(one.replicate) - count) else "",
    ]
    return titled(both, head), len(picked) < count, beyond


def _ranges(rows: Sequence[Replicates]) -> tuple[list[list[float]], bool]:
    """Return where the axis of each panel ends, and whether some of an estimand have their own.

    All panels of an estimand have one range, so that widths can be compared, unless one range is
    more than `_MOST_RANGE` times another: the shorter intervals would be dots.
    """
    ranges = []
    for one in rows:
        there = _exist(one)
        ranges.append(_bounds(one.lower[there], one.upper[there], one.truth))
    own = False
    for estimand in {one.estimand for one in rows}:
        places = [i for i, one in enumerate(rows) if one.estimand == estimand]
        sizes = [ranges[i][1] - ranges[i][0] for i in places]
        if max(sizes) > _MOST_RANGE * min(sizes):
            own = True
            continue
        lows, highs = zip(*(ranges[i] for i in places), strict=True)
        for i in places:
            ranges[i] = [min(lows), max(highs)]
    return ranges, own


def _bounds(lower: Floats, upper: Floats, truth: float) -> list[float]:
    """Return a range with the truth and all but the outermost 5 % of the limits on each side.

    It ends three usual widths from the usual limits, however many limits are further away.
    """
    with np.errstate(invalid="ignore"):
        widths = upper - lower
    usual = 3 * float(np.median(widths[np.isfinite(widths)])) if np.isfinite(widths).any() else 1.0
    ends = []
    for limits, side in ((lower, -1), (upper, 1)):
        known = side * limits[np.isfinite(limits)]  # so that further out is more
        middle = float(np.median(known)) if len(known) else side * truth
        far = float(np.quantile(known, 0.95)) if len(known) else middle
        ends.append(side * max(min(far, middle + usual), side * truth))
    low, high = ends
    far = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return [float(f"{low - far:.6g}"), float(f"{high + far:.6g}")]
