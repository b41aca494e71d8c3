"""Who does the jobs: worker processes, or this process where one asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from mcstudy.execution.outcome import Died, Finished, finish
from mcstudy.execution.process_pool import Pool
from mcstudy.execution.transport import pack
from mcstudy.execution.worker import Brief
from mcstudy.simulation.first_replicate import check_first_replicate
from mcstudy.simulation.output import Capture
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.retry_policy import FIRST_ATTEMPT, RetryPolicy
from mcstudy.storage.provenance import Mark, take_as_unchanged
from mcstudy.study import Study

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1"
)


class Workers(Protocol):
    """Takes jobs, gives back how they ended."""

    def has_room(self) -> bool:
        """Return whether another job may be submitted."""

    def submit(self, job: Job, seconds: float, policy: RetryPolicy = FIRST_ATTEMPT) -> None:
        """Take on a job; its worker stops after about `seconds`."""

    def finished(self) -> list[Finished | Died]:
        """Wait for at least one job to end; nothing if none is under way."""

    def check(self, job: Job, methods: Sequence[str]) -> list[str]:
        """Check the first replicate of a job where it will be done (`check_first_replicate`)."""


@contextmanager
def hire(
    study: Study, marks: dict[str, Mark], count: int, *, in_process: bool
) -> Iterator[Workers]:
    """Provide `count` worker processes, each with one thread of linear algebra, or this process."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        if in_process:
            try:
                yield _InProcess(study, marks)
            finally:
                take_as_unchanged(study, marks)
            return
        pool = Pool(study, Brief(pack(study), marks, tuple(study.methods), os.getpid()), count)
        try:
            yield pool
        finally:
            pool.dismiss()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _InProcess:
    """Does each job at once, in this process: a debugger can follow."""

    def __init__(self, study: Study, marks: dict[str, Mark]) -> None:
        self._study = study
        self._marks = marks
        self._waiting: list[tuple[Job, float, RetryPolicy]] = []

    def has_room(self) -> bool:
        return not self._waiting

    def submit(self, job: Job, seconds: float, policy: RetryPolicy = FIRST_ATTEMPT) -> None:
        self._waiting.append((job, seconds, policy))

    def finished(self) -> list[Finished | Died]:
        waiting, self._waiting = self._waiting, []
        return [finish(self._study, self._marks, *given) for given in waiting]

    def check(self, job: Job, methods: Sequence[str]) -> list[str]:
        with Capture():  # the run itself will show it
            return check_first_replicate(self._study, job, methods)
