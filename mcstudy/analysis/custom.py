"""Measures of the user's own: the columns they name to a value with its MCSE."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcstudy.analysis.mcse import finite, group_jackknife
from mcstudy.analysis.measures import Cell, mean_of, share, share_of
from mcstudy.arrays import Booleans, Floats
from mcstudy.errors import StudyError
from mcstudy.measure import (
    MISSING,
    Measured,
    columns_asked_for,
    factors_asked_for,
    functions_of,
)
from mcstudy.simulation.validation import TEST

GROUPS = 40  # left out one by one: an error that is known to one ninth, for 40 calls
_ROUNDING = 1e-12  # of a share, as the arithmetic of a mean leaves it


@dataclass(frozen=True)
class Custom:
    """A measure of the user's own.

    Parameters
    ----------
    name : str
        As it stands in the tables.
    function : callable
        Takes the columns it names as arrays of shape (R,), truth as a float; returns a value, one
        for each replicate, (value, mcse), (value, influence) or a `Measured`.
    columns : tuple of str
        What it names.
    estimand : str, optional
        The only one that it is for.
    factors : tuple of str
        Whose levels it asks for; see `at`.
    """

    name: str
    function: Callable[..., Any]
    columns: tuple[str, ...]
    estimand: str | None = None
    factors: tuple[str, ...] = ()

    def at(self, levels: Mapping[str, Any]) -> Custom:
        """Return the measure of a condition, with the levels that it asks for."""
        if not self.factors:
            return self
        given = {name: levels[name] for name in self.factors}
        return replace(self, function=functools.partial(self.function, **given))

    @property
    def kind(self) -> str:
        """Of what it is computed: "interval" as it names a limit, "p_value", or "" (estimates)."""
        if {"lower", "upper"} & set(self.columns):
            return "interval"
        return TEST if TEST in self.columns else ""

    def __call__(self, cell: Cell) -> Measured:
        """Return the measure of a cell; the MCSE is made here where the function gives none.

        It is binomial for a share of replicates, else a jackknife.
        """
        columns = {name: _read_only(getattr(cell, name)) for name in self.columns}
        count = len(cell.estimate)
        if count == 0:
            return MISSING
        answer = self.function(**columns)
        if isinstance(answer, Measured):
            return _checked(answer, count)
        complete = np.ones(count, dtype=bool)
        for column in columns.values():
            complete &= ~np.isnan(column)
        used = int(np.count_nonzero(complete))
        if isinstance(answer, tuple) and len(answer) == 2 and np.ndim(answer[1]) == 0:
            return _checked(Measured(answer[0], answer[1], used), count)
        if (each := self.each(answer, count)) is not None:
            value, influence = each
            values = finite(influence[complete])
            if isinstance(answer, tuple):
                return Measured(value, mean_of(values).mcse, len(values))
            return share(values == 1) if np.isin(values, (0, 1)).all() else mean_of(values)
        value = _number(answer)
        edges = _edges(count)
        left_out, sizes = self.without_groups(columns, count)
        for counted in (complete, np.ones(count, dtype=bool)):
            hits = _hits(value, left_out, counted, edges)
            if hits is not None and self._is_share(columns, hits, counted, edges):
                n = int(np.count_nonzero(counted))
                return share_of(round(value * n), n)
        return Measured(value, group_jackknife(value, left_out, sizes), used)

    def each(self, answer: Any, count: int) -> tuple[float, Floats] | None:
        """Return the value of an answer and its influence, where it says what each replicate adds.

        A number for each replicate is its own influence on their mean.
        """
        if isinstance(answer, tuple):
            if len(answer) != 2 or np.ndim(answer[1]) == 0:
                return None
            if np.shape(answer[1]) != (count,):
                raise StudyError(
                    f"it returned an influence of shape {np.shape(answer[1])} of {count} "
                    "replicates; return a number for each"
                )
            return _number(answer[0]), np.asarray(answer[1], dtype=float)
        if np.shape(answer) == (count,) and not isinstance(answer, Sequence):
            values = np.asarray(answer, dtype=float)
            known = values[np.isfinite(values)]
            return float(known.mean()) if len(known) else np.nan, values
        return None

    def value(self, answer: Any) -> float:
        """Return the value of an answer of another kind."""
        if isinstance(answer, tuple) and not isinstance(answer, Measured) and len(answer) != 2:
            return _number(answer)  # which says what to return
        return _number(answer[0] if isinstance(answer, tuple) else answer)

    def without_groups(self, columns: Mapping[str, Any], count: int) -> tuple[Floats, Floats]:
        """Return the values without each group of replicates, and how many each group has."""
        edges = _edges(count)
        groups = list(itertools.pairwise(edges.tolist())) if count > 1 else []
        rests = [functools.partial(np.delete, obj=slice(*group)) for group in groups]
        values = np.array([self._of(columns, rest) for rest in rests])
        return values, np.diff(edges).astype(float)[: len(values)]

    def _of(self, columns: Mapping[str, Any], some: Callable[[Any], Any]) -> float:
        """Return the value that some of the replicates have."""
        chosen = {name: some(x) if np.ndim(x) else x for name, x in columns.items()}
        return self.value(self.function(**chosen))

    def _is_share(
        self, columns: Mapping[str, Any], hits: Floats, counted: Booleans, edges: NDArray[np.intp]
    ) -> bool:
        """Return whether a replicate of each group alone has 0 or 1, as the group's hits allow."""
        for group, (begin, end) in enumerate(itertools.pairwise(edges.tolist())):
            rows = np.flatnonzero(counted[begin:end])
            if not len(rows):
                continue
            row = begin + int(rows[0])
            try:
                value = self._of(columns, operator.itemgetter(slice(row, row + 1)))
            except Exception:  # noqa: BLE001 - a measure may need more than one replicate
                return False
            if value not in (0, 1) or not value <= hits[group] <= len(rows) - 1 + value:
                return False
        return True


def _edges(count: int) -> NDArray[np.intp]:
    """Return where the groups begin and end that the jackknife leaves out."""
    return np.linspace(0, count, min(GROUPS, count) + 1).astype(int)


def customs(measures: Mapping[str, Callable[..., Any]]) -> list[Custom]:
    """Return the user's measures, which `check_measures` has accepted."""
    return [
        Custom(name, function, columns_asked_for(function), estimand, factors_asked_for(function))
        for name, measure in measures.items()
        for estimand, function in functions_of(measure).items()
    ]


def _read_only(column: Floats | float) -> Floats | float:
    if isinstance(column, np.ndarray):
        column = column.view()
        column.flags.writeable = False
    return column


def _hits(
    value: float, left_out: Floats, counted: Booleans, edges: NDArray[np.intp]
) -> Floats | None:
    """Return how many hits each group of replicates has if the value is a share of those counted.

    None where it cannot be one: counts are whole numbers, and no group has more than its size.
    """
    if len(left_out) < 2:
        return None
    sizes = np.add.reduceat(counted.astype(float), edges[:-1])
    count = sizes.sum()
    total, left = value * count, left_out * (count - sizes)
    hits: Floats = np.round(total) - np.round(left)
    whole = np.abs(np.append(left - np.round(left), total - np.round(total))) < _ROUNDING * count
    possible = whole.all() and (hits >= 0).all() and (hits <= sizes).all()
    return hits if possible and hits.sum() == np.round(total) else None


def _checked(answer: Measured, count: int) -> Measured:
    """Return a measure with its error as the function gave it, each of them what it must be."""
    value, mcse = _number(answer.value), _number(answer.mcse)
    if mcse < 0:
        raise StudyError(f"it returned the MCSE {answer.mcse!r}; return 0 or more, or NaN")
    try:
        used = operator.index(answer.used)
    except TypeError:
        used = -1
    if not 0 <= used <= count:
        raise StudyError(
            f"it returned used={answer.used!r}; return how many of the {count} replicates it used"
        )
    limits = answer.limits
    if limits is not None:
        if not isinstance(limits, tuple | list) or len(limits) != 2:
            raise StudyError(f"it returned the limits {limits!r}; return (lower, upper)")
        limits = (_number(limits[0]), _number(limits[1]))
        if limits[0] > limits[1]:
            raise StudyError(f"it returned the limits {limits!r}; return the lower one first")
    return Measured(value, mcse, used, limits)


def _number(answer: Any) -> float:
    try:
        return float(answer)
    except (TypeError, ValueError, OverflowError):
        raise StudyError(
            f"it returned {answer!r}; return a number, one for each replicate, (value, mcse), "
            "(value, influence) or Measured"
        ) from None
