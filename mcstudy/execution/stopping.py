"""How many replicates each condition is to have: the number asked for, or until it is enough."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mcstudy.analysis.performance import measured_rows
from mcstudy.analysis.precision import check_exist, existing, reached
from mcstudy.execution.scheduler import missing_jobs
from mcstudy.execution.shards import Shard
from mcstudy.grid import Condition
from mcstudy.simulation.replicates import Job
from mcstudy.storage.parts import DamagedError, Part
from mcstudy.storage.rows import StudyRows
from mcstudy.storage.study_record import StudyRecord

if TYPE_CHECKING:
    import pandas as pd


def counts(start: int, most: int) -> Iterator[int]:
    """Yield the numbers of replicates at which a condition is judged: 1, 1.5, 2, 3, 4, 6 ... times.

    They depend on nothing but `start`, so that the same rows stop at the same number however they
    came about.
    """
    for doubling in itertools.count():
        for factor in (2, 3):
            count = math.ceil(start * factor * 2**doubling / 2)
            if count >= most:
                yield most
                return
            yield count


class StoppingRule:
    """The number of replicates that each condition is to have by now, raised while it must be.

    `replicates` is what each condition starts with. Only `methods` are judged, and nothing by a
    share. What was asked for is kept up to date in the study's record. Whatever that is, `at_least`
    so many replicates there are to be, by condition and method.
    """

    def __init__(
        self,
        study_record: StudyRecord,
        methods: Sequence[str],
        replicates: int,
        share: Shard | None = None,
        at_least: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        study = study_record.study
        self._study_record = study_record
        self._methods = tuple(methods)
        self._replicates = replicates
        self._share = share
        self._at_least = at_least
        self._precision = None if share else study.precision
        most = max(study.max_replicates or 0, replicates)
        self._ahead = {c: counts(replicates, most) for c in study.conditions}
        self._goals = {c: next(ahead) for c, ahead in self._ahead.items()}
        self._raised: dict[str, int] = {}
        self._settled: set[Condition] = set()
        self._unseen = set(study.conditions)
        self._existing: set[str] = set()
        study_record.asked = {
            "replicates": replicates,
            "methods": list(self._methods),
            "goals": self._raised,
        }

    def missing(self, conditions: Iterable[Condition]) -> list[Job]:
        """Return the jobs that would bring these conditions to their goals, raised as need be."""
        jobs = [job for condition in conditions for job in self._missing(condition)]
        if self._share is None:
            return jobs
        return self._share.of_jobs(jobs, self._study_record.study.conditions, self._replicates)

    def raised(self, condition: Condition) -> list[Job]:
        """Return what a condition at its goal needs beyond it: nothing if it is enough."""
        return [] if self._precision is None else self.missing([condition])

    def _missing(self, condition: Condition) -> list[Job]:
        while True:
            stored = self._study_record.manifest.stored_of(condition)
            goal = self._goals[condition]
            here = {condition: stored}
            jobs = missing_jobs([condition], self._methods, goal, here, self._at_least)
            if jobs or self._precision is None or condition in self._settled:
                return jobs
            try:
                enough = self._enough(condition, stored, self._precision)
            except DamagedError as error:
                self._study_record.store.set_aside(error.path)
                continue
            further = None if enough else next(self._ahead[condition], None)
            if further is None:
                self._settled.add(condition)
                return []
            self._goals[condition] = self._raised[condition.key] = further

    def _enough(
        self, condition: Condition, stored: Sequence[Part], precision: Mapping[str, float]
    ) -> bool:
        """Judge a condition by exactly as many replicates as its goal, were there more."""
        study = self._study_record.study
        judged = StudyRows(
            {condition: [part for part in stored if part.method in self._methods]},
            {condition: self._study_record.truths[condition]},
            level=study.level,
            first=self._goals[condition],
        )
        performance = measured_rows(
            judged, measures=study.measures, null=study.null, alphas=study.alphas
        ).to_pandas()
        self._check_exist(condition, performance, precision)
        return bool(reached(performance, precision).fillna(True).all())

    def _check_exist(
        self, condition: Condition, performance: pd.DataFrame, precision: Mapping[str, float]
    ) -> None:
        """Raise StudyError if every condition was judged and a target exists under none of them."""
        self._existing |= existing(performance)
        self._unseen.discard(condition)
        if not self._unseen:
            check_exist(precision, self._existing, f"{self._study_record.study.name}: precision")
