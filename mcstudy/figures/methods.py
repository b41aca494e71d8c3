"""Method against method on the same data, one point a replicate."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from mcstudy.analysis.measures import Cell, bias
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import data, finished
from mcstudy.figures.panels import by_panel, check_panels, only, rows_of_panels, tips, titled
from mcstudy.figures.rows import (
    Replicates,
    budget,
    chosen_conditions,
    evenly,
    labels_in_order,
    replicates_of,
)
from mcstudy.figures.style import FAINT, INK, method_colours
from mcstudy.tables.numbers import number_with_error


def methods_figure(request: Request) -> Any:
    """Return each method against the reference on the same data, and their differences.

    Left: estimate against estimate. Right: difference against mean (Bland & Altman 1986, Lancet
    1:307), with the mean difference, its Monte Carlo interval, and mean +- 1.96 SD.
    """
    conditions, note = chosen_conditions(request, 2)
    rows = replicates_of(request, conditions)
    panels = by_panel(rows)
    known = labels_in_order([one.method for own in panels.values() for one in own])
    if len(known) < 2:
        raise ResultsError("methods: needs two methods on the same data; there is one here")
    reference = request.record.get("reference")
    first = reference if reference in known else known[0]
    others = [name for name in known if name != first]
    most = budget(2 * len(panels) * len(others), 250)
    pairs = []
    for own in panels.values():
        by = {one.method: one for one in own}
        pairs += [(by[name], by[first]) for name in others if name in by and first in by]
    if pairs:
        check_panels([one for one, _ in pairs for _ in range(2)])
    charts, said, thin = [], [], False
    for one, other in pairs:
        pair = _pair(request, one, other, most)
        if pair is not None:
            charts += [(one, panel) for panel in pair[:2]]
            said.append(pair[2])
            thin = thin or pair[3]
    if not charts:
        raise ResultsError("methods: no replicate has an estimate of both methods")
    shown = f"{most} replicates of each pair are drawn, evenly by their number" if thin else ""
    lines = [
        "; ".join(filter(None, [only(request, conditions, rows), note])),
        "dashed: equal; right panels: mean difference with its 95 % Monte Carlo interval (band) "
        "and the limits of agreement, mean ± 1.96 SD (dotted)" + (f"; {shown}" if shown else ""),
    ]
    chart = rows_of_panels(request, charts, height=180)
    title = f"Methods against {request.method_labels[str(first)]}, on the same data"
    return finished(chart, title, lines, "; ".join(said[:8]))


def _pair(
    request: Request, one: Replicates, other: Replicates, most: int
) -> tuple[Any, Any, str, bool] | None:
    """Return both panels of a pair, its mean difference in words, and whether rows are left out."""
    _, here, there = np.intersect1d(one.replicate, other.replicate, return_indices=True)
    a, b = one.estimate[here], other.estimate[there]
    both = np.isfinite(a) & np.isfinite(b)
    a, b, number = a[both], b[both], one.replicate[here][both]
    if not len(a):
        return None
    picked = evenly(len(a), most)
    drawn = [
        {"a": rounded(a[i]), "b": rounded(b[i]), "c": rounded((a[i] + b[i]) / 2)}
        | {"d": rounded(a[i] - b[i]), "r": int(number[i])}
        for i in picked.tolist()
    ]
    names = [request.method_labels[m] for m in (one.method, other.method)]
    short = [n if len(n) <= 22 else n[:21] + "…" for n in names]
    measured = bias(Cell(0.0, a - b, a))
    spread = float((a - b).std(ddof=1)) if len(a) > 1 else 0.0
    base = alt.Chart(data(drawn))
    shown = tips([("r", "replicate"), ("a", names[0]), ("b", names[1]), ("d", "difference")])
    paint = method_colours(request.methods)[one.method]
    dots = base.mark_point(filled=True, size=14, opacity=0.55, color=paint)
    ends = [rounded(float(v)) for v in (min(a.min(), b.min()), max(a.max(), b.max()))]
    equal = alt.Chart(data([{"a": v, "b": v} for v in ends])).mark_line(
        strokeDash=[5, 3], color=FAINT, strokeWidth=1.2
    )
    free = alt.Scale(zero=False)
    wide = alt.Axis(minExtent=44)  # pixels of the labels, so that panels stand in line
    x, y = (
        alt.X("b:Q", title=short[1], scale=free),
        alt.Y("a:Q", title=short[0], scale=free, axis=wide),
    )
    left = alt.layer(equal.encode(x=x, y=y), dots.encode(x=x, y=y, tooltip=shown))
    x = alt.X("c:Q", title="mean of both", scale=free)
    y = alt.Y("d:Q", title="difference", scale=free, axis=wide)
    lines = [
        alt.Chart(data([{}])).mark_rule(strokeDash=[5, 3], color=FAINT).encode(y=alt.YDatum(0)),
        dots.encode(x=x, y=y, tooltip=shown),
        alt.Chart(data([{"d": rounded(measured.value)}])).mark_rule(color=INK).encode(y=y),
        alt.Chart(data([{"d": rounded(measured.value + s * 1.96 * spread)} for s in (-1, 1)]))
        .mark_rule(strokeDash=[1, 3], color=INK)
        .encode(y=y),
    ]
    if np.isfinite(measured.mcse):
        limits = data([{"d": rounded(measured.lower), "e": rounded(measured.upper)}])
        band = alt.Chart(limits).mark_rect(opacity=0.2, color=INK)
        lines.insert(0, band.encode(y=y, y2="e:Q"))
    text = number_with_error(measured.value, measured.mcse)
    head = [f"{short[0]} - {short[1]}", f"{text}, {len(a)}/{len(one.estimate)}"]
    said = f"{names[0]} - {names[1]}, {request.say(one.estimand)}: {text}"
    return titled(left, [" "]), titled(alt.layer(*lines), head), said, len(picked) < len(a)
