"""`run`: plan the missing, compute it, store it, and make the tables."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib

from mcstudy.analysis.performance import performance_table
from mcstudy.errors import StudyError
from mcstudy.fits.replicates import Job
from mcstudy.results import Results
from mcstudy.runs.casualties import Casualties
from mcstudy.runs.ends import Died
from mcstudy.runs.jobs import Agenda, missing_jobs
from mcstudy.runs.progress import Progress
from mcstudy.runs.workers import Workers, hire
from mcstudy.stored.files import is_whole, write_table
from mcstudy.stored.ledger import Ledger
from mcstudy.stored.parts import DamagedError, part_name
from mcstudy.stored.reopen import check_retried, reopen
from mcstudy.stored.store import Store
from mcstudy.stored.tables import TABLES, write_tables
from mcstudy.study import Study, check_replicates, load_study

LOOK_SECONDS = 60.0
_LOOK_SHARE = 20


def run(
    study: Study | str | Path,
    results: str | Path = "results",
    *,
    replicates: int | None = None,
    methods: Sequence[str] | None = None,
    jobs: int | None = None,
    changed: str | None = None,
    retry: Sequence[str] = (),
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
        Number of worker processes; one per core by default. 1 works in this process, where a
        debugger can follow, unless the study has a time limit.
    changed : {"keep", "discard"}, optional
        What becomes of rows made by code or packages that have changed since: they stay and are
        joined by new ones, or are computed again. Without it, `run` stops and says what changed.
    retry : sequence of {"timeout", "crashed"}, optional
        Stored fits with these statuses are computed again, with their replicates: after the time
        limit was raised, or on a machine with more memory.
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
    check_retried(retry)
    store = Store(Path(results) / study.name)
    with store.locked():
        ledger = Ledger(study, store)
        ledger.settle_changes(changed)
        if retry:
            reopen(store, retry)
        bench = _Bench(ledger, wanted, Progress(quiet))
        computed, whole = 0, False
        while not whole:
            if missing := bench.missing():
                computed += bench.compute(missing)
            elif not computed:
                bench.progress.say(f"Nothing is missing: {wanted.in_words(study)} are stored.")
            whole = bench.make_tables() and not bench.missing()
        ledger.close(wanted.replicates, wanted.workers, computed)
    return Results(store.folder)


@dataclass(frozen=True)
class _Wanted:
    """What this run is asked for."""

    replicates: int
    methods: tuple[str, ...]
    workers: int
    in_process: bool

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
        in_process = jobs == 1 and study.time_limit is None
        if jobs is None:
            jobs = joblib.cpu_count()
        if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
            raise StudyError(f"jobs is {jobs!r}; give an integer of 1 or more")
        return cls(count, tuple(sorted(names)), jobs, in_process)

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
        while self.store.aside:
            path = self.store.aside.pop()
            self.progress.say(f"{path}: damaged, or no part; set aside, what misses is computed")
        return missing_jobs(
            self.study.conditions, self.wanted.methods, self.wanted.replicates, stored
        )

    def compute(self, missing: Sequence[Job]) -> int:
        """Compute and store the jobs; return how many fits that were."""
        progress, count = self.progress, self.wanted.workers
        agenda = Agenda(missing, count)
        fits = sum(len(job) * len(job.methods) for job in missing)
        here = self.wanted.in_process
        with hire(self.study, self.ledger.marks, count, in_process=here) as workers:
            for line in workers.check(missing[0], self.wanted.methods):
                progress.say(line)
            progress.begin(fits, self.store.folder)
            self.ledger.write()
            with progress:
                self._work_off(agenda, workers)
        return fits

    def _work_off(self, agenda: Agenda, workers: Workers) -> None:
        """Keep the workers busy until nothing is left; store what they finish as it arrives."""
        casualties = Casualties(self.study)
        looked, look_cost = time.monotonic(), 0.0
        under_way = 0
        while agenda or under_way:
            while agenda and workers.has_room():
                job, seconds = agenda.take()
                workers.submit(job, seconds, casualties.caution(job))
                under_way += 1
            for finished in workers.finished():
                under_way -= 1
                if isinstance(finished, Died):
                    if line := casualties.note(finished):
                        self.progress.say(line)
                    agenda.put_back(casualties.learn(finished))
                    continue
                self.store.add(part_name(finished.done), finished.part)
                agenda.settle(finished.given, finished.done, finished.seconds)
                self.progress.advance(len(finished.done) * len(finished.done.methods))
            now = time.monotonic()
            if now - looked > max(LOOK_SECONDS, _LOOK_SHARE * look_cost):
                self.make_tables()
                looked, look_cost = time.monotonic(), time.monotonic() - now

    def make_tables(self) -> bool:
        """Make the tables, unless they are those of the stored parts already.

        Returns
        -------
        bool
            False if a part turned out to be damaged; it is set aside and its replicates miss.
        """
        folder, ledger = self.store.folder, self.ledger
        stored = ledger.stored()
        made_of = ledger.tables_digest(stored)
        present = all(is_whole(folder / f"{name}.parquet") for name in TABLES)
        if present and ledger.made_of == made_of:
            return True
        metadata = {"mcstudy": json.dumps(ledger.facts(), sort_keys=True, ensure_ascii=False)}
        try:
            write_tables(folder, stored, ledger.truths, metadata)
        except DamagedError as error:
            self.store.set_aside(error.path)
            return False
        table = performance_table(folder)
        write_table(folder / "performance.parquet", table, metadata)
        ledger.made_of = made_of
        return True


def counted(count: int, noun: str) -> str:
    """Return "1 method", "2 methods"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", " ")
