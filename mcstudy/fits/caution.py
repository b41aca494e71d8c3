"""What earlier tries of a job have taught: calls that end their worker, and how to go about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mcstudy.method import Status

Watch = Callable[[str, int, int], None]
"""Hears of a call before it is made: method, first replicate, how many; 0 when all are over."""


@dataclass(frozen=True)
class Call:
    """A call of a method, or of simulate if `method` is empty, for `count` replicates."""

    method: str
    first: int
    count: int


@dataclass(frozen=True)
class Verdict:
    """How a fit ends that is not tried again."""

    status: Status
    message: str
    seconds: float


@dataclass(frozen=True)
class Caution:
    """How to go about a job in which a worker has died.

    Parameters
    ----------
    singly : bool
        Batches of one replicate, so that a death has an address.
    verdicts : mapping of (replicate, method) to Verdict
        Calls that are not made again; an empty method stands for simulate, and so for every method
        of that replicate. Only together with `singly`.
    """

    singly: bool = False
    verdicts: Mapping[tuple[int, str], Verdict] = field(default_factory=dict)


NO_CAUTION = Caution()
