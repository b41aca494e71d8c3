"""Profile likelihood intervals: where the deviance reaches the chi-square quantile of 1.

Balanced data need the mean squares only. With one variance fixed, one of the expected mean squares
is another plus a constant k, and the best value x of the lower one solves
n1 (x - S1) (x + k)^2 + n2 (x + k - S2) x^2 = 0, a cubic; the third is free, or pooled with them
where the order asks for it. Other data go through the engine, with the variance held.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from mcstudy.arrays import Floats
from mcstudy.nested.balanced import isotonic_levels, level_variances, weighted_group1
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.data import NestedBatch
from mcstudy.nested.optimizer import free_components, least_deviance
from mcstudy.nested.roots import crossing
from mcstudy.nested.solution import COMPONENTS, Limits, Pair, Solution
from mcstudy.nested.solve import reduced
from mcstudy.nested.sufficient import Sums

Lanes = NDArray[np.intp]

_Weights = tuple[float, float, float]

_UNEXPLAINED = 2  # its place in `COMPONENTS`
_WIDEN = 60  # doublings of a step: a limit that they do not reach is missing
_PRECISION = 1e-6  # relative to the limit: each further step of the search is a fit
_AWAY, _FARTHEST = 2.2, 2.0  # first step: a bit over 1.96 errors on the log scale, e^2 at most


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
    first, weight = weighted_group1(squares, reml=reml)
    stages = np.stack([squares.values[2], squares.values[1], first])
    weights = (squares.degrees[2], squares.degrees[1], weight)
    terms = [_term(w, s, x) for w, s, x in zip(weights, stages, levels.T[::-1], strict=True)]
    least = terms[0] + terms[1] + terms[2]
    reach = float(np.sqrt(chdtri(1, 1 - level)))
    b, r = squares.n_group2, squares.n_rep
    profiles = (_group1_deviance, _group2_deviance, _unexplained_deviance)
    limits = {}
    for i, (name, step) in enumerate(zip(COMPONENTS, (b * r, r, 1), strict=True)):

        def beyond(point: Floats, lanes: Lanes, i: int = i, step: int = step) -> Floats:
            rise = profiles[i](stages[:, lanes], weights, step * point) - least[lanes]
            return np.sqrt(np.maximum(rise, 0)) - reach

        limits[name] = _limits(beyond, values[:, i], levels[:, i] / step, reach)
    return limits


def _term(weight: float, square: Floats, expected: Floats) -> Floats:
    """Return a mean square's part of -2 log-likelihood; infinite at an expectation of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        term = weight * (np.log(expected) + square / expected)
    return np.where(expected > 0, term, np.inf)


def _pool(w1: float, s1: Floats, w2: float, s2: Floats) -> tuple[float, Floats]:
    return w1 + w2, (w1 * s1 + w2 * s2) / (w1 + w2)


def _group1_deviance(stages: Floats, weights: _Weights, k: Floats) -> Floats:
    """Profile with group 1's expectation k above group 2's."""
    (e, c, g), (we, wc, wg) = stages, weights

    def total(e: Floats, c: Floats, g: Floats, k: Floats, x: Floats) -> Floats:
        return _term(we, e, np.minimum(e, x)) + _term(wc, c, x) + _term(wg, g, x + k)

    x = _best_shifted(wc, c, wg, g, k)
    found = total(e, c, g, k, x)
    bound = x < e
    if bound.any():
        e, c, g, k = e[bound], c[bound], g[bound], k[bound]
        w, both = _pool(we, e, wc, c)
        pooled = _best_shifted(w, both, wg, g, k)
        apart = _best_shifted(wc, c, wg, g, k, lowest=e)
        found[bound] = np.fmin(total(e, c, g, k, pooled), total(e, c, g, k, apart))
    return found


def _group2_deviance(stages: Floats, weights: _Weights, k: Floats) -> Floats:
    """Profile with group 2's expectation k above the unexplained."""
    (e, c, g), (we, wc, wg) = stages, weights

    def total(e: Floats, c: Floats, g: Floats, k: Floats, x: Floats) -> Floats:
        return _term(we, e, x) + _term(wc, c, x + k) + _term(wg, g, np.maximum(g, x + k))

    x = _best_shifted(we, e, wc, c, k)
    found = total(e, c, g, k, x)
    bound = x + k > g
    if bound.any():
        e, c, g, k = e[bound], c[bound], g[bound], k[bound]
        w, both = _pool(wc, c, wg, g)
        pooled = _best_shifted(we, e, w, both, k)
        apart = _best_shifted(we, e, wc, c, k, highest=g - k)
        found[bound] = np.fmin(total(e, c, g, k, pooled), total(e, c, g, k, apart))
    return found


def _unexplained_deviance(stages: Floats, weights: _Weights, value: Floats) -> Floats:
    (e, c, g), (we, wc, wg) = stages, weights
    both = _pool(wc, c, wg, g)[1]
    middle, high = np.minimum(c, both), np.maximum(g, both)
    middle, high = np.maximum(middle, value), np.maximum(high, value)
    return _term(we, e, value) + _term(wc, c, middle) + _term(wg, g, high)


def _best_shifted(
    w1: float,
    s1: Floats,
    w2: float,
    s2: Floats,
    k: Floats,
    *,
    lowest: Floats | float = 0.0,
    highest: Floats | float = np.inf,
) -> Floats:
    """Return x > 0 with the least w1 (log x + s1/x) + w2 (log(x+k) + s2/(x+k)).

    Each root of the cubic by its trigonometric or hyperbolic form; the best within the range
    counts, polished by Newton. NaN where none is.
    """
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
    for root in _cubic_roots(*coefficients):
        value = _term(w1, p, root) + _term(w2, q, root + d)
        better = (value < least) & (root * scale >= lowest) & (root * scale <= highest)
        best, least = np.where(better, root, best), np.where(better, value, least)
    for _ in range(2):
        best = best - _newton_step(best, *coefficients)
    return best * scale


def _cubic_roots(a: Floats, b: Floats, c: Floats, d: Floats) -> list[Floats]:
    """Return the three real roots of a x^3 + b x^2 + c x + d; where there is one, it thrice."""
    shift = b / (3 * a)
    p = (c / a - 3 * shift**2) / 3
    q = (d / a - shift * c / a + 2 * shift**3) / 2
    discriminant = q**2 + p**3
    size = np.sqrt(np.maximum(-p, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.arccos(np.clip(np.where(size > 0, -q / size**3, 0.0), -1, 1)) / 3
    root = np.sqrt(np.maximum(discriminant, 0))
    single = np.cbrt(-q + root) + np.cbrt(-q - root)
    found = []
    for turn in range(3):
        real = np.where(discriminant > 0, single, 2 * size * np.cos(angle - 2 * np.pi * turn / 3))
        x = real - shift
        x = x - _newton_step(x, a, b, c, d)
        found.append(np.where(x > 0, x, np.nan))
    return found


def _newton_step(x: Floats, a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    slope = (3 * a * x + 2 * b) * x + c
    return (((a * x + b) * x + c) * x + d) / np.where(slope == 0, np.inf, slope)


def _limits(
    beyond: Callable[[Floats, Lanes], Floats], value: Floats, spread: Floats, reach: float
) -> Pair:
    """Return where `beyond`, the root of the deviance's rise less `reach`, is 0 about `value`."""
    every = np.arange(len(value))
    far, at_far = value + spread, np.full(len(value), np.nan)
    lanes = every
    for _ in range(_WIDEN):
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
    found = np.empty((2, 3, len(sums)))
    for component in range(3):
        held = _Held(sums, component, reach, free, start, least, reml=reml)
        found[:, component] = held.limits(best[:, component], errors[:, component])
    return found * square[:, 0]


class _Held:
    """How far the profile of one variance is above the reach.

    Each search starts where the last one of its replicate ended, so that it is short.
    """

    def __init__(
        self,
        sums: Sums,
        component: int,
        reach: float,
        free: NDArray[np.bool_],
        start: Floats,
        least: Floats,
        *,
        reml: bool,
    ) -> None:
        self._sums, self._component, self._reach = sums, component, reach
        self._free, self._start, self._latest = free.copy(), start, start.copy()
        self._free[:, component] = False
        self._least, self._reml = least, reml

    def __call__(self, values: Floats, lanes: Lanes) -> Floats:
        """Return the root of the deviance's rise, less the reach, for some of the replicates."""
        start = self._latest[lanes]
        start[:, self._component] = values
        least, self._latest[lanes] = least_deviance(
            self._sums.take(lanes), start, self._free[lanes], reml=self._reml
        )
        return np.sqrt(np.maximum(least - self._least[lanes], 0)) - self._reach

    def limits(self, best: Floats, error: Floats) -> Pair:
        """Return the limits on both sides of the estimate."""
        lanes = np.flatnonzero(np.isfinite(best) & np.isfinite(self._least))
        with np.errstate(divide="ignore", invalid="ignore"):
            width = np.minimum(_AWAY * error / best, _FARTHEST)
        factor = np.exp(np.where(np.isfinite(width), width, _FARTHEST))
        step = np.where(best > 0, best * (factor - 1), self._start.sum(axis=1))
        upper = self._beyond(best, lanes, lambda turn: best + 2.0**turn * step)
        if self._component == _UNEXPLAINED:
            return self._beyond(best, lanes, lambda turn: best / factor ** (turn + 1)), upper
        return self._above_zero(best, lanes), upper

    def _beyond(self, best: Floats, lanes: Lanes, far: Callable[[int], Floats]) -> Floats:
        """Return the limit on the side of ever farther points, `far` of 0, 1, 2 ..."""
        self._latest = self._start.copy()
        near = [best.copy(), np.full(len(best), -self._reach)]
        end = [best.copy(), np.full(len(best), np.nan)]
        for turn in range(_WIDEN):
            if not len(lanes):
                break
            end[0][lanes] = far(turn)[lanes]
            end[1][lanes] = self(end[0][lanes], lanes)
            lanes = lanes[end[1][lanes] <= 0]
            for kept, latest in zip(near, end, strict=True):
                kept[lanes] = latest[lanes]
        return crossing(self, (near[0], near[1]), (end[0], end[1]), _PRECISION)

    def _above_zero(self, best: Floats, lanes: Lanes) -> Floats:
        """Return the limit below the estimate, 0 where the rise at 0 does not reach as far."""
        self._latest = self._start.copy()
        limit, at_zero = np.full(len(best), np.nan), np.full(len(best), np.nan)
        limit[lanes] = 0.0
        inner = lanes[best[lanes] > 0]
        at_zero[inner] = self(np.zeros(len(inner)), inner)
        ends = (best, np.full(len(best), -self._reach)), (np.zeros(len(best)), at_zero)
        return np.where(at_zero > 0, crossing(self, *ends, _PRECISION), limit)
