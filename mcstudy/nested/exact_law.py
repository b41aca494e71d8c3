"""The exact law of balanced normal data: performance without simulating a single row.

The three mean squares are independent, l chi-square(n) / n, and sufficient; so millions of them,
through the same estimator and intervals, give bias, RMSE and coverage to four digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.analysis.load import EstimandRows
from mcstudy.analysis.measure_set import MeasureSet
from mcstudy.analysis.measure_table import numbers
from mcstudy.analysis.measures import share
from mcstudy.columns import VALUES, WARNED
from mcstudy.grid import Condition
from mcstudy.method import Status
from mcstudy.nested.balanced import balanced_solution
from mcstudy.nested.bootstrap import drawn_squares
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.generate import Recipe
from mcstudy.nested.generate import variances as true_variances
from mcstudy.nested.reml import ExactMethod, joined_estimates, reml, variance_estimates
from mcstudy.nested.solution import COMPONENTS
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
        For a design that is not balanced and normal, or that cannot tell the variances apart, and
        for a method that answers more than variances.
    """
    a, b, r = _sizes(condition, method)
    truths = true_variances(**condition)
    none = MeanSquares((np.empty(0),) * 3, (a - 1, a * (b - 1), a * b * (r - 1)), b, r)
    variances = np.array([float(truths[name]) for name in COMPONENTS])
    squares = drawn_squares(none, variances, np.random.default_rng(seed), draws)
    draw = "bootstrap" in method.intervals
    rngs = streams(seed, Condition(condition).key, range(draws)) if draw else []
    statuses, parts, lengths = [], [], []
    for begin in range(0, draws, _CHUNK):
        some = slice(begin, begin + _CHUNK)
        first, second, third = (values[some] for values in squares.values)
        part = squares._replace(values=(first, second, third))
        solution = balanced_solution(part, np.zeros(len(first)), reml=method.restricted)
        parts.append(variance_estimates(solution, method.limits(solution, part, rngs[some]), {}))
        statuses += solution.statuses()
        lengths.append(len(solution))
    table = _table(method, statuses, truths, joined_estimates(parts, lengths))
    for position, factor in enumerate(sorted(condition)):
        table.insert(position, factor, condition[factor])
    return table.assign(replicates=draws)


def _sizes(condition: Mapping[str, Any], method: ExactMethod) -> tuple[int, int, int]:
    """Return the sizes of a balanced normal design; raise for any other, or other answers."""
    if missing := [name for name in _DESIGN if name not in condition]:
        raise ValueError(f"exact_law: the condition lacks {', '.join(missing)}")
    if method.icc is not None or method.fixed_effects or method.tests:
        raise ValueError(
            "exact_law: known for variances and their intervals only; leave out others"
        )
    usual = {item.name: item.default for item in fields(Recipe)}
    free = (*_DESIGN, "intercept")
    if other := [x for x in condition if x not in free and condition[x] != usual.get(x, MISSING)]:
        raise ValueError(f"exact_law: known for balanced normal data only, not {', '.join(other)}")
    recipe = Recipe(**condition)
    sizes = recipe.n_group1, recipe.n_group2, recipe.n_rep
    if min(sizes) < 2:
        raise ValueError("exact_law: n_group1, n_group2 and n_rep must be 2 or more")
    return sizes


def _table(
    method: ExactMethod,
    endings: list[Status],
    truths: Mapping[str, float],
    estimates: Mapping[str, Any],
) -> pd.DataFrame:
    """Return the lines of `performance`, without the factors."""
    import pandas as pd

    statuses = np.array(endings, dtype=object)
    shares = {f"share_{word}": statuses == word for word in Status if word != Status.SKIPPED}
    shares[WARNED] = np.zeros(len(statuses), dtype=bool)
    lines: list[tuple[Any, ...]] = [
        (None, None, measure, *numbers(share(hits))) for measure, hits in shares.items()
    ]
    for name, of in estimates.items():
        rows = EstimandRows(
            truths[name], of.value, of.std_error, dict(sorted(of.intervals.items()))
        )
        for interval, cell in rows.cells():
            made = MeasureSet().built_in(cell, "" if interval is None else "interval")
            lines += [(name, interval, measure, *numbers(of)) for measure, of in made]
    columns = ["estimand", "interval", "measure", *VALUES, "used"]
    table = pd.DataFrame(lines, columns=columns)
    table.insert(0, "method", "reml" if method.restricted else "ml")
    return table
