"""A call of a user's function: whatever it raises or warns is caught and put into words."""

from __future__ import annotations

import bdb
import re
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcstudy.simulation.process_state import Before
from mcstudy.simulation.time_limit import TimeLimitExceeded, within

_AS_NUMPY_STARTS: dict[str, Any] = {
    "divide": "warn",
    "over": "warn",
    "under": "ignore",
    "invalid": "warn",
}
MOST_CHARACTERS = 2000  # of a message: a warning that quotes its data would fill the tables
_TOO_DEEP = "maximum recursion depth exceeded"
_MEMORY_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass
class Outcome:
    """How a call ended: its value or its exception, the warnings on the way, the time it took."""

    value: Any
    exception: BaseException | None
    warned: str
    seconds: float

    @property
    def troubled(self) -> bool:
        """Whether it raised or warned."""
        return self.exception is not None or bool(self.warned)


class Timed:
    """Calls the user's functions: each within a time limit, and nothing else is in its seconds.

    Parameters
    ----------
    limit : float or None
        The seconds that a call may take.
    clock : callable, optional
        Hears ``True`` when a call begins, ``False`` when it has ended.
    before : Before, optional
        What the process is to be like after a call; by default what it is like before it.
    """

    def __init__(
        self,
        limit: float | None,
        clock: Callable[[bool], None] | None = None,
        before: Before | None = None,
    ) -> None:
        self.limit = limit
        self._before = before
        self.seconds = 0.0
        self._clock = clock

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function and return what it returns."""
        before = self._before or Before()
        if self._clock is not None:
            self._clock(True)
        begun = time.perf_counter()
        try:
            if self.limit is None:
                return function(*args, **kwargs)
            return within(self.limit, function, args, kwargs)
        finally:
            self.seconds += time.perf_counter() - begun
            before.put_back()
            if self._clock is not None:
                self._clock(False)


Work = Callable[[Timed], Any]
"""Gets ready, calls a user's function by what it is given, and looks at the answer."""


def attempt(function: Callable[..., Any], limit: float | None) -> Outcome:
    """Call a function, for `limit` seconds at most; see `attempt_work`."""
    return attempt_work(lambda timed: timed(function), limit)


def attempt_work(
    work: Work,
    limit: float | None,
    *,
    clock: Callable[[bool], None] | None = None,
    before: Before | None = None,
) -> Outcome:
    """Do what a call of a user's function takes; catch whatever it raises, and every warning.

    Only an interrupt from the keyboard and a debugger's quit pass through. Where the keyboard
    interrupts nothing, as in a worker process, the function itself has raised it. A call that takes
    longer than its limit ends in an `TimeLimitExceeded`, whatever it returned or raised.
    """
    value: Any = None
    exception: BaseException | None = None
    timed = Timed(limit, clock, before)
    with warnings.catch_warnings(record=True) as caught, np.errstate(**_AS_NUMPY_STARTS):
        warnings.simplefilter("always")
        try:
            value = work(timed)
        except (KeyboardInterrupt, bdb.BdbQuit) as error:
            plain = type(error) in (KeyboardInterrupt, bdb.BdbQuit)  # SIGTERM raises its own kind
            if not plain or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                raise
            exception = error
        except BaseException as error:  # noqa: BLE001 - a fit that calls sys.exit is a failed fit
            exception = error
    if limit is not None and timed.seconds > limit:
        value, exception = None, TimeLimitExceeded(limit)
    return Outcome(value, exception, _warnings_in_words(caught) if caught else "", timed.seconds)


def in_words(exception: BaseException) -> str:
    """Return kind and text of an exception, without what differs from process to process."""
    text = _text(exception)
    if isinstance(exception, RecursionError) and text.startswith(_TOO_DEEP):
        text = _TOO_DEEP  # what comes behind it depends on how deep the call itself was
    return plain_text(f"{type(exception).__name__}: {text}".rstrip(": "))


def message_kind(message: str) -> str:
    """Return a message with its numbers as #: what messages of one kind have in common."""
    return _NUMBER.sub("#", message)


def plain_text(thing: object) -> str:
    """Return a text that any table can hold: whole characters, and not too many of them."""
    text = _MEMORY_ADDRESS.sub("0x...", _text(thing))
    more = len(text) - MOST_CHARACTERS
    return text if more <= 0 else f"{text[:MOST_CHARACTERS]}... ({more} more characters)"


def _text(thing: object) -> str:
    try:
        text = str(thing)
    except Exception as error:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"(its text raises {type(error).__name__})"
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _warnings_in_words(caught: Sequence[warnings.WarningMessage]) -> str:
    """Return each distinct warning once, with its count, in the order of appearance."""
    texts = Counter(f"{w.category.__name__}: {' '.join(_text(w.message).split())}" for w in caught)
    counted = (text if count == 1 else f"{text} (x{count})" for text, count in texts.items())
    return plain_text("; ".join(counted))
