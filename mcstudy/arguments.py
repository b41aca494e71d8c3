"""Arguments of the public functions, checked for what they are before anything is done."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path

from mcstudy.errors import MCStudyError, ResultsError, StudyError

_MOST_LETTERS = 80  # a line of a terminal


def as_path(
    value: object, name: str, error: type[MCStudyError] = ResultsError, *, of: str = "a folder"
) -> Path:
    """Return a path that the user has given; raise `error` for anything else.

    `name` is that of the argument, `of` says what the path is to lead to: both stand in messages.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text.strip():
        raise error(f"{name} is {short(value)}; give the path of {of}")
    try:
        os.stat(text)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except ValueError:  # a NUL, or half of a character
        raise error(f"{name} is {short(text)}, which cannot be a path; give that of {of}") from None
    except OSError as reason:
        raise error(f"{short(text, plain=True)}: cannot be read ({reason.strerror})") from None
    return Path(text)


def as_texts(value: object, name: str, error: type[MCStudyError] = StudyError) -> list[str]:
    """Return a list of texts that the user has given; raise for anything else, or an empty text."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        texts = list(value)
        if all(isinstance(text, str) and text.strip() for text in texts):
            return texts
    raise error(f"{name} is {short(value)}; give a list of names, {name}=['...']")


def is_number(value: object) -> bool:
    """Return whether a value is a real number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_seconds(seconds: object) -> None:
    """Raise StudyError unless a time is a positive number."""
    if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise StudyError(f"seconds is {short(seconds)}; give a number above 0")


def is_proportion(value: object) -> bool:
    """Return whether a value is a number between 0 and 1."""
    return isinstance(value, Real) and 0 < float(value) < 1


def short(value: object, *, plain: bool = False, most: int = _MOST_LETTERS) -> str:
    """Return a value in words that fit on a line, of at most so many letters."""
    try:
        text = str(value) if plain else repr(value)
    except Exception:  # noqa: BLE001 - the repr of somebody's class may raise anything
        text = f"a {type(value).__name__}"
    return cut(" ".join(text.split()), most)


def counted(count: int, noun: str) -> str:
    """Return "1 method", "2 methods"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` letters; dots stand for what is left out."""
    return text if len(text) <= most else text[: most - 3] + "..."


def suggestion(name: object, known: Sequence[str]) -> str:
    """Return " (did you mean ...?)" where a known name is close."""
    if not isinstance(name, str):
        return ""
    same = [one for one in known if str(one).lower() == name.lower()]
    close = same or difflib.get_close_matches(name, known, 1)
    close = [one for one in close if str(one) != name]  # a text that reads like a number
    return f" (did you mean {str(close[0])!r}?)" if close else ""
