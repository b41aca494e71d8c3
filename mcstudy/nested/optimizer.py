"""Sums to variances: the maximum of the likelihood under non-negativity, by scoring.

The first step is Fisher's. Later ones are Newton's wherever the observed information is safely
positive, with the exact minimiser of the quadratic model among variances of 0 or more. A step that
does not lower -2 log-likelihood is shortened. All replicates go together, none sees another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Booleans, Floats, Integers
from mcstudy.nested.likelihood import Evaluation, evaluate
from mcstudy.nested.solution import Solution
from mcstudy.nested.sufficient import Sums

_MOST = 60  # evaluations; a search that needs more has not converged
# The fall of -2 log-likelihood still expected where a search ends: of a fit, which is to be right
# in all digits; of a point of a profile; and where it falls no further, but for rounding.
_DONE, _NEAR, _STALLED = 1e-18, 1e-9, 1e-12
_SAFE = 0.05  # of Fisher's pivots: with smaller ones of its own Newton's step would go astray
_INFORMED = 1e-6  # of a variance, where a degree of freedom adds about 1
_LEAST = 1e-3  # of the unexplained variance stays after a step: at 0 there is no likelihood
_NOISE = 1e-11  # a row: -2 log-likelihoods that close are equal but for rounding
_SINGULAR, _NOTHING = 1e-10, 1e-14  # relative to the squares: a dependent column, no variation left
_QUIET: Any = {"divide": "ignore", "invalid": "ignore", "over": "ignore", "under": "ignore"}


def maximise(sums: Sums, *, reml: bool) -> Solution:
    """Fit the variances by the restricted likelihood, or by the full one."""
    with np.errstate(**_QUIET):
        equal = evaluate(sums, np.ones((len(sums), 3)), reml=True)
        identified, free = _identified(equal)
        usable = equal.full_rank & np.isfinite(equal.value) & ~_unbounded(sums, reml=reml)
        known = equal if reml and free.all() else None
        found = _search(sums, free.astype(np.float64), free, usable, reml=reml, known=known)
        return _in_units_of_the_data(sums, found, free, identified, reml=reml)


def free_components(sums: Sums) -> Booleans:
    """Return for each replicate a set of variances that can be fitted together, shape (R, 3)."""
    with np.errstate(**_QUIET):
        return _identified(evaluate(sums, np.ones((len(sums), 3)), reml=True))[1]


def least_deviance(
    sums: Sums, start: Floats, free: Booleans, *, reml: bool, shape: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the least -2 log-likelihood over the free variances, and where it is.

    Variances are in the units of the sums, -2 log-likelihood is less the constants of `maximise`.
    The start should be near: the first step is Newton's. With a `shape`, (R, 3, 3), it is the least
    over x where the variances are the shape times x; start, free and what comes back are of x.
    """
    with np.errstate(**_QUIET):
        every = np.ones(len(start), dtype=bool)
        found = _search(sums, start, free, every, reml=reml, near=True, shape=shape)
    return found.value, found.variances


def variances_cov(observed: Floats, resting: Booleans) -> Floats:
    """Return the covariance of the variances, (R, 3, 3), given those resting; 0 for these.

    `observed` has the second derivatives of -2 log-likelihood.
    """
    with np.errstate(**_QUIET):
        columns = [masked_solve(observed / 2, np.eye(3)[[j]], resting) for j in range(3)]
        return np.stack(columns, axis=2)


class _Found(NamedTuple):
    """Where the search ended, in the units of the sums."""

    variances: Floats
    value: Floats
    observed: Floats
    fixed: Floats
    root: Floats
    iterations: Integers
    converged: Booleans


class _Standing(NamedTuple):
    """Where each replicate stands: its best point and value, and the step from there.

    `fall` is how far the quadratic model falls over the whole step, `length` the share of it that
    is tried.
    """

    lane: NDArray[np.intp]
    free: Booleans
    point: Floats
    value: Floats
    step: Floats
    fall: Floats
    length: Floats

    def moved(self, here: Evaluation, trial: Floats, better: Booleans, *, first: bool) -> _Standing:
        """Return where it stands once its trial point has been evaluated."""
        step, fall = best_step(here, trial, self.free, first=first)
        point = np.where(better[:, None], trial, self.point)
        step = np.where(better[:, None], step, self.step)
        # No more of a step than keeps the unexplained variance well above zero.
        room, down = (1 - _LEAST) * point[:, 2], -step[:, 2]
        longest = np.where(down > room, room / np.where(down > room, down, 1.0), 1.0)
        return self._replace(
            point=point,
            value=np.where(better, here.value, self.value),
            step=step,
            fall=np.where(better, fall, self.fall),
            length=np.where(better, longest, self.length / 4),
        )


def _search(
    sums: Sums,
    point: Floats,
    free: Booleans,
    going: Booleans,
    *,
    reml: bool,
    known: Evaluation | None = None,
    near: bool = False,
    shape: Floats | None = None,
) -> _Found:
    """Search from a point, whose evaluation may be known, in the replicates that are `going`.

    Those that are done make room for the others.
    """
    count, p, enough = len(sums), sums.n_fixed, _NEAR if near else _DONE
    found = _Found(
        variances=np.full((count, 3), np.nan),
        value=np.full(count, np.nan),
        observed=np.full((count, 3, 3), np.nan),
        fixed=np.full((count, p), np.nan),
        root=np.full((count, p, p), np.nan),
        iterations=np.zeros(count, dtype=np.int64),
        converged=np.zeros(count, dtype=bool),
    )
    endless, still = np.full(count, np.inf), np.zeros_like(point)
    now = _Standing(np.arange(count), free, point, endless, still, endless, np.ones(count))
    for iteration in range(1, _MOST + 1):
        if not going.any():
            break
        if not going.all():
            keep = np.flatnonzero(going)
            sums, now = sums.take(keep), _Standing._make(part[keep] for part in now)
            known = known and Evaluation._make(part[keep] for part in known)
            shape = None if shape is None else shape[keep]
        trial = np.maximum(now.point + now.length[:, None] * now.step, 0)
        if shape is None:
            here, known = known or evaluate(sums, trial, reml=reml), None
        else:
            variances = (shape @ trial[:, :, None])[..., 0]
            here = evaluate(sums, variances, reml=reml).along(shape)
        better = here.value <= now.value + _NOISE * sums.n_rows
        before = now.fall
        now = now.moved(here, trial, better, first=iteration == 1 and not near)
        stalled = (now.fall <= _STALLED) & (now.fall >= before / 2)
        done = better & ((now.fall <= enough) | stalled)
        going = ~done & (iteration < _MOST)
        last = np.maximum(now.point + np.where(done[:, None], now.step, 0), 0)
        lowest = now.value - np.where(done, now.fall, 0)
        ends = (last, lowest, here.observed, here.fixed, here.root, iteration + 0 * now.lane, done)
        for array, end in zip(found, ends, strict=True):
            array[now.lane[~going]] = end[~going]
    return found


def _identified(begin: Evaluation) -> tuple[Booleans, Booleans]:
    """Return which variances the design can tell, and a set that can be fitted together.

    Each degree of freedom adds about 1 to the information at equal variances of 1.
    """
    order = np.array([2, 0, 1])
    information = begin.expected[:, order][:, :, order]
    free = np.zeros((len(information), 3), dtype=bool)
    for j, component in enumerate(order):
        known = masked_solve(information, information[:, j], ~free[:, order])
        left = information[:, j, j] - (known * information[:, j]).sum(axis=1)
        free[:, component] = left > _INFORMED
    finite = np.logical_and.reduce(np.isfinite(begin.expected), axis=(1, 2))
    identified: Booleans = np.logical_or(free, ~finite[:, None])
    for lane in np.flatnonzero(~free.all(axis=1) & finite):
        values, vectors = np.linalg.eigh(begin.expected[lane])
        idle = vectors[:, values < _INFORMED]
        identified[lane] = (idle**2).sum(axis=1) < _INFORMED
    identified &= begin.full_rank[:, None]
    return identified, free


def _unbounded(sums: Sums, *, reml: bool) -> Booleans:
    """Whether the fixed effects explain all variation within cells, so that no maximum exists."""
    within = sums.within
    response, spare = within[:, -1, -1], sums.n_rows - sums.n_cells
    if sums.n_fixed == 1:
        return (spare > 0) & (response <= _NOTHING**2)
    among, across = within[:, :-1, :-1], within[:, :-1, -1:]
    rank = np.linalg.matrix_rank(among, tol=_SINGULAR * sums.n_rows, hermitian=True)
    inverse = np.linalg.pinv(among, rcond=_SINGULAR, hermitian=True)
    left = response - (across.swapaxes(1, 2) @ inverse @ across)[:, 0, 0]
    return (spare > (rank if reml else 0)) & (left <= _NOTHING * response)


def _in_units_of_the_data(
    sums: Sums, found: _Found, free: Booleans, identified: Booleans, *, reml: bool
) -> Solution:
    square = sums.scale**2
    used = sums.n_rows - (sums.n_fixed if reml else 0)
    deviance = found.value + used * np.log(2 * np.pi * square) - sums.log_weight
    if reml:
        diagonal = np.diagonal(sums.triangle, axis1=1, axis2=2)
        deviance = deviance + 2 * np.log(sums.spread).sum(axis=1)
        deviance = deviance + 2 * np.log(diagonal).sum(axis=1)
    fitted = free & (found.variances > 0)
    covariance = variances_cov(found.observed, ~fitted)
    spread = np.diagonal(covariance, axis1=1, axis2=2) * square[:, None] ** 2
    back = sums.coefficients_back  # to those of the covariates as given
    fixed = (back @ found.fixed[:, :, None])[..., 0]
    fixed[:, 0] += sums.reference
    root = found.root @ back.swapaxes(1, 2)
    return Solution(
        variances=np.where(identified, found.variances * square[:, None], np.nan),
        std_errors=np.sqrt(np.where(fitted & identified & (spread > 0), spread, np.nan)),
        llf=-deviance / 2,
        fixed_effects=fixed,
        fixed_effects_cov=root.swapaxes(1, 2) @ root,
        iterations=found.iterations,
        identified=identified,
        converged=found.converged,
        fault=sums.fault,
    )


def best_step(
    here: Evaluation, point: Floats, free: Booleans, *, first: bool
) -> tuple[Floats, Floats]:
    """Return the step to the quadratic model's minimum and how far it falls."""
    resting = ~free | ((point == 0) & (here.gradient >= 0))
    pivots, safe = (_factors(h, resting)[0] for h in (here.observed, here.expected))
    sure = [own > _SAFE * other for own, other in zip(pivots, safe, strict=True)]
    newton = np.logical_and.reduce(sure) & (not first)
    curvature = np.where(newton[:, None, None], here.observed, here.expected)
    step, fall, feasible = _landing(here.gradient, curvature, point, resting, (False, False))
    lanes = np.flatnonzero(~feasible)
    if len(lanes):
        parts = (here.gradient[lanes], curvature[lanes], point[lanes], resting[lanes])
        best, best_fall = np.zeros((len(lanes), 3)), np.full(len(lanes), -np.inf)
        for zeros in ((True, False), (False, True), (True, True)):
            bent, fallen, possible = _landing(*parts, zeros)
            better = possible & (fallen > best_fall)
            best = np.where(better[:, None], bent, best)
            best_fall = np.where(better, fallen, best_fall)
        step[lanes], fall[lanes] = best, best_fall
    return step, np.maximum(fall, 0)


def _landing(
    gradient: Floats, curvature: Floats, point: Floats, resting: Booleans, zeros: tuple[bool, bool]
) -> tuple[Floats, Floats, Booleans]:
    """Minimise the quadratic model with some components resting and some sent to zero.

    Returns the step, how far the model falls, and whether no component falls below zero.
    """
    landed = np.array([*zeros, False]) & ~resting
    given = np.where(landed, -point, 0.0)
    pull = gradient + (curvature @ given[:, :, None])[..., 0]
    step = given - masked_solve(curvature, pull, resting | landed)
    bent = (curvature @ step[:, :, None])[..., 0]
    fall = -(step * (gradient + bent / 2)).sum(axis=1)
    return step, fall, (point[:, 0] + step[:, 0] >= 0) & (point[:, 1] + step[:, 1] >= 0)


def masked_solve(matrix: Floats, right: Floats, masked: Booleans) -> Floats:
    """Solve positive definite 3 x 3 systems in the components not masked; 0 in the others."""
    (d0, d1, d2), (l10, l20, l21) = _factors(matrix, masked)
    b = np.where(masked, 0.0, right)
    y1 = b[:, 1] - l10 * b[:, 0]
    x2 = (b[:, 2] - l20 * b[:, 0] - l21 * y1) / d2
    x1 = y1 / d1 - l21 * x2
    return np.stack([b[:, 0] / d0 - l10 * x1 - l20 * x2, x1, x2], axis=1)


def _factors(matrix: Floats, masked: Booleans) -> tuple[list[Floats], list[Floats]]:
    """Return D and the L of L D L' of a matrix with ones in place of what is masked."""
    h = np.where(masked[:, :, None] | masked[:, None, :], np.eye(3), matrix)
    d0 = h[:, 0, 0]
    l10, l20 = h[:, 1, 0] / d0, h[:, 2, 0] / d0
    d1 = h[:, 1, 1] - l10 * h[:, 1, 0]
    l21 = (h[:, 2, 1] - l20 * h[:, 1, 0]) / d1
    d2 = h[:, 2, 2] - l20 * h[:, 2, 0] - l21 * l21 * d1
    return [d0, d1, d2], [l10, l20, l21]
