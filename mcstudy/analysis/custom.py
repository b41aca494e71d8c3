"""Measures of the user's own: the columns they name to a value with its MCSE."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcstudy.analysis.cell import Cell
from mcstudy.analysis.mcse import Floats, group_jackknife
from mcstudy.errors import StudyError
from mcstudy.measure import MISSING, Measured, columns_asked_for

GROUPS = 40


@dataclass(frozen=True)
class Custom:
    """A measure of the user's own.

    Parameters
    ----------
    name : str
        As it stands in the tables.
    function : callable
        Takes the columns it names as arrays of shape (R,), truth as a float; returns a value,
        (value, mcse) or a `Measured`.
    columns : tuple of str
        What it names.
    """

    name: str
    function: Callable[..., Any]
    columns: tuple[str, ...]

    @property
    def of_intervals(self) -> bool:
        """Whether it is computed for each interval, as it names a limit."""
        return bool({"lower", "upper"} & set(self.columns))

    def __call__(self, cell: Cell) -> Measured:
        """Return the measure of a cell, with a jackknife MCSE where the function gives none."""
        columns = {name: _read_only(getattr(cell, name)) for name in self.columns}
        count = len(cell.estimate)
        if count == 0:
            return MISSING
        answer = self.function(**columns)
        if isinstance(answer, Measured):
            return answer
        used = _complete(columns, count)
        if isinstance(answer, tuple) and len(answer) == 2:
            return Measured(_number(answer[0]), _number(answer[1]), used)
        value = _number(answer)
        return Measured(value, self._jackknife(value, columns, count), used)

    def _jackknife(self, value: float, columns: Mapping[str, Any], count: int) -> float:
        """MCSE from leaving out one group of replicates after the other, each a run of rows."""
        edges = np.linspace(0, count, min(GROUPS, count) + 1).astype(int)
        if len(edges) < 3:
            return np.nan
        left_out = []
        for begin, end in itertools.pairwise(edges.tolist()):
            kept = {
                name: np.delete(column, slice(begin, end)) if np.ndim(column) else column
                for name, column in columns.items()
            }
            left_out.append(_number(self.function(**kept)))
        return group_jackknife(value, np.array(left_out), np.diff(edges).astype(float))


def customs(measures: Mapping[str, Callable[..., Any]]) -> list[Custom]:
    """Return the user's measures, which `check_measures` has accepted."""
    return [
        Custom(name, function, columns_asked_for(function)) for name, function in measures.items()
    ]


def _read_only(column: Floats | float) -> Floats | float:
    if isinstance(column, np.ndarray):
        column = column.view()
        column.flags.writeable = False
    return column


def _complete(columns: Mapping[str, Any], count: int) -> int:
    """Return in how many rows nothing that was asked for is missing."""
    complete = np.ones(count, dtype=bool)
    for column in columns.values():
        complete &= ~np.isnan(column)
    return int(np.count_nonzero(complete))


def _number(answer: Any) -> float:
    try:
        return float(answer)
    except (TypeError, ValueError):
        raise StudyError(
            f"it returned {answer!r}; return a number, (value, mcse) or Measured"
        ) from None
