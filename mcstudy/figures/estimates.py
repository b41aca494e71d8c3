"""Single estimates of each method, with their mean and the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from mcstudy.analysis.measures import Cell, bias
from mcstudy.arrays import Floats
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import colour, data, finished
from mcstudy.figures.panels import by_panel, one_grid, only, tips
from mcstudy.figures.rows import (
    Replicates,
    budget,
    chosen_conditions,
    evenly,
    labels_in_order,
    replicates_of,
)
from mcstudy.figures.style import INK
from mcstudy.tables.numbers import number_with_error


def estimates(request: Request) -> Any:
    """Return the estimates of each method as a swarm, their mean and the truth."""
    conditions, note = chosen_conditions(request)
    rows = replicates_of(request, conditions)
    panels = by_panel(rows)
    methods = labels_in_order([one.method for own in panels.values() for one in own])
    most = budget(len(panels) * len(methods), 300)
    charts, thin = [], False
    for own in panels.values():
        known = [one for one in own if np.isfinite(one.estimate).any()]
        if known:
            charts.append((own[0], _swarms(request, known, methods, most)))
            thin = thin or any(np.isfinite(one.estimate).sum() > most for one in known)
    has_truth = any(np.isfinite(one.truth) for one in rows)
    shown = f"{most} estimates of each swarm are drawn, evenly by rank" if thin else ""
    lines = [
        only(request, conditions, rows),
        note,
        "; ".join(
            filter(
                None,
                (
                    "diamond: mean with its 95 % Monte Carlo interval",
                    "dashed: the truth" if has_truth else "",
                    shown,
                ),
            )
        ),
    ]
    chart = one_grid(request, charts, height=max(60, 58 * len(methods)))
    said = [
        f"{request.say(e)}{f', {c}' if c else ''}, {request.method_labels[one.method]}: mean "
        f"{_mean_of(one)}" + (f", truth {one.truth:.4g}" if np.isfinite(one.truth) else "")
        for (c, e), own in list(panels.items())[:6]
        for one in own
    ]
    return finished(
        chart, "Estimates and the truth" if has_truth else "Estimates", lines, "; ".join(said)
    )


def _mean_of(one: Replicates) -> str:
    centre = one.estimate[np.isfinite(one.estimate)]
    if not len(centre):
        return "-"
    error = float(centre.std(ddof=1) / len(centre) ** 0.5) if len(centre) > 1 else np.nan
    return number_with_error(float(centre.mean()), error)


def _swarms(request: Request, rows: Sequence[Replicates], methods: Sequence[str], most: int) -> Any:
    """Return the swarms of one panel, one method below the other."""
    points, means = [], []
    for one in rows:
        there = np.flatnonzero(np.isfinite(one.estimate))
        order = there[np.argsort(one.estimate[there], kind="stable")]
        picked = order[evenly(len(order), most)]
        x = one.estimate[picked]
        label, line = request.method_labels[one.method], methods.index(one.method)
        for i, value, aside in zip(picked.tolist(), x.tolist(), _aside(x), strict=True):
            points.append(
                {"x": rounded(value), "y": round(line + aside, 3), "m": label}
                | {"r": int(one.replicate[i]), "s": rounded(one.std_error[i])}
            )
        measured = bias(Cell(0.0, one.estimate, one.std_error))
        means.append(
            {"x": rounded(measured.value), "l": rounded(measured.lower), "y": line}
            | {"u": rounded(measured.upper), "m": label, "t": _mean_of(one)}
            | {"n": f"{measured.used}/{len(one.estimate)}"}
        )
    labels = [request.method_labels[name] for name in methods]
    names = f"{json.dumps(labels)}[datum.value]"
    y = alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(domain=[len(methods) - 0.5, -0.5], nice=False),
        axis=alt.Axis(
            values=list(range(len(methods))),
            labelExpr=names,
            grid=False,
            ticks=False,
            labelPadding=5,
        ),
    )
    x = alt.X("x:Q", title=request.say(rows[0].estimand), scale=alt.Scale(zero=False))
    ends = alt.X("l:Q", title=request.say(rows[0].estimand), scale=alt.Scale(zero=False))
    shown = tips([("m", "method"), ("r", "replicate"), ("x", "estimate"), ("s", "standard error")])
    paint = colour(request, methods, legend=False)
    dots = alt.Chart(data(points)).mark_point(filled=True, size=9, opacity=0.55)
    mean = alt.Chart(data(means)).mark_point(
        filled=True, size=60, color=INK, shape="diamond", opacity=1
    )
    error = alt.Chart(data(means)).mark_rule(strokeWidth=2.5, color=INK)
    layers = [
        dots.encode(x=x, y=y, color=paint, tooltip=shown),
        error.encode(x=ends, x2="u:Q", y=y),
        mean.encode(
            x=x, y=y, tooltip=tips([("m", "method"), ("t", "mean (MCSE)"), ("n", "used/of")])
        ),
    ]
    if np.isfinite(rows[0].truth):
        truth = alt.Chart(data([{"x": rounded(rows[0].truth)}]))
        layers.insert(1, truth.mark_rule(strokeDash=[5, 3], color=INK, strokeWidth=1.2).encode(x=x))
    return alt.layer(*layers)


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
