"""What a run will cost and how precise it will be, from a pilot, each with its uncertainty."""

from __future__ import annotations

import math
import resource
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mcstudy.analysis.precision import shares
from mcstudy.analysis.select import factor_columns, factors_in_words, varying
from mcstudy.execution.scheduler import JOB_SECONDS
from mcstudy.execution.stopping import counts
from mcstudy.grid import Condition
from mcstudy.planning.pilot import Pilot
from mcstudy.simulation.replicates import Job
from mcstudy.study import Study

MACHINE = 0.15
"""The relative error that two equal runs on a shared machine differ by, from experience."""
_DISK, _MEMORY = 0.15, 0.1  # relative errors of forecast bytes, from experience as well
_LEAST = 0.02  # of a replicate: what is left of its time without the methods is never nothing
_ROW_BYTES = 150  # of memory for a fit's row on its way to a part, as measured, by column


class Range(NamedTuple):
    """A forecast and the limits within which it should fall 19 times of 20."""

    low: float
    value: float
    high: float

    @classmethod
    def around(cls, value: float, relative_error: float) -> Range:
        """Return the range of a positive quantity with this relative standard error."""
        factor = math.exp(2 * relative_error)
        return cls(value / factor, value, value * factor)

    def in_words(self, words: Callable[[float], str]) -> str:
        """Return the forecast, and its limits where these are other words."""
        low, value, high = map(words, self)
        return value if low == high else f"{value} ({low} to {high})"


@dataclass(frozen=True)
class Forecast:
    """What a run will cost: seconds, of all workers together for `cpu`, and bytes.

    `parts` are those that will be added, `tables` all after it, `memory` is the most that this
    process and the workers hold together.
    """

    wall: Range
    cpu: Range
    parts: Range
    tables: Range
    memory: Range


class Costs:
    """Seconds by condition, as a pilot measured them; one not tried costs the average of all."""

    def __init__(self, pilot: Pilot) -> None:
        self._replicate: dict[Condition, float] = {}
        self._errors: dict[Condition, float] = {}
        self._fits: dict[Condition, dict[str, float]] = {}
        for condition in pilot.laps:
            if not (laps := pilot.laps_that_count(condition)):
                continue
            costs, counts = [pilot.cost(lap) for lap in laps], [lap.replicates for lap in laps]
            # Longer laps count for more: their batches are larger.
            self._replicate[condition] = statistics.fmean(costs, counts)
            self._errors[condition] = spread(costs)
            self._fits[condition] = {
                name: statistics.fmean([lap.by_method[name] for lap in laps], counts)
                for name in laps[0].by_method
            }
        means, fits = list(self._replicate.values()), list(self._fits.values())
        self._usual = statistics.fmean(means)
        self._usual_error = float(np.std(means, ddof=1)) if len(means) > 1 else self._usual
        self.usual_fits = {name: statistics.fmean(of[name] for of in fits) for name in fits[0]}

    def fits(self, condition: Condition) -> Mapping[str, float]:
        """Return the seconds of a fit by each method."""
        return self._fits.get(condition, self.usual_fits)

    def replicate(self, condition: Condition, methods: Iterable[str]) -> float:
        """Return the seconds of a replicate by some methods, with simulation and storing."""
        whole, fits = self._replicate.get(condition, self._usual), self.fits(condition)
        left_out = sum(fits[name] for name in fits.keys() - set(methods))
        return max(whole - left_out, _LEAST * whole)

    def error(self, condition: Condition) -> float:
        """Return the standard error of the seconds of a replicate."""
        return self._errors.get(condition, self._usual_error)


def spread(costs: Sequence[float]) -> float:
    """Return the standard error of the mean of the costs that laps had; half of a single one."""
    if len(costs) < 2:
        return costs[0] / 2
    return statistics.stdev(costs) / math.sqrt(len(costs))


def forecast(
    pilot: Pilot, jobs: Sequence[Job], *, workers: int, fits_stored: int, check_seconds: float
) -> Forecast:
    """Return what the missing jobs will cost on so many workers.

    The tables will also have what is stored; `check_seconds` is what `run` takes before the jobs.
    """
    costs = Costs(pilot)
    cpu = sum(len(job) * costs.replicate(job.condition, job.methods) for job in jobs)
    cpu += pilot.job_seconds * max(len(jobs), cpu / JOB_SECONDS)
    errors = defaultdict[Condition, float](float)
    for job in jobs:
        errors[job.condition] += len(job) * costs.error(job.condition)
    own = math.sqrt(sum(error**2 for error in errors.values())) / cpu if cpu else 0.0
    fits = sum(len(job) * len(job.methods) for job in jobs)
    per_fit, fixed = pilot.table_bytes
    table_seconds = pilot.table_seconds * (fits + fits_stored) / pilot.large[0]
    longest = max((costs.replicate(job.condition, job.methods) for job in jobs), default=0.0)
    wall = check_seconds + max(pilot.start, 0) + max(cpu / workers, longest) + table_seconds
    relative = math.hypot(own, MACHINE)
    most = max((len(job) * len(job.methods) for job in jobs), default=0)
    columns = pilot.performance.groupby(["method", "estimand", "interval"], dropna=False).ngroups
    unit = 1 if sys.platform == "darwin" else 1024  # bytes, of ru_maxrss
    here = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    rows = most * _ROW_BYTES * columns / len(costs.usual_fits)
    return Forecast(
        wall=Range.around(wall, relative),
        cpu=Range.around(cpu, relative),
        parts=Range.around(pilot.part_bytes(jobs), _DISK),
        tables=Range.around(fixed + per_fit * (fits + fits_stored), _DISK),
        memory=Range.around(here + rows + workers * pilot.memory, _MEMORY),
    )


def method_costs(pilot: Pilot, jobs: Sequence[Job]) -> pd.DataFrame:
    """Return seconds a fit and in all by method, over the jobs; the most expensive first."""
    costs = Costs(pilot)
    fits, seconds = Counter[str](), defaultdict[str, float](float)
    for job in jobs:
        for name in job.methods:
            fits[name] += len(job)
            seconds[name] += len(job) * costs.fits(job.condition)[name]
    lines = [(name, fits[name], seconds[name] / fits[name], seconds[name]) for name in fits]
    frame = pd.DataFrame(lines, columns=["method", "fits", "seconds_each", "seconds"])
    return frame.sort_values("seconds", ascending=False, ignore_index=True)


def unit_errors(performance: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of a pilot with `unit`, the error of a measure over one replicate.

    An error falls with the root of the number of replicates. A share is drawn towards 1/2, as
    (x + 2) / (n + 4) (Agresti & Coull 1998, The American Statistician 52:119): a pilot that saw no
    miss has not shown that there is none.
    """
    cells = performance[(performance["used"] >= 1) & performance["value"].notna()].copy()
    used = cells["used"].to_numpy(dtype=float)
    value = cells["value"].to_numpy(dtype=float)
    p = (np.clip(value, 0, 1) * used + 2) / (used + 4)
    unit = cells["mcse"].to_numpy(dtype=float, na_value=np.nan) * np.sqrt(used)
    cells["unit"] = np.where(shares(cells), np.sqrt(p * (1 - p)), unit)
    cells["unit"] /= np.sqrt(used / cells["replicates"].to_numpy(dtype=float))
    known: pd.DataFrame = cells[np.isfinite(cells["unit"].to_numpy())]
    return known


def expected_errors(units: pd.DataFrame, replicates: int | pd.Series) -> pd.DataFrame:
    """Return the error of every cell after so many replicates, its own number: column `mcse`."""
    return units.assign(mcse=units["unit"] / np.sqrt(replicates))


def needed(units: pd.DataFrame, targets: Mapping[str, float]) -> pd.DataFrame:
    """Return the cells that have a target, with how many replicates they need for it."""
    cells = units[units["measure"].isin(list(targets))].copy()
    cells["target"] = cells["measure"].map(dict(targets)).astype(float)
    ratio = (cells["unit"] / cells["target"]).to_numpy(dtype=float)
    cells["needed"] = np.maximum(np.ceil(ratio**2), 1).astype("int64")
    return cells


def worst(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return for each measure the cell with the largest `column`."""
    order = cells.sort_values(column, ascending=False, kind="stable")
    firsts = order.drop_duplicates("measure")
    return firsts.loc[sorted(firsts.index)]


def largest_errors(expected: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Return each measure, its largest error and the median one, and in words where it is largest.

    Shares of statuses and warnings are left out.
    """
    shown = expected[~expected["measure"].str.match("share_|warned$")]
    medians = shown.groupby("measure")["mcse"].median()
    lines = []
    for _, cell in worst(shown, "mcse").iterrows():
        errors = f"{cell['mcse']:.2g}", f"{medians[cell['measure']]:.2g}"
        lines.append((str(cell["measure"]), *errors, cell_in_words(cell, shown)))
    return lines


def cell_in_words(cell: pd.Series, cells: pd.DataFrame) -> str:
    """Return in words what tells a row of `performance` from the others of `cells`."""
    factors = varying(cells, factor_columns(cells))
    words = [cell[name] for name in ("method", "estimand", "interval")]
    said = " ".join(word for word in words if isinstance(word, str))
    where = factors_in_words({name: cell[name] for name in factors})
    return f"{where}: {said}" if where else said


def planned_goals(study: Study, replicates: int, units: pd.DataFrame) -> dict[Condition, int]:
    """Return how many replicates each condition will get: more where precision asks for them."""
    goals = dict.fromkeys(study.conditions, replicates)
    if study.precision is None or study.max_replicates is None:
        return goals
    cells = needed(units, study.precision)
    most_of = cells["needed"].groupby(_where(cells, study.conditions.factors)).max().to_dict()
    usual = sum(most_of.values()) / len(most_of) if most_of else 0
    for condition in goals:
        # A condition that was not tried is taken to need what the others do on average.
        most = most_of.get(_in_words(condition), usual)
        steps = counts(replicates, max(study.max_replicates, replicates))
        goals[condition] = next((n for n in steps if n >= most), study.max_replicates)
    return goals


def goal_of_each(cells: pd.DataFrame, goals: Mapping[Condition, int]) -> pd.Series:
    """Return how many replicates the condition of each cell will get."""
    by_words = {_in_words(condition): goal for condition, goal in goals.items()}
    where = _where(cells, sorted(next(iter(goals)).factors))
    return where.map(by_words).astype(float)


def _where(cells: pd.DataFrame, factors: Sequence[str]) -> pd.Series:
    """Return the condition of each cell in words."""
    rows = zip(*(cells[name] for name in factors), strict=True)
    named = [factors_in_words(dict(zip(factors, row, strict=True))) for row in rows]
    return pd.Series(named or [""] * len(cells), index=cells.index, dtype=object)


def _in_words(condition: Condition) -> str:
    return factors_in_words(dict(sorted(condition.factors.items())))


def stops_in_words(study: Study, replicates: int) -> str:
    """Say when a condition stops where a precision decides; nothing where it does not."""
    if study.precision is None:
        return ""
    targets = ", ".join(f"{name} {target:g}" for name, target in study.precision.items())
    most = max(study.max_replicates or 0, replicates)
    return (
        f"a condition starts with {replicates} replicates and stops when its errors are small "
        f"enough ({targets}), or at {most}"
    )
