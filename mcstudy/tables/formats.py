"""A document to text, Markdown, LaTeX, CSV or HTML; the one place that knows the formats."""

from __future__ import annotations

import csv
import html as web
import io
import itertools
import math
import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Number

from mcstudy.arguments import short
from mcstudy.errors import ResultsError
from mcstudy.tables.document import Document, Grid
from mcstudy.terminal import harmless, harmless_line

_INDENT = "  "
_UNLIMITED = 2**20  # characters of a line
_SENTENCES = 80  # of a line of sentences, where lines are unlimited
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


class Printed:
    """What has a `document`: ``str`` and IPython show it as text, a notebook as HTML."""

    def document(self) -> Document:
        """Return title, blocks and notes."""
        raise NotImplementedError

    def to(self, format: str = "text") -> str:  # noqa: A002 - the command line's word
        """Return it as "text", "markdown", "latex", "csv" or "html".

        Raises
        ------
        ResultsError
            For another format.
        """
        return render(self.document(), format)

    def __str__(self) -> str:
        return self.to()

    def _repr_html_(self) -> str:
        return self.to("html")

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def render(document: Document, format: str) -> str:  # noqa: A002 - the command line's word
    """Return a document in one of `FORMATS`; nothing in it steers a terminal."""
    return harmless(FORMATS[checked_format(format)](document))


def checked_format(format: object) -> str:  # noqa: A002 - the command line's word
    """Return the format; ResultsError for one that does not exist."""
    if not isinstance(format, str) or format not in FORMATS:
        raise ResultsError(f"format is {short(format)}; choose from {', '.join(FORMATS)}")
    return format


def _runs(lines: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield neighbouring lines that are all sentences (True), or all keep their blanks."""
    for plain, some in itertools.groupby(lines, lambda line: line[:1] != " "):
        yield plain, list(some)


def page_width() -> int:
    """Return the characters of a line: the terminal's; of a file or pipe there are enough.

    ``COLUMNS`` in the environment says how many, wherever the text goes.
    """
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return _UNLIMITED


def text(document: Document, width: int | None = None) -> str:
    """Return the document for a terminal.

    Parameters
    ----------
    document : Document
        What is shown.
    width : int, optional
        Of the page, in characters; `page_width` by default.
    """
    width = width or page_width()
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
    width = _SENTENCES if width == _UNLIMITED else width
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
        heading = lines[:depth]
        while heading and not heading[0]:
            heading.pop(0)
        yield from ([""] if number else []) + heading
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


def markdown(document: Document) -> str:
    """Return the document in GitHub's Markdown, the columns of its tables aligned."""
    parts = list[str]()
    for block in document.sections():
        begins = "#" * block.level + " " if block.level else ""
        parts += [begins + _in_markdown(line) for line in block.heading.split("\n") if line]
        parts += [_markdown_grid(block.grid.flat())] if block.grid else []
        for plain, lines in _runs(block.lines):
            indented = "\n".join(f"    {line}" for line in lines)
            parts += map(_in_markdown, lines) if plain else [indented]
    return "\n\n".join(filter(None, parts))


def _markdown_grid(grid: Grid) -> str:
    lines = [[_in_markdown(cell) for cell in line] for line in (grid.heads, *grid.rows)]
    columns, rules = [], []
    for j, column in enumerate(zip(*lines, strict=True)):
        columns.append(padded([*column, "--"], str.ljust if j < grid.left else str.rjust)[:-1])
        dashes = "-" * len(columns[-1][0])
        rules.append(dashes if j < grid.left else f"{dashes[1:]}:")
    head, *body = ["| " + " | ".join(line) + " |" for line in zip(*columns, strict=True)]
    return "\n".join([head, "| " + " | ".join(rules) + " |", *body])


def _in_markdown(cell: str) -> str:
    return re.sub(r"([\\|*<`\[\]])", r"\\\1", " ".join(cell.split()))


def latex(document: Document) -> str:
    """Return the document in LaTeX, its tables as floats; they need the package booktabs.

    Numbers are aligned at the decimal point, each in two columns. What stands between the tables of
    a document without sections are comments: such a document goes into a paper as it is.
    """
    parts = []
    sections = document.sections()
    are_comments = any(block.grid for block in sections) and not any(b.level for b in sections)
    for block in sections:
        if are_comments and not block.grid:
            parts.append("\n".join(f"% {' '.join(line.split())}" for line in block.texts()))
            continue
        # A line that begins with a blank keeps its blanks, in the letters of a typewriter.
        lines = [
            rf"\texttt{{{_in_latex(line).replace(' ', '~')}}}"
            if line[:1] == " "
            else _in_latex(" ".join(line.split()))
            for line in ([block.caption, *block.lines] if block.caption else block.texts())
        ]
        if block.level:
            lines = [rf"\{'sub' * (block.level - 1)}section*{{{line}}}" for line in lines]
        caption = ". ".join(line[:1].upper() + line[1:] for line in lines)
        grid = block.grid
        parts.append(_latex_grid(grid.flat(), caption, block.label) if grid else "\n\n".join(lines))
    return "\n\n".join(parts)


def _latex_grid(grid: Grid, caption: str, label: str) -> str:
    """Return a table; columns in which all that is not missing begins with a number are split."""
    rows = [[_in_latex(cell) for cell in row] for row in grid.without_repeats()]
    for row in rows:
        row[grid.left :] = [
            f"--{x[1:]}" if x == "-" or x.startswith("- ") else x.replace("-", "$-$")
            for x in row[grid.left :]
        ]
    columns = range(len(grid.heads))
    split = {
        j
        for j in columns
        if j >= grid.left
        and any(row[j][:1].isdigit() or row[j].startswith("$-$") for row in rows)
        and all(_whole(row[j]) or row[j][:2] in ("", "--") for row in rows)
    }
    heads = map(_in_latex, grid.heads)
    lines = [[_across(x) if j in split else x for j, x in enumerate(heads)]]
    lines += [[_in_two(x) if j in split else x for j, x in enumerate(row)] for row in rows]
    spec = "".join("l" if j < grid.left else "r@{}l" if j in split else "r" for j in columns)
    above = [r"\begin{table}", r"\centering"]
    above += [rf"\caption{{{caption}.}}"] if caption else []
    above += [rf"\label{{{label}}}"] if label else []
    head, *body = (f"{' & '.join(line)} \\\\" for line in lines)
    table = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", head, r"\midrule", *body]
    return "\n".join([*above, *table, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _whole(cell: str) -> str:
    """Return what stands before the decimal point of a number; nothing of another text."""
    found = re.match(r"(?:\$-\$)?\d[\d,]*", cell)
    return found[0] if found else ""


def _in_two(cell: str) -> str:
    """Return a cell in two columns, which meet at the decimal point."""
    whole = _whole(cell)
    return _across(cell) if cell and not whole else f"{whole} & {cell[len(whole) :]}"


def _across(cell: str) -> str:
    return rf"\multicolumn{{2}}{{c}}{{{cell}}}"


def _in_latex(cell: str) -> str:
    shown = "".join(_LATEX.get(sign, sign) for sign in cell)
    return shown.replace(r" \%", r"~\%").replace("--", "-{}-")


def csv_text(document: Document) -> str:
    """Return the frames of the document as CSV, to all digits, a blank line between two.

    Without frames these are its tables, and without a table its lines.
    """
    sections = document.sections()
    lines = [[x] for block in sections for x in block.texts()]
    texts = []
    for table in list(_tables(document)) or [lines]:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(map(_guarded, row) for row in table)
        texts.append(out.getvalue())
    return "\n".join(texts).rstrip("\n")


def _tables(document: Document) -> Iterator[Iterable[Sequence[object]]]:
    """Yield the rows of each frame; of each table where a document has none."""
    for made in document.frames:
        frame = made() if callable(made) else made
        # Nothing stands where a value is missing.
        lines = frame.astype(object).where(frame.notna(), "").itertuples(index=False, name=None)
        yield [list(frame.columns), *lines]
    for block in () if document.frames else document.blocks:
        if isinstance(block, Document):
            yield from _tables(block)
        elif block.grid:
            grid = block.grid.flat()
            yield [grid.heads, *grid.rows]


def _guarded(cell: object) -> object:
    """Return what no spreadsheet takes for a formula (OWASP, "CSV injection")."""
    if isinstance(cell, Number):
        return cell
    text = str(cell)
    first = unicodedata.normalize("NFKC", text[:1])
    return f"'{text}" if first in tuple("=+-@\t\r\n") and not _NUMBER.fullmatch(text) else text


def html(document: Document) -> str:
    """Return the document as a fragment of HTML that a screen reader can find its way in."""
    parts = []
    for block in document.sections():
        words = ""
        for plain, lines in _runs(block.texts()):
            shown = list(map(web.escape, lines))
            words += "<br/>".join(shown) if plain else f"<pre>{chr(10).join(shown)}</pre>"
        grid = block.grid
        if block.level:
            parts.append(f"<h{block.level}>{words}</h{block.level}>")
            continue
        parts.append(_html_grid(grid.flat(), words) if grid else f"<div>{words}</div>")
    return parts[0] if len(parts) == 1 else "\n".join(["<div>", *parts, "</div>"])


def _html_grid(grid: Grid, caption: str) -> str:
    heads = "".join(f'<th scope="col">{web.escape(cell)}</th>' for cell in grid.heads)
    # Notebooks centre a caption, and one of several notes reads badly so.
    above = [f'<caption style="text-align: left">{caption}</caption>'] if caption else []
    lines = ["<table>", *above]
    lines += [f"<thead><tr>{heads}</tr></thead>", "<tbody>"]
    for row in grid.rows:
        cells = [f'<th scope="row">{web.escape(cell)}</th>' for cell in row[: grid.labels]]
        cells += [f"<td>{web.escape(cell)}</td>" for cell in row[grid.labels : grid.left]]
        cells += [f'<td class="number">{web.escape(cell)}</td>' for cell in row[grid.left :]]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])


FORMATS: Mapping[str, Callable[[Document], str]] = {
    "text": text,
    "markdown": markdown,
    "latex": latex,
    "csv": csv_text,
    "html": html,
}
