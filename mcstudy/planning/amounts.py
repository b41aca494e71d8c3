"""Times and sizes of a plan in words, each with its range."""

from __future__ import annotations

from collections.abc import Callable

from mcstudy.execution.progress import duration
from mcstudy.planning.forecast import Range


def times(given: Range) -> str:
    """Return seconds: ``3.4 min (2.1 min to 5 min)``."""
    return _with_limits(given, lambda seconds: duration(seconds) if seconds >= 0.95 else "< 1 s")


def sizes(given: Range) -> str:
    """Return bytes: ``61 kB (45 kB to 82 kB)``."""
    return _with_limits(given, _size)


def each(seconds: float) -> str:
    """Return the time of one fit."""
    for factor, unit in ((1e6, "us"), (1e3, "ms"), (1, "s")):
        if seconds * factor < 999.5 or unit == "s":
            break
    return f"{seconds * factor:.3g} {unit}"


def _with_limits(given: Range, words: Callable[[float], str]) -> str:
    low, value, high = map(words, given)
    return value if low == high else f"{value} ({low} to {high})"


def _size(size: float) -> str:
    for factor, unit in ((1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")):
        if size / factor < 999.5 or unit == "TB":
            break
    return f"{size / factor:.3g} {unit}"
