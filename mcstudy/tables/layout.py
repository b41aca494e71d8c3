"""A table laid out: labels of rows and columns, and an entry where they cross; to a document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mcstudy.analysis.select import in_words, named
from mcstudy.columns import WORDS
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.numbers import number_with_error

_NUMBERS = ("value", "mcse", "used", "replicates")


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Parameters
    ----------
    value, mcse, lower, upper : float
        A measure, its Monte Carlo standard error and limits.
    used, replicates : int
        On how many replicates it rests, of how many.
    marked : bool
        Whether it is off its target by more than its error.
    """

    value: float
    mcse: float
    lower: float
    upper: float
    used: int
    replicates: int
    marked: bool


@dataclass(frozen=True)
class Layout:
    """A table: what it shows and where.

    Parameters
    ----------
    title : str
        What its entries are.
    row_names, column_names : tuple of str
        The dimensions that run down and across.
    rows, columns : tuple of tuples
        The levels of each row and each column.
    entries : mapping of (int, int) to Entry
        By row and column; a cell that does not exist is not there.
    notes : tuple of str
        What a reader must know to read it.
    same_replicates : bool
        Whether all entries have the same number of replicates, which the notes then say.
    """

    title: str
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    columns: tuple[tuple[Any, ...], ...]
    entries: Mapping[tuple[int, int], Entry]
    notes: tuple[str, ...]
    same_replicates: bool

    def document(self) -> Document:
        """Return the table as text cells, and its numbers as a frame."""
        labels = [list(map(_word, self.row_names, row)) for row in self.rows]
        heads = [list(map(_level, self.column_names, column)) for column in self.columns]
        columns = [self._cells(j) for j in range(len(self.columns))]
        rows = [
            [*label, *cells]
            for label, cells in zip(labels, zip(*columns, strict=True), strict=True)
        ]
        count = len(self.row_names)
        names = [*self.row_names, *("\n".join(head) or "value" for head in heads)]
        grid = Grid(names, rows, labels=count, repeated=count, folds=True)
        numbers = [[*label, *self._numbers(i)] for i, label in enumerate(labels)]
        kinds = [" ".join([*head, kind]) for head in heads for kind in _NUMBERS]
        frame = pd.DataFrame(numbers, columns=[*self.row_names, *kinds], dtype=object)
        return Document(self.title, [Block(grid=grid)], self.notes, [frame])

    def _cells(self, j: int) -> list[str]:
        """Return the entries of a column in words, each of their parts in line."""
        parts = [self._parts(self.entries.get((i, j))) for i in range(len(self.rows))]
        values, marks, errors, used = (max(map(len, part)) for part in zip(*parts, strict=True))
        return [
            f"{value:>{values}}{mark:<{marks}} {error:>{errors}}"
            + (f" {of:>{used}}" if used else "")
            for value, mark, error, of in parts
        ]

    def _parts(self, entry: Entry | None) -> tuple[str, str, str, str]:
        """Return value, mark, error and ``used/of`` where that does not go without saying."""
        if entry is None:
            return "", "", "", ""
        shown = number_with_error(entry.value, entry.mcse, entry.lower, entry.upper)
        value, _, error = shown.partition(" ")
        whole = self.same_replicates and entry.used == entry.replicates
        used = "" if whole else f"{entry.used}/{entry.replicates}"
        return value, "*" if entry.marked else "", error, used

    def _numbers(self, i: int) -> list[float | None]:
        """Return the numbers of a row to all digits."""
        entries = [self.entries.get((i, j)) for j in range(len(self.columns))]
        return [getattr(entry, kind, None) for entry in entries for kind in _NUMBERS]


def _word(name: str, level: Any) -> str:
    """Return a level in words; bias has no interval, and nothing stands there."""
    return "" if name in WORDS and pd.isna(level) else " ".join(in_words(level).split())


def _level(name: str, level: Any) -> str:
    return " ".join(named(name, level).split())
