"""Lines to aligned text: the plain tables that the verbs print."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence

from mcstudy.terminal import harmless_line


def aligned(head: Sequence[str], lines: Iterable[Sequence[str] | str], texts: int) -> str:
    """Return columns as wide as they need be, the first `texts` flush left.

    A line of plain text spans them all.
    """
    lines = [
        harmless_line(line) if isinstance(line, str) else [*map(harmless_line, line)]
        for line in lines
    ]
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


def without_repeats(
    lines: Iterable[Sequence[str]], labels: int, headings: Sequence[str] | None = None
) -> list[list[str]]:
    """Leave out, of the first `labels` cells of each line, what repeats the line above.

    Under a new heading nothing is left out.
    """
    shown: list[list[str]] = []
    above: Sequence[str] = ()
    for i, line in enumerate(lines):
        if headings is not None and i and headings[i] != headings[i - 1]:
            above = ()
        same = 0
        while same < min(labels, len(above)) and line[same] == above[same]:
            same += 1
        shown.append([*[""] * same, *line[same:]])
        above = line
    return shown


def under_headings(lines: Iterable[tuple[str, Sequence[str]]]) -> list[Sequence[str] | str]:
    """Put a line of its own, such as a condition, above the lines that belong to it."""
    shown: list[Sequence[str] | str] = []
    above = ""
    for heading, line in lines:
        if heading != above:
            shown.append(heading)
        shown.append(line)
        above = heading
    return shown


def wrapped(notes: Iterable[str], width: int | None = None) -> str:
    """Return notes as lines of the page's width, the terminal's by default."""
    width = width or shutil.get_terminal_size().columns
    return "\n".join(line for note in notes for line in textwrap.wrap(note, width))
