"""Local workers: processes that die alone, each with a job at hand and one ahead.

Each is a loky executor of one process: where an executor has more, the death of one ends them all.
"""

from __future__ import annotations

import os
import queue
import signal
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Protocol

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool

from mcstudy.errors import ResultsError, StudyError
from mcstudy.execution.current_call import Footprint, Trail, laid
from mcstudy.execution.outcome import Died, Finished
from mcstudy.execution.worker import Brief, Errand, Reply, serve, start
from mcstudy.simulation.output import CLOSED_FILES
from mcstudy.simulation.process_state import LIMIT_REACHED
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.retry_policy import FIRST_ATTEMPT, RetryPolicy
from mcstudy.spoken import option

MOST_STILLBORN = 3
LOOK_SECONDS = 0.1
GRACE_SECONDS, GRACE_SHARE = 0.5, 0.1
_filters_of_pools: list[object] = []
_ONE_ORDER_OF_SETS = {"PYTHONHASHSEED": "0"}
_EXITS = {
    CLOSED_FILES: "a call has closed files that are not its own",
    LIMIT_REACHED: "a call has lowered a limit of its process, or used it up",
}


class Limited(Protocol):
    """Knows the time limits of calls, as a study does."""

    @property
    def time_limit(self) -> float | Mapping[str, float] | None:
        """None where there is none."""

    def limit_of(self, method: str) -> float | None:
        """Return the seconds that a call of a method may take."""


class Pool:
    """Worker processes; one that dies is replaced, and costs the job that it was at.

    Parameters
    ----------
    study : Study, or what knows its limits
        Its time limits hold for every call.
    brief : Brief
        For each worker.
    count : int
        How many.
    """

    def __init__(self, study: Limited, brief: Brief, count: int) -> None:
        self._study = study
        self._brief = brief
        self._timed = study.time_limit is not None
        self._number = self._stillborn = 0
        self._held = ExitStack()
        self._held.enter_context(_restarts_unmentioned())
        _start_tracker()
        self._workers: list[_Worker] = []
        try:
            for _ in range(count):
                self._workers.append(_Worker(brief))
        except BaseException:  # such as Ctrl-C
            self.dismiss()
            raise

    def has_room(self) -> bool:
        """Return whether another job may be submitted."""
        return any(len(worker.errands) < 2 for worker in self._workers)

    def submit(self, job: Job, seconds: float, policy: RetryPolicy = FIRST_ATTEMPT) -> None:
        """Take on a job; its worker stops after about `seconds`."""
        worker = min(self._workers, key=lambda worker: len(worker.errands))
        worker.take(Errand(self._next(), job, seconds, policy))

    def finished(self) -> list[Finished | Died]:
        """Wait for at least one job to end; nothing if none is under way."""
        ends: list[Finished | Died] = []
        while not ends and any(worker.errands for worker in self._workers):
            ends += [_finished(errand, reply) for errand, reply in self._replies()]
            ends += self._replaced()
        return ends

    def check(self, job: Job, methods: Sequence[str]) -> list[str]:
        """Check the first replicate of a job; return what is odd, a line each."""
        first = Job(job.condition, job.start, job.start + 1, tuple(methods))
        self._workers[0].take(Errand(self._next(), first, 0.0, FIRST_ATTEMPT, check=True))
        while True:
            for _, reply in self._replies():
                return list(reply.said)
            for died in self._replaced():
                return [f"Note: {died.in_words()}; the run tries it again"]

    def dismiss(self) -> None:
        """End the workers, whatever they are at."""
        for worker in self._workers:
            worker.let_go()
        self._held.close()

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _replies(self) -> list[tuple[Errand, Reply]]:
        """Wait until a worker answers or ends, or for a moment; return what they answer."""
        awaited = [future for worker in self._workers for _, future in worker.errands]
        wait(awaited, LOOK_SECONDS if self._timed else None, FIRST_COMPLETED)
        if self._timed:
            for worker in self._workers:
                worker.end_if_over(self._study)
        answers = [answer for worker in self._workers for answer in worker.replies()]
        if answers:
            self._stillborn = 0
        return answers

    def _replaced(self) -> list[Died]:
        """Put a new worker in the place of each that has ended; return the jobs that it cost."""
        deaths = []
        for place, worker in enumerate(self._workers):
            if not worker.gone():
                continue
            died = worker.died()
            self._stillborn = 0 if worker.proven else self._stillborn + 1
            if self._stillborn == MOST_STILLBORN:
                raise ResultsError(
                    f"worker processes end as they start ({worker.reason()}); what is stored is "
                    f"whole, run with {option('jobs', 1)} to see why"
                )
            self._workers[place] = successor = _Worker(self._brief)
            for errand, _ in worker.errands:
                successor.take(errand)
            worker.let_go()
            deaths += [died] if died else []
        return deaths


@contextmanager
def _restarts_unmentioned() -> Iterator[None]:
    """Hold back loky's warning that it starts a process anew whose memory has grown.

    It does that where psutil is installed, and nothing is lost. The filter is for all threads,
    since loky warns in one of its own; it alone is taken out again.
    """
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
    ours = warnings.filters[0]
    _filters_of_pools.append(ours)
    try:
        yield
    finally:
        _filters_of_pools.pop()
        filters: Any = warnings.filters
        if not _filters_of_pools and ours in filters:
            filters.remove(ours)
            with warnings.catch_warnings():
                pass  # makes Python notice that the filters are others


def _start_tracker() -> None:
    """Start loky's process that tidies up after a killed run, so that it does it without a word."""
    before = os.environ.get("PYTHONWARNINGS")
    quiet = "ignore:resource_tracker"
    os.environ["PYTHONWARNINGS"] = f"{before},{quiet}" if before else quiet
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _finished(errand: Errand, reply: Reply) -> Finished:
    job = errand.job
    done = Job(job.condition, job.start, job.start + reply.done, job.methods)
    return Finished(
        job,
        done,
        reply.part,
        reply.seconds,
        reply.printed,
        reply.calls_that_printed,
        reply.memory,
    )


class _Worker:
    """One process, the errands it has, and its trail."""

    def __init__(self, brief: Brief) -> None:
        self.errands: deque[tuple[Errand, Future[Reply]]] = deque()
        self.proven = False
        self._overdue: Footprint | None = None
        self._held = ExitStack()
        path = self._held.enter_context(laid())
        self._trail = Trail(path, brief.methods)
        self._executor = ProcessPoolExecutor(
            1, initializer=start, initargs=(brief, str(path)), env=_ONE_ORDER_OF_SETS
        )
        with _keyboard_interrupts_held():
            self._executor.submit(os.getpid)  # starts the process: it loads the study meanwhile
        (self._process,) = self._executor._processes.values()

    def _note_process(self) -> None:
        """Look which process it is now; it is not always the first."""
        self._process = next(iter(self._executor._processes.values()), self._process)

    def take(self, errand: Errand) -> None:
        """Send an errand; where the process has ended already, it is answered by that."""
        try:
            future = self._executor.submit(serve, errand)
            self._note_process()
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        self.errands.append((errand, future))

    def replies(self) -> Iterator[tuple[Errand, Reply]]:
        """Yield what it has answered; an error it met is raised here."""
        while self.errands and self.errands[0][1].done() and not self.gone():
            errand, future = self.errands.popleft()
            reply = future.result()
            self.proven = True
            if reply.refusal:
                raise StudyError(reply.refusal)
            if reply.bug:
                raise RuntimeError(f"in a worker process:\n{reply.bug}")
            yield errand, reply

    def gone(self) -> bool:
        """Return whether it has ended and all that it had answered is read."""
        if not self.errands or not self.errands[0][1].done():
            return False
        return isinstance(self.errands[0][1].exception(), BrokenProcessPool)

    def end_if_over(self, study: Limited) -> None:
        """End the process if the call that it is in takes longer than may be."""
        footprint = self._trail.read()
        call = footprint.call
        limit = study.limit_of(call.method) if call else None
        if call is None or limit is None or not footprint.begun:
            return
        allowed = limit * call.count
        allowed += max(GRACE_SECONDS, GRACE_SHARE * allowed)
        if time.monotonic() - footprint.begun > allowed:
            self._overdue = footprint
            self._note_process()
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def died(self) -> Died | None:
        """Take from the errands the one that it was at when it ended, if it was at one."""
        footprint = self._trail.read()
        for item in self.errands:
            errand = item[0]
            if errand.number == footprint.errand:
                self.errands.remove(item)
                self.proven = True
                over = time.monotonic() - footprint.begun if footprint == self._overdue else 0.0
                return Died(errand.job, footprint.call, self.reason(), over)
        return None

    def reason(self) -> str:
        """Return how the process ended: the signal's name, or its exit code."""
        code = self._process.exitcode
        if code is None:
            return "for an unknown reason"
        if code in _EXITS:
            return _EXITS[code]
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def let_go(self) -> None:
        """End the process, whatever it is at."""
        end_executor(self._executor)
        self._held.close()


def end_executor(executor: ProcessPoolExecutor) -> None:
    """End an executor and its process, whatever it is at.

    Calls that its thread has not passed on are taken back first: where one arrives together with
    the end, loky's thread looks for it after it was forgotten, and dies with a KeyError on stderr.
    """
    with suppress(queue.Empty):
        while True:
            executor._work_ids.get_nowait()
    executor.shutdown(kill_workers=True)


@contextmanager
def _keyboard_interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; a process started meanwhile never gets it before it can ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
