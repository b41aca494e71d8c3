"""Options of the command line that several verbs share."""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from mcstudy.tables.document import Block, Document
from mcstudy.tables.formats import Printed, render
from mcstudy.terminal import show

_STDOUT, _STDERR = 1, 2


@contextmanager
def answers_alone() -> Iterator[None]:
    """Send to stderr what is printed meanwhile, by compiled code too: stdout is for our answers."""
    sys.stdout.flush()
    try:
        kept = os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)
    except OSError:  # one of the two is closed
        kept = None
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        ctypes.CDLL(None).fflush(None)
        if kept is not None:
            os.dup2(kept, _STDOUT)
            os.close(kept)


LIST = "A,B"
"""The metavar of every option that takes names with commas."""


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
    """Return the names in a list with commas, None if none was given; quotes as in `query`."""
    from mcstudy.analysis.query import names_in

    return None if text is None else names_in(text)


def is_empty(action: argparse.Action, value: str) -> bool:
    """Return whether a value, or a name of a list with commas, says nothing."""
    listed = action.metavar == LIST
    return not all(name.strip() for name in (value.split(",") if listed else [value]))


def changed_argument(verb: argparse.ArgumentParser) -> None:
    """Add --changed."""
    verb.add_argument(
        "--changed",
        choices=("keep", "discard", "verify"),
        help="what becomes of stored rows whose code or packages have changed since: they stay "
        "and count, or are computed again, or (run only) stay if a sample of the fits comes out "
        "equal; without it such a change stops the command",
    )


def show_answers(options: argparse.Namespace, *answers: Printed | Document | str) -> None:
    """Print answers, or lines, one after the other in the format that was asked for."""
    blocks: list[Block | Document] = []
    for answer in answers:
        if isinstance(answer, str):
            blocks.append(Block(lines=[answer]))
        else:
            blocks.append(answer.document() if isinstance(answer, Printed) else answer)
    show(render(Document(blocks=blocks), options.format))


def where_argument(verb: argparse.ArgumentParser) -> None:
    """Add --where, which can be given several times."""
    verb.add_argument(
        "--where",
        metavar="A=X|Y",
        action="append",
        help="which cells, e.g. estimand=group1_var or n=10|30; a text with , = | or that looks "
        "like a number in double quotes; can be given again",
    )


def wanted_cells(options: argparse.Namespace) -> str | None:
    """Return all the conditions of --where as one text."""
    return ", ".join(options.where) if options.where else None


def share(flag: str, text: str) -> float:
    """Return the share that was given.

    Raises
    ------
    ResultsError
        For anything that is not between 0 and 1.
    """
    from mcstudy.errors import ResultsError

    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise ResultsError(f"{flag} is {text!r}; give a share like 0.95")
    return value
