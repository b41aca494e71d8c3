"""Intervals for the variances of nested data that have a formula, from a fit and mean squares.

Limits are arrays over replicates. They are missing (NaN) where theory gives none: Wald, log and
Satterthwaite intervals of a variance estimated as zero. Limits below zero are cut at zero, but for
`wald`, which shows them as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, fdtri, ndtri

from mcstudy.arrays import Floats
from mcstudy.nested.cells import Cells, MeanSquares
from mcstudy.nested.roots import crossing
from mcstudy.nested.solution import COMPONENTS, Limits, Pair, Solution
from mcstudy.wald import wald_limits

_TINY = np.finfo(float).tiny  # in place of 0, by which nothing is divided
# Of Gauss and Legendre: with 64 the limits are good to six digits (see the tests).
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def formula_limits(
    kind: str, solution: Solution, squares: MeanSquares | None, level: float
) -> Limits:
    """Return the limits of one of the kinds that have a formula; none where it needs squares.

    The kind is ``"exact"``, the chi-square interval of the unexplained variance, or a name in
    `OF_ESTIMATES` or `OF_SQUARES`, to which the exact one is added.
    """
    if kind in OF_ESTIMATES:
        columns = zip(COMPONENTS, solution.variances.T, solution.std_errors.T, strict=True)
        of = OF_ESTIMATES[kind]
        return {name: of(value, error, level) for name, value, error in columns}
    if squares is None:
        return {}
    (first, second, third), (n1, n2, n3), b, r = squares
    limits = {"unexplained_var": _chi_square(third, n3, level)}
    if kind == "exact":
        return limits
    differences = {
        "group1_var": Difference(1 / (b * r), first, n1, second, n2),
        "group2_var": Difference(1 / r, second, n2, third, n3),
    }
    return {name: OF_SQUARES[kind](of, level) for name, of in differences.items()} | limits


class Difference(NamedTuple):
    """A variance as the expectation of c (S1 - S2), of mean squares with n1 and n2 degrees."""

    c: Any
    s1: Floats
    n1: Any
    s2: Floats
    n2: Any


def log_wald(value: Floats, std_error: Floats, level: float) -> Pair:
    """Return value * exp(-/+ z std_error / value); missing where the value is not positive."""
    positive = np.where(value > 0, value, np.nan)
    with np.errstate(over="ignore"):
        factor = np.exp(ndtri((1 + level) / 2) * std_error / positive)
        return positive / factor, positive * factor


def satterthwaite(value: Floats, std_error: Floats, level: float) -> Pair:
    """Return chi-square limits with 2 value^2 / variance degrees of freedom.

    Satterthwaite (1946), Biometrics Bulletin 2:110.
    """
    positive = np.where(value > 0, value, np.nan)
    with np.errstate(divide="ignore", over="ignore"):
        return _chi_square(positive, 2 * (positive / std_error) ** 2, level)


def modified_large_sample(of: Difference, level: float) -> Pair:
    """Return modified large sample limits.

    Ting, Burdick, Graybill, Jeyaratnam & Lu (1990), Journal of Statistical Computation and
    Simulation 35:135.
    """
    tail = (1 - level) / 2
    c, s1, n1, s2, n2 = of
    (high1, low1), (high2, low2) = (_quantiles(n, tail) for n in (n1, n2))
    g1, g2, h1, h2 = 1 - n1 / high1, 1 - n2 / high2, n1 / low1 - 1, n2 / low2 - 1
    f_up, f_low = fdtri(n1, n2, 1 - tail), fdtri(n1, n2, tail)
    g12 = ((f_up - 1) ** 2 - g1**2 * f_up**2 - h2**2) / f_up
    h12 = ((1 - f_low) ** 2 - h1**2 * f_low**2 - g2**2) / f_low
    s1, s2 = c * s1, c * s2
    below = g1**2 * s1**2 + h2**2 * s2**2 + g12 * s1 * s2
    above = h1**2 * s1**2 + g2**2 * s2**2 + h12 * s1 * s2
    lower = s1 - s2 - np.sqrt(np.maximum(below, 0))
    upper = s1 - s2 + np.sqrt(np.maximum(above, 0))
    return np.maximum(lower, 0), np.maximum(upper, 0)


def generalized(of: Difference, level: float) -> Pair:
    """Return both quantiles of the generalised pivot c (n1 S1 / W1 - n2 S2 / W2), cut at zero.

    Weerahandi (1993), Journal of the American Statistical Association 88:899. The distribution of
    the pivot is had by quadrature over W2, so that there is no simulation error.
    """
    tail = (1 - level) / 2
    total1, total2 = (of.n1 * of.c * of.s1)[:, None], (of.n2 * of.c * of.s2)[:, None]
    n1, n2 = (np.broadcast_to(n, len(total1))[:, None] for n in (of.n1, of.n2))
    away = total2 / chdtri(n2, (1 + _NODES) / 2)

    def below(limit: Floats, lanes: NDArray[np.intp]) -> Floats:
        """Return the probability that the pivot is below each limit."""
        reach = limit[:, None] + away[lanes]
        inside = np.where(reach > 0, chdtrc(n1[lanes], total1[lanes] / np.maximum(reach, _TINY)), 0)
        shares: Floats = (inside * (_WEIGHTS / 2)).sum(axis=1)
        return shares

    every = np.arange(len(away))
    # The chance that the pivot is above this is less than a fiftieth of the upper tail.
    zero, top = np.zeros(len(away)), (total1 / chdtri(n1, 1 - tail / 50))[:, 0]
    at_zero, at_top = below(zero, every), below(top, every)

    def quantile(share: float) -> Floats:
        inside = crossing(
            lambda limit, lanes: below(limit, lanes) - share,
            (zero, at_zero - share),
            (top, at_top - share),
        )
        return np.where(at_zero >= share, 0.0, inside)

    return quantile(tail), quantile(1 - tail)


OF_ESTIMATES: Mapping[str, Callable[[Floats, Floats, float], Pair]] = {
    "wald": wald_limits,
    "log": log_wald,
    "satterthwaite": satterthwaite,
}
OF_SQUARES: Mapping[str, Callable[[Difference, float], Pair]] = {
    "mls": modified_large_sample,
    "generalized": generalized,
}


def _quantiles(degrees: Any, tail: float) -> Pair:
    """Return the chi-square quantiles exceeded with probability `tail` and 1 - `tail`.

    They take some microseconds, and many replicates share their degrees of freedom.
    """
    distinct, place = np.unique(degrees, return_inverse=True)
    return chdtri(distinct, tail)[place], chdtri(distinct, 1 - tail)[place]


def _chi_square(mean_square: Floats, degrees: Any, level: float) -> Pair:
    total, (high, low) = degrees * mean_square, _quantiles(degrees, (1 - level) / 2)
    return total / high, total / low


def unweighted_mean_squares(cells: Cells) -> MeanSquares:
    """Return mean squares of unweighted cell means, with harmonic mean sizes for r and b.

    Hernandez, Burdick & Birch (1992), Biometrical Journal 34:387. Sizes and degrees of freedom are
    arrays of shape (R,): they differ where the rows do.
    """
    here = np.broadcast_to(cells.count > 0, cells.mean.shape)
    count = np.where(here, cells.count, 1)
    in_group = here.sum(axis=2)
    groups, cell_number = (in_group > 0).sum(axis=1), in_group.sum(axis=1)
    rows = (count * here).sum(axis=(1, 2))
    r = cell_number / (here / count).sum(axis=(1, 2))
    group = (cells.mean * here).sum(axis=2) / np.maximum(in_group, 1)
    b = groups / np.where(in_group > 0, 1 / np.maximum(in_group, 1), 0).sum(axis=1)
    grand = (group * (in_group > 0)).sum(axis=1) / np.maximum(groups, 1)
    among = (((group - grand[:, None]) ** 2) * (in_group > 0)).sum(axis=1)
    between = (((cells.mean - group[..., None]) ** 2) * here).sum(axis=(1, 2))
    degrees = (groups - 1, cell_number - groups, rows - cell_number)
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = (
            b * r * among / degrees[0],
            r * between / degrees[1],
            cells.within / degrees[2],
        )
    return MeanSquares(squares, degrees, b, r)
