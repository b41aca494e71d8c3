"""Bootstrap intervals of a few small sizes, and their coverage at infinitely many resamples.

A bootstrap in a simulation costs resamples times replicates. Coverage with B resamples is linear in
1/B, near enough, so a few small B tell where it goes (Boos & Zhang 2000, JASA 95:486). The line is
fitted within each replicate: its intercept is a weighted sum of hits, whose mean over the
replicates is the extrapolated coverage, with the Monte Carlo error of a mean.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.measure_table import numbers
from mcstudy.analysis.measures import mean_of
from mcstudy.arguments import is_number, short
from mcstudy.arrays import Floats
from mcstudy.columns import COUNTS, VALUES
from mcstudy.errors import ResultsError, StudyError
from mcstudy.measure import LEVEL

SIZES = (39, 79, 119, 199)
"""Resamples: of each, one more times 2.5 % is a whole number, as percentiles of 95 % want it."""
KINDS = ("percentile", "basic", "normal")
_FEWEST = 2  # sizes, as a line needs


def bootstrap_intervals(
    resampled: Sequence[float] | Floats,
    sizes: Sequence[int] = SIZES,
    *,
    kind: str = "percentile",
    estimate: float | None = None,
    level: float = LEVEL,
    name: str = "bootstrap",
) -> dict[str, tuple[float, float]]:
    """Return intervals from the first so many resampled estimates, for ``Estimate(intervals=...)``.

    Parameters
    ----------
    resampled : array of shape (B,)
        The estimates of B bootstrap samples, at least as many as the largest size; NaN is a sample
        without an estimate, and left out.
    sizes : sequence of int, default (39, 79, 119, 199)
        How many of them each interval uses.
    kind : {"percentile", "basic", "normal"}
        Quantiles of the resampled estimates; these reflected at the estimate; or the estimate, less
        its bootstrap bias, -/+ a normal quantile times the bootstrap standard error (Davison &
        Hinkley 1997, chapter 5).
    estimate : float, optional
        Of the sample itself; "basic" and "normal" need it.
    level : float, default 0.95
        Of the intervals.
    name : str, default "bootstrap"
        The intervals are called ``bootstrap_39`` and so on.

    Returns
    -------
    dict of str to (float, float)
        By the name of the interval; NaN where fewer than two estimates are there.

    Raises
    ------
    StudyError
        For sizes, a kind or a level that cannot be used.
    """
    try:
        x = np.asarray(resampled, dtype=float)
        wanted = [operator.index(size) for size in sizes]
        estimate = None if estimate is None else float(estimate)
    except (TypeError, ValueError):
        raise StudyError(
            f"bootstrap_intervals: resampled is {short(resampled)}, sizes {short(sizes)}, estimate "
            f"{short(estimate)}; give an array of numbers, a list of whole numbers, a number"
        ) from None
    if x.ndim != 1 or not wanted or min(wanted) < _FEWEST or max(wanted) > len(x):
        raise StudyError(
            f"bootstrap_intervals: {len(np.atleast_1d(x))} resampled estimates for sizes {wanted}; "
            "give an array with at least as many as the largest size, each of 2 or more"
        )
    if kind not in KINDS:
        raise StudyError(f"bootstrap_intervals: kind is {kind!r}; choose from {', '.join(KINDS)}")
    if kind != "percentile" and estimate is None:
        raise StudyError(f"bootstrap_intervals: kind={kind!r} needs estimate=...")
    if not is_number(level) or not 0 < level < 1:
        raise StudyError(f"bootstrap_intervals: level is {level!r}; give a number between 0 and 1")
    return {f"{name}_{n}": _limits(x[:n], kind, level, estimate or 0.0) for n in wanted}


def _limits(x: Floats, kind: str, level: float, estimate: float) -> tuple[float, float]:
    """Return the limits of one interval; a percentile interval needs no estimate."""
    from scipy.special import ndtri

    x, tail = x[~np.isnan(x)], (1 - level) / 2
    if len(x) < _FEWEST:
        return np.nan, np.nan
    if kind == "normal":
        centre, half = 2 * estimate - x.mean(), -ndtri(tail) * x.std(ddof=1)
        return float(centre - half), float(centre + half)
    # The (B + 1)p-th of B in order, as for B + 1 exchangeable values.
    low, high = np.quantile(x, (tail, 1 - tail), method="weibull").tolist()
    return (low, high) if kind == "percentile" else (2 * estimate - high, 2 * estimate - low)


def intercept_weights(sizes: Iterable[int]) -> Floats:
    """Return the weights by which numbers of some sizes make the intercept of a line in 1/B."""
    x = 1 / np.array(list(sizes), dtype=float)
    away = x - x.mean()
    weights: Floats = 1 / len(x) - x.mean() * away / (away @ away)
    return weights


def sizes_in(names: Iterable[str], name: str) -> dict[str, int]:
    """Return the sizes of the intervals that are called ``name_39`` and so on, rising.

    Raises
    ------
    ResultsError
        If there are fewer than two.
    """
    found = {
        one: int(size)
        for one in names
        if (size := one.removeprefix(f"{name}_")) != one and size.isdigit()
    }
    if len(found) < _FEWEST:
        raise ResultsError(
            f"extrapolated: no two intervals are called {name}_39, {name}_79 or the like; "
            "mcstudy.bootstrap_intervals makes them"
        )
    return dict(sorted(found.items(), key=lambda item: item[1]))


def extrapolated(
    estimates: pd.DataFrame,
    intervals: pd.DataFrame,
    conditions: pd.DataFrame,
    name: str = "bootstrap",
) -> pd.DataFrame:
    """Return coverage and width of bootstrap intervals at infinitely many resamples.

    Parameters
    ----------
    estimates, intervals, conditions : DataFrame
        As `Results` has them.
    name : str, default "bootstrap"
        Of the intervals, as given to `bootstrap_intervals`.

    Returns
    -------
    DataFrame
        As `performance`: the factors, method, estimand, interval (the name), measure (``coverage``,
        ``width``), value, mcse, lower, upper, used and replicates. Replicates count that have the
        intervals of all sizes. A coverage may lie a little above 1: it is the end of a line.

    Raises
    ------
    ResultsError
        If there are not at least two sizes.
    """
    sizes = sizes_in(intervals["interval"].unique(), name)
    weights = dict(zip(sizes, intercept_weights(sizes.values()), strict=True))
    key = ["condition", "replicate", "method", "estimand"]
    some = intervals[intervals["interval"].isin(sizes)]
    some = some.merge(estimates[[*key, "truth"]], on=key)
    hit = ((some["lower"] <= some["truth"]) & (some["truth"] <= some["upper"])).astype(float)
    missing = some[["lower", "upper", "truth"]].isna().any(axis=1)
    weight = some["interval"].map(weights).astype(float)
    some = some.assign(
        coverage=(weight * hit).where(~missing),
        width=(weight * (some["upper"] - some["lower"])),
    )
    cell = ["condition", "method", "estimand"]
    by_replicate = some.groupby([*cell, "replicate"], sort=False)[["coverage", "width"]]
    sums = by_replicate.sum(min_count=len(sizes)).reset_index()
    lines: list[Mapping[str, Any]] = []
    for place, rows in sums.groupby(cell, sort=False):
        for measure in ("coverage", "width"):
            values = rows[measure].to_numpy(dtype=float)
            made = (*numbers(mean_of(values[np.isfinite(values)])), len(rows))
            lines.append(
                dict(zip(cell, place, strict=True))
                | {"interval": name, "measure": measure}
                | dict(zip((*VALUES, *COUNTS), made, strict=True))
            )
    return conditions.merge(pd.DataFrame(lines), on="condition").drop(columns="condition")
