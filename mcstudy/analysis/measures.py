"""Cells to measures: each a pure function that returns its value and its MCSE.

Estimates of variances and the like are skewed, and there the normal-theory MCSE of an empirical SE
or an RMSE is wrong. So these use the jackknife, in closed form; quantiles, for which the jackknife
is inconsistent, have their own; `mcstudy.analysis.normal_theory` has the published formulas.

Replicates are the last axis. A cell may be a stack of K cells, its arrays of shape (K, R): then the
numbers of a measure are arrays of shape (K,). What is missing in one of a stack is in all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcstudy.analysis.mcse import (
    MAD_SCALE,
    finite,
    jackknife,
    mad_mcse,
    mean,
    median,
    median_weights,
    missing,
    quantile_weights,
    root_left_out,
    sd,
    sd_left_out,
    spread_of_order,
    where_kept,
    wilson,
)
from mcstudy.arrays import Floats
from mcstudy.measure import MISSING, Measured

_LARGE = 2**18  # numbers, 2 MB: six such arrays of a million replicates would take 48 MB


class cached_if_small(cached_property[Floats]):  # noqa: N801 - as functools writes it
    """An array that a cell keeps, or makes anew each time if it is large."""

    def __get__(self, cell: Any, owner: Any = None) -> Any:
        """Return the array of a cell."""
        return super().__get__(cell, owner) if cell.estimate.size <= _LARGE else self.func(cell)


@dataclass(frozen=True)
class Cell:
    """What one method said of one estimand under one condition, by replicate; NaN is missing.

    Parameters
    ----------
    truth : float or array of shape (R,)
        The true value; an array where each data set has its own, of which `about_truth` makes a
        cell of errors. Of shape (K, 1) in a stack.
    estimate, std_error : arrays of shape (R,)
        In the estimand's units.
    lower, upper : arrays of shape (R,), optional
        The limits of one interval.
    null : float, optional
        The value that a test rejects when the interval does not contain it; of shape (K, 1) in a
        stack.
    has_truth : bool, default True
        Whether the estimand has a true value, which may be missing here.
    p_value : array of shape (R,), optional
        Of one test, in place of limits.
    alpha : float, optional
        The level of the test.
    as_given : Cell, optional
        Of a cell of errors, the numbers themselves.
    """

    truth: Any  # a float but for a moment, until `about_truth` has made it one
    estimate: Floats
    std_error: Floats
    lower: Floats | None = None
    upper: Floats | None = None
    null: Any = np.nan
    has_truth: bool = True
    p_value: Floats | None = None
    alpha: float = np.nan
    as_given: Cell | None = None

    def about_truth(self) -> Cell:
        """Return a cell of errors, about 0, if each data set has its own true value.

        Numbers of a data set without one are missing. What needs none is of `as_given`.
        """
        if not isinstance(self.truth, np.ndarray) or self.truth.ndim > 1:
            return self
        truth = np.where(np.isfinite(self.truth), self.truth, np.nan)
        lower, upper = (None if of is None else of - truth for of in (self.lower, self.upper))
        errors = replace(self, estimate=self.estimate - truth, lower=lower, upper=upper)
        return replace(errors, truth=0.0, as_given=replace(self, truth=truth))

    def at(self, kept: NDArray[np.bool_]) -> Cell:
        """Return the cell of some of the replicates."""
        arrays = ("estimate", "std_error", "lower", "upper", "p_value")
        some = {name: of[kept] for name in arrays if (of := getattr(self, name)) is not None}
        given = None if self.as_given is None else self.as_given.at(kept)
        truth = self.truth[kept] if isinstance(self.truth, np.ndarray) else self.truth
        return replace(self, **some, truth=truth, as_given=given)

    @cached_property
    def finite_estimate(self) -> Floats:
        """The finite estimates."""
        return finite(self.estimate)

    @property
    def shared_truth(self) -> Any:
        """The true value, or those of a stack, of shape (K,)."""
        return self.truth[..., 0] if np.ndim(self.truth) else self.truth

    @cached_property
    def mean(self) -> Any:
        """Their mean, NaN without any."""
        x = self.finite_estimate
        return mean(x) if x.shape[-1] else missing(x)

    @cached_if_small
    def deviation(self) -> Floats:
        """The finite estimates minus their mean."""
        deviation: Floats = self.finite_estimate - self.mean[..., None]
        return deviation

    @cached_if_small
    def error(self) -> Floats:
        """The finite estimates minus the truth; none where there is no truth."""
        x = self.finite_estimate
        return x - self.truth if np.isfinite(self.truth).all() else x[..., :0]

    @cached_if_small
    def squared_error(self) -> Floats:
        """Squares of the errors."""
        squared: Floats = self.error**2
        return squared

    @cached_property
    def mean_error(self) -> Measured:
        """Mean error; MCSE sd/sqrt(n)."""
        return mean_of(self.error)

    @cached_property
    def spread(self) -> Any:
        """The standard deviation of the finite estimates."""
        return sd(self.deviation)

    @cached_if_small
    def spreads_left_out(self) -> Floats:
        """The same with one of them left out."""
        return sd_left_out(self.deviation)

    @cached_if_small
    def squared_std_error(self) -> Floats:
        """Squares of the finite standard errors."""
        return finite(self.std_error) ** 2

    @cached_if_small
    def model_se_left_out(self) -> Floats:
        """By how much the model SE changes with one standard error left out."""
        return root_left_out(self.squared_std_error)

    @cached_property
    def middle(self) -> Floats:
        """The finite estimates that matter to the median, which `median_weights` places, sorted."""
        x = self.finite_estimate
        begin, weights = median_weights(x.shape[-1])
        end = begin + len(weights)
        return np.sort(np.partition(x, sorted({begin, end - 1}))[..., begin:end])

    @cached_property
    def median(self) -> Any:
        """Their median; there must be one."""
        return _middle_of(self.middle, self.finite_estimate.shape[-1])

    @cached_property
    def with_both(self) -> Cell:
        """The replicates that have an estimate and a standard error, without intervals."""
        both = np.isfinite(self.estimate) & np.isfinite(self.std_error)
        if both.all():
            return self
        return Cell(self.truth, where_kept(self.estimate, both), where_kept(self.std_error, both))

    @cached_property
    def limits(self) -> tuple[Floats, Floats]:
        """Limits of the intervals that exist."""
        assert self.lower is not None
        assert self.upper is not None
        exist = ~(np.isnan(self.lower) | np.isnan(self.upper))
        return where_kept(self.lower, exist), where_kept(self.upper, exist)

    def hits(self, value: Any) -> NDArray[np.bool_]:
        """Return which of the intervals that exist contain `value`; none for a missing value.

        The value of a stack is of shape (K, 1).
        """
        lower, upper = self.limits
        contain: NDArray[np.bool_] = (lower <= value) & (value <= upper)
        return contain if np.isfinite(value).all() else contain[..., :0]


def bias(cell: Cell) -> Measured:
    """Mean error; MCSE sd/sqrt(n) (Morris, White & Crowther 2019, Table 6)."""
    return cell.mean_error


def relative_bias(cell: Cell) -> Measured:
    """Mean error over the truth; MCSE sd/sqrt(n). Does not exist where the truth is 0.

    Where each data set has its own true value, it is the mean error over their mean; jackknife
    MCSE.
    """
    if cell.as_given is not None:
        return _relative_to_mean(cell.error, cell.as_given.truth[np.isfinite(cell.estimate)])
    if np.all(cell.truth == 0):
        return MISSING
    value, mcse, used, _ = cell.mean_error
    return Measured(value / cell.shared_truth, mcse / abs(cell.shared_truth), used)


def standardized_bias(cell: Cell) -> Measured:
    """Mean error over the empirical SE; jackknife MCSE (Collins, Schafer & Kam 2001, as share)."""
    value, _, n, _ = cell.mean_error
    if n < 2:
        return Measured(np.nan, np.nan, n)
    left_out = (np.asarray(value)[..., None] - cell.deviation / (n - 1)) / cell.spreads_left_out
    return _where(cell.spread > 0, Measured(value / cell.spread, jackknife(left_out), n))


def empirical_se(cell: Cell) -> Measured:
    """Spread of the estimates, their standard deviation; jackknife MCSE."""
    return Measured(cell.spread, jackknife(cell.spreads_left_out), cell.finite_estimate.shape[-1])


def mse(cell: Cell) -> Measured:
    """Mean squared error; MCSE sd/sqrt(n) of the squared errors (Morris et al. 2019, Table 6)."""
    return mean_of(cell.squared_error)


def rmse(cell: Cell) -> Measured:
    """Root of the mean squared error; jackknife MCSE."""
    square = cell.squared_error
    return _root_mean(square, root_left_out(square))


def median_bias(cell: Cell) -> Measured:
    """Median error; MCSE from the order statistics (Maritz & Jarrett 1978)."""
    n = cell.error.shape[-1]
    if n == 0:
        return MISSING
    middle, weights = cell.middle - cell.truth, median_weights(n)[1]
    value = _middle_of(middle, n)
    return Measured(value, spread_of_order(middle, weights, value) if n > 1 else np.nan, n)


def mad(cell: Cell) -> Measured:
    """1.4826 x the median distance from the median, the empirical SE's robust sibling.

    MCSE from the influence function, which also knows skewed estimates (Falk 1997), with the
    densities at the median and a distance away counted in windows.
    """
    n = cell.finite_estimate.shape[-1]
    if n == 0:
        return MISSING
    x = cell.finite_estimate - cell.median[..., None]
    half = median(np.abs(x))
    mcse: Any = missing(x)
    if n > 2:
        mcse = np.where(half > 0, mad_mcse(x, half), np.nan)[()]
    return Measured(MAD_SCALE * half, MAD_SCALE * mcse, n)


def model_se(cell: Cell) -> Measured:
    """Root of the mean squared standard error; jackknife MCSE."""
    left_out = cell.model_se_left_out  # first: it holds the squares for itself
    return _root_mean(cell.squared_std_error, left_out)


def relative_error_model_se(cell: Cell) -> Measured:
    """Model SE over empirical SE, minus 1; jackknife MCSE of the two together.

    Both are those of the replicates that have an estimate and a standard error.
    """
    cell = cell.with_both
    used = cell.finite_estimate.shape[-1]
    if not used:
        return MISSING
    model = np.sqrt(mean(cell.squared_std_error))
    left_out = model[..., None] + cell.model_se_left_out
    left_out /= cell.spreads_left_out
    return _where(cell.spread > 0, Measured(model / cell.spread - 1, jackknife(left_out), used))


def coverage(cell: Cell) -> Measured:
    """Share of intervals that contain the truth; binomial MCSE."""
    return share(cell.hits(cell.truth))


def coverage_of_all(cell: Cell) -> Measured:
    """Share of all replicates whose interval exists and contains the truth; binomial MCSE."""
    if not np.isfinite(cell.truth).all():
        return MISSING
    of = cell.estimate.shape[-1]
    if cell.as_given is not None:
        of = int(np.count_nonzero(np.isfinite(cell.as_given.truth)))
    return share_of(np.count_nonzero(cell.hits(cell.truth), axis=-1), of)


def bias_eliminated_coverage(cell: Cell) -> Measured:
    """Share of intervals that contain the mean of the estimates.

    The MCSE is that of the hits and of the mean together: the mean moves with the same estimates,
    and where they are skewed the share moves with the mean.
    """
    hits = cell.hits(cell.mean[..., None])
    measured, step = share(hits), cell.spread * max(hits.shape[-1], 1) ** -0.2
    if measured.used < 2 or not (step > 0).any():
        return measured
    right, left = (
        np.count_nonzero(cell.hits((cell.mean + side)[..., None]), axis=-1)
        for side in (step, -step)
    )
    slope = (right - left) / (2 * step * hits.shape[-1])
    return _where(step > 0, _with_estimated_centre(cell, measured, hits, slope), measured)


def miss_below(cell: Cell) -> Measured:
    """Share of intervals that lie below the truth; binomial MCSE."""
    return share(cell.limits[1] < cell.truth) if np.isfinite(cell.truth).all() else MISSING


def miss_above(cell: Cell) -> Measured:
    """Share of intervals that lie above the truth; binomial MCSE."""
    return share(cell.limits[0] > cell.truth) if np.isfinite(cell.truth).all() else MISSING


def width(cell: Cell) -> Measured:
    """Mean width of the finite intervals; MCSE sd/sqrt(n)."""
    lower, upper = (cell.as_given or cell).limits
    with np.errstate(invalid="ignore"):
        return mean_of(finite(upper - lower))


def rejection(cell: Cell) -> Measured:
    """Share of intervals without the null value, or of p-values of at most alpha; binomial MCSE.

    Power, or size where the null hypothesis is true.
    """
    if cell.p_value is not None:
        return share(finite(cell.p_value) <= cell.alpha)
    cell = cell.as_given or cell
    return share(~cell.hits(cell.null))


def mean_estimate(cell: Cell) -> Measured:
    """Mean of the estimates; MCSE sd/sqrt(n), binomial where all of them are 0 or 1."""
    x = cell.finite_estimate
    if x.shape[-1] and ((x == 0) | (x == 1)).all():
        return share(x == 1)
    return mean_of(x)


def median_estimate(cell: Cell) -> Measured:
    """Median of the estimates; MCSE from the order statistics."""
    return quantile(cell.finite_estimate, 0.5)


def quantile_05(cell: Cell) -> Measured:
    """Quantile of the estimates that 5 % of them lie below; MCSE from the order statistics."""
    return quantile(cell.finite_estimate, 0.05)


def quantile_95(cell: Cell) -> Measured:
    """Quantile of the estimates that 95 % of them lie below; MCSE from the order statistics."""
    return quantile(cell.finite_estimate, 0.95)


MEASURES: Mapping[str, Callable[[Cell], Measured]] = {
    "bias": bias,
    "relative_bias": relative_bias,
    "standardized_bias": standardized_bias,
    "empirical_se": empirical_se,
    "mse": mse,
    "rmse": rmse,
    "median_bias": median_bias,
    "mad": mad,
    "model_se": model_se,
    "relative_error_model_se": relative_error_model_se,
    "mean": mean_estimate,
    "median": median_estimate,
    "quantile_05": quantile_05,
    "quantile_95": quantile_95,
}
NEED_TRUTH = frozenset(
    (
        *("bias", "relative_bias", "standardized_bias", "mse", "rmse", "median_bias"),
        *("coverage", "coverage_of_all", "miss_below", "miss_above"),
    )
)
"""Measures that an estimand without a true value does not have."""
NEED_STD_ERROR = frozenset(("model_se", "relative_error_model_se"))
INTERVAL_MEASURES: Mapping[str, Callable[[Cell], Measured]] = {
    "coverage": coverage,
    "coverage_of_all": coverage_of_all,
    "bias_eliminated_coverage": bias_eliminated_coverage,
    "miss_below": miss_below,
    "miss_above": miss_above,
    "width": width,
    "rejection": rejection,
}


def share(hit: NDArray[np.bool_]) -> Measured:
    """Share of true values; binomial MCSE, Wilson's limits, which keep an error at 0 and 1."""
    return share_of(np.count_nonzero(hit, axis=-1), hit.shape[-1])


def share_of(hits: Any, n: int) -> Measured:
    """Share `hits` of `n`; binomial MCSE, Wilson's limits (Wilson 1927)."""
    if n == 0:
        return MISSING
    p = hits / n
    return Measured(p, np.sqrt(p * (1 - p) / n), n, wilson(p, n))


def mean_of(x: Floats) -> Measured:
    """Mean; MCSE sd/sqrt(n)."""
    n = x.shape[-1]
    if n == 0:
        return MISSING
    value = mean(x)
    return Measured(value, sd(x - value[..., None]) / np.sqrt(n), n)


def quantile(x: Floats, p: float) -> Measured:
    """Quantile, linear between order statistics; MCSE from these (Maritz & Jarrett 1978)."""
    n = x.shape[-1]
    if n == 0:
        return MISSING
    begin, weights = quantile_weights(n, p)
    last = begin + len(weights) - 1
    place = p * (n - 1)
    below, above = math.floor(place), math.ceil(place)
    ordered = np.partition(x, sorted({below, above, begin, last}))
    left, right = ordered[..., below], ordered[..., above]
    value = left + (place - below) * (right - left)
    within = np.sort(ordered[..., begin : last + 1])
    return Measured(value, spread_of_order(within, weights, value) if n > 1 else np.nan, n)


def _relative_to_mean(error: Floats, truth: Floats) -> Measured:
    """Mean error over the mean true value; jackknife MCSE."""
    n = len(error)
    if n < 2 or not truth.sum():
        return Measured(np.nan, np.nan, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = (error.sum() - error) / (truth.sum() - truth)
    return Measured(float(error.sum() / truth.sum()), jackknife(left_out), n)


def _middle_of(middle: Floats, n: int) -> Any:
    """Return the median of `n` values from those in their middle."""
    begin = median_weights(n)[0]
    return (middle[..., (n - 1) // 2 - begin] + middle[..., n // 2 - begin]) / 2


def _root_mean(squares: Floats, left_out: Floats) -> Measured:
    """Root of a mean of squares; jackknife MCSE."""
    n = squares.shape[-1]
    if n == 0:
        return MISSING
    return Measured(np.sqrt(squares.mean(axis=-1)), jackknife(left_out), n)


def _where(exists: Any, made: Measured, other: Measured = MISSING) -> Measured:
    """Return a measure where it exists, what stands in its place elsewhere."""
    if np.all(exists):
        return made
    own, others = ((of.value, of.mcse, *(of.limits or ())) for of in (made, other))
    if other is MISSING:
        others = (np.nan,) * 4
    value, mcse, *limits = (np.where(exists, a, b)[()] for a, b in zip(own, others, strict=False))
    return Measured(value, mcse, made.used, (limits[0], limits[1]) if limits else None)


def _with_estimated_centre(
    cell: Cell, measured: Measured, hits: NDArray[np.bool_], slope: Any
) -> Measured:
    """Return a share whose MCSE also has the error of the mean that the hits were judged by."""
    assert cell.lower is not None
    assert cell.upper is not None
    influence: Floats = np.zeros_like(cell.estimate)

    def add(exist: NDArray[np.bool_], piece: Floats) -> None:
        influence[... if exist.all() else exist] += piece

    has_limits = ~(np.isnan(cell.lower) | np.isnan(cell.upper))
    add(has_limits, (hits - np.asarray(measured.value)[..., None]) / hits.shape[-1])
    add(np.isfinite(cell.estimate), slope[..., None] * cell.deviation / cell.deviation.shape[-1])
    mcse, p = np.sqrt((influence**2).sum(axis=-1)), measured.value
    moved = Measured(p, mcse, measured.used, wilson(p, p * (1 - p) / mcse**2))
    return _where((mcse > 0) & (p > 0) & (p < 1), moved, measured)
