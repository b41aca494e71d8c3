"""A short run that is thrown away: what a replicate costs, how many bytes, how much it spreads."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from mcstudy.analysis.performance import measured_rows
from mcstudy.analysis.select import columns_of
from mcstudy.analysis.unusable import unusable
from mcstudy.errors import StudyError
from mcstudy.execution.executor import Died, Executor, Finished
from mcstudy.execution.process_pool import local_executor
from mcstudy.execution.tables import write_summed_tables
from mcstudy.grid import Condition
from mcstudy.method import batch_of
from mcstudy.simulation.replicates import Job
from mcstudy.storage.export import write_tables
from mcstudy.storage.files import write_table
from mcstudy.storage.manifest import Manifest
from mcstudy.storage.provenance import Mark, method_marks
from mcstudy.storage.rows import StudyRows
from mcstudy.storage.store import Store
from mcstudy.storage.sum_parts import summary_of
from mcstudy.storage.table_set import read_table
from mcstudy.study import Study

# What a condition's laps take of its share of the pilot's time; the first does one replicate.
_SHARES = (0.0, 0.4, 0.4)
_LONG = 100_000  # replicates of a lap, which its time ends before
_SHORTEST = 0.01  # seconds of a lap: a clock and one replicate need some
_SHORTEST_BATCHED = 0.25  # likewise: batches grow to some hundred replicates, nearly as in a run


@dataclass(frozen=True)
class PilotRun:
    """A job of the pilot: its replicates, seconds, bytes of the part, mean seconds of a fit."""

    replicates: int
    seconds: float
    size: int
    by_method: dict[str, float]

    @classmethod
    def of(cls, finished: Finished, keep: str) -> PilotRun:
        """Return what a finished job has cost."""
        count, parts = len(finished.done), finished.parts
        size = sum(len(part.content) for part in parts.values())
        if keep == "measures":
            means = {name: summary_of(part).seconds / count for name, part in parts.items()}
        else:
            means = {name: pc.mean(part.rows()["seconds"]).as_py() for name, part in parts.items()}
        return cls(count, finished.seconds, size, means)

    @property
    def in_methods(self) -> float:
        """Seconds a replicate in all methods."""
        return sum(self.by_method.values())

    @property
    def beside(self) -> float:
        """Seconds a replicate beside the methods: simulation, storing."""
        return max(self.seconds / self.replicates - self.in_methods, 0.0)


@dataclass
class Pilot:
    """What the pilot saw.

    The first of a condition's laps is a single replicate, whose cost counts only where there is no
    other. `start` is from hiring the workers to their first answer, without the fit itself; `small`
    and `large` are fits and bytes of the tables of first replicates, and of all. `memory` is the
    largest resident set of a worker, in bytes, 0 if the work was done in this process. `is_batched`
    is whether any method takes many data sets at a time.
    """

    laps: dict[Condition, list[PilotRun]] = field(default_factory=dict)
    performance: pd.DataFrame = field(default_factory=pd.DataFrame)
    start: float = 0.0
    small: tuple[int, int] = (0, 0)
    large: tuple[int, int] = (0, 0)
    table_seconds: float = 0.0
    memory: int = 0
    died: int = 0
    unusable: list[str] = field(default_factory=list)
    keep: str = "rows"
    is_batched: bool = False

    @property
    def replicates(self) -> tuple[int, int]:
        """The fewest and the most replicates of a condition that was tried."""
        counts = [sum(lap.replicates for lap in laps) for laps in self.laps.values()]
        return min(counts), max(counts)

    @cached_property
    def _beside(self) -> tuple[float, float]:
        """Seconds a replicate beside the methods, in single and in longer laps."""
        laps = [lap for some in self.laps.values() for lap in some]
        single = [lap.beside for lap in laps if lap.replicates == 1]
        longer = [lap.beside for lap in laps if lap.replicates > 1] or single
        return statistics.median(single or longer), statistics.median(longer)

    @property
    def job_seconds(self) -> float:
        """What a job costs beside its replicates, in seconds."""
        single, longer = self._beside
        return max(single - longer, 0.0)

    @property
    def table_bytes(self) -> tuple[float, float]:
        """Bytes of the tables a fit, and those that they have anyway."""
        (few, small), (many, large) = self.small, self.large
        if self.keep == "measures":
            return 0.0, large
        if many == few:
            return large / many, 0.0
        per_fit = (large - small) / (many - few)
        return per_fit, max(small - per_fit * few, 0.0)

    def part_bytes(self, jobs: Sequence[Job]) -> float:
        """Return the bytes of the parts that jobs will leave, joined at the end of the run."""
        laps = [lap for some in self.laps.values() for lap in some]
        conditions = len({job.condition for job in jobs})
        if self.keep == "measures":  # sums are as large for any number of replicates
            return conditions * max(lap.size for lap in laps)
        singles = [lap.size for lap in laps if lap.replicates == 1]
        fixed = statistics.fmean(singles) if singles else 0.0
        longer = [lap for lap in laps if lap.replicates > 1]
        more = sum(lap.replicates - 1 for lap in longer)
        each = sum(lap.size - fixed for lap in longer) / more if more else fixed
        return conditions * fixed + max(each, 0.0) * sum(len(job) for job in jobs)

    def cost(self, lap: PilotRun) -> float:
        """Return the seconds a replicate of a lap, without those of the job."""
        if lap.replicates == 1:
            return lap.in_methods + min(lap.beside, self._beside[1])
        return lap.in_methods + max(lap.beside - self.job_seconds / lap.replicates, 0.0)

    def laps_that_count(self, condition: Condition) -> list[PilotRun]:
        """Return the laps after the first, whose functions were warm; or that one alone.

        A batch of one costs a replicate far more than the batches of a run do. So where methods are
        batched only longer laps count, if there are any; a condition may then have none.
        """
        if self.is_batched and any(
            lap.replicates > 1 for laps in self.laps.values() for lap in laps
        ):
            return [lap for lap in self.laps[condition] if lap.replicates > 1]
        return self.laps[condition][1:] or self.laps[condition]


def run_pilot(study: Study, workers: int, seconds: float) -> Pilot:
    """Work for about `seconds` on as many workers as the run will have; nothing is kept.

    Every condition gets one replicate by every method first, in random order, as far as time
    allows; then all get some more, a few times over.
    """
    is_batched = any(batch_of(method) is not None for method in study.methods.values())
    pilot = Pilot(keep=study.keep, is_batched=is_batched)
    with tempfile.TemporaryDirectory(prefix="mcstudy-") as name:
        store = Store(Path(name))
        with store.locked():
            hired = time.perf_counter()
            here = workers == 1 and study.time_limit is None
            marks = method_marks(study)
            with local_executor(study, marks, workers, in_process=here) as team:
                _work(study, team, workers, seconds, pilot, store)
                pilot.start = max(pilot.start - hired, 0.0)
            if not pilot.laps:
                raise StudyError(
                    f"{study.name}: no job of the pilot came back, its workers died; see which fit "
                    "does it with: mcstudy run STUDY --replicates 1"
                )
            _make_tables(study, store, marks, pilot)
    return pilot


def _work(
    study: Study, team: Executor, workers: int, seconds: float, pilot: Pilot, store: Store
) -> None:
    methods = tuple(sorted(study.methods))
    conditions = list(study.conditions)
    random.Random(0).shuffle(conditions)
    shortest = _SHORTEST_BATCHED if pilot.is_batched else _SHORTEST
    turns: deque[tuple[Condition, int]] = deque((condition, 0) for condition in conditions)
    begun = time.perf_counter()
    end, under_way = begun + seconds, 0
    while turns or under_way:
        while turns and team.has_room():
            left = end - time.perf_counter()
            condition, start = turns.popleft()
            laps = len(pilot.laps.get(condition, ()))
            # A second lap is worth waiting for: the first one paid for what is done once.
            if pilot.laps and left <= (-seconds if laps == 1 else 0):
                continue
            share = max(seconds * workers / len(conditions) * _SHARES[laps], shortest)
            stop = start + (_LONG if laps else 1)
            team.submit(Job(condition, start, stop, methods), share)
            under_way += 1
        for finished in team.finished():
            under_way -= 1
            if isinstance(finished, Died):
                pilot.died += 1
                continue
            if not pilot.laps:
                # The clock starts when the workers are there.
                pilot.start = time.perf_counter() - finished.seconds
                end = time.perf_counter() + seconds
            for part in finished.parts.values():
                store.add(part)
            pilot.memory = max(pilot.memory, finished.memory)
            laps_of = pilot.laps.setdefault(finished.done.condition, [])
            laps_of.append(PilotRun.of(finished, study.keep))
            if len(laps_of) < len(_SHARES):
                turns.append((finished.done.condition, finished.done.stop))


def _make_tables(study: Study, store: Store, marks: Mapping[str, Mark], pilot: Pilot) -> None:
    """Make the tables of the first replicates, then of all, and look at their size and time."""
    tried = list(pilot.laps)
    truths = {condition: study.truths(condition) for condition in tried}
    manifest = Manifest(
        store, study.keep, marks, set(), truths, study.null, study.level, alpha=study.alpha
    )
    stored = manifest.stored()
    sizes = []
    for first in (1, None):
        begun = time.perf_counter()
        if study.keep == "measures":
            write_summed_tables(store.folder, stored, truths, {})
            table = read_table(store.folder, "performance")
        else:
            rows = StudyRows(stored, truths, level=study.level, first=first)
            write_tables(store.folder, rows, {})
            table = measured_rows(
                rows, measures=study.measures, null=study.null, alphas=study.alphas
            )
            write_table(store.folder / "performance.parquet", table, {})
        pilot.table_seconds = time.perf_counter() - begun
        done = [first or sum(lap.replicates for lap in laps) for laps in pilot.laps.values()]
        fits = sum(done) * len(study.methods)
        sizes.append((fits, sum(path.stat().st_size for path in store.folder.glob("*.parquet"))))
    pilot.small, pilot.large = sizes
    pilot.performance = table.to_pandas()
    pilot.unusable = unusable(store.folder, columns_of(pilot.performance))
