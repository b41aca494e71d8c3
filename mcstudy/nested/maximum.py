"""A solution to its likelihood at the maximum, and the degrees of freedom read off it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from mcstudy.arrays import Booleans, Floats
from mcstudy.method import Estimate
from mcstudy.nested.data import NestedData
from mcstudy.nested.likelihood import Evaluation, evaluate
from mcstudy.nested.optimizer import free_components, least_deviance, variances_cov
from mcstudy.nested.solution import Solution
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


def degrees_of_freedom(maximum: Maximum) -> Floats:
    """Return Satterthwaite's degrees of freedom of each fixed effect, shape (R, p).

    They are 2 v^2 / (d' A d), with v the effect's squared standard error, d its derivatives with
    respect to the variances, and A the covariance of the variances from the observed information,
    given those at zero: Giesbrecht & Burns (1985), Biometrics 41:477; Fai & Cornelius (1996),
    Journal of Statistical Computation and Simulation 54:363. Under REML they are the exact ones
    where the design is balanced and an effect's error rests on one mean square.
    """
    root = maximum.here.root @ maximum.sums.coefficients_back.swapaxes(1, 2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        size = np.sqrt((root**2).sum(axis=1, keepdims=True))
        unit = (root / size)[:, None]  # each effect over its standard error: v is 1
        slope = (unit * (maximum.here.among @ unit)).sum(axis=2)
        quadratic = (slope * (maximum.cov @ slope)).sum(axis=1)
        degrees: Floats = 2 / quadratic
    return np.where(quadratic > 0, degrees, np.nan)


def fixed_effect_estimates(
    names: tuple[str, ...], solution: Solution, degrees: Floats
) -> dict[str, Estimate]:
    """Return the fixed effects with degrees of freedom, and p-values of t tests of 0."""
    values, errors = solution.fixed_effects, solution.fixed_effects_std_errors
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * stdtr(degrees, -np.abs(values / errors))
    columns = zip(names, values.T, errors.T, degrees.T, p_values.T, strict=True)
    return {name: Estimate(x, error, df=df, p_value=p) for name, x, error, df, p in columns}
