"""Lolly plot: each cell a line from the target to the value, for studies of few cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from mcstudy.analysis.select import first_measure, levels_of
from mcstudy.figures.cells import OTHERS, Cells, Request, cells_of, places, records
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
    tooltip,
)

_MOST_LINES = 60  # of a page: the cells of a measure
_PAGE = 760
_LINE = 17  # pixels from one cell to the next


def lolly(request: Request) -> Any:
    """Return a lolly plot of one measure: that which was asked for, or the one to look at first."""
    measure = request.measure or first_measure(request.results.performance)
    return lolly_of(request, cells_of(request, [measure]), [measure])


def lolly_of(request: Request, cells: Cells, measures: Sequence[str]) -> Any:
    """Return the lolly plot of cells that are chosen already."""
    (measure,) = measures
    wanted = request.goal(measure)
    cells, note = _furthest(request, cells, wanted)
    frame = cells.frame
    methods, estimands = levels_of(frame, "method"), levels_of(frame, "estimand")
    columns = [n for n in cells.factors[:1] if frame[n].nunique(dropna=False) <= 4 and not note]
    rows = [n for n in cells.factors if n not in columns]
    by = [n for n in ("method", "interval") if cells.varies(n)] or ["method"]
    names = [*cells.factors, *(n for n in ("interval", "estimand") if cells.varies(n))]
    blocks = []
    for estimand in estimands:
        own = frame[frame["estimand"].isna() if estimand is None else frame["estimand"] == estimand]
        blocks.append(_block(request, own, (rows, columns, by, names), measure, methods))
    ends = "lines begin at" if wanted is not None else ""
    notes = (
        f"bars: 95 % Monte Carlo intervals; {ends} {wanted:g}"
        if wanted is not None
        else ("bars: 95 % Monte Carlo intervals")
    )
    return finished(
        stacked(blocks, [request.say(str(name)) for name in estimands]),
        request.say_measure(measure),
        about(request, cells, notes, bounds_note(frame, dotted=True), note),
        extremes(request, cells, measure, cells.factors),
    )


def _furthest(request: Request, cells: Cells, wanted: float | None) -> tuple[Cells, str]:
    """Return the conditions whose worst cell is furthest off, where all are too many."""
    frame = cells.frame
    if len(frame) <= _MOST_LINES or not cells.factors:
        return cells, ""
    condition = frame.groupby(cells.factors, sort=False, dropna=False).ngroup().to_numpy()
    total = int(condition.max()) + 1
    away = np.abs(frame["value"].to_numpy(dtype=float) - (wanted or 0.0))
    worst = pd.Series(away).groupby(condition).max()
    most = max(1, _MOST_LINES // max(1, len(frame) // total))
    kept = set(worst.sort_values(ascending=False, kind="stable").index[:most])
    what = f"furthest from {wanted:g}" if wanted is not None else "with the largest values"
    note = f"{len(kept)} of {total} conditions, those {what}; {OTHERS}"
    return replace(cells, frame=frame[[c in kept for c in condition]]), note


def _block(
    request: Request,
    frame: pd.DataFrame,
    dims: tuple[Sequence[str], Sequence[str], Sequence[str], Sequence[str]],
    measure: str,
    methods: Sequence[str],
) -> Any:
    """Return the panels of one estimand: methods and intervals down, a panel for each condition."""
    rows, columns, by, names = dims
    row, all_rows = places(request, frame, rows)
    column, all_columns = places(request, frame, columns)
    line, all_lines = places(request, frame, by)
    drawn = [
        {**record, "y": y, "r": r, "k": k}
        for record, y, r, k in zip(records(request, frame, names), line, row, column, strict=True)
    ]
    words, wanted = request.say_measure(measure), request.goal(measure)
    base, paint = alt.Chart(), colour(request, methods, legend=False)
    y = alt.Y(
        "y:N", sort=all_lines, title=None, axis=alt.Axis(grid=False, ticks=False, labelPadding=5)
    )
    x = alt.X("v:Q", title=words, scale=alt.Scale(zero=False))
    ends = alt.X("l:Q", title=words, scale=alt.Scale(zero=False))
    layers = [reference(wanted, across=True)]
    if wanted is not None:
        stick = base.mark_rule(strokeWidth=1, opacity=0.5)
        layers.append(stick.encode(x=x, x2=alt.X2Datum(wanted), y=y, color=paint))
    layers += bounds_layer(drawn, across=True, y=y, color=paint)
    layers.append(
        base.mark_rule(strokeWidth=2.5, opacity=0.8).encode(x=ends, x2="u:Q", y=y, color=paint)
    )
    layers.append(
        base.mark_point(filled=True, size=60, opacity=1).encode(
            x=x,
            y=y,
            color=paint,
            shape=shape(request, methods, legend=False),
            tooltip=tooltip(words),
        )
    )
    width = min(520.0, _PAGE / len(all_columns) - 20)
    return faceted(
        layers,
        all_rows,
        all_columns,
        drawn,
        width=round(width),
        height=max(40, _LINE * len(all_lines)),
    )
