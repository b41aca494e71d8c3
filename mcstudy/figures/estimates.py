"""Single estimates of each method: with their mean and the truth, and with their errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from scipy import special

from mcstudy.analysis.measures import Cell, bias
from mcstudy.arrays import Floats
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import clauses, colour, data, finished, free, shape, tips
from mcstudy.figures.replicates import (
    Replicates,
    budget,
    by_panel,
    chosen_conditions,
    evenly,
    methods_of,
    named,
    one_grid,
    only,
    replicates_of,
    shown_methods,
)
from mcstudy.figures.style import FAINT, INK
from mcstudy.tables.numbers import number_with_error

_MOST_POINTS = 300  # of a method in a panel: more of them hide one another
_MOST_SAID = 6  # panels, of each method in words


def estimates(request: Request) -> Any:
    """Return the estimates of each method as a swarm, their mean and the truth."""
    conditions, note = chosen_conditions(request)
    rows = replicates_of(request, conditions)
    panels, methods = by_panel(rows), methods_of(rows)
    most = budget(len(panels) * len(methods), _MOST_POINTS)
    charts = []
    for own in panels.values():
        known = [one for one in own if np.isfinite(one.estimate).any()]
        if known:
            charts.append((own[0], _swarms(request, known, methods, most)))
    thin = any(np.isfinite(one.estimate).sum() > most for one in rows)
    has_truth = any(np.isfinite(one.truth) for one in rows)
    said = [
        f"{named(request, one)}: mean {_mean_of(one)}"
        + (f", truth {one.truth:.4g}" if np.isfinite(one.truth) else "")
        for own in list(panels.values())[:_MOST_SAID]
        for one in own
    ]
    how = clauses(
        "diamond: mean with its 95 % Monte Carlo interval",
        "dashed: the truth" if has_truth else "",
        f"{most} estimates of each swarm are drawn, evenly by rank" if thin else "",
    )
    return finished(
        one_grid(request, charts, height=max(60, 58 * len(methods))),
        "Estimates and the truth" if has_truth else "Estimates",
        [only(request, conditions, rows), note, how],
        clauses(*said),
    )


def _mean_of(one: Replicates) -> str:
    mean = bias(Cell(0.0, one.estimate, one.std_error))
    return number_with_error(mean.value, mean.mcse)


def _swarms(request: Request, rows: Sequence[Replicates], methods: Sequence[str], most: int) -> Any:
    """Return the swarms of one panel, one method below the other."""
    lines = [(one, methods.index(one.method)) for one in rows]
    points = [point for one, line in lines for point in _swarm(request, one, line, most)]
    means = [_mean(request, one, line) for one, line in lines]
    labels = json.dumps([request.method_labels[name] for name in methods])
    y = alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(domain=[len(methods) - 0.5, -0.5], nice=False),
        axis=alt.Axis(
            values=list(range(len(methods))),
            labelExpr=f"{labels}[datum.value]",
            grid=False,
            ticks=False,
            labelPadding=5,
        ),
    )
    x, ends = (free(alt.X, end, request.say(rows[0].estimand)) for end in "xl")
    shown = tips(("m", "method"), ("r", "replicate"), ("x", "estimate"), ("s", "standard error"))
    of_mean = tips(("m", "method"), ("t", "mean (MCSE)"), ("n", "used/of"))
    dots = alt.Chart(data(points)).mark_point(filled=True, size=9, opacity=0.55)
    base = alt.Chart(data(means))
    error = base.mark_rule(strokeWidth=2.5, color=INK)
    mean = base.mark_point(filled=True, size=60, color=INK, shape="diamond", opacity=1)
    return alt.layer(
        dots.encode(x=x, y=y, color=colour(request, methods, legend=False), tooltip=shown),
        *_truth(rows[0], x, strokeWidth=1.2),
        error.encode(x=ends, x2="u:Q", y=y),
        mean.encode(x=x, y=y, tooltip=of_mean),
    )


def _swarm(request: Request, one: Replicates, line: int, most: int) -> list[dict[str, Any]]:
    """Return the estimates of a method, evenly by rank, as points around its line."""
    there = np.flatnonzero(np.isfinite(one.estimate))
    order = there[np.argsort(one.estimate[there], kind="stable")]
    picked = order[evenly(len(order), most)]
    values, label = one.estimate[picked], request.method_labels[one.method]
    return [
        {"x": rounded(value), "y": round(line + aside, 3), "m": label}
        | {"r": int(one.replicate[i]), "s": rounded(one.std_error[i])}
        for i, value, aside in zip(picked.tolist(), values.tolist(), _aside(values), strict=True)
    ]


def _mean(request: Request, one: Replicates, line: int) -> dict[str, Any]:
    """Return the mean of a method with its limits, as a mark on its line."""
    mean = bias(Cell(0.0, one.estimate, one.std_error))
    return (
        {"x": rounded(mean.value), "l": rounded(mean.lower), "u": rounded(mean.upper), "y": line}
        | {"m": request.method_labels[one.method], "t": _mean_of(one)}
        | {"n": f"{mean.used}/{len(one.estimate)}"}
    )


def _truth(one: Replicates, x: alt.X, **look: Any) -> list[alt.Chart]:
    """Return the layer of the line of the true value; none where there is no such thing."""
    if not np.isfinite(one.truth):
        return []
    truth = alt.Chart(data([{"x": rounded(one.truth)}]))
    return [truth.mark_rule(strokeDash=[5, 3], color=INK, **look).encode(x=x)]


def _aside(x: Floats) -> list[float]:
    """Return by how much each point stands aside: within the density, by a fixed sequence.

    The sequence is van der Corput's: it fills evenly and is the same each time.
    """
    if len(x) < 3 or x[-1] <= x[0]:
        return [0.0] * len(x)
    width = max(1.06 * x.std() * len(x) ** -0.2, (x[-1] - x[0]) / 200)  # Silverman's rule
    density = np.exp(-0.5 * ((x[:, None] - x) / width) ** 2).sum(axis=1)
    fraction = [int(f"{i + 1:b}"[::-1], 2) / 2 ** len(f"{i + 1:b}") for i in range(len(x))]
    return (0.78 * (np.array(fraction) - 0.5) * density / density.max()).tolist()  # type: ignore[no-any-return]


def se_against_estimate(request: Request) -> Any:
    """Return standard errors against estimates; below the V a normal interval misses the truth."""
    conditions, note = chosen_conditions(request)
    all_rows = replicates_of(request, conditions)
    rows = [r for r in all_rows if (np.isfinite(r.std_error) & np.isfinite(r.estimate)).any()]
    if not rows:
        raise ResultsError("no method gives a standard error here; let one return a std_error")
    methods = methods_of(rows)
    most = budget(len(rows), _MOST_POINTS)
    thin = any(len(one.estimate) > most for one in rows)
    charts = [(own[0], _errors(request, own, methods, most)) for own in by_panel(rows).values()]
    lines = [
        only(request, conditions, rows),
        note,
        shown_methods(request, all_rows, methods, "standard errors"),
        clauses(
            f"dashed: the truth; below the V a normal {request.level * 100:g} % interval misses it",
            "lines across: empirical SE",
            f"{most} replicates of each method are drawn, evenly by their number" if thin else "",
        ),
    ]
    chart = one_grid(request, charts, height=200)
    return finished(chart, "Standard error against estimate", lines)


def _errors(request: Request, rows: Sequence[Replicates], methods: Sequence[str], most: int) -> Any:
    """Return the standard errors of one panel against the estimates."""
    points, spreads = [], []
    low, high, top = np.inf, -np.inf, 0.0
    for one in rows:
        there = np.flatnonzero(np.isfinite(one.estimate) & np.isfinite(one.std_error))
        label = request.method_labels[one.method]
        picked = there[evenly(len(there), most)]
        estimate, error = one.estimate[picked], one.std_error[picked]
        points += [
            {"x": rounded(a), "y": rounded(b), "m": label, "r": int(r)}
            for a, b, r in zip(
                estimate.tolist(), error.tolist(), one.replicate[picked], strict=True
            )
        ]
        low, high = min(low, estimate.min()), max(high, estimate.max())
        top = max(top, error.max())
        if len(there) > 1:
            spreads.append({"y": rounded(float(one.estimate[there].std(ddof=1))), "m": label})
    tall = alt.Scale(domain=[0, 1.05 * top or 1.0], nice=False)
    x = free(alt.X, "x", request.say(rows[0].estimand))
    y = alt.Y("y:Q", title="Standard error", scale=tall)
    paint = colour(request, methods)
    shown = tips(("m", "method"), ("r", "replicate"), ("x", "estimate"), ("y", "standard error"))
    dots = alt.Chart(data(points)).mark_point(filled=True, size=14, opacity=0.6)
    across = alt.Chart(data(spreads)).mark_rule(strokeWidth=1.2, opacity=0.9)
    layers = [
        dots.encode(x=x, y=y, color=paint, shape=shape(request, methods), tooltip=shown),
        across.encode(y=y, color=paint),
    ]
    if np.isfinite(truth := rows[0].truth):
        z = float(special.ndtri((1 + request.level) / 2))
        tallest = 1.05 * top * z
        left, right = (max(0.0, min(side, tallest)) for side in (truth - low, high - truth))
        wedge = [(truth - left, left / z), (truth, 0.0), (truth + right, right / z)]
        drawn = [{"x": rounded(a), "y": rounded(b)} for a, b in wedge]
        line = alt.Chart(data(drawn)).mark_line(color=FAINT, strokeWidth=1.2, clip=True)
        layers.append(line.encode(x=x, y=y, order="x:Q"))
    return alt.layer(*layers, *_truth(rows[0], x))
