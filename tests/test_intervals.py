"""Intervals for the variances: against plain versions, against brute force, against theory."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from mcstudy import Status, nested
from mcstudy.nested.cells import cells_of, mean_squares
from mcstudy.nested.intervals import unweighted_mean_squares
from mcstudy.nested.reml import KINDS
from mcstudy.streams import streams

DESIGN = {"n_group1": 20, "n_group2": 5, "n_rep": 5}
SDS = {"group1_sd": 2.0, "group2_sd": 3.0, "unexplained_sd": 4.0}
EVERY = nested.reml.with_intervals(*KINDS)


def batch_of(count, seed=1, **factors):
    rngs = streams(seed, "condition", range(count))
    return nested.generate_nested.batch(rngs, **DESIGN | SDS | factors)


def limits(fit, kind, name, index):
    lower, upper = fit.estimates[name].intervals[kind]
    return lower[index], upper[index]


def method_rngs(count, start=0):
    return streams(1, "condition", range(start, start + count), "method")


def test_identity_the_formulas_against_plain_ones():
    batch = batch_of(40, group1_sd=1.0)
    fit = EVERY.batch(batch, method_rngs(40))
    squares = mean_squares(cells_of(batch))
    for i in range(40):
        s1, s2, s3 = (square[i] for square in squares.values)
        exact = (400 * s3 / stats.chi2.isf(0.025, 400), 400 * s3 / stats.chi2.isf(0.975, 400))
        assert limits(fit, "exact", "unexplained_var", i) == pytest.approx(exact, rel=1e-10)
        for name, c, (x, n1), (y, n2) in [
            ("group1_var", 1 / 25, (s1, 19), (s2, 80)),
            ("group2_var", 1 / 5, (s2, 80), (s3, 400)),
        ]:
            plain = plain_mls(c * x, n1, c * y, n2)
            assert limits(fit, "mls", name, i) == pytest.approx(plain, rel=1e-10, abs=1e-12)
            value, error = fit.estimates[name].value[i], fit.estimates[name].std_error[i]
            if value == 0:
                for kind in ("wald", "log", "satterthwaite"):
                    assert np.isnan(limits(fit, kind, name, i)).all()
                continue
            nu = 2 * value**2 / error**2
            with np.errstate(divide="ignore"):
                chi = nu * value / stats.chi2.isf([0.025, 0.975], nu)
            assert limits(fit, "satterthwaite", name, i) == pytest.approx(tuple(chi), rel=1e-8)
            z = stats.norm.isf(0.025)
            wald = (value - z * error, value + z * error)
            assert limits(fit, "wald", name, i) == pytest.approx(wald, rel=1e-10)
            log = (value * math.exp(-z * error / value), value * math.exp(z * error / value))
            assert limits(fit, "log", name, i) == pytest.approx(log, rel=1e-10)


@pytest.mark.parametrize("extra", [{}, {"dropped_rows": 0.3}])
def test_contract_which_intervals_belong_to_the_likelihood(extra):
    batch = batch_of(3, group1_sd=4.0, n_group1=6, **extra)
    fits = [
        method.with_intervals(*KINDS).batch(batch, method_rngs(3))
        for method in (nested.reml, nested.ml)
    ]
    for index in range(3):
        for kind in KINDS:
            one, other = (limits(fit, kind, "unexplained_var", index) for fit in fits)
            if kind in ("exact", "mls", "generalized"):
                assert one == other
                continue
            one, other = (limits(fit, kind, "group1_var", index) for fit in fits)
            assert one[1] != other[1], kind


def plain_mls(x, n1, y, n2, alpha=0.05):
    """Ting et al. (1990), for x - y, upper-tail quantiles."""
    a = alpha / 2
    g1, g2 = (1 - n / stats.chi2.isf(a, n) for n in (n1, n2))
    h1, h2 = (n / stats.chi2.isf(1 - a, n) - 1 for n in (n1, n2))
    up, low = stats.f.isf(a, n1, n2), stats.f.isf(1 - a, n1, n2)
    g12 = ((up - 1) ** 2 - g1**2 * up**2 - h2**2) / up
    h12 = ((1 - low) ** 2 - h1**2 * low**2 - g2**2) / low
    below = g1**2 * x**2 + h2**2 * y**2 + g12 * x * y
    above = h1**2 * x**2 + g2**2 * y**2 + h12 * x * y
    return max(x - y - math.sqrt(below), 0), max(x - y + math.sqrt(above), 0)


def test_identity_generalized_against_simulated_quantiles():
    batch = batch_of(4)
    fit = EVERY.batch(batch, method_rngs(4))
    squares = mean_squares(cells_of(batch))
    rng = np.random.default_rng(2)
    w1, w2, w3 = (rng.chisquare(n, 1_000_000) for n in (19, 80, 400))
    for i in range(4):
        s1, s2, s3 = (square[i] for square in squares.values)
        pivots = {
            "group1_var": (19 * s1 / w1 - 80 * s2 / w2) / 25,
            "group2_var": (80 * s2 / w2 - 400 * s3 / w3) / 5,
        }
        for name, pivot in pivots.items():
            lower, upper = limits(fit, "generalized", name, i)
            for limit, tail in ((lower, 0.025), (upper, 0.975)):
                share = (np.maximum(pivot, 0) <= limit).mean()
                assert abs(share - tail) < 4 * math.sqrt(0.025 * 0.975 / 1e6)


def plain_deviance(squares, i):
    """Return -2 log restricted likelihood as a function of the three variances."""
    stages = [(n, square[i]) for n, square in zip((19, 80, 400), squares.values, strict=True)]

    def deviance(s1, s2, se):
        levels = (se + 5 * s2 + 25 * s1, se + 5 * s2, se)
        return sum(n * (math.log(x) + s / x) for (n, s), x in zip(stages, levels, strict=True))

    return deviance


@pytest.mark.parametrize("group1_sd", [0.0, 2.0])
def test_identity_profile_limits_lie_at_the_quantile_of_the_profiled_deviance(group1_sd):
    batch = batch_of(3, seed=4, group1_sd=group1_sd)
    fit = EVERY.batch(batch, method_rngs(3))
    squares = mean_squares(cells_of(batch))
    names = list(fit.estimates)
    for i in range(3):
        deviance = plain_deviance(squares, i)
        best = [fit.estimates[name].value[i] for name in names]
        for held, name in enumerate(names):
            for limit in limits(fit, "profile", name, i):
                if limit == 0:
                    assert profiled(deviance, held, 1e-9, best) - deviance(*best) <= 3.8415
                else:
                    rise = profiled(deviance, held, limit, best) - deviance(*best)
                    assert rise == pytest.approx(stats.chi2.isf(0.05, 1), abs=1e-6)


def profiled(deviance, held, value, best):
    """Minimise over the square roots of the two other variances, from several starts."""
    others = [k for k in range(3) if k != held]

    def of(roots):
        full = [0.0, 0.0, 0.0]
        full[held] = value
        full[others[0]], full[others[1]] = roots**2
        return deviance(*full) if full[2] > 0 else 1e9

    starts = [np.sqrt([best[k] * f + a for k in others]) for f in (1, 0.7) for a in (0, 0.5)]
    options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 4000, "maxfev": 4000}
    return min(
        optimize.minimize(of, start, method="Nelder-Mead", options=options).fun for start in starts
    )


def test_identity_unweighted_mean_squares_of_balanced_data_are_the_mean_squares():
    cells = cells_of(batch_of(5))
    one, other = mean_squares(cells), unweighted_mean_squares(cells)
    numbers = ((*m.values, *m.degrees, m.n_group2, m.n_rep) for m in (one, other))
    for plain, unweighted in zip(*numbers, strict=True):
        np.testing.assert_allclose(unweighted, np.broadcast_to(plain, 5), rtol=1e-12)


@pytest.mark.parametrize("factors", [{}, {"dropped_rows": 0.3}, {"row_slope": 1.0}])
def test_contract_intervals_do_not_depend_on_the_batch(factors):
    batch = batch_of(12, **factors, n_group1=6, n_group2=3, n_rep=3)
    kinds = KINDS if not factors else ("exact", "wald", "log", "satterthwaite", "mls", "profile")
    method = nested.reml.with_intervals(*kinds)
    whole = method.batch(batch, method_rngs(12))
    for begin, end in ((0, 1), (1, 5), (5, 12)):
        part = method.batch(batch[begin:end], method_rngs(end - begin, begin))
        for name, estimate in whole.estimates.items():
            assert np.array_equal(part.estimates[name].value, estimate.value[begin:end])
            for kind, sides in estimate.intervals.items():
                for side in (0, 1):
                    assert np.array_equal(
                        part.estimates[name].intervals[kind][side],
                        sides[side][begin:end],
                        equal_nan=True,
                    ), (name, kind)


@pytest.mark.parametrize("factors", [{"dropped_rows": 0.3}, {"row_slope": 1.0}])
def test_contract_one_by_one_as_in_a_batch(factors):
    batch = batch_of(3, **factors)
    method = nested.reml.with_intervals("wald", "profile")
    whole = method.batch(batch, method_rngs(3))
    for i, rng in enumerate(method_rngs(3)):
        one = method(batch[i], rng)
        for name, estimate in one.estimates.items():
            assert estimate.value == pytest.approx(whole.estimates[name].value[i], rel=1e-10)
            assert estimate.intervals["profile"] == pytest.approx(
                limits(whole, "profile", name, i), rel=1e-6, abs=1e-9
            )


def test_contract_bootstrap_of_unbalanced_data_covers_its_estimate():
    batch = batch_of(2, dropped_rows=0.3)
    fit = nested.reml.with_intervals("bootstrap").batch(batch, method_rngs(2))
    for estimate in fit.estimates.values():
        lower, upper = estimate.intervals["bootstrap"]
        assert (lower < estimate.value).all()
        assert (estimate.value < upper).all()


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_contract_levels_nest(level):
    batch = batch_of(5)
    narrow = nested.reml.with_intervals(*KINDS, level=level).batch(batch, method_rngs(5))
    wide = nested.reml.with_intervals(*KINDS, level=0.995).batch(batch, method_rngs(5))
    for name, estimate in narrow.estimates.items():
        for kind, (lower, upper) in estimate.intervals.items():
            low, high = wide.estimates[name].intervals[kind]
            assert (low <= lower).all()
            assert (upper <= high).all()


def test_contract_unknown_intervals_and_levels_get_one_line():
    with pytest.raises(ValueError, match=r"no interval is called 'walt'; there are exact, wald"):
        nested.reml.with_intervals("walt")
    with pytest.raises(ValueError, match="level is 95; give a number between 0 and 1"):
        nested.reml.with_intervals("wald", level=95)


def test_contract_a_component_that_the_design_cannot_tell_has_no_interval():
    batch = batch_of(3, n_group2=1)
    fit = EVERY.batch(batch, method_rngs(3))
    assert set(fit.status) == {Status.NOT_IDENTIFIABLE}
    for kind, (lower, upper) in fit.estimates["group1_var"].intervals.items():
        assert np.isnan([lower, upper]).all(), kind
    lower, upper = fit.estimates["unexplained_var"].intervals["exact"]
    assert (lower < upper).all()


def test_law_unweighted_means_of_unbalanced_data_keep_their_coverage():
    count = 4000
    batch = batch_of(count, dropped_rows=0.3)
    fit = nested.reml.with_intervals("mls", "exact").batch(batch, method_rngs(count))
    for name, truth in (("group1_var", 4), ("group2_var", 9), ("unexplained_var", 16)):
        lower, upper = fit.estimates[name].intervals["mls"]
        covered = ((lower <= truth) & (truth <= upper)).mean()
        assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / count) + 0.003
