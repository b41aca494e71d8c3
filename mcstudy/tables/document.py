"""What a verb or function answers with: a title, blocks, notes; `formats` turns it into text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Grid:
    """A table of cells that are text already.

    Parameters
    ----------
    heads : sequence of str
        Of the columns; a head of several levels has a line for each.
    rows : sequence of sequence of str
        Every cell of every row; `repeated` says which of them need not be shown.
    labels : int, default 1
        How many columns, the first ones, name the row.
    left : int, default 0
        How many columns stand flush left, where they are more than the labels.
    repeated : int, default 0
        How many of the first columns stay blank where they repeat the row above.
    grouped : bool, default False
        Whether the first column, as the condition is, stands in a line of its own above its rows;
        if it is empty everywhere it is not shown.
    folds : bool, default False
        Whether text that is too wide for the page breaks into blocks of columns.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int = 1
    left: int = 0
    repeated: int = 0
    grouped: bool = False
    folds: bool = False

    def without_repeats(self) -> list[list[str]]:
        """Return the rows, their first cells blank where these repeat the row above."""
        shown: list[list[str]] = []
        above: Sequence[str] = ()
        for row in self.rows:
            same = 0
            while same < min(self.repeated, len(above)) and row[same] == above[same]:
                same += 1
            shown.append([*[""] * same, *row[same:]])
            above = row
        return shown

    def flat(self) -> Grid:
        """Return the same with one line in each head and cell, and no group that says nothing."""
        first = int(self.grouped and not any(row[0] for row in self.rows))
        return replace(
            self,
            heads=[" ".join(head.replace("\n", ", ").split()) for head in self.heads[first:]],
            rows=[[" ".join(cell.split()) for cell in row[first:]] for row in self.rows],
            labels=self.labels - first,
            left=max(self.labels, self.left) - first,
            repeated=max(self.repeated - first, 0),
        )


@dataclass(frozen=True)
class Block:
    """A heading, a table and lines below it, each of which may be missing.

    Parameters
    ----------
    heading : str
        One line.
    grid : Grid, optional
        The table.
    lines : sequence of str
        One line each. Those that begin with a blank (commands, tracebacks, data) keep their blanks.
    level : int, default 0
        Of a heading of a text with chapters, 1 to 3; such a block has nothing but it.
    """

    heading: str = ""
    grid: Grid | None = None
    lines: Sequence[str] = ()
    level: int = 0


@dataclass(frozen=True)
class Document:
    """A title, blocks and notes.

    Parameters
    ----------
    title : str
        What the whole shows.
    blocks : sequence of Block or Document
        In order.
    notes : sequence of str
        Sentences, which text breaks at the width of the page; like `Block.lines` else.
    frames : sequence of DataFrame, or of functions that return one
        The numbers in full, for CSV; without them it has the cells of the tables.
    """

    title: str = ""
    blocks: Sequence[Block | Document] = ()
    notes: Sequence[str] = ()
    frames: Sequence[pd.DataFrame | Callable[[], pd.DataFrame]] = ()
