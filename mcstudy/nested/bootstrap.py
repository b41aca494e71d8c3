"""Parametric bootstrap intervals: simulate from the fit, fit again, take percentiles.

Each replicate draws from its own generator. Balanced data need only the three mean squares drawn;
other data are drawn row by row and fitted by the engine, with their design and covariates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.nested.balanced import isotonic_levels, level_variances
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.data import NestedBatch, NestedData
from mcstudy.nested.intervals import Limits
from mcstudy.nested.solution import COMPONENTS, Solution
from mcstudy.nested.solve import solve

DRAWS = 999  # so that 2.5 and 97.5 % of DRAWS + 1 are whole, the bootstrap's convention
_ROWS_AT_ONCE = 2**21  # of data drawn: 16 MB


def balanced_bootstrap(
    squares: MeanSquares,
    solution: Solution,
    rngs: Sequence[np.random.Generator],
    level: float,
    *,
    reml: bool,
) -> dict[str, Limits]:
    """Return percentile intervals for balanced data with an intercept."""
    degrees = (squares.group1_df, squares.group2_df, squares.unexplained_df)
    levels = _levels(solution.variances, squares.n_group2, squares.n_rep)
    drawn = np.empty((len(rngs), DRAWS, 3))
    for rng, level_row, row in zip(rngs, levels, drawn, strict=True):
        first, second, third = (
            expected * rng.chisquare(df, DRAWS) / df if df else np.zeros(DRAWS)
            for expected, df in zip(level_row, degrees, strict=True)
        )
        again = MeanSquares(first, second, third, *degrees, squares.n_group2, squares.n_rep)
        row[:] = level_variances(isotonic_levels(again, reml=reml), again)
    return _percentiles(drawn, level)


def bootstrap(
    batch: NestedBatch,
    solution: Solution,
    rngs: Sequence[np.random.Generator],
    level: float,
    *,
    reml: bool,
) -> dict[str, Limits]:
    """Return percentile intervals for any data."""
    drawn = np.stack(
        [
            _refitted(batch[i], variances, rng, reml=reml)
            for i, (variances, rng) in enumerate(zip(solution.variances, rngs, strict=True))
        ]
    )
    return _percentiles(drawn, level)


def _refitted(
    data: NestedData, variances: Floats, rng: np.random.Generator, *, reml: bool
) -> Floats:
    """Return the variances fitted to data drawn from a fit, shape (DRAWS, 3)."""
    if not np.isfinite(variances).all():
        return np.full((DRAWS, 3), np.nan)
    _, group = np.unique(data.design.group1, return_inverse=True)
    labels = np.stack([data.design.group1, data.design.group2])
    _, cell = np.unique(labels, axis=1, return_inverse=True)
    cell = cell.ravel()
    deviations, rows = np.sqrt(variances), len(data.y)
    found = []
    for start in range(0, DRAWS, step := max(1, _ROWS_AT_ONCE // rows)):
        count = min(step, DRAWS - start)
        y = deviations[2] * rng.standard_normal((count, rows))
        y += deviations[0] * rng.standard_normal((count, group.max() + 1))[:, group]
        y += deviations[1] * rng.standard_normal((count, cell.max() + 1))[:, cell]
        drawn = NestedBatch(y, data.design, covariates=data.covariates)
        found.append(solve(drawn, reml=reml).variances)
    return np.concatenate(found)


def _levels(variances: Floats, n_group2: int, n_rep: int) -> Floats:
    first, second, third = variances.T
    middle = third + n_rep * second
    return np.stack([middle + n_group2 * n_rep * first, middle, third], axis=1)


def _percentiles(drawn: Floats, level: float) -> dict[str, Limits]:
    """Return the order statistics (B + 1) tail and (B + 1)(1 - tail) of B draws, interpolated."""
    tail = (1 - level) / 2
    lower, upper = np.quantile(drawn, [tail, 1 - tail], axis=1, method="weibull")
    return {name: (lower[:, i], upper[:, i]) for i, name in enumerate(COMPONENTS)}
