"""One fit, done again or as it was stored: its numbers, status, message and traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mcstudy.simulation.validation import TEST, TRUTH
from mcstudy.storage.parts import DamagedError, Part, column_key, diagnostic_text, read_head
from mcstudy.storage.provenance import Mark
from mcstudy.storage.sum_parts import read_summaries

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Answer:
    """What a method said of one data set, and how the fit ended.

    Parameters
    ----------
    status : str
        The word of a `Status`.
    message : str
        Warnings, or the exception, in words; empty if there were none.
    numbers : mapping of tuple to float
        By kind (estimate, std_error, lower, upper, p_value, truth), estimand and interval; what is
        missing is not in it.
    diagnostics : mapping of str to bool, int, float or str
        The method's own.
    truths : mapping of str to float
        By estimand, those that all replicates share.
    seconds : float
        The time it took.
    traceback : str
        Of the exception, from the user's function on; empty if there was none or it was stored.
    """

    status: str
    message: str
    numbers: Mapping[tuple[str, ...], float]
    diagnostics: Mapping[str, Any]
    truths: Mapping[str, float]
    seconds: float
    traceback: str = ""

    @property
    def estimates(self) -> pd.DataFrame:
        """One row per estimand and interval: truth, estimate, std_error, interval, lower, upper."""
        import pandas as pd

        tested = {key[1] for key in self.numbers if key[0] == TEST}
        own = {key[1]: value for key, value in self.numbers.items() if key[0] == TRUTH}
        cells = {
            (key[1], "" if key[0] == TEST else key[2]) for key in self.numbers if key[0] != TRUTH
        }
        wide = {estimand for estimand, interval in cells if interval}
        lines = [
            {
                "estimand": estimand,
                "truth": own.get(estimand, self.truths.get(estimand)),
                "estimate": self.numbers.get(("estimate", estimand, "")),
                "std_error": self.numbers.get(("std_error", estimand, "")),
                "interval": interval or None,
                "lower": self.numbers.get(("lower", estimand, interval)),
                "upper": self.numbers.get(("upper", estimand, interval)),
                TEST: self.numbers.get((TEST, estimand, TEST)),
            }
            for estimand, interval in sorted(cells)
            if interval or estimand not in wide
        ]
        columns = ["estimand", "truth", "estimate", "std_error", "interval", "lower", "upper"]
        columns += [TEST] if tested else []
        return pd.DataFrame(lines, columns=columns)

    def differences(self, other: Answer) -> list[str]:
        """Return in words what is not equal bit for bit; the time does not count."""
        said = []
        for name in ("status", "message"):
            here, there = getattr(self, name), getattr(other, name)
            if here != there:
                said.append(f"{name}: {here!r}, stored {there!r}")
        for key in sorted(self.numbers.keys() | other.numbers.keys()):
            one, two = self.numbers.get(key), other.numbers.get(key)
            if bits(one) != bits(two):
                said.append(f"{' '.join(filter(None, key))}: {one!r}, stored {two!r}")
        for name in sorted(self.diagnostics.keys() | other.diagnostics.keys()):
            texts = [diagnostic_text(who.diagnostics.get(name)) for who in (self, other)]
            if texts[0] != texts[1]:
                said.append(f"diagnostic {name}: {texts[0]}, stored {texts[1]}")
        return said


def read_answer(rows: pa.Table, replicate: int, truths: Mapping[str, float]) -> Answer | None:
    """Return the answer in the row of a part, None if it has no such row."""
    found = rows.filter(pc.equal(rows["replicate"], replicate)).to_pylist()
    if not found:
        return None
    row = found[0]
    numbers: dict[tuple[str, ...], float] = {}
    diagnostics: dict[str, Any] = {}
    for name, value in row.items():
        key = column_key(name)
        if value is None or value != value:
            continue
        if key[0] == "diagnostic":
            diagnostics[key[1]] = value
        elif key[0]:
            numbers[key] = value
    message = row["message"] or ""
    return Answer(row["status"], message, numbers, diagnostics, truths, row["seconds"])


def stored_answers(
    parts: Sequence[Part], replicate: int, truths: Mapping[str, float]
) -> tuple[dict[str, Answer], dict[str, Mark]]:
    """Return what parts have of a replicate by each method, and what made it."""
    answers: dict[str, Answer] = {}
    marks: dict[str, Mark] = {}
    for part in parts:
        if part.method not in answers:  # of rows that are there twice the tables have the first
            with contextlib.suppress(DamagedError):
                if answer := read_answer(part.rows(), replicate, truths):
                    answers[part.method] = answer
                    marks[part.method] = read_head(part.path).provenance
    return answers, marks


def stored_endings(parts: Sequence[Part], replicate: int) -> tuple[dict[str, str], list[str]]:
    """Return what sums still know of a replicate: how it ended by method, and that in words."""
    endings: dict[str, str] = {}
    notes = ["No rows are kept (keep='measures'): there are no numbers to compare"] * bool(parts)
    for part in parts:
        with contextlib.suppress(DamagedError):
            for outcome, addresses in read_summaries([part])[part.method].addresses.items():
                texts = dict(addresses)
                if replicate in texts:
                    endings[part.method] = outcome.status
                    words = f"{outcome.status}: {texts[replicate]}".rstrip(": ")
                    notes.append(f"Stored of '{part.method}': {words}")
    return endings, notes


def bits(number: float | None) -> str | None:
    """Return a number as a text that tells every bit."""
    return None if number is None else float(number).hex()
