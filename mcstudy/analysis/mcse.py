"""Arrays to Monte Carlo errors: the jackknife in closed form, order statistics, Wilson's limits.

Replicates are the last axis of an array; each function answers for all that the others hold.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from mcstudy.arrays import Booleans, Floats
from mcstudy.measure import Z

MAD_SCALE = 1.482602218505602  # 1 over the normal's upper quartile: makes it a standard deviation


def wilson(p: Any, n: Any) -> tuple[Any, Any]:
    """Return the 95 % limits of a share `p` of `n` (Wilson 1927)."""
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    if np.ndim(centre):
        lower = np.where(p == 0, 0.0, np.maximum(0.0, centre - half))
        return lower, np.where(p == 1, 1.0, np.minimum(1.0, centre + half))
    below, above = float(centre - half), float(centre + half)
    return 0.0 if p == 0 else max(0.0, below), 1.0 if p == 1 else min(1.0, above)


def where_kept(values: Floats, kept: Booleans) -> Floats:
    """Return the values that are kept; of several cells, all of them or none."""
    if kept.all():
        return values
    return values[kept] if values.ndim == 1 or kept.any() else values[..., :0]


def finite(values: Floats) -> Floats:
    """Return the values that are neither missing nor infinite; of several cells, all or none."""
    return where_kept(values, np.isfinite(values))


def missing(x: Floats) -> Any:
    """Return what does not exist: NaN, one for each cell."""
    return np.full(x.shape[:-1], np.nan)[()]


def mean(x: Floats) -> Any:
    """Mean, with the rounding of a large offset taken out."""
    plain = x.mean(axis=-1, keepdims=True)
    return plain[..., 0] + (x - plain).mean(axis=-1)


def median(x: Floats) -> Any:
    """Return the median of one value or more, without missing ones."""
    left, right = (x.shape[-1] - 1) // 2, x.shape[-1] // 2
    middle = np.partition(x, sorted({left, right}))
    return (middle[..., left] + middle[..., right]) / 2


def sd(deviation: Floats) -> Any:
    """Return the standard deviation of values of mean 0."""
    n = deviation.shape[-1]
    return np.sqrt((deviation**2).sum(axis=-1) / (n - 1)) if n > 1 else missing(deviation)


def sd_left_out(deviation: Floats) -> Floats:
    """Return the standard deviations with one value left out."""
    n, square = deviation.shape[-1], deviation**2
    if n < 3:
        return np.full_like(deviation, np.nan)
    total = square.sum(axis=-1, keepdims=True)
    square *= n / (n - 1)
    left_out: Floats = np.maximum(np.subtract(total, square, out=square), 0, out=square)
    left_out /= n - 2
    np.sqrt(left_out, out=left_out)
    return left_out


def root_left_out(squares: Floats) -> Floats:
    """Return by how much the root of the mean changes with one value left out."""
    n = squares.shape[-1]
    if n < 2:
        return np.full_like(squares, np.nan)
    centre = squares.mean(axis=-1, keepdims=True)
    change: Floats = (centre - squares) / (n - 1)
    root = centre + change
    np.sqrt(np.maximum(root, 0, out=root), out=root)
    root += np.sqrt(centre)
    np.divide(change, root, out=change, where=root > 0)
    return change


def jackknife(left_out: Floats) -> Any:
    """Jackknife standard error from the statistics with one replicate left out (Efron 1982)."""
    n = left_out.shape[-1]
    if n < 2:
        return missing(left_out)
    deviation = left_out - left_out.mean(axis=-1, keepdims=True)
    return np.sqrt((n - 1) / n * np.square(deviation, out=deviation).sum(axis=-1))


def spread_of_order(values: Floats, weights: Floats, centre: Any) -> Any:
    """Return the error of an order statistic at `centre`, from those in reach and their weights."""
    away = values - np.asarray(centre)[..., None]
    square = (weights * away**2).sum(axis=-1) - (weights * away).sum(axis=-1) ** 2
    return np.sqrt(np.maximum(square, 0.0))


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


def mad_mcse(x: Floats, half: Any) -> Any:
    """MCSE of the median distance `half` from 0, the median of `x`, by its influence function.

    sign(|x| - half) - (f(half) - f(-half)) / f(0) sign(x), over 2 (f(half) + f(-half)), f the
    density.
    """
    n, half = x.shape[-1], np.asarray(half)[..., None]
    step = MAD_SCALE * half * n**-0.2
    at_left, at_centre, at_right = (
        np.count_nonzero((away >= -step) & (away <= step), axis=-1, keepdims=True) / (2 * step * n)
        for away in (x + half, x, x - half)
    )
    at_both = at_left + at_right
    skew = (at_right - at_left) / at_centre
    influence = np.abs(x)
    influence -= half
    np.sign(influence, out=influence)
    signs = np.sign(x)
    signs *= skew
    influence -= signs
    del signs
    error = influence.std(axis=-1, ddof=1, keepdims=True) / (2 * at_both) / np.sqrt(n)
    return np.where((at_centre > 0) & (at_both > 0), error, np.nan)[..., 0]


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
    with np.errstate(over="ignore", invalid="ignore"):  # the error of huge values is infinite
        ratio, moved = sizes.sum() / sizes, left_out - value
        pseudo = -(ratio - 1) * moved
        centre = -((1 - 1 / ratio) * moved).sum()
        return float(np.sqrt(((pseudo - centre) ** 2 / (ratio - 1)).mean()))
