"""Sums of floating-point numbers without any rounding: the same whatever the order.

Every float64 is a whole number of units of ``2**-1074``, so a sum is a Python integer, and sums
are merged by addition. A product of two is the sum of two others, exactly (T. J. Dekker, "A
floating-point technique for extending the available precision", 1971), so powers are exact too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mcstudy.arrays import Floats

UNIT_EXPONENT = -1074
INFINITE = 1 << 2300
_MANTISSA_BITS = 53
_LOW_BITS = 26
_MOST_VALUES = 2**25
_SPLITTER = 2.0**27 + 1


class Pair(NamedTuple):
    """An array as the unevaluated sum of two, the second one small beside the first."""

    high: Floats
    low: Floats


def exact_sum(values: Floats) -> int:
    """Return the sum in units of ``2**-1074``; an infinite value counts as `INFINITE` of them."""
    if len(values) > _MOST_VALUES:
        return exact_sum(values[:_MOST_VALUES]) + exact_sum(values[_MOST_VALUES:])
    finite = np.isfinite(values)
    infinite = 0
    if not finite.all():
        infinite = int((values == np.inf).sum()) - int((values == -np.inf).sum())
        values = values[finite]
    return _finite_sum(values) + infinite * INFINITE if len(values) else infinite * INFINITE


def _finite_sum(values: Floats) -> int:
    """Add up the mantissas of each exponent, in halves that no float64 rounds; then shift."""
    mantissa, exponent = np.frexp(values)
    whole = (mantissa * 2.0**_MANTISSA_BITS).astype(np.int64)
    lowest = int(exponent.min())
    place = exponent - lowest
    high = np.bincount(place, weights=whole >> _LOW_BITS)
    low = np.bincount(place, weights=whole & (2**_LOW_BITS - 1))
    total = 0
    for shift in np.flatnonzero((high != 0) | (low != 0)).tolist():
        total += ((int(high[shift]) << _LOW_BITS) + int(low[shift])) << shift
    shift = lowest - _MANTISSA_BITS - UNIT_EXPONENT
    return total << shift if shift >= 0 else total >> -shift


def sum_of(terms: Iterable[Floats]) -> int:
    """Return the exact sum of arrays, whose sum element by element may need more than a float."""
    return sum(exact_sum(term) for term in terms)


def product(a: Floats, b: Floats) -> Pair:
    """Return the products, exact unless they leave the range of float64."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        high = a * b
        a_high, a_low = _halves(a)
        b_high, b_low = _halves(b)
        low = a_low * b_low - (((high - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return Pair(high, np.where(np.isfinite(low) & np.isfinite(high), low, 0.0))


def times(terms: Iterable[Floats], factor: Floats) -> list[Floats]:
    """Return the terms of a product; infinite only where its leading term is."""
    return [part for term in terms for part in product(term, factor)]


def square_of(pair: Pair) -> list[Floats]:
    """Return the terms of the square of a pair."""
    high, low = pair
    return [*product(high, high), *product(2 * high, low), *product(low, low)]


def _halves(a: Floats) -> tuple[Floats, Floats]:
    """Split into two floats of 26 bits each."""
    shifted = _SPLITTER * a
    high = shifted - (shifted - a)
    return high, a - high


class Dyadic(NamedTuple):
    """A number ``units * 2**(-1074 * degree)``: adds and multiplies without rounding."""

    units: int
    degree: int = 1

    def plus(self, other: Dyadic, times: int = 1) -> Dyadic:
        """Return this one plus some times the other."""
        degree = max(self.degree, other.degree)
        left, right = (d.units << -UNIT_EXPONENT * (degree - d.degree) for d in (self, other))
        return Dyadic(left + times * right, degree)

    def by(self, other: Dyadic | int) -> Dyadic:
        """Return the product."""
        if isinstance(other, int):
            return Dyadic(self.units * other, self.degree)
        return Dyadic(self.units * other.units, self.degree + other.degree)

    def over(self, divisor: int) -> float:
        """Return the quotient as the nearest float; infinite where none is near."""
        try:
            return self.units / (divisor << -UNIT_EXPONENT * self.degree)
        except OverflowError:
            return np.inf if self.units > 0 else -np.inf
