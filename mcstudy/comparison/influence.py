"""What each replicate contributes to a measure's Monte Carlo error, so that errors can be paired.

The contributions c of a measure are its influence function over n, centred, and 0 where a replicate
has no part in it: sqrt(sum c^2) is its MCSE, and sqrt(sum (c - d)^2) that of the difference between
two measures with contributions c and d of the same replicates (Efron & Tibshirani 1993, chapter
21). They need no MCSE of their own to be exact for means, and are the delta method elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mcstudy.analysis.load import EstimandRows
from mcstudy.analysis.measures import Cell
from mcstudy.arrays import Floats

Replicates: TypeAlias = NDArray[np.int64]


def cells_of(rows: EstimandRows) -> Iterator[tuple[str | None, Cell]]:
    """Yield the estimates, and each interval by its name, as cells of which measures are made."""
    yield None, Cell(rows.truth, rows.estimate, rows.std_error)
    for interval, limits in rows.intervals.items():
        yield interval, Cell(rows.truth, rows.estimate, rows.std_error, *limits)


def contributions(measure: str, cell: Cell) -> Floats:
    """Return what each replicate contributes to one of the measures in `KNOWN`, shape (R,)."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        pieces = _INFLUENCE[measure](cell)
        if isinstance(pieces, tuple):
            return centred(pieces[0]) + centred(pieces[1])
        return centred(pieces)


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
        union = np.union1d(replicate, other_replicate)
        difference = np.zeros(len(union))
        difference[np.searchsorted(union, replicate)] += one
        difference[np.searchsorted(union, other_replicate)] -= other
    with np.errstate(over="ignore"):
        return float(np.sqrt((difference**2).sum()))


def _error(cell: Cell) -> Floats:
    return np.where(np.isfinite(cell.estimate), cell.estimate - cell.truth, np.nan)


def _deviation(cell: Cell) -> tuple[Floats, float]:
    """Return the deviations from the mean, and the variance."""
    error = _error(cell)
    exist = error[np.isfinite(error)]
    if len(exist) < 2:
        return np.full(len(error), np.nan), np.nan
    return error - exist.mean(), float(exist.var(ddof=1))


def _empirical_se(cell: Cell) -> Floats:
    deviation, variance = _deviation(cell)
    return deviation**2 / (2 * float(np.sqrt(variance)))


def _root(square: Floats) -> Floats:
    """Return the influence on the root of a mean from that on the mean: the delta method."""
    exist = square[np.isfinite(square)]
    return square / (2 * np.sqrt(exist.mean())) if len(exist) else square


def _standardized_bias(cell: Cell) -> Floats:
    deviation, variance = _deviation(cell)
    error = _error(cell)
    bias = error[np.isfinite(error)].mean() if np.isfinite(error).any() else np.nan
    return (deviation - bias * deviation**2 / (2 * variance)) / float(np.sqrt(variance))


def _relative_error(cell: Cell) -> tuple[Floats, Floats]:
    """Return what the standard errors and what the estimates contribute, where there are both."""
    both = np.isfinite(cell.estimate) & np.isfinite(cell.std_error)
    deviation, variance = _deviation(replace(cell, estimate=np.where(both, cell.estimate, np.nan)))
    square = np.where(both, cell.std_error**2, np.nan)
    exist = square[np.isfinite(square)]
    model = exist.mean() if len(exist) else np.float64(np.nan)
    ratio = float(np.sqrt(model / np.float64(variance)))
    return ratio * square / (2 * model), -ratio * deviation**2 / (2 * variance)


def _hits(cell: Cell, centre: float) -> Floats:
    assert cell.lower is not None
    assert cell.upper is not None
    return _where_limits(cell, (cell.lower <= centre) & (centre <= cell.upper))


def _where_limits(cell: Cell, true: NDArray[np.bool_]) -> Floats:
    assert cell.lower is not None
    assert cell.upper is not None
    missing = np.isnan(cell.lower) | np.isnan(cell.upper)
    return np.where(missing, np.nan, true.astype(float))


def _about_mean(cell: Cell) -> Floats:
    estimates = cell.estimate[np.isfinite(cell.estimate)]
    return _hits(cell, float(estimates.mean()) if len(estimates) else np.nan)


_LIMITS_INFLUENCE: Mapping[str, Callable[[Cell], Floats | tuple[Floats, Floats]]] = {
    "coverage": lambda cell: _hits(cell, cell.truth),
    "coverage_of_all": lambda cell: np.nan_to_num(_hits(cell, cell.truth)),
    "bias_eliminated_coverage": _about_mean,
    "miss_below": lambda cell: _where_limits(cell, np.asarray(cell.upper) < cell.truth),
    "miss_above": lambda cell: _where_limits(cell, np.asarray(cell.lower) > cell.truth),
    "width": lambda cell: np.asarray(cell.upper) - np.asarray(cell.lower),
}
_INFLUENCE: Mapping[str, Callable[[Cell], Floats | tuple[Floats, Floats]]] = {
    "bias": _error,
    "relative_bias": lambda cell: _error(cell) / cell.truth,
    "standardized_bias": _standardized_bias,
    "empirical_se": _empirical_se,
    "mse": lambda cell: _error(cell) ** 2,
    "rmse": lambda cell: _root(_error(cell) ** 2),
    "model_se": lambda cell: _root(cell.std_error**2),
    "relative_error_model_se": _relative_error,
    **_LIMITS_INFLUENCE,
}
KNOWN = frozenset(_INFLUENCE)
OF_LIMITS = frozenset(_LIMITS_INFLUENCE)
