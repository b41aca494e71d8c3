"""A worker process: what it begins with, and how it does an errand."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcstudy.errors import MCStudyError
from mcstudy.execution.current_call import Trail
from mcstudy.execution.outcome import finish
from mcstudy.execution.transport import Parcel, unpack
from mcstudy.simulation.first_replicate import check_first_replicate
from mcstudy.simulation.output import Capture, Printed, Tape
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.retry_policy import RetryPolicy
from mcstudy.storage.provenance import CODE, Mark, changes, method_marks
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
    policy: RetryPolicy
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
    printed: tuple[Printed, ...] = ()
    calls_that_printed: int = 0
    memory: int = 0
    said: tuple[str, ...] = ()
    refusal: str = ""
    bug: str = ""


_office: dict[str, Any] = {}


def start(brief: Brief, trail: str) -> None:
    """Begin: this runs once in the process, before its first errand."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with(brief.parent)
    with suppress(OSError):
        os.setpgid(0, 0)  # a fit that kills its process group kills this process, not the run
    steps = Trail(Path(trail), brief.methods)
    tape = Tape()
    _office.update(trail=steps, work=_ready(brief, steps, tape))
    sys.stdout.flush()
    tape.read()  # what the study prints as it is loaded, the run itself has printed already


def serve(errand: Errand) -> Reply:
    """Do an errand; if it ends the process, that is told by its row and not on the terminal."""
    faulthandler.disable()
    _office["trail"].enter(errand.number)
    reply: Reply = _office["work"](errand)
    _office["trail"].enter(0)
    return reply


def _end_with(parent: int) -> None:
    """Let the system end this process when its parent dies, however it dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _ready(brief: Brief, trail: Trail, tape: Tape) -> Callable[[Errand], Reply]:
    """Get the study; return what does an errand, trouble with the study being every answer."""
    try:
        study = unpack(brief.parcel)
    except MCStudyError as error:
        trouble = str(error)
    except Exception as error:  # noqa: BLE001 - unpickling a user's study may raise anything
        trouble = f"the study does not reach the workers: {type(error).__name__}: {error}"
    else:
        trouble = _differing(brief, method_marks(study))
    if trouble:
        return lambda errand: Reply(errand.number, refusal=trouble)

    def work(errand: Errand) -> Reply:
        try:
            return _done(study, brief, errand, trail, tape)
        except MCStudyError as error:
            return Reply(errand.number, refusal=str(error))
        except Exception:  # noqa: BLE001 - shown where the run is
            return Reply(errand.number, bug=traceback.format_exc())

    return work


def _differing(brief: Brief, found: Mapping[str, Mark]) -> str:
    """Return in words how the study that arrived is not the one that was sent; empty if it is.

    The code of a pickled study has come as it was; only packages may be others here.
    """
    pickled = CODE if brief.parcel[0] == "pickle" else ()
    said: dict[str, None] = {}
    for name, mark in brief.marks.items():
        same = {part: mark[part] for part in pickled}
        for change in changes(mark, found[name] | same):
            said[change.replace("of method", f"of method '{name}'")] = None
    if not said:
        return ""
    return (
        f"worker processes get another study than this process has: {'; '.join(said)}; load it "
        "again after an edit, and let its modules hold the same whenever they are imported (a "
        "seed for what they draw)"
    )


def _done(study: Study, brief: Brief, errand: Errand, trail: Trail, tape: Tape) -> Reply:
    if errand.check:
        with Capture(tape):
            said = check_first_replicate(study, errand.job, errand.job.methods, watch=trail.call)
        return Reply(errand.number, said=tuple(said))
    finished = finish(
        study, brief.marks, errand.job, errand.seconds, errand.policy, watch=trail.call, tape=tape
    )
    return Reply(
        errand.number,
        len(finished.done),
        finished.part,
        finished.seconds,
        finished.printed,
        finished.calls_that_printed,
        _largest_memory(),
    )


def _largest_memory() -> int:
    """Return the largest resident set of this process so far, in bytes.

    On Linux by its own file: what getrusage says begins with that of the process that started it.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
