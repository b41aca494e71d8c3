"""The likelihood of nested data written down plainly: build V, invert it. The engine's oracle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.nested.data import NestedData


class PlainLikelihood(NamedTuple):
    """Log-likelihood at given variances, with the fixed effects that maximise it."""

    llf: float
    fixed_effects: Floats
    fixed_effects_cov: Floats


def plain_likelihood(
    data: NestedData, variances: Floats, *, reml: bool = True, exog: tuple[str, ...] = ()
) -> PlainLikelihood:
    """Return the restricted or the full log-likelihood of two-level nested data.

    Parameters
    ----------
    data : NestedData
        N rows; the memory needed is N x N.
    variances : array of shape (3,)
        Of group 1, of group 2, unexplained.
    reml : bool
        Restricted likelihood, in the convention of statsmodels.
    exog : tuple of str
        Covariates with fixed effects, beside the intercept.
    """
    y, design = data.y, data.design
    x = np.column_stack([np.ones(len(y)), *(data.covariates[name] for name in exog)])
    same1 = np.equal.outer(design.group1, design.group1)
    same2 = same1 & np.equal.outer(design.group2, design.group2)
    weights = np.ones(len(y)) if data.weights is None else data.weights
    v = variances[0] * same1 + variances[1] * same2 + variances[2] * np.diag(1 / weights)
    information = x.T @ np.linalg.solve(v, x)
    fixed = np.linalg.solve(information, x.T @ np.linalg.solve(v, y))
    residual = y - x @ fixed
    deviance = np.linalg.slogdet(v)[1] + residual @ np.linalg.solve(v, residual)
    used = len(y)
    if reml:
        deviance += np.linalg.slogdet(information)[1]
        used -= x.shape[1]
    llf = -(deviance + used * np.log(2 * np.pi)) / 2
    return PlainLikelihood(float(llf), fixed, np.linalg.inv(information))
