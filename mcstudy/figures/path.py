"""A measure over the replicates, as it would have been after fewer of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np

from mcstudy.analysis.measure_set import measured
from mcstudy.analysis.measures import INTERVAL_MEASURES, MEASURES, Cell
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import (
    ERROR_TIPS,
    clauses,
    colour,
    data,
    finished,
    reference,
    target_note,
    tips,
)
from mcstudy.figures.replicates import (
    Replicates,
    check_panels,
    chosen_conditions,
    only,
    replicates_of,
    rows_of_panels,
    titled,
)
from mcstudy.measure import REJECTION, alphas_of, null_of, rejection_at
from mcstudy.tables.numbers import number_with_error

_STEPS = 40  # points of a path
_FIRST = 10  # replicates: before them a measure says nothing


def path(request: Request) -> Any:
    """Return a measure after the first n replicates, with its Monte Carlo interval."""
    measure = request.first_measure()
    alphas = rejection_at(alphas_of(request.record.get("alpha"), request.level))
    if measure not in {**MEASURES, **INTERVAL_MEASURES, **alphas}:
        known = ", ".join([*MEASURES, *INTERVAL_MEASURES])
        raise ResultsError(f"path: cannot follow {measure!r}; it can follow {known}")
    conditions, note = chosen_conditions(request, 2)
    rows = []
    if measure in alphas:
        tested = replicates_of(request, conditions, tests=True)
        rows = [one for one in tested if np.isfinite(one.p_value).any()]
    rows = rows or replicates_of(request, conditions, intervals=measure in INTERVAL_MEASURES)
    paths = [(one, drawn) for one in rows if (drawn := _points(request, one, measure))]
    check_panels([one for one, _ in paths])
    # One scale for each estimand, so that its methods can be compared.
    scales = {
        estimand: _scale([drawn for one, drawn in paths if one.estimand == estimand])
        for estimand in {one.estimand for one, _ in paths}
    }
    panels = [
        (one, _panel(request, one, measure, drawn, scales[one.estimand])) for one, drawn in paths
    ]
    lines = [
        clauses(only(request, conditions, [one for one, _ in paths]), note),
        clauses(
            "band: 95 % Monte Carlo interval",
            target_note(request, measure),
            "replicates on a log scale",
        ),
    ]
    title = f"{request.say_measure(measure)} over the replicates"
    return finished(rows_of_panels(request, panels, height=150), title, lines)


def _scale(paths: Sequence[Sequence[dict[str, Any]]]) -> alt.Scale:
    """Return the scale that holds all paths and, but for the first points, their intervals."""
    values = [point["v"] for drawn in paths for point in drawn]
    ends = [point[end] for drawn in paths for point in drawn[_STEPS // 4 :] for end in ("l", "u")]
    known = [number for number in (*values, *ends) if number is not None]
    return alt.Scale(zero=False, domain=[min(known), max(known)])


def _points(request: Request, one: Replicates, measure: str) -> list[dict[str, Any]]:
    """Return the path of one method, estimand and interval; empty where there is no number."""
    count = len(one.estimate)
    steps = np.unique(np.geomspace(min(_FIRST, count), count, _STEPS).round().astype(int))
    null = null_of(request.record.get("null"), one.estimand)
    alpha = rejection_at(alphas_of(request.record.get("alpha"), request.level)).get(measure)
    drawn = []
    label = request.method_labels[one.method]
    for n in steps.tolist():
        lower, upper = (one.lower[:n], one.upper[:n]) if one.interval else (None, None)
        cell = Cell(one.truth, one.estimate[:n], one.std_error[:n], lower, upper, null)
        if alpha is not None and not one.interval:
            cell = replace(cell, p_value=one.p_value[:n], alpha=alpha)
        answer = measured(measure if alpha is None else REJECTION, cell)
        if np.isfinite(answer.value):
            shown = number_with_error(answer.value, answer.mcse, answer.lower, answer.upper)
            drawn.append(
                {"x": n, "v": rounded(answer.value), "m": label, "t": shown}
                | {"l": rounded(answer.lower), "u": rounded(answer.upper)}
                | {"n": f"{answer.used}/{n}"}
            )
    return drawn


def _panel(
    request: Request,
    one: Replicates,
    measure: str,
    drawn: Sequence[dict[str, Any]],
    scale: alt.Scale,
) -> Any:
    """Return the picture of a path."""
    words = request.say_measure(measure)
    x = alt.X(
        "x:Q",
        title="Replicates",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(tickCount=4, format="~s"),
    )
    y, low = (alt.Y(f"{end}:Q", title=words, scale=scale) for end in "vl")
    base, paint = alt.Chart(data(drawn)), colour(request, request.methods, legend=False)
    shown = tips(("x", "replicates"), ("t", f"{words} (MCSE)"), *ERROR_TIPS)
    line = base.mark_line(strokeWidth=1.6, point=alt.OverlayMarkDef(size=10))
    made = alt.layer(
        base.mark_area(opacity=0.25, clip=True).encode(x=x, y=low, y2="u:Q", color=paint),
        *reference(request.goal(measure)),
        line.encode(x=x, y=y, color=paint, tooltip=shown),
    )
    interval = request.say(one.interval) if one.interval else ""
    return titled(made, [request.method_labels[one.method], interval, drawn[-1]["t"]])
