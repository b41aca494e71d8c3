"""Who does the jobs: worker processes, or this process where there is one worker."""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cloudpickle
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_limits

from mcstudy.errors import MCStudyError, ResultsError, StudyError
from mcstudy.fits.replicates import Job, do_job
from mcstudy.stored.marks import Mark
from mcstudy.stored.parts import encode
from mcstudy.study import Study, load_study

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Finished:
    """What a worker gives back: what it was given, what it did of it, and the part."""

    given: Job
    done: Job
    part: bytes
    seconds: float


class Workers(Protocol):
    """Takes jobs, gives back what is finished."""

    def has_room(self) -> bool:
        """Return whether another job may be submitted."""

    def submit(self, job: Job, seconds: float) -> None:
        """Take on a job; its worker stops after about `seconds`."""

    def finished(self) -> list[Finished]:
        """Wait for at least one job to end; nothing if none is under way."""


@contextmanager
def hire(study: Study, marks: dict[str, Mark], count: int) -> Iterator[Workers]:
    """Provide `count` workers, each with one thread of linear algebra; one works in-process."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        if count == 1:
            yield _InProcess(study, marks)
            return
        pool = ProcessPoolExecutor(
            max_workers=count,
            initializer=_start_worker,
            initargs=(order(study), marks, os.getpid()),
            env=_ONE_THREAD,
        )
        try:
            pool.submit(os.getpid)  # starts all processes: they load the study meanwhile
            yield _Pool(pool, count)
        except BaseException:
            pool.shutdown(kill_workers=True)
            raise
        pool.shutdown()
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
        self._waiting: list[tuple[Job, float]] = []

    def has_room(self) -> bool:
        return not self._waiting

    def submit(self, job: Job, seconds: float) -> None:
        self._waiting.append((job, seconds))

    def finished(self) -> list[Finished]:
        waiting, self._waiting = self._waiting, []
        return [_work(self._study, self._marks, job, seconds) for job, seconds in waiting]


class _Pool:
    """Sends jobs to the processes of a pool, one ahead for each."""

    def __init__(self, pool: Any, count: int) -> None:
        self._pool = pool
        self._count = count
        self._under_way: set[Future[Finished]] = set()

    def has_room(self) -> bool:
        return len(self._under_way) <= self._count

    def submit(self, job: Job, seconds: float) -> None:
        try:
            self._under_way.add(self._pool.submit(_work_here, job, seconds))
        except BrokenProcessPool:
            raise _worker_died() from None

    def finished(self) -> list[Finished]:
        done, self._under_way = wait(self._under_way, return_when=FIRST_COMPLETED)
        try:
            return [future.result() for future in done]
        except BrokenProcessPool:
            raise _worker_died() from None


def _worker_died() -> ResultsError:
    return ResultsError(
        "a worker process died (a crash in compiled code, or out of memory); what is stored is "
        "whole: run again to go on, with --jobs 1 to see the fit that does it"
    )


def _work(study: Study, marks: dict[str, Mark], job: Job, seconds: float) -> Finished:
    begun = time.perf_counter()
    with threadpool_limits(1):
        done, answers = do_job(study, job, seconds)
    return Finished(job, done, encode(done, answers, marks), time.perf_counter() - begun)


# What follows runs in a worker process, which does jobs of one study only.

_hired: dict[str, Any] = {}


def _start_worker(order: tuple[Any, ...], marks: dict[str, Mark], parent: int) -> None:
    """Get the study once; trouble is kept for the first job, a pool would only say "broken"."""
    _end_with(parent)
    try:
        _hired.update(study=_fulfil(*order), marks=marks)
    except Exception as error:  # noqa: BLE001 - unpickling a user's study may raise anything
        _hired["trouble"] = f"the study does not reach the workers: {type(error).__name__}: {error}"


def _work_here(job: Job, seconds: float) -> Finished:
    if "trouble" in _hired:
        raise StudyError(_hired["trouble"])
    return _work(_hired["study"], _hired["marks"], job, seconds)


def _end_with(parent: int) -> None:
    """Let the system end this process when its parent dies, however it dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def order(study: Study) -> tuple[Any, ...]:
    """Return what a worker makes the study from: its file, or its pickle."""
    if study.source is not None:
        return "file", str(study.source), study.source_digest
    modules = {
        module
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("mcstudy_study_")
    }
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return "pickle", cloudpickle.dumps(study)
    except Exception as error:
        raise StudyError(
            f"{study.name}: cannot be sent to worker processes ({type(error).__name__}: {error}); "
            "put it into a study file, or use one worker"
        ) from error
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _fulfil(kind: str, *content: Any) -> Study:
    if kind == "pickle":
        study: Study = cloudpickle.loads(content[0])
        return study
    path, digest = content
    if hashlib.sha256(Path(path).read_bytes()).hexdigest() != digest:
        raise MCStudyError(f"{path} was edited while the run started; run again")
    return load_study(path)
