"""The exact law of balanced normal data: performance without simulating a single row.

The three mean squares are independent, l chi-square(n) / n, and sufficient; so millions of them,
through the same estimator and intervals, give bias, RMSE and coverage to four digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.analysis.measures import Cell, share
from mcstudy.analysis.performance import Meter, numbers
from mcstudy.arrays import Floats
from mcstudy.columns import VALUES, WARNED
from mcstudy.grid import Condition
from mcstudy.method import Status
from mcstudy.nested.balanced import balanced_llf, isotonic_levels, level_covariance, level_variances
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.generate import Recipe
from mcstudy.nested.generate import variances as true_variances
from mcstudy.nested.reml import ExactMethod, reml
from mcstudy.nested.solution import COMPONENTS, Solution, std_errors_of
from mcstudy.streams import streams

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 50_000  # draws at a time: some MB an array
_DESIGN = ("n_group1", "n_group2", "n_rep", "group1_sd", "group2_sd", "unexplained_sd")


def exact_law(
    condition: Mapping[str, Any],
    *,
    method: ExactMethod = reml,
    draws: int = 1_000_000,
    seed: int = 1,
) -> pd.DataFrame:
    """Return the performance of an exact method under a balanced normal condition.

    Parameters
    ----------
    condition : mapping
        The factors of `generate_nested`: n_group1, n_group2, n_rep, group1_sd, group2_sd and
        unexplained_sd.
    method : ExactMethod, optional
        `reml` or `ml`, with the intervals wanted.
    draws : int, default 1,000,000
        How many triples of mean squares; their Monte Carlo error stands in `mcse`.
    seed : int, default 1
        Of the draws.

    Returns
    -------
    pandas.DataFrame
        The columns of the table `performance`.

    Raises
    ------
    ValueError
        For a design that is not balanced and normal, or that cannot tell the variances apart.
    """
    _check(condition)
    squares = _draw(condition, draws, seed)
    parts = [_chunk(squares, begin) for begin in range(0, draws, _CHUNK)]
    solutions = [_solution(part, restricted=method.restricted) for part in parts]
    solution = Solution.joined(solutions)
    rngs = streams(seed, Condition(condition).key, range(draws)) if method.draws else []
    limits = [
        method.balanced_limits(part, one, rngs[i * _CHUNK : (i + 1) * _CHUNK])
        for i, (part, one) in enumerate(zip(parts, solutions, strict=True))
    ]
    return _table(condition, method, solution, limits)


def _check(condition: Mapping[str, Any]) -> None:
    if missing := [name for name in _DESIGN if name not in condition]:
        raise ValueError(f"exact_law: the condition lacks {', '.join(missing)}")
    usual = {item.name: item.default for item in fields(Recipe)}
    other = [
        name
        for name, value in condition.items()
        if name not in (*_DESIGN, "intercept") and value != usual.get(name, MISSING)
    ]
    if other:
        raise ValueError(f"exact_law: known for balanced normal data only, not {', '.join(other)}")
    Recipe(**condition)
    if min(condition[name] for name in _DESIGN[:3]) < 2:
        raise ValueError("exact_law: n_group1, n_group2 and n_rep must be 2 or more")


def _draw(condition: Mapping[str, Any], draws: int, seed: int) -> MeanSquares:
    a, b, r = (int(condition[name]) for name in _DESIGN[:3])
    s1, s2, se = (float(condition[name]) ** 2 for name in _DESIGN[3:])
    degrees = (a - 1, a * (b - 1), a * b * (r - 1))
    expected = (se + r * s2 + b * r * s1, se + r * s2, se)
    rng = np.random.default_rng(seed)
    group1, group2, unexplained = (
        level * rng.chisquare(df, draws) / df for level, df in zip(expected, degrees, strict=True)
    )
    return MeanSquares(group1, group2, unexplained, *degrees, b, r)


def _chunk(squares: MeanSquares, begin: int) -> MeanSquares:
    """Return the chunk of the mean squares that begins there."""
    some = slice(begin, begin + _CHUNK)
    return MeanSquares(
        squares.group1[some],
        squares.group2[some],
        squares.unexplained[some],
        squares.group1_df,
        squares.group2_df,
        squares.unexplained_df,
        squares.n_group2,
        squares.n_rep,
    )


def _solution(squares: MeanSquares, *, restricted: bool) -> Solution:
    levels = isotonic_levels(squares, reml=restricted)
    variances = level_variances(levels, squares)
    covariance = level_covariance(levels, variances, squares, reml=restricted)
    count = len(levels)
    return Solution(
        variances=variances,
        covariance=covariance,
        std_errors=std_errors_of(covariance),
        llf=balanced_llf(levels, squares, reml=restricted),
        fixed_effects=np.zeros((count, 1)),
        fixed_effects_cov=np.zeros((count, 1, 1)),
        iterations=np.zeros(count, dtype=np.int64),
        identified=np.ones((count, 3), dtype=bool),
        converged=np.ones(count, dtype=bool),
        fault=np.full(count, ""),
    )


def _table(
    condition: Mapping[str, Any],
    method: ExactMethod,
    solution: Solution,
    limits: list[dict[str, dict[str, tuple[Floats, Floats]]]],
) -> pd.DataFrame:
    import pandas as pd

    name = "reml" if method.restricted else "ml"
    statuses = np.array(solution.statuses(), dtype=object)
    lines: list[tuple[Any, ...]] = [
        (name, None, None, f"share_{status}", *numbers(share(statuses == status)))
        for status in Status
        if status != Status.SKIPPED
    ]
    lines.append((name, None, None, WARNED, *numbers(share(np.zeros(len(statuses), dtype=bool)))))
    truths, meter = true_variances(**condition), Meter()
    for i, estimand in enumerate(COMPONENTS):
        cell = Cell(truths[estimand], solution.variances[:, i], solution.std_errors[:, i])
        lines += [
            (name, estimand, None, key, *numbers(answer))
            for key, answer in meter.of_estimates(cell)
        ]
        for kind in sorted(limits[0]):
            if estimand not in limits[0][kind]:
                continue
            lower, upper = (
                np.concatenate([part[kind][estimand][side] for part in limits]) for side in (0, 1)
            )
            bounded = Cell(cell.truth, cell.estimate, cell.std_error, lower, upper)
            lines += [
                (name, estimand, kind, key, *numbers(answer))
                for key, answer in meter.of_intervals(bounded)
            ]
    columns = ["method", "estimand", "interval", "measure", *VALUES, "used"]
    table = pd.DataFrame(lines, columns=columns)
    for position, factor in enumerate(sorted(condition)):
        table.insert(position, factor, condition[factor])
    return table.assign(replicates=len(solution))
