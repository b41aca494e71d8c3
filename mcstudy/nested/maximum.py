"""A solution to its likelihood at the maximum, for what is read off it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcstudy.arrays import Booleans, Floats
from mcstudy.nested.data import NestedData
from mcstudy.nested.likelihood import Evaluation, evaluate
from mcstudy.nested.optimizer import free_components, least_deviance, variances_cov
from mcstudy.nested.solve import Working, as_batch, reduced
from mcstudy.nested.sufficient import Sums


@dataclass(frozen=True, eq=False)
class Maximum:
    """The likelihood of R replicates at fitted variances, in the units of the sums."""

    sums: Sums
    variances: Floats  # (R, 3): with some split of those that the design cannot tell apart
    free: Booleans  # (R, 3): which can be fitted together
    told: Booleans  # (R,): whether all three are known
    unit: Floats  # (R,): of the weights; the unexplained variance as asked for counts as often
    here: Evaluation
    cov: Floats  # (R, 3, 3): of the variances, given those at zero, whose rows are 0

    def __len__(self) -> int:
        return len(self.variances)


def maxima(parts: Sequence[Sums], variances: Floats, unit: Floats, *, reml: bool) -> list[Maximum]:
    """Return the maxima of sums that follow one another, given the variances of their solution."""
    found, begin = [], 0
    for sums in parts:
        some = slice(begin, begin + len(sums))
        given = variances[some] / (sums.scale**2)[:, None]
        begin += len(sums)
        free = free_components(sums)
        told = np.logical_and.reduce(np.isfinite(given), axis=1)
        point = np.where(np.isfinite(given), given, free)
        if not told.all():
            lanes = np.flatnonzero(~told)
            part = sums.take(lanes)
            point[lanes] = least_deviance(part, point[lanes], free[lanes], reml=reml)[1]
        with np.errstate(all="ignore"):  # of data without a maximum
            here = evaluate(sums, point, reml=reml)
        cov = variances_cov(here.observed, ~(free & (point > 0)))
        found.append(Maximum(sums, point, free, told, unit[some], here, cov))
    return found


def some_variances(data: NestedData, *, reml: bool) -> Floats:
    """Return variances of the greatest likelihood, shape (3,), where the design tells not all."""
    working = Working(as_batch(data))
    solution = working.solution(reml=reml)
    sums, unit = reduced(working.batch, working.cells), working.weight_unit
    [best] = maxima(sums, solution.variances, unit, reml=reml)
    scale = best.sums.scale[0] * (1.0 if working.scale is None else working.scale[0])
    found: Floats = best.variances[0] * np.array([1.0, 1.0, unit[0]]) * scale**2
    return found
