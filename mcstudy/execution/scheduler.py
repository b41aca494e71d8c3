"""What is missing to jobs: which replicates lack rows, and how much a worker takes at once."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcstudy.grid import Condition
from mcstudy.simulation.replicates import Job
from mcstudy.storage.manifest import Stored, ranges_of, replicates_in
from mcstudy.storage.parts import Part

JOB_SECONDS = 2.0
# The most replicates of a slice without a known cost: a worker makes room for all its answers.
_UNMEASURED = 50_000


def missing_jobs(
    conditions: Iterable[Condition],
    methods: Sequence[str],
    replicates: int,
    stored: Stored,
    at_least: Mapping[str, Mapping[str, int]] | None = None,
) -> list[Job]:
    """Return the runs of replicates for which some of the methods have no rows.

    Each replicate of a condition is in one job at most, with all the methods it misses. Of a
    condition's key and a method, `at_least` says how many replicates there are to be anyway.
    """
    jobs = []
    for condition in conditions:
        held, floor = stored.get(condition, ()), (at_least or {}).get(condition.key, {})
        goals = {name: max(replicates, floor.get(name, 0)) for name in methods}
        most = max(goals.values(), default=0)
        edges = {0, *goals.values()}
        for part in held:
            edges |= {min(part.start, most), min(part.stop, most)}
        missing = _MissingMethods(held, methods)
        current: Job | None = None
        ordered = sorted(edges)
        for start, stop in itertools.pairwise(ordered):
            lacking = tuple(name for name in missing.over(start) if start < goals[name])
            if current and current.methods == lacking:
                current = Job(condition, current.start, stop, lacking)
            else:
                if current and current.methods:
                    jobs.append(current)
                current = Job(condition, start, stop, lacking)
        if current and current.methods:
            jobs.append(current)
    return jobs


class _MissingMethods:
    """Answers which methods have no rows at a replicate, for replicates in rising order."""

    def __init__(self, held: Sequence[Part], methods: Sequence[str]) -> None:
        self._held = deque(sorted(held, key=lambda part: part.start))
        self._reach = dict.fromkeys(methods, 0)

    def over(self, replicate: int) -> tuple[str, ...]:
        while self._held and self._held[0].start <= replicate:
            part = self._held.popleft()
            if part.method in self._reach:
                self._reach[part.method] = max(self._reach[part.method], part.stop)
        return tuple(name for name, reach in self._reach.items() if reach <= replicate)


def covered(parts: Sequence[Part], method: str, goal: int) -> tuple[int, int]:
    """Return how many replicates there are, and how many of the first `goal` are missing."""
    ranges = ranges_of(parts, method)
    return replicates_in(ranges), goal - replicates_in(ranges, 0, goal)


def fits_of(jobs: Iterable[Job]) -> int:
    """Return the number of fits in the jobs."""
    return sum(len(job) * len(job.methods) for job in jobs)


@dataclass
class _Group:
    """Counts the replicates of one condition by the same methods.

    Those left wait or are under way; `cost` is in seconds a replicate, by the last slice.
    """

    waiting: int = 0
    left: int = 0
    done: int = 0
    seconds: float = 0.0
    cost: float | None = None


class JobQueue:
    """The jobs still to be done, given out in slices that should take about `JOB_SECONDS`.

    Conditions take turns. A worker stops at the end of its time and the rest of its slice comes
    back, so a wrong forecast costs nothing; towards the end slices grow smaller, so that no worker
    is left alone with a long one.
    """

    def __init__(self, jobs: Iterable[Job], workers: int) -> None:
        self._waiting: deque[Job] = deque()
        self._workers = workers
        self._groups: defaultdict[tuple[Condition, tuple[str, ...]], _Group] = defaultdict(_Group)
        self._left: Counter[Condition] = Counter()
        # Of what waits: the cost that is known, and how many replicates have none. A sum over all
        # that waits at each take would be quadratic in the number of conditions.
        self._seconds_waiting = 0.0
        self._unmeasured = 0
        self.add(jobs)

    def add(self, jobs: Iterable[Job]) -> None:
        """Take on more jobs."""
        for job in jobs:
            self._count_left(job, 1)
            self._append(job)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> tuple[Job, float]:
        """Return the next slice and the seconds after which its worker should stop."""
        job = self._waiting.popleft()
        self._count_waiting(job, -1)
        seconds = self._slice_seconds()
        cost = self._group(job).cost
        # Workers share a job only where there are not enough for all of them: each slice is a file.
        enough = len(self._waiting) >= self._workers
        size = len(job) if enough else math.ceil(len(job) / self._workers)
        if cost is None:
            size = min(size, _UNMEASURED)
        else:
            worthwhile = math.ceil(JOB_SECONDS / 10 / cost)
            affordable = max(1, math.ceil(seconds / cost))
            size = min(max(size, worthwhile), affordable, len(job))
        if size < len(job):
            self._append(Job(job.condition, job.start + size, job.stop, job.methods))
        return Job(job.condition, job.start, job.start + size, job.methods), seconds

    def put_back(self, taken: Job, pieces: Sequence[Job]) -> None:
        """Take back a slice whose worker died, in pieces; they are given out first."""
        self._count_left(taken, -1)
        for piece in pieces:
            self._count_left(piece, 1)
            self._count_waiting(piece, 1)
        self._waiting.extendleft(reversed(pieces))

    def task_done(self, taken: Job, done: Job, seconds: float) -> None:
        """Learn what `done` cost, and take back what was not done of the slice."""
        group = self._group(done)
        cost = max(seconds / len(done), 1e-7)
        if group.cost is None:
            self._unmeasured -= group.waiting
        self._seconds_waiting += group.waiting * (cost - (group.cost or 0.0))
        group.cost = cost
        group.done += len(done)
        group.seconds += seconds
        self._count_left(done, -1)
        if done.stop < taken.stop:
            self._append(Job(taken.condition, done.stop, taken.stop, taken.methods))

    def is_done_with(self, condition: Condition) -> bool:
        """Return whether nothing of a condition waits or is under way."""
        return not self._left[condition]

    @property
    def fits_left(self) -> int:
        """The number of fits that wait or are under way."""
        return sum(group.left * len(methods) for (_, methods), group in self._groups.items())

    @property
    def seconds_left(self) -> float:
        """The time they will take, by what each condition cost so far; NaN before any is known.

        What has not been measured is taken to cost as much as the others do on average.
        """
        cost = {
            key: group.seconds / group.done for key, group in self._groups.items() if group.done
        }
        if not cost:
            return math.nan
        usual = sum(cost.values()) / sum(len(methods) for _, methods in cost)
        seconds = sum(
            group.left * cost.get(key, usual * len(key[1])) for key, group in self._groups.items()
        )
        return seconds / self._workers

    def _group(self, job: Job) -> _Group:
        return self._groups[job.condition, job.methods]

    def _append(self, job: Job) -> None:
        self._waiting.append(job)
        self._count_waiting(job, 1)

    def _count_left(self, job: Job, sign: int) -> None:
        self._group(job).left += sign * len(job)
        self._left[job.condition] += sign * len(job)

    def _count_waiting(self, job: Job, sign: int) -> None:
        group, count = self._group(job), sign * len(job)
        group.waiting += count
        if group.cost is None:
            self._unmeasured += count
        else:
            self._seconds_waiting += count * group.cost

    def _slice_seconds(self) -> float:
        """Return what a slice should take: less when what waits is soon done."""
        left = math.inf if self._unmeasured else self._seconds_waiting
        return min(JOB_SECONDS, max(JOB_SECONDS / 10, left / (3 * self._workers)))
