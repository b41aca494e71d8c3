"""What is missing to jobs: which replicates lack rows, and how much a worker takes at once."""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from mcstudy.grid import Condition
from mcstudy.simulation.replicates import Job
from mcstudy.storage.accepted import ranges_of, replicates_in
from mcstudy.storage.export import Stored

JOB_SECONDS = 2.0
_UNMEASURED = 50_000


def missing_jobs(
    conditions: Iterable[Condition],
    methods: Sequence[str],
    replicates: int,
    stored: Mapping[Condition, Sequence[Stored]],
) -> list[Job]:
    """Return the runs of replicates for which some of the methods have no rows.

    Each replicate of a condition is in one job at most, with all the methods it misses.
    """
    jobs = []
    for condition in conditions:
        held = stored.get(condition, ())
        edges = {0, replicates}
        for item in held:
            edges |= {min(item.head.start, replicates), min(item.head.stop, replicates)}
        missing = _Missing(held, methods)
        current: Job | None = None
        ordered = sorted(edges)
        for start, stop in itertools.pairwise(ordered):
            lacking = missing.over(start)
            if current and current.methods == lacking:
                current = Job(condition, current.start, stop, lacking)
            else:
                if current and current.methods:
                    jobs.append(current)
                current = Job(condition, start, stop, lacking)
        if current and current.methods:
            jobs.append(current)
    return jobs


class _Missing:
    """Answers which methods have no rows at a replicate, for replicates in rising order."""

    def __init__(self, held: Sequence[Stored], methods: Sequence[str]) -> None:
        self._held = deque(sorted(held, key=lambda item: item.head.start))
        self._reach = dict.fromkeys(methods, 0)

    def over(self, replicate: int) -> tuple[str, ...]:
        while self._held and self._held[0].head.start <= replicate:
            item = self._held.popleft()
            for method in item.methods:
                if method in self._reach:
                    self._reach[method] = max(self._reach[method], item.head.stop)
        return tuple(name for name, reach in self._reach.items() if reach <= replicate)


def covered(items: Sequence[Stored], method: str, goal: int) -> tuple[int, int]:
    """Return how many replicates there are, and how many of the first `goal` are missing."""
    ranges = ranges_of(items, method)
    return replicates_in(ranges), goal - replicates_in(ranges, 0, goal)


def fits_of(jobs: Iterable[Job]) -> int:
    """Return the number of fits in the jobs."""
    return sum(len(job) * len(job.methods) for job in jobs)


class JobQueue:
    """The jobs still to be done, given out in slices that should take about `JOB_SECONDS`.

    Conditions take turns. A worker stops at the end of its time and the rest of its slice comes
    back, so a wrong forecast costs nothing; towards the end slices grow smaller, so that no worker
    is left alone with a long one.
    """

    def __init__(self, jobs: Iterable[Job], workers: int) -> None:
        self._waiting: deque[Job] = deque()
        self._workers = workers
        self._cost: dict[tuple[Condition, tuple[str, ...]], float] = {}
        self._left: Counter[tuple[Condition, tuple[str, ...]]] = Counter()
        self._done: Counter[tuple[Condition, tuple[str, ...]]] = Counter()
        self._spent: dict[tuple[Condition, tuple[str, ...]], float] = {}
        self._open: Counter[Condition] = Counter()
        self.add(jobs)

    def add(self, jobs: Iterable[Job]) -> None:
        """Take on more jobs."""
        for job in jobs:
            self._waiting.append(job)
            self._count(job, 1)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> tuple[Job, float]:
        """Return the next slice and the seconds after which its worker should stop."""
        job = self._waiting.popleft()
        seconds = self._seconds()
        cost = self._cost.get((job.condition, job.methods))
        size = math.ceil(len(job) / self._workers)
        if cost is None:
            size = min(size, _UNMEASURED)
        else:
            worthwhile = math.ceil(JOB_SECONDS / 10 / cost)
            affordable = max(1, math.ceil(seconds / cost))
            size = min(max(size, worthwhile), affordable, len(job))
        if size < len(job):
            self._waiting.append(Job(job.condition, job.start + size, job.stop, job.methods))
        return Job(job.condition, job.start, job.start + size, job.methods), seconds

    def put_back(self, taken: Job, pieces: Sequence[Job]) -> None:
        """Take back a slice whose worker died, in pieces; they are given out first."""
        self._count(taken, -1)
        for piece in pieces:
            self._count(piece, 1)
        self._waiting.extendleft(reversed(pieces))

    def _count(self, job: Job, times: int) -> None:
        self._left[job.condition, job.methods] += times * len(job)
        self._open[job.condition] += times * len(job)

    def settle(self, taken: Job, done: Job, seconds: float) -> None:
        """Learn what `done` cost, and take back what was not done of the slice."""
        self._cost[done.condition, done.methods] = max(seconds / len(done), 1e-7)
        self._count(done, -1)
        key = done.condition, done.methods
        self._done[key] += len(done)
        self._spent[key] = self._spent.get(key, 0.0) + seconds
        if done.stop < taken.stop:
            rest = Job(taken.condition, done.stop, taken.stop, taken.methods)
            self._waiting.append(rest)

    def is_through_with(self, condition: Condition) -> bool:
        """Return whether nothing of a condition waits or is under way."""
        return not self._open[condition]

    @property
    def fits_left(self) -> int:
        """The number of fits that wait or are under way."""
        return sum(count * len(methods) for (_, methods), count in self._left.items())

    @property
    def seconds_left(self) -> float:
        """The time they will take, by what each condition cost so far; NaN before any is known.

        What has not been measured is taken to cost as much as the others do on average.
        """
        if not self._spent:
            return math.nan
        cost = {key: seconds / self._done[key] for key, seconds in self._spent.items()}
        usual = sum(cost.values()) / sum(len(methods) for _, methods in cost)
        seconds = sum(
            count * cost.get((condition, methods), usual * len(methods))
            for (condition, methods), count in self._left.items()
        )
        return seconds / self._workers

    def _seconds(self) -> float:
        unknown = math.inf
        left = sum(
            len(job) * self._cost.get((job.condition, job.methods), unknown)
            for job in self._waiting
        )
        return min(JOB_SECONDS, max(JOB_SECONDS / 10, left / (3 * self._workers)))
