"""A study cut into equal shares, for machines that know nothing of each other (job arrays)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mcstudy.errors import StudyError
from mcstudy.grid import Condition
from mcstudy.simulation.replicates import Job

MOST_SHARES = 100_000  # the job arrays of schedulers end below: SLURM's MaxArraySize is 1001


@dataclass(frozen=True)
class Shard:
    """Share `number` of `of`, counted from 1: a run of replicates of every condition.

    All shares together are the study, each replicate is in one of them, and two shares differ by
    one replicate at most. Which replicates a share has depends on the conditions, on the number of
    replicates and on nothing else.

    Raises
    ------
    StudyError
        Unless ``1 <= number <= of``.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        numbers = (self.number, self.of)
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
        if not whole or not 1 <= self.number <= self.of <= MOST_SHARES:
            raise StudyError(
                f"part is {self.number}/{self.of}; give K/N with K from 1 to N, e.g. 3/100"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def of_jobs(
        self, jobs: Iterable[Job], conditions: Iterable[Condition], replicates: int
    ) -> list[Job]:
        """Return what of the jobs belongs to this share."""
        ranges = {
            condition: _range(index, replicates, self)
            for index, condition in enumerate(sorted(conditions, key=lambda c: c.sort_key))
        }
        cut = []
        for job in jobs:
            own = ranges[job.condition]
            start, stop = max(job.start, own.start), min(job.stop, own.stop)
            if start < stop:
                cut.append(replace(job, start=start, stop=stop))
        return cut


def share_of(part: object) -> Shard:
    """Return the share that ``(3, 100)`` names; raise StudyError if it names none."""
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise StudyError(f"part is {part!r}; give (K, N) with K from 1 to N, e.g. (3, 100)")
    return Shard(part[0], part[1])


def parse_share(text: str) -> Shard:
    """Return the share that a text like ``3/100`` names; raise StudyError if it names none."""
    found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if not found:
        raise StudyError(f"part is {text!r}; give K/N with K from 1 to N, e.g. 3/100")
    return Shard(int(found[1]), int(found[2]))


def shares_of(
    jobs: Sequence[Job], of: int, conditions: Iterable[Condition], replicates: int
) -> list[Shard]:
    """Return the shares that would compute something of the jobs."""
    conditions = list(conditions)
    shares = (Shard(number, of) for number in range(1, of + 1))
    return [share for share in shares if share.of_jobs(jobs, conditions, replicates)]


def _range(index: int, replicates: int, share: Shard) -> range:
    """Return the replicates of the condition at a place in the order of conditions.

    Where the number of shares does not divide that of replicates, some shares get one more. Those
    of a condition begin where those of the condition before it ended, going round.
    """
    each, more = divmod(replicates, share.of)
    first = index * more % share.of
    before = share.number - 1
    wrapped = max(0, first + more - share.of)
    extra = max(0, min(before - first, more)) + min(before, wrapped)
    own = (before - first) % share.of < more
    start = before * each + extra
    return range(start, start + each + own)
