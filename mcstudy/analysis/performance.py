"""Rows to measures: the table `performance`, of cells that are alike measured as one stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mcstudy.analysis.custom import customs
from mcstudy.analysis.load import ConditionRows, MethodRows, condition_rows
from mcstudy.analysis.measure_set import MeasureSet
from mcstudy.analysis.measure_table import Line, MeasureTable, numbers
from mcstudy.analysis.measures import Cell, share, share_of
from mcstudy.arrays import Floats
from mcstudy.columns import WARNED
from mcstudy.measure import alphas_of, null_of
from mcstudy.method import Status
from mcstudy.simulation.validation import STATUSES, TEST
from mcstudy.storage.export import conditions_table
from mcstudy.storage.rows import StudyRows
from mcstudy.truths import mcse_of

_NUMBERS = 2**17  # estimates that wait at most: with limits, and what is made of them, some MB
_LONG = 2**12  # replicates from which numpy's own cost per call no longer counts
_LARGE = 1e150  # squares of larger numbers, or their sums, may be infinite, and then some miss
_ARRAYS = ("estimate", "std_error", "lower", "upper", "p_value")


def measured_rows(
    rows: StudyRows,
    *,
    measures: Mapping[str, Callable[..., Any]] | None = None,
    null: float | Mapping[str, float] | None = None,
    alphas: Sequence[float] = alphas_of(None, None),
    tell: Callable[[str], None] | None = None,
    also: Callable[[ConditionRows], None] | None = None,
) -> pa.Table:
    """Return the measures of every cell of the rows of a study.

    Shares of statuses have no estimand, measures of estimates no interval. `measures`, `null` and
    `alphas`, the levels of tests, are those of the study; `tell` hears in a line of each of the
    user's measures that raises, and its value is missing there; `also` gets the rows too, piece by
    piece, to be read once.
    """
    conditions = conditions_table(rows.conditions)
    measure_set = MeasureSet(customs(measures or {}), alphas)
    lines = MeasureTable()
    stacks = Stacks(lines)
    for piece in condition_rows(rows):
        here = measure_set.at(piece.factors)
        if also is not None:
            also(piece)
        for method, fits in piece.methods.items():
            count = len(fits.replicate)
            if piece.first:
                key = piece.condition, method
                lines.add((*key, *line, count) for line in _status_lines(fits))
            for estimand, of in fits.estimands.items():
                test = [(TEST, of.test())] if of.p_value is not None else []
                for interval, cell in chain(of.cells(null_of(null, estimand)), test):
                    address = piece.condition, method, estimand, interval
                    stacks.add(AddressedCell(*address, cell, here, count))
    stacks.finish()
    if tell is not None:
        for text in measure_set.failures():
            tell(text)
    return lines.table(conditions)


def _status_lines(rows: MethodRows) -> Iterator[Line]:
    counts = np.bincount(rows.status_code, minlength=len(STATUSES))
    for word, count in zip(STATUSES, counts.tolist(), strict=True):
        if count or word != Status.SKIPPED:
            yield None, None, f"share_{word}", *numbers(share_of(count, len(rows.status_code)))
    yield None, None, WARNED, *numbers(share(rows.warned))


class AddressedCell(NamedTuple):
    """A cell and where it stands in the table; `interval` is None for the estimates.

    `measures` are those of its condition, `replicates` how many fits there are.
    """

    condition: str
    method: str
    estimand: str
    interval: str | None
    cell: Cell
    measures: MeasureSet
    replicates: int

    @property
    def kind(self) -> str:
        """Of what it is: "" (estimates), "interval" or `TEST`, as a measure says of itself."""
        if self.interval is None:
            return ""
        return TEST if self.cell.p_value is not None else "interval"

    @property
    def where(self) -> str:
        """The address in words."""
        interval = f", interval {self.interval}" if self.kind == "interval" else ""
        return f"{self.condition}, method {self.method}, {self.estimand}{interval}"


class Stacks:
    """Measures cells, and adds their lines to a table, whose order is not that of the adding.

    Each measure is the same to the last bit as if its cell had been measured alone.
    """

    def __init__(self, lines: MeasureTable) -> None:
        self._lines, self._own = lines, MeasureTable()
        self._waiting: defaultdict[Hashable, list[AddressedCell]] = defaultdict(list)
        self._held = 0

    def add(self, of: AddressedCell) -> None:
        """Measure a cell, now or with others."""
        self._own.add(
            (*of[:4], name, *numbers(made), of.replicates)
            for name, made in of.measures.own_of(of.cell, of.kind, of.estimand, of.where)
        )
        if (likeness := _likeness(of.cell)) is None:
            return self._measure([of])
        self._waiting[likeness].append(of)
        self._held += len(of.cell.estimate)
        return self._measure_waiting() if self._held >= _NUMBERS else None

    def finish(self) -> None:
        """Measure what waits; a study's own measures come after the built-in ones."""
        self._measure_waiting()
        self._lines.extend(self._own)

    def _measure_waiting(self) -> None:
        for alike in self._waiting.values():
            self._measure(alike)
        self._waiting.clear()
        self._held = 0

    def _measure(self, alike: Sequence[AddressedCell]) -> None:
        cell = _stack([of.cell for of in alike]) if len(alike) > 1 else alike[0].cell
        *words, _, _, replicates = zip(*alike, strict=True)
        for name, made in alike[0].measures.built_in(cell, alike[0].kind):
            self._lines.add_stack((*words, name), made, replicates)


def _likeness(cell: Cell) -> Hashable:
    """Return what cells share that can be stacked; None for a cell that stays alone."""
    count = len(cell.estimate)
    own_truths = cell.as_given is not None or isinstance(cell.truth, np.ndarray)
    if own_truths or mcse_of(cell.truth) or not 0 < count < _LONG:
        return None
    complete = []
    for x in (getattr(cell, name) for name in _ARRAYS):
        there = None if x is None else bool(np.abs(x).max() < _LARGE)
        if there is False and not np.isnan(x).all():
            return None
        complete.append(there)
    truth = bool(np.isfinite(cell.truth)), cell.truth == 0, cell.has_truth
    x = cell.estimate
    shares = not cell.has_truth and bool(((x == 0) | (x == 1)).all())
    return count, *complete, *truth, bool(np.isnan(cell.null)), shares


def _stack(cells: Sequence[Cell]) -> Cell:
    def column(name: str) -> Floats:
        return np.array([[getattr(cell, name)] for cell in cells], dtype=float)

    there = [name for name in _ARRAYS if getattr(cells[0], name) is not None]
    arrays: dict[str, Any] = {n: np.stack([getattr(cell, n) for cell in cells]) for n in there}
    return replace(cells[0], truth=column("truth"), null=column("null"), **arrays)
