"""The first replicate, before the long run: each function must return what it should."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence

from mcstudy.arguments import suggestion
from mcstudy.errors import StudyError
from mcstudy.method import Status
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.call import TimeLimitExceeded
from mcstudy.simulation.global_random import Draws, advice, verdict
from mcstudy.simulation.replicates import FitException, Job, do_job
from mcstudy.simulation.retry_policy import Watch, who
from mcstudy.simulation.validation import CODES, TRUTH, AnswerError
from mcstudy.study import Study

TWICE_SECONDS = 1.0  # a replicate that takes longer is not done a second time
UNSEEDED = (
    "gives another answer when the same replicate is done again: it or simulate draws from what no "
    "seed of the study reaches, or keeps something of earlier fits"
)


def check_first_replicate(
    study: Study, job: Job, methods: Sequence[str], *, watch: Watch | None = None
) -> list[str]:
    """Run the first replicate of a job by `methods` and return what is odd, a line each.

    Odd is a method that raises at once, or gives another answer the second time. A StudyError is an
    answer of the wrong form, a misspelt estimand, a truth without estimand, or a draw from a global
    random state.
    """
    first = Job(job.condition, job.start, job.start + 1, tuple(methods))
    draws = Draws(watch)
    troubles: list[FitException] = []
    begun = time.perf_counter()
    _, answers = do_job(study, first, 0.0, troubles.append, watch=draws)
    draws.look()
    seconds = time.perf_counter() - begun
    where = f"replicate {job.start} of {job.condition.key}"
    said = []
    for trouble in troubles:
        name = who(trouble.method)
        if isinstance(trouble.exception, AnswerError):
            raise StudyError(f"{study.name}: {name} {trouble.exception} ({where})")
        text = " ".join(trouble.text.split())
        late = isinstance(trouble.exception, TimeLimitExceeded)
        at = f"takes {text} at {where}" if late else f"raises at {where}: {text}{advice(text)}"
        said.append(f"Note: {name} {at}")
    for call, names in draws.found.items():
        raise StudyError(f"{study.name}: {verdict(call.method, names)} ({where})")
    if not said and all((of.status != CODES[Status.SKIPPED]).all() for of in answers.values()):
        _check_estimands(study, job, answers, methods)
    if seconds < TWICE_SECONDS:
        again = do_job(study, first, 0.0, watch=watch)[1]
        said += [
            f"Note: method '{name}' {UNSEEDED} ({where})"
            for name in answers
            if not answers[name].same_as(again[name])
        ]
    return list(dict.fromkeys(said))


def _check_estimands(
    study: Study, job: Job, answers: dict[str, Answers], methods: Sequence[str]
) -> None:
    truths: set[str] = {*study.estimands_of(job.condition)}
    returned: set[str] = set()
    for columns in answers.values():
        truths |= {column.estimand for column in columns.numbers if column.kind == TRUTH}
    for name, columns in answers.items():
        own = {column.estimand for column in columns.numbers if column.kind != TRUTH}
        for text in misspelt(own, sorted(truths)):
            raise StudyError(f"{study.name}: method '{name}' {text}")
        returned |= own
    forgotten = sorted(truths - returned)
    # Later replicates are run where others are stored, which may have the estimand.
    if forgotten and job.start == 0 and set(methods) == set(study.methods):
        raise StudyError(
            f"{study.name}: no method returns the estimand {', '.join(map(repr, forgotten))}; "
            f"they return {', '.join(sorted(returned))}"
        )


def misspelt(returned: Collection[str], truths: Collection[str]) -> Iterator[str]:
    """Say what a method returns that reads like an estimand that it does not return."""
    left_out = [name for name in truths if name not in returned]
    for name in sorted(returned):
        if name not in truths and (meant := suggestion(name, left_out)):
            yield (
                f"returns {name!r}, of which estimands says nothing{meant}; if it has no true "
                f"value, let estimands return {{{name!r}: None}}"
            )
