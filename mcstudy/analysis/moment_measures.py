"""Moments to measures: what a study with ``keep="measures"`` says of bias, coverage and the rest.

Values are those of the measures of rows. An MCSE that rests on the jackknife there comes from the
infinitesimal jackknife here (B. Efron, "The jackknife, the bootstrap and other resampling plans",
1982, chapter 6), out of moments up to the fourth; the two differ by a share of order 1/n.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mcstudy.analysis.measure_table import numbers
from mcstudy.analysis.measures import NEED_TRUTH, share_of
from mcstudy.analysis.simulated_truth import widened
from mcstudy.columns import WARNED
from mcstudy.measure import REJECTION, WITHOUT_TRUTH, Measured
from mcstudy.method import Status
from mcstudy.simulation.validation import TEST
from mcstudy.storage.moment_tables import Summary
from mcstudy.storage.moments import FORMED, Moments
from mcstudy.truths import mcse_of
from mcstudy.wald import WALD

NAN = math.nan
NEED_ROWS = (
    *("median_bias", "mad", "bias_eliminated_coverage"),
    *(name for name in WITHOUT_TRUTH if name != "mean"),
)
_ROUNDING = 1e-12  # of moments of numbers between 0 and 1


def summary_lines(
    summaries: Mapping[str, Summary],
    keys: Mapping[str, Iterable[tuple[str, ...]]],
    truths: Mapping[str, float],
    nulls: Mapping[str, float],
    without_truth: Collection[str] = (),
) -> Iterator[tuple[Any, ...]]:
    """Yield the lines of a condition: method, estimand, interval, measure and its numbers.

    `keys` are the estimands and intervals that each method has, whether it gave them or not;
    `without_truth` the estimands that have no true value under any condition.
    """
    for method, kept in sorted(summaries.items()):
        count = kept.replicates
        for word in Status:
            fits = kept.statuses[word]
            if word == Status.SKIPPED and not fits:
                continue
            answer = share_of(fits, count)
            yield method, None, None, f"share_{word}", *numbers(answer), count
        yield method, None, None, WARNED, *numbers(share_of(kept.warned, count)), count
        own = {
            estimand for estimand, interval in keys[method] if interval not in ("", FORMED, TEST)
        }
        for estimand, interval in keys[method]:
            if interval == FORMED and estimand in own:
                continue
            truth, null = truths.get(estimand, NAN), nulls.get(estimand, NAN)
            error, variance, both = (kept.of(q, estimand) for q in ("error", "variance", "both"))
            if interval == TEST:
                kept_of = kept.of("width", estimand, TEST)
                rejected = kept_of.intervals - kept_of.with_null
                found = {REJECTION: share_of(rejected, kept_of.intervals)}
            elif interval:
                found = _of_interval(kept.of("width", estimand, interval), truth, null, count)
            elif estimand in without_truth:
                found = _of_numbers(error, variance, both)
            else:
                found = _of_estimates(error, variance, both, truth)
            if estimand in without_truth:
                found = {name: answer for name, answer in found.items() if name not in NEED_TRUTH}
            interval = WALD if interval == FORMED else interval
            for name, answer in found.items():
                yield method, estimand, interval or None, name, *numbers(answer), count


def _of_estimates(
    error: Moments, variance: Moments, both: Moments, truth: float
) -> dict[str, Measured]:
    e, u = _Central.of_x(error), _Central.of_x(variance)
    centred, square = e, _Central.of_y(error)
    if not math.isfinite(truth):
        centred = square = _Central(0)
    about = _about_truth(centred, square, truth)
    if (mcse := mcse_of(truth)) and centred.n:
        sides = [_about_truth(*_shifted(e, square, s * mcse), truth + s * mcse) for s in (1, -1)]
        above, below = ({name: of.value for name, of in side.items()} for side in sides)
        about = {name: widened(of, above[name], below[name]) for name, of in about.items()}
    return {
        **{name: about[name] for name in ("bias", "relative_bias", "standardized_bias")},
        "empirical_se": _empirical_se(e),
        **{name: about[name] for name in ("mse", "rmse")},
        "model_se": _root_mean(u),
        "relative_error_model_se": _relative_error(both),
    }


def _about_truth(e: _Central, square: _Central, truth: float) -> dict[str, Measured]:
    """Return the measures that rest on the true value, of errors and of their squares."""
    return {
        "bias": _mean(e),
        "relative_bias": _relative_bias(e, truth),
        "standardized_bias": _standardized_bias(e),
        "mse": _mean(square),
        "rmse": _root_mean(square),
    }


def _shifted(e: _Central, square: _Central, step: float) -> tuple[_Central, _Central]:
    """Return errors about a true value that is larger by a step, and the means of their squares."""
    mean_square = square.mean - 2 * step * e.mean + step**2
    return e._replace(mean=e.mean - step), square._replace(mean=mean_square)


def _of_numbers(numbers: Moments, variance: Moments, both: Moments) -> dict[str, Measured]:
    """Return the measures of an estimand that has no true value."""
    x, u = _Central.of_x(numbers), _Central.of_x(variance)
    mean = share_of(round(x.mean * x.n), x.n) if _binary(x) else _mean(x)
    found = {"mean": mean, "empirical_se": _empirical_se(x)}
    if u.n:
        found |= {"model_se": _root_mean(u), "relative_error_model_se": _relative_error(both)}
    return found


def _of_interval(width: Moments, truth: float, null: float, count: int) -> dict[str, Measured]:
    n = width.intervals
    about_truth, all_about_truth = (n, count) if math.isfinite(truth) else (0, 0)
    found = {
        "coverage": share_of(width.covered, about_truth),
        "coverage_of_all": share_of(width.covered, all_about_truth),
        "miss_below": share_of(width.below, about_truth),
        "miss_above": share_of(width.above, about_truth),
        "width": _mean(_Central.of_x(width)),
    }
    if math.isnan(null):
        return found
    return {**found, "rejection": share_of(n - width.with_null, n)}


class _Central(NamedTuple):
    """Mean and central moments of n numbers, with divisor n; NaN is missing, or beyond floats."""

    n: int
    mean: float = NAN
    second: float = NAN
    third: float = NAN
    fourth: float = NAN

    @classmethod
    def of_x(cls, m: Moments) -> _Central:
        """Return the moments of x."""
        return cls._of(m.n, m.x, m.xx, m.xxx, m.xxxx)

    @classmethod
    def of_y(cls, m: Moments) -> _Central:
        """Return the moments of y that are known."""
        return cls._of(m.n, m.y, m.yy)

    @classmethod
    def _of(cls, n: int, mean: float, *sums: float) -> _Central:
        if n == 0:
            return cls(0)
        return cls(n, mean, *(value / n if math.isfinite(value) else NAN for value in sums))


def _mean(x: _Central) -> Measured:
    """Mean; MCSE sd/sqrt(n)."""
    return Measured(x.mean, _mean_error(x.second, x.n), x.n)


def _binary(x: _Central) -> bool:
    """Return whether numbers are all 0 or 1, by their moments: those of a share p."""
    if x.n == 0 or not 0 <= x.mean <= 1:
        return False
    p, variance = x.mean, x.mean * (1 - x.mean)
    expected = (variance, variance * (1 - 2 * p), variance * (1 - 3 * variance))
    found = (x.second, x.third, x.fourth)
    return all(abs(a - b) <= _ROUNDING for a, b in zip(found, expected, strict=True))


def _relative_bias(e: _Central, truth: float) -> Measured:
    if truth == 0:
        return Measured(NAN, NAN, 0)
    error = _mean_error(e.second, e.n) / abs(truth)
    return Measured(e.mean / truth, error, e.n)


def _empirical_se(e: _Central) -> Measured:
    if e.n < 2:
        return Measured(NAN, NAN, e.n)
    influence = _ratio(e.fourth - e.second**2, 4 * e.second)
    return Measured(_sd(e), _spread_error(influence, e.n), e.n)


def _standardized_bias(e: _Central) -> Measured:
    """Bias over the empirical SE; the MCSE by the influence of a replicate on both."""
    if e.n < 2 or not e.second > 0:
        return Measured(NAN, NAN, e.n)
    value = e.mean / _sd(e)
    slope = value / (2 * e.second)
    spread = e.fourth - e.second**2
    influence = 1 - 2 * slope * e.third / math.sqrt(e.second) + slope**2 * spread
    return Measured(value, _spread_error(influence, e.n), e.n)


def _root_mean(square: _Central) -> Measured:
    """Root of a mean of squares; MCSE from their variance."""
    n, mean = square.n, square.mean
    if n == 0:
        return Measured(NAN, NAN, 0)
    return Measured(math.sqrt(mean), _mean_error(_ratio(square.second, 4 * mean), n), n)


def _relative_error(both: Moments) -> Measured:
    """Model SE over empirical SE, less 1.

    The influence of a replicate is (u - mean u)/(2 mean u) less ((e - mean e)^2 - v)/(2 v).
    """
    e, u, used = _Central.of_x(both), _Central.of_y(both), both.n
    if used == 0 or not e.second > 0 or not u.mean > 0:
        return Measured(NAN, NAN, used)
    ratio = math.sqrt(u.mean) / _sd(e)
    if used < 3:
        return Measured(ratio - 1, NAN, used)
    own = _ratio(u.second, 4 * u.mean**2)
    other = _ratio(e.fourth - e.second**2, 4 * e.second**2)
    joint = both.xxy / used / (4 * u.mean * e.second)
    error = ratio * _mean_error(own + other - 2 * joint, used)
    return Measured(ratio - 1, error, used)


def _sd(x: _Central) -> float:
    return math.sqrt(x.second * (x.n / (x.n - 1)))


def _mean_error(variance: float, n: int) -> float:
    """Return the standard error of a mean, from the variance with divisor n."""
    return math.sqrt(max(variance, 0.0) / (n - 1)) if n > 1 else NAN


def _spread_error(variance: float, n: int) -> float:
    """Do the same for what rests on a spread, which two replicates cannot say the error of."""
    return _mean_error(variance, n) if n > 2 else NAN


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else 0.0
