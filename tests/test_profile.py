"""Profile and generalized intervals against brute force, small and disordered data included."""

import numpy as np
import pytest
from plain_likelihood import plain_likelihood
from scipy import integrate, optimize, stats

from mcstudy import nested
from mcstudy.nested import NestedBatch
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.intervals import Difference, generalized
from mcstudy.nested.optimizer import least_deviance
from mcstudy.nested.profile import balanced_profile, profile
from mcstudy.nested.roots import crossing
from mcstudy.nested.solve import reduced, solve

QUANTILE = stats.chi2.isf(0.05, 1)


def least_deviances(squares, degrees, steps, held):
    """Minimise -2 log-likelihood on a grid, with one level `steps` times `held` above the next.

    Returns the least with group 1's variance held, and with group 2's.
    """
    group1, group2, unexplained = (square[:, None] for square in squares)
    grid = np.exp(np.linspace(np.log(1e-3), np.log(1e3), 3001))[None]

    def total(first, second, third):
        pairs = zip(degrees, (group1, group2, unexplained), (first, second, third), strict=True)
        return sum(n * (np.log(x) + s / x) for n, s, x in pairs).min(axis=1)

    high = grid + steps[0] * held[:, None]
    yield total(high, grid, np.minimum(unexplained, grid))
    high = grid + steps[1] * held[:, None]
    yield total(np.maximum(group1, high), high, grid)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (20, 5, 5), (30, 2, 2), (3, 10, 2)])
def test_identity_limits_reach_the_quantile_by_brute_force(sizes):
    a, b, r = sizes
    rng = np.random.default_rng(sum(sizes))
    drawn = np.exp(rng.normal(0, 1.5, (3, 60)))
    degrees = (a - 1, a * (b - 1), a * b * (r - 1))
    squares = MeanSquares(tuple(drawn), degrees, b, r)
    limits = balanced_profile(squares, 0.95, reml=True)
    steps = (b * r, r)
    best = overall(drawn, degrees)
    for place, name in enumerate(("group1_var", "group2_var")):
        for side in (0, 1):
            held = limits[name][side]
            found = list(least_deviances(drawn, degrees, steps, held))[place]
            at_zero = list(least_deviances(drawn, degrees, steps, 0 * held))[place]
            inside = held > 0
            assert found[inside] - best[inside] == pytest.approx(QUANTILE, abs=0.01)
            assert (at_zero[~inside] - best[~inside] < QUANTILE + 0.01).all()


def overall(squares, degrees):
    """Return the least -2 log-likelihood under falling levels, pooling every way."""
    first, second, third = degrees
    one, two, three = squares
    both = (second * two + third * three) / (second + third)
    upper = (first * one + second * two) / (first + second)
    whole = (first * one + second * two + third * three) / sum(degrees)
    least = np.full(one.shape, np.inf)
    for levels in ((one, two, three), (one, both, both), (upper, upper, three), (whole,) * 3):
        falling = (levels[0] >= levels[1]) & (levels[1] >= levels[2])
        total = sum(
            n * (np.log(x) + s / x) for n, s, x in zip(degrees, squares, levels, strict=True)
        )
        least = np.where(falling, np.minimum(least, total), least)
    return least


@pytest.mark.parametrize(
    "extra", [{"dropped_rows": 0.3}, {"dropped_cells": 0.3}, {"row_slope": 1.0}]
)
@pytest.mark.parametrize("group1_sd", [0.3, 2.0])
def test_identity_limits_of_any_data_reach_the_quantile_of_the_engine(extra, group1_sd):
    sizes = {"n_group1": 12, "n_group2": 4, "n_rep": 4}
    sds = {"group1_sd": group1_sd, "group2_sd": 3.0, "unexplained_sd": 4.0}
    rngs = [np.random.default_rng(i) for i in range(30)]
    batch = nested.generate_nested.batch(rngs, **sizes, **sds, **extra)
    solution = solve(batch)
    [sums], units = reduced(batch), np.ones((30, 3))
    free = solution.identified
    best, _ = least_deviance(sums, units, free, reml=True)
    for place, pair in enumerate(profile(batch, solution, 0.95, reml=True).values()):
        for limit in pair:
            start, others = units.copy(), free.copy()
            start[:, place], others[:, place] = limit / sums.scale**2, False
            rise = least_deviance(sums, start, others, reml=True)[0] - best
            assert rise[limit > 0] == pytest.approx(QUANTILE, abs=1e-6)
            assert (rise[limit == 0] <= QUANTILE).all()


def plain_deviance(data, variances, reml):
    return -2 * plain_likelihood(data, variances, reml=reml, exog=tuple(data.covariates)).llf


def plain_profile(data, reml, place, held=None):
    """Return the least deviance, with one variance held or all free, by a general minimiser."""
    free = [i for i in range(3) if held is None or i != place]
    limits = [(0.0 if i < 2 else 1e-3, None) for i in free]

    def deviance(some):
        variances = np.full(3, held)
        variances[free] = some
        return plain_deviance(data, variances, reml)

    starts = ([4.0] * len(free), [0.1] * len(free), [0.0] * (len(free) - 1) + [6.0])
    options = {"ftol": 1e-13, "gtol": 1e-9}
    return min(optimize.minimize(deviance, x, bounds=limits, options=options).fun for x in starts)


@pytest.mark.slow
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("extra", [{}, {"dropped_rows": 0.2}, {"row_slope": 1.0}])
def test_identity_limits_belong_to_the_likelihood_of_the_fit(extra, reml):
    """Of both likelihoods written down plainly; the estimates stand where the profile is least."""
    sizes = {"n_group1": 5, "n_group2": 3, "n_rep": 3}
    for seed, group1_sd in ((1, 3.0), (2, 0.5)):
        sds = {"group1_sd": group1_sd, "group2_sd": 2.0, "unexplained_sd": 2.0}
        data = nested.generate_nested(np.random.default_rng(seed), **sizes, **sds, **extra)
        method = (nested.reml if reml else nested.ml).with_intervals("profile")
        estimates = method(data, np.random.default_rng(0)).estimates
        best = plain_deviance(data, np.array([e.value for e in estimates.values()]), reml)
        for place, estimate in enumerate(estimates.values()):
            assert best == pytest.approx(plain_profile(data, reml, place), abs=1e-5)
            lower, upper = estimate.intervals["profile"]
            assert lower <= estimate.value < upper
            for limit in (lower, upper):
                rise = plain_profile(data, reml, place, limit) - best
                if limit > 0:
                    assert rise == pytest.approx(QUANTILE, abs=1e-4)
                else:
                    assert rise <= QUANTILE + 1e-4


@pytest.mark.parametrize("sizes", [(6, 4, 3), (2, 2, 2), (1, 5, 4)])
@pytest.mark.parametrize("reml", [True, False])
def test_identity_closed_form_of_balanced_data_and_the_engine_agree(sizes, reml):
    names = ("n_group1", "n_group2", "n_rep")
    sds = {"group1_sd": 1.0, "group2_sd": 1.0, "unexplained_sd": 2.0}
    rngs = [np.random.default_rng(i) for i in range(30)]
    batch = nested.generate_nested.batch(rngs, **dict(zip(names, sizes, strict=True)), **sds)
    every = np.ones(batch.y.shape, dtype=bool)
    method = (nested.reml if reml else nested.ml).with_intervals("profile")
    closed = method.batch(batch, rngs)
    engine = method.batch(NestedBatch(batch.y, batch.design, every), rngs)
    for name, estimate in closed.estimates.items():
        for one, other in zip(
            estimate.intervals["profile"],
            engine.estimates[name].intervals["profile"],
            strict=True,
        ):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("degrees", [(1, 2), (5, 3), (19, 80), (80, 400)])
def test_identity_generalized_limits_are_quantiles_of_the_pivot(degrees):
    n1, n2 = degrees
    first, second = np.array([10.0, 2.0, 1.0]), np.array([0.5, 1.0, 1.0])
    lower, upper = generalized(Difference(1, first, n1, second, n2), 0.95)
    top = np.log(stats.chi2.isf(1e-14, n2))
    for i in range(3):

        def below(limit, i=i):
            def density(log):
                reach = limit + n2 * second[i] / np.exp(log)
                inside = stats.chi2.sf(n1 * first[i] / reach, n1)
                return inside * stats.chi2.pdf(np.exp(log), n2) * np.exp(log)

            return integrate.quad(density, -35, top, limit=400, points=[0, np.log(n2)])[0]

        for limit, tail in ((lower[i], 0.025), (upper[i], 0.975)):
            if limit > 0:
                assert below(limit) == pytest.approx(tail, abs=2e-5)
            else:
                assert below(0.0) >= tail - 2e-5


def test_identity_crossings_are_roots_and_each_its_own():
    root = np.geomspace(1e-8, 1e8, 33)

    def function(point, lanes):
        return (point / root[lanes]) ** 3 - 1

    def found(lanes):
        ends = (np.zeros(len(lanes)), -np.ones(len(lanes))), (root[lanes] * 7, np.full(33, 342.0))
        return crossing(lambda point, some: function(point, lanes[some]), ends[0], ends[1])

    lanes = np.arange(33)
    assert found(lanes) == pytest.approx(root, rel=1e-9)
    assert (found(lanes[::-1])[::-1] == found(lanes)).all()


def test_contract_a_bracket_without_a_root_or_with_a_missing_end_gives_nothing():
    ends = (np.array([0.0, 0.0]), np.array([1.0, np.nan])), (np.ones(2), np.ones(2))
    assert np.isnan(crossing(lambda point, _: point, *ends)).all()
