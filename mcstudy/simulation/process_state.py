"""What a call of a user's function leaves behind in its process, put back after the call.

A replicate must not find what another one has left, and a run must go on: a folder that is not the
working directory any more, a timer that ends the process, modules that have gone.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import warnings
from _signal import getsignal  # type: ignore[import-not-found]  # 100 times as fast as signal's own
from contextlib import suppress
from typing import Any

_NEEDED = ("numpy", "pandas", "pyarrow", "scipy", "os", "sys", "warnings")
# How a worker ends in which a call has lowered a limit, or used it up; no other code means it.
LIMIT_REACHED = 87
_FILES, _MEMORY = resource.RLIMIT_NOFILE, resource.RLIMIT_AS
# As plain integers, which are looked up faster than members of an enum.
_SIGNALS = (int(signal.SIGINT), int(signal.SIGTERM), int(signal.SIGALRM))
_ENVIRONMENT: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
"""What `os.environ` holds, undecoded: comparing it takes a hundredth of the time."""


class ProcessState:
    """The state of the process before some calls, in some respects.

    They are: the working directory, the environment, the handlers and the timer of signals, the
    limits of recursion, open files and memory, the modules, and the warnings that were shown once.
    """

    def __init__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        self._timed = self._main and signal.getitimer(signal.ITIMER_REAL)[0] > 0
        self._environment = dict(_ENVIRONMENT)
        self._once = dict(_shown_once())
        self._seen = _look()
        self._note_modules()

    def restore(self) -> None:
        """Make the state what it was; end the process if it is a child that the call has forked.

        Every call pays for this look, so it compares the most at once: what differs is sought only
        where something does.
        """
        if (
            _look() != self._seen
            or self._environment != _ENVIRONMENT
            or len(sys.modules) != len(self._modules)
            or tuple(map(sys.modules.get, _NEEDED)) != self._needed
            or _shown_once() != self._once
            or (self._main and not self._timed and signal.getitimer(signal.ITIMER_REAL)[0])
        ):
            self._restore()

    def restore_modules(self) -> None:
        """Make the modules what they were, if some have gone; others in their place do not fit."""
        if not self._modules.keys() <= sys.modules.keys():
            sys.modules.clear()
            sys.modules.update(self._modules)

    def _note_modules(self) -> None:
        self._modules = sys.modules.copy()  # a fifth of the time of dict(...)
        self._needed = tuple(map(sys.modules.get, _NEEDED))

    def _restore(self) -> None:
        process, folder, deepest, files, memory, *handlers = self._seen
        if os.getpid() != process:
            os._exit(0)
        if folder is not None and _working_directory() != folder:
            with suppress(OSError):
                os.chdir(folder)
        for name in _ENVIRONMENT.keys() - self._environment.keys():
            del os.environb[name]
        for name, value in self._environment.items():
            if _ENVIRONMENT.get(name) != value:
                os.environb[name] = value
        for limit, before in ((_FILES, files), (_MEMORY, memory)):
            try:
                resource.setrlimit(limit, before)
            except (OSError, ValueError):  # a hard limit that was lowered stays so
                if self._main and handlers[0] is signal.SIG_IGN:  # in a worker, not in the run
                    os._exit(LIMIT_REACHED)
        sys.setrecursionlimit(deepest)
        needed = zip(_NEEDED, self._needed, strict=True)
        replaced = any(was is not None and sys.modules.get(name) is not was for name, was in needed)
        if replaced or len(sys.modules) < len(self._modules):
            sys.modules.clear()
            sys.modules.update(self._modules)
        self._note_modules()
        once = _shown_once()
        once.clear()
        once.update(self._once)
        if self._main:
            if not self._timed:
                signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in zip(_SIGNALS, handlers, strict=True):
                if getsignal(number) is not handler and handler is not None:
                    signal.signal(number, handler)


def _look() -> tuple[Any, ...]:
    """Return what a glance shows of the state of the process."""
    return (
        os.getpid(),
        _working_directory(),
        sys.getrecursionlimit(),
        resource.getrlimit(_FILES),
        resource.getrlimit(_MEMORY),
        *map(getsignal, _SIGNALS),
    )


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _shown_once() -> dict[Any, Any]:
    """Return Python's own record of the warnings that a filter shows once per process."""
    shown: dict[Any, Any] = getattr(warnings, "onceregistry", {})
    return shown
