"""A worker process: takes errands from the process that started it, until that lets go of it."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from mcstudy.errors import MCStudyError
from mcstudy.fits.caution import Caution
from mcstudy.fits.replicates import Job
from mcstudy.runs.check import check_first_replicate
from mcstudy.runs.delivery import Parcel, unpack
from mcstudy.runs.ends import finish
from mcstudy.runs.trail import Trail
from mcstudy.stored.marks import Mark
from mcstudy.study import Study


@dataclass(frozen=True)
class Brief:
    """What a worker needs to know before its first errand."""

    parcel: Parcel
    marks: dict[str, Mark]
    methods: tuple[str, ...]
    parent: int


@dataclass(frozen=True)
class Errand:
    """A job to be done in about `seconds`, or only its first replicate to be checked."""

    number: int
    job: Job
    seconds: float
    caution: Caution
    check: bool = False


@dataclass(frozen=True)
class Reply:
    """What came of an errand: a part and how much of the job it holds, or what a check says.

    `refusal` is an error that is the user's to mend, `bug` a traceback that is ours.
    """

    number: int
    done: int = 0
    part: bytes = b""
    seconds: float = 0.0
    said: tuple[str, ...] = ()
    refusal: str = ""
    bug: str = ""


def serve(descriptor: int, trail_descriptor: int) -> None:
    """Do errands until the other end of the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.set_inheritable(descriptor, False)
    os.set_inheritable(trail_descriptor, False)
    connection = Connection(descriptor)
    try:
        brief: Brief = pickle.loads(connection.recv_bytes())
        _end_with(brief.parent)
        trail = Trail(trail_descriptor, brief.methods)
        work = _ready(brief, trail)
        while True:
            errand: Errand = connection.recv()
            trail.enter(errand.number)
            connection.send(work(errand))
            trail.enter(0)
    except (EOFError, OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # Python would take apart half a second of imports first


def _end_with(parent: int) -> None:
    """Let the system end this process when its parent dies, however it dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _ready(brief: Brief, trail: Trail) -> Callable[[Errand], Reply]:
    """Get the study; return what does an errand, trouble with the study being every answer."""
    try:
        study = unpack(brief.parcel)
    except Exception as error:  # noqa: BLE001 - unpickling a user's study may raise anything
        trouble = f"the study does not reach the workers: {type(error).__name__}: {error}"
        return lambda errand: Reply(errand.number, refusal=trouble)

    def work(errand: Errand) -> Reply:
        try:
            return _done(study, brief, errand, trail)
        except MCStudyError as error:
            return Reply(errand.number, refusal=str(error))
        except Exception:  # noqa: BLE001 - shown where the run is
            return Reply(errand.number, bug=traceback.format_exc())

    return work


def _done(study: Study, brief: Brief, errand: Errand, trail: Trail) -> Reply:
    if errand.check:
        said = check_first_replicate(study, errand.job, errand.job.methods, watch=trail.call)
        return Reply(errand.number, said=tuple(said))

    finished = finish(
        study, brief.marks, errand.job, errand.seconds, errand.caution, watch=trail.call
    )
    return Reply(errand.number, len(finished.done), finished.part, finished.seconds)


def boot(descriptor: int, trail_descriptor: int) -> list[Any]:
    """Return the arguments that make a Python process this worker, with this process' modules."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        f"from mcstudy.runs.process import serve; serve({descriptor}, {trail_descriptor})"
    )
    return [sys.executable, "-c", code]
