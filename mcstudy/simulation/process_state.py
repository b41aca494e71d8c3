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
from _signal import getitimer, getsignal  # type: ignore[import-not-found]  # faster than signal's
from contextlib import suppress
from resource import getrlimit
from typing import Any

_NEEDED = ("numpy", "pandas", "pyarrow", "scipy", "os", "sys", "warnings")
# How a worker ends in which a call has lowered a limit, or used it up; no other code means it.
LIMIT_REACHED = 87
_FILES, _MEMORY = resource.RLIMIT_NOFILE, resource.RLIMIT_AS
# As plain integers, which are looked up faster than members of an enum.
_TIMER = int(signal.ITIMER_REAL)
_SIGNALS = (int(signal.SIGINT), int(signal.SIGTERM), int(signal.SIGALRM))
_ENVIRONMENT: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
"""What `os.environ` holds, undecoded: comparing it takes a hundredth of the time."""


class ProcessState:
    """The state of the process before some calls, in some respects.

    They are: the working directory, the environment, the handlers and the timer of signals, the
    limits of open files and memory, the modules, and the warnings that were shown once.
    """

    def __init__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        self._timed = self._main and signal.getitimer(signal.ITIMER_REAL)[0] > 0
        self._process, self._folder = os.getpid(), _working_directory()
        self._files, self._memory = map(getrlimit, (_FILES, _MEMORY))
        self._handlers = tuple(map(getsignal, _SIGNALS))
        self._environment = dict(_ENVIRONMENT)
        self._once = dict(_shown_once())
        self._note_modules()

    def restore(self) -> None:
        """Make the state what it was; end the process if it is a child that the call has forked.

        Every call pays for this look: what is to be done is sought only where something differs.
        """
        if (
            os.getpid() != self._process
            or _working_directory() != self._folder
            or self._environment != _ENVIRONMENT
            or (self._main and not self._timed and getitimer(_TIMER)[0])
            or tuple(map(getsignal, _SIGNALS)) != self._handlers
            or getrlimit(_FILES) != self._files
            or getrlimit(_MEMORY) != self._memory
            or len(sys.modules) != self._count
            or tuple(map(sys.modules.get, _NEEDED)) != self._needed
            or _shown_once() != self._once
        ):
            self._restore()

    def restore_modules(self) -> None:
        """Make the modules what they were, if some have gone; others in their place do not fit."""
        if not self._modules.keys() <= sys.modules.keys():
            sys.modules.clear()
            sys.modules.update(self._modules)

    def _note_modules(self) -> None:
        self._modules = sys.modules.copy()  # a fifth of the time of dict(...)
        self._count = len(self._modules)
        self._needed = tuple(map(sys.modules.get, _NEEDED))

    def _restore(self) -> None:
        if os.getpid() != self._process:
            os._exit(0)
        if self._folder is not None and _working_directory() != self._folder:
            with suppress(OSError):
                os.chdir(self._folder)
        for name in _ENVIRONMENT.keys() - self._environment.keys():
            del os.environb[name]
        for name, value in self._environment.items():
            if _ENVIRONMENT.get(name) != value:
                os.environb[name] = value
        for limit, before in ((_FILES, self._files), (_MEMORY, self._memory)):
            try:
                resource.setrlimit(limit, before)
            except (OSError, ValueError):  # a hard limit that was lowered stays so
                # In a worker, not in the run; `getsignal` returns a plain integer here.
                if self._main and self._handlers[0] == signal.SIG_IGN:
                    os._exit(LIMIT_REACHED)
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
            for number, handler in zip(_SIGNALS, self._handlers, strict=True):
                if getsignal(number) is not handler and handler is not None:
                    signal.signal(number, handler)


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _shown_once() -> dict[Any, Any]:
    """Return Python's own record of the warnings that a filter shows once per process."""
    shown: dict[Any, Any] = getattr(warnings, "onceregistry", {})
    return shown
