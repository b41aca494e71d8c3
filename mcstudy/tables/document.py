"""What a verb or function answers with: a title, blocks, notes; `formats` turns it into text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Grid:
    """A table of cells that are text already; a head of several levels has a line for each.

    The first columns, so many as `labels`, name the row; `left` of them stand flush left, if that
    is more; `repeated` of them stay blank where they repeat the row above. If `grouped`, the first
    column, as the condition is, stands in a line of its own above its rows, and is not shown if it
    is empty everywhere. What `folds` breaks into blocks of columns where text is too wide.
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

    Lines that begin with a blank (commands, tracebacks, data) keep their blanks. `level` is of a
    heading in a text with chapters, 1 to 3; such a block has nothing but it. In print its caption
    stands in place of the heading, and `label` is the name by which a text refers to it.
    """

    heading: str = ""
    grid: Grid | None = None
    lines: Sequence[str] = ()
    level: int = 0
    caption: str = ""
    label: str = ""

    def texts(self) -> list[str]:
        """Return the lines of the heading and those below, without empty ones."""
        return [line for line in (*self.heading.split("\n"), *self.lines) if line]


@dataclass(frozen=True)
class Document:
    """A title, blocks and notes: sentences, which text breaks at the width of the page.

    `caption` and `label` are those of a table in print. `frames` are the numbers in full, for CSV,
    or functions that return them; without any it has the cells of the tables.
    """

    title: str = ""
    blocks: Sequence[Block | Document] = ()
    notes: Sequence[str] = ()
    frames: Sequence[pd.DataFrame | Callable[[], pd.DataFrame]] = ()
    caption: str = ""
    label: str = ""

    def sections(self) -> list[Block]:
        """Return all blocks in order, title and notes among them; a lone table has both itself."""
        sections = list[Block]()
        for block in self.blocks:
            sections += block.sections() if isinstance(block, Document) else [block]
        if len(sections) == 1 and sections[0].grid:
            (section,) = sections
            heading = f"{self.title}\n{section.heading}".strip("\n")
            lines = [*section.lines, *self.notes]
            within = f"{self.title}. {section.caption}" if self.title else section.caption
            caption = self.caption or (section.caption and within)
            name = self.label or section.label
            return [replace(section, heading=heading, lines=lines, caption=caption, label=name)]
        title = [Block(self.title)] if self.title else []
        return [*title, *sections, *([Block(lines=self.notes)] if self.notes else [])]
