"""Intervals for the variances of nested data that have a formula, from a fit and mean squares.

Every function takes arrays over replicates and a level, and returns (lower, upper) for each
variance for which the interval exists. Limits are missing (NaN) where theory gives none: Wald, log
and Satterthwaite intervals of a variance estimated as zero. Limits below zero are cut at zero, but
for `wald`, which shows them as they come.
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
from mcstudy.nested.solution import COMPONENTS

Limits = tuple[Floats, Floats]
_TINY = np.finfo(float).tiny
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


class Basis(NamedTuple):
    """What the intervals are computed from.

    Parameters
    ----------
    variances, std_errors : arrays of shape (R, 3)
        In the order of `COMPONENTS`.
    squares : MeanSquares, optional
        The mean squares; of unweighted cell means where the data are unbalanced.
    """

    variances: Floats
    std_errors: Floats
    squares: Any


def exact(basis: Basis, level: float) -> dict[str, Limits]:
    """Return the chi-square interval of the unexplained variance."""
    squares = basis.squares
    return {"unexplained_var": _chi_square(squares.unexplained, squares.unexplained_df, level)}


def natural_wald(basis: Basis, level: float) -> dict[str, Limits]:
    """Return value -/+ z standard errors."""
    return _each(lambda value, error: wald(value, error, level), basis)


def log(basis: Basis, level: float) -> dict[str, Limits]:
    """Return the Wald interval of the logarithm, taken back."""
    return _each(lambda value, error: log_wald(value, error, level), basis)


def satterthwaite(basis: Basis, level: float) -> dict[str, Limits]:
    """Return chi-square intervals with 2 value^2 / variance degrees of freedom.

    Satterthwaite (1946), Biometrics Bulletin 2:110.
    """

    def interval(value: Floats, error: Floats) -> Limits:
        positive = np.where(value > 0, value, np.nan)
        with np.errstate(divide="ignore", over="ignore"):
            return _chi_square(positive, 2 * (positive / error) ** 2, level)

    return _each(interval, basis)


def mls(basis: Basis, level: float) -> dict[str, Limits]:
    """Return modified large sample intervals, exact for the unexplained variance.

    Ting, Burdick, Graybill, Jeyaratnam & Lu (1990), Journal of Statistical Computation and
    Simulation 35:135.
    """
    found = {
        name: _modified_large_sample(*pair, level) for name, pair in _pairs(basis.squares).items()
    }
    return found | exact(basis, level)


def generalized(basis: Basis, level: float) -> dict[str, Limits]:
    """Return quantiles of the generalised pivot c (n1 S1 / W1 - n2 S2 / W2), exact for the rest.

    Weerahandi (1993), Journal of the American Statistical Association 88:899. The distribution of
    the pivot is had by quadrature over W2, so that there is no simulation error.
    """
    found = {name: _generalized(*pair, level) for name, pair in _pairs(basis.squares).items()}
    return found | exact(basis, level)


FORMULAS: Mapping[str, Callable[[Basis, float], dict[str, Limits]]] = {
    "exact": exact,
    "wald": natural_wald,
    "log": log,
    "satterthwaite": satterthwaite,
    "mls": mls,
    "generalized": generalized,
}

WITHOUT_SQUARES = ("wald", "log", "satterthwaite")


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
    return MeanSquares(*squares, *degrees, n_group2=b, n_rep=r)


def _each(interval: Callable[[Floats, Floats], Limits], basis: Basis) -> dict[str, Limits]:
    return {
        name: interval(value, error)
        for name, value, error in zip(
            COMPONENTS, basis.variances.T, basis.std_errors.T, strict=True
        )
    }


class _Square(NamedTuple):
    """A mean square and its degrees of freedom."""

    value: Floats
    degrees: Floats | int


def _pairs(squares: MeanSquares) -> dict[str, tuple[Floats | float, _Square, _Square]]:
    """Return for each variance the c, S1, S2 of which it is c (S1 - S2) in expectation."""
    group1 = _Square(squares.group1, squares.group1_df)
    group2 = _Square(squares.group2, squares.group2_df)
    unexplained = _Square(squares.unexplained, squares.unexplained_df)
    r, b = squares.n_rep, squares.n_group2
    return {
        "group1_var": (1 / (b * r), group1, group2),
        "group2_var": (1 / r, group2, unexplained),
    }


def _chi_square(mean_square: Floats, degrees: Floats | int, level: float) -> Limits:
    tail = (1 - level) / 2
    total = degrees * mean_square
    return total / chdtri(degrees, tail), total / chdtri(degrees, 1 - tail)


def _modified_large_sample(
    c: Floats | float, first: _Square, second: _Square, level: float
) -> Limits:
    tail = (1 - level) / 2
    n1, n2 = first.degrees, second.degrees
    g1, g2 = (1 - n / chdtri(n, tail) for n in (n1, n2))
    h1, h2 = (n / chdtri(n, 1 - tail) - 1 for n in (n1, n2))
    f_up, f_low = fdtri(n1, n2, 1 - tail), fdtri(n1, n2, tail)
    g12 = ((f_up - 1) ** 2 - g1**2 * f_up**2 - h2**2) / f_up
    h12 = ((1 - f_low) ** 2 - h1**2 * f_low**2 - g2**2) / f_low
    s1, s2 = c * first.value, c * second.value
    below = g1**2 * s1**2 + h2**2 * s2**2 + g12 * s1 * s2
    above = h1**2 * s1**2 + g2**2 * s2**2 + h12 * s1 * s2
    lower = s1 - s2 - np.sqrt(np.maximum(below, 0))
    upper = s1 - s2 + np.sqrt(np.maximum(above, 0))
    return np.maximum(lower, 0), np.maximum(upper, 0)


def _generalized(c: Floats | float, first: _Square, second: _Square, level: float) -> Limits:
    """Return both quantiles of c (n1 S1 / W1 - n2 S2 / W2), cut at zero."""
    tail = (1 - level) / 2
    total1 = (first.degrees * c * first.value)[:, None]
    total2 = (second.degrees * c * second.value)[:, None]
    degrees = np.broadcast_to(second.degrees, total1.shape[:1])[:, None]
    n1 = np.broadcast_to(first.degrees, total1.shape[:1])[:, None]
    away = total2 / chdtri(degrees, (1 + _NODES) / 2)

    def below(limit: Floats, lanes: NDArray[np.intp]) -> Floats:
        """Return the probability that the pivot is below each limit."""
        reach = limit[:, None] + away[lanes]
        inside = np.where(reach > 0, chdtrc(n1[lanes], total1[lanes] / np.maximum(reach, _TINY)), 0)
        shares: Floats = (inside * (_WEIGHTS / 2)).sum(axis=1)
        return shares

    every = np.arange(len(away))
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


def wald(value: Floats, std_error: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return value -/+ z std_error. The lower limit may be negative; nothing is cut.

    Parameters
    ----------
    value, std_error : arrays of one shape
        In the units of the variance; where one is missing, so are the limits.
    level : float
        Nominal coverage.
    """
    half = ndtri((1 + level) / 2) * std_error
    return value - half, value + half


def log_wald(value: Floats, std_error: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return value * exp(-/+ z std_error / value); missing where the value is not positive."""
    positive = np.where(value > 0, value, np.nan)
    with np.errstate(over="ignore"):
        factor = np.exp(ndtri((1 + level) / 2) * std_error / positive)
        return positive / factor, positive * factor
