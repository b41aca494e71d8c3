"""The step of a search: the least of a quadratic model among variances of 0 or more."""

from __future__ import annotations

import numpy as np

from mcstudy.arrays import Booleans, Floats
from mcstudy.nested.likelihood import Evaluation

_SAFE = 0.05  # of Fisher's pivots: with smaller ones of its own Newton's step would go astray


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
