"""Local workers: processes that die alone, each with a job at hand and one ahead."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any, BinaryIO, Protocol

from mcstudy.errors import ResultsError, StudyError
from mcstudy.fits.caution import NO_CAUTION, Caution
from mcstudy.fits.replicates import Job
from mcstudy.runs.ends import Died, Finished
from mcstudy.runs.process import Brief, Errand, Reply, boot
from mcstudy.runs.trail import BYTES, Footprint, Trail

MOST_STILLBORN = 3
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 5.0
GRACE_SECONDS, GRACE_SHARE = 0.5, 0.1


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
        self._workers = [_Worker(brief.methods) for _ in range(count)]
        for worker in self._workers:
            worker.tell(brief)

    def has_room(self) -> bool:
        """Return whether another job may be submitted."""
        return any(len(worker.errands) < 2 for worker in self._workers)

    def submit(self, job: Job, seconds: float, caution: Caution = NO_CAUTION) -> None:
        """Take on a job; its worker stops after about `seconds`."""
        worker = min(self._workers, key=lambda worker: len(worker.errands))
        worker.take(Errand(self._next(), job, seconds, caution))

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
        self._workers[0].take(Errand(self._next(), first, 0.0, NO_CAUTION, check=True))
        while True:
            for _, reply in self._replies():
                return list(reply.said)
            for died in self._replaced():
                return [f"Note: {died.in_words()}; the run tries it again"]

    def dismiss(self, *, at_once: bool) -> None:
        """End the workers: when they have done what they are at, or at once."""
        for worker in self._workers:
            worker.let_go(at_once)
        for worker in self._workers:
            worker.bury()

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _replies(self) -> list[tuple[Errand, Reply]]:
        """Wait until a worker says something or ends, or for a moment; return what they say."""
        awaited = [thing for worker in self._workers for thing in worker.awaited()]
        wait(awaited, LOOK_SECONDS if self._timed else PATIENCE_SECONDS)
        if self._timed:
            for worker in self._workers:
                worker.end_if_over(self._study)
        return [answer for worker in self._workers for answer in worker.replies()]

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
                    "whole, run with --jobs 1 to see why"
                )
            self._workers[place] = successor = _Worker(self._brief.methods)
            successor.tell(self._brief)
            for errand in worker.errands:
                successor.take(errand)
            worker.bury()
            deaths += [died] if died else []
        return deaths


def _finished(errand: Errand, reply: Reply) -> Finished:
    job = errand.job
    done = Job(job.condition, job.start, job.start + reply.done, job.methods)
    return Finished(job, done, reply.part, reply.seconds)


class _Worker:
    """One process, the errands it has, and its trail."""

    def __init__(self, methods: Sequence[str]) -> None:
        self.errands: deque[Errand] = deque()
        self.proven = False
        self._overdue: Footprint | None = None
        self._closed = False
        with _shared_memory() as file, _keyboard_interrupts_held():
            self._trail = Trail(file.fileno(), methods)
            self._connection, theirs = multiprocessing.Pipe()
            with theirs:
                descriptors = (theirs.fileno(), file.fileno())
                self._process = subprocess.Popen(
                    boot(*descriptors), stdin=subprocess.DEVNULL, pass_fds=descriptors
                )
        self._ending = _process_descriptor(self._process.pid)

    def tell(self, brief: Brief) -> None:
        """Send what must be known before the first errand."""
        with suppress(OSError):  # it died, which is noticed where its replies are read
            self._connection.send_bytes(pickle.dumps(brief))

    def take(self, errand: Errand) -> None:
        """Send an errand."""
        self.errands.append(errand)
        with suppress(OSError):
            self._connection.send(errand)

    def awaited(self) -> Iterator[Any]:
        """Yield what becomes readable when the worker says something, or ends."""
        if not self._closed:
            yield self._connection
        if self._ending is not None:
            yield self._ending

    def replies(self) -> Iterator[tuple[Errand, Reply]]:
        """Yield what it has said; an error it met is raised here."""
        while not self._closed and self._connection.poll():
            try:
                reply: Reply = self._connection.recv()
            except (EOFError, OSError):
                self._closed = True
                return
            self.proven = True
            errand = self.errands.popleft()
            if reply.refusal:
                raise StudyError(reply.refusal)
            if reply.bug:
                raise RuntimeError(f"in a worker process:\n{reply.bug}")
            yield errand, reply

    def gone(self) -> bool:
        """Return whether it has ended and all that it had said is read."""
        ended = self._process.poll() is not None
        return ended and (self._closed or not self._connection.poll())

    def end_if_over(self, study: Limited) -> None:
        """End the process if the call that it is in takes longer than may be."""
        footprint = self._trail.read()
        call = footprint.call
        limit = study.limit_of(call.method) if call else None
        if call is None or limit is None:
            return
        allowed = limit * call.count
        allowed += max(GRACE_SECONDS, GRACE_SHARE * allowed)
        if time.monotonic() - footprint.begun > allowed:
            self._overdue = footprint
            self._process.kill()

    def died(self) -> Died | None:
        """Take from the errands the one that it was at when it ended, if it was at one."""
        footprint = self._trail.read()
        for errand in self.errands:
            if errand.number == footprint.errand:
                self.errands.remove(errand)
                self.proven = True
                over = time.monotonic() - footprint.begun if footprint == self._overdue else 0.0
                return Died(errand.job, footprint.call, self.reason(), over)
        return None

    def reason(self) -> str:
        """Return how the process ended: the signal's name, or its exit code."""
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def let_go(self, at_once: bool) -> None:
        """Let the process end when it has done what it is at, or end it."""
        if at_once:
            self._process.kill()
        self._connection.close()

    def bury(self) -> None:
        """Wait for the end of the process and give back what it held."""
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._connection.close()
        if self._ending is not None:
            os.close(self._ending)
            self._ending = None


def _shared_memory() -> BinaryIO:
    """Return a file of zeros for a trail: of no disk, where the system has such."""
    if hasattr(os, "memfd_create"):
        file: BinaryIO = os.fdopen(os.memfd_create("mcstudy-trail"), "rb+")
    else:
        file = tempfile.TemporaryFile()
    file.write(bytes(BYTES))
    file.flush()
    return file


def _process_descriptor(process: int) -> int | None:
    """Return a descriptor that is readable once a process has ended, where the system has such."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(process)
    except OSError:
        return None


@contextmanager
def _keyboard_interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; a process started meanwhile never gets it before it can ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
