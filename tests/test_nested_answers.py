"""What `reml` and `ml` answer beside variances: correlations, fixed effects, tests of variances."""

import numpy as np
import pandas as pd
import pytest
from plain_likelihood import plain_likelihood
from scipy import optimize, stats
from test_reml import dense_derivatives, random_batch, simulated, told

from mcstudy import Study, grid, nested, run
from mcstudy.errors import StudyError
from mcstudy.nested import NestedBatch, NestedData, NestedDesign
from mcstudy.nested.balanced import balanced_solution
from mcstudy.nested.bootstrap import drawn_squares
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.correlations import CORRELATIONS
from mcstudy.nested.solve import solve
from mcstudy.nested.variance_test import TESTED, balanced_statistics, mixture_p_value

QUANTILE = stats.chi2.isf(0.05, 1)


def answer(method, batch):
    return method.batch(batch, [np.random.default_rng(i) for i in range(len(batch))])


def dense_fixed_cov(data, variances):
    return plain_likelihood(data, variances, exog=tuple(data.covariates)).fixed_effects_cov


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("seed", range(0, 24, 3))
def test_identity_degrees_of_freedom_are_those_of_the_dense_formula(seed, reml):
    batch = random_batch(seed + seed % 2)
    method = (nested.reml if reml else nested.ml).with_intervals().with_fixed_effects()
    fit, solution = answer(method, batch), solve(batch, reml=reml)
    for lane in told(solution):
        data, variances = batch[lane], solution.variances[lane]
        free = np.flatnonzero(variances > 0)
        information = -dense_derivatives(data, variances, reml)[1][np.ix_(free, free)]
        slopes = []
        for place in free:
            step = np.zeros(3)
            step[place] = 1e-4 * variances[place]
            up, down = (np.diagonal(dense_fixed_cov(data, variances + x)) for x in (step, -step))
            slopes.append((up - down) / (2 * step[place]))
        slopes = np.array(slopes)
        value = np.diagonal(dense_fixed_cov(data, variances))
        degrees = 2 * value**2 / (slopes * np.linalg.solve(information, slopes)).sum(axis=0)
        for place, name in enumerate(("intercept", *data.covariates)):
            of = fit.estimates[name]
            assert of.df[lane] == pytest.approx(degrees[place], rel=1e-4)
            t = of.value[lane] / of.std_error[lane]
            assert of.p_value[lane] == pytest.approx(2 * stats.t.sf(abs(t), of.df[lane]))


@pytest.mark.parametrize("zero", [False, True])
def test_identity_degrees_of_freedom_are_the_exact_ones_of_balanced_designs(zero):
    """A treatment of groups has a - 2, of cells a (b - 1) - 1, of rows a b (r - 1) - 1."""
    a, b, r = 10, 4, 6
    design = NestedDesign.of_sizes(a, b, r)
    cell, row = design.group1 * b + design.group2, np.tile(np.arange(r), a * b)
    covariates = {
        "of_groups": design.group1 % 2 * 1.0,
        "of_cells": cell % 2 * 1.0,
        "of_rows": row % 2 * 1.0,
    }
    rng = np.random.default_rng(8)
    y = rng.normal(size=a * b * r) + 3 * rng.normal(size=a * b)[cell]
    y += (0 if zero else 5) * rng.normal(size=a)[design.group1]
    if zero:  # the cells of a group sum to the same, so that the variance of group 1 is 0
        y -= np.bincount(design.group1, y)[design.group1] / (b * r)
    fit = nested.reml.with_fixed_effects()(NestedData(y, design, covariates), rng)
    assert (fit.estimates["group1_var"].value == 0) is zero
    pooled = a * b - 3
    expected = {
        "of_groups": pooled if zero else a - 2,
        "of_cells": pooled if zero else a * (b - 1) - 1,
        "of_rows": a * b * (r - 1) - 1,
    }
    assert {name: fit.estimates[name].df for name in expected} == pytest.approx(expected)
    alone = nested.reml.with_fixed_effects()(NestedData(y, design), rng)
    assert alone.estimates["intercept"].df == pytest.approx(a * b - 1 if zero else a - 1)


def least_dense_deviance(data, share, which, reml):
    """Return the least -2 log-likelihood with a correlation held, by the dense formula."""

    def deviance(x):
        total, part = np.exp(x[0]), 1 / (1 + np.exp(-x[1]))
        split = (share, (1 - share) * part) if which == 0 else (share * part, share * (1 - part))
        variances = total * np.array([*split, 1 - sum(split)])
        return -2 * plain_likelihood(data, variances, reml=reml, exog=tuple(data.covariates)).llf

    starts = [(np.log(data.y.var()), part) for part in (-8.0, 0.0, 8.0)]
    options = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 2000}
    found = [
        optimize.minimize(deviance, start, method="Nelder-Mead", options=options)
        for start in starts
    ]
    return min(each.fun for each in found)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "reml"), [(0, True), (3, False), (5, True)])
def test_identity_profile_limits_of_correlations_reach_the_quantile(seed, reml):
    batch = random_batch(seed, 2)
    if seed == 5:
        weights = np.random.default_rng(0).gamma(2, 100, batch.y.shape[1])
        batch = NestedBatch(batch.y, batch.design, batch.kept, batch.covariates, weights)
    method = (nested.reml if reml else nested.ml).with_icc("profile")
    fit, solution = answer(method, batch), solve(batch, reml=reml)
    assert told(solution)
    for lane in told(solution)[:1]:
        data, least = batch[lane], -2 * solution.llf[lane]
        for which, name in enumerate(CORRELATIONS):
            low, high = (side[lane] for side in fit.estimates[name].intervals["profile"])
            assert 0 <= low <= fit.estimates[name].value[lane] < high < 1
            rise = least_dense_deviance(data, high, which, reml) - least
            assert rise == pytest.approx(QUANTILE, abs=2e-3)
            rise = least_dense_deviance(data, max(low, 1e-9), which, reml) - least
            assert rise == pytest.approx(QUANTILE, abs=2e-3) if low else rise < QUANTILE


@pytest.mark.parametrize("seed", [0, 4, 8, 5, 11])
def test_identity_errors_of_correlations_are_by_the_delta_method(seed):
    batch = random_batch(seed)
    fit, solution = answer(nested.reml.with_icc("logit"), batch), solve(batch)
    for lane in told(solution):
        variances = solution.variances[lane]
        free = variances > 0
        if not free.all():
            continue
        covariance = np.linalg.inv(-dense_derivatives(batch[lane], variances, True)[1])
        total = variances.sum()
        for name, share in zip(CORRELATIONS, np.cumsum(variances) / total, strict=False):
            inside = np.array([1, name == "group2_icc", 0])
            slope = inside / total - share / total
            error = np.sqrt(slope @ covariance @ slope)
            of = fit.estimates[name]
            assert of.value[lane] == pytest.approx(share)
            assert of.std_error[lane] == pytest.approx(error, rel=1e-5)
            away = stats.norm.isf(0.025) * error / (share * (1 - share))
            ends = [1 / (1 + np.exp(-np.log(share / (1 - share)) + s * away)) for s in (1, -1)]
            assert [side[lane] for side in of.intervals["logit"]] == pytest.approx(ends, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 9])
def test_identity_statistics_are_twice_the_difference_of_dense_log_likelihoods(seed, reml):
    batch = random_batch(seed, 2)
    method = (nested.reml if reml else nested.ml).with_intervals().with_tests(*TESTED)
    fit, solution = answer(method, batch), solve(batch, reml=reml)
    for lane in told(solution):
        data, exog = batch[lane], tuple(batch.covariates)
        for which, name in enumerate(TESTED):
            statistic = fit.diagnostics[f"{name}_lrt"][lane]
            if solution.variances[lane, which] == 0:
                assert (statistic, fit.estimates[name].p_value[lane]) == (0, 1)
                continue

            def deviance(x, data=data, which=which, exog=exog):
                pair = np.exp(x)
                variances = np.insert(pair, which, 0.0)
                return -2 * plain_likelihood(data, variances, reml=reml, exog=exog).llf

            starts = np.log(data.y.var()) + np.array([[0.0, 0.0], [-20.0, 0.0]])
            options = {"xatol": 1e-6, "fatol": 1e-9}
            least = min(
                optimize.minimize(deviance, start, method="Nelder-Mead", options=options).fun
                for start in starts
            )
            assert statistic == pytest.approx(least + 2 * solution.llf[lane], abs=1e-6)
            p_value = stats.chi2.sf(statistic, 1) / 2
            assert fit.estimates[name].p_value[lane] == pytest.approx(p_value)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("sds", [(2, 3, 4), (0, 3, 4), (2, 0, 4), (0, 0, 4)])
def test_identity_the_closed_form_of_balanced_data_is_the_search(sds, reml):
    batch = simulated((8, 4, 3), sds, 60)
    every_row = NestedBatch(batch.y, batch.design, np.ones(batch.y.shape, dtype=bool))
    method = (nested.reml if reml else nested.ml).with_intervals().with_tests(*TESTED)
    closed, searched = answer(method, batch), answer(method, every_row)
    for name in TESTED:
        one, other = (fit.diagnostics[f"{name}_lrt"] for fit in (closed, searched))
        np.testing.assert_allclose(one, other, atol=2e-8)


def drawn_statistics(sizes, variances, name, draws):
    a, b, r = sizes
    degrees = (a - 1, a * (b - 1), a * b * (r - 1))
    none = MeanSquares((np.empty(0),) * 3, degrees, b, r)
    squares = drawn_squares(none, np.array(variances, float), np.random.default_rng(1), draws)
    solution = balanced_solution(squares, np.zeros(draws), reml=True)
    return balanced_statistics(squares, solution, name, reml=True), degrees


@pytest.mark.parametrize(
    ("name", "variances"), [("group1_var", (0, 9, 16)), ("group2_var", (4, 0, 16))]
)
def test_law_statistics_follow_the_mixture_where_groups_are_many(name, variances):
    draws = 40_000
    statistic, _ = drawn_statistics((20_000, 5, 5), variances, name, draws)
    p_values = mixture_p_value(statistic)
    assert (p_values[statistic == 0] == 1).all()
    for alpha in (0.3, 0.1, 0.05, 0.01):
        mcse = np.sqrt(alpha * (1 - alpha) / draws)
        assert (p_values <= alpha).mean() == pytest.approx(alpha, abs=4 * mcse)
    assert (statistic == 0).mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / draws))
    positive = statistic[statistic > 0]
    assert stats.kstest(positive, "chi2", args=(1,)).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.1, 0.05])
def test_law_size_with_few_groups_is_that_of_the_f_test(alpha):
    """The statistic rises with F = MSA / MSB, so that its size is a tail of F."""
    draws = 100_000
    statistic, (n1, n2, _) = drawn_statistics((20, 5, 5), (0, 9, 16), "group1_var", draws)
    zero = stats.f.cdf(1, n1, n2)
    assert (statistic == 0).mean() == pytest.approx(zero, abs=4 * np.sqrt(0.25 / draws))

    def rise(f):
        pooled = (n1 * f + n2) / (n1 + n2)
        return (n1 + n2) * np.log(pooled) - n1 * np.log(f) - stats.chi2.isf(2 * alpha, 1)

    size = stats.f.sf(optimize.brentq(rise, 1, 50), n1, n2)
    mcse = np.sqrt(size * (1 - size) / draws)
    assert (mixture_p_value(statistic) <= alpha).mean() == pytest.approx(size, abs=4 * mcse)
    assert size < alpha


def test_law_the_test_is_conservative_where_the_other_variance_is_zero_too():
    for name in TESTED:
        statistic, _ = drawn_statistics((1000, 5, 5), (0, 0, 16), name, 40_000)
        assert 0.02 < (mixture_p_value(statistic) <= 0.05).mean() < 0.04


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """Return the performance of all answers in a study, with few groups and covariates."""
    study = Study(
        name="answers",
        simulate=nested.generate_nested,
        estimands=lambda **factors: {
            **nested.variances(**factors),
            **nested.correlations(**factors),
            **nested.coefficients(**factors),
        },
        methods={
            "reml": nested.reml.with_intervals("wald")
            .with_icc("logit")
            .with_fixed_effects()
            .with_tests("group1_var")
        },
        conditions=grid(
            n_group1=[8],
            n_group2=[5],
            n_rep=[5],
            group1_sd=[0.0, 3.0],
            group2_sd=[3.0],
            unexplained_sd=[4.0],
            group_slope=[0.0],
        ),
        replicates=800,
        seed=6,
        null=0.0,
    )
    return run(study, tmp_path_factory.mktemp("answers"), jobs=1, quiet=True).performance


def rows_of(performance, measure, estimand, group1_sd):
    some = performance["measure"].eq(measure) & performance["estimand"].eq(estimand)
    return performance[some & performance["group1_sd"].eq(group1_sd)]


def test_law_coverage_of_fixed_effects_in_a_study(studied):
    """That of the t interval is exact: the error of a covariate of 8 groups has 6 degrees."""
    for estimand in ("intercept", "x_group"):
        [row] = rows_of(studied, "coverage", estimand, 3.0).to_dict("records")
        assert row["interval"] == "wald"
        assert row["value"] == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 800))
        assert row["used"] == 800
    for estimand in CORRELATIONS:
        [row] = rows_of(studied, "coverage", estimand, 3.0).to_dict("records")
        assert row["interval"] == "logit"
        assert row["value"] > 0.9


@pytest.mark.parametrize("dropped", [0.0, 0.3])
def test_law_coverage_of_profile_intervals_of_correlations(dropped):
    """Nominal for many groups; .946 and .953 for 20 groups by 4,000 replicates, balanced."""
    replicates = 500
    batch = simulated((20, 5, 5), (2, 3, 4), replicates, seed=3)
    if dropped:
        kept = np.random.default_rng(0).random(batch.y.shape) >= dropped
        batch = NestedBatch(batch.y, batch.design, kept)
    fit = answer(nested.reml.with_intervals().with_icc("profile"), batch)
    truths = nested.correlations(group1_sd=2, group2_sd=3, unexplained_sd=4)
    for name, truth in truths.items():
        low, high = fit.estimates[name].intervals["profile"]
        covered = ((low <= truth) & (truth <= high)).mean()
        assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / replicates))


def by_p_value(performance, estimand, group1_sd):
    rows = rows_of(performance, "rejection", estimand, group1_sd)
    return rows[rows["interval"] == "p_value"]["value"].item()


def test_law_size_and_power_of_tests_in_a_study(studied):
    rejections = [by_p_value(studied, "group1_var", sd) for sd in (0.0, 3.0)]
    limit = 0.05 + 4 * np.sqrt(0.05 * 0.95 / 800)
    assert 0.01 < rejections[0] < limit
    assert rejections[1] > 0.5
    of_slope = by_p_value(studied, "x_group", 3.0)
    assert of_slope == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 800))


def test_contract_answers_are_off_by_default_and_change_no_other():
    batch = random_batch(2)
    plain = answer(nested.reml, batch)
    more = answer(nested.reml.with_icc("logit").with_fixed_effects().with_tests(*TESTED), batch)
    assert list(plain.estimates) == ["group1_var", "group2_var", "unexplained_var"]
    assert list(plain.diagnostics) == ["llf", "iterations"]
    assert list(more.estimates) == [*plain.estimates, *CORRELATIONS, "intercept", "row", "group"]
    for name, of in plain.estimates.items():
        assert of.p_value is None
        np.testing.assert_array_equal(of.value, more.estimates[name].value)
        np.testing.assert_array_equal(of.std_error, more.estimates[name].std_error)
        assert of.intervals.keys() == more.estimates[name].intervals.keys()


def test_contract_a_list_of_frames_answers_as_each_of_them():
    rng = np.random.default_rng(2)
    sds = {"group1_sd": 2.0, "group2_sd": 3.0, "unexplained_sd": 4.0}
    first, second = (
        nested.generate_nested(rng, n_group1=6, n_group2=3, n_rep=n, **sds).frame for n in (3, 4)
    )
    frames = [first, second.assign(x=rng.normal(size=len(second)))]
    method = nested.reml.with_icc("profile").with_fixed_effects().with_tests(*TESTED)
    whole = method.batch(frames, [rng, rng])
    for place, frame in enumerate(frames):
        for name, of in method(frame, rng).estimates.items():
            joined = whole.estimates[name]
            assert joined.value[place] == of.value
            assert of.df is None or joined.df[place] == of.df
            for kind, limits in (of.intervals or {}).items():
                assert tuple(side[place] for side in joined.intervals[kind]) == limits
    assert np.isnan(whole.estimates["x"].value[0])


def test_contract_what_the_design_cannot_tell_is_missing():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.normal(size=30), "group1": np.repeat(range(6), 5)})
    method = nested.reml.with_icc("logit", "profile").with_fixed_effects().with_tests(*TESTED)
    by_row = method(frame.assign(group2=range(30)), rng).estimates
    for name in CORRELATIONS:
        limits = by_row[name].intervals
        assert np.isnan([by_row[name].value, by_row[name].std_error]).all()
        assert np.isnan([*limits["logit"], *limits["profile"]]).all()
    assert by_row["intercept"].df in (pytest.approx(5), pytest.approx(29))
    assert np.isnan(by_row["group2_var"].p_value)
    constant = method(frame.assign(group2=[0, 0, 1, 1, 1] * 6, y=1.0), rng)
    assert constant.status == "not_finite"
    assert np.isnan(constant.estimates["group1_icc"].value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nested.reml.with_icc("wald"),
            "no interval is called 'wald'; there are logit, pro",
        ),
        (lambda: nested.reml.with_tests("unexplained_var"), "no test is of 'unexplained_var'; the"),
        (lambda: nested.exact_law({}, method=nested.reml.with_icc()), "the condition lacks n_gro"),
    ],
)
def test_contract_bad_answers_get_one_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_contract_exact_law_knows_variances_only():
    condition = {"n_group1": 5, "n_group2": 3, "n_rep": 3}
    condition |= {"group1_sd": 1, "group2_sd": 1, "unexplained_sd": 1}
    with pytest.raises(ValueError, match="known for variances and their intervals only; leave out"):
        nested.exact_law(condition, method=nested.reml.with_tests("group1_var"), draws=10)


def test_contract_a_covariate_called_as_an_estimand_is_to_be_renamed():
    batch = random_batch(1)
    data = NestedBatch(batch.y, batch.design, batch.kept, {"group1_icc": batch.covariates["row"]})
    with pytest.raises(StudyError, match="a covariate is called 'group1_icc', as an estimand is"):
        answer(nested.reml.with_fixed_effects(), data)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 6])
def test_identity_replicates_do_not_influence_one_another(seed):
    batch = random_batch(seed, 6)
    if seed == 2:
        weights = np.random.default_rng(0).gamma(2, size=batch.y.shape)
        batch = NestedBatch(batch.y, batch.design, batch.kept, batch.covariates, weights)
    method = nested.reml.with_icc("profile", "logit").with_fixed_effects().with_tests(*TESTED)
    whole = answer(method, batch)
    for some in (slice(2, 3), slice(1, 5)):
        part = answer(method, batch[some])
        for name, of in part.estimates.items():
            other = whole.estimates[name]
            for one, two in zip(of, other, strict=True):
                if isinstance(one, np.ndarray):
                    np.testing.assert_array_equal(one, two[some], err_msg=name)
            for kind, limits in (of.intervals or {}).items():
                for one, two in zip(limits, other.intervals[kind], strict=True):
                    np.testing.assert_array_equal(one, two[some], err_msg=f"{name} {kind}")
