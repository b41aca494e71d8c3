"""`run`: plan the missing, compute it, store it, and make the tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib

from mcstudy.analysis.show import ends_in_words
from mcstudy.errors import StudyError
from mcstudy.fits.replicates import Job
from mcstudy.results import Results
from mcstudy.runs.casualties import Casualties
from mcstudy.runs.cluster import hire_cluster
from mcstudy.runs.ends import Died
from mcstudy.runs.goals import Goals
from mcstudy.runs.jobs import Agenda, fits_of
from mcstudy.runs.progress import Progress, duration
from mcstudy.runs.shares import Share
from mcstudy.runs.upkeep import update_tables
from mcstudy.runs.workers import Workers, hire
from mcstudy.stored.ledger import Ledger
from mcstudy.stored.parts import part_name
from mcstudy.stored.reopen import check_retried, reopen
from mcstudy.stored.store import Store
from mcstudy.stored.versions import versions
from mcstudy.study import Study, check_replicates, load_study

LOOK_SECONDS = 60.0
_LOOK_SHARE = 20
_MEASURED = ("performance", "comparisons")


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
    wanted = _Wanted.of(study, replicates, methods, jobs, _scheduler(backend, scheduler, jobs))
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
        if retry:
            progress.note(f"{reopen(store, retry)} replicates are computed again")
        bench = _Bench(ledger, wanted, progress)
        begun, computed, whole = time.monotonic(), 0, False
        while not whole:
            if missing := bench.missing():
                computed += bench.compute(missing)
            elif not computed:
                bench.progress.say(f"Nothing is missing: {wanted.in_words(study)} are stored.")
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
    wanted: _Wanted,
    share: Share,
    changed: str | None,
    progress: Progress,
) -> Results:
    """Compute what is missing of one share; the tables and `study.json` are left to `collect`."""
    if changed is not None:
        raise StudyError(
            f"part {share} cannot decide what becomes of changed rows while others are at work; "
            f"give --changed {changed} to mcstudy collect, before the shares start"
        )
    with progress.logged(), store.locked(f"{share.number}-{share.of}"):
        ledger = Ledger(study, store)
        ledger.settle_changes(None)
        bench = _Bench(ledger, wanted, progress, share)
        if missing := bench.missing():
            bench.compute(missing)
        else:
            progress.say(f"Nothing is missing: part {share} is stored.")
    return Results(store.folder)


def _scheduler(backend: str, scheduler: str | None, jobs: int | None) -> str | None:
    """Return the dask scheduler to use, None for workers of this machine."""
    if backend not in ("local", "dask"):
        raise StudyError(f"backend is {backend!r}; say 'local' or 'dask'")
    if backend == "local" and scheduler is not None:
        raise StudyError(f"scheduler is {scheduler!r}, which needs --backend dask")
    if backend == "dask" and scheduler is None:
        raise StudyError("the dask backend needs --scheduler, e.g. tcp://127.0.0.1:8786")
    if backend == "dask" and jobs is not None:
        raise StudyError(
            f"jobs is {jobs}: with the dask backend it is the scheduler's workers that count; "
            "leave it out"
        )
    return scheduler


@dataclass(frozen=True)
class _Wanted:
    """What this run is asked for."""

    replicates: int
    methods: tuple[str, ...]
    workers: int
    in_process: bool
    scheduler: str | None

    @classmethod
    def of(
        cls,
        study: Study,
        replicates: int | None,
        methods: Sequence[str] | None,
        jobs: int | None,
        scheduler: str | None,
    ) -> _Wanted:
        count = study.replicates if replicates is None else replicates
        check_replicates(count, study.name)
        if isinstance(methods, str):
            raise StudyError(f"methods is {methods!r}; give a list: methods=[{methods!r}]")
        names = tuple(study.methods) if methods is None else tuple(dict.fromkeys(methods))
        unknown = [name for name in names if name not in study.methods]
        if unknown or not names:
            raise StudyError(
                f"{study.name}: no method '{', '.join(unknown)}'; it has {', '.join(study.methods)}"
            )
        in_process = jobs == 1 and study.time_limit is None
        if jobs is None:
            jobs = joblib.cpu_count()
        if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
            raise StudyError(f"jobs is {jobs!r}; give an integer of 1 or more")
        return cls(int(count), tuple(sorted(names)), jobs, in_process, scheduler)

    def in_words(self, study: Study) -> str:
        return (
            f"{counted(len(study.conditions), 'condition')} x "
            f"{counted(len(self.methods), 'method')} x {counted(self.replicates, 'replicate')}"
        )


class _Bench:
    """A run at work: the ledger, what is wanted, and what is shown."""

    def __init__(
        self, ledger: Ledger, wanted: _Wanted, progress: Progress, share: Share | None = None
    ) -> None:
        self.ledger = ledger
        self.study = ledger.study
        self.store = ledger.store
        self.wanted = wanted
        self.progress = progress
        self.share = share
        self.goals = Goals(ledger, wanted.methods, wanted.replicates, share)
        self.workers = wanted.workers

    def missing(self) -> list[Job]:
        """Return the jobs that would complete what is wanted."""
        missing = self.goals.missing(self.study.conditions)
        while self.store.aside:
            path = self.store.aside.pop()
            self.progress.say(f"{path}: damaged, or no part; set aside, what misses is computed")
        return missing

    def compute(self, missing: Sequence[Job]) -> int:
        """Compute and store the jobs; return how many fits that were."""
        progress, fits = self.progress, fits_of(missing)
        with self._hired() as workers:
            agenda = Agenda(missing, self.workers)
            for line in workers.check(missing[0], self.wanted.methods):
                progress.say(line)
            self.clear()
            progress.begin(fits, self.store.folder)
            if not self.share:
                self.ledger.write()
            with progress:
                return self._work_off(agenda, workers)

    def clear(self) -> None:
        """Move away what was discarded, now that the study has shown that it runs."""
        if moved := self.ledger.clear():
            self.progress.say(f"Note: {moved}")

    @contextmanager
    def _hired(self) -> Iterator[Workers]:
        """Provide the workers that were asked for."""
        wanted, marks = self.wanted, self.ledger.marks
        if wanted.scheduler is not None:
            with hire_cluster(self.study, marks, wanted.scheduler) as cluster:
                self.workers = max(cluster.threads, 1)
                yield cluster
        else:
            self.workers = wanted.workers
            here = wanted.in_process
            with hire(self.study, marks, self.workers, in_process=here) as workers:
                yield workers

    def _work_off(self, agenda: Agenda, workers: Workers) -> int:
        """Keep the workers busy until nothing is left; store what they finish as it arrives."""
        casualties = Casualties(self.study)
        looked, look_cost = time.monotonic(), 0.0
        under_way = fits = 0
        while agenda or under_way:
            while agenda and workers.has_room():
                job, seconds = agenda.take()
                workers.submit(job, seconds, casualties.caution(job))
                under_way += 1
            for finished in workers.finished():
                under_way -= 1
                if isinstance(finished, Died):
                    agenda.put_back(finished.given, casualties.learn(finished))
                    self.progress.note(finished.in_words())
                    if line := casualties.note(finished):
                        self.progress.say(line)
                    continue
                self.store.add(part_name(finished.done), finished.part)
                agenda.settle(finished.given, finished.done, finished.seconds)
                fits += fits_of([finished.done])
                if agenda.is_through_with(finished.done.condition):
                    agenda.add(self.goals.raised(finished.done.condition))
                self.progress.advance(fits, agenda)
            now = time.monotonic()
            if not self.share and now - looked > max(LOOK_SECONDS, _LOOK_SHARE * look_cost):
                update_tables(self.ledger)
                self.ledger.write()
                looked, look_cost = time.monotonic(), time.monotonic() - now
        return fits


def made_by() -> str:
    """Return the versions that numbers depend on, in words."""
    return ", ".join(f"{name} {version}" for name, version in versions().items())


def counted(count: int, noun: str) -> str:
    """Return "1 method", "2 methods"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", " ")
