"""Sums to variances: the maximum of the likelihood under non-negativity, by scoring.

The first step is Fisher's. Later ones are Newton's wherever the observed information is safely
positive, with the exact minimiser of the quadratic model among variances of 0 or more. A step that
does not lower -2 log-likelihood is shortened. All replicates go together, none sees another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Booleans, Floats, Integers
from mcstudy.nested.likelihood import Evaluation, evaluate
from mcstudy.nested.solution import Solution, std_errors_of
from mcstudy.nested.sufficient import Sums

_MOST = 60  # evaluations; a search that needs more has not converged
# The fall of -2 log-likelihood still expected where a search ends: of a fit, which is to be right
# in all digits; of a point of a profile; and where it falls no further, but for rounding.
_DONE, _NEAR, _STALLED = 1e-18, 1e-9, 1e-12
_SAFE = 0.05  # of Fisher's pivots: with smaller ones of its own Newton's step would go astray
_INFORMED = 1e-6  # of a variance, where a degree of freedom adds about 1
_LEAST = 1e-3  # of the unexplained variance stays after a step: at 0 there is no likelihood
_NOISE = 1e-11  # a row: -2 log-likelihoods that close are equal but for rounding
_IDLE = 0.3  # of the replicates finished: it pays to copy the others, and go on without these
_SINGULAR, _NOTHING = 1e-10, 1e-14  # relative to the squares: a dependent column, no variation left


def maximise(sums: Sums, *, reml: bool) -> Solution:
    """Fit the variances by the restricted likelihood, or by the full one."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        equal = evaluate(sums, np.ones((len(sums), 3)), reml=True)
        identified, free = _identified(equal)
        usable = equal.full_rank & np.isfinite(equal.value) & ~_unbounded(sums, reml=reml)
        known = equal if reml and free.all() else None
        start = _Search.starting(free.astype(np.float64), free, usable)
        found = _search(sums, start, known, reml=reml)
        return _in_units_of_the_data(sums, found, free, identified, reml=reml)


def free_components(sums: Sums) -> Booleans:
    """Return for each replicate a set of variances that can be fitted together, shape (R, 3)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        return _identified(evaluate(sums, np.ones((len(sums), 3)), reml=True))[1]


def least_deviance(
    sums: Sums, start: Floats, free: Booleans, *, reml: bool
) -> tuple[Floats, Floats]:
    """Return the least -2 log-likelihood over the free variances, and where it is.

    Variances are in the units of the sums, -2 log-likelihood is less the constants of `maximise`.
    The start should be near: the first step is Newton's.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        begin = _Search.starting(start, free, np.ones(len(start), dtype=bool))
        found = _search(sums, begin, None, reml=reml, near=True)
    return found.value, found.variances


@dataclass(frozen=True, eq=False)
class _Found:
    """Where the search ended, in the units of the sums."""

    variances: Floats
    value: Floats
    observed: Floats
    fixed: Floats
    root: Floats
    iterations: Integers
    converged: Booleans

    @classmethod
    def nothing(cls, lanes: int, p: int) -> _Found:
        """Return room for the results."""
        return cls(
            variances=np.full((lanes, 3), np.nan),
            value=np.full(lanes, np.nan),
            observed=np.full((lanes, 3, 3), np.nan),
            fixed=np.full((lanes, p), np.nan),
            root=np.full((lanes, p, p), np.nan),
            iterations=np.zeros(lanes, dtype=np.int64),
            converged=np.zeros(lanes, dtype=bool),
        )

    def record(self, now: _Search, here: Evaluation, ended: Booleans, iteration: int) -> None:
        """Write down the replicates that have ended."""
        lane, finished = now.lane[ended], now.finished[ended]
        last = np.where(finished[:, None], now.step[ended], 0)
        self.variances[lane] = np.maximum(now.point[ended] + last, 0)
        self.value[lane] = now.value[ended] - np.where(finished, now.fall[ended], 0)
        self.observed[lane] = here.observed[ended]
        self.fixed[lane] = here.fixed[ended]
        self.root[lane] = here.root[ended]
        self.iterations[lane] = iteration
        self.converged[lane] = finished


class _Search(NamedTuple):
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
    finished: Booleans

    @classmethod
    def starting(cls, point: Floats, free: Booleans, usable: Booleans) -> _Search:
        """Return the state in which any value found will be the best so far."""
        endless, lanes = np.full(len(point), np.inf), np.arange(len(point))
        still, whole = np.zeros_like(point), np.ones(len(point))
        return cls(lanes, free, point, endless, still, endless, whole, ~usable)

    @property
    def trial(self) -> Floats:
        """The point to evaluate next."""
        return np.maximum(self.point + self.length[:, None] * self.step, 0)

    def moved(self, here: Evaluation, n_rows: Floats, *, first: bool, enough: float) -> _Search:
        """Return where it stands once its trial point has been evaluated."""
        trial = self.trial
        better = here.value <= self.value + _NOISE * n_rows
        step, fall = best_step(here, trial, self.free, first=first)
        point = np.where(better[:, None], trial, self.point)
        step = np.where(better[:, None], step, self.step)
        still = (fall <= _STALLED) & (fall >= self.fall / 2)
        return self._replace(
            point=point,
            value=np.where(better, here.value, self.value),
            step=step,
            fall=np.where(better, fall, self.fall),
            length=np.where(better, _longest(point, step), self.length / 4),
            finished=self.finished | (better & ((fall <= enough) | still)),
        )

    def take(self, keep: NDArray[np.intp]) -> _Search:
        """Return some of the replicates."""
        return _Search._make(part[keep] for part in self)


def _search(
    sums: Sums, now: _Search, known: Evaluation | None, *, reml: bool, near: bool = False
) -> _Found:
    """Search until all replicates are finished; those that are make room for the others."""
    found, enough = _Found.nothing(len(sums), sums.n_fixed), _NEAR if near else _DONE
    for iteration in range(1, _MOST + 1):
        if now.finished.all():
            break
        if known is None and now.finished.mean() > _IDLE:
            keep = np.flatnonzero(~now.finished)
            sums, now = sums.take(keep), now.take(keep)
        here, known = known or evaluate(sums, now.trial, reml=reml), None
        before, first = now, iteration == 1 and not near
        now = now.moved(here, sums.n_rows, first=first, enough=enough)
        ended = ~before.finished & (now.finished | (iteration == _MOST))
        found.record(now, here, ended, iteration)
    return found


def _longest(point: Floats, step: Floats) -> Floats:
    """Return the share of a step that keeps the unexplained variance well above zero."""
    room, down = (1 - _LEAST) * point[:, 2], -step[:, 2]
    return np.where(down > room, room / np.where(down > room, down, 1.0), 1.0)


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
    deviance = found.value + used * np.log(2 * np.pi * square)
    if reml:
        diagonal = np.diagonal(sums.triangle, axis1=1, axis2=2)
        deviance = deviance + 2 * np.log(sums.spread).sum(axis=1)
        deviance = deviance + 2 * np.log(diagonal).sum(axis=1)
    estimated = free & (found.variances > 0) & identified
    covariance = masked_inverse(found.observed / 2, ~(free & (found.variances > 0)))
    covariance = np.where(
        estimated[:, :, None] & estimated[:, None, :],
        covariance * square[:, None, None] ** 2,
        np.nan,
    )
    fixed, fixed_cov = _fixed_effects(sums, found)
    return Solution(
        variances=np.where(identified, found.variances * square[:, None], np.nan),
        covariance=covariance,
        std_errors=std_errors_of(covariance),
        llf=-deviance / 2,
        fixed_effects=fixed,
        fixed_effects_cov=fixed_cov,
        iterations=found.iterations,
        identified=identified,
        converged=found.converged,
        fault=sums.fault,
    )


def _fixed_effects(sums: Sums, found: _Found) -> tuple[Floats, Floats]:
    """Bring the coefficients of the columns back to those of the covariates as given."""
    lanes, p = found.fixed.shape
    back = np.zeros((lanes, p, p))
    back[:, 0, 0] = 1
    if p > 1:
        apart = np.linalg.inv(sums.triangle)
        back[:, 1:, 1:] = apart / sums.spread[..., None]
        back[:, :1, 1:] = -(sums.centre / sums.spread)[:, None] @ apart
    back *= sums.scale[:, None, None]
    fixed = (back @ found.fixed[:, :, None])[..., 0]
    fixed[:, 0] += sums.reference
    root = found.root @ back.swapaxes(1, 2)
    return fixed, root.swapaxes(1, 2) @ root


def best_step(
    here: Evaluation, point: Floats, free: Booleans, *, first: bool
) -> tuple[Floats, Floats]:
    """Return the step to the quadratic model's minimum and how far it falls."""
    resting = ~free | ((point == 0) & (here.gradient >= 0))
    safe = _pivots(here.observed, resting) > _SAFE * _pivots(here.expected, resting)
    newton = np.logical_and.reduce(safe, axis=1) & (not first)
    curvature = np.where(newton[:, None, None], here.observed, here.expected)
    step, fall, feasible = _landing(here.gradient, curvature, point, resting, (False, False))
    lanes = np.flatnonzero(~feasible)
    if len(lanes):
        parts = (here.gradient[lanes], curvature[lanes], point[lanes], resting[lanes])
        best_step, best_fall = np.zeros((len(lanes), 3)), np.full(len(lanes), -np.inf)
        for zeros in ((True, False), (False, True), (True, True)):
            bent, fallen, possible = _landing(*parts, zeros)
            better = possible & (fallen > best_fall)
            best_step = np.where(better[:, None], bent, best_step)
            best_fall = np.where(better, fallen, best_fall)
        step[lanes], fall[lanes] = best_step, best_fall
    return step, np.maximum(fall, 0)


def _landing(
    gradient: Floats, curvature: Floats, point: Floats, resting: Booleans, zeros: tuple[bool, bool]
) -> tuple[Floats, Floats, Booleans]:
    """Minimise the quadratic model with some components sent to zero.

    Returns the step, how far the model falls, and whether no component falls below zero.
    """
    landed = np.array([*zeros, False]) & ~resting
    step = _constrained(gradient, curvature, resting, landed, -point)
    bent = (curvature @ step[:, :, None])[..., 0]
    fall = -(step * (gradient + bent / 2)).sum(axis=1)
    return step, fall, (point[:, 0] + step[:, 0] >= 0) & (point[:, 1] + step[:, 1] >= 0)


def _constrained(
    gradient: Floats, curvature: Floats, resting: Booleans, landed: Booleans, to_zero: Floats
) -> Floats:
    """Minimise the quadratic model with some components resting and some sent to zero."""
    given = np.where(landed, to_zero, 0.0)
    pull = gradient + (curvature @ given[:, :, None])[..., 0]
    return given - masked_solve(curvature, pull, resting | landed)


def masked_solve(matrix: Floats, right: Floats, masked: Booleans) -> Floats:
    """Solve positive definite 3 x 3 systems in the components not masked; 0 in the others."""
    h, b = _masked(matrix, masked), np.where(masked, 0.0, right)
    l10, l20 = h[:, 1, 0] / h[:, 0, 0], h[:, 2, 0] / h[:, 0, 0]
    d1 = h[:, 1, 1] - l10 * h[:, 1, 0]
    l21 = (h[:, 2, 1] - l20 * h[:, 1, 0]) / d1
    d2 = h[:, 2, 2] - l20 * h[:, 2, 0] - l21 * l21 * d1
    y1 = b[:, 1] - l10 * b[:, 0]
    x2 = (b[:, 2] - l20 * b[:, 0] - l21 * y1) / d2
    x1 = y1 / d1 - l21 * x2
    return np.stack([b[:, 0] / h[:, 0, 0] - l10 * x1 - l20 * x2, x1, x2], axis=1)


def masked_inverse(matrix: Floats, masked: Booleans) -> Floats:
    """Return the inverse in the components not masked; 0 in the others."""
    columns = [masked_solve(matrix, np.eye(3)[[j]], masked) for j in range(3)]
    return np.stack(columns, axis=2)


def _pivots(matrix: Floats, masked: Booleans) -> Floats:
    h = _masked(matrix, masked)
    first = h[:, 0, 0]
    second = h[:, 1, 1] - h[:, 1, 0] ** 2 / first
    cross = h[:, 2, 1] - h[:, 2, 0] * h[:, 1, 0] / first
    third = h[:, 2, 2] - h[:, 2, 0] ** 2 / first - cross**2 / second
    return np.stack([first, second, third], axis=1)


def _masked(matrix: Floats, masked: Booleans) -> Floats:
    either = masked[:, :, None] | masked[:, None, :]
    return np.where(either, np.eye(3), matrix)
