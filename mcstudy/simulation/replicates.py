"""One job to its rows: simulate each replicate once, fit it by every method, catch what happens.

There is one contract inside, the batch: a function that takes one replicate at a time is called
once for each of a batch, and leaves the same columns as one that takes them together.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcstudy.grid import Condition
from mcstudy.method import Skip, Status, batch_of
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.arguments import Extras, answer_of, answer_to_item, drawn, drawn_together
from mcstudy.simulation.call import Outcome, Timed, attempt_work, in_words, plain_text
from mcstudy.simulation.output import Capture
from mcstudy.simulation.process_state import Before, put_modules_back
from mcstudy.simulation.retry_policy import FIRST_ATTEMPT, RetryPolicy, Watch
from mcstudy.simulation.time_limit import TimeLimitExceeded
from mcstudy.simulation.validation import AnswerError
from mcstudy.streams import streams
from mcstudy.study import Study

BATCH_BYTES = 2**24  # 16 MB of data sets at a time, however large one is
BATCH_REPLICATES = 1024  # enough to share the overhead of a call among


@dataclass(frozen=True)
class Job:
    """A condition, a run of replicates, and the methods still missing for them."""

    condition: Condition
    start: int
    stop: int
    methods: tuple[str, ...]

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class FitException:
    """An exception on the way: of a method, or of simulate if `method` is empty."""

    method: str
    exception: BaseException
    text: str


def do_job(
    study: Study,
    job: Job,
    seconds: float,
    tell: Callable[[FitException], None] | None = None,
    *,
    policy: RetryPolicy = FIRST_ATTEMPT,
    watch: Watch | None = None,
    capture: Capture | None = None,
) -> tuple[Job, dict[str, Answers]]:
    """Simulate and fit the replicates of a job, batch by batch, until `seconds` have passed.

    Each exception becomes a row; `tell`, where given, hears of it as well. `watch` hears of each
    call before it is made, `capture` gets what they print. `policy` is what earlier tries of these
    replicates have taught.

    Returns
    -------
    done : Job
        The job itself, or its beginning if time ran out; at least one replicate.
    answers : dict of str to Answers
        The columns of each method, a row for each replicate done.
    """
    answers = {name: Answers(len(job)) for name in job.methods}
    work = _Work(study, job, answers, tell, policy, watch, capture)
    begun = time.perf_counter()
    done = size = 0
    while done < len(job):
        largest = 1 if policy.singly else work.largest_batch
        size = max(1, min(8 * size, largest, len(job) - done))
        work.fit(job.methods, range(job.start + done, job.start + done + size))
        done += size
        elapsed = time.perf_counter() - begun
        affordable = int((seconds - elapsed) * done / elapsed) if elapsed < seconds else 0
        if not affordable:
            break
        size = min(size, affordable)
    put_modules_back()
    for columns in answers.values():
        columns.truncate(done)
    return Job(job.condition, job.start, job.start + done, job.methods), answers


def draw(study: Study, condition: Condition, replicate: int) -> Any:
    """Simulate one replicate and return its data set."""
    rngs = streams(study.seed, condition.key, [replicate])
    together = batch_of(study.simulate)
    if together is not None:
        return drawn_together(Timed(None), together, rngs, condition.factors)[0]
    return study.simulate(rngs[0], **condition.factors)


class _Work:
    """What the batches of one job share."""

    def __init__(
        self,
        study: Study,
        job: Job,
        answers: Mapping[str, Answers],
        tell: Callable[[FitException], None] | None,
        policy: RetryPolicy,
        watch: Watch | None,
        capture: Capture | None,
    ) -> None:
        self.study = study
        self.capture = capture
        self.before = Before()
        self.tell = tell
        self.known_failures = policy.known_failures
        self.watch = watch
        self.limits = {name: study.limit_of(name) for name in ("", *job.methods)}
        self.condition = job.condition
        self.start = job.start
        self.answers = answers
        self.extras = {name: Extras(study, job.condition, name) for name in job.methods}
        self.largest_batch = 1

    def fit(self, methods: Sequence[str], batch: range) -> None:
        """Fill the rows of a batch, for each of the methods."""
        if self.known_failures and not (methods := self._without_known_failures(methods, batch[0])):
            return
        data, simulated = self._simulate(batch)
        if simulated is None:
            self._fit_separately(methods, batch)
            return
        for replicate, outcome in simulated.items():
            if outcome.exception is not None:
                for name in methods:
                    self._end(name, replicate, outcome, of_simulate=True)
        raised = {r for r, outcome in simulated.items() if outcome.exception is not None}
        good = [replicate for replicate in batch if replicate not in raised]
        if not good:
            return
        if self.largest_batch == 1:
            self.largest_batch = max(1, min(BATCH_REPLICATES, BATCH_BYTES // _bytes_each(data)))
        for name in methods:
            for replicate in set(good) & simulated.keys():
                text = f"simulate: {simulated[replicate].warned}"
                self.answers[name].warn(replicate - self.start, text)
            if batch_of(self.study.methods[name]) is None:
                self._fit_each(name, good, data)
            else:
                self._fit_together(name, good, data)

    def _without_known_failures(self, methods: Sequence[str], replicate: int) -> list[str]:
        """Write down the known failures of a replicate; return the methods that have none."""
        left = []
        for name in methods:
            failures = self.known_failures
            known = failures.get((replicate, "")) or failures.get((replicate, name))
            if known is None:
                left.append(name)
                continue
            row = replicate - self.start
            self.answers[name].end(row, known.status, known.message)
            self.answers[name].seconds[row] = known.seconds
        return left

    def _call(
        self, name: str, replicates: Sequence[int], steps: Callable[..., Any], /, *args: Any
    ) -> Outcome:
        """Call a method, or simulate if `name` is empty, within its time limit."""
        first, count, limit = replicates[0], len(replicates), self.limits[name]
        watch, clock = self.watch, None
        if watch is not None:
            watch(name, first, count)

            def clock(timed: bool) -> None:
                watch(name, first, count, timed=timed)

        outcome = attempt_work(
            lambda timed: steps(timed, *args),
            None if limit is None else limit * count,
            clock=clock,
            before=self.before,
        )
        if self.capture is not None:
            self.capture.end_call(name, first, count)
        return outcome

    def _simulate(self, batch: range) -> tuple[Any, dict[int, Outcome] | None]:
        """Return the data sets that could be made and the outcomes worth a word, by replicate.

        None in place of the outcomes: a whole batch raised or warned, which ones must be found.
        """
        rngs = streams(self.study.seed, self.condition.key, batch)
        together = batch_of(self.study.simulate)
        if together is not None:
            outcome = self._call("", batch, drawn_together, together, rngs, self.condition.factors)
            if outcome.troubled and len(batch) > 1:
                self._tell_of_form("", outcome)
                return None, None
            return outcome.value, {batch[0]: outcome} if outcome.troubled else {}
        data, troubled, factors = [], {}, self.condition.factors
        for replicate, rng in zip(batch, rngs, strict=True):
            outcome = self._call("", [replicate], drawn, self.study.simulate, rng, factors)
            if outcome.troubled:
                troubled[replicate] = outcome
            if outcome.exception is None:
                data.append(outcome.value)
        return data, troubled

    def _fit_each(self, name: str, replicates: list[int], data: Any) -> None:
        """Call a one-at-a-time method for each data set."""
        method, answers = self.study.methods[name], self.answers[name]
        extras = self.extras[name].each(replicates)
        for i, replicate in enumerate(replicates):
            row = replicate - self.start
            arguments = (method, data, i, next(extras))
            outcome = self._call(name, [replicate], answer_to_item, *arguments)
            answers.seconds[row] = outcome.seconds
            if outcome.value is not None:
                answers.store(row, outcome.value)
            if outcome.troubled:
                self._end(name, replicate, outcome)

    def _fit_together(self, name: str, replicates: list[int], data: Any) -> None:
        """Call a batched method once; where it raises or warns, again for each replicate."""
        answers = self.answers[name]
        rows = np.array(replicates) - self.start
        extras = self.extras[name].together(replicates)
        arguments = (batch_of(self.study.methods[name]), data, extras, len(rows))
        outcome = self._call(name, replicates, answer_of, *arguments)
        if outcome.troubled and len(replicates) > 1:
            self._tell_of_form(name, outcome)
            for row in rows.tolist():
                answers.messages.pop(row, None)
                answers.warned[row] = False
            self._fit_separately([name], replicates)
            return
        answers.seconds[rows] = outcome.seconds / len(rows)
        if outcome.value is not None:
            answers.store(rows, outcome.value)
        if outcome.troubled:
            self._end(name, replicates[0], outcome)

    def _fit_separately(self, methods: Sequence[str], replicates: Sequence[int]) -> None:
        for replicate in replicates:
            self.fit(methods, range(replicate, replicate + 1))

    def _tell_of_form(self, name: str, outcome: Outcome) -> None:
        """Tell of a batch of a wrong form; it is done again one by one, where it may be right."""
        if self.tell and isinstance(outcome.exception, AnswerError):
            self.tell(FitException(name, outcome.exception, in_words(outcome.exception)))

    def _end(
        self, name: str, replicate: int, outcome: Outcome, *, of_simulate: bool = False
    ) -> None:
        """Write down how a fit went wrong, or only warned."""
        answers, row = self.answers[name], replicate - self.start
        if outcome.exception is None:
            answers.warn(row, outcome.warned)
            return
        of = "simulate: " if of_simulate else ""
        if isinstance(outcome.exception, TimeLimitExceeded):
            text = str(outcome.exception)
            answers.end(row, Status.TIMEOUT, of + text)
            answers.seconds[row] = outcome.seconds
        elif isinstance(outcome.exception, Skip):
            answers.end(row, Status.SKIPPED, of + plain_text(outcome.exception))
            return
        else:
            text = in_words(outcome.exception)
            warned = f"; {outcome.warned}" if outcome.warned else ""
            answers.fail(row, of + text + warned)
            answers.warned[row] |= bool(outcome.warned)
        if self.tell:
            self.tell(FitException("" if of_simulate else name, outcome.exception, text))


def _bytes_each(data: Any) -> int:
    """Return about how many bytes a data set of the batch takes."""
    try:
        if hasattr(data, "nbytes"):
            return int(data.nbytes) // len(data) or 1
        return len(pickle.dumps(data[0], protocol=pickle.HIGHEST_PROTOCOL))
    except Exception:  # noqa: BLE001 - any object may be a data set
        return BATCH_BYTES // 64
