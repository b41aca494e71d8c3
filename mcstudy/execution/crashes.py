"""What follows the death of a worker: its job is narrowed down until the call that did it is found.

One death in a call may be an accident. The call is tried again alone; if its worker dies again, it
is a known failure, a row of the tables. SIGKILL and the like come from outside and may meet any
process (memory runs out, a scheduler cleans up): there it takes more deaths.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

from mcstudy.execution.executor import Died
from mcstudy.grid import Condition
from mcstudy.method import Status
from mcstudy.simulation.call import TimeLimitExceeded
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.retry_policy import FIRST_ATTEMPT, Call, KnownFailure, RetryPolicy
from mcstudy.study import Study

CRASH_SIGNALS = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"})
# Deaths in the same call that make it a known failure: by its own crash, by a signal from outside.
MOST_CRASHES, MOST_KILLS = 2, 4


class CrashLog:
    """The deaths of one run, and how its jobs are to be done after them."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._crashes = 0
        self._deaths_in_call: Counter[tuple[Condition, int, str]] = Counter()
        self._batches: dict[Condition, list[range]] = defaultdict(list)
        self._failures: dict[Condition, dict[tuple[int, str], KnownFailure]] = defaultdict(dict)

    def record(self, died: Died) -> list[Job]:
        """Return the jobs in which the work of a worker that died is done again."""
        job, call = died.given, died.call
        if call is None:
            return self._halves(died)
        if call.count > 1:
            self._batches[job.condition].append(range(call.first, call.first + call.count))
        else:
            self._record_death(died, call, alone=len(job) == 1)
        # What of the job comes before the call, what the call is of, and what comes after.
        edges = (job.start, call.first, call.first + call.count, job.stop)
        pieces = [replace(job, start=start, stop=stop) for start, stop in pairwise(edges)]
        return [piece for piece in pieces if len(piece) > 0]

    def first_note(self, died: Died) -> str | None:
        """Return a line for the first death of a run; the tables count what comes of all."""
        self._crashes += not died.overran
        if died.overran or self._crashes > 1:
            return None
        return f"Note: {died.in_words()}; it is replaced, its job is done again"

    def policy(self, job: Job) -> RetryPolicy:
        """Return how a job is to be done, after all that happened."""
        if job.condition not in self._failures and job.condition not in self._batches:
            return FIRST_ATTEMPT
        known = self._failures[job.condition]
        known = {at: known[at] for at in known if job.start <= at[0] < job.stop}
        batches = self._batches[job.condition]
        singly = any(job.start < batch.stop and batch.start < job.stop for batch in batches)
        return RetryPolicy(singly or bool(known), known)

    def _record_death(self, died: Died, call: Call, *, alone: bool) -> None:
        """Count a death in a call of one replicate, which may now be a known failure."""
        condition = died.given.condition
        address = (condition, call.first, call.method)
        self._deaths_in_call[address] += 1
        own = died.reason in CRASH_SIGNALS or died.reason.startswith(("exit code", "a call has"))
        most = MOST_CRASHES if own else MOST_KILLS
        limit = self._study.limit_of(call.method)
        if died.overran and limit is not None:
            status, said = Status.TIMEOUT, str(TimeLimitExceeded(limit))
        elif alone and self._deaths_in_call[address] >= most:
            status, said = Status.CRASHED, f"ended its worker process ({died.reason})"
        else:
            return
        said = said if call.method else f"simulate: {said}"
        failure = KnownFailure(status, said, died.overran)
        self._failures[condition][call.first, call.method] = failure

    def _halves(self, died: Died) -> list[Job]:
        """Narrow down where the call is not known: half the replicates, then one method."""
        job = died.given
        if len(job) > 1:
            middle = (job.start + job.stop) // 2
            return [replace(job, stop=middle), replace(job, start=middle)]
        if len(job.methods) > 1:
            return [replace(job, methods=(name,)) for name in job.methods]
        self._record_death(died, Call(job.methods[0], job.start, 1), alone=True)
        return [job]
