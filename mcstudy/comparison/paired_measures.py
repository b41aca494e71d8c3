"""Two methods on the same data to measures of what lies between them, each with its paired MCSE.

Each measure is a pure function of a `Pair`, which holds only replicates that both methods have. It
rests on those of them in which both methods say something, so a difference is one of like with
like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Floats
from mcstudy.measure import Z

Limits: TypeAlias = tuple[Floats, Floats]


class Compared(NamedTuple):
    """What lies between two methods; NaN does not exist.

    Parameters
    ----------
    value, mcse : float
        The measure and its Monte Carlo standard error.
    lower, upper : float
        Its 95 % Monte Carlo limits.
    used : int
        How many pairs of fits it rests on.
    """

    value: float
    mcse: float
    lower: float
    upper: float
    used: int


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


def bias_difference(pair: Pair) -> Compared:
    """Bias of the method less that of the reference; MCSE sd/sqrt(n) of the paired differences."""
    estimate, reference = _finite(pair)
    return _mean(estimate - reference)


def mse_difference(pair: Pair) -> Compared:
    """MSE of the method less that of the reference; MCSE sd/sqrt(n) of the differences."""
    estimate, reference = _finite(pair)
    return _mean((estimate - pair.truth) ** 2 - (reference - pair.truth) ** 2)


def empirical_se_ratio(pair: Pair) -> Compared:
    """Empirical SE of the method over that of the reference; jackknife MCSE, by pairs."""
    estimate, reference = _finite(pair)
    above, below = _variance(estimate), _variance(reference)
    return _ratio(above, below, len(estimate), power=0.5)


def relative_precision(pair: Pair, *, mcse: str = "jackknife") -> Compared:
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
    estimate, reference = _finite(pair)
    made = _ratio(_variance(reference), _variance(estimate), len(estimate))
    if mcse == "normal" and made.used > 2:
        with np.errstate(divide="ignore", invalid="ignore"):  # a constant has no correlation
            rho = np.corrcoef(estimate, reference)[0, 1]
        error = 2 * made.value * np.sqrt(max(1 - rho**2, 0) / (made.used - 1))
        made = _on_log_scale(made.value, error, made.used)
    return made._replace(value=made.value - 1, lower=made.lower - 1, upper=made.upper - 1)


def relative_efficiency(pair: Pair) -> Compared:
    """MSE of the reference over that of the method; jackknife MCSE, by pairs."""
    estimate, reference = _finite(pair)
    above = _mean_square(reference - pair.truth)
    return _ratio(above, _mean_square(estimate - pair.truth), len(estimate))


def coverage_difference(pair: Pair) -> Compared:
    """Coverage of the method less that of the reference; MCSE from the paired differences.

    The limits are Agresti and Min's (2005, Statistics in Medicine 24:729): half a replicate more
    in each of the four cells of the pairs, so that methods that never differ have limits too.
    """
    return _coverage_difference(pair, *_both(pair))


def coverage_of_all_difference(pair: Pair) -> Compared:
    """Difference of coverage, of all replicates that both have: a missing interval is a miss."""
    assert pair.limits is not None
    assert pair.reference_limits is not None
    return _coverage_difference(pair, pair.limits, pair.reference_limits)


def rejection_difference(pair: Pair) -> Compared:
    """Share of intervals without the null, less that of the reference; as `coverage_difference`."""
    (lower, upper), (lower_r, upper_r) = _both(pair)
    rejects = (pair.null < lower) | (upper < pair.null)
    return _share_difference(rejects, (pair.null < lower_r) | (upper_r < pair.null))


def width_difference(pair: Pair) -> Compared:
    """Mean width of the method less that of the reference, where both are finite."""
    (lower, upper), (lower_r, upper_r) = _both(pair)
    with np.errstate(invalid="ignore"):
        widths = upper - lower, upper_r - lower_r
    finite = np.isfinite(widths[0]) & np.isfinite(widths[1])
    return _mean(widths[0][finite] - widths[1][finite])


COMPARISONS: Mapping[str, Callable[[Pair], Compared]] = {
    "bias_difference": bias_difference,
    "empirical_se_ratio": empirical_se_ratio,
    "relative_precision": relative_precision,
    "mse_difference": mse_difference,
    "relative_efficiency": relative_efficiency,
}
INTERVAL_COMPARISONS: Mapping[str, Callable[[Pair], Compared]] = {
    "coverage_difference": coverage_difference,
    "coverage_of_all_difference": coverage_of_all_difference,
    "width_difference": width_difference,
}


def _finite(pair: Pair) -> tuple[Floats, Floats]:
    exist = np.isfinite(pair.estimate) & np.isfinite(pair.reference)
    return pair.estimate[exist], pair.reference[exist]


def _both(pair: Pair) -> tuple[Limits, Limits]:
    """Return the limits of the replicates in which both methods give an interval."""
    assert pair.limits is not None
    assert pair.reference_limits is not None
    exist = ~np.isnan(np.stack([*pair.limits, *pair.reference_limits])).any(axis=0)
    (lower, upper), (lower_r, upper_r) = pair.limits, pair.reference_limits
    return (lower[exist], upper[exist]), (lower_r[exist], upper_r[exist])


def _coverage_difference(pair: Pair, limits: Limits, reference_limits: Limits) -> Compared:
    """Return by how much more limits contain the truth; nothing where there is no truth."""
    if not np.isfinite(pair.truth):
        return _nothing(0)
    covers, reference = (
        (lower <= pair.truth) & (pair.truth <= upper) for lower, upper in (limits, reference_limits)
    )
    return _share_difference(covers, reference)


def _mean(differences: Floats) -> Compared:
    n = len(differences)
    if n == 0:
        return _nothing(0)
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(differences.mean())
        error = float(differences.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return Compared(value, error, value - Z * error, value + Z * error, n)


def _share_difference(hits: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Compared:
    n = len(hits)
    if n == 0:
        return _nothing(0)
    value, error, *_ = _mean(hits.astype(float) - reference)
    more, less = (hits & ~reference).sum() + 0.5, (~hits & reference).sum() + 0.5
    middle = (more - less) / (n + 2)
    half = Z * np.sqrt(more + less - (more - less) ** 2 / (n + 2)) / (n + 2)
    return Compared(value, error, max(middle - half, -1.0), min(middle + half, 1.0), n)


def _variance(x: Floats) -> tuple[float, Floats]:
    """Return the variance, and the variances with one replicate left out."""
    n = len(x)
    if n < 3:
        return np.nan, np.full(n, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        square = (x - x.mean()) ** 2
        total = square.sum()
        left_out = np.maximum(total - n / (n - 1) * square, 0) / (n - 2)
    return total / (n - 1), left_out


def _mean_square(errors: Floats) -> tuple[float, Floats]:
    """Return the mean square, and the mean squares with one replicate left out."""
    n = len(errors)
    if n < 2:
        return np.nan, np.full(n, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        square = errors**2
        total = square.sum()
        return total / n, np.maximum(total - square, 0) / (n - 1)


def _ratio(
    above: tuple[float, Floats], below: tuple[float, Floats], n: int, *, power: float = 1.0
) -> Compared:
    """Return a ratio (to a power) with its jackknife MCSE (Efron 1982)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        value = float(np.float64(above[0]) / below[0]) ** power
        left_out = (above[1] / below[1]) ** power
        error = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())) if n else 0
    if not np.isfinite(value):
        return _nothing(n)
    return _on_log_scale(value, error, n)


def _on_log_scale(value: float, error: float, used: int) -> Compared:
    """Return a ratio with limits that are symmetric on the log scale."""
    factor = np.exp(min(Z * error / value, 700.0)) if value > 0 else np.nan
    return Compared(value, error, value / factor, value * factor, used)


def _nothing(used: int) -> Compared:
    return Compared(np.nan, np.nan, np.nan, np.nan, used)
