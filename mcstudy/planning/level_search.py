"""The levels of a factor that a search has run: which come next, and what was measured there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.query import matching
from mcstudy.analysis.select import Where, factor_columns, select, wheres
from mcstudy.arguments import is_number, short, suggestion
from mcstudy.columns import WORDS
from mcstudy.errors import ResultsError, StudyError
from mcstudy.execution.run import run
from mcstudy.grid import Condition, Grid
from mcstudy.measure import BUILT_IN, is_share, why_absent
from mcstudy.planning.level_curve import Curve, Point, Root
from mcstudy.study import Study
from mcstudy.tables.numbers import number_with_error

FIRST_LEVELS = 5
"""Levels over the whole range, to begin with."""
_APART = 0.08  # by how much a share at the two next levels differs from the target
_LEAST, _MOST_APART = 0.02, 0.3  # of the root, how far the next levels are from it
_WIDTHS = 1.0  # of the limits, how far the next levels are from the root at most
_LOG_FROM = 4.0  # times: a range as wide is looked at by the logarithm


@dataclass
class LevelSearch:
    """The levels that were run, and what was measured there."""

    study: Study
    factor: str
    others: dict[str, Any]
    measure: str
    target: float
    low: float
    high: float
    is_whole: bool
    chosen: dict[str, Any]
    results: str | Path
    jobs: int | None
    cell: str = ""
    counts: dict[float, int] = field(default_factory=dict)
    rows: dict[float, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        study: Study,
        factor: str,
        measure: str,
        target: float,
        between: tuple[float, float] | None,
        where: Where,
        results: str | Path,
        jobs: int | None,
    ) -> LevelSearch:
        """Check what is asked for."""
        if study.keep != "rows":
            raise StudyError("solve: keep='measures' keeps no rows, which it goes on from")
        if not isinstance(measure, str):
            raise StudyError(f"solve: measure is {short(measure)}; give the name of a measure")
        factors = study.conditions.factors
        if factor not in factors:
            raise StudyError(
                f"solve: no factor {factor!r}{suggestion(factor, factors)}; the factors are "
                f"{', '.join(factors) or '(none)'}"
            )
        if not is_number(target) or (is_share(measure) and not 0 < target < 1):
            kind = "a number between 0 and 1" if is_share(measure) else "a number"
            raise StudyError(f"solve: the target is {short(target)}; give {kind}")
        known = [condition.factors[factor] for condition in study.conditions]
        levels = [float(level) for level in known if isinstance(level, int | float)]
        if len(levels) < len(known):
            raise StudyError(f"solve: the levels of {factor} are no numbers; name another factor")
        ends = (min(levels), max(levels)) if between is None else between
        is_pair = isinstance(ends, tuple | list) and len(ends) == 2 and all(map(is_number, ends))
        if not (is_pair and ends[0] < ends[1]):
            raise StudyError(
                f"solve: between is {short(ends)}; give two levels of {factor}, the smaller one "
                "first"
            )
        chosen = wheres(where)
        levels_of = {name: chosen.pop(name) for name in [*chosen] if name not in WORDS}
        others = _other_factors(study, factor, levels_of)
        is_whole = all(isinstance(level, int) for level in known)
        low, high = map(float, ends)
        goal = (measure, float(target), low, high)
        return cls(study, factor, others, *goal, is_whole, chosen, results, jobs)

    def first_levels(self) -> list[float]:
        """Return levels over the whole range, evenly in the scale of the curve."""
        by_log = self.low > 0 and self.high / self.low >= _LOG_FROM
        spread = np.geomspace if by_log else np.linspace
        return self._levels(spread(self.low, self.high, FIRST_LEVELS).tolist())

    def next_levels(self, root: Root) -> list[float]:
        """Return the levels on both sides of the root that tell most of it."""
        # Drawn in as the limits narrow: so far apart as they are, a curve is no line.
        step = min(_MOST_APART * abs(root.level), _WIDTHS * (root.upper - root.lower))
        if is_share(self.measure) and root.slope:
            step = min(step, _APART / abs(root.slope))
        step = max(step, _LEAST * abs(root.level), 1.0 if self.is_whole else 0.0)
        return self._levels([root.level - step, root.level + step])

    def _levels(self, levels: Sequence[float]) -> list[float]:
        inside = [min(max(level, self.low), self.high) for level in levels]
        return sorted({float(round(level)) if self.is_whole else level for level in inside})

    def run(self, levels: Sequence[float], more: int) -> None:
        """Run so many more replicates at each level."""
        for level in levels:
            self.counts[level] = self.counts.get(level, 0) + more
        by_count: dict[int, list[float]] = {}
        for level in levels:
            by_count.setdefault(self.counts[level], []).append(level)
        for count, some in by_count.items():
            own = [int(level) if self.is_whole else float(level) for level in some]
            study = dataclasses.replace(
                self.study,
                name=f"{self.study.name}.solve",
                conditions=Grid(tuple(Condition({**self.others, self.factor: x}) for x in own)),
                precision=None,
                max_replicates=None,
                oracle=None,
                labels={},
            )
            made = run(study, self.results, replicates=count, jobs=self.jobs, quiet=True)
            self._add(made.performance)

    def _add(self, performance: pd.DataFrame) -> None:
        known = list(dict.fromkeys(performance["measure"]))
        if self.measure in BUILT_IN and self.measure not in known:
            raise ResultsError(
                f"solve: there is no {self.measure} at {self.factor}="
                f"{performance[self.factor].iloc[0]:g}: {why_absent(self.measure)}; see mcstudy "
                f"status {self.study.name}.solve if fits fail there"
            )
        if self.measure not in known:
            raise ResultsError(
                f"solve: no measure {self.measure!r}{suggestion(self.measure, known)}; there are "
                f"{', '.join(known)}"
            )
        rows = select(performance[performance["measure"] == self.measure], self.chosen)
        places = rows[["method", "estimand", "interval"]].drop_duplicates()
        if len(places) > 1:
            said = "; ".join(
                ", ".join(f"{n}={v}" for n, v in place.items() if isinstance(v, str))
                for place in places.to_dict("records")[:6]
            )
            raise ResultsError(f"solve: several numbers at each level: {said}; choose with where")
        (place,) = places.to_dict("records")
        factors = [name for name in factor_columns(rows) if name != self.factor]
        at: dict[Any, Any] = {n: self.others[n] for n in factors} | place
        self.cell = ", ".join(f"{n}={v}" for n, v in at.items() if not pd.isna(v))
        for row in rows.to_dict("records"):
            level = float(row[self.factor])
            # What is stored already counts, too.
            self.counts[level] = max(self.counts[level], int(row["replicates"]))
            self.rows[level] = {str(n): value for n, value in row.items()}

    @property
    def points(self) -> list[Point]:
        """What was measured, by rising level."""
        return [
            Point(level, float(row["value"]), float(row["mcse"]), int(row["used"]))
            for level, row in sorted(self.rows.items())
            if row["used"] > 0 and np.isfinite(row["value"])
        ]

    def root(self) -> Root | None:
        """Return the level that reaches the target by what was measured; None where none does."""
        return Curve(self.measure, self.target).root(self.points)

    @property
    def total(self) -> int:
        """All replicates so far."""
        return sum(self.counts.values())

    def not_reached(self) -> ResultsError:
        """Return the error that says that the target is not between what was measured."""
        ends = [self.rows[level] for level in (min(self.rows), max(self.rows))]
        said = " and ".join(
            f"{number_with_error(*(row[n] for n in ('value', 'mcse', 'lower', 'upper')))} at "
            f"{self.factor}={row[self.factor]:g}"
            for row in ends
        )
        return ResultsError(
            f"solve: {self.measure} is {said}, and {self.target:g} is not found between; give "
            "another range (between), or another target"
        )

    def frame(self) -> pd.DataFrame:
        """Return what was measured at each level."""
        names = ["value", "mcse", "lower", "upper", "used"]
        lines = [
            {"level": level, **{n: row[n] for n in names}}
            for level, row in sorted(self.rows.items())
        ]
        return pd.DataFrame(lines)


def _other_factors(study: Study, factor: str, wanted: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the levels of the other factors; StudyError unless there is one combination."""
    names = [name for name in study.conditions.factors if name != factor]
    if unknown := [name for name in wanted if name not in names]:
        raise StudyError(
            f"solve: where names {unknown[0]!r}{suggestion(unknown[0], names)}; the other factors "
            f"are {', '.join(names) or '(none)'}"
        )
    kept = []
    for condition in study.conditions:
        levels = {name: condition.factors[name] for name in names}
        if all(any(matching([levels[n]], one) for one in of) for n, of in wanted.items()):
            kept.append(levels)
    combinations = [dict(items) for items in dict.fromkeys(tuple(of.items()) for of in kept)]
    if len(combinations) != 1:
        moving = [n for n in names if len({of[n] for of in combinations}) > 1]
        said = (
            f"{', '.join(moving)} {'vary' if moving[1:] else 'varies'}; choose a level"
            if combinations
            else "none fits"
        )
        raise StudyError(f"solve: where leaves {len(combinations)} conditions: {said} with where")
    return combinations[0]
