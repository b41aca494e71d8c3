"""What does the jobs of a run, and how a job ends: with a part, or with the worker that was at it.

The messages between a run and a worker are the same for one of this machine and one of dask: a
`Task` goes out, a `TaskResult` comes back.
"""

from __future__ import annotations

import functools
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcstudy.errors import MCStudyError, StudyError
from mcstudy.simulation.first_replicate import check_first_replicate
from mcstudy.simulation.global_random import do_seeded_job
from mcstudy.simulation.output import Capture, OutputFile, Printed
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.retry_policy import FIRST_ATTEMPT, Call, RetryPolicy, Watch
from mcstudy.storage.parts import NewPart
from mcstudy.storage.provenance import Mark
from mcstudy.storage.sum_parts import encode
from mcstudy.study import Study

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@dataclass(frozen=True)
class Task:
    """A job to be done in about `seconds`, or only its first replicate to be checked."""

    job: Job
    seconds: float = 0.0
    policy: RetryPolicy = FIRST_ATTEMPT
    check: bool = False


@dataclass(frozen=True)
class Finished:
    """A job that ended with a part.

    `done` is what was done of `given`, `printed` what the first calls have printed, `memory` the
    largest resident set of the worker so far in bytes, 0 where that is not known.
    """

    given: Job
    done: Job
    parts: Mapping[str, NewPart]
    seconds: float
    printed: tuple[Printed, ...] = ()
    calls_that_printed: int = 0
    memory: int = 0


@dataclass(frozen=True)
class Died:
    """A worker that ended in the middle of a job.

    `call` is None where it is not known; `overran` are the seconds after which it was ended because
    the call was over its time limit, 0 where it ended by itself.
    """

    given: Job
    call: Call | None
    reason: str
    overran: float = 0.0

    def in_words(self) -> str:
        """Return what happened, and where."""
        at = self.call
        where = f" in {at.who} {at.where} of {self.given.condition.key}" if at else ""
        ended = "was ended, over its time limit," if self.overran else f"ended ({self.reason})"
        return f"a worker process {ended}{where}"


@dataclass(frozen=True)
class TaskResult:
    """What came of a task. `refusal` is the user's to fix, `bug` a traceback of ours."""

    end: Finished | Died | None = None
    notes: tuple[str, ...] = ()
    refusal: str = ""
    bug: str = ""

    @classmethod
    def of(cls, work: Callable[[], TaskResult]) -> TaskResult:
        """Return what some work returns, or the exception that it raises as a result."""
        try:
            return work()
        except MCStudyError as error:
            return cls(refusal=str(error))
        except Exception:  # noqa: BLE001 - shown where the run is
            return cls(bug=traceback.format_exc())

    def raise_error(self) -> None:
        """Raise the error that the task met, if it met one."""
        if self.refusal:
            raise StudyError(self.refusal)
        if self.bug:
            raise RuntimeError(f"in a worker process:\n{self.bug}")


class Executor(ABC):
    """Takes jobs, gives back how they ended."""

    @abstractmethod
    def has_room(self) -> bool:
        """Return whether another job may be submitted."""

    @abstractmethod
    def is_busy(self) -> bool:
        """Return whether any task is under way."""

    @abstractmethod
    def send(self, task: Task) -> None:
        """Take on a task."""

    @abstractmethod
    def results(self) -> Iterable[TaskResult]:
        """Wait until a task is done, or for a moment; return what came of those that are."""

    def submit(self, job: Job, seconds: float, policy: RetryPolicy = FIRST_ATTEMPT) -> None:
        """Take on a job; its worker stops after about `seconds`."""
        self.send(Task(job, seconds, policy))

    def finished(self) -> list[Finished | Died]:
        """Wait for at least one job to end; nothing if none is under way."""
        ends: list[Finished | Died] = []
        while not ends and self.is_busy():
            for result in self.results():
                result.raise_error()
                assert result.end is not None
                ends.append(result.end)
        return ends

    def do(self, task: Task) -> TaskResult:
        """Do a task while no other is under way; return its result."""
        self.send(task)
        while True:
            for result in self.results():
                return result

    def check(self, job: Job, methods: Sequence[str]) -> list[str]:
        """Check the first replicate of a job where it will be done (`check_first_replicate`)."""
        first = replace(job, stop=job.start + 1, methods=tuple(methods))
        result = self.do(Task(first, check=True))
        result.raise_error()
        if isinstance(result.end, Died):
            return [f"Note: {result.end.in_words()}; the run tries it again"]
        return list(result.notes)


class InProcessExecutor(Executor):
    """Does each job at once, in this process: a debugger can follow."""

    def __init__(self, study: Study, marks: dict[str, Mark]) -> None:
        self._study = study
        self._marks = marks
        self._waiting: list[Task] = []

    def has_room(self) -> bool:
        """Return whether another job may be submitted."""
        return not self._waiting

    def is_busy(self) -> bool:
        """Return whether a task waits."""
        return bool(self._waiting)

    def send(self, task: Task) -> None:
        """Take on a task."""
        self._waiting.append(task)

    def results(self) -> list[TaskResult]:
        """Do what waits."""
        waiting, self._waiting = self._waiting, []
        return [do_task(self._study, self._marks, task) for task in waiting]


def do_task(
    study: Study,
    marks: dict[str, Mark],
    task: Task,
    *,
    watch: Watch | None = None,
    output_file: OutputFile | None = None,
) -> TaskResult:
    """Do a job, or its beginning until its seconds have passed; or check its first replicate.

    `watch` hears of the calls; `output_file` has what compiled code prints in a worker process.

    Raises
    ------
    StudyError
        If a fit has drawn from a global random state; nothing of such a job is kept.
    """
    job = task.job
    if task.check:
        with Capture(output_file):  # the run itself will show it
            said = check_first_replicate(study, job, job.methods, watch=watch)
        return TaskResult(notes=tuple(said))
    begun = time.perf_counter()
    with _thread_pools(len(sys.modules)).limit(limits=1), Capture(output_file) as capture:
        done, answers = do_seeded_job(
            study, job, task.seconds, policy=task.policy, watch=watch, capture=capture
        )
    if watch is not None:
        watch("", 0, 0)
    parts = encode(study, done, answers, marks)
    seconds = time.perf_counter() - begun
    printed = tuple(capture.printed)
    return TaskResult(Finished(job, done, parts, seconds, printed, capture.calls))


@functools.lru_cache(maxsize=1)
def _thread_pools(modules: int) -> ThreadpoolController:
    """Return the libraries of linear algebra, sought anew (5 ms) where more modules are loaded.

    One that comes otherwise begins with one thread, by the environment.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
