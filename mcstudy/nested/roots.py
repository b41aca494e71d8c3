"""Where a function of one number per replicate crosses zero, for all replicates at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = 80
_PRECISION = 1e-11


def crossing(
    function: Callable[[Floats], Floats],
    low: Floats,
    high: Floats,
    precision: float = _PRECISION,
) -> Floats:
    """Return the root in each bracket, by the Illinois form of false position.

    Parameters
    ----------
    function : callable
        Takes and returns arrays of shape (R,); each element depends on its own alone. Finite.
    low, high : arrays of shape (R,)
        Brackets; where both ends have one sign, the end nearer to zero comes back.
    precision : float
        Of the root, relative.

    Notes
    -----
    A replicate that has converged is left alone, so that its root does not depend on the others.
    """
    a, b = low.astype(np.float64), high.astype(np.float64)
    fa, fb = function(a), function(b)
    done = ~(fa * fb < 0)
    least = precision / 10 * np.abs(high - low)
    b = np.where(done & (np.abs(fa) < np.abs(fb)), a, b)
    for step in range(_STEPS):
        if done.all():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = b - fb * (b - a) / (fb - fa)
        inside = (middle - a) * (middle - b) < 0
        middle = np.where(inside & (step % 8 < 7), middle, (a + b) / 2)
        value = function(np.where(done, b, middle))
        crossed = value * fb < 0
        moved = np.abs(middle - b)
        a = np.where(done | ~crossed, a, b)
        fa = np.where(done, fa, np.where(crossed, fb, fa / 2))
        b, fb = np.where(done, b, middle), np.where(done, fb, value)
        done |= (value == 0) | (np.minimum(moved, np.abs(b - a)) <= precision * np.abs(b) + least)
    return b
