"""A batch to units in which its squares are numbers: y times 1e-170 has variances of 0 otherwise.

The unit is a power of 2, so that results in it and in the response's own differ by nothing else.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcstudy.arrays import Booleans, Floats
from mcstudy.nested.cells import Cells, cells_of
from mcstudy.nested.data import NestedBatch
from mcstudy.nested.solution import Solution

# The fourth power of what is within, times a million rows, is a number.
_LARGE = 2.0**200


class Working:
    """A batch in units of its own, and its cells.

    Parameters
    ----------
    batch : NestedBatch
        R data sets.

    Attributes
    ----------
    batch : NestedBatch
        The response of each divided by `scale` where that is not 1.
    cells : Cells
        Those of this batch.
    scale : array of shape (R,), optional
        The units; 1 where the response varies by an ordinary amount, None where all do.
    """

    def __init__(self, batch: NestedBatch) -> None:
        self.batch = batch
        self.scale: Floats | None = None
        with np.errstate(over="ignore", invalid="ignore"):
            self.cells = cells_of(batch)
            strange = ~_ordinary(self.cells)
        if strange.any():
            self._find_units(strange)

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

    def given(self, solution: Solution, *, reml: bool) -> Solution:
        """Return a solution of this batch in the units of the response as it was given."""
        if self.scale is None:
            return solution
        kept, fixed = self.batch.kept, solution.fixed_effects.shape[1]
        rows = self.batch.y.shape[1] if kept is None else kept.sum(axis=1)
        used = rows - (fixed if reml else 0) * np.ones(len(self.scale))
        known = (self._fault != "") & solution.identified.all(axis=1)
        found = replace(solution, fault=np.where(known, self._fault, solution.fault))
        return found.times(self.scale, used)

    def limits(self, limits: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """Return limits of a variance in the units of the response as it was given."""
        if self.scale is None:
            return limits
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return limits[0] * self.scale**2, limits[1] * self.scale**2


def _ordinary(cells: Cells) -> Booleans:
    """Return of which replicates the variation between and within cells can be squared twice."""
    flat = cells.mean.reshape(len(cells), -1)
    size = np.maximum(np.maximum(flat.max(axis=1), -flat.min(axis=1)), np.sqrt(cells.within))
    ordinary: Booleans = (size > 1 / _LARGE) & (size < _LARGE)
    return ordinary
