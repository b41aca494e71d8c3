"""Profile limits of any nested data: one variance is held, the others follow it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mcstudy.nested.data import Floats
from mcstudy.nested.optimizer import free_components, least_deviance
from mcstudy.nested.roots import crossing
from mcstudy.nested.sufficient import Sums

Lanes = NDArray[np.intp]

_UNEXPLAINED = 2
_WIDEN = 60
_PRECISION = 1e-6
_AWAY, _FARTHEST = 2.2, 2.0


def profile_limits(
    sums: Sums, variances: Floats, std_errors: Floats, reach: float, *, reml: bool
) -> list[tuple[Floats, Floats]]:
    """Return for each variance where the deviance rises by `reach` squared.

    Parameters
    ----------
    sums : Sums
        The reduced data of R replicates.
    variances, std_errors : arrays of shape (R, 3)
        Of the fit.
    reach : float
        Root of the quantile of the deviance.
    reml : bool
        Whether the fit and its deviance are of the restricted likelihood, or of the full one.

    Returns
    -------
    list of (lower, upper)
        Arrays of shape (R,); a lower limit is 0 where the deviance at 0 is within reach, both are
        missing where the estimate is.
    """
    square = (sums.scale**2)[:, None]
    best, errors = variances / square, std_errors / square
    free = free_components(sums)
    start = np.where(np.isnan(best), free, best)
    least, _ = least_deviance(sums, start, free, reml=reml)
    found = []
    for component in range(3):
        held = _Held(sums, component, reach, free, start, least, reml=reml)
        lower, upper = held.limits(best[:, component], errors[:, component])
        found.append((lower * square[:, 0], upper * square[:, 0]))
    return found


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

    def limits(self, best: Floats, error: Floats) -> tuple[Floats, Floats]:
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
