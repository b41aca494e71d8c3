"""`run`: plan the missing, compute it, store it, and make the tables."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib

from mcstudy.analysis.comparisons import Comparer
from mcstudy.analysis.performance import performance_table
from mcstudy.errors import StudyError
from mcstudy.fits.replicates import Job
from mcstudy.results import Results
from mcstudy.runs.check import check_first_replicate
from mcstudy.runs.jobs import Agenda, missing_jobs
from mcstudy.runs.progress import Progress
from mcstudy.runs.workers import Workers, hire
from mcstudy.stored.files import is_whole, write_table
from mcstudy.stored.ledger import Ledger
from mcstudy.stored.parts import DamagedError, part_name
from mcstudy.stored.store import Store
from mcstudy.stored.tables import TABLES, write_tables
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
    quiet: bool = False,
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
        Number of worker processes; one per core by default. 1 works in this process.
    changed : {"keep", "discard"}, optional
        What becomes of rows made by code or packages that have changed since: they stay and are
        joined by new ones, or are computed again. Without it, `run` stops and says what changed.
    quiet : bool, default False
        Print nothing.

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
    wanted = _Wanted.of(study, replicates, methods, jobs)
    if changed not in (None, "keep", "discard"):
        raise StudyError(f"changed is {changed!r}; say 'keep' or 'discard'")
    store = Store(Path(results) / study.name)
    with store.locked():
        ledger = Ledger(study, store)
        ledger.settle_changes(changed)
        bench = _Bench(ledger, wanted, Progress(quiet))
        begun, computed, whole = time.time(), 0, False
        while not whole:
            if missing := bench.missing():
                computed += bench.compute(missing)
            elif not computed:
                bench.progress.say(f"Nothing is missing: {wanted.in_words(study)} are stored.")
            whole = bench.make_tables()
        ledger.close(wanted.replicates, wanted.workers, computed, begun)
    return Results(store.folder)


@dataclass(frozen=True)
class _Wanted:
    """What this run is asked for."""

    replicates: int
    methods: tuple[str, ...]
    workers: int

    @classmethod
    def of(
        cls,
        study: Study,
        replicates: int | None,
        methods: Sequence[str] | None,
        jobs: int | None,
    ) -> _Wanted:
        count = study.replicates if replicates is None else replicates
        check_replicates(count, study.name)
        names = tuple(study.methods) if methods is None else tuple(dict.fromkeys(methods))
        unknown = [name for name in names if name not in study.methods]
        if unknown or not names:
            raise StudyError(
                f"{study.name}: no method '{', '.join(unknown)}'; it has {', '.join(study.methods)}"
            )
        if jobs is None:
            jobs = joblib.cpu_count()
        if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
            raise StudyError(f"jobs is {jobs!r}; give an integer of 1 or more")
        return cls(count, tuple(sorted(names)), jobs)

    def in_words(self, study: Study) -> str:
        return (
            f"{counted(len(study.conditions), 'condition')} x "
            f"{counted(len(self.methods), 'method')} x {counted(self.replicates, 'replicate')}"
        )


class _Bench:
    """A run at work: the ledger, what is wanted, and what is shown."""

    def __init__(self, ledger: Ledger, wanted: _Wanted, progress: Progress) -> None:
        self.ledger = ledger
        self.study = ledger.study
        self.store = ledger.store
        self.wanted = wanted
        self.progress = progress

    def missing(self) -> list[Job]:
        """Return the jobs that would complete what is wanted."""
        stored = self.ledger.stored()
        return missing_jobs(
            self.study.conditions, self.wanted.methods, self.wanted.replicates, stored
        )

    def compute(self, missing: Sequence[Job]) -> int:
        """Compute and store the jobs; return how many fits that were."""
        progress, count = self.progress, self.wanted.workers
        agenda = Agenda(missing, count)
        fits = sum(len(job) * len(job.methods) for job in missing)
        with hire(self.study, self.ledger.marks, count) as workers:
            for line in check_first_replicate(self.study, missing[0], self.wanted.methods):
                progress.say(line)
            progress.begin(fits, self.store.folder)
            self.ledger.write()
            with progress:
                self._work_off(agenda, workers)
        return fits

    def _work_off(self, agenda: Agenda, workers: Workers) -> None:
        """Keep the workers busy until nothing is left; store what they finish as it arrives."""
        looked, look_cost = time.monotonic(), 0.0
        under_way = 0
        while agenda or under_way:
            while agenda and workers.has_room():
                workers.submit(*agenda.take())
                under_way += 1
            for finished in workers.finished():
                under_way -= 1
                self.store.add(part_name(finished.done), finished.part)
                agenda.settle(finished.given, finished.done, finished.seconds)
                self.progress.advance(len(finished.done) * len(finished.done.methods))
            now = time.monotonic()
            if now - looked > max(LOOK_SECONDS, _LOOK_SHARE * look_cost):
                self.make_tables(look=True)
                looked, look_cost = time.monotonic(), time.monotonic() - now

    def make_tables(self, *, look: bool = False) -> bool:
        """Make the tables, unless they are those of the stored parts already.

        Parameters
        ----------
        look : bool
            The run is still under way: what fails is said at its end, once.

        Returns
        -------
        bool
            False if a part turned out to be damaged; it is set aside and its replicates miss.
        """
        folder, ledger = self.store.folder, self.ledger
        stored = ledger.stored()
        made_of = ledger.tables_digest(stored)
        metadata = {"mcstudy": json.dumps(ledger.facts(), sort_keys=True, ensure_ascii=False)}
        rows = [name for name in TABLES if name not in _MEASURED]
        if ledger.made_of != made_of or not _are_whole(folder, rows):
            try:
                write_tables(folder, stored, ledger.truths, metadata)
            except DamagedError as error:
                self.progress.say(f"{error}; set aside, its replicates are computed again")
                self.store.set_aside(error.path)
                return False
            ledger.made_of = made_of
        failures = self._make_performance(metadata, ledger.measures_digest(made_of))
        for text in failures if not look else ():
            self.progress.say(f"Note: {text}")
        return True

    def _make_performance(self, metadata: Mapping[str, str], measured_of: str) -> list[str]:
        """Make the tables of measures, unless they are those of these rows and measures already.

        Returns
        -------
        list of str
            A line for each of the study's own measures that raised; they are tried again next time.
        """
        folder, study = self.store.folder, self.study
        failures: list[str] = []
        if self.ledger.measured_of == measured_of and _are_whole(folder, _MEASURED):
            return failures
        comparer = Comparer(reference=study.reference, null=study.null)
        table = performance_table(
            folder,
            measures=study.measures,
            null=study.null,
            tell=failures.append,
            also=comparer.add,
        )
        write_table(folder / "performance.parquet", table, metadata)
        write_table(folder / "comparisons.parquet", comparer.table(folder), metadata)
        self.ledger.measured_of = None if failures else measured_of
        return failures


def _are_whole(folder: Path, tables: Sequence[str]) -> bool:
    return all(is_whole(folder / f"{name}.parquet") for name in tables)


def counted(count: int, noun: str) -> str:
    """Return "1 method", "2 methods"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", " ")
