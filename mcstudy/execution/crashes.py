"""What follows the death of a worker: its job is narrowed down until the call that did it is found.

A first death at an address is only a suspicion. The suspect is tried again alone; if it crashes
its worker again, that is its verdict. SIGKILL and the like come from outside, and may strike an
innocent process (memory runs out, somebody tidies up): there it takes more deaths.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

from mcstudy.execution.executor import Died
from mcstudy.grid import Condition
from mcstudy.method import Status
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.retry_policy import FIRST_ATTEMPT, Call, KnownFailure, RetryPolicy
from mcstudy.simulation.time_limit import TimeLimitExceeded
from mcstudy.study import Study

OWN_DOING = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"})
ENOUGH_OF_OWN_DOING, ENOUGH_FROM_OUTSIDE = 2, 4


class CrashLog:
    """The deaths of one run, and what they have taught.

    Parameters
    ----------
    study : Study
        Its time limits are part of what is told of a fit that was over one.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._deaths = 0
        self._suspected: Counter[tuple[Condition, int, str]] = Counter()
        self._batches: dict[Condition, list[range]] = defaultdict(list)
        self._known_failures: dict[Condition, dict[tuple[int, str], KnownFailure]] = defaultdict(
            dict
        )

    def learn(self, died: Died) -> list[Job]:
        """Return the jobs in which the work of a worker that died is done again."""
        job, call = died.given, died.call
        if call is None:
            return self._halves(died)
        if call.count > 1:
            self._batches[job.condition].append(range(call.first, call.first + call.count))
        else:
            self._charge(died, call, alone=len(job) == 1)
        return list(_pieces(job, call))

    def note(self, died: Died) -> str | None:
        """Return a line for the first death of a run; the tables count what comes of all."""
        self._deaths += not died.overran
        if died.overran or self._deaths > 1:
            return None
        return f"Note: {died.in_words()}; it is replaced, its job is done again"

    def policy(self, job: Job) -> RetryPolicy:
        """Return how a job is to be done, after all that happened."""
        if job.condition not in self._known_failures and job.condition not in self._batches:
            return FIRST_ATTEMPT
        known = self._known_failures[job.condition]
        known_failures = {at: known[at] for at in known if job.start <= at[0] < job.stop}
        batches = self._batches[job.condition]
        singly = any(job.start < batch.stop and batch.start < job.stop for batch in batches)
        return RetryPolicy(singly or bool(known_failures), known_failures)

    def _charge(self, died: Died, call: Call, *, alone: bool) -> None:
        """Suspect a call of one replicate, or pass its verdict."""
        condition = died.given.condition
        address = (condition, call.first, call.method)
        self._suspected[address] += 1
        if died.overran or (alone and self._suspected[address] >= _enough(died.reason)):
            self._known_failures[condition][call.first, call.method] = self._verdict(
                died, call.method
            )

    def _verdict(self, died: Died, method: str) -> KnownFailure:
        of = "" if method else "simulate: "
        limit = self._study.limit_of(method)
        if died.overran and limit is not None:
            return KnownFailure(Status.TIMEOUT, f"{of}{TimeLimitExceeded(limit)}", died.overran)
        return KnownFailure(Status.CRASHED, f"{of}ended its worker process ({died.reason})", 0.0)

    def _halves(self, died: Died) -> list[Job]:
        """Narrow down without an address: half the replicates, one method, then the verdict."""
        job = died.given
        if len(job) > 1:
            middle = (job.start + job.stop) // 2
            return [_cut(job, job.start, middle), _cut(job, middle, job.stop)]
        if len(job.methods) > 1:
            return [Job(job.condition, job.start, job.stop, (name,)) for name in job.methods]
        self._charge(died, Call(job.methods[0], job.start, 1), alone=True)
        return [job]


def _enough(reason: str) -> int:
    """Return how many deaths at an address are no accident."""
    own = reason in OWN_DOING or reason.startswith(("exit code", "a call has"))
    return ENOUGH_OF_OWN_DOING if own else ENOUGH_FROM_OUTSIDE


def _pieces(job: Job, call: Call) -> Iterator[Job]:
    """Yield what of a job comes before a call, what the call is of, and what comes after."""
    edges = (job.start, call.first, call.first + call.count, job.stop)
    for start, stop in itertools.pairwise(edges):
        if start < stop:
            yield _cut(job, start, stop)


def _cut(job: Job, start: int, stop: int) -> Job:
    return Job(job.condition, start, stop, job.methods)
