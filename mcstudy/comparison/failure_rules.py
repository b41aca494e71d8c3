"""Cells with their failures counted in three ways: available, common, worst."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.analysis.measure_set import measured
from mcstudy.analysis.measures import INTERVAL_MEASURES, Cell
from mcstudy.arrays import Booleans, Floats
from mcstudy.comparison.influence import by_replicate, contributions
from mcstudy.measure import Z
from mcstudy.method import Status

_NEAR_ZERO = ("bias", "relative_bias", "standardized_bias")
_SMALL = ("empirical_se", "mse", "rmse", "width")
FAILED = (Status.NOT_CONVERGED,)
"""What counts as failed beside fits without an estimate, where nothing else is said."""
NEAR_LEVEL = ("coverage", "coverage_of_all", "bias_eliminated_coverage")
RANKED = (*_NEAR_ZERO, *_SMALL, *NEAR_LEVEL)


@dataclass(frozen=True)
class RankingRule:
    """How methods are ranked: a score of the measure's value, the smaller the better."""

    measure: str
    level: float

    def score(self, value: float) -> float:
        """Return how far a value is from the best there is."""
        if self.measure in NEAR_LEVEL:
            return abs(value - self.level)
        return abs(value) if self.measure in _NEAR_ZERO else value

    def scored(self, fits: Fits, value: float) -> Scored:
        """Return the score that the measure's value gives to some fits, to be compared."""
        away = value - self.level if self.measure in NEAR_LEVEL else value
        slope = np.sign(away) if self.measure in (*NEAR_LEVEL, *_NEAR_ZERO) else 1.0
        moved = slope * contributions(self.measure, fits.cell)
        return Scored(self.score(value), moved, fits.replicate)

    def order(self, scored: Sequence[Scored]) -> NDArray[np.int64]:
        """Return which of each two methods is better by more than the error of their difference.

        -1 is that of the row, 1 that of the column, 0 neither; the error is paired by replicate.
        """
        made = np.zeros((len(scored), len(scored)), np.int64)
        moved = by_replicate([(one.moved, one.replicate) for one in scored])
        scores = np.array([one.score for one in scored])
        for i, one in enumerate(scored[:-1]):
            with np.errstate(over="ignore", invalid="ignore"):
                error = np.sqrt(((moved[i] - moved[i + 1 :]) ** 2).sum(axis=1))
                difference = one.score - scores[i + 1 :]
            if self.measure in NEAR_LEVEL:
                # Never below that of half a replicate, so that shares of 0 and 1 have one.
                error = np.maximum(error, 1 / (max(len(one.moved), 1) + 2))
            made[i, i + 1 :] = np.where(np.abs(difference) > Z * error, np.sign(difference), 0)
        return made - made.T


class Scored(NamedTuple):
    """How far a method is from the best, and what each replicate contributes to that."""

    score: float
    moved: Floats
    replicate: NDArray[np.int64]


@dataclass(frozen=True)
class Fits:
    """The fits of a method in a cell: their replicates, numbers, and which failed."""

    replicate: NDArray[np.int64]
    cell: Cell
    failed: Booleans

    def at(self, kept: Booleans) -> Fits:
        """Return some of the fits."""
        return Fits(self.replicate[kept], self.cell.at(kept), self.failed[kept])

    def farthest(self, measure: str) -> float:
        """Return the largest finite error, or for width the widest finite interval."""
        cell = self.cell
        with np.errstate(invalid="ignore"):
            sizes = np.abs(cell.estimate - cell.truth)
            if measure == "width":
                sizes = np.asarray(cell.upper) - np.asarray(cell.lower)
        return float(sizes[np.isfinite(sizes)].max(initial=0.0))

    def ways(self, measure: str, bound: float) -> Iterator[Cell]:
        """Yield the cell with its failed fits at each extreme."""
        cell, failed = self.cell, self.failed
        if measure in INTERVAL_MEASURES:
            ends = [(0.0, bound)] if measure == "width" else [(-np.inf, np.inf), (np.inf, np.inf)]
            for lower, upper in ends:
                given = cell.as_given and _with_limits(cell.as_given, failed, lower, upper)
                yield replace(_with_limits(cell, failed, lower, upper), as_given=given)
            return
        # Half to each side is worst for the spread of a method that has no bias.
        turns = np.where(np.cumsum(failed) % 2 == 1, 1.0, -1.0)
        for side in (1.0, -1.0, turns):
            yield replace(cell, estimate=np.where(failed, cell.truth + bound * side, cell.estimate))


def _with_limits(cell: Cell, where: Booleans, lower: float, upper: float) -> Cell:
    """Return a cell in which some intervals have other limits."""
    assert cell.lower is not None
    assert cell.upper is not None
    return replace(
        cell,
        lower=np.where(where, lower, cell.lower),
        upper=np.where(where, upper, cell.upper),
    )


def common(fits: Mapping[str, Fits], _: RankingRule) -> Mapping[str, Fits]:
    """Keep the replicates in which no method failed, of those that have an estimate at all."""
    if _nothing_failed(fits):
        return fits
    able = [of for of in fits.values() if np.isfinite(of.cell.estimate).any()] or fits.values()
    kept = functools.reduce(np.intersect1d, (of.replicate[~of.failed] for of in able))
    return {name: of.at(np.isin(of.replicate, kept)) for name, of in fits.items()}


def worst(fits: Mapping[str, Fits], judge: RankingRule) -> Mapping[str, Fits]:
    """Put the worst that the cell allows in the place of each failed fit."""
    if _nothing_failed(fits):
        return fits
    bound = max(of.farthest(judge.measure) for of in fits.values())

    def score(cell: Cell) -> float:
        return judge.score(measured(judge.measure, cell).value)

    return {
        name: replace(of, cell=max(of.ways(judge.measure, bound), key=score))
        if of.failed.any()
        else of
        for name, of in fits.items()
    }


def _nothing_failed(fits: Mapping[str, Fits]) -> bool:
    first = next(iter(fits.values())).replicate
    return not any(
        of.failed.any() or not np.array_equal(of.replicate, first) for of in fits.values()
    )


VIEWS: Mapping[str, Callable[[Mapping[str, Fits], RankingRule], Mapping[str, Fits]]] = {
    "available": lambda fits, _: fits,
    "common": common,
    "worst": worst,
}
