"""Data to a solution: the closed form where it holds, scoring elsewhere."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from mcstudy.arrays import Booleans, Floats
from mcstudy.nested.balanced import balanced_solution
from mcstudy.nested.cells import Cells, MeanSquares, cells_of, mean_squares
from mcstudy.nested.data import NestedBatch, NestedData
from mcstudy.nested.optimizer import maximise
from mcstudy.nested.solution import COMPONENTS, Limits, Solution
from mcstudy.nested.sufficient import Sums, sums_of

_MOST_SIZES = 256  # sizes of cells that a batch shares; with more, sums by size are mostly empty
_LARGE = 2.0**200  # the fourth power of what is within, times a million rows, is a number


def as_batch(data: NestedData) -> NestedBatch:
    """Return a batch of one data set."""
    return NestedBatch(data.y[None], data.design, None, data.covariates, data.weights)


def solve(batch: NestedBatch, *, reml: bool = True) -> Solution:
    """Fit each data set of a batch; every covariate that it carries has a fixed effect."""
    working = Working(batch)
    return working.given(working.solution(reml=reml), reml=reml)


class Working:
    """A batch in units in which its squares are numbers: of y times 1e-170 they are 0 otherwise.

    `scale` has the units where they are not all 1: powers of 2, so that results in them and in the
    response's own differ by nothing else. `weight_unit` has those of the weights, where there are
    any, in which they are near 1. `batch` and `cells` are in these units.
    """

    def __init__(self, batch: NestedBatch) -> None:
        self.weight_unit = np.ones(len(batch))
        if batch.weights is not None:
            mean = np.exp(np.log(batch.weights).mean(axis=-1, keepdims=True))
            unit = np.ldexp(1.0, np.frexp(mean)[1] - 1)
            self.weight_unit *= unit[..., 0]
            batch = replace(batch, weights=batch.weights / unit)
        self.batch = batch
        self.scale: Floats | None = None
        with np.errstate(over="ignore", invalid="ignore"):
            self.cells = cells_of(batch)
            # Of which replicates the variation between and within cells cannot be squared twice.
            flat = self.cells.mean.reshape(len(batch), -1)
            size = np.maximum(flat.max(axis=1), -flat.min(axis=1))
            size = np.maximum(size, np.sqrt(self.cells.within))
            strange = ~((size > 1 / _LARGE) & (size < _LARGE))
        if strange.any():
            self._find_units(strange)

    @cached_property
    def squares(self) -> MeanSquares | None:
        """The mean squares where they are sufficient: in balanced data without covariates."""
        balanced = self.cells.balanced is not None and not self.batch.covariates
        return mean_squares(self.cells) if balanced else None

    def solution(self, *, reml: bool) -> Solution:
        """Fit the batch, in these units."""
        if self.squares is None:
            parts = reduced(self.batch, self.cells)
            return Solution.joined([maximise(part, reml=reml) for part in parts])
        grand = self.cells.mean.reshape(len(self.cells), -1).mean(axis=1)
        return balanced_solution(self.squares, self.cells.reference + grand, reml=reml)

    def given(self, solution: Solution, *, reml: bool) -> Solution:
        """Return a solution of this batch in the units of the response as it was given."""
        if self.batch.weights is not None:
            unit = np.column_stack([np.ones((len(self.batch), 2)), self.weight_unit])
            variances, errors = solution.variances * unit, solution.std_errors * unit
            solution = replace(solution, variances=variances, std_errors=errors)
        if self.scale is None:
            return solution
        kept, fixed = self.batch.kept, solution.fixed_effects.shape[1]
        rows = self.batch.y.shape[1] if kept is None else kept.sum(axis=1)
        used = rows - (fixed if reml else 0) * np.ones(len(self.scale))
        known = (self._fault != "") & solution.identified.all(axis=1)
        found = replace(solution, fault=np.where(known, self._fault, solution.fault))
        return found.times(self.scale, used)

    def given_limits(self, limits: Limits) -> Limits:
        """Return limits of variances in the units of the response as it was given."""
        if self.batch.weights is not None and (of := limits.get(COMPONENTS[2])) is not None:
            limits = {**limits, COMPONENTS[2]: (of[0] * self.weight_unit, of[1] * self.weight_unit)}
        if self.scale is None:
            return limits
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            square = self.scale**2
            return {name: (low * square, high * square) for name, (low, high) in limits.items()}

    def _find_units(self, strange: Booleans) -> None:
        scale = np.ones(len(self.batch))
        self._fault = np.full(len(scale), "", dtype="<U60")
        for lane in np.flatnonzero(strange):
            y = self.batch.y[lane]
            y = y if self.batch.kept is None else y[self.batch.kept[lane]]
            varies = float(np.ptp(y / 2)) if len(y) else 0.0
            if not np.isfinite(y).all():
                self._fault[lane] = "the response has missing or infinite values"
            elif varies == 0:
                self._fault[lane] = "the response is constant"
            else:
                scale[lane] = np.ldexp(1.0, np.frexp(varies)[1] - 1)
        self.scale = scale
        if (scale != 1).any():
            self.batch = replace(self.batch, y=self.batch.y / scale[:, None])
            with np.errstate(over="ignore", invalid="ignore"):
                self.cells = cells_of(self.batch)


def reduced(batch: NestedBatch, cells: Cells | None = None) -> list[Sums]:
    """Return the sums of a batch with all its covariates, in parts that follow one another.

    One part, or one for each data set where the sizes of cells are too many to share.
    """
    cells = cells_of(batch) if cells is None else cells
    if cells.weight is not None or len(cells.sizes) <= _MOST_SIZES or len(cells.count) < len(cells):
        return [sums_of(cells, batch)]
    return [sums_of(cells.of_one(i), batch[i : i + 1]) for i in range(len(cells))]
