"""Mean squares to variances: REML and ML in closed form, for balanced designs with an intercept.

In terms of the levels l = (b r s1 + r s2 + se, r s2 + se, se) the likelihood is, up to constants,
-2 llf = sum w_i log l_i + n_i S_i / l_i, with n the degrees of freedom and S the mean squares; the
weights w are n, but under ML that of log l_1 is one more. Variances of 0 or more mean falling
levels, so that the maximum is the isotonic regression of the mean squares (pool adjacent
violators).
"""

from __future__ import annotations

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.solution import Solution


def balanced_solution(squares: MeanSquares, centre: Floats, *, reml: bool) -> Solution:
    """Fit balanced data of R replicates, from their mean squares and grand means."""
    b, r = squares.n_group2, squares.n_rep
    a = squares.degrees[0] + 1
    levels = isotonic_levels(squares, reml=reml)
    variances = level_variances(levels, squares)
    std_errors = level_std_errors(levels, variances, squares, reml=reml)
    llf = balanced_llf(levels, squares, reml=reml)
    lost = ~np.isfinite(llf)
    identified = np.array([a > 1 and b > 1, b > 1 and r > 1, r > 1])
    variances[:, ~identified] = std_errors[:, ~identified] = np.nan
    for array in (variances, std_errors, llf):
        array[lost] = np.nan
    return Solution(
        variances=variances,
        std_errors=std_errors,
        llf=llf,
        fixed_effects=centre[:, None],
        fixed_effects_cov=(levels[:, 0] / (a * b * r))[:, None, None],
        iterations=np.zeros(len(llf), dtype=np.int64),
        identified=np.broadcast_to(identified, variances.shape),
        converged=~lost,
        fault=np.full(len(llf), ""),
    )


def level_weights(squares: MeanSquares, *, reml: bool) -> tuple[int, int, int]:
    """Return the weights of the logarithms of the levels."""
    first, second, third = squares.degrees
    return first + (not reml), second, third


def isotonic_levels(squares: MeanSquares, *, reml: bool) -> Floats:
    """Return the fitted levels of group 1, group 2 and unexplained, falling, shape (R, 3)."""
    (s1, w1), (group2, w2), (unexplained, w3) = weighted_squares(squares, reml=reml)
    s2 = group2 if w2 else unexplained if w3 else group2
    s3 = unexplained if w3 else s2
    lower = _pooled((s2, w2), (s3, w3))
    upper = _pooled((s1, w1), (s2, w2))
    whole = _pooled((s1, w1), (s2, w2), (s3, w3))
    return np.stack(
        [
            np.maximum(np.maximum(s1, upper), whole),
            np.maximum(np.minimum(lower, whole), np.minimum(s2, upper)),
            np.minimum(np.minimum(s3, lower), whole),
        ],
        axis=1,
    )


def levels_without(component: int, squares: MeanSquares, *, reml: bool) -> Floats:
    """Return the fitted levels where a variance is zero, of group 1 (0) or of group 2 (1).

    Its level and the next lower one are equal, and pooled with the third where the order asks.
    """
    parts = weighted_squares(squares, reml=reml)
    joined, whole = _pooled(*parts[component : component + 2]), _pooled(*parts)
    first, last = (joined, parts[2][0]) if component == 0 else (parts[0][0], joined)
    levels = np.stack([first, joined, last], axis=1)
    return np.where((first >= last)[:, None], levels, whole[:, None])


def weighted_squares(squares: MeanSquares, *, reml: bool) -> list[tuple[Floats, int]]:
    """Return the S and w of each level with which -2 llf has w (log l + S / l)."""
    (group1, *others), weights = squares.values, level_weights(squares, reml=reml)
    first = weights[0]
    group1 = group1 * (squares.degrees[0] / first) if first else np.zeros_like(group1)
    return list(zip((group1, *others), weights, strict=True))


def level_variances(levels: Floats, squares: MeanSquares) -> Floats:
    """Return the variances that belong to levels, shape (R, 3)."""
    b, r = squares.n_group2, squares.n_rep
    first, second, third = levels.T
    return np.stack([(first - second) / (b * r), (second - third) / r, third], axis=1)


def level_std_errors(
    levels: Floats, variances: Floats, squares: MeanSquares, *, reml: bool
) -> Floats:
    """Return the standard errors of fitted variances, shape (R, 3); NaN for those at zero.

    A level has variance 2 l**2 / n; levels pooled into one share their degrees of freedom.
    """
    joined1, joined2 = variances[:, 0] == 0, variances[:, 1] == 0
    w1, w2, w3 = level_weights(squares, reml=reml)
    third = w3 + joined2 * (w2 + joined1 * w1)
    second = w2 + joined1 * w1 + joined2 * w3
    first = w1 + joined1 * (w2 + joined2 * w3)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = 2 * levels**2 / np.stack([first, second, third], axis=1)
    b, r = squares.n_group2, squares.n_rep
    square = spread.copy()
    square[:, 0] = np.where(joined1, np.nan, (spread[:, 0] + spread[:, 1]) / (b * r) ** 2)
    square[:, 1] = np.where(joined2, np.nan, (spread[:, 1] + spread[:, 2]) / r**2)
    return np.sqrt(np.where(square > 0, square, np.nan))


def balanced_llf(levels: Floats, squares: MeanSquares, *, reml: bool) -> Floats:
    """Return the log-likelihood at falling levels, shape (R,), in the convention of statsmodels."""
    rows = sum(squares.degrees) + 1
    deviance = np.full(len(levels), (rows - reml) * np.log(2 * np.pi) + reml * np.log(rows))
    weights = level_weights(squares, reml=reml)
    terms = zip(levels.T, squares.values, squares.degrees, weights, strict=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        for level, square, df, weight in terms:
            if weight:
                deviance += weight * np.log(level) + df * square / level
    return -deviance / 2


def _pooled(*parts: tuple[Floats, int]) -> Floats:
    """Return the weighted mean; the first value where no weight is."""
    weight = sum(part[1] for part in parts)
    if not weight:
        return parts[0][0]
    total = parts[0][0] * parts[0][1]
    for value, one in parts[1:]:
        total = total + value * one
    return total / weight
