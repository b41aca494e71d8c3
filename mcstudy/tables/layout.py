"""A table laid out: labels of rows and columns, and an entry where they cross."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcstudy.tables.numbers import number_with_error


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

    @property
    def parts(self) -> tuple[str, str]:
        """The value and, in parentheses, its error; "-" and nothing for a value that is missing."""
        shown = number_with_error(self.value, self.mcse, self.lower, self.upper)
        value, _, error = shown.partition(" ")
        return value, error

    @property
    def mark(self) -> str:
        """An asterisk, or nothing."""
        return "*" if self.marked else ""


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

    def used(self, entry: Entry) -> str:
        """Return ``used/of`` where it does not go without saying."""
        if self.same_replicates and entry.used == entry.replicates:
            return ""
        return f"{entry.used}/{entry.replicates}"
