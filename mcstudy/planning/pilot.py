"""A short run that is thrown away: what a replicate costs, how many bytes, how much it spreads."""

from __future__ import annotations

import io
import math
import random
import resource
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcstudy.analysis.performance import performance_table
from mcstudy.fits.replicates import Job
from mcstudy.grid import Condition
from mcstudy.runs.ends import Died, Finished
from mcstudy.runs.workers import Workers, hire
from mcstudy.stored.marks import method_marks
from mcstudy.stored.parts import part_name
from mcstudy.stored.store import Store
from mcstudy.stored.tables import Stored, write_tables
from mcstudy.study import Study

_LAPS = 3
_LONG = 100_000
_SHORTEST = 0.01


@dataclass(frozen=True)
class Lap:
    """A job of the pilot: how many replicates, how long, how many bytes.

    Parameters
    ----------
    replicates : int
        How many it did.
    seconds : float
        The worker's time for all of them.
    size : int
        Of the part, in bytes.
    by_method : dict of str to float
        The mean time of a fit, in seconds.
    """

    replicates: int
    seconds: float
    size: int
    by_method: dict[str, float]

    @property
    def cost(self) -> float:
        """Seconds a replicate, simulation and storing included."""
        return self.seconds / self.replicates


@dataclass
class Pilot:
    """What the pilot saw.

    Parameters
    ----------
    laps : dict of Condition to list of Lap
        The jobs, by condition; the first one is a single replicate, whose cost counts only where
        there is no other.
    performance : DataFrame
        The measures of its rows.
    start : float
        Seconds from hiring the workers to their first answer, without the fit itself.
    small, large : tuple of (int, int)
        Fits in the tables and the bytes of these: of first replicates, and of all.
    table_seconds : float
        To make the tables of all.
    memory : int
        The largest resident set of a worker, in bytes; 0 if the work was done in this process.
    """

    laps: dict[Condition, list[Lap]] = field(default_factory=dict)
    performance: pd.DataFrame = field(default_factory=pd.DataFrame)
    start: float = 0.0
    small: tuple[int, int] = (0, 0)
    large: tuple[int, int] = (0, 0)
    table_seconds: float = 0.0
    memory: int = 0

    @property
    def replicates(self) -> tuple[int, int]:
        """The fewest and the most replicates of a condition that was tried."""
        counts = [sum(lap.replicates for lap in laps) for laps in self.laps.values()]
        return min(counts), max(counts)

    def laps_that_count(self, condition: Condition) -> list[Lap]:
        """Return the laps after the first, whose functions were warm; or that one alone."""
        laps = self.laps.get(condition, [])
        return laps[1:] or laps


def run_pilot(study: Study, workers: int, seconds: float) -> Pilot:
    """Work for about `seconds` on as many workers as the run will have; nothing is kept.

    Every condition gets one replicate by every method first, in random order, as far as time
    allows; then all get some more, a few times over.
    """
    pilot = Pilot()
    with tempfile.TemporaryDirectory(prefix="mcstudy-") as name:
        store = Store(Path(name))
        with store.locked():
            hired = time.perf_counter()
            with hire(study, method_marks(study), workers, in_process=workers == 1) as team:
                _work(study, team, workers, seconds, pilot, store)
                pilot.start = max(pilot.start - hired, 0.0)
            if workers > 1:
                pilot.memory = _bytes_of(resource.RUSAGE_CHILDREN)
            _make_tables(study, store, pilot)
    return pilot


def memory_here() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    return _bytes_of(resource.RUSAGE_SELF)


def _bytes_of(who: int) -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit


def _work(
    study: Study, team: Workers, workers: int, seconds: float, pilot: Pilot, store: Store
) -> None:
    methods = tuple(sorted(study.methods))
    conditions = list(study.conditions)
    random.Random(0).shuffle(conditions)
    turns: deque[tuple[Condition, int]] = deque((condition, 0) for condition in conditions)
    begun = time.perf_counter()
    end, under_way = begun + seconds, 0
    while turns or under_way:
        while turns and team.has_room():
            left = end - time.perf_counter()
            if left <= 0 and pilot.laps:
                turns.clear()
                break
            condition, start = turns.popleft()
            laps = len(pilot.laps.get(condition, ()))
            share = max(left * workers / max(len(turns) + 1, 1) / 2, _SHORTEST) if laps else 0.0
            stop = start + (_LONG if laps else 1)
            team.submit(Job(condition, start, stop, methods), share)
            under_way += 1
        for finished in team.finished():
            under_way -= 1
            if isinstance(finished, Died):
                continue
            if not pilot.laps:
                # The clock starts when the workers are there.
                pilot.start = time.perf_counter() - finished.seconds
                end = time.perf_counter() + seconds
            store.add(part_name(finished.done), finished.part)
            laps_of = pilot.laps.setdefault(finished.done.condition, [])
            laps_of.append(_lap(finished, methods))
            if len(laps_of) < _LAPS:
                turns.append((finished.done.condition, finished.done.stop))


def _lap(finished: Finished, methods: Sequence[str]) -> Lap:
    rows = pq.read_table(io.BytesIO(finished.part), columns=["method", "seconds"])
    of = rows["method"].cast(pa.string())
    means = {name: pc.mean(rows["seconds"].filter(pc.equal(of, name))).as_py() for name in methods}
    return Lap(len(finished.done), finished.seconds, len(finished.part), means)


def _make_tables(study: Study, store: Store, pilot: Pilot) -> None:
    """Make the tables of the first replicates, then of all, and look at their size and time."""
    tried = list(pilot.laps)
    truths = {condition: study.truths(condition) for condition in tried}
    stored: dict[Condition, list[Stored]] = {condition: [] for condition in tried}
    by_key = {condition.key: condition for condition in tried}
    for head in store.heads():
        stored[by_key[head.condition]].append(Stored(head, tuple(head.methods)))
    sizes = []
    for first in (1, None):
        begun = time.perf_counter()
        write_tables(store.folder, stored, truths, {}, first=first)
        table = performance_table(store.folder)
        pilot.table_seconds = time.perf_counter() - begun
        rows = pq.read_metadata(store.folder / "fits.parquet").num_rows
        sizes.append((rows, sum(path.stat().st_size for path in store.folder.glob("*.parquet"))))
    pilot.small, pilot.large = sizes
    pilot.performance = table.to_pandas()


def spread(laps: Sequence[Lap]) -> float:
    """Return the standard error of the mean cost of a replicate, seconds."""
    costs = [lap.cost for lap in laps]
    if len(costs) < 2:
        return costs[0] / 2
    return statistics.stdev(costs) / math.sqrt(len(costs))
