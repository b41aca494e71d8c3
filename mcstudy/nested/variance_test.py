"""The likelihood-ratio test of a variance at zero, the edge of its range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from mcstudy.arrays import Floats
from mcstudy.nested.balanced import balanced_llf, levels_without
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.maximum import Maximum
from mcstudy.nested.optimizer import least_deviance
from mcstudy.nested.solution import COMPONENTS, Solution

TESTED = COMPONENTS[:2]
MIXTURE = "0.5 chi2(0) + 0.5 chi2(1)"


@dataclass(frozen=True)
class VarianceTest:
    """A likelihood-ratio test of the hypothesis that a variance is zero.

    Parameters
    ----------
    name : str
        ``group1_var`` or ``group2_var``; the other one is free under both hypotheses.
    statistic : float
        Twice the difference of log-likelihoods, restricted under REML: both models have the same
        fixed effects.
    p_value : float
        By the mixture; 1 for a statistic of 0.
    mixture : str
        The law of the statistic under the hypothesis, in words.
    """

    name: str
    statistic: float
    p_value: float
    mixture: str

    def __str__(self) -> str:
        return (
            f"likelihood-ratio test of {self.name} = 0: statistic {self.statistic:.6g}, p-value "
            f"{self.p_value:.4g}, by the law {self.mixture}"
        )


def mixture_p_value(statistic: Floats) -> Floats:
    """Return the p-values by the equal mixture of chi-squares with 0 and 1 degrees of freedom.

    Self & Liang (1987), Journal of the American Statistical Association 82:605, case 5; Stram & Lee
    (1994), Biometrics 50:1171. It is the law for many groups where the other variances are
    positive.
    """
    return np.where(statistic > 0, chdtrc(1, statistic) / 2, statistic + 1)  # NaN stays NaN


def variance_statistics(maximum: Maximum, name: str, *, reml: bool) -> Floats:
    """Return the test's statistics, shape (R,); NaN where the design cannot tell the variance."""
    component = COMPONENTS.index(name)
    best, free = maximum.variances, maximum.free.copy()
    free[:, component] = False
    start = best.copy()
    start[:, 1 - component] += best[:, component]  # what is left has to make up for it
    start[:, component] = 0.0
    without, _ = least_deviance(maximum.sums, start, free, reml=reml)
    return _known(without - maximum.here.value, np.where(maximum.told, best[:, component], np.nan))


def balanced_statistics(
    squares: MeanSquares, solution: Solution, name: str, *, reml: bool
) -> Floats:
    """Return the same of balanced data, from their mean squares."""
    component = COMPONENTS.index(name)
    without = balanced_llf(levels_without(component, squares, reml=reml), squares, reml=reml)
    return _known(2 * (solution.llf - without), solution.variances[:, component])


def _known(statistic: Floats, variance: Floats) -> Floats:
    """Return 0 where the variance is 0, whatever rounding says, and NaN where it is missing."""
    positive = np.where(variance > 0, np.maximum(statistic, 0), 0.0)
    return np.where(np.isnan(variance), np.nan, positive)
