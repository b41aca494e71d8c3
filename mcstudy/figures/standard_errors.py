"""Single standard errors against estimates, and where an interval misses the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from scipy import special

from mcstudy.errors import ResultsError
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import colour, data, finished, shape
from mcstudy.figures.panels import by_panel, one_grid, only, shown_methods, tips
from mcstudy.figures.rows import (
    Replicates,
    budget,
    chosen_conditions,
    evenly,
    labels_in_order,
    replicates_of,
)
from mcstudy.figures.style import FAINT, INK


def se_against_estimate(request: Request) -> Any:
    """Return standard errors against estimates; below the V a normal interval misses the truth."""
    conditions, note = chosen_conditions(request)
    all_rows = replicates_of(request, conditions)
    rows = [r for r in all_rows if (np.isfinite(r.std_error) & np.isfinite(r.estimate)).any()]
    if not rows:
        raise ResultsError("no method gives a standard error here; let one return a std_error")
    panels = by_panel(rows)
    methods = labels_in_order([one.method for one in rows])
    most = budget(len(rows), 300)
    thin = any(len(one.estimate) > most for one in rows)
    charts = [(own[0], _se_panel(request, own, methods, most)) for own in panels.values()]
    shown = f"{most} replicates of each method are drawn, evenly by their number" if thin else ""
    lines = [
        only(request, conditions, rows),
        note,
        shown_methods(request, all_rows, methods, "standard errors"),
        f"dashed: the truth; below the V a normal {request.level * 100:g} % interval misses it; "
        "lines across: empirical SE" + (f"; {shown}" if shown else ""),
    ]
    chart = one_grid(request, charts, height=200)
    return finished(chart, "Standard error against estimate", lines)


def _se_panel(
    request: Request, rows: Sequence[Replicates], methods: Sequence[str], most: int
) -> Any:
    points, spreads = [], []
    low, high, top = np.inf, -np.inf, 0.0
    for one in rows:
        there = np.flatnonzero(np.isfinite(one.estimate) & np.isfinite(one.std_error))
        label = request.method_labels[one.method]
        picked = there[evenly(len(there), most)]
        x, y = one.estimate[picked], one.std_error[picked]
        points += [
            {"x": rounded(a), "y": rounded(b), "m": label, "r": int(r)}
            for a, b, r in zip(x.tolist(), y.tolist(), one.replicate[picked], strict=True)
        ]
        low, high, top = min(low, x.min()), max(high, x.max()), max(top, y.max())
        if len(there) > 1:
            spreads.append({"y": rounded(float(one.estimate[there].std(ddof=1))), "m": label})
    tall = alt.Scale(domain=[0, 1.05 * top or 1.0], nice=False)
    x = alt.X("x:Q", title=request.say(rows[0].estimand), scale=alt.Scale(zero=False))
    y = alt.Y("y:Q", title="Standard error", scale=tall)
    paint = colour(request, methods)
    shown = tips([("m", "method"), ("r", "replicate"), ("x", "estimate"), ("y", "standard error")])
    dots = alt.Chart(data(points)).mark_point(filled=True, size=14, opacity=0.6)
    across = alt.Chart(data(spreads)).mark_rule(strokeWidth=1.2, opacity=0.9)
    layers = [
        dots.encode(x=x, y=y, color=paint, shape=shape(request, methods), tooltip=shown),
        across.encode(y=y, color=paint),
    ]
    truth = rows[0].truth
    if np.isfinite(truth):
        z = float(special.ndtri((1 + request.level) / 2))
        away = [max(0.0, min(side, 1.05 * top * z)) for side in (truth - low, high - truth)]
        wedge = [(truth - away[0], away[0] / z), (truth, 0.0), (truth + away[1], away[1] / z)]
        drawn = [{"x": rounded(a), "y": rounded(b)} for a, b in wedge]
        line = alt.Chart(data(drawn)).mark_line(color=FAINT, strokeWidth=1.2, clip=True)
        middle = alt.Chart(data([{"x": rounded(truth)}])).mark_rule(strokeDash=[5, 3], color=INK)
        layers += [line.encode(x=x, y=y, order="x:Q"), middle.encode(x=x)]
    return alt.layer(*layers)
