"""What a method returned, checked whole before any of it is stored."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.arguments import short
from mcstudy.columns import BESIDE_DIAGNOSTICS
from mcstudy.errors import StudyError
from mcstudy.method import Estimate, Fit, Status
from mcstudy.simulation.call import plain_text

DEFAULT_INTERVAL = "default"
TEST = "p_value"
"""What stands in place of an interval where a number is of a test."""
TRUTH = "truth"
"""The kind of a true value that each data set has of its own."""
MAIN = ("estimate", TEST)
"""Kinds of numbers of which a usable fit has one."""
STATUSES = tuple(Status)
CODES = {status: code for code, status in enumerate(STATUSES)}
_short = functools.partial(short, most=60)  # a message ends in what to return instead
_OK, _NOT_FINITE = CODES[Status.OK], CODES[Status.NOT_FINITE]


class AnswerError(StudyError):
    """What a method returned is not an answer."""


class Column(NamedTuple):
    """What a column of numbers holds: estimate, std_error, df, lower, upper, p_value or truth.

    The interval of a p-value is `TEST`.
    """

    kind: str
    estimand: str
    interval: str = ""


class Answer(NamedTuple):
    """What a method said of one replicate or of a batch: checked, judged, and not yet stored.

    Parameters
    ----------
    numbers : dict of Column to float or array of shape (R,)
        Missing ones are NaN.
    status : int or array of shape (R,)
        Places in `STATUSES`.
    message : str or list of R str
        In the method's own words.
    diagnostics : dict of str to value or list of R values
        Each a bool, int, float or str, or None where it is missing.
    """

    numbers: dict[Column, Any]
    status: Any
    message: str | list[str]
    diagnostics: dict[str, Any]


def checked(answer: Any, count: int | None = None) -> Answer:
    """Return an answer to one replicate, or to a batch of `count`, ready to be stored.

    Raises
    ------
    AnswerError
        With what is wrong about it; nothing of such an answer is stored.
    """
    fit = answer if type(answer) is Fit else Fit(answer)
    if count is None and fit.status == Status.SKIPPED:
        return Answer({}, CODES[Status.SKIPPED], _message(fit.message, None), _own(fit, None))
    if not isinstance(fit.estimates, Mapping) or not fit.estimates:
        raise AnswerError(f"returned {_short(answer)}; return {{estimand: Estimate(...)}}")
    numbers: dict[Column, Any] = {}
    finite: Any = True
    for estimand, estimate in fit.estimates.items():
        key = column_of("estimate", estimand)
        if type(estimate) is not Estimate:
            estimate = Estimate(_plain_value(estimate, estimand))
        if estimate.p_value is not None:
            value = _add_p_value(numbers, estimand, estimate, count)
        if estimate.p_value is None or any(given is not None for given in estimate[:-1]):
            value = numbers[key] = _number(estimate.value, estimand, count)
        finite = finite & (math.isfinite(value) if count is None else np.isfinite(value))
        if estimate.std_error is not None:
            _add_std_error(numbers, estimand, estimate.std_error, count)
        if estimate.df is not None:
            _add_df(numbers, estimand, estimate, count)
        if estimate.lower is not None or estimate.upper is not None:
            _add_interval(
                numbers, estimand, DEFAULT_INTERVAL, (estimate.lower, estimate.upper), count
            )
        for interval, limits in (estimate.intervals or {}).items():
            _add_interval(numbers, estimand, interval, limits, count)
    status = _status(fit.status, finite, count)
    if count is not None and (skipped := status == CODES[Status.SKIPPED]).any():
        numbers = {key: np.where(skipped, np.nan, column) for key, column in numbers.items()}
    return Answer(numbers, status, _message(fit.message, count), _own(fit, count))


def _plain_value(value: Any, estimand: str) -> Any:
    """Return a number, or those of a batch, that stand in place of an `Estimate`; True is 1."""
    array = np.asanyarray(value) if isinstance(value, np.ndarray | list) else value
    if isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
        return array.astype(float) if array.dtype.kind == "b" else array
    if isinstance(value, bool | np.bool_):
        return float(value)
    if isinstance(value, int | float | np.integer | np.floating) or labels_of(value) is not None:
        return value
    raise AnswerError(
        f"returned {_short(value)} for {estimand!r}; return Estimate(value, ...), or a number"
    )


def _own(fit: Fit, count: int | None) -> dict[str, Any]:
    """Return the diagnostics of a fit, or of a batch."""
    given = (fit.diagnostics or {}).items()
    return {name: _diagnostic(name, value, count) for name, value in given}


@functools.lru_cache(maxsize=4096)  # more than a wide study has: 5 kinds x 800 estimands
def column_of(kind: str, estimand: Any, interval: Any = "") -> Column:
    """Return a column of numbers; raise AnswerError for a name that no table can hold.

    It is one and the same each time: that saves a tenth of what a trivial replicate takes.
    """
    _check_name(estimand, "an estimand")
    if kind in ("lower", "upper"):
        _check_name(interval, f"an interval of {estimand!r}")
    return Column(kind, estimand, interval)


def _add_std_error(
    numbers: dict[Column, Any], estimand: str, given: Any, count: int | None
) -> None:
    std_error = numbers[column_of("std_error", estimand)] = _number(given, estimand, count)
    if std_error < 0 if count is None else np.any(std_error < 0):
        raise AnswerError(f"returned a standard error below 0 for {estimand!r}; give it as None")


def _add_df(
    numbers: dict[Column, Any], estimand: str, estimate: Estimate, count: int | None
) -> None:
    """Add the degrees of freedom of a standard error; one number holds for a whole batch."""
    if estimate.std_error is None:
        raise AnswerError(f"returned df without a standard error for {estimand!r}; give both")
    if estimate.intervals or estimate.lower is not None or estimate.upper is not None:
        raise AnswerError(
            f"returned df and an interval of its own for {estimand!r}; df is for the interval that "
            "is formed from the standard error: leave one of the two out"
        )
    df = _number(estimate.df, estimand, None if np.ndim(estimate.df) == 0 else count)
    if np.any(df <= 0):
        raise AnswerError(f"returned df {np.min(df):g} for {estimand!r}; give a number above 0")
    numbers[column_of("df", estimand)] = df


def _add_p_value(
    numbers: dict[Column, Any], estimand: str, estimate: Estimate, count: int | None
) -> Any:
    if TEST in (estimate.intervals or {}):
        raise AnswerError(
            f"returned an interval called {TEST!r} beside a p-value for {estimand!r}; give it "
            "another name"
        )
    p = numbers[column_of(TEST, estimand, TEST)] = _number(estimate.p_value, estimand, count)
    if np.any((p < 0) | (p > 1)):
        off = float(p if count is None else p[(p < 0) | (p > 1)][0])
        raise AnswerError(
            f"returned the p-value {off:g} for {estimand!r}; give a number between 0 and 1"
        )
    return p


def _add_interval(
    numbers: dict[Column, Any], estimand: str, interval: str, limits: Any, count: int | None
) -> None:
    key = column_of("lower", estimand, interval)
    if key in numbers:
        raise AnswerError(
            f"returned two intervals called {interval!r} for {estimand!r}, one of them as "
            "lower and upper; give one of the two another name"
        )
    try:
        lower, upper = limits
    except (TypeError, ValueError):
        raise AnswerError(
            f"returned {_short(limits)} as interval {interval!r} of {estimand!r}; "
            "return (lower, upper)"
        ) from None
    lower = numbers[key] = _number(lower, estimand, count)
    upper = numbers[column_of("upper", estimand, interval)] = _number(upper, estimand, count)
    if lower > upper if count is None else np.any(lower > upper):
        raise AnswerError(
            f"returned a lower limit above the upper one as interval {interval!r} of "
            f"{estimand!r}; return (lower, upper)"
        )


def _status(given: Any, finite: Any, count: int | None) -> Any:
    """Return the status given, or the one that the estimates show; ok needs finite estimates."""
    if count is None:
        code = _OK if given is None else _status_code(given)
        return code if code != _OK or finite else _NOT_FINITE
    judged = np.where(finite, _OK, _NOT_FINITE)
    if given is None:
        return judged
    statuses = _list_of(given, "status", count)
    codes = np.array([_status_code(status) for status in statuses], dtype=np.int8)
    return np.where(codes == _OK, judged, codes)


def _message(given: Any, count: int | None) -> str | list[str]:
    if count is None:
        return plain_text(given) if given else ""
    if isinstance(given, str) and not given:
        return []
    return [plain_text(text) if text else "" for text in _list_of(given, "message", count)]


def _diagnostic(name: Any, value: Any, count: int | None) -> Any:
    """Return the values of a diagnostic, None for NaN and what is masked."""
    _check_name(name, "a diagnostic")
    if name in BESIDE_DIAGNOSTICS:
        raise AnswerError(f"returned a diagnostic called {name!r}, which fits has; rename it")
    if count is None:
        return _diagnostic_item(name, value)
    plain = type(value) is np.ndarray and value.shape == (count,)
    if plain and (
        value.dtype.kind in "bi" or (value.dtype == np.float64 and not np.isnan(value).any())
    ):
        return value.tolist()
    return [_diagnostic_item(name, item) for item in _list_of(value, f"diagnostic {name}", count)]


def _diagnostic_item(name: str, value: Any) -> bool | int | float | str | None:
    item = value
    if isinstance(value, np.generic | np.ndarray) and value.size == 1:
        item = _scalar(value)
    if item is None or isinstance(item, bool):
        return item
    if isinstance(item, int) and abs(item) < 2**63:
        return int(item)
    if isinstance(item, float):
        return float(item) if item == item else None
    if isinstance(item, str):
        return plain_text(item)
    raise AnswerError(
        f"returned {_short(value)} as diagnostic {name!r}; "
        "return a bool, int (of 64 bits), float or str"
    )


def _list_of(value: Any, what: str, count: int) -> Sequence[Any]:
    """Return what a batch says of each replicate; one word or number is said of all."""
    if isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "ndim", 1) == 0:
        return [value] * count
    if len(value) != count:
        raise AnswerError(f"returned {len(value)} values as {what} of {count} replicates")
    if isinstance(value, Mapping | Set) or is_frame(value) or is_shuffled(value):
        raise AnswerError(
            f"returned {_short(value)} as {what}; return a list or an array in the order of the "
            "replicates"
        )
    return value.tolist() if isinstance(value, np.ndarray) else list(value)


def is_frame(thing: Any) -> bool:
    """Return whether a thing is a table, whose items are columns: of pandas, Polars, Arrow."""
    if isinstance(thing, np.ndarray):
        return False
    return hasattr(type(thing), "columns") or hasattr(type(thing), "column_names")


def is_shuffled(thing: Any) -> bool:
    """Return whether a thing has labels, as a pandas Series, that are 0 to R - 1 in other order."""
    labels = labels_of(thing)
    if labels is None:
        return False
    numbers = list(range(len(labels)))
    return labels != numbers and set(labels) == set(numbers)


def labels_of(thing: Any) -> list[Any] | None:
    """Return the labels of a pandas Series; None for what has none."""
    return list(thing.index) if hasattr(type(thing), "iloc") else None


def _check_name(name: Any, what: str) -> None:
    """Raise AnswerError for a name that no table can hold."""
    if not isinstance(name, str) or not name or plain_text(name) != name or "\0" in name:
        raise AnswerError(f"returned {_short(name)} as the name of {what}; use a plain text")


def _number(value: Any, estimand: str, count: int | None) -> Any:
    """Return a value as a float, or the values of a batch as floats of shape (count,).

    None, and what is masked, is missing.
    """
    if count is not None:
        return _numbers(value, estimand, count)
    if type(value) is float or type(value) is np.float64:
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = _scalar(value)
    if value is None:
        return math.nan
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value)
    raise AnswerError(f"returned {_short(value)} in the Estimate of {estimand!r}; give numbers")


def _numbers(value: Any, estimand: str, count: int) -> NDArray[np.float64]:
    if value is None:
        return np.full(count, np.nan)
    if is_shuffled(value):
        raise AnswerError(
            f"returned a Series in the Estimate of {estimand!r} whose index is 0 to {count - 1} "
            "in another order; sort it by its index, or give an array"
        )
    array = np.asanyarray(value)
    if array.shape != (count,) or array.dtype.kind not in "fiu":
        raise AnswerError(
            f"returned an array of shape {array.shape} and type {array.dtype} in the Estimate of "
            f"{estimand!r}; give numbers of shape ({count},)"
        )
    floats = array.astype(np.float64)
    return floats.filled(np.nan) if isinstance(floats, np.ma.MaskedArray) else np.asarray(floats)


def _scalar(value: Any) -> Any:
    """Return the one item of an array, None if it is masked."""
    return None if np.ma.is_masked(value) else value.item()


def _status_code(status: Any) -> int:
    try:
        return CODES[status]  # a text is its status
    except (KeyError, TypeError):
        raise AnswerError(
            f"returned status {status!r}; the statuses are {', '.join(STATUSES)}"
        ) from None
