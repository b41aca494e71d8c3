"""`run`: plan the missing, compute it, store it, and make the tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mcstudy.errors import StudyError
from mcstudy.loading import load_study
from mcstudy.neighbours import neighbours_forgotten
from mcstudy.printing.show import ends_in_words
from mcstudy.results import Results
from mcstudy.runs.bench import Bench
from mcstudy.runs.progress import Progress, duration
from mcstudy.runs.shares import Share
from mcstudy.runs.upkeep import update_tables
from mcstudy.runs.wanted import Wanted, counted, scheduler_of
from mcstudy.spoken import call, option
from mcstudy.stored.ledger import Ledger
from mcstudy.stored.reopen import check_retried, reopen
from mcstudy.stored.store import Store
from mcstudy.stored.versions import versions
from mcstudy.study import Study


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
    changed : {"keep", "discard"}, optional
        What becomes of rows made by code or packages that have changed since: they stay and are
        joined by new ones, or are computed again. Without it, `run` stops and says what changed.
    retry : sequence of {"timeout", "crashed"}, optional
        Stored fits with these statuses are computed again, with their replicates: after the time
        limit was raised, or on a machine with more memory.
    part : (int, int), optional
        ``(3, 100)`` computes the third of a hundred equal shares, and no tables: `collect` makes
        them when all shares are there. Shares may be at work at the same time.
    backend : {"local", "dask"}, default "local"
        Whose workers do the jobs: this machine's, or those of a dask scheduler.
    scheduler : str, optional
        With ``backend="dask"``: the scheduler's address, such as ``tcp://127.0.0.1:8786``, or the
        path of its scheduler file.
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
    ResultsError
        If the folder cannot be used.
    """
    study = study if isinstance(study, Study) else load_study(study)
    wanted = Wanted.of(study, replicates, methods, jobs, scheduler_of(backend, scheduler, jobs))
    if changed not in (None, "keep", "discard"):
        raise StudyError(f"changed is {changed!r}; say 'keep' or 'discard'")
    check_retried(retry)
    store = Store(Path(results) / study.name)
    progress = Progress(quiet, log)
    if part is not None:
        return _run_share(study, store, wanted, Share(*part), changed, progress)
    with progress.logged(), store.locked():
        ledger = Ledger(study, store)
        progress.note(f"{wanted.in_words(study)} of {study.name} into {store.folder}, {made_by()}")
        ledger.settle_changes(changed, wanted.methods)
        for line in ledger.without_truth():
            progress.say(f"Note: {line}")
        if retry:
            progress.note(f"{counted(reopen(store, retry), 'replicate')} computed again")
        bench = Bench(ledger, wanted, progress)
        begun, computed, whole = time.monotonic(), 0, False
        while not whole:
            if missing := bench.missing():
                computed += bench.compute(missing)
            elif not computed:
                bench.progress.say(f"Nothing is missing: {bench.stored_in_words()}.")
            bench.clear()
            whole = update_tables(ledger, progress) and not bench.missing()
        for line in ledger.close(wanted.replicates, bench.workers, computed):
            progress.say(f"Note: {line}")
        made = Results(store.folder)
        spent, ends = duration(time.monotonic() - begun), ends_in_words(made.performance)
        progress.note(f"done: {computed} fits in {spent}; stored: {ends}")
    return made


def _run_share(
    study: Study,
    store: Store,
    wanted: Wanted,
    share: Share,
    changed: str | None,
    progress: Progress,
) -> Results:
    """Compute what is missing of one share; the tables and `study.json` are left to `collect`."""
    if changed is not None:
        raise StudyError(
            f"part {share} cannot decide what becomes of changed rows while others are at work; "
            f"before the shares start: {call('collect', option('changed', changed))}"
        )
    with progress.logged(), store.locked(f"{share.number}-{share.of}"):
        ledger = Ledger(study, store)
        ledger.settle_changes(None)
        bench = Bench(ledger, wanted, progress, share)
        if missing := bench.missing():
            bench.compute(missing)
        else:
            progress.say(f"Nothing is missing: part {share} is stored.")
    return Results(store.folder)


def made_by() -> str:
    """Return the versions that numbers depend on, in words."""
    return ", ".join(f"{name} {version}" for name, version in versions().items())
