"""How a job is tried again after a worker has died in it, and which of its calls are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mcstudy.method import Status


class Watch(Protocol):
    """Hears of a call before it is made, when its time begins to count, and when it is over."""

    def __call__(self, method: str, first: int, count: int, *, timed: bool = False) -> None:
        """Hear of a call of a method, or of simulate if that is empty.

        `first` is its first replicate, `count` how many it has, 0 when all calls are over; `timed`
        says that the user's function is at work, and not what comes before or after it.
        """


def who(method: str) -> str:
    """Return how messages speak of a method, of simulate if its name is empty."""
    return f"method '{method}'" if method else "simulate"


@dataclass(frozen=True)
class Call:
    """A call of a method, or of simulate if `method` is empty, for `count` replicates."""

    method: str
    first: int
    count: int

    @property
    def who(self) -> str:
        """How messages speak of what is called."""
        return who(self.method)

    @property
    def where(self) -> str:
        """Return "at replicate 3", "at replicate 3 to 5"."""
        last = self.first + self.count - 1
        return f"at replicate {self.first}" + (f" to {last}" if self.count > 1 else "")


@dataclass(frozen=True)
class KnownFailure:
    """How a call ends that is not made again: its worker died in it, or it was over its limit."""

    status: Status
    message: str
    seconds: float


@dataclass(frozen=True)
class RetryPolicy:
    """How to do a job in which a worker may have died before.

    `singly` asks for batches of one replicate, so that a death is that of one replicate. Only then
    are there `known_failures`, by replicate and method: calls that are not made again. An empty
    method stands for simulate, and so for every method of that replicate.
    """

    singly: bool = False
    known_failures: Mapping[tuple[int, str], KnownFailure] = field(default_factory=dict)


FIRST_ATTEMPT = RetryPolicy()
