"""`run`: plan the missing, compute it, store it, and make the tables."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib

from mcstudy.check import check_first_replicate
from mcstudy.errors import ChangedError, ResultsError, StudyError
from mcstudy.grid import Condition
from mcstudy.jobs import Agenda, missing_jobs
from mcstudy.marks import Mark, changes, method_marks, versions
from mcstudy.parts import part_name
from mcstudy.performance import performance_table
from mcstudy.progress import Progress
from mcstudy.replicates import Job
from mcstudy.results import Results
from mcstudy.store import Store
from mcstudy.study import Study, check_replicates, load_study
from mcstudy.tables import TABLES, Stored, write_table, write_tables
from mcstudy.workers import hire

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
    progress = Progress(quiet)
    with store.locked():
        bench = _Bench(study, store, wanted)
        bench.settle_changes(changed)
        begun = time.time()
        computed = 0
        while missing := bench.missing():
            computed += bench.compute(missing, progress)
            bench.refresh_tables(progress)
        if not computed:
            progress.say(f"Nothing is missing: {wanted.in_words(study)} are stored.")
        bench.refresh_tables(progress)
        bench.write_record(computed, begun)
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
    """A study, its store, and what the store holds of it."""

    def __init__(self, study: Study, store: Store, wanted: _Wanted) -> None:
        self.study = study
        self.store = store
        self.wanted = wanted
        self.truths = {condition: study.truths(condition) for condition in study.conditions}
        self.marks = method_marks(study)
        self.record = store.record
        self.kept: set[str] = set(self.record.get("kept", ()))

    def settle_changes(self, changed: str | None) -> None:
        """Notice rows that something else has made; keep or discard them as told, or stop."""
        said: dict[str, None] = {}
        foreign: dict[str, Mark] = {}
        seeds = set()
        for head in self.store.heads()[0]:
            for method, mark in head.marks.items():
                if method not in self.marks or self._counts(method, mark):
                    continue
                seeds |= {mark["seed"]} - {str(self.study.seed)}
                foreign[_digest(mark)] = mark
                for change in changes(mark, self.marks[method]):
                    said[change.replace("of method", f"of method '{method}'")] = None
        said |= dict.fromkeys(self._changed_truths())
        if seeds and changed != "discard":
            raise ChangedError(
                f"{self.store.folder}: holds rows of seed {', '.join(sorted(seeds))} and this "
                f"study has seed {self.study.seed}; give it another name, or --changed discard "
                "to compute them anew"
            )
        if said and changed is None:
            raise ChangedError(
                f"{self.store.folder}: changed since its rows were made: {'; '.join(said)}. "
                "Nothing was done: --changed keep goes on with those rows, --changed discard "
                "computes them anew"
            )
        if changed == "keep":
            self.kept |= foreign.keys()
        if changed == "discard":
            self._drop_foreign()

    def _changed_truths(self) -> list[str]:
        """Return in words the first truth that is not what the tables were made with."""
        stored = self.record.get("truths", {})
        for condition, truths in self.truths.items():
            for estimand, before in stored.get(condition.key, {}).items():
                after = truths.get(estimand)
                if before != after and not (before is None and after != after):
                    return [f"the truth of {estimand} at {condition.key} {before} -> {after}"]
        return []

    def _drop_foreign(self) -> None:
        for head in self.store.heads()[0]:
            known = [m for m in head.marks if m in self.marks]
            if known and not any(self._counts(m, head.marks[m]) for m in known):
                self.store.drop(head.path)

    def _counts(self, method: str, mark: Mark) -> bool:
        """Return whether rows with this mark count as this study's."""
        return mark == self.marks.get(method) or (
            method in self.marks and _digest(mark) in self.kept
        )

    def stored(self) -> dict[Condition, list[Stored]]:
        """Return the rows there are, by condition."""
        held: dict[Condition, list[Stored]] = {condition: [] for condition in self.study.conditions}
        by_key = {condition.key: condition for condition in held}
        heads, _ = self.store.heads()
        for head in heads:
            condition = by_key.get(head.condition)
            counting = tuple(m for m in head.methods if self._counts(m, head.marks[m]))
            if condition is not None and counting:
                held[condition].append(Stored(head, counting))
        return held

    def missing(self) -> list[Job]:
        """Return the jobs that would complete what is wanted."""
        wanted = self.wanted
        return missing_jobs(self.study.conditions, wanted.methods, wanted.replicates, self.stored())

    def compute(self, missing: Sequence[Job], progress: Progress) -> int:
        """Compute and store the jobs; return how many fits that were."""
        for line in check_first_replicate(self.study, missing[0], self.wanted.methods):
            progress.say(line)
        agenda = Agenda(missing, self.wanted.workers)
        fits = sum(len(job) * len(job.methods) for job in missing)
        progress.begin(fits, self.store.folder)
        self.write_record(0, time.time())
        looked, look_cost = time.monotonic(), 0.0
        with progress, hire(self.study, self.marks, self.wanted.workers) as workers:
            under_way = 0
            while agenda or under_way:
                while agenda and workers.has_room():
                    workers.submit(*agenda.take())
                    under_way += 1
                for finished in workers.finished():
                    under_way -= 1
                    self.store.add(part_name(finished.done), finished.part)
                    agenda.settle(finished.given, finished.done, finished.seconds)
                    progress.advance(len(finished.done) * len(finished.done.methods))
                now = time.monotonic()
                if now - looked > max(LOOK_SECONDS, _LOOK_SHARE * look_cost):
                    self.refresh_tables(progress)
                    looked, look_cost = time.monotonic(), time.monotonic() - now
        return fits

    def refresh_tables(self, progress: Progress) -> None:
        """Make the tables, unless they are those of the stored parts already."""
        stored = self.stored()
        metadata = {"mcstudy": json.dumps(self._facts(), sort_keys=True, ensure_ascii=False)}
        names = [(i.head.path.name, i.methods) for items in stored.values() for i in items]
        made_of = _digest([sorted(names), metadata, self._truths_record()])
        present = all((self.store.folder / f"{name}.parquet").is_file() for name in TABLES)
        if present and self.record.get("made_of") == made_of:
            return
        try:
            write_tables(self.store.folder, stored, self.truths, metadata)
        except ResultsError:
            self._set_damaged_aside(stored, progress)
            return
        table = performance_table(self.store.folder)
        write_table(self.store.folder / "performance.parquet", table, metadata)
        self.record = self.record | {"made_of": made_of}

    def _set_damaged_aside(
        self, stored: Mapping[Condition, Sequence[Stored]], progress: Progress
    ) -> None:
        from mcstudy.parts import read

        for items in stored.values():
            for item in items:
                try:
                    read(item.head.path)
                except ResultsError as error:
                    progress.say(f"{error}; set aside, its replicates are computed again")
                    self.store.set_aside(item.head.path)

    def _facts(self) -> dict[str, Any]:
        """Return what a reader needs to know where the numbers came from."""
        study = self.study
        factors: dict[str, list[Any]] = {name: [] for name in study.conditions.factors}
        for condition in sorted(study.conditions, key=lambda c: c.sort_key):
            for name, level in condition.factors.items():
                if level not in factors[name]:
                    factors[name].append(level)
        return {
            "name": study.name,
            "seed": study.seed,
            "factors": factors,
            "estimands": sorted({e for truths in self.truths.values() for e in truths}),
            "methods": sorted(study.methods),
            "versions": versions(),
            "commit": _commit(study),
        }

    def _truths_record(self) -> dict[str, dict[str, float | None]]:
        return {
            condition.key: {e: value if value == value else None for e, value in truths.items()}
            for condition, truths in sorted(self.truths.items(), key=lambda item: item[0].sort_key)
        }

    def write_record(self, computed: int, begun: float) -> None:
        """Bring `study.json` up to date; a run that computed something is added to its list."""
        runs = list(self.record.get("runs", ()))
        if computed:
            started = datetime.fromtimestamp(begun, UTC).isoformat(timespec="seconds")
            runs.append(
                {
                    "started": started,
                    "seconds": round(time.time() - begun, 1),
                    "fits": computed,
                    "workers": self.wanted.workers,
                    "host": platform.node(),
                    "platform": platform.platform(),
                }
            )
        self.record = {
            **self._facts(),
            "conditions": [c.key for c in sorted(self.study.conditions, key=lambda c: c.sort_key)],
            "replicates": self.wanted.replicates,
            "marks": self.marks,
            "kept": sorted(self.kept),
            "truths": self._truths_record(),
            "made_of": self.record.get("made_of"),
            "runs": runs,
        }
        self.store.write_record(self.record)


def counted(count: int, noun: str) -> str:
    """Return "1 method", "2 methods"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", " ")


def _digest(thing: Any) -> str:
    return hashlib.sha256(json.dumps(thing, sort_keys=True).encode()).hexdigest()


def _commit(study: Study) -> str | None:
    """Return the commit of the study file's repository, None where there is none."""
    folder = study.source.parent if study.source else Path.cwd()
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
