"""statsmodels MixedLM along its two paths, and fixed, against the exact optimum."""

import math
import warnings

import numpy as np
import pytest

from mcstudy import Status, load_study, nested
from mcstudy.errors import MCStudyError
from mcstudy.nested.mixedlm_diagnostics import identifiable

SIZES = {"n_group1": 20, "n_group2": 5, "n_rep": 5}
GIVEN = {"group1_sd": 2, "group2_sd": 3, "unexplained_sd": 4}


def simulated(seed, sds=(2, 3, 4), sizes=SIZES):
    names = ("group1_sd", "group2_sd", "unexplained_sd")
    rng = np.random.default_rng(seed)
    return nested.generate_nested(rng, **sizes, **dict(zip(names, sds, strict=True)))


def quietly(method, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method(data)


def exact_reml(data):
    """Return variances and log-likelihood: REML of balanced data by pooling mean squares."""
    a, b, r = data.design.balanced
    y = data.y.reshape(a, b, r)
    cell, group = y.mean(axis=2), y.mean(axis=(1, 2))
    squares = [
        ((y - cell[..., None]) ** 2).sum(),
        r * ((cell - group[:, None]) ** 2).sum(),
        b * r * ((group - group.mean()) ** 2).sum(),
    ]
    degrees = [a * b * (r - 1), a * (b - 1), a - 1]
    pools = []
    for square, degree in zip(squares, degrees, strict=True):
        pools.append((square, degree, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            last, before = pools.pop(), pools.pop()
            pools.append(tuple(x + y for x, y in zip(before, last, strict=True)))
    unexplained, second, first = (s / d for s, d, count in pools for _ in range(count))
    deviance = sum(
        d * math.log(x) + s / x
        for s, d, x in zip(squares, degrees, (unexplained, second, first), strict=True)
    )
    rows = a * b * r
    llf = -0.5 * (deviance + (rows - 1) * math.log(2 * math.pi) + math.log(rows))
    variances = ((first - second) / (b * r), (second - unexplained) / r, unexplained)
    return np.array(variances), llf


@pytest.mark.slow
def test_reference_the_notebook():
    study = load_study("configs/notebook.py")
    data = study.simulate(None, **next(iter(study.conditions)).factors)
    fit = nested.matrices(data)
    value = {name: estimate.value for name, estimate in fit.estimates.items()}
    assert round(value["unexplained_var"], 4) == 15.8825
    assert round(value["group1_var"], 3) == 3.917
    assert round(value["group2_var"], 3) == 8.742
    assert round(fit.diagnostics["llf"], 4) == -116022.3805
    assert round(fit.diagnostics["group1_var_reported_se"], 4) == 0.1118
    assert round(fit.diagnostics["group2_var_reported_se"], 4) == 0.0625
    assert fit.status == Status.OK
    tight = nested.matrices_tight(data)
    exact = {
        "group1_var": (3.918139469, 0.444737),
        "group2_var": (8.742183829, 0.237292),
        "unexplained_var": (15.882555821, 0.118382),
    }
    for name, (variance, std_error) in exact.items():
        assert tight.estimates[name].value == pytest.approx(variance, rel=1e-6)
        assert tight.estimates[name].std_error == pytest.approx(std_error, abs=1.1e-6)


METHODS = ("reml", "ml", "formula", "matrices", "matrices_tight", "matrices_signed")


def in_pandas(frame):
    return frame.sample(frac=1, random_state=2) if len(frame.columns) == 3 else frame


def in_polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


@pytest.mark.parametrize("convert", [in_pandas, in_polars])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("extra", [{}, {"row_slope": 1.0, "group_slope": 2.0}])
def test_identity_a_frame_is_as_good_as_nested_data(method, extra, convert):
    given = {"group1_sd": 2, "group2_sd": 3, "unexplained_sd": 4, **extra}
    data = nested.generate_nested(
        np.random.default_rng(3), n_group1=9, n_group2=3, n_rep=3, **given
    )
    method, more = getattr(nested, method), [np.random.default_rng(0)]
    more = more if method in (nested.reml, nested.ml) else []
    plain = quietly(lambda data: method(data, *more), data)
    framed = quietly(lambda data: method(data, *more), convert(data.frame))
    if convert is in_pandas and not extra:
        assert framed.status == plain.status
        for name, estimate in plain.estimates.items():
            assert framed.estimates[name].value == pytest.approx(estimate.value, rel=1e-4)
    else:
        assert repr(framed) == repr(plain)


@pytest.mark.parametrize("method", METHODS)
def test_contract_a_frame_without_its_columns_gets_one_line(method):
    frame = simulated(1).frame.drop(columns=["group1", "y"])
    method = getattr(nested, method)
    more = [np.random.default_rng(0)] if method in (nested.reml, nested.ml) else []
    with pytest.raises(MCStudyError, match=r"no columns 'y', 'group1'; it has group2$"):
        method(frame, *more)
    with pytest.raises(MCStudyError, match="the table is a list; give a data frame"):
        method([1.0, 2.0], *more)


@pytest.mark.parametrize("method", ["formula", "matrices"])
def test_contract_covariates_may_have_any_name(method):
    data, names = simulated(3), ["intercept", "C(group2)", "a b", "y", "group1", "lambda"]
    columns = np.random.default_rng(1).normal(size=(len(names), len(data.y)))
    fits = [
        quietly(
            getattr(nested, method),
            nested.NestedData(data.y, data.design, dict(zip(given, columns, strict=True))),
        )
        for given in (names, list("abcdef"))
    ]
    assert repr(fits[0]) == repr(fits[1])


def test_contract_statsmodels_methods_name_the_covariate_at_fault():
    data = simulated(3)
    x = np.arange(len(data.y)) / 7
    for columns, message in (
        ({"x": x, "twice": 2 * x + 1}, "the covariate 'twice' is a linear combination of"),
        ({"one": np.full(len(x), 0.1)}, "the covariate 'one' is constant"),
    ):
        faulty = nested.NestedData(data.y, data.design, columns)
        for fit in (nested.matrices(faulty), nested.reml(faulty, np.random.default_rng(0))):
            assert fit.status == Status.NOT_IDENTIFIABLE
            assert fit.message.startswith(message)


def unbalanced(seed):
    data = simulated(seed)
    keep = np.random.default_rng(seed).random(len(data.y)) < 0.7
    design = nested.NestedDesign(data.design.group1[keep], data.design.group2[keep])
    return nested.NestedData(data.y[keep], design)


@pytest.mark.slow
@pytest.mark.parametrize("make", [simulated, unbalanced])
def test_identity_the_two_paths_agree_bit_for_bit(make):
    for seed in range(3):
        one, other = quietly(nested.formula, make(seed)), quietly(nested.matrices, make(seed))
        assert repr(one) == repr(other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sds", "seeds"),
    [((2, 3, 4), 12), ((0, 3, 4), 4), pytest.param((2, 0.5, 4), 12, marks=pytest.mark.xslow)],
)
def test_identity_status_against_the_exact_optimum(sds, seeds):
    seen = set()
    for seed in range(seeds):
        data = simulated(seed, sds)
        variances, llf = exact_reml(data)
        fit = quietly(nested.matrices, data)
        short = llf - fit.diagnostics["llf"]
        assert short > -1e-7
        assert (fit.status == Status.NOT_CONVERGED) == (short > 0.01)
        if short < 0.01:
            assert (fit.status == Status.BOUNDARY) == (min(variances) == 0)
        seen.add(fit.status)
    assert len(seen) > 1 or sds == (2, 3, 4)


@pytest.mark.slow
def test_identity_the_mended_fit_finds_the_exact_optimum():
    for seed in range(4):
        data = simulated(seed, (2, 0.5, 4))
        variances, llf = exact_reml(data)
        fit = quietly(nested.matrices_signed, data)
        found = [estimate.value for estimate in fit.estimates.values()]
        assert fit.diagnostics["llf"] == pytest.approx(llf, abs=1e-6)
        assert found == pytest.approx(variances, abs=1e-3)


def test_identity_natural_standard_errors_against_the_mean_squares():
    data = simulated(3)
    (s1, s2, se), _ = exact_reml(data)
    first, second = se + 5 * s2 + 25 * s1, se + 5 * s2
    spread = [2 * first**2 / 19, 2 * second**2 / 80, 2 * se**2 / 400]
    exact = np.sqrt([(spread[0] + spread[1]) / 25**2, (spread[1] + spread[2]) / 5**2, spread[2]])
    fit = nested.matrices_tight(data)
    assert [e.std_error for e in fit.estimates.values()] == pytest.approx(exact, rel=1e-5)


@pytest.mark.slow
def test_contract_a_zero_variance_has_no_standard_error_and_the_status_says_why():
    fits = (quietly(nested.matrices_signed, simulated(seed, (0, 3, 4))) for seed in range(6))
    boundary = next(fit for fit in fits if fit.status == Status.BOUNDARY)
    assert boundary.message == "zero: group1_var"
    assert math.isnan(boundary.estimates["group1_var"].std_error)
    assert math.isnan(boundary.estimates["group1_var"].intervals["wald"][0])
    assert boundary.estimates["group2_var"].std_error > 0


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e-3, pytest.param(1e3, marks=pytest.mark.xslow)])
def test_contract_statuses_and_ratios_do_not_depend_on_units(factor):
    for seed in range(4):
        data = simulated(seed, (0.5, 3, 4))
        scaled = nested.NestedData(data.y * factor, data.design)
        one, other = quietly(nested.matrices, data), quietly(nested.matrices, scaled)
        assert one.status == other.status
        for name, estimate in one.estimates.items():
            assert other.estimates[name].value == pytest.approx(
                estimate.value * factor**2, rel=1e-6, abs=1e-6 * factor**2
            )


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ((1, 5, 5), {"group2_var", "unexplained_var"}),
        ((10, 1, 5), {"unexplained_var"}),
        ((10, 5, 1), {"group1_var"}),
        ((10, 1, 1), set()),
    ],
)
@pytest.mark.parametrize("method", ["formula", "matrices"])
def test_contract_no_arbitrary_split_of_what_the_design_cannot_tell(sizes, told, method):
    data = simulated(1, sizes=dict(zip(SIZES, sizes, strict=True)))
    assert set(identifiable(data)) == told
    fit = quietly(getattr(nested, method), data)
    assert fit.status == Status.NOT_IDENTIFIABLE
    for name, estimate in fit.estimates.items():
        assert estimate.value is None or name in told
        assert estimate.std_error is None


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{"dropped_rows": 0.3}, {"row_slope": 1.0, "group_slope": 2.0}])
def test_reference_statsmodels_and_the_engine_agree_where_statsmodels_converged(extra):
    for seed in range(4):
        data = nested.generate_nested(np.random.default_rng(seed), **SIZES, **GIVEN, **extra)
        theirs = quietly(nested.matrices_signed, data)
        ours = nested.reml(data, np.random.default_rng(0))
        assert repr(quietly(nested.formula, data)) == repr(quietly(nested.matrices, data))
        assert ours.diagnostics["llf"] == pytest.approx(theirs.diagnostics["llf"], abs=1e-7)
        for name, estimate in ours.estimates.items():
            assert theirs.estimates[name].value == pytest.approx(estimate.value, rel=1e-5)
            assert theirs.estimates[name].std_error == pytest.approx(estimate.std_error, rel=1e-3)


@pytest.mark.parametrize("method", ["formula", "matrices", "matrices_signed"])
def test_contract_a_covariate_can_take_away_what_the_design_could_tell(method):
    rng = np.random.default_rng(1)
    data = nested.generate_nested(
        rng, **SIZES | {"n_group1": 2}, group1_sd=2, group2_sd=3, unexplained_sd=4, group_slope=1.0
    )
    fit = quietly(getattr(nested, method), data)
    assert identifiable(data) == ("group2_var", "unexplained_var")
    assert fit.status == Status.NOT_IDENTIFIABLE
    assert fit.estimates["group1_var"].value is None


@pytest.mark.slow
def test_identity_partly_identified_fits_that_fell_short_say_so():
    told = set()
    for seed in range(20):
        data = simulated(seed, (2, 0.5, 4), {"n_group1": 1, "n_group2": 20, "n_rep": 5})
        fit, best = quietly(nested.matrices, data), quietly(nested.matrices_signed, data)
        short = best.diagnostics["llf"] - fit.diagnostics["llf"]
        assert ("can still rise" in fit.message) == (short > 0.01)
        assert "can still rise" not in best.message
        told.add(short > 0.01)
    assert told == {True, False}
