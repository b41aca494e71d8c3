"""Sums without rounding, against fractions and math.fsum."""

import math
from fractions import Fraction

import numpy as np
import pytest

from mcstudy.storage import exact_sums
from mcstudy.storage.exact_sums import Dyadic, exact_sum, product, square_of, sum_of, times

UNIT = Fraction(1, 2**1074)


def wild(seed, size=2000):
    """Return numbers of every magnitude, subnormal ones and zeros among them."""
    rng = np.random.default_rng(seed)
    exponents = rng.integers(-1074, 1020, size)
    values = np.ldexp(rng.normal(size=size), exponents)
    values[:5] = [0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308]
    return values


@pytest.mark.parametrize("seed", range(5))
def test_identity_sum_of_every_magnitude(seed):
    values = wild(seed)
    assert exact_sum(values) * UNIT == sum(map(Fraction, values.tolist()))
    ordinary = np.random.default_rng(seed).standard_cauchy(5000)
    assert Dyadic(exact_sum(ordinary)).over(1) == math.fsum(ordinary.tolist())
    assert exact_sum(np.array([])) == 0
    assert exact_sum(np.array([-5e-324])) == -1


def test_identity_any_order_and_any_cut(monkeypatch):
    values = wild(1)
    whole = exact_sum(values)
    assert exact_sum(values[::-1]) == whole
    assert sum(exact_sum(piece) for piece in np.array_split(values, 17)) == whole
    monkeypatch.setattr(exact_sums, "_MOST_VALUES", 100)
    assert exact_sum(values) == whole


def test_identity_halves_of_mantissas_never_round():
    largest = np.full(2**20, 1.9999999999999998)
    assert exact_sum(largest) * UNIT == Fraction(1.9999999999999998) * 2**20
    assert exact_sums._MOST_VALUES * 2**27 <= 2**53


def test_identity_powers_are_exact():
    x = np.random.default_rng(2).standard_cauchy(500)
    y = np.random.default_rng(3).normal(size=500) * 1e-10
    powers = {
        "xx": (product(x, x), lambda a, b: a**2),
        "xxx": (times(product(x, x), x), lambda a, b: a**3),
        "xxxx": (square_of(product(x, x)), lambda a, b: a**4),
        "yyx": (times(product(y, y), x), lambda a, b: b**2 * a),
        "yyxx": (times(times(product(y, y), x), x), lambda a, b: b**2 * a**2),
    }
    for name, (terms, power) in powers.items():
        true = [
            power(Fraction(a), Fraction(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)
        ]
        assert sum_of(terms) * UNIT == sum(true), name


def test_contract_what_leaves_the_range_is_infinite():
    large = np.array([1e200, -1e200, 1.0])
    assert exact_sum(product(large, large).high) > exact_sums.INFINITE
    assert Dyadic(sum_of(product(large, large))).over(3) == math.inf
    assert Dyadic(exact_sum(np.array([-np.inf, 1.0]))).over(2) == -math.inf
    assert Dyadic(exact_sum(large)).over(3) == 1 / 3
    assert Dyadic(sum_of(square_of(product(large[:2], large[:2])))).over(1) == math.inf
    tiny = np.array([1e-200])
    assert Dyadic(sum_of(square_of(product(tiny, tiny)))).over(1) == 0.0


def test_identity_dyadic_arithmetic():
    a, b = Dyadic(exact_sum(np.array([1.5]))), Dyadic(exact_sum(np.array([0.1])))
    assert a.by(b).plus(a, -3).over(7) == float(
        (Fraction(1.5) * Fraction(0.1) - 3 * Fraction(1.5)) / 7
    )
    assert a.by(2).plus(b.by(b)).over(1) == float(3 + Fraction(0.1) ** 2)
