"""What the chapters of the page are made of; `page.html` lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from mcstudy.tables.document import Document
from mcstudy.tables.formats import render


class Term(NamedTuple):
    """A word with what it means; `anchor` is where links to it lead."""

    name: str
    text: str
    anchor: str = ""


class Code(NamedTuple):
    """A text to be read as it is, under a heading that opens it."""

    title: str
    text: str


class Table(NamedTuple):
    """A printed answer as HTML; a long one is folded away under its title."""

    title: str
    html: Any
    rows: int


@dataclass(frozen=True)
class Part:
    """A piece of a chapter, in this order; `warns` says that something is not as it should be."""

    heading: str = ""
    lines: Sequence[str] = ()
    commands: Sequence[str] = ()
    terms: Sequence[Term] = ()
    tables: Sequence[Table] = ()
    code: Sequence[Code] = ()
    warns: bool = False


@dataclass(frozen=True)
class Section:
    """A chapter of the page; its name is the anchor that the contents lead to."""

    name: str
    title: str
    parts: Sequence[Part]


def as_table(document: Document) -> Table:
    """Return a printed answer; the template takes its HTML as it is, since its text is escaped."""
    sections = document.sections()
    title = next((line for block in sections for line in block.texts()), "")
    rows = sum(len(block.grid.rows) for block in sections if block.grid)
    return Table(title, Markup(render(document, "html")), rows)


def reason(error: Exception, folder: Path) -> str:
    """Return what an error says, without the folder that every one of them names."""
    return str(error).removeprefix(f"{folder}: ")
