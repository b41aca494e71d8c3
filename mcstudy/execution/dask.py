"""Workers behind a dask scheduler: as many as there are at the time, on any number of machines."""

from __future__ import annotations

import importlib
import math
import queue
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mcstudy.errors import ResultsError, StudyError
from mcstudy.execution.dask_worker import do_task, end_run
from mcstudy.execution.executor import Executor, Task, TaskResult
from mcstudy.execution.worker import WorkerConfig
from mcstudy.storage.provenance import Mark
from mcstudy.study import Study

CONNECT_SECONDS = 3.0  # an answer takes milliseconds; the rest is for a busy machine
LOOK_SECONDS = 1.0  # how often the count of workers, and an end of the scheduler, are looked at
# A worker that is just starting needs a few seconds; after that somebody may wonder.
PATIENCE_SECONDS = 6.0
MOST_LOSSES = 5  # a worker that is ended from outside costs one; dask itself gives up after 3
# What dask says of a task where not the task, but its worker is to blame.
_FAULTS_OF_WORKERS = ("KilledWorker", "CancelledError", "FutureCancelledError")


@contextmanager
def dask_executor(
    study: Study, marks: dict[str, Mark], scheduler: str, say: Callable[[str], None]
) -> Iterator[DaskExecutor]:
    """Provide the workers of a dask scheduler.

    Parameters
    ----------
    study : Study
        Its file, or its pickle, is sent along.
    marks : dict
        Of its methods.
    scheduler : str
        The scheduler's address, or the path of its scheduler file.
    say : callable
        Is told in a line what the run waits for, where that takes long.

    Raises
    ------
    StudyError
        If dask is not installed, or the study cannot be sent.
    ResultsError
        If the scheduler does not answer.
    """
    config = WorkerConfig.of(study, marks, uuid.uuid4().hex)
    with _said_if_late(say, f"{scheduler} has not answered yet as a dask scheduler does; waiting"):
        client = _connected(scheduler)
    executor = DaskExecutor(client, config, scheduler, say)
    try:
        yield executor
    finally:
        executor.close()
        client.close(timeout=CONNECT_SECONDS)


@contextmanager
def _said_if_late(say: Callable[[str], None], line: str) -> Iterator[None]:
    """Say a line if what is done takes longer than `PATIENCE_SECONDS`."""
    timer = threading.Timer(PATIENCE_SECONDS, say, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _connected(scheduler: str) -> Any:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise StudyError(
            "the dask backend needs dask: install it with pip install 'mcstudy[dask]'"
        ) from None
    named = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    client = distributed.Client.__new__(distributed.Client)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
            client.__init__(**named, timeout=CONNECT_SECONDS, set_as_default=False)
            return client
    except BaseException as error:
        client.status = "closed"  # or dask complains when it is deleted
        if not isinstance(error, Exception):
            raise
        # An odd address makes dask raise anything.
        raise ResultsError(
            f"no dask scheduler answers at {scheduler} ({type(error).__name__}); start one, or "
            "give its address as --scheduler (scheduler), e.g. tcp://127.0.0.1:8786"
        ) from None


class DaskExecutor(Executor):
    """Jobs sent to a dask scheduler, two for each thread that its workers have at the time."""

    def __init__(
        self, client: Any, config: WorkerConfig, scheduler: str, say: Callable[[str], None]
    ) -> None:
        self._client = client
        self._say = say
        self._no_worker_since: float | None = None
        self._config = config
        self._scheduler = scheduler
        self._submitted: dict[str, tuple[Any, Task, int]] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lost: list[tuple[Task, int]] = []
        self._counted = -LOOK_SECONDS
        self._threads = 0

    @property
    def threads(self) -> int:
        """How many threads the workers have, as of a second ago."""
        if time.monotonic() - self._counted >= LOOK_SECONDS:
            with suppress(OSError):
                self._threads = sum(self._client.nthreads().values())
            self._counted = time.monotonic()
        return self._threads

    def has_room(self) -> bool:
        """Return whether another job may be submitted; one may wait for the first worker."""
        return len(self._submitted) + len(self._lost) < max(2 * self.threads, 1)

    def is_busy(self) -> bool:
        """Return whether any task is under way."""
        return bool(self._submitted or self._lost)

    def send(self, task: Task) -> None:
        """Take on a task."""
        self._submit(task, 0)

    def close(self) -> None:
        """Take back what is under way, and end the worker processes of this run."""
        with suppress(Exception):  # the scheduler may be gone, and all of this with it
            self._client.cancel([future for future, _, _ in self._submitted.values()], force=True)
            if self._client.status == "running":
                self._client.run(end_run, self._config.run, on_error="ignore")

    def _submit(self, task: Task, losses: int) -> None:
        key = f"mcstudy-{uuid.uuid4().hex}"
        future = self._client.submit(do_task, self._config, task, pure=False, key=key)
        self._submitted[future.key] = (future, task, losses)
        future.add_done_callback(self._done.put)

    def results(self) -> Iterator[TaskResult]:
        """Yield what has come back by now; wait a moment for the first."""
        if self._lost and self._client.status == "running":
            lost, self._lost = self._lost, []
            for task, losses in lost:
                self._submit(task, losses)
        self._say_if_no_worker()
        with suppress(queue.Empty):
            future = self._done.get(timeout=LOOK_SECONDS)
            while True:
                yield from self._result(future)
                future = self._done.get_nowait()
        if self._client.status in ("closed", "closing"):
            raise ResultsError(
                f"the dask scheduler at {self._scheduler} is gone; what is stored is whole, "
                "run again to go on"
            )

    def _say_if_no_worker(self) -> None:
        """Say once that there is no worker, after some patience; again after one was there."""
        now = time.monotonic()
        if self.threads:
            self._no_worker_since = None
        elif self._no_worker_since is None:
            self._no_worker_since = now
        elif now - self._no_worker_since > PATIENCE_SECONDS:
            self._no_worker_since = math.inf
            self._say(f"the dask scheduler at {self._scheduler} has no worker yet; waiting for one")

    def _result(self, future: Any) -> Iterator[TaskResult]:
        """Yield the result of a future; a task that was lost is sent again."""
        known = self._submitted.pop(future.key, None)
        if known is None:
            return
        _, task, losses = known
        error = future.exception() if future.status == "error" else None
        if error is not None and type(error).__name__ not in _FAULTS_OF_WORKERS:
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ResultsError(
                f"a dask worker cannot take a job ({said}); install the same packages there as here"
            )
        if future.status == "finished":
            yield future.result()
        elif losses == MOST_LOSSES:
            job = task.job
            raise ResultsError(
                f"dask lost the job of replicates {job.start} to {job.stop - 1} of "
                f"{job.condition.key} {losses + 1} times; look at the logs of its workers"
            )
        else:
            self._lost.append((task, losses + 1))
