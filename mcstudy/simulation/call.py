"""A call of a user's function: whatever it raises or warns is caught and put into words."""

from __future__ import annotations

import bdb
import contextvars
import re
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcstudy.simulation.process_state import ProcessState

_AS_NUMPY_STARTS: dict[str, Any] = {
    "divide": "warn",
    "over": "warn",
    "under": "ignore",
    "invalid": "warn",
}
# Before version 2 what numpy does about floating-point errors belonged to a thread, not a context.
_ERRORS_BY_THREAD = int(np.__version__.partition(".")[0]) < 2
MOST_CHARACTERS = 2000  # of a message: a warning that quotes its data would fill the tables
_TOO_DEEP = "maximum recursion depth exceeded"
_MEMORY_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")


class TimeLimitExceeded(BaseException):
    """A call took longer than its time limit; no Exception, so that no fit catches it unawares."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"longer than its time limit of {limit:g} s")


@dataclass(slots=True)
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


class Caller:
    """Calls the user's functions, as a context manager: for one call, or for all those of a job.

    Whatever a call raises or warns is caught, and what it leaves behind in the process is put back.
    What differs from call to call, filters of warnings and states of numpy among it, is the same
    for each: a call runs in a copy of one context.
    The work that `attempt` is given calls a user's function by `run`, which counts its seconds.
    """

    def __enter__(self) -> Caller:
        self._state, self._deepest = ProcessState(), sys.getrecursionlimit()
        self._errors = np.errstate(**_AS_NUMPY_STARTS)
        self._errors.__enter__()
        self._record_warnings()
        return self

    def __exit__(self, *_: object) -> None:
        self._recording.__exit__(None, None, None)
        self._errors.__exit__(None, None, None)
        self._state.restore_modules()

    def attempt(
        self,
        work: Callable[..., Any],
        /,
        *args: Any,
        limit: float | None = None,
        clock: Callable[[bool], None] | None = None,
    ) -> Outcome:
        """Do the work that a call of a user's function takes; catch what it raises and warns.

        It calls the function by `run`, which may take `limit` seconds: a longer call ends in a
        `TimeLimitExceeded`, whatever it returned or raised. `clock` hears ``True`` when the
        function begins, ``False`` when it has ended.

        Only an interrupt from the keyboard and a debugger's quit pass through. Where the keyboard
        interrupts nothing, as in a worker process, the function itself has raised it.
        """
        value: Any = None
        exception: BaseException | None = None
        self._limit, self._clock, self._seconds = limit, clock, 0.0
        self._caught.clear()
        try:
            value = self._context.copy().run(work, *args)
        except (KeyboardInterrupt, bdb.BdbQuit) as error:
            plain = type(error) in (KeyboardInterrupt, bdb.BdbQuit)  # SIGTERM raises its own kind
            if not plain or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                raise
            exception = error
        except BaseException as error:  # noqa: BLE001 - a fit that calls sys.exit is a failed fit
            exception = error
        warned = _warnings_in_words(self._caught) if self._caught else ""
        if (
            warnings.filters is not self._filters
            or warnings.filters != self._filters_then
            or warnings.showwarning is not self._show
        ):
            self._recording.__exit__(None, None, None)
            self._record_warnings()
        if _ERRORS_BY_THREAD:
            np.seterr(**_AS_NUMPY_STARTS)
        if limit is not None and self._seconds > limit:
            value, exception = None, TimeLimitExceeded(limit)
        return Outcome(value, exception, warned, self._seconds)

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function and return what it returns."""
        if self._clock is not None:
            self._clock(True)
        begun = time.perf_counter()
        try:
            if self._limit is None:
                return function(*args, **kwargs)
            return within(self._limit, function, args, kwargs)
        finally:
            sys.setrecursionlimit(self._deepest)  # first: a low one lets no function be called
            self._seconds += time.perf_counter() - begun
            self._state.restore()
            if self._clock is not None:
                self._clock(False)

    def _record_warnings(self) -> None:
        self._recording = warnings.catch_warnings(record=True, action="always")
        caught = self._recording.__enter__()
        assert caught is not None
        self._caught: list[warnings.WarningMessage] = caught
        self._filters, self._filters_then = warnings.filters, [*warnings.filters]
        self._show = warnings.showwarning
        self._context = contextvars.copy_context()


def attempt(function: Callable[[], Any], limit: float | None) -> Outcome:
    """Call a function, for `limit` seconds at most; see `Caller.attempt`."""
    with Caller() as caller:
        return caller.attempt(caller.run, function, limit=limit)


def within(
    limit: float,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Call a function, for `limit` seconds at most.

    `TimeLimitExceeded` is raised in the middle of the call, and none after `within` has returned or
    raised. Compiled code is not cut into, and in another thread than the main one nothing is: a
    signal reaches Python code of the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*args, **kwargs)
    is_armed = False

    def alarm(*_: Any) -> None:
        nonlocal is_armed
        if is_armed:
            is_armed = False
            raise TimeLimitExceeded(limit)

    before = signal.signal(signal.SIGALRM, alarm)
    timer = signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        try:
            is_armed = True
            return function(*args, **kwargs)
        finally:
            is_armed = False  # one that comes before this line raises here, inside `within`
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
        if timer[0]:  # of somebody else, who waits a little longer
            signal.setitimer(signal.ITIMER_REAL, *timer)


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
