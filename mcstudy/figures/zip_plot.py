"""Zip plot: the intervals of single replicates, those that miss the truth on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from mcstudy.analysis.mcse import wilson
from mcstudy.arrays import Floats
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import clauses, data, finished, tips
from mcstudy.figures.replicates import (
    Panel,
    Replicates,
    budget,
    check_panels,
    chosen_conditions,
    evenly,
    only,
    replicates_of,
    rows_of_panels,
    titled,
)
from mcstudy.figures.style import INK, MISS
from mcstudy.tables.numbers import number_with_error

_MOST_RANGE = 5  # times the range of another panel of the estimand
_MOST_LINES = 250  # intervals of a panel, whose height they fill
_MOST_SAID = 12  # panels in words
_COVERS, _MISSES = "contains the truth", "misses it"


def zip_plot(request: Request) -> Any:
    """Return the zip plot: intervals ranked by |z|, those that miss on top (Morris et al. 2019)."""
    conditions, note = chosen_conditions(request, 1)
    if len(conditions) > 1:
        conditions = dict([next(iter(conditions.items()))])
        note = note.replace(", and the median one", "")
    rows = replicates_of(request, conditions, intervals=True)
    rows = [one for one in rows if _exist(one).any() and np.isfinite(one.truth)]
    check_panels(rows)
    most = budget(len(rows), _MOST_LINES)
    panels, cut = list[Panel](), False
    ranges, own = _ranges(rows)
    for one, ends_at in zip(rows, ranges, strict=True):
        made, beyond = _zip_panel(request, one, most, ends_at)
        panels.append((one, made))
        cut = cut or beyond
    thin = any(_exist(one).sum() > most for one in rows)
    lines = [
        clauses(only(request, conditions, rows), note),
        clauses(
            "orange: intervals that miss the truth (dashed)",
            "band: the coverage with its 95 % Monte Carlo interval",
            "intervals end at the edge of a panel where they go beyond it" if cut else "",
            "each panel has its own scale" if own else "",
            f"{most} of the intervals of each panel are drawn, evenly by rank" if thin else "",
        ),
    ]
    title = f"Intervals ranked by |estimate - truth| / {_spreads(rows)}"
    said = [_covers(request, one) for one in rows[:_MOST_SAID]]
    return finished(rows_of_panels(request, panels), title, lines, clauses(*said))


def _spreads(rows: Sequence[Replicates]) -> str:
    """Return what the distance of an estimate from the truth is divided by."""
    have = [bool((one.std_error > 0).any()) for one in rows]
    if all(have):
        return "SE"
    half = "half the width of the interval where there is no SE"
    return f"SE, or {half}" if any(have) else "half width"


def _exist(one: Replicates) -> Any:
    """Return which intervals exist; one without an end is one, as in the measures."""
    return ~(np.isnan(one.lower) | np.isnan(one.upper))


def _hits(one: Replicates) -> Any:
    """Return which of the intervals that exist contain the truth."""
    return ((one.lower <= one.truth) & (one.truth <= one.upper))[_exist(one)]


def _covers(request: Request, one: Replicates) -> str:
    hits = _hits(one)
    where = f"{request.say(one.estimand)}, {request.method_labels[one.method]}, {one.interval}"
    return f"{where}: {hits.sum()} of {len(hits)} contain the truth"


def _ranked(one: Replicates, most: int, bounds: list[float]) -> tuple[list[dict[str, Any]], bool]:
    """Return a mark for each of the intervals that are drawn, and whether some go beyond."""
    there = np.flatnonzero(_exist(one))
    lower, upper, hit = one.lower[there], one.upper[there], _hits(one)
    with np.errstate(all="ignore"):  # limits may be infinite, or as good as that
        spread = np.where(one.std_error[there] > 0, one.std_error[there], (upper - lower) / 2)
        z = np.nan_to_num(np.abs(one.estimate[there] - one.truth) / spread, nan=np.inf)
    count = len(there)
    ranks = evenly(count, most)
    picked = np.argsort(z, kind="stable")[ranks]
    # A limit far outside, as 1e200, is no place that a renderer knows.
    left, right = (ends.clip(min=bounds[0], max=bounds[1]) for ends in (lower, upper))
    beyond = bool(((left != lower) | (right != upper))[picked].any())
    drawn = [
        {"l": rounded(left[i]), "u": rounded(right[i]), "y": round(100 * (rank + 0.5) / count, 3)}
        | {"h": _COVERS if hit[i] else _MISSES, "r": int(one.replicate[there[i]])}
        | {"t": f"{lower[i]:.6g} to {upper[i]:.6g}"}
        for rank, i in zip(ranks.tolist(), picked.tolist(), strict=True)
    ]
    return drawn, beyond


def _zip_panel(
    request: Request, one: Replicates, most: int, bounds: list[float]
) -> tuple[Any, bool]:
    """Return a panel of intervals, and whether some go beyond its edge."""
    drawn, beyond = _ranked(one, most, bounds)
    hit = _hits(one)
    count = len(hit)
    share = float(hit.mean())
    low, high = wilson(share, count)
    y = alt.Y("y:Q", title="Rank of |z|, %", scale=alt.Scale(domain=[0, 100]))
    scale = alt.Scale(domain=bounds, nice=False)
    x = alt.X("l:Q", title=request.say(one.estimand), scale=scale, axis=alt.Axis(tickCount=4))
    paints = alt.Scale(domain=[_COVERS, _MISSES], range=["#8FB8D6", MISS])
    paint = alt.Color("h:N", scale=paints, legend=None)
    shown = tips(("r", "replicate"), ("t", "interval"), ("h", "which"))
    width = max(0.8, min(3.0, 150 / len(drawn)))
    bars = alt.Chart(data(drawn)).mark_rule(strokeWidth=width, clip=True)
    bars = bars.encode(x=x, x2="u:Q", y=y, color=paint, tooltip=shown)
    words = number_with_error(share, (share * (1 - share) / count) ** 0.5, low, high)
    band = alt.Chart(data([{"a": 100 * low, "b": 100 * high}])).mark_rect(color=INK, opacity=0.18)
    middle = alt.Chart(data([{"y": 100 * share}])).mark_rule(color=INK, strokeWidth=1)
    truth = alt.Chart(data([{"l": rounded(one.truth)}])).mark_rule(strokeDash=[5, 3], color=INK)
    both = alt.layer(band.encode(y="a:Q", y2="b:Q"), bars, middle.encode(y=y), truth.encode(x=x))
    head = [
        request.method_labels[one.method],
        request.say(one.interval),
        f"covers {words} of {count}",
        f"{missing} more are missing" if (missing := len(one.replicate) - count) else "",
    ]
    return titled(both, head), beyond


def _ranges(rows: Sequence[Replicates]) -> tuple[list[list[float]], bool]:
    """Return where the axis of each panel ends, and whether some of an estimand have their own.

    All panels of an estimand have one range, so that widths can be compared, unless one range is
    more than `_MOST_RANGE` times another: the shorter intervals would be dots.
    """
    ranges = []
    for one in rows:
        there = _exist(one)
        ranges.append(_bounds(one.lower[there], one.upper[there], one.truth))
    own = False
    for estimand in {one.estimand for one in rows}:
        places = [i for i, one in enumerate(rows) if one.estimand == estimand]
        sizes = [ranges[i][1] - ranges[i][0] for i in places]
        if max(sizes) > _MOST_RANGE * min(sizes):
            own = True
            continue
        lows, highs = zip(*(ranges[i] for i in places), strict=True)
        for i in places:
            ranges[i] = [min(lows), max(highs)]
    return ranges, own


def _bounds(lower: Floats, upper: Floats, truth: float) -> list[float]:
    """Return a range with the truth and all but the outermost 5 % of the limits on each side.

    It ends three usual widths from the usual limits, however many limits are further away.
    """
    with np.errstate(invalid="ignore"):
        widths = upper - lower
    usual = 3 * float(np.median(widths[np.isfinite(widths)])) if np.isfinite(widths).any() else 1.0
    ends = []
    for limits, side in ((lower, -1), (upper, 1)):
        known = side * limits[np.isfinite(limits)]  # so that further out is more
        middle = float(np.median(known)) if len(known) else side * truth
        far = float(np.quantile(known, 0.95)) if len(known) else middle
        ends.append(side * max(min(far, middle + usual), side * truth))
    low, high = ends
    far = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return [float(f"{low - far:.6g}"), float(f"{high + far:.6g}")]
