"""Single replicates: zip plot, estimates, standard errors against them, method against method."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from scipy import special, stats

from mcstudy.analysis.mcse import wilson
from mcstudy.analysis.measures import Cell, bias
from mcstudy.arrays import Floats
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import colour, data, finished, folded, shape, stacked
from mcstudy.figures.rows import (
    Replicates,
    budget,
    chosen_conditions,
    evenly,
    labels_in_order,
    replicates_of,
)
from mcstudy.figures.style import FAINT, INK, MISS, method_colours
from mcstudy.tables.numbers import number_with_error

_MOST_PANELS = 36
_PAGE = 800


def zip_plot(request: Request) -> Any:
    """Return the zip plot: intervals ranked by |z|, those that miss on top (Morris et al. 2019)."""
    conditions, note = chosen_conditions(request, 1)
    if len(conditions) > 1:
        conditions = dict([next(iter(conditions.items()))])
        note = note.replace(", and the median one", "")
    rows = replicates_of(request, conditions, intervals=True)
    rows = [
        one for one in rows if np.isfinite(one.lower + one.upper).any() and np.isfinite(one.truth)
    ]
    check_panels(rows)
    most = budget(len(rows), 250)
    panels, thin = [], False
    for one in rows:
        made, cut = _zip_panel(request, one, most)
        panels.append((one, made))
        thin = thin or cut
    (place,) = conditions.values()
    shown = f"{most} of the intervals of each panel are drawn, evenly by rank" if thin else ""
    lines = [
        "; ".join(filter(None, [place, note])),
        "orange: intervals that miss the truth (dashed); band: the coverage with its 95 % Monte "
        "Carlo interval" + (f"; {shown}" if shown else ""),
    ]
    chart = rows_of_panels(request, panels)
    return finished(
        chart, "Intervals ranked by |estimate - truth| / SE", lines, _covers(request, rows)
    )


def _covers(request: Request, rows: Sequence[Replicates]) -> str:
    said = []
    for one in rows[:12]:
        there = np.isfinite(one.lower) & np.isfinite(one.upper)
        hits = int(((one.lower <= one.truth) & (one.truth <= one.upper))[there].sum())
        where = f"{request.say(one.estimand)}, {request.method_labels[one.method]}, {one.interval}"
        said.append(f"{where}: {hits} of {int(there.sum())} contain the truth")
    return "; ".join(said)


def _zip_panel(request: Request, one: Replicates, most: int) -> tuple[Any, bool]:
    """Return a panel of intervals, and whether not all of them are drawn."""
    there = np.flatnonzero(np.isfinite(one.lower) & np.isfinite(one.upper))
    lower, upper = one.lower[there], one.upper[there]
    spread = np.where(one.std_error[there] > 0, one.std_error[there], (upper - lower) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.nan_to_num(np.abs(one.estimate[there] - one.truth) / spread, nan=np.inf)
    order = np.argsort(z, kind="stable")
    hit = (lower <= one.truth) & (one.truth <= upper)
    picked = evenly(len(order), most)
    count = len(order)
    drawn = [
        {"l": rounded(lower[i]), "u": rounded(upper[i]), "y": round(100 * (rank + 0.5) / count, 3)}
        | {"h": "contains the truth" if hit[i] else "misses it", "r": int(one.replicate[there[i]])}
        for rank, i in zip(picked.tolist(), order[picked].tolist(), strict=True)
    ]
    share = float(hit.mean())
    low, high = wilson(share, count)
    y = alt.Y("y:Q", title="Rank of |z|, %", scale=alt.Scale(domain=[0, 100]))
    scale = alt.Scale(domain=_bounds(lower, upper, one.truth), nice=False)
    x = alt.X("l:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4))
    paint = alt.Color(
        "h:N",
        scale=alt.Scale(domain=["contains the truth", "misses it"], range=["#8FB8D6", MISS]),
        legend=None,
    )
    said = [("r", "replicate"), ("l", "from"), ("u", "to"), ("h", "interval")]
    width = max(0.8, min(3.0, 150 / len(drawn)))
    bars = alt.Chart(data(drawn)).mark_rule(strokeWidth=width, clip=True)
    bars = bars.encode(x=x, x2="u:Q", y=y, color=paint, tooltip=tips(said))
    words = f"{number_with_error(share, (share * (1 - share) / count) ** 0.5, low, high)}"
    band = alt.Chart(data([{"a": 100 * low, "b": 100 * high}])).mark_rect(color=INK, opacity=0.18)
    middle = alt.Chart(data([{"y": 100 * share}])).mark_rule(color=INK, strokeWidth=1)
    truth = alt.Chart(data([{"l": rounded(one.truth)}])).mark_rule(strokeDash=[5, 3], color=INK)
    both = alt.layer(band.encode(y="a:Q", y2="b:Q"), bars, middle.encode(y=y), truth.encode(x=x))
    head = [
        request.method_labels[one.method],
        request.say(one.interval),
        f"covers {words} of {count}",
    ]
    return titled(both, head), len(picked) < count


def _bounds(lower: Floats, upper: Floats, truth: float) -> list[float]:
    """Return a range with the truth and all but the outermost 5 % of the limits on each side."""
    low = min(float(np.quantile(lower, 0.05)), truth)
    high = max(float(np.quantile(upper, 0.95)), truth)
    far = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return [float(f"{low - far:.6g}"), float(f"{high + far:.6g}")]


def tips(names: Sequence[tuple[str, str]]) -> list[alt.Tooltip]:
    """Return the lines of a tooltip: fields and what they are called."""
    # Vega-Lite writes a title into an expression and escapes its quotes, but no backslash.
    return [alt.Tooltip(f"{name}:N", title=title.replace("\\", "\\\\")) for name, title in names]


def titled(chart: Any, lines: Sequence[str]) -> Any:
    """Return a panel under a small title of several lines, each cut to its width."""
    texts = [line if len(line) <= 62 else line[:61] + "…" for line in lines if line]
    head, *rest = texts or [""]
    title = alt.TitleParams(head, subtitle=rest, fontSize=11, subtitleFontSize=10, offset=5)
    return chart.properties(title=title)


def check_panels(rows: Sequence[Replicates]) -> None:
    """Raise ResultsError where there is nothing to draw, or too much."""
    if not rows:
        raise ResultsError("there is nothing to draw here: no estimate with a true value")
    if len(rows) > _MOST_PANELS:
        raise ResultsError(
            f"{len(rows)} panels are too many for a figure ({_MOST_PANELS}); choose with where, "
            "estimand, method or interval"
        )


def rows_of_panels(
    request: Request, panels: Sequence[tuple[Replicates, Any]], *, height: int = 170
) -> Any:
    """Return panels, those of an estimand and condition in a row under their names."""
    blocks: dict[str, list[Any]] = {}
    several = len({one.condition for one, _ in panels}) > 1
    estimands = len({one.estimand for one, _ in panels}) > 1
    for one, panel in panels:
        names = [request.say(one.estimand)] if estimands else []
        names += [one.condition] if several else []
        blocks.setdefault(", ".join(names), []).append(panel)
    most = max(map(len, blocks.values()))
    width = round(max(105, min(320, _PAGE / min(most, 6) - 45)))
    rows = [
        alt.concat(*(p.properties(width=width, height=height) for p in own), columns=6, spacing=18)
        for own in blocks.values()
    ]
    return stacked(rows, list(blocks))


def _by_panel(rows: Sequence[Replicates]) -> dict[tuple[str, str], list[Replicates]]:
    """Return the rows of each condition and estimand, all methods together."""
    panels: dict[tuple[str, str], list[Replicates]] = {}
    for one in rows:
        panels.setdefault((one.condition, one.estimand), []).append(one)
    return panels


def estimates(request: Request) -> Any:
    """Return the estimates of each method as a swarm, their mean and the truth."""
    conditions, note = chosen_conditions(request)
    panels = _by_panel(replicates_of(request, conditions))
    methods = labels_in_order([one.method for own in panels.values() for one in own])
    most = budget(len(panels) * len(methods), 300)
    charts, thin = [], False
    for own in panels.values():
        known = [one for one in own if np.isfinite(one.estimate).any()]
        if known:
            charts.append((own[0], _swarms(request, known, methods, most)))
            thin = thin or any(np.isfinite(one.estimate).sum() > most for one in known)
    shown = f"{most} estimates of each swarm are drawn, evenly by rank" if thin else ""
    lines = [
        only(conditions),
        note,
        "black: mean with its 95 % Monte Carlo interval; dashed: the truth"
        + (f"; {shown}" if shown else ""),
    ]
    chart = _one_grid(request, charts, height=max(60, 58 * len(methods)))
    said = [
        f"{request.say(e)}{f', {c}' if c else ''}, {request.method_labels[one.method]}: mean "
        f"{_mean_of(one)}, truth {one.truth:.4g}"
        for (c, e), own in list(panels.items())[:6]
        for one in own
    ]
    return finished(chart, "Estimates and the truth", lines, "; ".join(said))


def only(conditions: dict[str, str]) -> str:
    """Return the words of the only condition; empty where there are several."""
    return next(iter(conditions.values())) if len(conditions) == 1 else ""


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
        axis=alt.Axis(values=list(range(len(methods))), labelExpr=names, grid=False, ticks=False),
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


def _one_grid(request: Request, panels: Sequence[tuple[Replicates, Any]], *, height: int) -> Any:
    """Return panels side by side: conditions across, an estimand in each row."""
    estimands = labels_in_order([one.estimand for one, _ in panels])
    across = len({one.condition for one, _ in panels})
    width = round(max(150, min(430, _PAGE / across - 60)))
    rows = []
    for estimand in estimands:
        row = []
        for one, panel in panels:
            if one.estimand == estimand:
                sized = panel.properties(width=width, height=height)
                row.append(
                    titled(sized, folded(one.condition, max(34, width // 7))[:3])
                    if across > 1
                    else sized
                )
        rows.append(alt.hconcat(*row, spacing=24))
    return stacked(rows, [request.say(name) for name in estimands])


def se_against_estimate(request: Request) -> Any:
    """Return standard errors against estimates; below the V a normal interval misses the truth."""
    conditions, note = chosen_conditions(request)
    rows = replicates_of(request, conditions)
    rows = [r for r in rows if (np.isfinite(r.std_error) & np.isfinite(r.estimate)).any()]
    if not rows:
        raise ResultsError("no method gives a standard error here; let one return a std_error")
    panels = _by_panel(rows)
    methods = labels_in_order([one.method for one in rows])
    most = budget(len(rows), 300)
    thin = any(len(one.estimate) > most for one in rows)
    charts = [(own[0], _se_panel(request, own, methods, most)) for own in panels.values()]
    shown = f"{most} replicates of each method are drawn, evenly by their number" if thin else ""
    lines = [
        only(conditions),
        note,
        f"dashed: the truth; below the V a normal {request.level * 100:g} % interval misses it; "
        "lines across: empirical SE" + (f"; {shown}" if shown else ""),
    ]
    chart = _one_grid(request, charts, height=200)
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


def methods_figure(request: Request) -> Any:
    """Return each method against the reference on the same data, and their differences.

    Left: estimate against estimate. Right: difference against mean (Bland & Altman 1986, Lancet
    1:307), with the mean difference, its Monte Carlo interval, and mean +- 1.96 SD.
    """
    conditions, note = chosen_conditions(request, 2)
    panels = _by_panel(replicates_of(request, conditions))
    known = labels_in_order([one.method for own in panels.values() for one in own])
    if len(known) < 2:
        raise ResultsError("methods: needs two methods on the same data; there is one here")
    reference = request.record.get("reference")
    first = reference if reference in known else known[0]
    others = [name for name in known if name != first]
    most = budget(2 * len(panels) * len(others), 250)
    charts, said, thin = [], [], False
    for own in panels.values():
        by = {one.method: one for one in own}
        for name in others:
            if name in by and first in by:
                pair = _pair(request, by[name], by[first], most)
                if pair is not None:
                    charts += [(own[0], panel) for panel in pair[:2]]
                    said.append(pair[2])
                    thin = thin or pair[3]
    if not charts:
        raise ResultsError("methods: no replicate has an estimate of both methods")
    check_panels([one for one, _ in charts])
    shown = f"{most} replicates of each pair are drawn, evenly by their number" if thin else ""
    lines = [
        "; ".join(filter(None, [only(conditions), note])),
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
        strokeDash=[5, 3], color=INK
    )
    free = alt.Scale(zero=False)
    x, y = alt.X("b:Q", title=short[1], scale=free), alt.Y("a:Q", title=short[0], scale=free)
    left = alt.layer(equal.encode(x=x, y=y), dots.encode(x=x, y=y, tooltip=shown))
    x = alt.X("c:Q", title="mean of both", scale=free)
    y = alt.Y("d:Q", title="difference", scale=free)
    lines = [
        alt.Chart(data([{}])).mark_rule(strokeDash=[5, 3], color=INK).encode(y=alt.YDatum(0)),
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


def pvalues(request: Request) -> Any:
    """Return how p-values of the true value depart from uniform, with their acceptance band.

    p is that of the test that the estimand is the truth: from t with the degrees of freedom that
    the method's symmetric interval implies, from the normal distribution otherwise. Where the truth
    is the study's null, it is the p-value that the method gives. The band holds all of the curve of
    95 % of calibrated methods (Sailynoja, Burkner & Vehtari 2022, Statistics and Computing 32:32).
    """
    conditions, note = chosen_conditions(request)
    rows = replicates_of(request, conditions)
    try:
        limits = replicates_of(request, conditions, intervals=True)
    except ResultsError:
        limits = []
    panels: dict[tuple[str, str], list[tuple[Replicates, Floats]]] = {}
    for one in rows:
        own = [r for r in limits if (r.condition, r.estimand, r.method) == _whose(one)]
        p = _p_values(one, own, request.level)
        if len(p):
            panels.setdefault((one.condition, one.estimand), []).append((one, p))
    if not panels:
        raise ResultsError(
            "pvalues: no estimate has a standard error and a true value here; let a method return "
            "a std_error"
        )
    methods = labels_in_order([one.method for own in panels.values() for one, _ in own])
    charts = [(own[0][0], _calibration(request, own, methods)) for own in panels.values()]
    lines = [
        only(conditions),
        note,
        "share of p-values of the true value at or below p, less p: 0 if calibrated; above: p is "
        "too small too often; grey: 95 % acceptance band of the whole curve",
    ]
    chart = _one_grid(request, charts, height=190)
    said = [
        f"{request.say(e)}, {request.method_labels[one.method]}: {np.mean(p <= 0.05):.3f} of "
        f"{len(p)} p-values at or below 0.05"
        for (_, e), own in list(panels.items())[:8]
        for one, p in own
    ]
    return finished(chart, "Calibration of p-values", lines, "; ".join(said))


def _whose(one: Replicates) -> tuple[str, str, str]:
    return one.condition, one.estimand, one.method


_POINTS = 50  # of the curve: 0.02 apart, and 0.05 is near one
_DRAWS = 4000  # of the band: its level is known to about a third of a percent


def _p_values(one: Replicates, limits: Sequence[Replicates], level: float) -> Floats:
    """Return two-sided p-values of the truth where estimate and standard error exist."""
    there = np.isfinite(one.estimate) & (one.std_error > 0)
    if not there.any() or not np.isfinite(one.truth):
        return np.empty(0)
    z = np.abs(one.estimate - one.truth)[there] / one.std_error[there]
    p: Floats = 2 * special.ndtr(-z)
    for own in limits:
        if len(own.estimate) != len(one.estimate):
            continue
        half = ((own.upper - own.lower) / 2)[there] / one.std_error[there]
        centre = ((own.upper + own.lower) / 2 - one.estimate)[there] / one.std_error[there]
        quantile = float(half[0])
        same = np.allclose(half, quantile, rtol=1e-6) and np.allclose(centre, 0, atol=1e-6)
        if same and quantile > special.ndtri((1 + level) / 2) + 1e-6:
            df = special.stdtridf((1 + level) / 2, quantile)
            return np.asarray(2 * special.stdtr(df, -z))
    return p


def _band(count: int) -> Floats:
    """Return half widths (below, above) of the band at each point, shape (2, points)."""
    rng = np.random.default_rng(0)  # the same band each time
    at = np.arange(1, _POINTS) / _POINTS
    counts = rng.multinomial(count, np.full(_POINTS, 1 / _POINTS), size=_DRAWS).cumsum(axis=1)
    counts = counts[:, :-1]
    low, high = stats.binom.cdf(counts, count, at), stats.binom.sf(counts - 1, count, at)
    least = 2 * np.minimum(low, high).min(axis=1)
    alpha = float(np.quantile(least, 0.05))
    edges = [stats.binom.ppf(q, count, at) / count - at for q in (alpha / 2, 1 - alpha / 2)]
    return np.array(edges)


def _calibration(
    request: Request, rows: Sequence[tuple[Replicates, Floats]], methods: Sequence[str]
) -> Any:
    at = np.arange(1, _POINTS) / _POINTS
    fewest = min(len(p) for _, p in rows)
    low, high = _band(fewest)
    band = [
        {"p": round(float(x), 3), "a": rounded(float(a)), "b": rounded(float(b))}
        for x, a, b in zip([0, *at, 1], [0, *low, 0], [0, *high, 0], strict=True)
    ]
    curves = [
        {"p": round(float(x), 3), "v": rounded(float((p <= x).mean() - x)), "n": len(p)}
        | {"m": request.method_labels[one.method]}
        for one, p in rows
        for x in (0.0, *at, 1.0)
    ]
    x = alt.X("p:Q", title="p")
    title = "Share of p-values ≤ p, less p"
    area = alt.Chart(data(band)).mark_area(color="#BBBBBB", opacity=0.45)
    shown = tips(
        [("m", "method"), ("p", "p"), ("v", "share at or below p, less p"), ("n", "p-values")]
    )
    line = alt.Chart(data(curves)).mark_line(strokeWidth=1.6)
    zero = alt.Chart(data([{}])).mark_rule(strokeDash=[5, 3], color=FAINT).encode(y=alt.YDatum(0))
    return alt.layer(
        area.encode(x=x, y=alt.Y("a:Q", title=title), y2="b:Q"),
        zero,
        line.encode(
            x=x, y=alt.Y("v:Q", title=title), color=colour(request, methods), tooltip=shown
        ),
    )
