"""One question about a study and its answer: a verdict, a sentence, the numbers behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pandas as pd

from mcstudy.analysis.select import at, factor_columns, labelled, labels_of, varying
from mcstudy.labels import Labels, label
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed

MOST_ROWS = 10
"""Of a table below a sentence; the frame has all."""


class Verdict(StrEnum):
    """How a question about a study is answered."""

    FINE = "fine"
    WARNING = "warning"
    UNKNOWN = "cannot be said"


@dataclass(frozen=True)
class Check(Printed):
    """A question about a study, answered; ``str`` shows it.

    Parameters
    ----------
    name : str
        What is asked about.
    verdict : Verdict
        "fine", "warning" or "cannot be said".
    sentence : str
        The answer, with numbers.
    advice : str
        What follows from it, or what it rests on.
    frame : DataFrame
        The numbers behind it; may be empty.
    commands : tuple of str
        Command lines that show more.
    """

    name: str
    verdict: Verdict
    sentence: str
    advice: str = ""
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    commands: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """Name, verdict and answer in a line."""
        return f"{self.name} ({self.verdict}): {self.sentence}"

    def document(self) -> Document:
        """Return the answer, the table and the commands."""
        blocks = [Block(grid=self.grid())] if len(self.frame) else []
        more = len(self.frame) - MOST_ROWS
        lines = [f"  ... and {more} more"] if more > 0 else []
        lines += [f"  {command}" for command in self.commands]
        blocks += [Block(lines=lines)] if lines else []
        frames = [self.frame] if len(self.frame) else []
        return Document(f"{self.short} {self.advice}".strip(), blocks, frames=frames)

    def grid(self) -> Grid:
        """Return the first rows of the numbers behind the answer."""
        words = labels_of(self.frame)
        heads = [str(name) for name in self.frame]
        rows = [
            [_cell(name, row[name], words) for name in heads]
            for row in self.frame.head(MOST_ROWS).to_dict("records")
        ]
        first = next(
            (i for i, name in enumerate(heads) if pd.api.types.is_numeric_dtype(self.frame[name])),
            len(heads),
        )
        return Grid([label(words, name, "factor") for name in heads], rows, labels=max(first, 1))


def _cell(name: str, value: Any, words: Labels) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3g}"
    return str(value) if isinstance(value, int) else labelled(name, value, words)


@dataclass(frozen=True)
class Words:
    """The words of a study: names of methods and estimands, and where a number stands."""

    labels: Labels
    factors: list[str]

    @classmethod
    def of(cls, performance: pd.DataFrame) -> Words:
        """Return the words for a table of measures."""
        return cls(labels_of(performance), varying(performance, factor_columns(performance)))

    def cell(self, row: Mapping[Any, Any]) -> str:
        """Return "method, estimand, at n=10" of a row of a table."""
        kinds = ("method", "estimand", "interval")
        names = [labelled(k, row[k], self.labels) for k in kinds if isinstance(row.get(k), str)]
        where = self.condition(row)
        return ", ".join([*names, f"at {where}"] if where else names)

    def condition(self, row: Mapping[Any, Any]) -> str:
        """Return "n=10, sigma=1"; empty where there is one condition."""
        return at(row, self.factors, self.labels)

    def list(self, kind: str, names: Any) -> str:
        """Return names of one kind with commas."""
        return ", ".join(labelled(kind, name, self.labels) for name in names)


def about(number: float) -> str:
    """Return a number of replicates, rounded up to two digits."""
    if math.isinf(number):
        return "infinitely many"
    step = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return f"{math.ceil(number / step) * step:,}"
