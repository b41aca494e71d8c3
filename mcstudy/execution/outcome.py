"""How a job ends: with a part, or with the worker that was at it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from mcstudy.simulation.first_replicate import refuse_draws
from mcstudy.simulation.global_random import changed, shared_states
from mcstudy.simulation.output import Capture, Printed, Tape
from mcstudy.simulation.replicates import Job, do_job
from mcstudy.simulation.retry_policy import Call, RetryPolicy, Watch
from mcstudy.storage.parts import encode
from mcstudy.storage.provenance import Mark
from mcstudy.storage.sum_parts import encode_sums
from mcstudy.study import Study


@dataclass(frozen=True)
class Finished:
    """What a worker gives back.

    Parameters
    ----------
    given, done : Job
        What it was to do, and what it did of it.
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


def finish(
    study: Study,
    marks: dict[str, Mark],
    job: Job,
    seconds: float,
    policy: RetryPolicy,
    *,
    watch: Watch | None = None,
    tape: Tape | None = None,
) -> Finished:
    """Do a job, or its beginning until `seconds` have passed, and make it a part.

    Raises
    ------
    StudyError
        If a fit has drawn from a global random state; nothing of such a job is kept.
    """
    begun = time.perf_counter()
    with threadpool_limits(1), Capture(tape) as capture:
        before = shared_states()
        done, answers = do_job(study, job, seconds, policy=policy, watch=watch, capture=capture)
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
