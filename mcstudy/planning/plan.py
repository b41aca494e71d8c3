"""`plan`: what a run will cost and how precise it will be, before it is begun."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mcstudy.analysis.precision import check_exist, existing
from mcstudy.arguments import as_path, counted
from mcstudy.arguments import check_seconds as check_seconds_given
from mcstudy.errors import ChangedError
from mcstudy.execution.options import check_jobs, replicates_in_words, workers_for
from mcstudy.execution.progress import duration
from mcstudy.execution.scheduler import fits_of, missing_jobs
from mcstudy.grid import Condition
from mcstudy.loader import as_study, neighbours_forgotten
from mcstudy.measure import check_targets
from mcstudy.planning.forecast import (
    Forecast,
    Range,
    cell_in_words,
    expected_errors,
    forecast,
    goal_of_each,
    largest_errors,
    method_costs,
    needed,
    planned_goals,
    stops_in_words,
    unit_errors,
    worst,
)
from mcstudy.planning.pilot import Pilot, run_pilot
from mcstudy.simulation.replicates import Job
from mcstudy.storage.manifest import Stored, ranges_of, replicates_in
from mcstudy.storage.store import Store
from mcstudy.storage.study_record import StudyRecord
from mcstudy.study import Study, check_replicates
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed

_TARGETS = "--target (targets)"  # in messages
PILOT_SECONDS = 4.0  # a wait that a user takes before a run of minutes or hours
_START_SECONDS = 0.5  # of `run` beside loading the study: start of Python, first replicate
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BYTES = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_FEW = 20  # replicates: below them a standard deviation is known to one sixth or worse


@dataclass(frozen=True)
class Plan(Printed):
    """What a run will cost and how precise it will be.

    Parameters
    ----------
    name : str
        Of the study.
    size : str
        Conditions, methods and replicates in words.
    replicates : tuple of (int, int)
        The fewest and the most that a condition will have.
    fits, stored : int
        Fits to do, and those that are there.
    workers : int
        For which time and memory are forecast.
    forecast : Forecast
        Time, disk and memory, each a range.
    methods : DataFrame
        Fits, seconds each and seconds in all by method, the most expensive first.
    expected : DataFrame
        The cells of the pilot with the error to expect of each: `mcse`.
    targets : DataFrame
        By target: how many replicates the worst cell `needed`, and the seconds of such a run.
    pilot : Pilot
        What it rests on.
    conditions : int
        How many there are.
    stops : str
        When a condition stops, where a precision decides; else empty, and the counts are exact.
    changed : str
        What stored rows, which are not counted, have not in common with the study, and what the
        run will ask; empty if there are none.
    """

    name: str
    size: str
    replicates: tuple[int, int]
    fits: int
    stored: int
    workers: int
    forecast: Forecast
    methods: pd.DataFrame
    expected: pd.DataFrame
    targets: pd.DataFrame
    pilot: Pilot
    conditions: int
    stops: str
    changed: str

    def document(self) -> Document:
        """Return what the run costs, the errors to expect, and what the targets need."""
        fits = "1 fit to do" if self.fits == 1 else f"{self.fits} fits to do"
        fits = f"{self.about if self.fits else ''}{fits}"
        stored = f"{self.stored} {'is' if self.stored == 1 else 'are'} stored"
        tried, died = len(self.pilot.laps), self.pilot.died
        of = f"{tried} of {self.conditions} conditions; the others are taken to be alike"
        of = "every condition by every method" if tried == self.conditions else of
        pilot = f"pilot: {replicates_in_words(*self.pilot.replicates)} of {of}"
        if died:
            ended = "ended its worker and is" if died == 1 else "ended their workers and are"
            pilot += f"; {counted(died, 'job')} {ended} not counted"
        lines = [f"{self.stops}: what follows is about what that will take"] if self.stops else []
        lines += [pilot, *self._cost_lines()]
        lines += [f"note: in the pilot {text}" for text in self.pilot.unusable]
        if self.changed:
            lines.append(
                "note: stored rows that are not of the study as it is count as missing here; "
                f"run will say: {self.changed}"
            )
        costs = Block(f"{self.name}: {self.size}, {fits}, {stored}", lines=lines)
        forecast = pd.DataFrame(vars(self.forecast), index=list(Range._fields)).T
        forecast = forecast.rename_axis("forecast").reset_index()
        frames = [forecast, self.methods, self.expected, self.targets]
        return Document(
            blocks=[costs, *self._errors(), *self._targets()],
            frames=[frame for frame in frames if len(frame)],
        )

    @property
    def about(self) -> str:
        """The word before numbers that a precision decides."""
        return "about " if self.stops else ""

    def _cost_lines(self) -> list[str]:
        if not self.fits:
            return ["nothing to do"]
        cost, plural = self.forecast, "" if self.workers == 1 else "s"
        wall, cpu = (
            seconds.in_words(lambda value: duration(value) if value >= 0.95 else "< 1 s")
            for seconds in (cost.wall, cost.cpu)
        )
        parts, tables, memory = (
            size.in_words(lambda value: in_unit(value, _BYTES))
            for size in (cost.parts, cost.tables, cost.memory)
        )
        lines = [
            f"time on {self.workers} worker{plural}: {wall}; CPU {cpu}",
            f"disk: {parts} of parts, {tables} of tables",
            f"memory: {memory} at most",
        ]
        total = self.methods["seconds"].sum()
        for row in self.methods.head(5).to_dict("records"):
            share = row["seconds"] / total if total else 0.0
            lines.append(
                f"  {row['method']}: {in_unit(row['seconds_each'], _SECONDS)} a fit, "
                f"{share:.0%} of the time in methods"
            )
        return lines

    def _errors(self) -> Iterator[Block]:
        """Yield the largest error of each measure."""
        if not (lines := largest_errors(self.expected)):
            return
        few = self.pilot.replicates[0]
        title = (
            f"Monte Carlo standard errors to expect at {self.about}"
            f"{replicates_in_words(*self.replicates)} a condition"
        )
        if few < _FEW:
            title += f" (rough: the pilot has {counted(few, 'replicate')} of a condition)"
        yield Block(title, Grid(("measure", "largest", "median", "largest at"), lines, left=4))

    def _targets(self) -> Iterator[Block]:
        lines = [
            (f"{measure} {target:g}", str(number), duration(seconds), str(cell))
            for measure, target, number, seconds, cell in self.targets.itertuples(index=False)
        ]
        head = ("target", "replicates", "time", "for the sake of")
        most = self.replicates[1]
        lacking = self.targets[self.targets["needed"] > most]["measure"] if self.stops else ()
        notes = [f"note: max_replicates, {most}, is too few for {', '.join(lacking)}"]
        if lines:
            grid = Grid(head, lines, left=4)
            yield Block("Replicates that the targets need", grid, notes if len(lacking) else [])


@neighbours_forgotten()
def plan(
    study: Study | str | Path,
    *,
    replicates: int | None = None,
    targets: Mapping[str, float] | None = None,
    jobs: int | None = None,
    results: str | Path = "results",
    seconds: float = PILOT_SECONDS,
) -> Plan:
    """Forecast time, disk, memory and precision of a run from a short pilot; nothing is stored.

    Parameters
    ----------
    study : Study or path
        A study, or the path of a study file.
    replicates : int, optional
        How many, in place of the study's own number.
    targets : mapping of str to float, optional
        Monte Carlo standard errors by measure: how many replicates do they need? By default those
        of the study's `precision`.
    jobs : int, optional
        Number of worker processes; one per core by default.
    results : path, default "results"
        Where the run would go; what is stored there counts as done.
    seconds : float, default 4
        How long the pilot works; a single fit may take longer.

    Raises
    ------
    StudyError
        For a study, or an argument, that cannot be used.
    """
    check_seconds_given(seconds)
    begun = time.perf_counter()
    study = as_study(study)
    load_seconds = time.perf_counter() - begun
    count = study.replicates if replicates is None else replicates
    check_replicates(count, study.name)
    workers = workers_for(check_jobs(jobs), count * len(study.conditions))
    wanted = study.precision if targets is None else targets
    if targets is not None:
        check_targets(targets, _TARGETS, "the target", study.measures)
    study_record = StudyRecord(study, Store(as_path(results, "results") / study.name))
    stored, changed = study_record.stored(), ""
    try:
        study_record.settle_changes(None)
    except ChangedError as error:
        changed = str(error)
    pilot = run_pilot(study, workers, seconds)
    if wanted:
        listed = f"{study.name}: precision" if targets is None else _TARGETS
        check_exist(wanted, existing(pilot.performance), listed)
    before = load_seconds + _START_SECONDS
    work = _Work(study, stored, study_record.retried, pilot, workers, before)
    return _planned(work, count, wanted or {}, changed)


@dataclass(frozen=True)
class _Work:
    """What there is to do, who does it, and what a pilot says that it costs."""

    study: Study
    stored: Stored
    retried: Mapping[str, Mapping[str, int]]
    pilot: Pilot
    workers: int
    seconds_before: float

    @property
    def fits_stored(self) -> int:
        """How many fits are there."""
        return sum(
            replicates_in(ranges_of(parts, method))
            for parts in self.stored.values()
            for method in self.study.methods
        )

    def costs(self, goals: Mapping[Condition, int]) -> tuple[list[Job], Forecast]:
        """Return the jobs that are missing for so many replicates, and what they cost."""
        methods = tuple(sorted(self.study.methods))
        jobs = [
            job
            for condition, goal in goals.items()
            for job in missing_jobs([condition], methods, goal, self.stored, self.retried)
        ]
        return jobs, forecast(
            self.pilot,
            jobs,
            workers=self.workers,
            fits_stored=self.fits_stored,
            check_seconds=self.seconds_before,
        )


def _planned(work: _Work, count: int, targets: Mapping[str, float], changed: str) -> Plan:
    """Return the plan of a run with `count` replicates, or more where a precision decides."""
    study, pilot = work.study, work.pilot
    units = unit_errors(pilot.performance)
    goals = planned_goals(study, count, units)
    fewest, most = min(goals.values()), max(goals.values())
    conditions = counted(len(study.conditions), "condition")
    about = "" if study.precision is None else "about "
    size = f"{conditions} x {counted(len(study.methods), 'method')} x {about}"
    jobs, cost = work.costs(goals)
    lines = []
    for _, cell in worst(needed(units, targets), "needed").iterrows():
        number = int(cell["needed"])
        then = work.costs(dict.fromkeys(study.conditions, number))[1]
        words = cell_in_words(cell, units)
        lines.append((cell["measure"], cell["target"], number, then.wall.value, words))
    return Plan(
        name=study.name,
        size=size + replicates_in_words(fewest, most),
        replicates=(fewest, most),
        fits=fits_of(jobs),
        stored=work.fits_stored,
        workers=work.workers,
        forecast=cost,
        methods=method_costs(pilot, jobs),
        expected=expected_errors(units, goal_of_each(units, goals)),
        targets=pd.DataFrame(lines, columns=["measure", "target", "needed", "seconds", "cell"]),
        pilot=pilot,
        conditions=len(study.conditions),
        stops=stops_in_words(study, count),
        changed=changed,
    )


def in_unit(value: float, units: Mapping[str, float]) -> str:
    """Return a number to three digits in the first unit in which it is below 1000, or the last."""
    unit = next((name for name, one in units.items() if value / one < 999.5), list(units)[-1])
    return f"{value / units[unit]:.3g} {unit}"
