"""Calibration of p-values: how far their distribution is from uniform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from scipy import special, stats

from mcstudy.analysis.mcse import finite
from mcstudy.analysis.select import columns_of, factor_columns, levels_by_row, select
from mcstudy.arrays import Floats
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import Request, rounded
from mcstudy.figures.drawing import clauses, colour, data, finished, line_at, tips
from mcstudy.figures.replicates import (
    Replicates,
    by_panel,
    chosen_conditions,
    methods_of,
    named,
    one_grid,
    only,
    replicates_of,
    shown_methods,
)
from mcstudy.measure import REJECTION, null_of
from mcstudy.simulation.validation import TEST
from mcstudy.storage.export import null_hypotheses


def pvalues(request: Request) -> Any:
    """Return how p-values of the true value depart from uniform, with their acceptance band.

    p is the p-value that a method gives, where the null hypothesis is true; of a method that gives
    none, and where it is true nowhere, that of the test that the estimand is the truth: from t with
    the degrees of freedom that its symmetric interval implies, from the normal distribution
    otherwise. The band holds all of the curve of 95 % of calibrated methods (Sailynoja, Burkner &
    Vehtari 2022, Statistics and Computing 32:32).
    """
    true_nulls = _of_true_nulls(request)
    conditions, note = chosen_conditions(request, cells=true_nulls)
    rows = replicates_of(request, conditions, tests=True)
    tested = list(_tested(request, rows, conditions, of_methods=true_nulls is not None))
    if not tested:
        raise ResultsError(
            "pvalues: no method gives a p-value where the null hypothesis is true (the study's "
            "null value says where), or a standard error where there is a true value"
        )
    panels, methods = by_panel(tested), methods_of(tested)
    own = [bool(np.isfinite(one.p_value).any()) for one in rows if true_nulls is not None]
    kinds = {True: "true null hypotheses", False: "the true value"}
    tests = " and ".join(words for kind, words in kinds.items() if kind in (own or [False]))
    charts = [(own[0], _calibration(request, own, methods)) for own in panels.values()]
    lines = [
        only(request, conditions, rows),
        note,
        shown_methods(request, rows, methods, "p-values and standard errors"),
        f"share of p-values of {tests} at or below p, less p: 0 if calibrated; above: p is too "
        "small too often; grey: 95 % acceptance band of the whole curve",
    ]
    said = [
        f"{named(request, one)}: {np.mean(one.p_value <= 0.05):.3f} of {len(one.p_value)} p-values "
        "at or below 0.05"
        for own in list(panels.values())[:_MOST_SAID]
        for one in own
    ]
    chart = one_grid(request, charts, height=190)
    return finished(chart, "Calibration of p-values", lines, clauses(*said))


_whose = attrgetter("condition", "estimand", "method")
_MOST_SAID = 8  # panels, of each method in words
_POINTS = 50  # of the curve: 0.02 apart, and 0.05 is near one
_DRAWS = 4000  # of the band: its level is known to about a third of a percent


def _of_true_nulls(request: Request) -> pd.DataFrame | None:
    """Return the rejection rates of tests whose null hypothesis is true; None without any."""
    frame = select(request.results.performance, request.where)
    tests = frame[(frame["measure"] == REJECTION) & (frame["interval"] == TEST)]
    factors = factor_columns(frame)
    nulls = null_hypotheses(request.record, factors)
    keys = zip(levels_by_row(columns_of(tests), factors), tests["estimand"], strict=True)
    kept = [nulls.get(key, False) for key in keys]
    return tests[kept] if any(kept) else None


def _tested(
    request: Request, rows: Sequence[Replicates], conditions: dict[str, str], *, of_methods: bool
) -> Iterator[Replicates]:
    """Yield the rows that have p-values of a true hypothesis, `of_methods` where these give any."""
    try:
        limits = replicates_of(request, conditions, intervals=True)
    except ResultsError:
        limits = []
    for one in rows:
        if of_methods and np.isfinite(one.p_value).any():
            null = null_of(request.record.get("null"), one.estimand)
            p = finite(one.p_value) if one.truth == null else np.empty(0)
        else:
            own = [other for other in limits if _whose(other) == _whose(one)]
            p = _of_the_truth(one, own, request.level)
        if len(p):
            yield replace(one, p_value=p)


def _of_the_truth(one: Replicates, limits: Sequence[Replicates], level: float) -> Floats:
    """Return two-sided p-values of the true value, where estimate and standard error exist."""
    there = np.isfinite(one.estimate) & (one.std_error > 0)
    if not there.any() or not np.isfinite(one.truth):
        return np.empty(0)
    z = np.abs(one.estimate - one.truth)[there] / one.std_error[there]
    p: Floats = 2 * special.ndtr(-z)
    for own in limits:
        if len(own.estimate) != len(one.estimate):
            continue
        with np.errstate(invalid="ignore"):  # of infinite limits
            half = ((own.upper - own.lower) / 2)[there] / one.std_error[there]
            centre = ((own.upper + own.lower) / 2 - one.estimate)[there] / one.std_error[there]
        wider = half > special.ndtri((1 + level) / 2) + 1e-6
        if wider.any() and np.allclose(centre, 0, atol=1e-6):
            # Of each replicate its own, as Welch's and Satterthwaite's are.
            df = special.stdtridf((1 + level) / 2, np.where(wider, half, np.inf))
            return np.where(wider, 2 * special.stdtr(df, -z), p)
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


def _calibration(request: Request, rows: Sequence[Replicates], methods: Sequence[str]) -> Any:
    """Return the curves of one panel; the band is that of the method with the fewest p-values."""
    at = np.arange(1, _POINTS) / _POINTS
    low, high = _band(min(len(one.p_value) for one in rows))
    band = [
        {"p": round(float(x), 3), "a": rounded(float(a)), "b": rounded(float(b))}
        for x, a, b in zip([0, *at, 1], [0, *low, 0], [0, *high, 0], strict=True)
    ]
    curves = [
        {"p": round(float(x), 3), "v": rounded(float((one.p_value <= x).mean() - x))}
        | {"n": len(one.p_value), "m": request.method_labels[one.method]}
        for one in rows
        for x in (0.0, *at, 1.0)
    ]
    x = alt.X("p:Q", title="p")
    y, lower = (alt.Y(f"{end}:Q", title="Share of p-values ≤ p, less p") for end in "va")
    area = alt.Chart(data(band)).mark_area(color="#BBBBBB", opacity=0.45)
    line = alt.Chart(data(curves)).mark_line(strokeWidth=1.6)
    share = "share at or below p, less p"
    shown = tips(("m", "method"), ("p", "p"), ("v", share), ("n", "p-values"))
    return alt.layer(
        area.encode(x=x, y=lower, y2="b:Q"),
        line_at(0),
        line.encode(x=x, y=y, color=colour(request, methods), tooltip=shown),
    )
