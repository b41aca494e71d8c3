"""Two methods on the same data to measures of what lies between them, each with its paired MCSE.

Each measure is a pure function of a `Pair`, which holds only replicates that both methods have. It
rests on those of them in which both methods say something, so a difference is one of like with
like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mcstudy.arrays import Booleans, Floats
from mcstudy.measure import MISSING, Measured, Z

Limits: TypeAlias = tuple[Floats, Floats]


@dataclass(frozen=True)
class Pair:
    """What a method and its reference say of one estimand of the same data sets; NaN is missing.

    Parameters
    ----------
    truth : float
        The true value.
    estimate, reference : arrays of shape (R,)
        The estimates of the two, in the estimand's units.
    limits, reference_limits : (lower, upper), optional
        Arrays of shape (R,): one interval of each.
    null : float, optional
        The value that the intervals test.
    """

    truth: float
    estimate: Floats
    reference: Floats
    limits: Limits | None = None
    reference_limits: Limits | None = None
    null: float = np.nan

    @property
    def estimates_of_both(self) -> tuple[Floats, Floats]:
        """The estimates where both are finite."""
        exist = np.isfinite(self.estimate) & np.isfinite(self.reference)
        return self.estimate[exist], self.reference[exist]

    @property
    def limits_of_both(self) -> tuple[Limits, Limits]:
        """The limits where both methods give an interval."""
        assert self.limits is not None
        assert self.reference_limits is not None
        exist = ~np.isnan(np.stack([*self.limits, *self.reference_limits])).any(axis=0)
        (lower, upper), (lower_r, upper_r) = self.limits, self.reference_limits
        return (lower[exist], upper[exist]), (lower_r[exist], upper_r[exist])


def bias_difference(pair: Pair) -> Measured:
    """Bias of the method less that of the reference; MCSE sd/sqrt(n) of the paired differences."""
    estimate, reference = pair.estimates_of_both
    return mean_difference(estimate - reference)


def mse_difference(pair: Pair) -> Measured:
    """MSE of the method less that of the reference; MCSE sd/sqrt(n) of the differences."""
    estimate, reference = pair.estimates_of_both
    return mean_difference((estimate - pair.truth) ** 2 - (reference - pair.truth) ** 2)


def empirical_se_ratio(pair: Pair) -> Measured:
    """Empirical SE of the method over that of the reference; jackknife MCSE, by pairs."""
    estimate, reference = pair.estimates_of_both
    above, below = variance(estimate), variance(reference)
    return ratio(above, below, len(estimate), power=0.5)


def relative_precision(pair: Pair, *, mcse: str = "jackknife") -> Measured:
    """Gain in precision over the reference, (E_reference/E_method)^2 - 1, a fraction.

    Parameters
    ----------
    pair : Pair
        The two methods.
    mcse : {"jackknife", "normal"}
        "normal" is the published 2 (E_r/E_m)^2 sqrt((1 - rho^2)/(n - 1)) with the correlation rho
        of the estimates (White 2010, Stata Journal 10:369; Morris et al. 2019, Table 6). It is too
        small for estimates that are skewed.
    """
    estimate, reference = pair.estimates_of_both
    made = ratio(variance(reference), variance(estimate), len(estimate))
    if mcse == "normal" and made.used > 2:
        with np.errstate(divide="ignore", invalid="ignore"):  # a constant has no correlation
            rho = np.corrcoef(estimate, reference)[0, 1]
        error = 2 * made.value * np.sqrt(max(1 - rho**2, 0) / (made.used - 1))
        made = with_log_limits(made.value, error, made.used)
    return Measured(made.value - 1, made.mcse, made.used, (made.lower - 1, made.upper - 1))


def relative_efficiency(pair: Pair) -> Measured:
    """MSE of the reference over that of the method; jackknife MCSE, by pairs."""
    estimate, reference = pair.estimates_of_both
    above = mean_square(reference - pair.truth)
    return ratio(above, mean_square(estimate - pair.truth), len(estimate))


def coverage_difference(pair: Pair) -> Measured:
    """Coverage of the method less that of the reference; MCSE from the paired differences.

    The limits are Agresti and Min's (2005, Statistics in Medicine 24:729): half a replicate more
    in each of the four cells of the pairs, so that methods that never differ have limits too.
    """
    return covers_difference(pair, *pair.limits_of_both)


def coverage_of_all_difference(pair: Pair) -> Measured:
    """Difference of coverage, of all replicates that both have: a missing interval is a miss."""
    assert pair.limits is not None
    assert pair.reference_limits is not None
    return covers_difference(pair, pair.limits, pair.reference_limits)


def rejection_difference(pair: Pair) -> Measured:
    """Share of intervals without the null, less that of the reference; as `coverage_difference`."""
    (lower, upper), (lower_r, upper_r) = pair.limits_of_both
    rejects = (pair.null < lower) | (upper < pair.null)
    return share_difference(rejects, (pair.null < lower_r) | (upper_r < pair.null))


def width_difference(pair: Pair) -> Measured:
    """Mean width of the method less that of the reference, where both are finite."""
    (lower, upper), (lower_r, upper_r) = pair.limits_of_both
    with np.errstate(invalid="ignore"):
        widths = upper - lower, upper_r - lower_r
    finite = np.isfinite(widths[0]) & np.isfinite(widths[1])
    return mean_difference(widths[0][finite] - widths[1][finite])


COMPARISONS: Mapping[str, Callable[[Pair], Measured]] = {
    "bias_difference": bias_difference,
    "empirical_se_ratio": empirical_se_ratio,
    "relative_precision": relative_precision,
    "mse_difference": mse_difference,
    "relative_efficiency": relative_efficiency,
}
INTERVAL_COMPARISONS: Mapping[str, Callable[[Pair], Measured]] = {
    "coverage_difference": coverage_difference,
    "coverage_of_all_difference": coverage_of_all_difference,
    "width_difference": width_difference,
}


def mean_difference(differences: Floats) -> Measured:
    """Mean of paired differences; MCSE sd/sqrt(n)."""
    n = len(differences)
    if n == 0:
        return MISSING
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(differences.mean())
        error = float(differences.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return Measured(value, error, n)


def covers_difference(pair: Pair, limits: Limits, reference_limits: Limits) -> Measured:
    """By how much more of the limits contain the truth; missing where there is no truth."""
    if not np.isfinite(pair.truth):
        return MISSING
    covers, reference = (
        (lower <= pair.truth) & (pair.truth <= upper) for lower, upper in (limits, reference_limits)
    )
    return share_difference(covers, reference)


def share_difference(hits: Booleans, reference: Booleans) -> Measured:
    """Difference of paired shares; MCSE of the mean difference, limits of Agresti and Min."""
    value, error, n, _ = mean_difference(hits.astype(float) - reference)
    if n == 0:
        return MISSING
    more, less = (hits & ~reference).sum() + 0.5, (~hits & reference).sum() + 0.5
    middle = (more - less) / (n + 2)
    half = Z * np.sqrt(more + less - (more - less) ** 2 / (n + 2)) / (n + 2)
    return Measured(value, error, n, (max(middle - half, -1.0), min(middle + half, 1.0)))


def variance(x: Floats) -> tuple[float, Floats]:
    """Return the variance, and the variances with one replicate left out."""
    n = len(x)
    if n < 3:
        return np.nan, np.full(n, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        square = (x - x.mean()) ** 2
        total = square.sum()
        left_out = np.maximum(total - n / (n - 1) * square, 0) / (n - 2)
    return total / (n - 1), left_out


def mean_square(errors: Floats) -> tuple[float, Floats]:
    """Return the mean square, and the mean squares with one replicate left out."""
    n = len(errors)
    if n < 2:
        return np.nan, np.full(n, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        square = errors**2
        total = square.sum()
        return total / n, np.maximum(total - square, 0) / (n - 1)


def ratio(
    above: tuple[float, Floats], below: tuple[float, Floats], n: int, *, power: float = 1.0
) -> Measured:
    """Return a ratio (to a power); jackknife MCSE (Efron 1982)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        value = float(np.float64(above[0]) / below[0]) ** power
        left_out = (above[1] / below[1]) ** power
        error = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())) if n else 0
    if not np.isfinite(value):
        return Measured(np.nan, np.nan, n)
    return with_log_limits(value, error, n)


def with_log_limits(value: float, error: float, used: int) -> Measured:
    """Return a ratio with limits that are symmetric on the log scale."""
    # Of 700 the exponential is near the largest float.
    factor = np.exp(min(Z * error / value, 700.0)) if value > 0 else np.nan
    return Measured(value, error, used, (value / factor, value * factor))
