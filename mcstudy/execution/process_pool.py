"""Worker processes of this machine: each dies alone, and has a job at hand and one ahead.

The processes are those of loky, which start without importing the user's ``__main__`` again. Its
executor is not used: the death of one of its processes ends them all.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import Pipe

import cloudpickle
from joblib.externals.loky.backend import get_context

from mcstudy.errors import ResultsError
from mcstudy.execution.executor import (
    Died,
    Executor,
    InProcessExecutor,
    Task,
    TaskResult,
)
from mcstudy.execution.worker import CurrentCall, WorkerConfig, WorkerState, note_file, worker_main
from mcstudy.simulation.output import CLOSED_FILES
from mcstudy.simulation.process_state import LIMIT_REACHED
from mcstudy.storage.provenance import Mark, take_as_unchanged
from mcstudy.study import Study

MOST_FAILED_STARTS = 3  # in a row: one or two may be accidents, as when memory is short
# How often time limits are looked at, and, beside the close of its connection, a worker's end.
LOOK_SECONDS, EXIT_LOOK_SECONDS = 0.1, 1.0
# Beyond its limit a call gets this long to end by its own alarm before its process is ended.
GRACE_SECONDS, GRACE_SHARE = 0.5, 0.1
# A connection holds about 200 kB. A larger task would keep the run waiting for a busy worker.
_AHEAD_BYTES = 2**15
_ONE_ORDER_OF_SETS = {"PYTHONHASHSEED": "0"}
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1"
)
_EXITS = {
    CLOSED_FILES: "a call has closed files that are not its own",
    LIMIT_REACHED: "a call has lowered a limit of its process, or used it up",
}


@contextmanager
def local_executor(
    study: Study, marks: dict[str, Mark], count: int, *, in_process: bool
) -> Iterator[Executor]:
    """Provide `count` worker processes, each with one thread of linear algebra, or this process."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        if in_process:
            try:
                yield InProcessExecutor(study, marks)
            finally:
                take_as_unchanged(study, marks)
            return
        pool = ProcessPool(WorkerConfig.of(study, marks), count)
        try:
            yield pool
        finally:
            pool.close()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class ProcessPool(Executor):
    """Worker processes; one that dies is replaced, and costs the job that it was at."""

    def __init__(self, config: WorkerConfig, count: int) -> None:
        self._config = config
        self._failed_starts = 0
        self._messages: queue.SimpleQueue[tuple[_Worker, bytes | None]] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        try:
            for _ in range(count):
                self._workers.append(_Worker(config, self._messages.put))
        except BaseException:  # such as Ctrl-C
            self.close()
            raise

    def has_room(self) -> bool:
        """Return whether another job may be submitted."""
        return any(len(worker.tasks) < 2 for worker in self._workers)

    def is_busy(self) -> bool:
        """Return whether any task is under way."""
        return any(worker.tasks for worker in self._workers)

    def send(self, task: Task) -> None:
        """Take on a task, for the worker that has the fewest."""
        min(self._workers, key=lambda worker: len(worker.tasks)).add(task)

    def close(self) -> None:
        """End the workers, whatever they are at."""
        for worker in self._workers:
            worker.end()

    def results(self) -> list[TaskResult]:
        """Wait until a worker answers or ends, or for a moment; return what came of its task."""
        results: list[TaskResult] = []
        with suppress(queue.Empty):
            worker, message = self._messages.get(
                timeout=LOOK_SECONDS if self._config.is_timed else None
            )
            while True:
                if message is not None:
                    self._failed_starts = 0
                    results.append(worker.received(message))
                else:
                    results += self._replace(worker)
                worker, message = self._messages.get_nowait()
        if self._config.is_timed:
            for worker in self._workers:
                worker.end_if_over(self._config.limits)
        return results

    def _replace(self, worker: _Worker) -> list[TaskResult]:
        """Put a new worker in the place of one that has ended; return what it cost."""
        died = worker.died()
        self._failed_starts = 0 if worker.proven else self._failed_starts + 1
        if self._failed_starts == MOST_FAILED_STARTS:
            raise ResultsError(
                f"worker processes end as they start ({worker.reason()}); what is stored is "
                "whole, run with --jobs 1 (jobs=1) to see why"
            )
        worker.end()
        successor = _Worker(self._config, self._messages.put)
        self._workers[self._workers.index(worker)] = successor
        for task in worker.tasks:
            successor.add(task)
        return died


class _Worker:
    """One process, the tasks it has, and a thread that reads its results."""

    def __init__(
        self, config: WorkerConfig, deliver: Callable[[tuple[_Worker, bytes | None]], None]
    ) -> None:
        self.tasks: deque[Task] = deque()
        self.proven = False
        self._unsent: deque[bytes] = deque()
        self._overdue: WorkerState | None = None
        self._deliver = deliver
        self._held = ExitStack()
        note = self._held.enter_context(note_file())
        self._current = CurrentCall(note, config.limits)
        self._connection, theirs = Pipe()
        self._held.callback(self._connection.close)
        self._process = get_context("loky").Process(
            target=worker_main, args=(theirs, config, note), env=_ONE_ORDER_OF_SETS
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        try:
            with theirs, _keyboard_interrupts_held():
                self._process.start()
                self._reader.start()
        except BaseException:  # such as the Ctrl-C that was held back
            self.end()
            raise

    def _read(self) -> None:
        """Deliver the results, then the end of the process, for which it waits.

        A process that a call has left behind may hold the other end of the connection, so that it
        does not close; a process that has closed it may still be in a call.
        """
        has_ended = False
        with suppress(EOFError, OSError):
            while not has_ended:
                has_ended = self._process.exitcode is not None
                while self._connection.poll(0.0 if has_ended else EXIT_LOOK_SECONDS):
                    self._deliver((self, self._connection.recv_bytes()))
        self._process.join()
        self._deliver((self, None))

    def add(self, task: Task) -> None:
        """Send a task; where the process has ended already, that is told by its end."""
        self.tasks.append(task)
        self._unsent.append(cloudpickle.dumps(task))
        self._send()

    def _send(self) -> None:
        """Send what is unsent, a large task only to an idle process, which reads it at once."""
        while self._unsent:
            is_idle = len(self._unsent) == len(self.tasks)
            if not is_idle and len(self._unsent[0]) > _AHEAD_BYTES:
                return
            with suppress(OSError):
                self._connection.send_bytes(self._unsent.popleft())

    def received(self, message: bytes) -> TaskResult:
        """Return the result in a message, which is that of the first task."""
        self.proven = True
        self.tasks.popleft()
        self._send()
        result: TaskResult = pickle.loads(message)
        return result

    def end_if_over(self, limits: dict[str, float | None]) -> None:
        """End the process if the call that it is in takes longer than may be."""
        state = self._current.read()
        limit = limits[state.call.method] if state.call else None
        if state.call is None or limit is None or not state.begun:
            return
        allowed = limit * state.call.count
        allowed += max(GRACE_SECONDS, GRACE_SHARE * allowed)
        if time.monotonic() - state.begun > allowed:
            self._overdue = state
            self._kill()

    def died(self) -> list[TaskResult]:
        """Take out the task that it was at when it ended, if at one, and say how it ended."""
        state = self._current.read()
        if not state.task:
            return []
        self.proven = True
        over = time.monotonic() - state.begun if state == self._overdue else 0.0
        return [TaskResult(Died(self.tasks.popleft().job, state.call, self.reason(), over))]

    def reason(self) -> str:
        """Return how the process ended: the signal's name, or its exit code."""
        code = self._process.exitcode
        if code is None:
            return "for an unknown reason"
        if code in _EXITS:
            return _EXITS[code]
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """End the process, whatever it is at."""
        self._kill()
        if self._reader.ident is not None:
            # Wakes the reader where a process that a call has left behind holds the connection.
            with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as own:
                own.shutdown(socket.SHUT_RDWR)
            self._reader.join()
        self._held.close()

    def _kill(self) -> None:
        """Kill the process and those that its calls have started, unless it has ended."""
        if self._reader.is_alive():  # which waits for it: until then its number is its own
            for kill in (os.kill, os.killpg):
                with suppress(OSError):
                    kill(self._process.pid, signal.SIGKILL)


@contextmanager
def _keyboard_interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; a process started meanwhile never gets it before it can ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
