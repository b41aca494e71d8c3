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
from mcstudy.nested.data import NestedBatch
from mcstudy.nested.solution import COMPONENTS, Limits, Solution
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
) -> Limits:
    """Return percentile intervals for balanced data with an intercept."""
    drawn = np.empty((len(rngs), DRAWS, 3))
    for rng, variances, row in zip(rngs, solution.variances, drawn, strict=True):
        again = drawn_squares(squares, variances, rng, DRAWS)
        row[:] = level_variances(isotonic_levels(again, reml=reml), again)
    return _percentiles(drawn, level)


def bootstrap(
    batch: NestedBatch,
    solution: Solution,
    rngs: Sequence[np.random.Generator],
    level: float,
    *,
    reml: bool,
) -> Limits:
    """Return percentile intervals for any data."""
    drawn = np.full((len(rngs), DRAWS, 3), np.nan)
    for i, (variances, rng) in enumerate(zip(solution.variances, rngs, strict=True)):
        if not np.isfinite(variances).all():
            continue
        data, deviations = batch[i], np.sqrt(variances)
        group, cell = data.design.places
        step = max(1, _ROWS_AT_ONCE // len(cell))
        for start in range(0, DRAWS, step):
            count = min(step, DRAWS - start)
            y = deviations[2] * rng.standard_normal((count, len(cell)))
            if data.weights is not None:
                y /= np.sqrt(data.weights)
            y += deviations[0] * rng.standard_normal((count, group[-1] + 1))[:, group]
            y += deviations[1] * rng.standard_normal((count, cell[-1] + 1))[:, cell]
            again = NestedBatch(y, data.design, None, data.covariates, data.weights)
            drawn[i, start : start + count] = solve(again, reml=reml).variances
    return _percentiles(drawn, level)


def drawn_squares(
    design: MeanSquares, variances: Floats, rng: np.random.Generator, draws: int
) -> MeanSquares:
    """Draw mean squares of a balanced design under some variances, of group 1 first."""
    first, second, third = variances
    middle = third + design.n_rep * second
    levels = (middle + design.n_group2 * design.n_rep * first, middle, third)
    group1, group2, unexplained = (
        level * rng.chisquare(df, draws) / df if df else np.zeros(draws)
        for level, df in zip(levels, design.degrees, strict=True)
    )
    return design._replace(values=(group1, group2, unexplained))


def _percentiles(drawn: Floats, level: float) -> Limits:
    """Return the order statistics (B + 1) tail and (B + 1)(1 - tail) of B draws, interpolated."""
    tail = (1 - level) / 2
    lower, upper = np.quantile(drawn, [tail, 1 - tail], axis=1, method="weibull")
    return {name: (lower[:, i], upper[:, i]) for i, name in enumerate(COMPONENTS)}
