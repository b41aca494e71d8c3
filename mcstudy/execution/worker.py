"""A worker process: what it begins with, how it does its tasks, and the note of its current call.

The current call stands in a few bytes of a file in memory, which outlive the process.
`multiprocessing.shared_memory` cannot take its place: a worker that only attaches to a block has
its resource tracker warn of a leak as it ends, a killed run leaves the same warning (bpo-38119),
and a ShareableList takes 22 us to write, where this takes .35 us of every call.
"""

from __future__ import annotations

import ctypes
import faulthandler
import functools
import itertools
import mmap
import os
import pickle
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection

from mcstudy.errors import MCStudyError
from mcstudy.execution.executor import Finished, TaskResult, do_task
from mcstudy.execution.transport import StudyPayload, pack, unpack
from mcstudy.simulation.output import OutputFile
from mcstudy.simulation.retry_policy import Call
from mcstudy.storage.provenance import CODE, Mark, changes, method_marks
from mcstudy.storage.versions import versions
from mcstudy.study import Study

# Number of the task, nanoseconds at which the time of the call began, number of the method, first
# replicate, count of replicates.
_LAYOUT = struct.Struct("<qqqqq")


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker must know before its first task.

    `limits` are the seconds that a call of each method may take, of simulate under the empty name;
    `parent` is the process with which it ends. For a worker of dask, `run` names the run, as no
    other is named, and `versions` are those of the packages where the run is.
    """

    payload: StudyPayload
    marks: dict[str, Mark]
    limits: dict[str, float | None]
    parent: int = field(default_factory=os.getpid)
    run: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Study, marks: dict[str, Mark], run: str = "") -> WorkerConfig:
        """Return that of a worker of this machine, or of dask if `run` names the run.

        Raises
        ------
        StudyError
            For a study that it cannot get.
        """
        limits = {name: study.limit_of(name) for name in ("", *study.methods)}
        payload, theirs = pack(study, with_files=bool(run)), versions() if run else {}
        return cls(payload, marks, limits, run=run, versions=theirs)

    @property
    def is_timed(self) -> bool:
        """Whether any call has a time limit."""
        return any(limit is not None for limit in self.limits.values())


@dataclass(frozen=True)
class WorkerState:
    """What a worker is at.

    Its `task` is numbered from 1 in the order in which they arrived, 0 between two. `begun` is when
    the time of the call began to count, in seconds of the system's monotonic clock, which processes
    share; 0 before and after the user's function is at work.
    """

    task: int
    call: Call | None
    begun: float


class CurrentCall:
    """The note of one worker's current call; the worker writes it, its parent reads it.

    `path` is that of a `note_file`; `methods` must have the same order on both sides.
    """

    def __init__(self, path: str, methods: Iterable[str]) -> None:
        with open(path, "rb+") as file:
            self._bytes = mmap.mmap(file.fileno(), _LAYOUT.size)
        self._names = tuple(methods)
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._task = 0

    def begin_task(self, task: int) -> None:
        """Note that the worker is at a task, 0 for none, and in no call."""
        self._task = task
        _LAYOUT.pack_into(self._bytes, 0, task, 0, 0, 0, 0)

    def begin_call(self, method: str, first: int, count: int, *, timed: bool = False) -> None:
        """Note that a call begins; it counts until the next one or the end of the fits."""
        number, begun = self._numbers[method], time.monotonic_ns() if timed else 0
        _LAYOUT.pack_into(self._bytes, 0, self._task, begun, number, first, count)

    def read(self) -> WorkerState:
        """Return what is noted now."""
        task, begun, number, first, count = _LAYOUT.unpack_from(self._bytes, 0)
        call = Call(self._names[number], first, count) if count else None
        return WorkerState(task, call, begun / 1e9)


@contextmanager
def note_file() -> Iterator[str]:
    """Provide the file of a note, in memory where the system has such: no disk can be full."""
    in_memory = hasattr(os, "memfd_create")
    with (
        os.fdopen(os.memfd_create("mcstudy-call"), "rb+")
        if in_memory
        else tempfile.NamedTemporaryFile(prefix="mcstudy-")
    ) as file:
        file.write(bytes(_LAYOUT.size))
        file.flush()
        yield f"/proc/{os.getpid()}/fd/{file.fileno()}" if in_memory else file.name


def worker_main(connection: Connection, config: WorkerConfig, note: str) -> None:
    """Do the tasks that arrive until the run ends this process.

    `connection` brings pickled tasks and takes their pickled results in the same order; `note` is
    the file for the current call.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.platform == "linux":  # ends this process when its parent dies, however it dies
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != config.parent:
            os._exit(1)
    with suppress(OSError):
        os.setpgid(0, 0)  # a fit that kills its process group kills this process, not the run
    current, output_file = CurrentCall(note, config.limits), OutputFile()
    work = _task_function(config, current, output_file)
    sys.stdout.flush()
    output_file.read()  # what the study prints as it is loaded, the run itself has printed already
    for number in itertools.count(1):
        message = connection.recv_bytes()
        faulthandler.disable()  # an end of the process is told by a row, not on the terminal
        current.begin_task(number)
        result = TaskResult.of(functools.partial(work, message))
        current.begin_task(0)
        connection.send_bytes(pickle.dumps(result))


def _task_function(
    config: WorkerConfig, current: CurrentCall, output_file: OutputFile
) -> Callable[[bytes], TaskResult]:
    """Get the study; return what does a pickled task. What is wrong with it is every result."""
    try:
        study = unpack(config.payload)
    except MCStudyError as error:
        wrong = str(error)
    except Exception as error:  # noqa: BLE001 - unpickling a user's study may raise anything
        wrong = f"the study does not reach the workers: {type(error).__name__}: {error}"
    else:
        wrong = _differing(config, method_marks(study))
    if wrong:
        return lambda _: TaskResult(refusal=wrong)

    def work(message: bytes) -> TaskResult:
        task = pickle.loads(message)
        result = do_task(
            study, config.marks, task, watch=current.begin_call, output_file=output_file
        )
        if isinstance(result.end, Finished):
            return replace(result, end=replace(result.end, memory=_largest_memory()))
        return result

    return work


def _differing(config: WorkerConfig, found: Mapping[str, Mark]) -> str:
    """Return in words how the study that arrived is not the one that was sent; empty if it is.

    The code of a pickled study has come as it was, though without what only its texts name; only
    packages may be others here.
    """
    is_pickled = config.payload.path is None
    said: dict[str, None] = {}
    for name, mark in config.marks.items():
        same = {k: v for k, v in mark.items() if is_pickled and (k in CODE or k not in found[name])}
        for change in changes(mark, found[name] | same):
            said[change.replace("of method", f"of method '{name}'")] = None
    if not said:
        return ""
    return (
        f"worker processes get another study than this process has: {'; '.join(said)}; load it "
        "again after an edit, and let its modules hold the same whenever they are imported (a "
        "seed for what they draw)"
    )


def _largest_memory() -> int:
    """Return the largest resident set of this process so far, in bytes.

    On Linux by its own file: what getrusage says begins with that of the process that started it.
    """
    with suppress(OSError), open("/proc/self/status", "rb") as file:
        _, found, rest = file.read().partition(b"VmHWM:")
        if found:
            return int(rest.split(maxsplit=1)[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
