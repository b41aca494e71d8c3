"""How good is a fit of MixedLM: status and standard errors, from its numbers.

MixedLM works on the ratios T of the variances to the scale s, profiles s out, and calls a fit
converged by the optimiser's word. Here the status follows from the score and the information at
the point where it stopped, and the standard errors are brought to the natural scale:
Cov(variances, s) = J C J' + (2 s^2 / (n - p)) (T, 1)(T, 1)' with C = Cov(T), g = ds/dT and
J = [[s I + T g'], [g']], the delta method for variances T s(T) with the spread of s given T added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.regression.mixed_linear_model import MixedLMParams

from mcstudy.arrays import Floats
from mcstudy.method import Status
from mcstudy.nested.columns import columns_of_data
from mcstudy.nested.data import NestedData
from mcstudy.nested.solution import COMPONENTS

RISE = 0.01  # of the log-likelihood: a seventh of a standard error from the maximum
_NEAR_ZERO = 0.1  # standard errors of a ratio, within which it may count as zero
_FLOOR = 1e-9  # of a ratio: its slopes at 0 itself divide by 0
_STEP = 1e-4  # of a ratio: the difference errs by its square, 1e-8, and by as much from rounding
_SMALL = 1e-2  # a ratio below it may fall to 0, and half of it is a step
_FLAT = 1e-6  # of a curvature: below it the direction is the ridge's
_DEPENDENT = 1e-9  # relative: far above the roundings of sums over rows


def identifiable(data: NestedData) -> tuple[str, ...]:
    """Return which of the variances the rows and the fixed effects can tell, whatever y is.

    With the fixed effects projected out, the covariance of y is a sum of three matrices, each times
    its variance. A variance can be told if no combination of the matrices that has it vanishes.
    """
    gram = _gram(data)
    size = np.sqrt(np.diag(gram))
    seen = size > 0
    unit = np.where(seen, size, 1.0)
    scaled = np.where(np.outer(seen, seen), gram / np.outer(unit, unit), np.eye(3))
    values, vectors = np.linalg.eigh(scaled)
    idle = (vectors[:, values < _DEPENDENT] ** 2).sum(axis=1) > _DEPENDENT
    return tuple(np.array(COMPONENTS)[seen & ~idle].tolist())


def _gram(data: NestedData) -> Floats:
    """Return the inner products of the projected matrices P Z Z' P of the three variances."""
    design, rows = data.design, len(data.y)
    places = [*design.places, np.arange(rows)]
    columns = [np.ones(rows), *(columns_of_data(data).values[0] if data.covariates else ())]
    basis = np.stack([column for column in columns if column.any()], axis=1) / np.sqrt(rows)
    spread = [  # at each row the sums over the rows of its place
        np.stack([np.bincount(place, column)[place] for column in basis.T], axis=1)
        for place in places
    ]
    inner = [basis.T @ sums for sums in spread]
    sizes = [float(np.bincount(place)[place].sum()) for place in places]
    gram = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            projected = (inner[i] * inner[j]).sum() - 2 * (spread[i] * spread[j]).sum()
            gram[i, j] = sizes[max(i, j)] + projected
    empty = np.diag(gram) <= _DEPENDENT * np.array(sizes)
    gram[empty] = gram[:, empty] = 0
    return gram


def judge(result: Any) -> tuple[Status, str, Floats]:
    """Return the status, its reason in words, and the standard errors of the three variances.

    The result is of a model with one random intercept and one variance component. A ratio counts as
    zero if it is small beside its standard error and the likelihood rises towards zero. Without the
    zeros, the fit has converged if a Newton step raises the log-likelihood by less than `RISE`.
    """
    ratios = _ratios(result)
    if not np.isfinite([*ratios, result.scale]).all():
        return Status.NOT_FINITE, "a variance is not finite", np.full(3, np.nan)
    score, information, zero = _slopes(result, ratios)
    free = ~zero
    rise = float((-score * ratios)[zero].sum())
    if free.any():
        slope, within = score[free], information[np.ix_(free, free)]
        maximum = np.linalg.eigvalsh(within)[0] > 0
        rise += float(slope @ np.linalg.solve(within, slope)) / 2 if maximum else np.inf
    std_errors = _natural_std_errors(result, ratios, information, zero)
    if not rise < RISE:
        return Status.NOT_CONVERGED, "the likelihood can still rise", std_errors
    if zero.any():
        names = " and ".join(np.array(COMPONENTS[:2])[zero])
        return Status.BOUNDARY, f"zero: {names}", std_errors
    return Status.OK, "", std_errors


def can_rise(result: Any) -> bool:
    """Whether the likelihood can still rise where the design cannot tell all the variances.

    It is flat along a ridge then; a step in the logarithms of the ratios, across the ridge only.
    """
    ratios = _ratios(result)
    if not np.isfinite([*ratios, result.scale]).all():
        return True
    score, information, zero = _slopes(result, ratios)
    free = ~zero
    rise = -float((score * ratios)[zero].sum())
    values, vectors = np.linalg.eigh((np.outer(ratios, ratios) * information)[np.ix_(free, free)])
    along = (score * ratios)[free] @ vectors
    rise += float((along**2 / np.maximum(values, _FLAT)).sum()) / 2
    return not rise < RISE or bool((values < -_FLAT).any())


def _ratios(result: Any) -> Floats:
    return np.array([result.cov_re_unscaled[0, 0], result.vcomp[0] / result.scale])


def _slopes(result: Any, ratios: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return score and information of the ratios, and which of the ratios count as zero."""
    start = _params(result, np.maximum(ratios, _FLOOR))
    score = np.concatenate(result.model.score_full(start, calc_fe=False)[1:])
    hessian, n_fixed = result.model.hessian(start)[0], result.k_fe
    fixed, across = hessian[:n_fixed, :n_fixed], hessian[n_fixed:, :n_fixed]
    information = across @ np.linalg.solve(fixed, across.T) - hessian[n_fixed:, n_fixed:]
    curvature = np.maximum(np.diag(information), 0)
    zero = (score < 0) & (ratios**2 * curvature < _NEAR_ZERO**2) & (ratios * curvature < -score)
    return score, information, zero


def _natural_std_errors(
    result: Any, ratios: Floats, information: Floats, zero: NDArray[np.bool_]
) -> Floats:
    """Return the standard errors of the three variances; a zero one has none, the rest hold it."""
    missing = np.full(3, np.nan)
    free = np.flatnonzero(~zero)
    within = information[np.ix_(free, free)]
    if len(free) and np.linalg.eigvalsh(within)[0] <= 0:
        return missing
    covariance = np.linalg.inv(within)
    scale, rest = float(result.scale), result.model.n_totobs
    rest -= result.k_fe if result.reml else 0
    gradient = _scale_gradient(result, ratios, free)
    free_ratios = ratios[free]
    jacobian = np.vstack([scale * np.eye(len(free)) + np.outer(free_ratios, gradient), gradient])
    direction = np.append(free_ratios, 1.0)
    natural = jacobian @ covariance @ jacobian.T
    natural += 2 * scale**2 / rest * np.outer(direction, direction)
    missing[[*free, 2]] = np.sqrt(np.diag(natural))
    return missing


def _scale_gradient(result: Any, ratios: Floats, free: NDArray[np.intp]) -> Floats:
    """Return the derivative of the profiled scale by each free ratio, by central differences."""

    def scale(at: Floats) -> float:
        params, model = _params(result, at), result.model
        fixed, _ = model.get_fe_params(params.cov_re, params.vcomp)
        return float(model.get_scale(fixed, params.cov_re, params.vcomp))

    gradient = []
    for index in free:
        step = np.zeros(2)
        step[index] = ratios[index] * (_STEP if ratios[index] > _SMALL else 1 / 2)
        up, down = (scale(np.maximum(ratios + s, _FLOOR)) for s in (step, -step))
        gradient.append((up - down) / (2 * step[index]))
    return np.array(gradient)


def _params(result: Any, ratios: Floats) -> MixedLMParams:
    return MixedLMParams.from_components(
        fe_params=np.asarray(result.fe_params),
        cov_re=np.array([[ratios[0]]]),
        vcomp=np.array([ratios[1]]),
    )
