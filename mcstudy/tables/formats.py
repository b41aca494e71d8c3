"""A table laid out to text for a terminal, Markdown, LaTeX, CSV or HTML."""

from __future__ import annotations

import csv
import html as web
import io
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from mcstudy.analysis.select import in_words, named
from mcstudy.columns import WORDS
from mcstudy.tables.layout import Layout
from mcstudy.tables.text import wrapped

Levels: TypeAlias = tuple[Any, ...]

_INDENT = "  "
_NUMBER = re.compile(r"[-+]?(?:inf|(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)")
_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "{}%$#&_"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
}


def render(layout: Layout, format: str) -> str:  # noqa: A002 - the command line's word
    """Return the table in one of `FORMATS`."""
    return FORMATS[format](layout)


def text(layout: Layout, width: int | None = None) -> str:
    """Return the table for a terminal, in blocks of columns where it is too wide for one.

    Parameters
    ----------
    layout : Layout
        What it shows and where.
    width : int, optional
        Of the page, in characters; the terminal's by default.
    """
    width = width or shutil.get_terminal_size().columns
    labels = [_padded(column, left=True) for column in _row_columns(layout)]
    taken = len(_INDENT) + sum(len(column[0]) + 2 for column in labels)
    bodies = [_entries(layout, j) for j in range(len(layout.columns))]
    tables, block = [], list[int]()
    for j, levels in enumerate(layout.columns):
        heads = _heads(layout, levels, None)
        taken_here = max(map(len, [*heads, bodies[j][0]])) + 2
        if block and taken + taken_here > width + 2:
            tables.append(_block(layout, labels, bodies, block))
            block, taken = [], len(_INDENT) + sum(len(column[0]) + 2 for column in labels)
        block.append(j)
        taken += taken_here
    tables.append(_block(layout, labels, bodies, block))
    return "\n\n".join([wrapped([layout.title], width), *tables, wrapped(layout.notes, width)])


def _block(
    layout: Layout, labels: list[list[str]], bodies: list[list[str]], block: list[int]
) -> str:
    """Return the labels of the rows and some of the columns."""
    columns = []
    before: Levels | None = None
    for j in block:
        levels = layout.columns[j]
        columns.append(_padded([*_heads(layout, levels, before), *bodies[j]], left=False))
        before = levels
    lines = zip(*labels, *columns, strict=True)
    return "\n".join((_INDENT + "  ".join(line)).rstrip() for line in lines)


def _row_columns(layout: Layout) -> list[list[str]]:
    """Return the columns of labels: blank heads, the name, each level where it changes."""
    blank = [""] * (max(len(layout.column_names), 1) - 1)
    columns = []
    for i, name in enumerate(layout.row_names):
        shown, above = [], None
        for row in layout.rows:
            shown.append("" if row[: i + 1] == above else _word(name, row[i]))
            above = row[: i + 1]
        columns.append([*blank, name, *shown])
    return columns


def _heads(layout: Layout, levels: Levels, before: Levels | None) -> list[str]:
    """Return the heads of a column; what the column before it says already is left out."""
    heads = []
    for i, name in enumerate(layout.column_names):
        same = before is not None and before[: i + 1] == levels[: i + 1]
        heads.append("" if same and i < len(levels) - 1 else named(name, levels[i]))
    return heads or ["value"]


def _entries(layout: Layout, j: int) -> list[str]:
    """Return the entries of a column, each of their parts in line, all of one width."""
    entries = [layout.entries.get((i, j)) for i in range(len(layout.rows))]
    cells = [(*e.parts, e.mark, layout.used(e)) if e else ("", "", "", "") for e in entries]
    values, errors, marks, used = (max(map(len, part)) for part in zip(*cells, strict=True))
    lines = []
    for value, error, mark, of in cells:
        shown = f"{value:>{values}}{mark:<{marks}} {error:>{errors}}"
        lines.append(shown + (f" {of:>{used}}" if used else ""))
    return lines


def _padded(column: Sequence[str], left: bool) -> list[str]:
    width = max(map(len, column))
    return [cell.ljust(width) if left else cell.rjust(width) for cell in column]


def markdown(layout: Layout) -> str:
    """Return the table in GitHub's Markdown, its columns aligned."""
    lines = [[_in_markdown(cell) for cell in line] for line in _flat(layout)]
    labels = len(layout.row_names)
    columns = [
        _padded(column, left=i < labels) for i, column in enumerate(zip(*lines, strict=True))
    ]
    rules = [
        "-" * len(column[0]) if i < labels else "-" * (max(len(column[0]), 2) - 1) + ":"
        for i, column in enumerate(columns)
    ]
    head, *body = ("| " + " | ".join(line) + " |" for line in zip(*columns, strict=True))
    notes = "\n\n".join(_in_markdown(line) for line in layout.notes)
    rule = "| " + " | ".join(rules) + " |"
    return "\n".join([_in_markdown(layout.title), "", head, rule, *body, "", notes])


def _in_markdown(cell: str) -> str:
    return re.sub(r"([\\|*<`\[\]])", r"\\\1", _one_line(cell))


def latex(layout: Layout) -> str:
    """Return the table as a LaTeX float that needs no package."""
    count = len(layout.row_names)
    lines = list(_flat(layout, repeat=False))
    shown = [" & ".join(map(_in_latex, lines[0])) + r" \\"]
    for line in lines[1:]:
        cells = [*map(_in_latex, line[:count]), *map(_number_in_latex, line[count:])]
        shown.append(" & ".join(cells) + r" \\")
    spec = "l" * count + "r" * max(len(layout.columns), 1)
    caption = ". ".join(_in_latex(_sentence(line)) for line in (layout.title, *layout.notes))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}.}}",
            r"\vspace{1ex}",
            rf"\begin{{tabular}}{{{spec}}}",
            r"\hline",
            shown[0],
            r"\hline",
            *shown[1:],
            r"\hline",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _sentence(line: str) -> str:
    return line[:1].upper() + line[1:]


def _in_latex(cell: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in _one_line(cell)).replace(r" \%", r"~\%")


def _number_in_latex(cell: str) -> str:
    return "--" if cell == "-" else _in_latex(cell).replace("-", "$-$")


def csv_text(layout: Layout) -> str:
    """Return the table as CSV: value, mcse, used and replicates of each column, to all digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    kinds = ("value", "mcse", "used", "replicates")
    labels = [_label(layout, column, " ") for column in layout.columns]
    heads = [f"{label} {kind}".strip() for label in labels for kind in kinds]
    writer.writerow([*map(_guarded, layout.row_names), *map(_guarded, heads)])
    for i, row in enumerate(layout.rows):
        numbers: list[object] = []
        for j in range(len(layout.columns)):
            entry = layout.entries.get((i, j))
            cells = [getattr(entry, kind, None) for kind in kinds]
            numbers += ["" if cell is None or cell != cell else cell for cell in cells]
        words = map(_word, layout.row_names, row)
        writer.writerow([*map(_guarded, words), *numbers])
    return out.getvalue().rstrip("\n")


def _guarded(cell: str) -> str:
    """Return a text that no spreadsheet takes for a formula (OWASP, "CSV injection")."""
    first = unicodedata.normalize("NFKC", cell[:1])
    return f"'{cell}" if first in tuple("=+-@\t\r\n") and not _NUMBER.fullmatch(cell) else cell


def html(layout: Layout) -> str:
    """Return the table as a fragment of HTML that a screen reader can find its way in."""
    count = len(layout.row_names)
    head, *lines = _flat(layout)
    heads = "".join(f'<th scope="col">{web.escape(cell)}</th>' for cell in head)
    body = []
    for line in lines:
        labels = "".join(f'<th scope="row">{web.escape(cell)}</th>' for cell in line[:count])
        cells = "".join(f"<td>{web.escape(cell)}</td>" for cell in line[count:])
        body.append(f"<tr>{labels}{cells}</tr>")
    notes = "<br/>".join(web.escape(line) for line in layout.notes)
    return "\n".join(
        [
            "<table>",
            f"<caption>{web.escape(layout.title)}<br/>{notes}</caption>",
            f"<thead><tr>{heads}</tr></thead>",
            "<tbody>",
            *body,
            "</tbody>",
            "</table>",
        ]
    )


def _flat(layout: Layout, *, repeat: bool = True) -> Iterator[list[str]]:
    """Yield the head and the lines of a table with one line of heads."""
    yield [*layout.row_names, *(_label(layout, column) or "value" for column in layout.columns)]
    above: tuple[object, ...] = ()
    for i, row in enumerate(layout.rows):
        labels = [
            _word(layout.row_names[k], level) if repeat or row[: k + 1] != above[: k + 1] else ""
            for k, level in enumerate(row)
        ]
        above = row
        yield [*labels, *(_cell(layout, i, j) for j in range(len(layout.columns)))]


def _cell(layout: Layout, i: int, j: int) -> str:
    entry = layout.entries.get((i, j))
    if entry is None:
        return ""
    value, error = entry.parts
    return " ".join(part for part in (value + entry.mark, error, layout.used(entry)) if part)


def _label(layout: Layout, levels: Levels, between: str = ", ") -> str:
    names = zip(layout.column_names, levels, strict=True)
    return between.join(named(name, level) for name, level in names)


def _word(name: str, level: Any) -> str:
    """Return a level in words; bias has no interval, and nothing stands there."""
    return "" if name in WORDS and pd.isna(level) else _one_line(in_words(level))


def _one_line(cell: str) -> str:
    return " ".join(cell.split())


FORMATS: Mapping[str, Callable[[Layout], str]] = {
    "text": text,
    "markdown": markdown,
    "latex": latex,
    "csv": csv_text,
    "html": html,
}
