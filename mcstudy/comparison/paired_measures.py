"""Two methods on the same data to measures of what lies between them, each with its paired MCSE.

Each measure is a pure function of a `Pair`, which holds only replicates that both methods have. It
rests on those of them in which both methods say something, so a difference is one of like with
like. A pair can hold several estimands, in a row each: what is measured is an array then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mcstudy.analysis.measure_table import numbers
from mcstudy.arrays import Booleans, Floats
from mcstudy.measure import MISSING, Measured, Z

_ROUNDING = 1e-14  # of a sum of squares, as taking one of them off leaves it
Limits: TypeAlias = tuple[Floats, Floats]


@dataclass(frozen=True)
class Pair:
    """What a method and its reference say of the same data sets, of one estimand or of K.

    Parameters
    ----------
    truth : float, or array of shape (K, 1)
        The true value.
    estimate, reference : arrays of shape (R,) or (K, R)
        The estimates of the two, in the estimand's units; NaN is missing.
    limits, reference_limits : (lower, upper), optional
        Arrays of the same shape: one interval of each.
    null : float, or array of shape (K, 1), optional
        The value that the intervals test.
    """

    truth: float | Floats
    estimate: Floats
    reference: Floats
    limits: Limits | None = None
    reference_limits: Limits | None = None
    null: float | Floats = np.nan

    def of_estimates(self, measure: Callable[[Floats, Floats, Any], Measured]) -> Measured:
        """Return a measure of both estimates and the truth, where both estimates are finite."""
        exist = np.isfinite(self.estimate) & np.isfinite(self.reference)
        return over(exist, measure, self.estimate, self.reference, self.truth)

    def of_limits(
        self,
        measure: Callable[[Limits, Limits, Any], Measured],
        value: Any,
        *,
        missing_too: bool = False,
    ) -> Measured:
        """Return a measure of both intervals and a value, where these are; or of missing ones too.

        Nothing is measured where the value itself is missing.
        """
        assert self.limits is not None
        assert self.reference_limits is not None
        limits = (*self.limits, *self.reference_limits)
        exist = np.isfinite(value) & (missing_too | ~np.isnan(np.stack(limits)).any(axis=0))
        return over(exist, lambda a, b, c, d, of: measure((a, b), (c, d), of), *limits, value)


def over(exist: Booleans, measure: Callable[..., Measured], *arrays: Any) -> Measured:
    """Return a measure of some arrays over the replicates that exist, which estimands may share."""
    if exist.all():
        return measure(*arrays)
    arrays = tuple(np.broadcast_to(array, exist.shape) for array in arrays)
    if exist.ndim == 1:
        return measure(*(array[exist] for array in arrays))
    alike: defaultdict[bytes, list[int]] = defaultdict(list)
    for row, kept in enumerate(exist):
        alike[kept.tobytes()].append(row)
    found: Any = np.empty((4, len(exist)))
    used: Any = np.empty(len(exist), int)
    for rows in alike.values():
        made = measure(*(np.compress(exist[rows[0]], array[rows], axis=1) for array in arrays))
        for number, of in zip(found, numbers(made)[:4], strict=True):
            number[rows] = of
        used[rows] = made.used
    return _of_four(found, used)


def _of_four(found: Any, used: Any) -> Measured:
    """Return value, mcse and the limits as a measure."""
    value, mcse, lower, upper = found
    return Measured(value, mcse, used, (lower, upper))


def interval_pairs(own: Collection[str], others: Collection[str]) -> list[tuple[str, str]]:
    """Return which intervals of two methods are held against each other.

    Those of the same name; of methods that have one each, these, whatever their names.
    """
    if common := sorted(set(own) & set(others)):
        return [(name, name) for name in common]
    return list(zip(own, others, strict=True)) if len(own) == len(others) == 1 else []


def bias_difference(pair: Pair) -> Measured:
    """Bias of the method less that of the reference; MCSE sd/sqrt(n) of the paired differences."""
    return pair.of_estimates(lambda x, y, _: mean_difference(x - y))


def mse_difference(pair: Pair) -> Measured:
    """MSE of the method less that of the reference; MCSE sd/sqrt(n) of the differences."""
    return pair.of_estimates(
        lambda x, y, truth: mean_difference((x - truth) ** 2 - (y - truth) ** 2)
    )


def empirical_se_ratio(pair: Pair) -> Measured:
    """Empirical SE of the method over that of the reference; jackknife MCSE, by pairs."""
    return pair.of_estimates(lambda x, y, _: ratio(variance(x), variance(y), power=0.5))


def relative_precision(pair: Pair, *, mcse: str = "jackknife") -> Measured:
    """Gain in precision over the reference, (E_reference/E_method)^2 - 1, a fraction.

    Parameters
    ----------
    pair : Pair
        The two methods; of one estimand for "normal".
    mcse : {"jackknife", "normal"}
        "normal" is the published 2 (E_r/E_m)^2 sqrt((1 - rho^2)/(n - 1)) with the correlation rho
        of the estimates (White 2010, Stata Journal 10:369; Morris et al. 2019, Table 6). It is too
        small for estimates that are skewed.
    """

    def gain(estimate: Floats, reference: Floats, _: Any) -> Measured:
        made = ratio(variance(reference), variance(estimate))
        if mcse == "normal" and made.used > 2:
            with np.errstate(divide="ignore", invalid="ignore"):  # a constant has no correlation
                rho = np.corrcoef(estimate, reference)[0, 1]
            error = 2 * made.value * np.sqrt(max(1 - rho**2, 0) / (made.used - 1))
            made = with_log_limits(made.value, error, made.used)
        return Measured(made.value - 1, made.mcse, made.used, (made.lower - 1, made.upper - 1))

    return pair.of_estimates(gain)


def relative_efficiency(pair: Pair) -> Measured:
    """MSE of the reference over that of the method; jackknife MCSE, by pairs."""
    return pair.of_estimates(
        lambda x, y, truth: ratio(mean_square(y - truth), mean_square(x - truth))
    )


def coverage_difference(pair: Pair) -> Measured:
    """Coverage of the method less that of the reference; MCSE from the paired differences.

    The limits are Agresti and Min's (2005, Statistics in Medicine 24:729): half a replicate more
    in each of the four cells of the pairs, so that methods that never differ have limits too.
    """
    return pair.of_limits(covers_difference, pair.truth)


def coverage_of_all_difference(pair: Pair) -> Measured:
    """Difference of coverage, of all replicates that both have: a missing interval is a miss."""
    return pair.of_limits(covers_difference, pair.truth, missing_too=True)


def rejection_difference(pair: Pair) -> Measured:
    """Share of intervals without the null, less that of the reference; as `coverage_difference`."""

    def rejects(limits: Limits, null: Floats) -> Booleans:
        return (null < limits[0]) | (limits[1] < null)

    return pair.of_limits(
        lambda one, other, null: share_difference(rejects(one, null), rejects(other, null)),
        pair.null,
    )


def test_difference(p_values: Floats, reference: Floats, alpha: float) -> Measured:
    """Share of p-values of at most alpha, less that of the reference; as `coverage_difference`."""
    exist = ~(np.isnan(p_values) | np.isnan(reference))
    return over(exist, lambda p, q: share_difference(p <= alpha, q <= alpha), p_values, reference)


def width_difference(pair: Pair) -> Measured:
    """Mean width of the method less that of the reference, where both are finite."""
    assert pair.limits is not None
    assert pair.reference_limits is not None
    with np.errstate(invalid="ignore"):
        width, reference = (b - a for a, b in (pair.limits, pair.reference_limits))
        exist = np.isfinite(width) & np.isfinite(reference)
        return over(exist, mean_difference, width - reference)


def mean_estimate_difference(pair: Pair) -> Measured:
    """Mean of the method less that of the reference; MCSE from the paired differences.

    Where all numbers of both are 0 or 1 the limits are those of a difference of shares.
    """

    def measure(x: Floats, y: Floats, _: Any) -> Measured:
        made = mean_difference(x - y)
        if made.used == 0:
            return made
        shares = share_difference(x == 1, y == 1)
        binary = _is_binary(x) & _is_binary(y)
        lower: Any = np.where(binary, shares.lower, made.lower)
        upper: Any = np.where(binary, shares.upper, made.upper)
        return Measured(made.value, made.mcse, made.used, (lower, upper))

    return pair.of_estimates(measure)


def mean_estimate_ratio(pair: Pair) -> Measured:
    """Mean of the method over that of the reference; jackknife MCSE, by pairs.

    It has no meaning, and is missing, unless both means are above 0.
    """

    def measure(x: Floats, y: Floats, _: Any) -> Measured:
        above, below = mean_left_out(x), mean_left_out(y)
        made = ratio(above, below)
        known = (np.asarray(above[0]) > 0) & (np.asarray(below[0]) > 0)
        return _of_four((np.where(known, of, np.nan) for of in numbers(made)[:4]), made.used)

    return pair.of_estimates(measure)


def _is_binary(x: Floats) -> Booleans:
    found: Booleans = ((x == 0) | (x == 1)).all(axis=-1)
    return found


COMPARISONS: Mapping[str, Callable[[Pair], Measured]] = {
    "bias_difference": bias_difference,
    "empirical_se_ratio": empirical_se_ratio,
    "relative_precision": relative_precision,
    "mse_difference": mse_difference,
    "relative_efficiency": relative_efficiency,
}
COMPARISONS_WITHOUT_TRUTH: Mapping[str, Callable[[Pair], Measured]] = {
    "mean_difference": mean_estimate_difference,
    "mean_ratio": mean_estimate_ratio,
    "empirical_se_ratio": empirical_se_ratio,
}
"""In place of these, of estimands that have no true value."""
INTERVAL_COMPARISONS: Mapping[str, Callable[[Pair], Measured]] = {
    "coverage_difference": coverage_difference,
    "coverage_of_all_difference": coverage_of_all_difference,
    "width_difference": width_difference,
}


def mean_difference(differences: Floats) -> Measured:
    """Mean of paired differences; MCSE sd/sqrt(n)."""
    n = differences.shape[-1]
    if n == 0:
        return MISSING
    with np.errstate(over="ignore", invalid="ignore"):
        value = differences.mean(axis=-1)
        error = differences.std(axis=-1, ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return Measured(value, error, n)


def covers_difference(limits: Limits, reference: Limits, truth: Any) -> Measured:
    """By how much more of the limits contain the truth; a missing one does not."""
    one, other = ((lower <= truth) & (truth <= upper) for lower, upper in (limits, reference))
    return share_difference(one, other)


def share_difference(hits: Booleans, reference: Booleans) -> Measured:
    """Difference of paired shares; MCSE of the mean difference, limits of Agresti and Min."""
    value, error, n, _ = mean_difference(hits.astype(float) - reference)
    if n == 0:
        return MISSING
    more = (hits & ~reference).sum(axis=-1) + 0.5
    less = (~hits & reference).sum(axis=-1) + 0.5
    middle = (more - less) / (n + 2)
    half = Z * np.sqrt(more + less - (more - less) ** 2 / (n + 2)) / (n + 2)
    return Measured(
        value, error, n, (np.maximum(middle - half, -1.0), np.minimum(middle + half, 1.0))
    )


def variance(x: Floats) -> tuple[Any, Floats]:
    """Return the variance, and the variances with one replicate left out."""
    n = x.shape[-1]
    if n < 3:
        return np.full(x.shape[:-1], np.nan), np.full(x.shape, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        square = (x - x.mean(axis=-1, keepdims=True)) ** 2
        total = square.sum(axis=-1, keepdims=True)
        left_out = np.maximum(total - n / (n - 1) * square, 0) / (n - 2)
    # What rounding leaves of a spread that one replicate alone makes is none.
    left_out = np.where(left_out * (n - 2) < _ROUNDING * total, 0.0, left_out)
    return total[..., 0] / (n - 1), left_out


def mean_left_out(x: Floats) -> tuple[Any, Floats]:
    """Return the mean, and the means with one replicate left out."""
    n = x.shape[-1]
    if n < 2:
        return np.full(x.shape[:-1], np.nan), np.full(x.shape, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        total = x.sum(axis=-1, keepdims=True)
        return total[..., 0] / n, (total - x) / (n - 1)


def mean_square(errors: Floats) -> tuple[Any, Floats]:
    """Return the mean square, and the mean squares with one replicate left out."""
    with np.errstate(over="ignore"):
        return mean_left_out(errors**2)


def ratio(above: tuple[Any, Floats], below: tuple[Any, Floats], *, power: float = 1.0) -> Measured:
    """Return a ratio (to a power); jackknife MCSE (Efron 1982)."""
    n = above[1].shape[-1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        value = above[0] / below[0]
        if power != 1:  # by Python's power: numpy's is a square root, another in the last digit
            value = np.reshape([of**power for of in np.ravel(value).tolist()], np.shape(value))
        left_out = (above[1] / below[1]) ** power
        centre = left_out.mean(axis=-1, keepdims=True) if n else 0
        error = np.sqrt((n - 1) / max(n, 1) * ((left_out - centre) ** 2).sum(axis=-1))
    known = np.isfinite(value)
    return with_log_limits(np.where(known, value, np.nan), np.where(known, error, np.nan), n)


def with_log_limits(value: Any, error: Any, used: int) -> Measured:
    """Return a ratio with limits that are symmetric on the log scale."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # Of 700 the exponential is near the largest float.
        factor = np.where(value > 0, np.exp(np.minimum(Z * error / value, 700.0)), np.nan)
        return Measured(value, error, used, (value / factor, value * factor))
