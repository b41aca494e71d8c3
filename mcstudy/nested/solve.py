"""Data to a solution: the closed form where it holds, scoring elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.nested.balanced import balanced_solution
from mcstudy.nested.cells import Cells, cells_of
from mcstudy.nested.data import NestedBatch, NestedData
from mcstudy.nested.optimizer import Held, maximise
from mcstudy.nested.solution import COMPONENTS, Solution
from mcstudy.nested.sufficient import Sums, sums_of, sums_with_covariates
from mcstudy.nested.units import Working

_MOST_SIZES = 256  # sizes of cells that a batch shares; with more, sums by size are mostly empty


def as_batch(data: NestedData) -> NestedBatch:
    """Return a batch of one data set."""
    return NestedBatch(data.y[None], data.design, covariates=data.covariates)


def solve(batch: NestedBatch, *, reml: bool = True) -> Solution:
    """Fit each data set of a batch; every covariate that it carries has a fixed effect."""
    working = Working(batch)
    return working.given(solve_working(working, reml=reml), reml=reml)


def solve_working(working: Working, *, reml: bool) -> Solution:
    """Fit a batch in its working units."""
    if not working.batch.covariates:
        return solve_cells(working.cells, reml=reml)
    sums = _sums(working.cells, working.batch)
    return Solution.joined([maximise(part, reml=reml) for part in sums])


def solve_cells(cells: Cells, *, reml: bool = True) -> Solution:
    """Fit cells, with the intercept as the only fixed effect."""
    if cells.balanced is not None:
        return balanced_solution(cells, reml=reml)
    return Solution.joined([maximise(sums, reml=reml) for sums in _sums(cells)])


def profile_llf(
    batch: NestedBatch, component: str, values: Floats, *, reml: bool = True
) -> Solution:
    """Maximise the likelihood over the other variances, one being given.

    Parameters
    ----------
    batch : NestedBatch
        R data sets.
    component : str
        ``"group1_var"``, ``"group2_var"`` or ``"unexplained_var"``.
    values : array of shape (R,)
        Where it is held; above 0 for the unexplained variance.
    reml : bool
        Restricted likelihood, or the full one.

    Returns
    -------
    Solution
        ``llf`` is the profile log-likelihood.
    """
    place, parts, begin = COMPONENTS.index(component), [], 0
    for sums in reduced(batch):
        held = Held(place, values[begin : begin + len(sums)])
        parts.append(maximise(sums, reml=reml, held=held))
        begin += len(sums)
    return Solution.joined(parts)


def reduced(batch: NestedBatch) -> list[Sums]:
    """Return the sums of a batch with all its covariates, in parts that follow one another."""
    return _sums(cells_of(batch), batch)


def _sums(cells: Cells, batch: NestedBatch | None = None) -> list[Sums]:
    """Reduce cells to sums: all together, or one by one where sizes are too many to share."""
    if len(cells.sizes) > _MOST_SIZES and len(cells.count) == len(cells):
        lanes = [_lane(cells, i) for i in range(len(cells))]
        return [
            _reduced(lane, None if batch is None else batch[i : i + 1])
            for i, lane in enumerate(lanes)
        ]
    return [_reduced(cells, batch)]


def _reduced(cells: Cells, batch: NestedBatch | None) -> Sums:
    if batch is None or not batch.covariates:
        return sums_of(cells)
    return sums_with_covariates(cells, batch, tuple(batch.covariates))


def _lane(cells: Cells, i: int) -> Cells:
    count = cells.count[i : i + 1]
    return replace(
        cells,
        count=count,
        mean=cells.mean[i : i + 1],
        within=cells.within[i : i + 1],
        reference=cells.reference[i : i + 1],
        sizes=np.unique(count[count > 0]),
    )
