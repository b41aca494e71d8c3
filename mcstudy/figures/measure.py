"""A measure against a factor; bias, standard error and RMSE beside one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from mcstudy.analysis.select import levels_of, own_intervals
from mcstudy.arrays import Floats
from mcstudy.errors import ResultsError
from mcstudy.figures.axis import Axis, axis_of
from mcstudy.figures.cells import (
    MOST_PANELS,
    Cells,
    Request,
    cells_of,
    check_factor,
    level_codes,
    places,
    records,
    thinned,
)
from mcstudy.figures.drawing import (
    about,
    bounds_layer,
    bounds_note,
    by_estimand,
    cell_tips,
    colour,
    extremes,
    faceted,
    finished,
    free,
    reference,
    shape,
    stacked,
    target_note,
)
from mcstudy.figures.lolly import lolly_of

_PAGE = 760  # pixels that all columns of panels share
_MOST_COLUMNS = 5  # of panels: with more of them each has no room for an axis
_MOST_ROWS = 4  # levels of a factor that has a row of the four measures for each
_ONE_SCALE = ("bias", "empirical_se", "model_se", "rmse")
_APART = 11.0  # pixels between the marks of two methods, where there is room


class _Panels(NamedTuple):
    """Which dimensions have rows and columns of panels, and which stand beside one another."""

    rows: list[str]
    columns: list[str]
    within: list[str]


def measure_figure(request: Request, measure: str) -> Any:
    """Return a measure against the factor that drives it most, or the one that is asked for.

    Without a factor of three levels or more it is a lolly plot, which reads better then.
    """
    cells = cells_of(request, [measure])
    check_factor(cells, request.x)
    factors = cells.factors
    if request.x is None and request.facets is None:
        factors = [f for f in factors if cells.frame[f].nunique(dropna=False) > 2]
        if not factors:
            return lolly_of(request, cells, measure)
    return _drawn(request, cells, request.x or [*factors, "method"][0], [measure])


def bias_se_rmse(request: Request) -> Any:
    """Return bias, empirical SE, model SE and RMSE on one scale."""
    known = set(request.results.performance["measure"])
    if "rmse" not in known:
        raise ResultsError("bias_se_rmse: no estimand has a true value, so none has a bias")
    cells = cells_of(request, [n for n in _ONE_SCALE if n in known], "rmse")
    check_factor(cells, request.x)
    x = request.x or [*cells.factors, "method"][0]
    return _drawn(request, cells, x, [m for m in _ONE_SCALE if m in set(cells.frame["measure"])])


def _drawn(request: Request, cells: Cells, x: str, measures: Sequence[str]) -> Any:
    several = len(measures) > 1
    panels = _panels_of_measures(request, cells, x) if several else _panels(request, cells, x)
    if x == "estimand":
        raise ResultsError("estimands have panels of their own; give a factor, or x=method")
    frame, thin = thinned(cells.frame)
    columns = len(places(request, frame, panels.columns)[1])
    width = round(min(420.0, max(120.0, _PAGE / columns)))
    axis = axis_of(request, frame, x, width, equal=bool(panels.within))
    methods = levels_of(frame, "method")
    within = ", ".join(request.say(name) for name in panels.within)
    chart = stacked(
        *by_estimand(
            request, frame, lambda own: _block(request, own, axis, panels, measures, methods)
        )
    )
    title = ", ".join(request.say_measure(measure) for measure in measures)
    notes = [
        "bars: 95 % Monte Carlo intervals",
        "dashed: 0" if several else target_note(request, measures[0]),
        bounds_note(frame, dotted=True),
        thin,
        axis.note(),
        f"side by side at each {axis.title}, from left to right: {within}" if within else "",
    ]
    factors = [name for name in dict.fromkeys((x, *cells.factors)) if name != "method"]
    return finished(
        chart,
        title if x == "method" else f"{title} by {axis.title}",
        about(request, cells, *notes),
        extremes(request, cells, measures[0], factors),
    )


def _panels_of_measures(request: Request, cells: Cells, x: str) -> _Panels:
    """Return a column for each measure, and a row for each level of a factor of a few."""
    free = [n for n in cells.factors if n != x]
    rows = [n for n in free[:1] if cells.frame[n].nunique(dropna=False) <= _MOST_ROWS]
    if request.facets is not None:
        rows = [n for n in request.facets if n in free]
    return _Panels(rows, ["measure"], [n for n in free if n not in rows])


def _panels(request: Request, cells: Cells, x: str) -> _Panels:
    """Lay out what varies, beside axis and colour; the estimand has blocks of its own.

    ResultsError if the panels that were asked for are too many.
    """
    count = {n: cells.frame[n].nunique(dropna=False) for n in cells.frame}
    blocks = 1 if x == "estimand" else count["estimand"]
    kinds = [] if own_intervals(cells.frame) else ["interval"]
    free = [n for n in cells.varying(*kinds, *cells.factors) if n != x]
    if request.facets is not None:
        wanted = [name for name in request.facets if name in free]
        total = math.prod(count[name] for name in wanted) * blocks
        if total > MOST_PANELS:
            raise ResultsError(
                f"facets {', '.join(wanted)}: {total} panels are too many for a figure "
                f"({MOST_PANELS}); give fewer, or choose levels with where"
            )
        return _Panels(wanted[1:], wanted[:1], [name for name in free if name not in wanted])
    panels = _Panels([], [], [])
    across, down = 1, blocks
    for name in free:
        fits = across * count[name] * down <= MOST_PANELS
        if fits and across * count[name] <= _MOST_COLUMNS:
            panels.columns.append(name)
            across *= count[name]
        elif fits and not panels.rows:
            panels.rows.append(name)
            down *= count[name]
        else:
            panels.within.append(name)
    return panels


def _block(
    request: Request,
    frame: pd.DataFrame,
    axis: Axis,
    panels: _Panels,
    measures: Sequence[str],
    methods: Sequence[str],
) -> Any:
    """Return the panels of one estimand."""
    several = len(measures) > 1
    rows, all_rows = places(request, frame, panels.rows)
    columns, all_columns = places(request, frame, panels.columns)
    if several:
        all_columns = [request.say_measure(name) for name in measures]
    spots, gap = _dodged(frame, axis, panels.within, methods)
    named = {axis.name, *panels.rows, *panels.columns, *panels.within} - {"method", "measure"}
    where = [name for name in frame.columns if name in named]
    at = [round(float(spot), 2) for spot in spots]
    drawn = records(request, frame, where, x=at, r=rows, k=columns)
    words = "Value" if several else request.say_measure(measures[0])
    by: dict[str, Any] = {"color": colour(request, methods), "x": axis.x()}
    y, low = (free(alt.Y, end, words) for end in "vl")
    base = alt.Chart()
    layers = reference(0.0 if several else request.goal(measures[0]))
    if axis.numeric and not panels.within:
        layers.append(base.mark_line(strokeWidth=1.2, opacity=0.55).encode(y=y, **by))
    bars = base.mark_rule(strokeWidth=1.4 if gap > 5 else 1, opacity=0.85)
    points = base.mark_point(filled=True, size=max(12.0, min(55.0, (gap * 0.8) ** 2)), opacity=1)
    layers += [
        *bounds_layer(drawn, across=False, **by),
        bars.encode(y=low, y2="u:Q", **by),
        points.encode(y=y, shape=shape(request, methods), tooltip=cell_tips(words), **by),
    ]
    height = 190 if len(all_rows) == 1 else 130
    return faceted(layers, all_rows, all_columns, drawn, width=axis.width, height=height)


def _dodged(
    frame: pd.DataFrame, axis: Axis, within: Sequence[str], methods: Sequence[str]
) -> tuple[Floats, float]:
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
