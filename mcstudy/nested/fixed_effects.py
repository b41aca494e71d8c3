"""The degrees of freedom of fixed effects, and their tests."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from mcstudy.arrays import Floats
from mcstudy.method import Estimate
from mcstudy.nested.maximum import Maximum
from mcstudy.nested.solution import Solution


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
    found = {}
    columns = zip(
        names,
        solution.fixed_effects.T,
        solution.fixed_effects_std_errors.T,
        degrees.T,
        strict=True,
    )
    for name, value, error, df in columns:
        with np.errstate(divide="ignore", invalid="ignore"):
            p_value = 2 * stdtr(df, -np.abs(value / error))
        found[name] = Estimate(value, error, df=df, p_value=p_value)
    return found
