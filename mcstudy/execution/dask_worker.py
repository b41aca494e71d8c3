"""A thread of a dask worker at work: it keeps a local worker process and hands it the tasks.

The job never runs in dask's own process: warnings, time limits and threads are those of a local
run, and a fit that kills its process costs that process only.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from mcstudy.errors import ResultsError
from mcstudy.execution.executor import Task, TaskResult
from mcstudy.execution.process_pool import ProcessPool
from mcstudy.execution.worker import WorkerConfig
from mcstudy.storage.provenance import changes
from mcstudy.storage.versions import versions


class _ThreadPool:
    """The worker process of one thread, and the folder with the study's files."""

    def __init__(self, config: WorkerConfig) -> None:
        # Dask's nanny starts its worker as a daemonic process, so that it does not outlive the
        # nanny, and such a one may have no children. Ours cannot outlive it: the system ends them.
        process = multiprocessing.current_process()
        process._config["daemon"] = False  # type: ignore[attr-defined]
        self._folder = tempfile.TemporaryDirectory(prefix="mcstudy-", ignore_cleanup_errors=True)
        payload = config.payload.written_to(Path(self._folder.name))
        self.pool = ProcessPool(replace(config, payload=payload, parent=os.getpid()), 1)

    def close(self) -> None:
        self.pool.close()
        self._folder.cleanup()


# Dask calls `do_task` by its name, so what a process keeps between two calls stands here.
_lock = threading.Lock()
_pools: dict[tuple[str, int], _ThreadPool] = {}
_ended_runs: set[str] = set()


def do_task(config: WorkerConfig, task: Task) -> TaskResult:
    """Do a task in the worker process of this thread."""
    key = (config.run, threading.get_ident())

    def result() -> TaskResult:
        if said := changes(config.versions, versions()):
            raise ResultsError(
                f"a dask worker on {os.uname().nodename} has other packages than this process: "
                f"{', '.join(said)}; install the same versions there"
            )
        return _pool(config, key).do(task)

    try:
        return TaskResult.of(result)
    finally:
        if config.run in _ended_runs:
            _close([key])


def end_run(run: str) -> None:
    """End the worker processes of a run that is over."""
    _ended_runs.add(run)
    _close([key for key in list(_pools) if key[0] == run])


def _pool(config: WorkerConfig, key: tuple[str, int]) -> ProcessPool:
    """Return this thread's process; those it had for other runs are ended."""
    with _lock:
        others = [other for other in _pools if other[1] == key[1] and other != key]
    _close(others)
    own = _pools.get(key)
    if own is None:
        own = _ThreadPool(config)
        with _lock:
            _pools[key] = own
    return own.pool


def _close(keys: list[tuple[str, int]]) -> None:
    for key in keys:
        with _lock:
            own = _pools.pop(key, None)
        if own is not None:
            own.close()
