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
from types import ModuleType
from typing import Any

_NEEDED = ("numpy", "pandas", "pyarrow", "scipy", "os", "sys", "warnings")
LIMIT_REACHED = 87
"""How a worker ends in which a call has lowered a limit, or used it up."""
_LIMITS = (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


_ENVIRONMENT: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
"""What `os.environ` holds, undecoded: comparing it takes a hundredth of the time."""


class Before:
    """The state of the process before a call, or before some, in some respects.

    They are: the working directory, the environment, the handlers and the timer of signals, the
    limits of recursion, open files and memory, the modules, and the warnings that were shown once.
    """

    _modules: dict[str, ModuleType] = {}  # noqa: RUF012 - one for all, renewed when some are added

    def __init__(self) -> None:
        self._process = os.getpid()
        self._folder = _working_directory()
        self._environment = dict(_ENVIRONMENT)
        self._limits = [resource.getrlimit(limit) for limit in _LIMITS]
        self._deepest = sys.getrecursionlimit()
        Before._modules = dict(sys.modules)
        self._once = dict(_shown_once())
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._handlers = [getsignal(number) for number in _SIGNALS]
            self._timer = signal.getitimer(signal.ITIMER_REAL)[0]

    def put_back(self) -> None:
        """Make the state what it was; end the process if it is a child that the call has forked."""
        if os.getpid() != self._process:
            os._exit(0)
        if _working_directory() != self._folder and self._folder is not None:
            with suppress(OSError):
                os.chdir(self._folder)
        if self._environment != _ENVIRONMENT:
            _put_environment_back(self._environment)
        for limit, before in zip(_LIMITS, self._limits, strict=True):
            if resource.getrlimit(limit) != before:
                self._put_limit_back(limit, before)
        if sys.getrecursionlimit() != self._deepest:
            sys.setrecursionlimit(self._deepest)
        if len(sys.modules) < len(Before._modules) or _are_replaced(Before._modules):
            _put_back(Before._modules)
        elif len(sys.modules) > len(Before._modules):
            Before._modules = dict(sys.modules)
        if (once := _shown_once()) != self._once:
            once.clear()
            once.update(self._once)
        if self._main:
            self._put_signals_back()

    def _put_limit_back(self, limit: int, before: tuple[int, int]) -> None:
        try:
            resource.setrlimit(limit, before)
        except (OSError, ValueError):  # a hard limit that was lowered stays so
            if self._main and self._handlers[0] is signal.SIG_IGN:  # in a worker, not in the run
                os._exit(LIMIT_REACHED)

    def _put_signals_back(self) -> None:
        if not self._timer and signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            if getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)


def _put_environment_back(before: dict[Any, Any]) -> None:
    for name in _ENVIRONMENT.keys() - before.keys():
        del os.environb[name]
    for name, value in before.items():
        if _ENVIRONMENT.get(name) != value:
            os.environb[name] = value


def put_modules_back() -> None:
    """Make the modules what they were as the last call began, if some have gone since."""
    if not Before._modules.keys() <= sys.modules.keys():
        _put_back(Before._modules)


def _are_replaced(modules: dict[str, ModuleType]) -> bool:
    """Return whether one that a run cannot do without is another than it was."""
    return any(name in modules and sys.modules.get(name) is not modules[name] for name in _NEEDED)


def _put_back(modules: dict[str, ModuleType]) -> None:
    """Make the modules what they were; those that came in their place would not fit together."""
    sys.modules.clear()
    sys.modules.update(modules)


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _shown_once() -> dict[Any, Any]:
    """Return Python's own record of the warnings that a filter shows once per process."""
    shown: dict[Any, Any] = getattr(warnings, "onceregistry", {})
    return shown
