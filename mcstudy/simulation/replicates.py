"""One job to its rows: simulate each replicate once, fit it by every method, catch what happens.

There is one contract inside, the batch: a function that takes one replicate at a time is called
once for each of a batch, and leaves the same columns as one that takes them together.
"""

from __future__ import annotations

import itertools
import operator
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcstudy.grid import Condition
from mcstudy.method import SharedMethod, Skip, Status, batch_of
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.call import Caller, Outcome, TimeLimitExceeded, in_words, plain_text
from mcstudy.simulation.call_arguments import (
    Extras,
    answers_of,
    answers_to_item,
    drawn,
    drawn_together,
    truths_of_batch,
    truths_of_each,
)
from mcstudy.simulation.output import Capture
from mcstudy.simulation.prepare import given, prepared
from mcstudy.simulation.retry_policy import FIRST_ATTEMPT, RetryPolicy, Watch
from mcstudy.simulation.validation import TRUTH, AnswerError, column_of
from mcstudy.streams import streams
from mcstudy.study import Study
from mcstudy.truths import DATA

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
    begun = time.perf_counter()
    done = size = 0
    with Caller() as caller:
        work = _Work(study, job, answers, caller, tell, policy, watch, capture)
        while done < len(job):
            largest = 1 if policy.singly else work.largest_batch
            # The first batch is one replicate; sixteen times as many each time are soon 1024.
            size = max(1, min(16 * size, largest, len(job) - done))
            work.fit(job.methods, range(job.start + done, job.start + done + size))
            done += size
            elapsed = time.perf_counter() - begun
            affordable = int((seconds - elapsed) * done / elapsed) if elapsed < seconds else 0
            if not affordable:
                break
            size = min(size, affordable)
    for columns in answers.values():
        columns.truncate(done)
    return Job(job.condition, job.start, job.start + done, job.methods), answers


def draw(study: Study, condition: Condition, replicate: int) -> Any:
    """Simulate one replicate and return its data set."""
    rngs = streams(study.seed, study.stream_key(condition), [replicate])
    factors = dict(condition.factors) | given(study, condition, study.simulate)
    together = batch_of(study.simulate)
    if together is not None:
        return drawn_together(operator.call, together, rngs, factors)[0]
    return study.simulate(rngs[0], **factors)


@dataclass
class _Work:
    """What the batches of one job share; see `do_job`."""

    study: Study
    job: Job
    answers: Mapping[str, Answers]
    caller: Caller
    tell: Callable[[FitException], None] | None
    policy: RetryPolicy
    watch: Watch | None
    capture: Capture | None
    largest_batch: int = 1

    def __post_init__(self) -> None:
        study, job = self.study, self.job
        self.limits = {name: study.limit_of(name) for name in ("", *job.methods)}
        outcome = prepared(study, job.condition)
        has_failed = outcome is not None and outcome.exception is not None
        self.unprepared = outcome if has_failed else None  # nothing can be fitted then
        if not has_failed:
            self.extras = {name: Extras(study, job.condition, name) for name in job.methods}
            self.factors = dict(job.condition.factors) | given(study, job.condition, study.simulate)
        self.has_own_truths = study.truth_from == DATA
        self.batch_forms = {name: batch_of(study.methods[name]) for name in job.methods}
        # The methods of the job by the function that they share, and of each method all these.
        sharing: dict[str | int, list[str]] = {}
        self.together: dict[str, list[str]] = {}
        for name in job.methods:
            method = study.methods[name]
            key = id(method.function) if isinstance(method, SharedMethod) else name
            self.together[name] = sharing.setdefault(key, [])
            self.together[name].append(name)

    def fit(self, methods: Sequence[str], batch: range) -> None:
        """Fill the rows of a batch, for each of the methods."""
        if self.policy.known_failures:
            methods = self._without_known_failures(methods, batch[0])
        if not methods:
            return
        if self.unprepared is not None:
            for replicate, name in itertools.product(batch, methods):
                self._note_trouble(name, replicate, self.unprepared, of="prepare: ")
            return
        data, simulated = self._simulate(batch)
        if simulated is None:
            self._fit_singly(methods, batch)
            return
        for replicate, outcome in simulated.items():
            for name in methods:
                self._note_trouble(name, replicate, outcome, of="simulate: ")
        raised = {r for r, outcome in simulated.items() if outcome.exception is not None}
        good = [replicate for replicate in batch if replicate not in raised]
        if not good:
            return
        if self.has_own_truths and not self._store_truths(methods, good, data):
            return
        if self.largest_batch == 1:
            self.largest_batch = max(1, min(BATCH_REPLICATES, BATCH_BYTES // _bytes_each(data)))
        groups: dict[str, list[str]] = {}
        for name in methods:
            groups.setdefault(self.together[name][0], []).append(name)
        for first, names in groups.items():
            if self.batch_forms[first] is None:
                self._fit_each(names, good, data)
            else:
                self._fit_together(names, good, data)

    def _fit_singly(self, methods: Sequence[str], replicates: Sequence[int]) -> None:
        """Do replicates of a batch again one by one, as if for the first time."""
        for replicate in replicates:
            row = replicate - self.job.start
            for name in methods:
                self.answers[name].messages.pop(row, None)
                self.answers[name].warned[row] = False
            self.fit(methods, range(replicate, replicate + 1))

    def _without_known_failures(self, methods: Sequence[str], replicate: int) -> list[str]:
        """Write down the known failures of a replicate; return the methods that have none."""
        left, failures = [], self.policy.known_failures
        for name in methods:
            # A call is known by any of its methods.
            tries = (failures.get((replicate, who)) for who in ("", *self.together[name]))
            known = next(filter(None, tries), None)
            if known is None:
                left.append(name)
                continue
            row = replicate - self.job.start
            self.answers[name].end(row, known.status, known.message)
            self.answers[name].seconds[row] = known.seconds
        return left

    def _call(
        self, name: str, first: int, count: int, steps: Callable[..., Any], /, *args: Any
    ) -> Outcome:
        """Call a method, or simulate if `name` is empty, for `count` replicates from `first`."""
        limit, clock = self.limits[name], None
        if limit is not None:
            limit *= count
        if (watch := self.watch) is not None:
            watch(name, first, count)
            if limit is not None:

                def clock(timed: bool) -> None:
                    watch(name, first, count, timed=timed)

        caller = self.caller
        outcome = caller.attempt(steps, caller.run, *args, limit=limit, clock=clock)
        if self.capture is not None:
            self.capture.end_call(name, first, count)
        return outcome

    def _simulate(self, batch: range) -> tuple[Any, dict[int, Outcome] | None]:
        """Return the data sets that could be made and the outcomes worth a word, by replicate.

        None in place of the outcomes: a whole batch raised or warned, which ones must be found.
        """
        study, condition = self.study, self.job.condition
        rngs = streams(study.seed, study.stream_key(condition), batch)
        together = batch_of(study.simulate)
        if together is not None:
            outcome = self._call(
                "", batch[0], len(batch), drawn_together, together, rngs, self.factors
            )
            if outcome.troubled and len(batch) > 1:
                self._tell_of_form("", outcome)
                return None, None
            return outcome.value, {batch[0]: outcome} if outcome.troubled else {}
        data, troubled = [], {}
        for replicate, rng in zip(batch, rngs, strict=True):
            outcome = self._call("", replicate, 1, drawn, study.simulate, rng, self.factors)
            if outcome.troubled:
                troubled[replicate] = outcome
            if outcome.exception is None:
                data.append(outcome.value)
        return data, troubled

    def _store_truths(self, methods: Sequence[str], replicates: list[int], data: Any) -> bool:
        """Store the true values that data sets have; False where all is done for want of them."""
        estimands, count = self.study.estimands, len(replicates)
        assert estimands is not None
        together, factors = batch_of(estimands), self.job.condition.factors
        steps = (truths_of_each, estimands) if together is None else (truths_of_batch, together)
        outcome = self._call("", replicates[0], count, *steps, data, factors, count)
        if outcome.troubled and count > 1:
            self._fit_singly(methods, replicates)
            return False
        if outcome.troubled:
            for name in methods:
                self._note_trouble(name, replicates[0], outcome, of="estimands: ")
        if outcome.exception is not None:
            return False
        rows = np.array(replicates) - self.job.start
        for name, values in outcome.value.items():
            for method in methods:
                self.answers[method].numbers[column_of(TRUTH, name)][rows] = values
        return True

    def _fit_each(self, names: list[str], replicates: list[int], data: Any) -> None:
        """Call a one-at-a-time function for each data set, for all methods that share it."""
        methods = {name: self.study.methods[name] for name in names}
        own = [(name, self.answers[name]) for name in names]
        extras = self.extras[names[0]].each(replicates)
        count, start = len(names), self.job.start
        for i, replicate in enumerate(replicates):
            row = replicate - start
            outcome = self._call(
                names[0], replicate, 1, answers_to_item, methods, data, i, extras[i]
            )
            found, troubled = outcome.value, outcome.troubled
            for name, answers in own:
                answers.seconds[row] = outcome.seconds / count
                answer = None if found is None else found[name]
                if isinstance(answer, AnswerError):
                    wrong = replace(outcome, exception=answer)
                    self._note_trouble(name, replicate, wrong, shared=count)
                    continue
                if answer is not None:
                    answers.store(row, answer)
                if troubled:
                    self._note_trouble(name, replicate, outcome, shared=count)

    def _fit_together(self, names: list[str], replicates: list[int], data: Any) -> None:
        """Call a batched function once; where it raises or warns, again for each replicate."""
        count, rows = len(replicates), np.array(replicates) - self.job.start
        forms = {name: form for name in names if (form := self.batch_forms[name])}
        extras = self.extras[names[0]].together(replicates)
        outcome = self._call(names[0], replicates[0], count, answers_of, forms, data, extras, count)
        found = outcome.value or {}
        wrong = {name: of for name, of in found.items() if isinstance(of, AnswerError)}
        if (outcome.troubled or wrong) and count > 1:
            self._tell_of_form(names[0], outcome)
            for name, error in wrong.items():
                self._tell_of_form(name, replace(outcome, exception=error))
            self._fit_singly(names, replicates)
            return
        for name in names:
            answers = self.answers[name]
            answers.seconds[rows] = outcome.seconds / count / len(names)
            if name in wrong:
                of = replace(outcome, exception=wrong[name])
                self._note_trouble(name, replicates[0], of, shared=len(names))
                continue
            if name in found:
                answers.store_batch(rows, found[name])
            if outcome.troubled:
                self._note_trouble(name, replicates[0], outcome, shared=len(names))

    def _tell_of_form(self, name: str, outcome: Outcome) -> None:
        """Tell of a batch of a wrong form; it is done again one by one, where it may be right."""
        if self.tell and isinstance(outcome.exception, AnswerError):
            self.tell(FitException(name, outcome.exception, in_words(outcome.exception)))

    def _note_trouble(
        self, name: str, replicate: int, outcome: Outcome, of: str = "", *, shared: int = 1
    ) -> None:
        """Write down how a fit went wrong, or only warned; `of` says that simulate did.

        `shared` is how many methods share the call, and its time.
        """
        answers, row, exception = self.answers[name], replicate - self.job.start, outcome.exception
        if exception is None:
            answers.warn(row, of + outcome.warned)
            return
        if isinstance(exception, TimeLimitExceeded):
            text = str(exception)
            answers.end(row, Status.TIMEOUT, of + text)
            answers.seconds[row] = outcome.seconds / shared
        elif isinstance(exception, Skip):
            answers.end(row, Status.SKIPPED, of + plain_text(exception))
            return
        else:
            text = in_words(exception)
            warned = f"; {outcome.warned}" if outcome.warned else ""
            answers.fail(row, of + text + warned)
            answers.warned[row] |= bool(outcome.warned)
        if self.tell:
            self.tell(FitException("" if of else name, exception, text))


def _bytes_each(data: Any) -> int:
    """Return about how many bytes a data set of the batch takes."""
    try:
        if hasattr(data, "nbytes"):
            return int(data.nbytes) // len(data) or 1
        return len(pickle.dumps(data[0], protocol=pickle.HIGHEST_PROTOCOL))
    except Exception:  # noqa: BLE001 - any object may be a data set
        return BATCH_BYTES // 64  # a guess that gives batches of 64
