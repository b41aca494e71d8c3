"""Roots for all replicates at once: of a function of one number each, and of cubics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Floats

_STEPS = 80  # every eighth is a bisection, so that a bracket shrinks a thousandfold at least
_PRECISION = 1e-10  # relative: what tables show has six digits


def crossing(
    function: Callable[[Floats, NDArray[np.intp]], Floats],
    low: tuple[Floats, Floats],
    high: tuple[Floats, Floats],
    precision: float = _PRECISION,
) -> Floats:
    """Return the root in each bracket, and spend nothing on those that are found.

    The function takes points of shape (n,) and which replicates they belong to. `low` and `high`
    are the ends of the brackets and the function there; where both have one sign, or one is
    missing, NaN comes back. The precision is relative to the root, and to a hundredth of it to the
    bracket.

    False position by Anderson & Bjorck (1973), BIT 13:253, with a bisection now and then. Each
    root depends on its own bracket alone.
    """
    (a, fa), (b, fb) = ([part.copy() for part in end] for end in (low, high))
    found = np.where(fa == 0, a, np.where(fb == 0, b, np.nan))
    whole, lanes = np.abs(a - b), np.flatnonzero(fa * fb < 0)
    for step in range(_STEPS):
        if not len(lanes):
            break
        la, lfa, lb, lfb = a[lanes], fa[lanes], b[lanes], fb[lanes]
        with np.errstate(invalid="ignore"):
            middle = lb - lfb * (lb - la) / (lfb - lfa)
        inside = (middle - la) * (middle - lb) < 0
        middle = np.where(inside & (step % 8 < 7), middle, (la + lb) / 2)
        value = function(middle, lanes)
        crossed = value * lfb < 0
        with np.errstate(divide="ignore", invalid="ignore"):
            shrink = 1 - value / lfb
        shrink = np.where(shrink > 0, shrink, 0.5)
        a[lanes] = np.where(crossed, lb, la)
        fa[lanes] = np.where(crossed, lfb, lfa * shrink)
        b[lanes], fb[lanes] = middle, value
        moved = np.minimum(np.abs(middle - lb), np.abs(middle - a[lanes]))
        near = precision * (np.abs(middle) + whole[lanes] / 100)
        done = (value == 0) | (moved <= near) | np.isnan(value)
        found[lanes[done]] = np.where(np.isnan(value), np.nan, middle)[done]
        lanes = lanes[~done]
    found[lanes] = b[lanes]
    return found


def cubic_roots(a: Floats, b: Floats, c: Floats, d: Floats) -> list[Floats]:
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
        x = x - newton_step(x, a, b, c, d)
        found.append(np.where(x > 0, x, np.nan))
    return found


def newton_step(x: Floats, a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """Return the step of Newton's method towards the root of a x^3 + b x^2 + c x + d near x."""
    slope = (3 * a * x + 2 * b) * x + c
    return (((a * x + b) * x + c) * x + d) / np.where(slope == 0, np.inf, slope)
