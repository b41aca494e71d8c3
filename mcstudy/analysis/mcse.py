"""Arrays to Monte Carlo errors: the jackknife in closed form, order statistics, Wilson's limits."""

from __future__ import annotations

import functools
import math

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.measure import Z

MAD_SCALE = 1.482602218505602  # 1 over the normal's upper quartile: makes it a standard deviation


def wilson(p: float, n: float) -> tuple[float, float]:
    """Return the 95 % limits of a share `p` of `n` (Wilson 1927)."""
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    lower = 0.0 if p == 0 else max(0.0, centre - half)
    return lower, 1.0 if p == 1 else min(1.0, centre + half)


def finite(values: Floats) -> Floats:
    """Return the values that are neither missing nor infinite."""
    kept = np.isfinite(values)
    return values if kept.all() else values[kept]


def mean(x: Floats) -> float:
    """Mean, with the rounding of a large offset taken out."""
    plain = x.mean()
    return float(plain + (x - plain).mean())


def median(x: Floats) -> float:
    """Return the median of one value or more, without missing ones."""
    left, right = (len(x) - 1) // 2, len(x) // 2
    middle = np.partition(x, sorted({left, right}))
    return float(middle[left] + middle[right]) / 2


def sd(deviation: Floats) -> float:
    """Return the standard deviation of values of mean 0."""
    n = len(deviation)
    return math.sqrt((deviation**2).sum() / (n - 1)) if n > 1 else math.nan


def sd_left_out(deviation: Floats) -> Floats:
    """Return the standard deviations with one value left out."""
    n, square = len(deviation), deviation**2
    if n < 3:
        return np.full(n, np.nan)
    total = square.sum()
    square *= n / (n - 1)
    left_out: Floats = np.maximum(np.subtract(total, square, out=square), 0, out=square)
    left_out /= n - 2
    np.sqrt(left_out, out=left_out)
    return left_out


def root_left_out(squares: Floats) -> Floats:
    """Return by how much the root of the mean changes with one value left out."""
    n = len(squares)
    if n < 2:
        return np.full(n, np.nan)
    centre = squares.mean()
    change: Floats = (centre - squares) / (n - 1)
    root = np.sqrt(np.maximum(centre + change, 0)) + np.sqrt(centre)
    np.divide(change, root, out=change, where=root > 0)
    return change


def jackknife(left_out: Floats) -> float:
    """Jackknife standard error from the statistics with one replicate left out (Efron 1982)."""
    n = len(left_out)
    if n < 2:
        return np.nan
    deviation = left_out - left_out.mean()
    return float(np.sqrt((n - 1) / n * np.square(deviation, out=deviation).sum()))


def median_weights(n: int) -> tuple[int, Floats]:
    """Return where the order statistics that matter to the median begin, and their weights."""
    return quantile_weights(n, 0.5)


@functools.lru_cache(maxsize=256)
def quantile_weights(n: int, p: float) -> tuple[int, Floats]:
    """Return where the order statistics that matter to a quantile begin, and their weights.

    The quantile of n is distributed as Beta(p (n + 1), (1 - p) (n + 1)) between them.
    """
    from scipy import special  # not above: a study with a precision is loaded without scipy

    reach = int(4 * np.sqrt(n)) + 2  # 8 standard deviations of the Beta at least: no weight beyond
    middle = n // 2 if p == 0.5 else int(p * n)
    begin, end = max(0, middle - reach), min(n, middle + reach + 1)
    edges = np.arange(begin, end + 1) / n
    weights = np.diff(special.betainc(p * (n + 1), (1 - p) * (n + 1), edges))
    return begin, weights


def mad_mcse(x: Floats, distance: Floats, half: float) -> float:
    """MCSE of the median distance `half` from 0, the median of `x`, by its influence function.

    sign(|x| - half) - (f(half) - f(-half)) / f(0) sign(x), over 2 (f(half) + f(-half)), f the
    density.
    """
    n = len(x)
    step = MAD_SCALE * half * n**-0.2
    at_left, at_centre, at_right = (
        np.count_nonzero(away <= step) / (2 * step * n)
        for away in (np.abs(x + half), distance, np.abs(x - half))
    )
    if not (at_centre > 0 and at_left + at_right > 0):
        return np.nan
    skew = (at_right - at_left) / at_centre
    influence = np.sign(distance - half) - skew * np.sign(x)
    return float(influence.std(ddof=1) / (2 * (at_left + at_right)) / np.sqrt(n))


def group_jackknife(value: float, left_out: Floats, sizes: Floats) -> float:
    """Jackknife standard error from the values with one group of replicates left out.

    Parameters
    ----------
    value : float
        Of all replicates.
    left_out, sizes : arrays of shape (G,)
        The values without each group, and how many replicates it has (Busing, Meijer & Van der
        Leeden 1999, for groups of unequal size).
    """
    if len(left_out) < 2:
        return np.nan
    ratio, moved = sizes.sum() / sizes, left_out - value
    pseudo = -(ratio - 1) * moved
    centre = -((1 - 1 / ratio) * moved).sum()
    return float(np.sqrt(((pseudo - centre) ** 2 / (ratio - 1)).mean()))
