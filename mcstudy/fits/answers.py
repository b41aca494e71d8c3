"""The columns that one method fills in one job: a row for each replicate, whatever happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.errors import StudyError
from mcstudy.method import Estimate, Fit, Status

DEFAULT_INTERVAL = "default"
STATUSES = tuple(Status)
_CODES = {status: code for code, status in enumerate(STATUSES)}
_OK, _NOT_FINITE, _ERROR = _CODES[Status.OK], _CODES[Status.NOT_FINITE], _CODES[Status.ERROR]

Rows = int | NDArray[np.intp]


class AnswerError(StudyError):
    """What a method returned is not an answer."""


class Column(NamedTuple):
    """What a column of numbers holds: kind is estimate, std_error, lower or upper."""

    kind: str
    estimand: str
    interval: str = ""


class Answers:
    """The answers of one method to a run of replicates, in columns.

    Parameters
    ----------
    count : int
        The number of replicates; each starts as a failed fit without a message.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.status = np.full(count, _ERROR, dtype=np.int8)
        self.messages: dict[int, str] = {}
        self.seconds = np.zeros(count)
        self.numbers: dict[Column, NDArray[np.float64]] = {}
        self.diagnostics: dict[str, list[Any]] = {}

    def put(self, row: int, answer: Any) -> None:
        """Store the answer to one replicate; raise AnswerError if it is none."""
        self._put(row, answer, _number, math.isfinite)

    def put_batch(self, rows: NDArray[np.intp], answer: Any) -> None:
        """Store the answer to a batch, arrays of shape (R,); raise AnswerError if it is none."""

        def numbers(value: Any, what: str) -> NDArray[np.float64]:
            return _numbers(value, what, len(rows))

        self._put(rows, answer, numbers, np.isfinite)

    def _put(
        self,
        rows: Any,
        answer: Any,
        convert: Callable[[Any, str], Any],
        isfinite: Callable[[Any], Any],
    ) -> None:
        fit = answer if type(answer) is Fit else Fit(answer)
        if not isinstance(fit.estimates, Mapping) or not fit.estimates:
            raise AnswerError(f"returned {_short(answer)}; return {{estimand: Estimate(...)}}")
        finite: Any = True
        for estimand, estimate in fit.estimates.items():
            if type(estimate) is not Estimate:
                raise AnswerError(
                    f"returned {_short(estimate)} for {estimand!r}; return Estimate(value, ...)"
                )
            value = convert(estimate.value, estimand)
            self._column("estimate", estimand)[rows] = value
            finite = finite & isfinite(value)
            if estimate.std_error is not None:
                self._column("std_error", estimand)[rows] = convert(estimate.std_error, estimand)
            if estimate.lower is not None or estimate.upper is not None:
                limits = (estimate.lower, estimate.upper)
                self._put_interval(rows, estimand, DEFAULT_INTERVAL, limits, convert)
            if estimate.intervals:
                for name, limits in estimate.intervals.items():
                    self._put_interval(rows, estimand, name, limits, convert)
        self._put_status(rows, fit.status, finite)
        if fit.message:
            self._put_messages(rows, fit.message)
        if fit.diagnostics:
            for name, value in fit.diagnostics.items():
                self._put_diagnostic(rows, name, value)

    def _put_interval(
        self,
        rows: Any,
        estimand: str,
        interval: str,
        limits: tuple[Any, Any],
        convert: Callable[[Any, str], Any],
    ) -> None:
        try:
            lower, upper = limits
        except (TypeError, ValueError):
            raise AnswerError(
                f"returned {_short(limits)} as interval {interval!r} of {estimand!r}; "
                "return (lower, upper)"
            ) from None
        self._column("lower", estimand, interval)[rows] = convert(lower, estimand)
        self._column("upper", estimand, interval)[rows] = convert(upper, estimand)

    def _put_status(self, rows: Any, given: Any, finite: Any) -> None:
        """Store the status given, or the one that the estimates show; ok needs finite estimates."""
        judged = (
            np.where(finite, _OK, _NOT_FINITE)
            if isinstance(rows, np.ndarray)
            else (_OK if finite else _NOT_FINITE)
        )
        if given is None:
            self.status[rows] = judged
        elif isinstance(given, str):
            code = _status_code(given)
            self.status[rows] = judged if code == _OK else code
        else:
            codes = np.array([_status_code(status) for status in given], dtype=np.int8)
            self.status[rows] = np.where(codes == _OK, judged, codes)

    def _put_messages(self, rows: Any, message: Any) -> None:
        if isinstance(rows, np.ndarray):
            messages = [message] * len(rows) if isinstance(message, str) else message
            for row, text in zip(rows.tolist(), messages, strict=True):
                self.note(row, text)
        else:
            self.note(rows, str(message))

    def _put_diagnostic(self, rows: Any, name: str, value: Any) -> None:
        column = self.diagnostics.setdefault(name, [None] * self.count)
        if isinstance(rows, np.ndarray):
            values = np.broadcast_to(np.asarray(value), (len(rows),)).tolist()
            for row, item in zip(rows.tolist(), values, strict=True):
                column[row] = item
        else:
            item = value.item() if isinstance(value, np.generic | np.ndarray) else value
            if not isinstance(item, bool | int | float | str | None):
                raise AnswerError(
                    f"returned {_short(value)} as diagnostic {name!r}; "
                    "return a bool, int, float or str"
                )
            column[rows] = item

    def note(self, row: int, text: str) -> None:
        """Add to the message of a row."""
        if text:
            self.messages[row] = "; ".join(filter(None, (self.messages.get(row), text)))

    def fail(self, row: int, message: str) -> None:
        """Turn a row into a failed fit: no numbers, status error, and why."""
        self.note(row, message)
        self._clear(row, _ERROR)

    def end(self, row: int, status: Status, message: str) -> None:
        """Turn a row into a fit that was cut short: no numbers, and only this message."""
        self.messages[row] = message
        self._clear(row, _CODES[status])

    def _clear(self, row: int, code: int) -> None:
        self.status[row] = code
        for column in self.numbers.values():
            column[row] = np.nan
        for values in self.diagnostics.values():
            values[row] = None

    def truncate(self, count: int) -> None:
        """Keep the first `count` rows."""
        self.count = count
        self.status = self.status[:count]
        self.seconds = self.seconds[:count]
        self.numbers = {key: column[:count] for key, column in self.numbers.items()}
        self.diagnostics = {name: values[:count] for name, values in self.diagnostics.items()}

    def _column(self, kind: str, estimand: str, interval: str = "") -> NDArray[np.float64]:
        key = Column(kind, estimand, interval)
        column = self.numbers.get(key)
        if column is None:
            column = self.numbers[key] = np.full(self.count, np.nan)
        return column


def _number(value: Any, estimand: str) -> float:
    """Return the value as a float; None is missing."""
    if type(value) is float or type(value) is np.float64:
        return value
    if value is None:
        return math.nan
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value)
    raise AnswerError(f"returned {_short(value)} in the Estimate of {estimand!r}; give numbers")


def _numbers(value: Any, estimand: str, count: int) -> NDArray[np.float64]:
    """Return the values of a batch as floats of shape (count,)."""
    if value is None:
        return np.full(count, np.nan)
    array = np.asarray(value)
    if array.shape != (count,) or array.dtype.kind not in "fiu":
        raise AnswerError(
            f"returned an array of shape {array.shape} and type {array.dtype} in the Estimate of "
            f"{estimand!r}; give numbers of shape ({count},)"
        )
    return array.astype(np.float64)


def _status_code(status: str) -> int:
    try:
        return _CODES[Status(status)]
    except ValueError:
        raise AnswerError(
            f"returned status {status!r}; the statuses are {', '.join(STATUSES)}"
        ) from None


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
