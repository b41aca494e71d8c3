"""Sums to measures: what a study with ``keep="measures"`` says of bias, coverage and the rest.

Values are those of the measures of rows. An MCSE that rests on the jackknife there comes from the
infinitesimal jackknife here (B. Efron, "The jackknife, the bootstrap and other resampling plans",
1982, chapter 6), out of moments up to the fourth; the two differ by a share of order 1/n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcstudy.analysis.measures import share_of
from mcstudy.analysis.performance import numbers
from mcstudy.columns import WARNED
from mcstudy.measure import Measured
from mcstudy.method import Status
from mcstudy.storage.exact_sums import Dyadic
from mcstudy.storage.sums import FORMED, Sums, Tally
from mcstudy.wald import WALD

NAN = math.nan
NEED_ROWS = ("median_bias", "mad", "bias_eliminated_coverage")


def tally_lines(
    tallies: Mapping[str, Tally], truths: Mapping[str, float], nulls: Mapping[str, float]
) -> Iterator[tuple[Any, ...]]:
    """Yield the lines of a condition: method, estimand, interval, measure and its numbers."""
    for method, kept in sorted(tallies.items()):
        count = kept.replicates
        for word in Status:
            fits = kept.statuses.get(word, 0)
            if word == Status.SKIPPED and not fits:
                continue
            answer = share_of(fits, count)
            yield method, None, None, f"share_{word}", *numbers(answer), count
        yield method, None, None, WARNED, *numbers(share_of(kept.warned, count)), count
        for (estimand, interval), sums in sorted(kept.sums.items()):
            if interval == FORMED:
                if any(name == estimand and own not in ("", FORMED) for name, own in kept.sums):
                    continue
                interval = WALD
            truth, null = truths.get(estimand, NAN), nulls.get(estimand, NAN)
            found = _of_interval(sums, truth, null) if interval else _of_estimates(sums, truth)
            for name, answer in found.items():
                yield method, estimand, interval or None, name, *numbers(answer), count


def _of_estimates(sums: Sums, truth: float) -> dict[str, Measured]:
    e, u = _Moments.of(sums, "e"), _Moments.of(sums, "u")
    centred = e if math.isfinite(truth) else _Moments(0)
    return {
        "bias": centred.measured_mean(),
        "relative_bias": _relative_bias(centred, truth),
        "standardized_bias": _standardized_bias(centred),
        "empirical_se": _empirical_se(e),
        "mse": _mse(centred),
        "rmse": _root(centred.n, centred.square, centred.spread_of_squares),
        "model_se": _root(u.n, u.mean, u.second),
        "relative_error_model_se": _relative_error(_of_both(sums)),
    }


def _of_interval(sums: Sums, truth: float, null: float) -> dict[str, Measured]:
    n = sums["n"]
    about_truth = n if math.isfinite(truth) else 0
    width = _Moments.of({**sums, "n": sums["width_n"]}, "w")
    found = {
        "coverage": share_of(sums["covered"], about_truth),
        "miss_below": share_of(sums["below"], about_truth),
        "miss_above": share_of(sums["above"], about_truth),
        "width": width.measured_mean(),
    }
    return found if math.isnan(null) else {**found, "rejection": share_of(n - sums["with_null"], n)}


@dataclass(frozen=True)
class _Moments:
    """Moments of n numbers x, each the nearest float to its exact value; NaN where there is none.

    Parameters
    ----------
    n : int
        How many.
    mean, square : float
        Mean of x and of its square.
    second, third, fourth : float
        Central moments, with divisor n.
    spread_of_squares : float
        Variance of the squares, with divisor n.
    """

    n: int
    mean: float = NAN
    square: float = NAN
    second: float = NAN
    third: float = NAN
    fourth: float = NAN
    spread_of_squares: float = NAN

    @classmethod
    def of(cls, sums: Sums, x: str) -> _Moments:
        """Return the moments of `x`, from the sums of its powers that there are."""
        n = sums["u_n" if x == "u" else "n"]
        if n == 0:
            return cls(0)
        s1, s2, s3, s4 = (Dyadic(sums.get(x * power, 0)) for power in (1, 2, 3, 4))
        m2 = s2.by(n).plus(s1.by(s1), -1)
        m3 = s3.by(n * n).plus(s1.by(s2).by(n), -3).plus(s1.by(s1).by(s1), 2)
        squared = s1.by(s1)
        m4 = s4.by(n**3).plus(s1.by(s3).by(n * n), -4).plus(squared.by(s2).by(n), 6)
        m4 = m4.plus(squared.by(squared), -3)
        return cls(
            n,
            s1.over(n),
            s2.over(n),
            _finite(m2.over(n * n)),
            _finite(m3.over(n**3)),
            _finite(m4.over(n**4)),
            _finite(s4.by(n).plus(s2.by(s2), -1).over(n * n)),
        )

    def measured_mean(self) -> Measured:
        """Return the mean; MCSE sd/sqrt(n)."""
        return Measured(self.mean, _mean_error(self.second, self.n), self.n)


def _relative_bias(e: _Moments, truth: float) -> Measured:
    if truth == 0:
        return Measured(NAN, NAN, 0)
    error = _mean_error(e.second, e.n) / abs(truth)
    return Measured(e.mean / truth, error, e.n)


def _empirical_se(e: _Moments) -> Measured:
    if e.n < 2:
        return Measured(NAN, NAN, e.n)
    influence = _ratio(e.fourth - e.second**2, 4 * e.second)
    return Measured(_sd(e), _spread_error(influence, e.n), e.n)


def _standardized_bias(e: _Moments) -> Measured:
    """Bias over the empirical SE; the MCSE by the influence of a replicate on both."""
    if e.n < 2 or not e.second > 0:
        return Measured(NAN, NAN, e.n)
    value = e.mean / _sd(e)
    slope = value / (2 * e.second)
    spread = e.fourth - e.second**2
    influence = 1 - 2 * slope * e.third / math.sqrt(e.second) + slope**2 * spread
    return Measured(value, _spread_error(influence, e.n), e.n)


def _mse(e: _Moments) -> Measured:
    return Measured(e.square, _mean_error(e.spread_of_squares, e.n), e.n)


def _root(n: int, mean: float, variance: float) -> Measured:
    """Root of a mean of squares, whose variance is given."""
    if n == 0:
        return Measured(NAN, NAN, 0)
    return Measured(math.sqrt(mean), _mean_error(_ratio(variance, 4 * mean), n), n)


def _of_both(sums: Sums) -> Sums:
    """Return the sums over the replicates that have an estimate and a standard error."""
    count = sums["both_n"]
    both = {name.removeprefix("both_"): value for name, value in sums.items() if "both" in name}
    return {**sums, **both, "n": count, "u_n": count}


def _relative_error(sums: Sums) -> Measured:
    """Model SE over empirical SE, less 1.

    The influence of a replicate is (u - mean u)/(2 mean u) less ((e - mean e)^2 - v)/(2 v).
    """
    e, u, used = _Moments.of(sums, "e"), _Moments.of(sums, "u"), sums["both_n"]
    if used == 0 or not e.second > 0 or not u.mean > 0:
        return Measured(NAN, NAN, used)
    ratio = math.sqrt(u.mean) / _sd(e)
    own = _ratio(u.second, 4 * u.mean**2) / (u.n - 1) if u.n > 1 else NAN
    other = _ratio(e.fourth - e.second**2, 4 * e.second**2) / (e.n - 1)
    joint = _joint(sums) / (4 * u.mean * e.second) / (e.n - 1)
    error = ratio * math.sqrt(max(own + other - 2 * joint, 0)) if e.n > 2 else NAN
    return Measured(ratio - 1, error, used)


def _joint(sums: Sums) -> float:
    """Return the mean of (u - mean u)((e - mean e)^2 - v)."""
    e, ee, u, ue, uee = (Dyadic(sums[name]) for name in ("e", "ee", "u", "ue", "uee"))
    n = sums["n"]
    rest = e.by(e).by(2).plus(ee.by(n), -1)
    of_u = uee.by(n * n).plus(e.by(ue), -2 * n).plus(rest.by(u))
    return of_u.over(n**3)


def _sd(x: _Moments) -> float:
    return math.sqrt(x.second * (x.n / (x.n - 1)))


def _mean_error(variance: float, n: int) -> float:
    """Return the standard error of a mean, from the variance with divisor n."""
    return math.sqrt(max(variance, 0.0) / (n - 1)) if n > 1 else NAN


def _spread_error(variance: float, n: int) -> float:
    """Do the same for what rests on a spread, which two replicates cannot say the error of."""
    return _mean_error(variance, n) if n > 2 else NAN


def _finite(moment: float) -> float:
    """Return a moment; one of powers beyond the floats is not known."""
    return moment if math.isfinite(moment) else NAN


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else 0.0
