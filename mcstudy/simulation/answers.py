"""The columns that one method fills in one job: a row for each replicate, whatever happened."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcstudy.method import Status
from mcstudy.simulation.validation import CODES, TRUTH, Answer, Column


class Answers:
    """The answers of one method to a run of replicates, in columns. Each starts as a failed fit."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.status = np.full(count, CODES[Status.ERROR], dtype=np.int8)
        self.messages: dict[int, str] = {}
        self.warned = np.zeros(count, dtype=bool)
        self.seconds = np.zeros(count)
        self.numbers: dict[Column, NDArray[np.float64]] = defaultdict(
            lambda: np.full(count, np.nan)
        )
        self.diagnostics: dict[str, list[Any]] = defaultdict(lambda: [None] * count)

    def store(self, row: int, answer: Answer) -> None:
        """Store a checked answer to one replicate."""
        for key, number in answer.numbers.items():
            self.numbers[key][row] = number
        self.status[row] = answer.status
        if answer.message:
            self.note(row, str(answer.message))
        for name, value in answer.diagnostics.items():
            self.diagnostics[name][row] = value

    def store_batch(self, rows: NDArray[np.intp], answer: Answer) -> None:
        """Store a checked answer to a batch, arrays of shape (R,)."""
        for key, numbers in answer.numbers.items():
            self.numbers[key][rows] = numbers
        self.status[rows] = answer.status
        places = rows.tolist()
        for row, text in zip(places, answer.message, strict=False):  # it may have none
            if text:
                self.note(row, text)
        for name, values in answer.diagnostics.items():
            column = self.diagnostics[name]
            if places[-1] - places[0] == len(places) - 1:  # none is left out
                column[places[0] : places[-1] + 1] = values
                continue
            for row, value in zip(places, values, strict=True):
                column[row] = value

    def note(self, row: int, text: str) -> None:
        """Add to the message of a row."""
        if text:
            self.messages[row] = "; ".join(filter(None, (self.messages.get(row), text)))

    def warn(self, row: int, text: str) -> None:
        """Add warnings to the message of a row."""
        if text:
            self.note(row, text)
            self.warned[row] = True

    def fail(self, row: int, message: str) -> None:
        """Turn a row into a failed fit: no numbers, status error, and why."""
        self.note(row, message)
        self._clear(row, CODES[Status.ERROR])

    def end(self, row: int, status: Status, message: str) -> None:
        """Turn a row into a fit that was cut short: no numbers, and only this message."""
        self.messages[row] = message
        self.warned[row] = False
        self._clear(row, CODES[status])

    def _clear(self, row: int, code: int) -> None:
        self.status[row] = code
        for key, column in self.numbers.items():
            if key.kind != TRUTH:  # the data set has it, whatever a method makes of it
                column[row] = np.nan
        for values in self.diagnostics.values():
            values[row] = None

    def same_as(self, other: Answers, *, within: float = 0.0) -> bool:
        """Return whether the numbers are those of another, to a relative difference of `within`."""
        return self.numbers.keys() == other.numbers.keys() and all(
            np.allclose(values, other.numbers[column], rtol=within, atol=within**2, equal_nan=True)
            for column, values in self.numbers.items()
        )

    def truncate(self, count: int) -> None:
        """Keep the first `count` rows."""
        self.count = count
        self.status = self.status[:count]
        self.warned = self.warned[:count]
        self.seconds = self.seconds[:count]
        self.numbers = {key: column[:count] for key, column in self.numbers.items()}
        self.diagnostics = {name: values[:count] for name, values in self.diagnostics.items()}
