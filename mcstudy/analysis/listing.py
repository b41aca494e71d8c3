"""Lines to aligned text: the plain tables that the verbs print."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence


def aligned(head: Sequence[str], lines: Iterable[Sequence[str] | str], texts: int) -> str:
    """Return columns as wide as they need be, the first `texts` flush left.

    A line of plain text spans them all.
    """
    lines = list(lines)
    rows = [head, *(line for line in lines if not isinstance(line, str))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if i < texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return ("  " + "  ".join(cells)).rstrip()

    shown = [item if isinstance(item, str) else line(item) for item in lines]
    return "\n".join([line(head), *shown])


def without_repeats(lines: Iterable[Sequence[str]], labels: int) -> list[list[str]]:
    """Leave out, of the first `labels` cells of each line, what repeats the line above."""
    shown: list[list[str]] = []
    above: Sequence[str] = ()
    for line in lines:
        same = 0
        while same < min(labels, len(above)) and line[same] == above[same]:
            same += 1
        shown.append([*[""] * same, *line[same:]])
        above = line
    return shown


def wrapped(notes: Iterable[str], width: int | None = None) -> str:
    """Return notes as lines of the page's width, the terminal's by default."""
    width = width or shutil.get_terminal_size().columns
    return "\n".join(line for note in notes for line in textwrap.wrap(note, width))
