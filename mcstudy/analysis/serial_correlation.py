"""Estimates in the order of their replicates to one number: whether successive ones depend."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Floats

LEAST_PAIRS = 30
"""Of successive replicates: below it z is not near enough to a normal deviate."""
# Of pairs without a value of the largest group of ties, by chance: below it z is near a Poisson
# count, which is large too often.
_LEAST_UNTIED = 25


class SerialCorrelation(NamedTuple):
    """The rank correlation of each replicate with the next one.

    Parameters
    ----------
    value : float
        The correlation, of lag 1.
    z : float
        Its distance from what independent replicates have on average, in standard errors.
    pairs : int
        How many pairs of successive replicates it rests on.
    """

    value: float
    z: float
    pairs: int

    @property
    def p_value(self) -> float:
        """The chance of a |z| that large or larger, two-sided."""
        return math.erfc(abs(self.z) / math.sqrt(2))


def serial_correlation(replicate: NDArray[np.int64], estimate: Floats) -> SerialCorrelation | None:
    """Return the lag-1 rank correlation of estimates; None where it cannot be said.

    The sum over pairs of successive replicates of the product of their centred ranks, with the
    mean and variance that it has over all orders of the ranks: exact with ties, and with gaps where
    a replicate has no finite estimate (Wald & Wolfowitz 1943, Annals of Mathematical Statistics
    14:378; ranks as in Bartels 1982, JASA 77:40). Ranks let a heavy tail do no harm.

    It cannot be said from fewer than 30 pairs, of estimates that hardly vary, or that are nearly
    all equal.

    Parameters
    ----------
    replicate : array of int, shape (R,)
        Rising.
    estimate : array of shape (R,)
        NaN is missing.
    """
    there = np.isfinite(estimate)
    number, ranks = replicate[there], midranks(estimate[there])
    n = len(ranks)
    follows = np.diff(number) == 1
    pairs = int(np.count_nonzero(follows))
    if pairs < LEAST_PAIRS:
        return None
    tied = int(np.unique(ranks, return_counts=True)[1].max())
    if pairs * ((n - tied) / n) ** 2 < _LEAST_UNTIED:
        return None
    centred = ranks - (n + 1) / 2
    products = centred[:-1] * centred[1:]
    # Two pairs that share a replicate: it follows one and is followed by another.
    shared = int(np.count_nonzero(follows[:-1] & follows[1:]))
    mean, variance = _moments(centred, pairs, shared)
    total = float(products[follows].sum())
    scale = pairs * float((centred**2).mean())
    return SerialCorrelation(total / scale, (total - mean) / math.sqrt(variance), pairs)


def midranks(values: Floats) -> Floats:
    """Return ranks from 1, the mean rank for values that are equal."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _moments(centred: Floats, pairs: int, shared: int) -> tuple[float, float]:
    """Return mean and variance, over all orders, of the sum of products of the pairs.

    With a = sum x^2, b = sum x^4 and sum x = 0, products of different x have the means
    E(x y) = -a / (n (n-1)), E(x^2 y^2) = (a^2 - b) / (n (n-1)),
    E(x^2 y z) = (2b - a^2) / (n (n-1) (n-2)), E(w x y z) = 3 (a^2 - 2b) / (n (n-1) (n-2) (n-3)).
    """
    n = len(centred)
    a, b = float((centred**2).sum()), float((centred**4).sum())
    two = n * (n - 1)
    three = two * (n - 2)
    mean = -pairs * a / two
    apart = pairs * (pairs - 1) / 2 - shared
    square = pairs * (a * a - b) / two
    square += 2 * shared * (2 * b - a * a) / three
    square += 2 * apart * 3 * (a * a - 2 * b) / (three * (n - 3))
    return mean, square - mean * mean
