"""A thread of a dask worker at work: it keeps a local worker process and hands it the jobs.

The job never runs in dask's own process: warnings, time limits and threads are those of a local
run, and a fit that kills its process costs that process only.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcstudy.errors import MCStudyError, ResultsError
from mcstudy.execution.outcome import Died, Finished
from mcstudy.execution.process_pool import Pool
from mcstudy.execution.shipment import Shipment
from mcstudy.execution.worker import Brief
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.retry_policy import RetryPolicy
from mcstudy.storage.provenance import Mark, changes
from mcstudy.storage.versions import versions


@dataclass(frozen=True)
class Limits:
    """The time limits of a study whose functions are elsewhere."""

    seconds: Mapping[str, float | None]

    @property
    def time_limit(self) -> float | None:
        """Any of them; None where there is none."""
        return next((limit for limit in self.seconds.values() if limit is not None), None)

    def limit_of(self, method: str) -> float | None:
        """Return the seconds that a call of a method may take, of simulate if it is empty."""
        return self.seconds.get(method)


@dataclass(frozen=True)
class Order:
    """What an outpost needs to know of a run, sent with every job.

    Parameters
    ----------
    run : str
        Names the run; no two have the same name.
    shipment : Shipment
        The study.
    marks : dict
        Of its methods.
    limits : Limits
        Of its calls.
    versions : dict
        Of the packages where the run is.
    """

    run: str
    shipment: Shipment
    marks: dict[str, Mark]
    limits: Limits
    versions: dict[str, str]


@dataclass(frozen=True)
class Report:
    """What came of a job; `refusal` is the user's to mend, `bug` a traceback that is ours."""

    end: Finished | Died | None = None
    said: tuple[str, ...] = ()
    refusal: str = ""
    bug: str = ""


class _Post:
    """The worker process of one thread, and the folder with the study's files."""

    def __init__(self, order: Order) -> None:
        _may_have_children()
        self._folder = tempfile.TemporaryDirectory(prefix="mcstudy-", ignore_cleanup_errors=True)
        parcel = order.shipment.unload(Path(self._folder.name))
        brief = Brief(parcel, order.marks, tuple(order.marks), os.getpid())
        self.pool = Pool(order.limits, brief, 1)

    def close(self) -> None:
        self.pool.dismiss()
        self._folder.cleanup()


_lock = threading.Lock()
_posts: dict[tuple[str, int], _Post] = {}
_over: set[str] = set()


def work(order: Order, job: Job, seconds: float, policy: RetryPolicy, check: bool) -> Report:
    """Do a job, or check its first replicate, in the worker process of this thread."""
    here = (order.run, threading.get_ident())
    try:
        _check_versions(order)
        post = _post(order, here)
        if check:
            return Report(said=tuple(post.pool.check(job, job.methods)))
        post.pool.submit(job, seconds, policy)
        return Report(end=post.pool.finished()[0])
    except MCStudyError as error:
        return Report(refusal=str(error))
    except Exception:  # noqa: BLE001 - shown where the run is
        return Report(bug=traceback.format_exc())
    finally:
        if order.run in _over:
            _close([here])


def dismiss(run: str) -> None:
    """End the worker processes of a run that is over."""
    _over.add(run)
    _close([key for key in list(_posts) if key[0] == run])


def _post(order: Order, here: tuple[str, int]) -> _Post:
    """Return this thread's post; those it had for other runs are closed."""
    with _lock:
        others = [key for key in _posts if key[1] == here[1] and key != here]
    _close(others)
    post = _posts.get(here)
    if post is None:
        post = _Post(order)
        with _lock:
            _posts[here] = post
    return post


def _close(keys: list[tuple[str, int]]) -> None:
    for key in keys:
        with _lock:
            post = _posts.pop(key, None)
        if post is not None:
            post.close()


def _may_have_children() -> None:
    """Lift the ban on children from the process of a dask worker.

    Its nanny starts it as a daemonic process so that it does not outlive the nanny; ours cannot
    outlive it, the system ends them with it.
    """
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def _check_versions(order: Order) -> None:
    said = changes(order.versions, versions())
    if said:
        raise ResultsError(
            f"a dask worker on {os.uname().nodename} has other packages than this process: "
            f"{', '.join(said)}; install the same versions there"
        )
