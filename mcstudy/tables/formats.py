"""A document to text, Markdown, LaTeX, CSV or HTML; the one place that knows the formats."""

from __future__ import annotations

import csv
import html as web
import io
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Number

from mcstudy.arguments import short
from mcstudy.errors import ResultsError
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.text import padded, text
from mcstudy.terminal import harmless

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
    """What has a `document`: ``str`` shows it as text, a notebook as HTML."""

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


def render(document: Document, format: str) -> str:  # noqa: A002 - the command line's word
    """Return a document in one of `FORMATS`; nothing in it steers a terminal."""
    return harmless(FORMATS[checked_format(format)](document))


def checked_format(format: object) -> str:  # noqa: A002 - the command line's word
    """Return the format; ResultsError for one that does not exist."""
    if not isinstance(format, str) or format not in FORMATS:
        raise ResultsError(f"format is {short(format)}; choose from {', '.join(FORMATS)}")
    return format


def _sections(document: Document) -> list[Block]:
    """Return all blocks in order, title and notes among them; a single table has both itself."""
    sections = list[Block]()
    for block in document.blocks:
        sections += _sections(block) if isinstance(block, Document) else [block]
    if len(sections) == 1 and sections[0].grid:
        (section,) = sections
        heading = f"{document.title}\n{section.heading}".strip("\n")
        return [replace(section, heading=heading, lines=[*section.lines, *document.notes])]
    title = [Block(document.title)] if document.title else []
    return [*title, *sections, *([Block(lines=document.notes)] if document.notes else [])]


def _lines(block: Block) -> list[str]:
    return [line for line in (*block.heading.split("\n"), *block.lines) if line]


def _runs(lines: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield neighbouring lines that are all sentences (True), or all keep their blanks."""
    for plain, some in itertools.groupby(lines, lambda line: line[:1] != " "):
        yield plain, list(some)


def markdown(document: Document) -> str:
    """Return the document in GitHub's Markdown, the columns of its tables aligned."""
    parts = list[str]()
    for block in _sections(document):
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
    """Return the document in LaTeX that needs no package, its tables as floats."""
    parts = []
    for block in _sections(document):
        # A line that begins with a blank keeps its blanks, in the letters of a typewriter.
        lines = [
            rf"\texttt{{{_in_latex(line).replace(' ', '~')}}}"
            if line[:1] == " "
            else _in_latex(" ".join(line.split()))
            for line in _lines(block)
        ]
        if block.level:
            lines = [rf"\{'sub' * (block.level - 1)}section*{{{line}}}" for line in lines]
        caption = ". ".join(line[:1].upper() + line[1:] for line in lines)
        parts.append(_latex_grid(block.grid.flat(), caption) if block.grid else "\n\n".join(lines))
    return "\n\n".join(parts)


def _latex_grid(grid: Grid, caption: str) -> str:
    lines = []
    for line in (grid.heads, *grid.without_repeats()):
        cells = [_in_latex(cell) for cell in line]
        if line is not grid.heads:
            numbers = ["--" if x == "-" else x.replace("-", "$-$") for x in cells[grid.left :]]
            cells[grid.left :] = numbers
        lines.append(" & ".join(cells) + r" \\")
    spec = "l" * grid.left + "r" * (len(grid.heads) - grid.left)
    above = [r"\begin{table}", r"\centering"]
    above += [rf"\caption{{{caption}.}}", r"\vspace{1ex}"] if caption else []
    table = [rf"\begin{{tabular}}{{{spec}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"]
    return "\n".join([*above, *table, r"\end{tabular}", r"\end{table}"])


def _in_latex(cell: str) -> str:
    shown = "".join(_LATEX.get(sign, sign) for sign in cell)
    return shown.replace(r" \%", r"~\%").replace("--", "-{}-")


def csv_text(document: Document) -> str:
    """Return the frames of the document as CSV, to all digits, a blank line between two.

    Without frames these are its tables, and without a table its lines.
    """
    sections = _sections(document)
    lines = [[x] for block in sections for x in _lines(block)]
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
    for block in _sections(document):
        words = ""
        for plain, lines in _runs(_lines(block)):
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
    lines = ["<table>", *([f"<caption>{caption}</caption>"] if caption else [])]
    lines += [f"<thead><tr>{heads}</tr></thead>", "<tbody>"]
    for row in grid.rows:
        cells = [f'<th scope="row">{web.escape(cell)}</th>' for cell in row[: grid.labels]]
        cells += [f"<td>{web.escape(cell)}</td>" for cell in row[grid.labels :]]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])


FORMATS: Mapping[str, Callable[[Document], str]] = {
    "text": text,
    "markdown": markdown,
    "latex": latex,
    "csv": csv_text,
    "html": html,
}
