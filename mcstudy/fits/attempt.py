"""A call of a user's function: whatever it raises or warns is caught and put into words."""

from __future__ import annotations

import bdb
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcstudy.fits.alarm import Overrun, within

_AS_NUMPY_STARTS: dict[str, Any] = {
    "divide": "warn",
    "over": "warn",
    "under": "ignore",
    "invalid": "warn",
}
MOST_CHARACTERS = 2000
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


def attempt(
    function: Callable[..., Any], limit: float | None, /, *args: Any, **kwargs: Any
) -> Outcome:
    """Call a function; catch whatever it raises, and every warning.

    Only an interrupt from the keyboard and a debugger's quit pass through. A call that takes longer
    than `limit` seconds ends in an `Overrun`, whatever it returned or raised.
    """
    value, exception = None, None
    with warnings.catch_warnings(record=True) as caught, np.errstate(**_AS_NUMPY_STARTS):
        warnings.simplefilter("always")
        begun = time.perf_counter()
        try:
            if limit is None:
                value = function(*args, **kwargs)
            else:
                value = within(limit, function, args, kwargs)
        except (KeyboardInterrupt, bdb.BdbQuit):
            raise
        except BaseException as error:  # noqa: BLE001 - a fit that calls sys.exit is a failed fit
            exception = error
        seconds = time.perf_counter() - begun
    if limit is not None and seconds > limit:
        value, exception = None, Overrun(limit)
    return Outcome(value, exception, _warnings_in_words(caught) if caught else "", seconds)


def in_words(exception: BaseException) -> str:
    """Return kind and text of an exception, without what differs from process to process."""
    return plain_text(f"{type(exception).__name__}: {_text(exception)}".rstrip(": "))


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
