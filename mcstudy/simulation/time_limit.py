"""A call that may take so long: ended by an exception where it hangs in Python code."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class TimeLimitExceeded(BaseException):
    """A call took longer than its time limit; no Exception, so that no fit catches it unawares."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"longer than its time limit of {limit:g} s")


class _Alarm:
    """A signal handler that raises once, and only while it is armed."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.armed = False

    def __call__(self, *_: Any) -> None:
        if self.armed:
            self.armed = False
            raise TimeLimitExceeded(self.limit)


def within(
    limit: float,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Call a function, for `limit` seconds at most.

    Compiled code is not cut into, and in another thread than the main one nothing is: a signal
    reaches Python code of the main thread only.

    Raises
    ------
    TimeLimitExceeded
        In the middle of the call. None comes after `within` has returned or raised.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*args, **kwargs)
    alarm = _Alarm(limit)
    before = signal.signal(signal.SIGALRM, alarm)
    timer = signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        try:
            alarm.armed = True
            return function(*args, **kwargs)
        finally:
            alarm.armed = False  # one that comes before this line raises here, inside `within`
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
        if timer[0]:  # of somebody else, who waits a little longer
            signal.setitimer(signal.ITIMER_REAL, *timer)
