"""A solution to its likelihood at the maximum, for what is read off it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcstudy.arrays import Booleans, Floats
from mcstudy.nested.likelihood import Evaluation
from mcstudy.nested.optimizer import evaluate_at, free_components, least_deviance, variances_cov
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
        here = evaluate_at(sums, point, reml=reml)
        cov = variances_cov(here.observed, ~(free & (point > 0)))
        found.append(Maximum(sums, point, free, told, unit[some], here, cov))
    return found
