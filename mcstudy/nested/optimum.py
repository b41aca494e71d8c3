"""Sums to variances: the maximum of the likelihood under non-negativity, by scoring.

The first step is Fisher's. Later ones are Newton's wherever the observed information is safely
positive, with the exact minimiser of the quadratic model among variances of 0 or more. A step that
does not lower -2 log-likelihood is shortened. All replicates go together, none sees another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mcstudy.nested.data import Booleans, Floats
from mcstudy.nested.scoring import Evaluation, evaluate
from mcstudy.nested.solution import Solution
from mcstudy.nested.sums import Sums

_MOST = 60
_DONE, _STALLED = 1e-18, 1e-12
_INFORMED = 1e-6
_SAFE = 0.05
_LEAST = 1e-3
_SINGULAR, _NOTHING = 1e-10, 1e-14


class Held(NamedTuple):
    """A component, by its place, held at a value for each replicate, shape (R,)."""

    component: int
    values: Floats


def maximise(sums: Sums, *, reml: bool, held: Held | None = None) -> Solution:
    """Fit the variances.

    Parameters
    ----------
    sums : Sums
        The reduced data.
    reml : bool
        Restricted likelihood, or the full one.
    held : Held, optional
        A component that is not estimated but given; for profiles.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        begin: Evaluation | None = evaluate(sums, np.ones((len(sums), 3)), reml=True)
        identified, free = _identified(begin)
        start = free.astype(np.float64)
        if held is not None:
            free = free.copy()
            free[:, held.component] = False
            start[:, held.component] = held.values / sums.scale**2
        usable = begin.full_rank & np.isfinite(begin.value) & ~_unbounded(sums, reml=reml)
        if held is not None or not (reml and free.all()):
            begin = None
        found = _search(sums, start, free, usable, begin, reml=reml)
        return _in_units_of_the_data(sums, found, free, identified, reml=reml)


class _Found(NamedTuple):
    """Where the search ended, in the units of the sums."""

    variances: Floats
    value: Floats
    observed: Floats
    fixed: Floats
    root: Floats
    iterations: Floats
    converged: Booleans


def _search(
    sums: Sums,
    start: Floats,
    free: Booleans,
    usable: Booleans,
    begin: Evaluation | None,
    *,
    reml: bool,
) -> _Found:
    p = sums.n_fixed
    found = _Found(
        variances=np.full((len(sums), 3), np.nan),
        value=np.full(len(sums), np.nan),
        observed=np.full((len(sums), 3, 3), np.nan),
        fixed=np.full((len(sums), p), np.nan),
        root=np.full((len(sums), p, p), np.nan),
        iterations=np.zeros(len(sums)),
        converged=np.zeros(len(sums), dtype=bool),
    )
    lane, alive = np.arange(len(sums)), usable.copy()
    trial, point = start, start
    value, gain = np.full(len(sums), np.inf), np.full(len(sums), np.inf)
    step, length = np.zeros_like(start), np.ones(len(sums))
    for iteration in range(1, _MOST + 1):
        if not alive.any():
            break
        if alive.mean() < 0.7:
            keep = np.flatnonzero(alive)
            sums, lane, alive, free = sums.take(keep), lane[keep], alive[keep], free[keep]
            trial, point, value, gain = trial[keep], point[keep], value[keep], gain[keep]
            step, length = step[keep], length[keep]
            begin = begin and Evaluation(*(part[keep] for part in begin))
        here = begin or evaluate(sums, trial, reml=reml)
        begin = None
        better = here.value <= value + 1e-11 * sums.n_rows
        before = gain
        point = np.where(better[:, None], trial, point)
        value = np.where(better, here.value, value)
        new_step, new_gain = _best_step(here, trial, free, first=iteration == 1)
        step = np.where(better[:, None], new_step, step)
        gain = np.where(better, new_gain, gain)
        length = np.where(better, _longest(point, step), length / 4)
        finished = better & ((gain <= _DONE) | ((gain <= _STALLED) & (gain >= before / 2)))
        ended = alive & (finished | (iteration == _MOST))
        _record(
            found, lane, ended, here, point + np.where(finished[:, None], step, 0), value - gain
        )
        found.iterations[lane[ended]] = iteration
        found.converged[lane[ended]] = finished[ended]
        alive = alive & ~finished
        trial = np.maximum(point + length[:, None] * step, 0)
    return found


def _record(
    found: _Found,
    lane: Floats,
    ended: Booleans,
    here: Evaluation,
    variances: Floats,
    value: Floats,
) -> None:
    where = lane[ended]
    found.variances[where] = np.maximum(variances[ended], 0)
    found.value[where] = value[ended]
    found.observed[where] = here.observed[ended]
    found.fixed[where] = here.fixed[ended]
    found.root[where] = here.root[ended]


def _best_step(
    here: Evaluation, point: Floats, free: Booleans, *, first: bool
) -> tuple[Floats, Floats]:
    """Return the step to the quadratic model's minimum and how far it falls."""
    resting = ~free | ((point == 0) & (here.gradient >= 0))
    safe = _pivots(here.observed, resting) > _SAFE * _pivots(here.expected, resting)
    newton = safe.all(axis=1) & (not first)
    curvature = np.where(newton[:, None, None], here.observed, here.expected)
    best_step, best_fall = np.zeros_like(point), np.full(len(point), -np.inf)
    for landing in ([False, False], [True, False], [False, True], [True, True]):
        landed = np.array([*landing, False]) & ~resting
        step = _constrained(here.gradient, curvature, resting, landed, -point)
        bent = (curvature @ step[:, :, None])[..., 0]
        fall = -(step * (here.gradient + bent / 2)).sum(axis=1)
        feasible = ((point + step)[:, :2] >= 0).all(axis=1)
        better = feasible & (fall > best_fall)
        best_step = np.where(better[:, None], step, best_step)
        best_fall = np.where(better, fall, best_fall)
    return best_step, np.maximum(best_fall, 0)


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
    identified = free.copy()
    for lane in np.flatnonzero(~free.all(axis=1) & np.isfinite(begin.expected).all(axis=(1, 2))):
        values, vectors = np.linalg.eigh(begin.expected[lane])
        idle = vectors[:, values < _INFORMED]
        identified[lane] = (idle**2).sum(axis=1) < _INFORMED
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
        deviance = deviance + 2 * np.log(sums.spread).sum(axis=1)
    estimated = free & (found.variances > 0) & identified
    covariance = _inverse(found.observed / 2, ~(free & (found.variances > 0)))
    covariance = np.where(
        estimated[:, :, None] & estimated[:, None, :],
        covariance * square[:, None, None] ** 2,
        np.nan,
    )
    fixed, fixed_cov = _fixed_effects(sums, found)
    return Solution(
        variances=np.where(identified, found.variances * square[:, None], np.nan),
        covariance=covariance,
        llf=-deviance / 2,
        fixed_effects=fixed,
        fixed_effects_cov=fixed_cov,
        iterations=found.iterations.astype(np.int64),
        identified=identified,
        converged=found.converged,
    )


def _inverse(matrix: Floats, masked: Booleans) -> Floats:
    columns = [masked_solve(matrix, np.eye(3)[[j]], masked) for j in range(3)]
    return np.stack(columns, axis=2)


def _fixed_effects(sums: Sums, found: _Found) -> tuple[Floats, Floats]:
    """Undo centring and scaling of the columns."""
    lanes, p = found.fixed.shape
    back = np.zeros((lanes, p, p))
    back[:, 0, 0] = 1
    if p > 1:
        back[:, np.arange(1, p), np.arange(1, p)] = 1 / sums.spread
        back[:, 0, 1:] = -sums.centre / sums.spread
    back *= sums.scale[:, None, None]
    fixed = (back @ found.fixed[:, :, None])[..., 0]
    fixed[:, 0] += sums.reference
    root = found.root @ back.swapaxes(1, 2)
    return fixed, root.swapaxes(1, 2) @ root
