"""The first replicate, before the long run: each function must return what it should."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcstudy.errors import StudyError
from mcstudy.fits.answers import Answers
from mcstudy.fits.caution import Watch
from mcstudy.fits.checked import CODES, AnswerError
from mcstudy.fits.replicates import Job, Trouble, do_job
from mcstudy.method import Status
from mcstudy.study import Study


def check_first_replicate(
    study: Study, job: Job, methods: Sequence[str], *, watch: Watch | None = None
) -> list[str]:
    """Run the first replicate of a job by `methods` and judge the answers.

    Returns
    -------
    list of str
        What is odd but no mistake of form, a line each: a method that raises at once.

    Raises
    ------
    StudyError
        For an answer of the wrong form, an estimand without truth, a truth without estimand, or a
        draw from a global random state.
    """
    first = Job(job.condition, job.start, job.start + 1, tuple(methods))
    before = global_states()
    troubles: list[Trouble] = []
    _, answers = do_job(study, first, 0.0, troubles.append, watch=watch)
    where = f"replicate {job.start} of {job.condition.key}"
    said = []
    for trouble in troubles:
        name = f"method '{trouble.method}'" if trouble.method else "simulate"
        if isinstance(trouble.exception, AnswerError):
            raise StudyError(f"{study.name}: {name} {trouble.exception} ({where})")
        said.append(f"Note: {name} raises at {where}: {' '.join(trouble.text.split())}")
    check_global_states(study, before)
    skipped = CODES[Status.SKIPPED]
    if not said and not any((columns.status == skipped).any() for columns in answers.values()):
        _check_estimands(study, job, answers, methods)
    return list(dict.fromkeys(said))


def _check_estimands(
    study: Study, job: Job, answers: dict[str, Answers], methods: Sequence[str]
) -> None:
    truths = study.truths(job.condition)
    for name, columns in answers.items():
        for column in columns.numbers:
            if column.estimand not in truths:
                raise StudyError(
                    f"{study.name}: method '{name}' returns {column.estimand!r}, but estimands "
                    f"gives no truth of it, only of {', '.join(truths)}"
                )
    returned = {column.estimand for columns in answers.values() for column in columns.numbers}
    forgotten = [estimand for estimand in truths if estimand not in returned]
    # Later replicates are run where others are stored, which may have the estimand.
    if forgotten and job.start == 0 and set(methods) == set(study.methods):
        raise StudyError(
            f"{study.name}: no method returns the estimand {', '.join(map(repr, forgotten))}; "
            f"they return {', '.join(sorted(returned))}"
        )


def check_global_states(study: Study, before: tuple[object, ...]) -> None:
    """Raise StudyError if somebody has drawn from a generator that everybody shares."""
    if global_states() != before:
        raise StudyError(
            f"{study.name}: simulate or a method draws from a global random state, which no seed "
            "of ours reaches; use the rng that simulate gets, or ask for rng in the method"
        )


def global_states() -> tuple[object, ...]:
    """Return the state of the generators that everybody shares."""
    legacy: Any = np.random.get_state()  # noqa: NPY002 - to see whether somebody draws from it
    return random.getstate(), legacy[1].tobytes(), legacy[2:]
