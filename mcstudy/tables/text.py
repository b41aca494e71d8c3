"""A document to lines of text for a terminal."""

from __future__ import annotations

import itertools
import math
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence

from mcstudy.tables.document import Document, Grid
from mcstudy.terminal import harmless_line

_INDENT = "  "


def text(document: Document, width: int | None = None) -> str:
    """Return the document for a terminal.

    Parameters
    ----------
    document : Document
        What is shown.
    width : int, optional
        Of the page, in characters; the terminal's by default.
    """
    width = width or shutil.get_terminal_size().columns
    parts = [_wrapped(document.title.split("\n"), width)]
    for block in document.blocks:
        if isinstance(block, Document):
            parts.append(text(block, width))
            continue
        lines = [harmless_line(block.heading)] if block.heading else []
        lines += _grid_lines(block.grid, width) if block.grid else []
        parts.append("\n".join([*lines, *map(harmless_line, block.lines)]))
    parts.append(_wrapped(document.notes, width))
    return "\n\n".join(filter(None, parts))


def _wrapped(notes: Iterable[str], width: int) -> str:
    lines = ([note] if note[:1] == " " else textwrap.wrap(note, width) for note in notes)
    return "\n".join(map(harmless_line, itertools.chain.from_iterable(lines)))


def _grid_lines(grid: Grid, width: int) -> Iterator[str]:
    """Yield the lines of a table, in blocks of columns where it folds."""
    heads = [[harmless_line(line) for line in head.split("\n")] for head in grid.heads]
    depth = max(map(len, heads))
    heads = [[""] * (depth - len(head)) + head for head in heads]
    rows = [[harmless_line(cell) for cell in row] for row in grid.without_repeats()]
    bodies = list(zip(*rows, strict=True)) or [()] * len(heads)
    left = max(grid.labels, grid.left)
    labels = [padded([*heads[j], *bodies[j]], str.ljust) for j in range(grid.grouped, left)]
    room = width + 2 - len(_INDENT) - sum(len(label[0]) + 2 for label in labels)
    sizes = {j: max(map(len, [*heads[j], *bodies[j]])) + 2 for j in range(left, len(heads))}
    for number, block in enumerate(_folded(sizes, room if grid.folds else math.inf)):
        columns, before = list(labels), [""] * depth
        for j in block:
            # What the head of the column before says already is left out, but for the last level.
            same = sum(1 for _ in itertools.takewhile(bool, map(str.__eq__, heads[j], before)))
            same = min(same, depth - 1)
            columns.append(padded([*[""] * same, *heads[j][same:], *bodies[j]], str.rjust))
            before = heads[j]
        lines = [(_INDENT + "  ".join(line)).rstrip() for line in zip(*columns, strict=True)]
        yield from ([""] if number else []) + lines[:depth]
        for row, line in zip(rows, lines[depth:], strict=True):
            yield from [row[0], line] if grid.grouped and row[0] else [line]


def _folded(sizes: dict[int, int], room: float) -> list[list[int]]:
    """Return the columns in blocks of which each fits the room, or is one column."""
    blocks, taken = [list[int]()], 0
    for j, size in sizes.items():
        if blocks[-1] and taken + size > room:
            blocks.append([])
            taken = 0
        blocks[-1].append(j)
        taken += size
    return blocks


def padded(column: Sequence[str], to_side: Callable[[str, int], str]) -> list[str]:
    """Return the cells of a column, all as wide as the widest."""
    width = max(map(len, column))
    return [to_side(cell, width) for cell in column]
