"""What the user's functions print: the beginning of it, kept apart from what a run prints."""

from __future__ import annotations

import ctypes
import fcntl
import io
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TextIO

from mcstudy.simulation.process_state import LIMIT_REACHED
from mcstudy.simulation.retry_policy import Call

MOST_CHARACTERS = 200  # of a call: what is printed for looking, not for keeping
MOST_CALLS = 5  # whose output is shown; a million alike would fill the screen
# What one character takes at most in UTF-8, with room for white space that is not kept.
_MOST_BYTES = 8 * MOST_CHARACTERS
# How a worker ends that cannot go on since a call has closed its files; no other code means it.
CLOSED_FILES = 86
_DEBUGGERS = frozenset({"pdb", "bdb", "cmd", "IPython.core.debugger"})


@dataclass(frozen=True)
class Printed:
    """The beginning of what a call has printed, in one line, and how many more characters."""

    call: Call
    text: str
    more: int


class OutputFile:
    """A file in the place of a worker's standard output and error, for compiled code too.

    It also knows the files that the process had when it began, such as those by which it gets jobs
    and sends answers. Where a call has closed one of them, all that is left is to end the process.
    """

    def __init__(self) -> None:
        self._theirs = _open_files()
        if hasattr(os, "memfd_create"):
            self._file = os.memfd_create("mcstudy-printed")
        else:
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
        fcntl.fcntl(self._file, fcntl.F_SETFL, flags | os.O_APPEND)
        self._flush = ctypes.CDLL(None).fflush
        self._redirect()

    def _redirect(self) -> None:
        """Make standard output and error lead here; nothing is to be read from standard input."""
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)
        if empty > 2:
            os.close(empty)

    def read(self) -> tuple[str, int]:
        """Return the beginning of what is on it and how many bytes there were; wipe it."""
        self._flush(None)
        # The cheapest questions that fail where a file is closed; fstat takes three times as long.
        try:
            size = os.lseek(self._file, 0, os.SEEK_END)
        except OSError:
            os._exit(CLOSED_FILES)
        try:
            for number in range(3):
                os.get_inheritable(number)
        except OSError:
            self._redirect()
        if not size:
            return "", 0
        start = os.pread(self._file, _MOST_BYTES, 0)
        os.ftruncate(self._file, 0)
        return start.decode(errors="replace"), size

    def check_files(self) -> None:
        """End the process if a call has closed a file of ours; lay standard output anew."""
        try:
            now = _open_files()
        except OSError:  # none can be opened any more
            os._exit(LIMIT_REACHED)
        if any(now.get(number) != file for number, file in self._theirs.items() if number > 2):
            os._exit(CLOSED_FILES)
        self._redirect()


def _open_files() -> dict[int, tuple[int, int]]:
    """Return device and inode of the open files of this process (Linux only)."""
    found = {}
    numbers = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for number in map(int, numbers):
        with suppress(OSError):  # that of the listing itself
            status = os.fstat(number)
            found[number] = status.st_dev, status.st_ino
    return found


class Capture:
    """Takes the place of `sys.stdout` and `sys.stderr` while jobs are done.

    `printed` is of the first calls that have printed, `calls` how many have. The output file of a
    worker process has what compiled code prints.
    """

    def __init__(self, output_file: OutputFile | None = None) -> None:
        self.printed: list[Printed] = []
        self.calls = 0
        self._file = output_file
        self._texts: list[str] = []
        self._size = 0

    def __enter__(self) -> Capture:
        self._outer = sys.stdout, sys.stderr
        self._inner = _Stream(self, sys.stdout), _Stream(self, sys.stderr)
        sys.stdout, sys.stderr = self._inner
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._outer
        if self._file is not None:
            self._file.read()  # what has been printed outside of any call
            self._file.check_files()

    def add(self, text: str) -> None:
        """Keep a text, if it belongs to the beginning of what the call prints."""
        if self._size < _MOST_BYTES:
            self._texts.append(text[:_MOST_BYTES])
        self._size += len(text)

    def end_call(self, method: str, first: int, count: int) -> None:
        """Put aside what has been printed since the last call ended."""
        sys.stdout, sys.stderr = self._inner  # the call may have put others there
        if self._file is not None:
            text, size = self._file.read()
            if size:
                self.add(text)
                self._size += size - len(text)
        if not self._size:
            return
        if text := in_one_line("".join(self._texts)):
            self.calls += 1
            if self.calls <= MOST_CALLS:
                shown = text[:MOST_CHARACTERS]
                more = max(self._size - len(shown), 0) if len(text) > len(shown) else 0
                self.printed.append(Printed(Call(method, first, count), shown, more))
        self._texts, self._size = [], 0


def in_one_line(text: str) -> str:
    """Return a text in one line, without what a terminal would take for an order."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class _Stream(io.TextIOBase):
    """Writes to a capture; what a debugger writes goes to the stream in whose place it stands."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, capture: Capture, outer: TextIO) -> None:
        self._capture = capture
        self._outer = outer
        # rich writes its bar to what a stand-in stands for.
        self.rich_proxied_file = getattr(outer, "rich_proxied_file", outer)

    def write(self, text: str) -> int:
        if sys._getframe(1).f_globals.get("__name__") in _DEBUGGERS:
            return self._outer.write(text)
        self._capture.add(text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._outer.fileno()

    def close(self) -> None:
        pass

    @property
    def buffer(self) -> Any:
        return _Bytes(self._capture)


class _Bytes(io.RawIOBase):
    """The bytes of a stream."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def write(self, data: Any) -> int:
        self._capture.add(bytes(data).decode(errors="replace"))
        return len(data)

    def writable(self) -> bool:
        return True
