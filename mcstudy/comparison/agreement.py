"""Estimates of two runs to whether they can be of different data, at a known chance of error.

If the data of the two are independent, then under each condition every assignment of the estimates
of one run to the replicates of the other is as likely as any. Under such permutations

- a correlation r of ranks over n replicates has mean 0 and variance 1/(n - 1), so that the sum of
  r sqrt(n - 1) over C conditions, divided by sqrt(C), is a standard normal z, near enough;
- the number N of replicates in which both runs have the same value, one that occurs once under the
  condition in each, has E[binomial(N, t)] <= C^t / t!, and so P(N >= t) <= C^t / t!.

Both are had for each method and estimand, and their p-values multiplied by how many there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]

CHANCE = 1e-6
"""Of calling independent data the same: less often than anybody compares two runs."""
_MOST_TIED = 0.5  # of the replicates: beyond it the correlation is far from normal


@dataclass
class _Series:
    """What the estimates of one method and estimand add up to over the conditions."""

    ranked: int = 0
    z: float = 0.0
    largest_z: float = 0.0
    conditions: int = 0
    matches: int = 0
    most_matches: int = 0

    def p_values(self) -> tuple[float, float]:
        """Return that of the correlations and that of the equal values."""
        return self._of_z(self.z), self._of_matches(self.matches)

    def smallest(self) -> tuple[float, float]:
        """Return what the p-values would be were all replicates in order, or all equal."""
        return self._of_z(self.largest_z), self._of_matches(self.most_matches)

    def _of_z(self, z: float) -> float:
        return float(special.ndtr(-z / math.sqrt(self.ranked))) if self.ranked else 1.0

    def _of_matches(self, count: int) -> float:
        log = count * math.log(self.conditions or 1) - math.lgamma(count + 1)
        return math.exp(min(log, 0.0))


@dataclass
class Agreement:
    """Whether the estimates of two runs go together, condition by condition added."""

    _series: dict[tuple[str, str], _Series] = field(default_factory=dict)

    def add(self, of: tuple[str, str], values: Floats, others: Floats) -> None:
        """Add finite estimates of the same replicates.

        Parameters
        ----------
        of : (str, str)
            The method and the estimand.
        values, others : arrays of shape (R,)
            The estimates under one condition in the two runs.
        """
        series, n = self._series.setdefault(of, _Series()), len(values)
        if n == 0:
            return
        once, once_other = _occur_once(values), _occur_once(others)
        series.conditions += 1
        series.matches += int(((values == others) & once & once_other).sum())
        series.most_matches += min(int(once.sum()), int(once_other.sum()))
        if n > 2 and max(_largest_tie(values), _largest_tie(others)) <= _MOST_TIED * n:
            ranks, other_ranks = stats.rankdata(values), stats.rankdata(others)
            series.ranked += 1
            series.z += float(np.corrcoef(ranks, other_ranks)[0, 1]) * math.sqrt(n - 1)
            series.largest_z += math.sqrt(n - 1)

    @property
    def found(self) -> bool:
        """Whether they do: were the data independent this would have a chance below `CHANCE`."""
        return self._least([p for s in self._series.values() for p in s.p_values()]) < CHANCE

    @property
    def possible(self) -> bool:
        """Whether there are replicates enough to find it."""
        return self._least([p for s in self._series.values() for p in s.smallest()]) < CHANCE

    def _least(self, p: list[float]) -> float:
        return len(p) * min(p, default=1.0)


def _occur_once(values: Floats) -> NDArray[np.bool_]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    once: NDArray[np.bool_] = (count == 1)[place]
    return once


def _largest_tie(values: Floats) -> int:
    return int(np.unique(values, return_counts=True)[1].max())
