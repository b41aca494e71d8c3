"""A measure against a factor; bias, standard error and RMSE beside one another; lolly plots.

A lolly plot has for each cell a line from the target to the value: for studies of few cells.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from mcstudy.analysis.select import levels_of, own_intervals
from mcstudy.arrays import Floats
from mcstudy.columns import WORDS
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import (
    MOST_PANELS,
    Cells,
    Request,
    cells_of,
    check_axes,
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

_PAGE = 760  # pixels that all columns of panels share
_MOST_COLUMNS = 5  # of panels: with more of them each has no room for an axis
_MOST_ROWS = 4  # levels of a factor that has a row of the four measures for each
_ONE_SCALE = ("bias", "empirical_se", "model_se", "rmse")
_LETTER = 6  # pixels of a letter of a label
_LEAST_GAP = 0.3  # of an equal distance: levels closer than that are hard to tell apart
_APART = 11.0  # pixels between the marks of two methods, where there is room
_MOST_LINES = 60  # of a lolly plot: the cells of a measure
_MOST_BESIDE = 4  # levels of a factor that has panels of lollies side by side
_LINE = 17  # pixels from one lolly to the next


class _Panels(NamedTuple):
    """Which dimensions have rows and columns of panels, and which stand beside one another."""

    rows: list[str]
    columns: list[str]
    within: list[str]


@dataclass(frozen=True)
class _Axis:
    """Where the levels of a dimension stand on an axis, in pixels of a panel `width` wide.

    `step` is the smallest distance of two levels; a line may join them if they are `numeric`.
    `scale` is "log" or "equal" where the distances are not those of the numbers.
    """

    name: str
    title: str
    places: Sequence[float]
    labels: Sequence[str]
    step: float
    width: float
    numeric: bool
    scale: str

    def x(self) -> alt.X:
        """Return the place on the axis as a channel."""
        labels, places = json.dumps(list(self.labels)), json.dumps(list(self.places))
        crowded = not self.numeric and max(map(len, self.labels)) * _LETTER > self.step
        return alt.X(
            "x:Q",
            scale=alt.Scale(domain=[0, self.width], nice=False, zero=False),
            title=self.title,
            axis=alt.Axis(
                values=list(self.places),
                labelExpr=f"{labels}[indexof({places}, datum.value)]",
                grid=False,
                ticks=True,
                labelAngle=-35 if crowded else 0,
                labelLimit=160 if crowded else max(int(self.step * 1.1), 60),
                labelOverlap="greedy" if self.numeric else False,
            ),
        )

    def note(self) -> str:
        """Return how the distances of the levels are to be read, where it is not plain."""
        how = {"log": "on a log scale", "equal": "at equal distances"}.get(self.scale, "")
        return f"{self.title} {how}" if how and self.numeric else ""


def measure_figure(request: Request, measure: str) -> Any:
    """Return a measure against the factor that drives it most, or the one that is asked for.

    Without a factor of three levels or more it is a lolly plot, which reads better then.
    """
    cells = cells_of(request, [measure])
    check_axes(request.x)
    factors = cells.factors
    if request.x is None and request.facets is None:
        factors = [f for f in factors if cells.frame[f].nunique(dropna=False) > 2]
        if not factors:
            return _lolly_of(request, cells, measure)
    return _drawn(request, cells, request.x or [*factors, "method"][0], [measure])


def bias_se_rmse(request: Request) -> Any:
    """Return bias, empirical SE, model SE and RMSE on one scale."""
    known = set(request.results.performance["measure"])
    if "rmse" not in known:
        why = "estimand has a true value" if "empirical_se" in known else "method gives an estimate"
        raise ResultsError(f"bias_se_rmse: no {why}, so there is no bias")
    cells = cells_of(request, [n for n in _ONE_SCALE if n in known], "rmse")
    check_axes(request.x)
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
    axis = _axis(request, frame, x, width, equal=bool(panels.within))
    methods = levels_of(frame, "method")
    beside = [request.say(name) for name in panels.within]
    beside += ["methods"] if x != "method" and len(methods) > 1 else []
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
        f"side by side at each {axis.title}, from left to right: {', '.join(beside)}"
        if beside
        else "",
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
    axis: _Axis,
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
    frame: pd.DataFrame, axis: _Axis, within: Sequence[str], methods: Sequence[str]
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


def _axis(
    request: Request, frame: pd.DataFrame, name: str, width: float, *, equal: bool = False
) -> _Axis:
    """Return the axis of a dimension.

    With `equal` the levels of a number have equal distances too, which leaves room beside them.
    """
    levels = levels_of(frame, name)
    numbers = [x for x in levels if isinstance(x, int | float | np.number) and x == x]
    numeric = name not in WORDS and len(numbers) == len(levels) > 1
    numeric = numeric and not any(isinstance(x, bool | np.bool_) for x in levels)
    scale, spots = ("", np.arange(len(levels), dtype=float))
    if numeric and equal:
        scale = "equal"
    elif numeric:
        scale, spots = _spread(np.array(levels, dtype=float))
    # A margin of half a step on both sides, within which the dodged marks stand.
    step, places = width * 0.6, np.array([width / 2])
    if len(spots) > 1:
        share = np.diff(spots).min() / (spots[-1] - spots[0])
        step = width * share / (1 + share)
        places = step / 2 + (spots - spots[0]) * ((width - step) / (spots[-1] - spots[0]))
    labels, at = request.levels_alone(name, levels), [round(float(x), 2) for x in places]
    return _Axis(name, request.say(name), at, labels, step, width, numeric, scale)


def _spread(levels: Floats) -> tuple[str, Floats]:
    """Return where numbers stand: as they are, by their logarithms, or at equal distances."""

    def even(spots: Floats) -> bool:
        gaps = np.diff(spots)
        return bool(np.isfinite(spots).all() and gaps.min() >= _LEAST_GAP * gaps.mean())

    if even(levels):
        return "", levels
    if levels.min() > 0 and even(np.log(levels)):
        return "log", np.log(levels)
    return "equal", np.arange(len(levels), dtype=float)


def lolly(request: Request) -> Any:
    """Return a lolly plot of one measure: that which was asked for, or the one to look at first."""
    measure = request.first_measure()
    return _lolly_of(request, cells_of(request, [measure]), measure)


def _lolly_of(request: Request, cells: Cells, measure: str) -> Any:
    """Return the lolly plot of cells that are chosen already."""
    wanted = request.goal(measure)
    cells, note = _furthest(cells, wanted)
    blocks = by_estimand(
        request,
        cells.frame,
        lambda own: _lollies(request, own, cells, measure, bool(note)),
    )
    begin = f"; lines begin at {wanted:g}" if wanted is not None else ""
    notes = f"bars: 95 % Monte Carlo intervals{begin}", bounds_note(cells.frame, dotted=True), note
    return finished(
        stacked(*blocks),
        request.say_measure(measure),
        about(request, cells, *notes),
        extremes(request, cells, measure, cells.factors),
    )


def _furthest(cells: Cells, wanted: float | None) -> tuple[Cells, str]:
    """Return the conditions whose worst cell is furthest off, where all are too many."""
    frame = cells.frame
    if len(frame) <= _MOST_LINES or not cells.factors:
        return cells, ""
    condition = frame.groupby(cells.factors, sort=False, dropna=False).ngroup().to_numpy()
    total = int(condition.max()) + 1
    away = np.abs(frame["value"].to_numpy(dtype=float) - (wanted or 0.0))
    worst = pd.Series(away).groupby(condition).max()
    most = max(1, _MOST_LINES // max(1, len(frame) // total))
    kept = worst.sort_values(ascending=False, kind="stable").index[:most]
    what = f"furthest from {wanted:g}" if wanted is not None else "with the largest values"
    note = f"{len(kept)} of {total} conditions, those {what}"
    return replace(cells, frame=frame[np.isin(condition, kept)]), note


def _lollies(
    request: Request, frame: pd.DataFrame, cells: Cells, measure: str, chosen: bool
) -> Any:
    """Return the panels of one estimand: methods and intervals down, a panel for each condition.

    Where conditions are `chosen`, no factor has all its levels side by side.
    """
    factors, methods = cells.factors, levels_of(cells.frame, "method")
    few = [n for n in factors[:1] if cells.frame[n].nunique(dropna=False) <= _MOST_BESIDE]
    columns = [] if chosen else few
    row, all_rows = places(request, frame, [n for n in factors if n not in columns])
    column, all_columns = places(request, frame, columns)
    line, all_lines = places(request, frame, cells.varying("method", "interval") or ["method"])
    names = [*factors, *cells.varying("interval", "estimand")]
    drawn = records(request, frame, names, y=line, r=row, k=column)
    words, wanted = request.say_measure(measure), request.goal(measure)
    base = alt.Chart()
    beside = alt.Axis(grid=False, ticks=False, labelPadding=5)
    by: dict[str, Any] = {
        "y": alt.Y("y:N", sort=all_lines, title=None, axis=beside),
        "color": colour(request, methods, legend=False),
    }
    x, ends = (free(alt.X, end, words) for end in "vl")
    layers = reference(wanted, across=True)
    if wanted is not None:
        stick = base.mark_rule(strokeWidth=1, opacity=0.5)
        layers.append(stick.encode(x=x, x2=alt.X2Datum(wanted), **by))
    shapes = shape(request, methods, legend=False)
    points = base.mark_point(filled=True, size=60, opacity=1)
    layers += [
        *bounds_layer(drawn, across=True, **by),
        base.mark_rule(strokeWidth=2.5, opacity=0.8).encode(x=ends, x2="u:Q", **by),
        points.encode(x=x, shape=shapes, tooltip=cell_tips(words), **by),
    ]
    width = round(min(520.0, _PAGE / len(all_columns) - 20))
    height = max(40, _LINE * len(all_lines))
    return faceted(layers, all_rows, all_columns, drawn, width=width, height=height)
