"""What each replicate contributes to a measure's Monte Carlo error, so that errors can be paired.

The contributions c of a measure are its influence function over n, centred, and 0 where a replicate
has no part in it: sqrt(sum c^2) is its MCSE, and sqrt(sum (c - d)^2) that of the difference between
two measures with contributions c and d of the same replicates (Efron & Tibshirani 1993, chapter
21). They need no MCSE of their own to be exact for means, and are the delta method elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mcstudy.analysis.measure_set import measured
from mcstudy.analysis.measures import INTERVAL_MEASURES, NEED_TRUTH, Cell
from mcstudy.analysis.precision import shares
from mcstudy.arrays import Floats
from mcstudy.truths import mcse_of

if TYPE_CHECKING:
    import pandas as pd

Replicates: TypeAlias = NDArray[np.int64]


def contributions(measure: str, cell: Cell) -> Floats:
    """Return what each replicate contributes to one of the measures in `KNOWN`, shape (R,)."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        pieces = of_limits(measure, cell) if measure in OF_LIMITS else _OF_ESTIMATES[measure](cell)
        if isinstance(pieces, tuple):
            return centred(pieces[0]) + centred(pieces[1])
        return centred(pieces)


def test_contributions(cell: Cell) -> Floats:
    """Return what each replicate contributes to the rejection rate of a test, shape (R,)."""
    if cell.p_value is not None:
        return centred(np.where(np.isnan(cell.p_value), np.nan, cell.p_value <= cell.alpha))
    cell = cell.as_given or cell
    lower, upper = np.asarray(cell.lower), np.asarray(cell.upper)
    missing = np.isnan(lower) | np.isnan(upper)
    return centred(np.where(missing, np.nan, (cell.null < lower) | (upper < cell.null)))


def centred(influence: Floats) -> Floats:
    """Return an influence as contributions; NaN has no part."""
    exist = np.isfinite(influence)
    n = int(exist.sum())
    made = np.zeros(len(influence))
    if n > 1:
        deviation = influence[exist] - influence[exist].mean()
        made[exist] = deviation / np.sqrt(n * (n - 1))
    return made


def error_of_difference(
    one: Floats, other: Floats, replicate: Replicates, other_replicate: Replicates
) -> float:
    """Return the standard error of a difference from the contributions to both, by replicate."""
    if np.array_equal(replicate, other_replicate):
        difference = one - other
    else:
        here, there = by_replicate([(one, replicate), (other, other_replicate)])
        difference = here - there
    with np.errstate(over="ignore"):
        return float(np.sqrt((difference**2).sum()))


def in_both(one: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the cells that have a value in both, known by their index; in the same order."""
    one, other = (of[of["value"].notna()] for of in (one, other))
    place = other.index.get_indexer(one.index)
    return one[place >= 0], other.iloc[place[place >= 0]]


def paired_or_independent(
    one: pd.DataFrame,
    other: pd.DataFrame,
    paired: Mapping[Any, float],
    independent: Floats,
    *,
    ratio: bool = False,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the error of each row: the paired one of its index, if there is one; and whether."""
    error = np.array([paired.get(key, np.nan) for key in one.index], dtype=float)
    known = np.isfinite(error)
    if not ratio:
        # Of a share never below that of half a replicate, so that 0 and 1 have an error.
        used = np.minimum(one["used"].to_numpy(dtype=float), other["used"].to_numpy(dtype=float))
        error = np.where(shares(one), np.maximum(error, 1 / (used + 2)), error)
    return np.where(known, error, independent), known


def error_of_truths(
    measure: str, one: Cell, other: Cell, weights: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Return the error that simulated true values add to a difference of two measures.

    One that both have moves both at once; two of their own move independently. The `weights` of
    the two measures are other ones for a ratio.
    """
    errors = mcse_of(one.truth), mcse_of(other.truth)
    if measure not in NEED_TRUTH or not any(errors):
        return 0.0

    def values(cell: Cell, error: float) -> Floats:
        sides = (replace(cell, truth=float(cell.truth) + side * error) for side in (1, -1))
        return np.array([measured(measure, side).value for side in sides])

    moved = [
        weight * values(cell, error)
        for cell, error, weight in zip((one, other), errors, weights, strict=True)
    ]
    if errors[0] == errors[1] and float(one.truth) == float(other.truth):
        moved = [moved[0] - moved[1]]
    return float(np.sqrt(sum((of[0] - of[1]) ** 2 for of in moved))) / 2


def by_replicate(pieces: Sequence[tuple[Floats, Replicates]]) -> Floats:
    """Return contributions in a row each, in columns by replicate; 0 where one lacks it."""
    union = np.unique(np.concatenate([replicate for _, replicate in pieces]))
    made = np.zeros((len(pieces), len(union)))
    for row, (piece, replicate) in zip(made, pieces, strict=True):
        row[np.searchsorted(union, replicate)] = piece
    return made


def error(cell: Cell) -> Floats:
    """Influence on the bias: x - truth."""
    return np.where(np.isfinite(cell.estimate), cell.estimate - cell.truth, np.nan)


def relative_bias(cell: Cell) -> Floats:
    """Influence on the bias over the truth: e / t; over a mean of truths, (e - r t) / mean(t)."""
    of = error(cell)
    if cell.as_given is None:
        return of / float(cell.truth)
    exist = np.isfinite(of)
    if not exist.any():
        return of
    truth: Floats = np.where(exist, cell.as_given.truth, np.nan)
    middle = float(truth[exist].mean())
    return (of - float(of[exist].mean()) / middle * truth) / middle


def deviation(cell: Cell) -> tuple[Floats, float]:
    """Return the deviations x - mean(x), and the variance."""
    of = error(cell)
    exist = of[np.isfinite(of)]
    if len(exist) < 2:
        return np.full(len(of), np.nan), np.nan
    return of - exist.mean(), float(exist.var(ddof=1))


def empirical_se(cell: Cell) -> Floats:
    """Influence on the empirical SE s: (x - mean(x))^2 / (2 s)."""
    away, variance = deviation(cell)
    return away**2 / (2 * float(np.sqrt(variance)))


def root_mean(square: Floats) -> Floats:
    """Influence on the root of a mean m: x / (2 sqrt(m)), by the delta method."""
    exist = square[np.isfinite(square)]
    return square / (2 * np.sqrt(exist.mean())) if len(exist) else square


def standardized_bias(cell: Cell) -> Floats:
    """Influence on b / s: ((x - mean(x)) - b (x - mean(x))^2 / (2 s^2)) / s."""
    away, variance = deviation(cell)
    of = error(cell)
    bias = of[np.isfinite(of)].mean() if np.isfinite(of).any() else np.nan
    return (away - bias * away**2 / (2 * variance)) / float(np.sqrt(variance))


def relative_error(cell: Cell) -> tuple[Floats, Floats]:
    """Influence on sqrt(m) / s, of squared standard errors u of mean m and of estimates.

    With the ratio r it is r u / (2 m) and -r (x - mean(x))^2 / (2 s^2), where there are both.
    """
    both = np.isfinite(cell.estimate) & np.isfinite(cell.std_error)
    away, variance = deviation(replace(cell, estimate=np.where(both, cell.estimate, np.nan)))
    square = np.where(both, cell.std_error**2, np.nan)
    exist = square[np.isfinite(square)]
    model = exist.mean() if len(exist) else np.float64(np.nan)
    ratio = float(np.sqrt(model / np.float64(variance)))
    return ratio * square / (2 * model), -ratio * away**2 / (2 * variance)


def of_limits(measure: str, cell: Cell) -> Floats:
    """Influence on a measure of an interval: whether it holds, or the width; NaN without limits."""
    of = cell.as_given or cell if measure == "width" else cell
    lower, upper = np.asarray(of.lower), np.asarray(of.upper)
    if measure == "width":
        width: Floats = upper - lower
        return width
    if measure == "miss_below":
        true = upper < cell.truth
    elif measure == "miss_above":
        true = lower > cell.truth
    else:
        centre = cell.truth
        if measure == "bias_eliminated_coverage":
            estimates = cell.estimate[np.isfinite(cell.estimate)]
            centre = float(estimates.mean()) if len(estimates) else np.nan
        true = (lower <= centre) & (centre <= upper)
    if measure == "coverage_of_all":
        has_truth = cell.as_given is None or np.isfinite(cell.as_given.truth)
        return np.where(has_truth, true.astype(float), np.nan)
    return np.where(np.isnan(lower) | np.isnan(upper), np.nan, true.astype(float))


OF_LIMITS = frozenset(INTERVAL_MEASURES) - {"rejection"}
_OF_ESTIMATES: Mapping[str, Callable[[Cell], Floats | tuple[Floats, Floats]]] = {
    "bias": error,
    "mean": lambda cell: np.where(np.isfinite(cell.estimate), cell.estimate, np.nan),
    "relative_bias": relative_bias,
    "standardized_bias": standardized_bias,
    "empirical_se": empirical_se,
    "mse": lambda cell: error(cell) ** 2,
    "rmse": lambda cell: root_mean(error(cell) ** 2),
    "model_se": lambda cell: root_mean(cell.std_error**2),
    "relative_error_model_se": relative_error,
}
KNOWN = OF_LIMITS | _OF_ESTIMATES.keys()
