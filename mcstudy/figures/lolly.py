"""Lolly plot: each cell a line from the target to the value, for studies of few cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from mcstudy.analysis.select import levels_of
from mcstudy.figures.cells import OTHERS, Cells, Request, cells_of, places, records
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
)

_MOST_LINES = 60  # of a page: the cells of a measure
_MOST_COLUMNS = 4  # levels of a factor that has panels side by side
_PAGE = 760  # pixels that all columns of panels share
_LINE = 17  # pixels from one cell to the next


def lolly(request: Request) -> Any:
    """Return a lolly plot of one measure: that which was asked for, or the one to look at first."""
    measure = request.first_measure()
    return lolly_of(request, cells_of(request, [measure]), measure)


def lolly_of(request: Request, cells: Cells, measure: str) -> Any:
    """Return the lolly plot of cells that are chosen already."""
    wanted = request.goal(measure)
    cells, note = _furthest(cells, wanted)
    blocks = by_estimand(
        request,
        cells.frame,
        lambda own: _block(request, own, cells, measure, bool(note)),
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
    note = f"{len(kept)} of {total} conditions, those {what}; {OTHERS}"
    return replace(cells, frame=frame[np.isin(condition, kept)]), note


def _block(request: Request, frame: pd.DataFrame, cells: Cells, measure: str, chosen: bool) -> Any:
    """Return the panels of one estimand: methods and intervals down, a panel for each condition.

    Where conditions are `chosen`, no factor has all its levels side by side.
    """
    factors, methods = cells.factors, levels_of(cells.frame, "method")
    few = [n for n in factors[:1] if cells.frame[n].nunique(dropna=False) <= _MOST_COLUMNS]
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
