"""Text on its way to a terminal: what would steer the terminal is shown as an escape."""

from __future__ import annotations

import os
import re
import sys
from typing import IO

# Control characters but tab and newline (C0, DEL, C1), separators that some terminals take for a
# newline, marks that change the direction of writing (Unicode TR 36, "Trojan source"), and halves
# of characters, which no terminal can show.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff]"
)


def harmless(thing: object) -> str:
    """Return a text that does nothing to a terminal but stand there, in lines of its own."""
    return _STEERING.sub(_escape, str(thing))


def harmless_line(thing: object) -> str:
    """Return the same in one line."""
    return harmless(thing).replace("\n", "\\n").replace("\t", "\\t")


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def open_standard_streams() -> None:
    """Open onto nowhere what of stdin, stdout and stderr is closed, as under ``>&-``.

    Else `sys.stdout` is None, and the next file that is opened takes its place.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def show(thing: object) -> None:
    """Print on standard output."""
    print(harmless(thing))


def complain(line: str) -> None:
    """Print a line on standard error, at once; where that is full, or closed, the work goes on."""
    try:
        print(harmless_line(line), file=sys.stderr, flush=True)
    except OSError:
        give_up(sys.stderr)


def give_up(stream: IO[str]) -> None:
    """Let what a stream still holds go nowhere, so that it is no error at the end either."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # a stream without a file
        pass


def show_any_letter() -> None:
    """Let letters that the terminal's encoding lacks be shown as escapes, not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
