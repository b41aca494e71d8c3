"""Which call a worker is in: a few bytes of a file in shared memory, which outlive it."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcstudy.simulation.retry_policy import Call

_LAYOUT = struct.Struct("<qqqqq")


@contextmanager
def laid() -> Iterator[Path]:
    """Provide a file for a trail, in memory where the system has such: no disk can be full."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("mcstudy-trail"), "rb+") as file:
            file.write(bytes(_LAYOUT.size))
            file.flush()
            yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    else:
        with tempfile.NamedTemporaryFile(prefix="mcstudy-") as file:
            file.write(bytes(_LAYOUT.size))
            file.flush()
            yield Path(file.name)


@dataclass(frozen=True)
class Footprint:
    """What a trail says.

    Parameters
    ----------
    errand : int
        The number of the errand that the worker is on, 0 between two.
    call : Call or None
        The call that it is in.
    begun : float
        When its time began to count, in seconds of the system's monotonic clock, which processes
        share; 0 before and after the user's function is at work.
    """

    errand: int
    call: Call | None
    begun: float


class Trail:
    """The trail of one worker, which writes it; whoever hired the worker reads it.

    Parameters
    ----------
    path : Path
        Of a file that `laid` provides.
    methods : sequence of str
        The study's methods, in the same order on both sides.
    """

    def __init__(self, path: Path, methods: Sequence[str]) -> None:
        with open(path, "rb+") as file:
            self._bytes = mmap.mmap(file.fileno(), _LAYOUT.size)
        self._names = ("", *methods)
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._errand = 0

    def enter(self, errand: int) -> None:
        """Say that the worker is on an errand, and in no call."""
        self._errand = errand
        _LAYOUT.pack_into(self._bytes, 0, errand, 0, 0, 0, 0)

    def call(self, method: str, first: int, count: int, *, timed: bool = False) -> None:
        """Say that a call begins; it counts until the next one or the end of the fits."""
        number, begun = self._numbers[method], time.monotonic_ns() if timed else 0
        _LAYOUT.pack_into(self._bytes, 0, self._errand, begun, number, first, count)

    def read(self) -> Footprint:
        """Return what the trail says now."""
        errand, begun, number, first, count = _LAYOUT.unpack_from(self._bytes, 0)
        call = Call(self._names[number], first, count) if count else None
        return Footprint(errand, call, begun / 1e9)
