"""Method against method on the same data, one point a replicate."""

from __future__ import annotations

from typing import Any, NamedTuple

import altair as alt
import numpy as np

from mcstudy.analysis.measures import Cell, bias
from mcstudy.arrays import Floats, Integers
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import clauses, data, finished, free, line_at, tips
from mcstudy.figures.replicates import (
    Replicates,
    budget,
    by_panel,
    check_panels,
    chosen_conditions,
    evenly,
    methods_of,
    only,
    replicates_of,
    rows_of_panels,
    titled,
)
from mcstudy.figures.style import FAINT, INK, method_colours
from mcstudy.measure import Measured
from mcstudy.tables.numbers import number_with_error

_MOST_POINTS = 250  # of a pair: more of them hide one another
_MOST_LETTERS = 22  # of a method on an axis
_MOST_SAID = 8  # pairs in words
_WIDE = alt.Axis(minExtent=44)  # pixels of the labels, so that panels stand in line
_FEW_DIGITS = alt.Axis(minExtent=44, format="~g")  # a difference may be of the rounding


class _Pair(NamedTuple):
    """A method and the reference on the data sets for which both have an estimate, `a` and `b`."""

    one: Replicates
    names: tuple[str, str]
    replicate: Integers
    a: Floats
    b: Floats
    difference: Measured
    text: str


def methods_figure(request: Request) -> Any:
    """Return each method against the reference on the same data, and their differences.

    Left: estimate against estimate. Right: difference against mean (Bland & Altman 1986, Lancet
    1:307), with the mean difference, its Monte Carlo interval, and mean +- 1.96 SD.
    """
    conditions, note = chosen_conditions(request, 2)
    rows = replicates_of(request, conditions)
    panels, known = by_panel(rows), methods_of(rows)
    if len(known) < 2:
        raise ResultsError("methods: needs two methods on the same data; there is one here")
    reference = request.record.get("reference")
    first = reference if reference in known else known[0]
    others = [name for name in known if name != first]
    most = budget(2 * len(panels) * len(others), _MOST_POINTS)
    found = []
    for own in panels.values():
        by = {one.method: one for one in own}
        found += [_pair(request, by[name], by[first]) for name in others if {name, first} <= {*by}]
    if found:
        check_panels([pair.one for pair in found for _ in range(2)])
    pairs = [pair for pair in found if len(pair.a)]
    if not pairs:
        raise ResultsError("methods: no replicate has an estimate of both methods")
    charts = [(pair.one, panel) for pair in pairs for panel in _panels(request, pair, most)]
    thin = any(len(pair.a) > most for pair in pairs)
    lines = [
        clauses(only(request, conditions, rows), note),
        clauses(
            "dashed: equal",
            "right panels: mean difference with its 95 % Monte Carlo interval (band) and the "
            "limits of agreement, mean ± 1.96 SD (dotted)",
            f"{most} replicates of each pair are drawn, evenly by their number" if thin else "",
        ),
    ]
    chart = rows_of_panels(request, charts, height=180)
    title = f"Methods against {request.method_labels[first]}, on the same data"
    said = [
        f"{' - '.join(pair.names)}, {request.say(pair.one.estimand)}: {pair.text}"
        for pair in pairs[:_MOST_SAID]
    ]
    return finished(chart, title, lines, clauses(*said))


def _pair(request: Request, one: Replicates, other: Replicates) -> _Pair:
    number, here, there = np.intersect1d(one.replicate, other.replicate, return_indices=True)
    both = np.isfinite(one.estimate[here]) & np.isfinite(other.estimate[there])
    a, b = one.estimate[here][both], other.estimate[there][both]
    names = request.method_labels[one.method], request.method_labels[other.method]
    difference = bias(Cell(0.0, a - b, a))
    text = number_with_error(difference.value, difference.mcse)
    return _Pair(one, names, number[both], a, b, difference, text)


def _panels(request: Request, pair: _Pair, most: int) -> tuple[Any, Any]:
    """Return estimate against estimate, and the difference against the mean."""
    a, b, mean = pair.a, pair.b, pair.difference.value
    drawn = [
        {"a": rounded(a[i]), "b": rounded(b[i]), "c": rounded((a[i] + b[i]) / 2)}
        | {"d": rounded(a[i] - b[i]), "r": int(pair.replicate[i])}
        for i in evenly(len(a), most).tolist()
    ]
    short = [n if len(n) <= _MOST_LETTERS else f"{n[: _MOST_LETTERS - 1]}…" for n in pair.names]
    shown = tips(
        ("r", "replicate"), ("a", pair.names[0]), ("b", pair.names[1]), ("d", "difference")
    )
    paint = method_colours(request.methods)[pair.one.method]
    dots = alt.Chart(data(drawn)).mark_point(filled=True, size=14, opacity=0.55, color=paint)
    ends = [rounded(float(v)) for v in (min(a.min(), b.min()), max(a.max(), b.max()))]
    equal = alt.Chart(data([{"a": v, "b": v} for v in ends])).mark_line(
        strokeDash=[5, 3], color=FAINT, strokeWidth=1.2
    )
    x, y = free(alt.X, "b", short[1]), free(alt.Y, "a", short[0], axis=_WIDE)
    left = alt.layer(equal.encode(x=x, y=y), dots.encode(x=x, y=y, tooltip=shown))
    x, y = free(alt.X, "c", "mean of both"), free(alt.Y, "d", "difference", axis=_FEW_DIGITS)
    spread = float((a - b).std(ddof=1)) if len(a) > 1 else 0.0
    agreement = [{"d": rounded(mean + side * 1.96 * spread)} for side in (-1, 1)]
    lines = [
        line_at(0),
        dots.encode(x=x, y=y, tooltip=shown),
        alt.Chart(data([{"d": rounded(mean)}])).mark_rule(color=INK).encode(y=y),
        alt.Chart(data(agreement)).mark_rule(strokeDash=[1, 3], color=INK).encode(y=y),
    ]
    if np.isfinite(pair.difference.mcse):
        ends = [rounded(pair.difference.lower), rounded(pair.difference.upper)]
        band = alt.Chart(data([dict(zip("de", ends, strict=True))]))
        lines.insert(0, band.mark_rect(opacity=0.2, color=INK).encode(y=y, y2="e:Q"))
    head = [" - ".join(short), f"{pair.text}, {len(a)}/{len(pair.one.estimate)}"]
    return titled(left, [" "]), titled(alt.layer(*lines), head)
