"""How many replicates each condition will get, where a precision says when it is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from mcstudy.analysis.select import factors_in_words
from mcstudy.execution.stopping import counts
from mcstudy.grid import Condition
from mcstudy.planning.precision import needed
from mcstudy.study import Study


def planned_goals(study: Study, replicates: int, units: pd.DataFrame) -> dict[Condition, int]:
    """Return how many replicates each condition will get: more where precision asks for them."""
    goals = dict.fromkeys(study.conditions, replicates)
    if study.precision is None or study.max_replicates is None:
        return goals
    cells = needed(units, study.precision)
    most_of = cells["needed"].groupby(_where(cells, study.conditions.factors)).max().to_dict()
    usual = sum(most_of.values()) / len(most_of) if most_of else 0
    for condition in goals:
        # A condition that was not tried is taken to need what the others do on average.
        most = most_of.get(_in_words(condition), usual)
        steps = counts(replicates, max(study.max_replicates, replicates))
        goals[condition] = next((n for n in steps if n >= most), study.max_replicates)
    return goals


def goal_of_each(cells: pd.DataFrame, goals: Mapping[Condition, int]) -> pd.Series:
    """Return how many replicates the condition of each cell will get."""
    by_words = {_in_words(condition): goal for condition, goal in goals.items()}
    where = _where(cells, sorted(next(iter(goals)).factors))
    return where.map(by_words).astype(float)


def _where(cells: pd.DataFrame, factors: Sequence[str]) -> pd.Series:
    """Return the condition of each cell in words."""
    rows = zip(*(cells[name] for name in factors), strict=True)
    named = [factors_in_words(dict(zip(factors, row, strict=True))) for row in rows]
    return pd.Series(named or [""] * len(cells), index=cells.index, dtype=object)


def _in_words(condition: Condition) -> str:
    return factors_in_words(dict(sorted(condition.factors.items())))


def stops_in_words(study: Study, replicates: int) -> str:
    """Say when a condition stops where a precision decides; nothing where it does not."""
    if study.precision is None:
        return ""
    targets = ", ".join(f"{name} {target:g}" for name, target in study.precision.items())
    most = max(study.max_replicates or 0, replicates)
    return (
        f"a condition starts with {replicates} replicates and stops when its errors are small "
        f"enough ({targets}), or at {most}: what follows is about what that will take"
    )
