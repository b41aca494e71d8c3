"""`run`: plan the missing, compute it, store it, and make the tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mcstudy.analysis.unusable import unusable
from mcstudy.arguments import as_path, counted
from mcstudy.errors import FitsFailedError, ResultsError, StudyError
from mcstudy.execution.options import RunOptions, scheduler_of
from mcstudy.execution.progress import Progress, duration
from mcstudy.execution.refresh import say_repaired, update_tables
from mcstudy.execution.run_loop import RunLoop
from mcstudy.execution.shards import Shard, share_of
from mcstudy.loader import as_study, neighbours_forgotten
from mcstudy.results import Results
from mcstudy.storage.retry import check_retried, reopen
from mcstudy.storage.store import Store
from mcstudy.storage.study_record import StudyRecord
from mcstudy.storage.versions import versions
from mcstudy.study import Study
from mcstudy.tables.summary import ends_in_words


@neighbours_forgotten()
def run(
    study: Study | str | Path,
    results: str | Path = "results",
    *,
    replicates: int | None = None,
    methods: Sequence[str] | None = None,
    jobs: int | None = None,
    changed: str | None = None,
    retry: Sequence[str] = (),
    part: tuple[int, int] | None = None,
    backend: str = "local",
    scheduler: str | None = None,
    keep_going: bool = False,
    quiet: bool = False,
    log: str | Path | None = None,
) -> Results:
    """Compute what is missing of a study and return its tables.

    Parameters
    ----------
    study : Study or path
        A study, or the path of a study file.
    results : path, default "results"
        The tables go to the folder of the study's name in there.
    replicates : int, optional
        How many, in place of the study's own number. Stored ones beyond it stay.
    methods : sequence of str, optional
        Which of the study's methods to run; all by default.
    jobs : int, optional
        Number of worker processes; one per core by default. 1 works in this process, where a
        debugger can follow, unless the study has a time limit.
    changed : {"keep", "discard", "verify"}, optional
        What becomes of rows made by code or packages that have changed since: they stay and are
        joined by new ones, or are computed again. "verify" computes a sample of them again, up to
        20 fits of each method and condition, and keeps them if all are equal bit for bit. Without
        it, `run` stops and says what changed.
    retry : sequence of str, optional
        Stored fits with these statuses are computed again, any but ok: "timeout" after the time
        limit was raised, "error" after a method was fixed. There ``changed="keep"`` keeps all
        other rows, made by the code before.
    part : (int, int), optional
        ``(3, 100)`` computes the third of a hundred equal shares, and no tables: `collect` makes
        them when all shares are there. Shares may be at work at the same time.
    backend : {"local", "dask"}, default "local"
        Whose workers do the jobs: this machine's, or those of a dask scheduler.
    scheduler : str, optional
        With ``backend="dask"``: the scheduler's address, such as ``tcp://127.0.0.1:8786``, or the
        path of its scheduler file.
    keep_going : bool, default False
        Go on though the first 200 fits of a method are of no use and all end alike, under every
        condition; without it the run stops then.
    quiet : bool, default False
        Print nothing.
    log : path, optional
        A file to which a run appends what it does, with the time.

    Returns
    -------
    Results

    Raises
    ------
    StudyError
        For a study, or an argument, that cannot be used; before any work starts.
    ChangedError
        If stored rows were made by something else and `changed` does not say what to do.
    FitsFailedError
        If the run was stopped, as the fits of a method are of no use; what is stored is whole, and
        its tables are made. A run that ends otherwise says of methods without a usable fit under
        some condition in ``Results.unusable``.
    ResultsError
        If the folder cannot be used.
    """
    study = as_study(study)
    wanted = RunOptions.of(study, replicates, methods, jobs, scheduler_of(backend, scheduler, jobs))
    if changed not in (None, "keep", "discard", "verify"):
        raise StudyError(f"changed is {changed!r}; say 'keep', 'discard' or 'verify'")
    check_retried(retry)
    store = Store(as_path(results, "results") / study.name)
    progress = Progress(quiet, log)
    if part is not None:
        share = share_of(part)
        if retry:
            raise StudyError(
                f"part {share} cannot take fits out while others are at work; "
                f"when no share is: mcstudy run STUDY --retry {','.join(retry)}"
            )
        return _run_share(study, store, wanted, share, changed, progress, keep_going=keep_going)
    return _run_whole(study, store, wanted, changed, retry, progress, keep_going=keep_going)


def _run_whole(
    study: Study,
    store: Store,
    wanted: RunOptions,
    changed: str | None,
    retry: Sequence[str],
    progress: Progress,
    *,
    keep_going: bool,
) -> Results:
    """Compute what is missing of the study, and make its tables."""
    with progress.logged(), store.locked():
        study_record = StudyRecord(study, store)
        progress.note(f"{wanted.in_words(study)} of {study.name} into {store.folder}, {made_by()}")
        say_repaired(study_record, progress)
        if changed == "verify":
            from mcstudy.execution.verify import verify

            verify(study_record, wanted, progress)
            changed = "keep"
        study_record.settle_changes(changed, wanted.methods)
        if said := study_record.remeasured():
            progress.say(f"Note: {said}")
        for line in study_record.without_truth():
            progress.say(f"Note: {line}")
        if retry:
            taken = reopen(study_record, retry, wanted.methods)
            progress.say(f"Note: {counted(taken, 'fit')} with status {' or '.join(retry)} to retry")
        loop = RunLoop(study_record, wanted, progress, keep_going=keep_going)
        begun, stopped = time.monotonic(), _complete(loop)
        computed = loop.computed
        for line in study_record.close(wanted.replicates, loop.workers, computed):
            progress.say(f"Note: {line}")
        if stopped is not None:
            progress.note(str(stopped))
            raise stopped
        made = Results(store.folder)
        spent, ends = duration(time.monotonic() - begun), ends_in_words(made.measures)
        progress.note(f"done: {computed} fits in {spent}; stored: {ends}")
        for line in unusable(made.folder, made.measures, wanted.methods):
            progress.say(f"Note: {line}")
    return made


MOST_DAMAGED = 3
"""Times that parts are computed again as they are damaged: once is an accident."""


def _complete(loop: RunLoop) -> FitsFailedError | None:
    """Compute what is missing and make the tables, of all that is stored where it is stopped."""
    stopped, whole, damaged = None, False, 0
    while not whole:
        if missing := loop.missing():
            try:
                loop.compute(missing)
            except FitsFailedError as error:
                stopped = error
        loop.clear()
        whole = update_tables(loop.study_record, loop.progress)
        damaged += not whole
        if damaged == MOST_DAMAGED:
            raise ResultsError(
                f"{loop.store.folder}: parts are damaged right after they were written, {damaged} "
                "times one after the other; the disk does not keep them, or something else changes "
                'them: run into another folder, --results DIR (results="DIR")'
            )
        whole = whole and (stopped is not None or not loop.missing())
    if not loop.computed:
        loop.progress.say(f"Nothing is missing: {loop.stored_in_words()}.")
    return stopped


def _run_share(
    study: Study,
    store: Store,
    wanted: RunOptions,
    share: Shard,
    changed: str | None,
    progress: Progress,
    *,
    keep_going: bool,
) -> Results:
    """Compute what is missing of one share; the tables and `study.json` are left to `collect`."""
    if changed is not None:
        verb = "run" if changed == "verify" else "collect"
        raise StudyError(
            f"part {share} cannot decide what becomes of changed rows while others are at work; "
            f"before the shares start: mcstudy {verb} STUDY --changed {changed}"
        )
    with progress.logged(), store.locked(f"{share.number}-{share.of}"):
        study_record = StudyRecord(study, store)
        study_record.settle_changes(None)
        loop = RunLoop(study_record, wanted, progress, share, keep_going=keep_going)
        if missing := loop.missing():
            loop.compute(missing)
        else:
            progress.say(f"Nothing is missing: part {share} is stored.")
    return Results(store.folder)


def made_by() -> str:
    """Return the versions that numbers depend on, in words."""
    return ", ".join(f"{name} {version}" for name, version in versions().items())
