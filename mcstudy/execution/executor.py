"""What does the jobs of a run, and how a job ends: with a part, or with the worker that was at it.

The messages between a run and a worker are the same for one of this machine and one of dask: a
`Task` goes out, a `TaskResult` comes back.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mcstudy.errors import MCStudyError, StudyError
from mcstudy.simulation.first_replicate import check_first_replicate, refuse_draws
from mcstudy.simulation.global_random import changed, shared_states
from mcstudy.simulation.output import Capture, Printed, Tape
from mcstudy.simulation.replicates import Job, do_job
from mcstudy.simulation.retry_policy import FIRST_ATTEMPT, Call, RetryPolicy, Watch
from mcstudy.storage.parts import encode
from mcstudy.storage.provenance import Mark
from mcstudy.storage.sum_parts import encode_sums
from mcstudy.study import Study


@dataclass(frozen=True)
class Task:
    """A job to be done in about `seconds`, or only its first replicate to be checked."""

    job: Job
    seconds: float = 0.0
    policy: RetryPolicy = FIRST_ATTEMPT
    check: bool = False

    @classmethod
    def to_check(cls, job: Job, methods: Sequence[str]) -> Task:
        """Return the task of checking the first replicate of a job by some methods."""
        return cls(replace(job, stop=job.start + 1, methods=tuple(methods)), check=True)


@dataclass(frozen=True)
class Finished:
    """A job that ended with a part.

    Parameters
    ----------
    given, done : Job
        What was to be done, and what was done of it.
    part : bytes
        What is to be stored.
    seconds : float
        The worker's time.
    printed : tuple of Printed
        What the first calls have printed.
    calls_that_printed : int
        How many have.
    memory : int
        The largest resident set of the worker so far, in bytes; 0 where that is not known.
    """

    given: Job
    done: Job
    part: bytes
    seconds: float
    printed: tuple[Printed, ...] = ()
    calls_that_printed: int = 0
    memory: int = 0


@dataclass(frozen=True)
class Died:
    """A worker that ended in the middle of a job.

    Parameters
    ----------
    given : Job
        What it was at; nothing of it is done.
    call : Call or None
        The call in which it ended; None where that is not known.
    reason : str
        How it ended, in a word or two.
    overran : float
        The seconds after which it was ended because the call was over its time limit; 0 where it
        ended by itself.
    """

    given: Job
    call: Call | None
    reason: str
    overran: float = 0.0

    def in_words(self) -> str:
        """Return what happened, and where."""
        where = ""
        if self.call is not None:
            name = f"method '{self.call.method}'" if self.call.method else "simulate"
            last = self.call.first + self.call.count - 1
            to = f" to {last}" if self.call.count > 1 else ""
            where = f" in {name} at replicate {self.call.first}{to} of {self.given.condition.key}"
        ended = "was ended, over its time limit," if self.overran else f"ended ({self.reason})"
        return f"a worker process {ended}{where}"


@dataclass(frozen=True)
class TaskResult:
    """What came of a task; a job in it is known by the task, and does not travel back.

    Parameters
    ----------
    done : int
        How many replicates of the job are in the part.
    part, seconds, printed, calls_that_printed, memory
        As in `Finished`.
    call, reason, overran
        As in `Died`; `reason` is empty unless the worker process ended.
    notes : tuple of str
        What a check says.
    refusal : str
        An error that is the user's to mend.
    bug : str
        A traceback that is ours.
    """

    done: int = 0
    part: bytes = b""
    seconds: float = 0.0
    printed: tuple[Printed, ...] = ()
    calls_that_printed: int = 0
    memory: int = 0
    call: Call | None = None
    reason: str = ""
    overran: float = 0.0
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

    def end(self, job: Job) -> Finished | Died:
        """Return how the job of the task ended; raise the error that it met."""
        self.raise_error()
        if self.reason:
            return Died(job, self.call, self.reason, self.overran)
        return Finished(
            job,
            replace(job, stop=job.start + self.done),
            self.part,
            self.seconds,
            self.printed,
            self.calls_that_printed,
            self.memory,
        )

    def said(self, job: Job) -> list[str]:
        """Return what the check of a job says, a line each; raise the error that it met."""
        self.raise_error()
        if self.reason:
            died = Died(job, self.call, self.reason, self.overran)
            return [f"Note: {died.in_words()}; the run tries it again"]
        return list(self.notes)

    def raise_error(self) -> None:
        """Raise the error that the task met, if it met one."""
        if self.refusal:
            raise StudyError(self.refusal)
        if self.bug:
            raise RuntimeError(f"in a worker process:\n{self.bug}")


class Executor(Protocol):
    """Takes jobs, gives back how they ended."""

    def has_room(self) -> bool:
        """Return whether another job may be submitted."""

    def submit(self, job: Job, seconds: float, policy: RetryPolicy = FIRST_ATTEMPT) -> None:
        """Take on a job; its worker stops after about `seconds`."""

    def finished(self) -> list[Finished | Died]:
        """Wait for at least one job to end; nothing if none is under way."""

    def check(self, job: Job, methods: Sequence[str]) -> list[str]:
        """Check the first replicate of a job where it will be done (`check_first_replicate`)."""


class InProcessExecutor:
    """Does each job at once, in this process: a debugger can follow."""

    def __init__(self, study: Study, marks: dict[str, Mark]) -> None:
        self._study = study
        self._marks = marks
        self._waiting: list[Task] = []

    def has_room(self) -> bool:
        """Return whether another job may be submitted."""
        return not self._waiting

    def submit(self, job: Job, seconds: float, policy: RetryPolicy = FIRST_ATTEMPT) -> None:
        """Take on a job."""
        self._waiting.append(Task(job, seconds, policy))

    def finished(self) -> list[Finished | Died]:
        """Do the job that waits."""
        waiting, self._waiting = self._waiting, []
        return [compute_part(self._study, self._marks, task) for task in waiting]

    def check(self, job: Job, methods: Sequence[str]) -> list[str]:
        """Check the first replicate of a job."""
        with Capture():  # the run itself will show it
            return check_first_replicate(self._study, job, methods)


def compute_part(
    study: Study,
    marks: dict[str, Mark],
    task: Task,
    *,
    watch: Watch | None = None,
    tape: Tape | None = None,
) -> Finished:
    """Do a job, or its beginning until its seconds have passed, and make it a part.

    Raises
    ------
    StudyError
        If a fit has drawn from a global random state; nothing of such a job is kept.
    """
    from threadpoolctl import threadpool_limits

    job, policy = task.job, task.policy
    begun = time.perf_counter()
    with threadpool_limits(1), Capture(tape) as capture:
        before = shared_states()
        done, answers = do_job(
            study, job, task.seconds, policy=policy, watch=watch, capture=capture
        )
        if names := changed(before, shared_states()):
            refuse_draws(study, done, names, policy, watch)
    if watch is not None:
        watch("", 0, 0)
    if study.keep == "measures":
        truths = study.truths(job.condition)
        part = encode_sums(done, answers, marks, truths, study.null, study.level)
    else:
        part = encode(done, answers, marks)
    seconds = time.perf_counter() - begun
    return Finished(job, done, part, seconds, tuple(capture.printed), capture.calls)
