"""Profile likelihood intervals: where the deviance reaches the chi-square quantile of 1.

Balanced data need the mean squares only. With one variance fixed, one of the expected mean squares
is another plus a constant k, and the best value x of the lower one solves
n1 (x - S1) (x + k)^2 + n2 (x + k - S2) x^2 = 0, a cubic; the third is free, or pooled with them
where the order asks for it. Other data go through the engine, with the variance held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from mcstudy.arrays import Floats
from mcstudy.nested.balanced import isotonic_levels, level_variances, weighted_squares
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.data import NestedBatch
from mcstudy.nested.optimizer import free_components, least_deviance
from mcstudy.nested.roots import crossing, cubic_roots, newton_step
from mcstudy.nested.solution import COMPONENTS, Limits, Pair, Solution
from mcstudy.nested.solve import reduced
from mcstudy.nested.sufficient import Sums

Lanes: TypeAlias = NDArray[np.intp]
Beyond: TypeAlias = Callable[[Floats, Lanes], Floats]
"""The root of the deviance's rise at values of some replicates, less how far limits reach."""

_UNEXPLAINED = 2  # its place in `COMPONENTS`
WIDEN = 60  # doublings of a step: a limit that they do not reach is missing
_PRECISION = 1e-6  # relative to the limit: each further step of the search is a fit
AWAY, FARTHEST = 2.2, 2.0  # first step: a bit over 1.96 errors on the log scale, e^2 at most


def profile(batch: NestedBatch, solution: Solution, level: float, *, reml: bool) -> Limits:
    """Return the profile intervals of the variances of any data; lower limits may be 0.

    They are of the likelihood that the solution maximises, restricted or full.
    """
    reach = float(np.sqrt(chdtri(1, 1 - level)))
    parts, begin = [], 0
    for sums in reduced(batch):
        some = slice(begin, begin + len(sums))
        begin += len(sums)
        fitted = solution.variances[some], solution.std_errors[some]
        parts.append(_unbalanced_limits(sums, *fitted, reach, reml=reml))
    lower, upper = np.concatenate(parts, axis=2)
    return {name: (lower[i], upper[i]) for i, name in enumerate(COMPONENTS)}


def balanced_profile(squares: MeanSquares, level: float, *, reml: bool) -> Limits:
    """Return the profile intervals of balanced data; lower limits may be 0."""
    levels = isotonic_levels(squares, reml=reml)
    values = level_variances(levels, squares)
    lowest_first = weighted_squares(squares, reml=reml)[::-1]
    stages = np.stack([square for square, _ in lowest_first])
    weights = [weight for _, weight in lowest_first]
    least = _deviance(weights, stages, list(levels.T[::-1]))
    reach = float(np.sqrt(chdtri(1, 1 - level)))
    b, r = squares.n_group2, squares.n_rep
    limits = {}
    for i, (name, step) in enumerate(zip(COMPONENTS, (b * r, r, 1), strict=True)):

        def beyond(point: Floats, lanes: Lanes, i: int = i, step: int = step) -> Floats:
            held = _unexplained_held if i == _UNEXPLAINED else partial(_group_held, lower=1 - i)
            rise: Floats = held(weights, stages[:, lanes], step * point) - least[lanes]
            return np.sqrt(np.maximum(rise, 0)) - reach

        limits[name] = _limits(beyond, values[:, i], levels[:, i] / step, reach)
    return limits


def _term(weight: float, square: Floats, expected: Floats) -> Floats:
    """Return a mean square's part of -2 log-likelihood; infinite at an expectation of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        term = weight * (np.log(expected) + square / expected)
    return np.where(expected > 0, term, np.inf)


def _deviance(weights: Sequence[float], stages: Floats, levels: Sequence[Floats]) -> Floats:
    first, second, third = map(_term, weights, stages, levels)
    return first + second + third


def _group_held(weights: Sequence[float], stages: Floats, k: Floats, lower: int) -> Floats:
    """Profile with the expectation of stage `lower` + 1 held k above that of stage `lower`.

    The third stage, below or above these two, is free as long as the order allows it.
    """
    upper, free = lower + 1, 2 - 2 * lower

    def total(stages: Floats, k: Floats, x: Floats) -> Floats:
        levels = [x, x + k]
        if free:
            return _deviance(weights, stages, [*levels, np.maximum(stages[2], levels[1])])
        return _deviance(weights, stages, [np.minimum(stages[0], x), *levels])

    pair = weights[lower], weights[upper]
    x = _best_shifted(pair, stages[lower:][:2], k)
    found = total(stages, k, x)
    bound = x + k > stages[2] if free else x < stages[0]
    if bound.any():
        stages, k = stages[:, bound], k[bound]
        near, w = (upper if free else lower), list(weights)
        w[near] += w[free]
        both = stages.copy()
        both[near] = (weights[free] * stages[free] + weights[near] * stages[near]) / w[near]
        pooled = _best_shifted((w[lower], w[upper]), both[lower:][:2], k)
        lowest, highest = (0.0, stages[2] - k) if free else (stages[0], np.inf)
        apart = _best_shifted(pair, stages[lower:][:2], k, lowest=lowest, highest=highest)
        found[bound] = np.fmin(total(stages, k, pooled), total(stages, k, apart))
    return found


def _unexplained_held(weights: Sequence[float], stages: Floats, value: Floats) -> Floats:
    _, second, third = stages
    both = (weights[1] * second + weights[2] * third) / (weights[1] + weights[2])
    middle = np.maximum(np.minimum(second, both), value)
    return _deviance(weights, stages, [value, middle, np.maximum(np.maximum(third, both), value)])


def _best_shifted(
    weights: tuple[float, float],
    squares: Floats,
    k: Floats,
    *,
    lowest: Floats | float = 0.0,
    highest: Floats | float = np.inf,
) -> Floats:
    """Return x > 0 with the least w1 (log x + s1/x) + w2 (log(x+k) + s2/(x+k)).

    Each root of the cubic by its trigonometric or hyperbolic form; the best within the range
    counts, polished by Newton. NaN where none is.
    """
    (w1, w2), (s1, s2) = weights, squares
    scale = np.maximum(np.maximum(s1, s2), k)
    scale = np.where(scale > 0, scale, 1.0)
    p, q, d = s1 / scale, s2 / scale, k / scale
    coefficients = (
        np.full_like(p, w1 + w2),
        w1 * (2 * d - p) + w2 * (d - q),
        w1 * d * (d - 2 * p),
        -w1 * p * d**2,
    )
    best, least = np.full_like(p, np.nan), np.full_like(p, np.inf)
    for root in cubic_roots(*coefficients):
        value = _term(w1, p, root) + _term(w2, q, root + d)
        better = (value < least) & (root * scale >= lowest) & (root * scale <= highest)
        best, least = np.where(better, root, best), np.where(better, value, least)
    for _ in range(2):
        best = best - newton_step(best, *coefficients)
    found: Floats = best * scale
    return found


def _limits(beyond: Beyond, value: Floats, spread: Floats, reach: float) -> Pair:
    """Return where `beyond` is 0 about `value`."""
    every = np.arange(len(value))
    far, at_far = value + spread, np.full(len(value), np.nan)
    lanes = every
    for _ in range(WIDEN):
        at_far[lanes] = beyond(far[lanes], lanes)
        lanes = lanes[at_far[lanes] <= 0]
        if not len(lanes):
            break
        far[lanes] = value[lanes] + 2 * (far[lanes] - value[lanes])
    zero = np.zeros(len(value))
    at_zero = beyond(zero, every)
    best = (value, np.full(len(value), -reach))
    inside = crossing(beyond, (zero, at_zero), best)
    lower = np.where(at_zero <= 0, 0.0, inside)
    return lower, crossing(beyond, (far, at_far), best)


def _unbalanced_limits(
    sums: Sums, variances: Floats, std_errors: Floats, reach: float, *, reml: bool
) -> Floats:
    """Return the limits where the deviance rises by `reach` squared, shape (2, 3, R).

    A lower limit is 0 where the deviance at 0 is within reach; both are missing where the estimate
    is.
    """
    square = (sums.scale**2)[:, None]
    best, errors = variances / square, std_errors / square
    free = free_components(sums)
    start = np.where(np.isnan(best), free, best)
    least, _ = least_deviance(sums, start, free, reml=reml)

    def above_reach(component: int) -> Beyond:
        others, latest = free.copy(), start.copy()
        others[:, component] = False

        def beyond(values: Floats, lanes: Lanes) -> Floats:
            """Each search starts where the last one of its replicate ended, so that it is short."""
            held = latest[lanes]
            held[:, component] = values
            lowest, latest[lanes] = least_deviance(sums.take(lanes), held, others[lanes], reml=reml)
            rise: Floats = np.sqrt(np.maximum(lowest - least[lanes], 0)) - reach
            return rise

        return beyond

    found = np.empty((2, 3, len(sums)))
    for component, (value, error) in enumerate(zip(best.T, errors.T, strict=True)):
        lanes = np.flatnonzero(np.isfinite(value) & np.isfinite(least))
        with np.errstate(divide="ignore", invalid="ignore"):
            width = np.minimum(AWAY * error / value, FARTHEST)
        factor = np.exp(np.where(np.isfinite(width), width, FARTHEST))
        step = np.where(value > 0, value * (factor - 1), start.sum(axis=1))
        top = (value, np.full(len(value), -reach))
        steps = [value + 2.0**turn * step for turn in range(WIDEN)]
        found[1, component] = search_outwards(above_reach(component), top, lanes, steps)
        if component == _UNEXPLAINED:
            steps = [value / factor ** (turn + 1) for turn in range(WIDEN)]
            found[0, component] = search_outwards(above_reach(component), top, lanes, steps)
        else:
            found[0, component] = search_above_zero(above_reach(component), top, lanes)
    return found * square[:, 0]


def search_above_zero(beyond: Beyond, top: Pair, lanes: Lanes) -> Floats:
    """Return the limit below the estimate, 0 where the rise at 0 does not reach as far."""
    limit, at_zero = np.full(len(top[0]), np.nan), np.full(len(top[0]), np.nan)
    limit[lanes] = 0.0
    inner = lanes[top[0][lanes] > 0]
    at_zero[inner] = beyond(np.zeros(len(inner)), inner)
    inside = crossing(beyond, top, (np.zeros(len(limit)), at_zero), _PRECISION)
    return np.where(at_zero > 0, inside, limit)


def search_outwards(beyond: Beyond, top: Pair, lanes: Lanes, points: list[Floats]) -> Floats:
    """Return the limit on the side of ever farther points."""
    near = [part.copy() for part in top]
    end = [top[0].copy(), np.full(len(top[0]), np.nan)]
    for point in points:
        if not len(lanes):
            break
        end[0][lanes] = point[lanes]
        end[1][lanes] = beyond(end[0][lanes], lanes)
        lanes = lanes[end[1][lanes] <= 0]
        for kept, latest in zip(near, end, strict=True):
            kept[lanes] = latest[lanes]
    return crossing(beyond, (near[0], near[1]), (end[0], end[1]), _PRECISION)
