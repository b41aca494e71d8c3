"""A measure against a factor; bias, standard error and RMSE beside one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from mcstudy.analysis.select import levels_of
from mcstudy.errors import ResultsError
from mcstudy.figures.axis import Axis, axis_of
from mcstudy.figures.cells import (
    Cells,
    Panels,
    Request,
    cells_of,
    checked_factor,
    level_codes,
    panels_of,
    places,
    records,
    thinned,
)
from mcstudy.figures.drawing import (
    about,
    bounds_layer,
    bounds_note,
    colour,
    extremes,
    faceted,
    finished,
    reference,
    shape,
    stacked,
    target_note,
    tooltip,
    x_of,
)
from mcstudy.figures.lolly import lolly_of

_PAGE = 760  # pixels that all columns of panels share
_ONE_SCALE = ("bias", "empirical_se", "model_se", "rmse")
_APART = 11.0  # pixels between the marks of two methods, where there is room


def measure_figure(request: Request, measure: str) -> Any:
    """Return a measure against the factor that drives it most, or the one that is asked for.

    Without a factor of three levels or more it is a lolly plot, which reads better then.
    """
    cells = cells_of(request, [measure])
    x = checked_factor(request, request.x, cells)
    if x is None and request.facets is None:
        many = [f for f in cells.factors if cells.frame[f].nunique(dropna=False) > 2]
        if not many:
            return lolly_of(request, cells, [measure])
        x = many[0]
    x = x or (cells.factors[0] if cells.factors else "method")
    return _drawn(request, cells, x, [measure])


def bias_se_rmse(request: Request) -> Any:
    """Return bias, empirical SE, model SE and RMSE on one scale."""
    known = set(request.results.performance["measure"])
    if "rmse" not in known:
        raise ResultsError("bias_se_rmse: no estimand has a true value, so none has a bias")
    cells = cells_of(request, [n for n in _ONE_SCALE if n in known], "rmse")
    x = checked_factor(request, request.x, cells) or (
        cells.factors[0] if cells.factors else "method"
    )
    return _drawn(request, cells, x, [m for m in _ONE_SCALE if m in set(cells.frame["measure"])])


def _drawn(request: Request, cells: Cells, x: str, measures: Sequence[str]) -> Any:
    several = len(measures) > 1
    if several:
        down = [n for n in cells.factors if n != x]
        count = [cells.frame[n].nunique(dropna=False) for n in down]
        rows = down[:1] if request.facets is None and down and count[0] <= 4 else []
        rows = [n for n in request.facets or rows if n in down]
        panels = Panels(rows, ["measure"], [n for n in down if n not in rows])
    else:
        panels = panels_of(request, cells, [x, "method", "estimand"])
    frame, thin = thinned(cells.frame)
    if x == "estimand":
        raise ResultsError("estimands have panels of their own; give a factor, or x=method")
    methods = levels_of(frame, "method")
    estimands = levels_of(frame, "estimand")
    columns = len(places(request, frame, panels.columns)[1])
    width = min(420.0, max(120.0, _PAGE / columns))
    axis = axis_of(request, frame, x, round(width), equal=bool(panels.within))
    blocks = []
    for estimand in estimands:
        own = frame[frame["estimand"].isna() if estimand is None else frame["estimand"] == estimand]
        blocks.append(_block(request, own, axis, panels, measures, methods))
    names = [request.say(str(name)) for name in estimands]
    notes = [bounds_note(frame, dotted=True), thin, _axis_note(axis)]
    if panels.within:
        words = ", ".join(request.say(name) for name in panels.within)
        notes.append(f"side by side at each {axis.title}, from left to right: {words}")
    what = "bars: 95 % Monte Carlo intervals"
    line = "dashed: 0" if several else target_note(request, measures[0])
    title = (
        ", ".join(request.say_measure(m) for m in measures)
        if several
        else request.say_measure(measures[0])
    )
    if x != "method":
        title += f" by {axis.title}"
    places_named = [n for n in (x, *cells.factors) if n != "method"]
    return finished(
        stacked(blocks, names),
        title,
        about(request, cells, "; ".join(filter(None, [what, line])), *notes),
        extremes(request, cells, measures[0], list(dict.fromkeys(places_named))),
    )


def _axis_note(axis: Axis) -> str:
    return {"log": f"{axis.title} on a log scale", "equal": f"{axis.title} at equal distances"}.get(
        axis.scale if axis.numeric else "", ""
    )


def _block(
    request: Request,
    frame: pd.DataFrame,
    axis: Axis,
    panels: Panels,
    measures: Sequence[str],
    methods: Sequence[str],
) -> Any:
    """Return the panels of one estimand."""
    several = len(measures) > 1
    rows, all_rows = places(request, frame, panels.rows)
    if several:
        columns = [request.say_measure(name) for name in frame["measure"]]
        all_columns = [request.say_measure(name) for name in measures]
    else:
        columns, all_columns = places(request, frame, panels.columns)
    spots, gap = _dodged(frame, axis, panels.within, methods)
    named = [
        n for n in frame.columns if n in {axis.name, *panels.rows, *panels.columns, *panels.within}
    ]
    named = [n for n in named if n not in ("method", "measure")]
    drawn = [
        {**record, "x": round(float(spot), 2), "r": r, "k": k}
        for record, spot, r, k in zip(
            records(request, frame, named), spots, rows, columns, strict=True
        )
    ]
    words = request.say_measure(measures[0]) if not several else "Value"
    by = {"color": colour(request, methods), "x": x_of(axis)}
    y = alt.Y("v:Q", title=words, scale=alt.Scale(zero=False))
    base = alt.Chart()
    size = max(12.0, min(55.0, (gap * 0.8) ** 2))
    target = 0.0 if several else request.goal(measures[0])
    layers = [reference(target)]
    if axis.numeric and not panels.within:
        layers.append(base.mark_line(strokeWidth=1.2, opacity=0.55).encode(y=y, **by))
    layers += bounds_layer(drawn, across=False, **by)
    layers.append(
        base.mark_rule(strokeWidth=1.4 if gap > 5 else 1, opacity=0.85).encode(
            y=alt.Y("l:Q", title=words, scale=alt.Scale(zero=False)), y2="u:Q", **by
        )
    )
    layers.append(
        base.mark_point(filled=True, size=size, opacity=1).encode(
            y=y,
            shape=shape(request, methods),
            tooltip=tooltip(words),
            **by,
        )
    )
    height = 190 if len(all_rows) == 1 else 130
    return faceted(layers, all_rows, all_columns, drawn, width=axis.width, height=height)


def _dodged(
    frame: pd.DataFrame, axis: Axis, within: Sequence[str], methods: Sequence[str]
) -> tuple[np.ndarray[Any, Any], float]:
    """Return the place of each row, what shares a level side by side, and the gap between two."""
    centre = np.array(axis.places)[level_codes(frame, axis.name)]
    order = np.zeros(len(frame), int)
    for name in within:
        codes = level_codes(frame, name)
        order = order * (int(codes.max()) + 1) + codes
    _, order = np.unique(order, return_inverse=True)
    count = int(order.max()) + 1
    own = 1 if axis.name == "method" else len(methods)
    place = {name: i for i, name in enumerate(methods)}
    side = frame["method"].map(place).to_numpy(int) if own > 1 else np.zeros(len(frame), int)
    gap = min(_APART, 0.84 * axis.step / (count * own))
    return centre + ((order * own + side) - (count * own - 1) / 2) * gap, gap
