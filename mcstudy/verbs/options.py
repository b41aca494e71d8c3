"""Options of the command line that several verbs share."""

from __future__ import annotations


def whole(flag: str, text: str | None, least: int = 1) -> int | None:
    """Return the whole number that was given, None if none was.

    Raises
    ------
    StudyError
        For anything else.
    """
    from mcstudy.errors import StudyError

    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise StudyError(f"{flag} is {text!r}; give an integer of {least} or more") from None


def seconds(text: str | None, usual: float) -> float:
    """Return the seconds that were given, the usual ones if none were.

    Raises
    ------
    StudyError
        For anything but a positive number.
    """
    from mcstudy.errors import StudyError

    if text is None:
        return usual
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise StudyError(f"--seconds is {text!r}; give a number above 0")
    return number


def names(text: str | None) -> list[str] | None:
    """Return the names in a list with commas, None if none was given."""
    return None if text is None else [name.strip() for name in text.split(",")]
