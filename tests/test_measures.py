"""Every measure: against plain formulas, against brute force, and at the edges."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from mcstudy import Measured
from mcstudy.analysis.mcse import wilson
from mcstudy.analysis.measure_set import measured
from mcstudy.analysis.measures import INTERVAL_MEASURES, MEASURES, Cell, share, share_of
from mcstudy.analysis.normal_theory import NORMAL_MCSE
from mcstudy.comparison.influence import contributions
from mcstudy.measure import BUILT_IN, WITHOUT_TRUTH

ALL = {**MEASURES, **INTERVAL_MEASURES}
STUDIES, REPLICATES = 800, 500


def cell(estimate, std_error=None, truth=2.0, **more):
    estimate = np.asarray(estimate, dtype=float)
    if std_error is None:
        std_error = np.full(len(estimate), np.nan)
    return Cell(truth, estimate, np.asarray(std_error, dtype=float), **more)


def with_limits(truth, estimate, std_error, null=np.nan):
    limits = estimate - 1.96 * std_error, estimate + 1.96 * std_error
    return Cell(truth, estimate, std_error, *limits, null)


def by_jackknife(statistic, *columns):
    """Leave out one row after the other, as the definition says."""
    n = len(columns[0])
    left_out = np.array([statistic(*(np.delete(c, i) for c in columns)) for i in range(n)])
    return np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())


PLAIN = {
    "bias": lambda x, s: x.mean() - 2,
    "relative_bias": lambda x, s: (x.mean() - 2) / 2,
    "standardized_bias": lambda x, s: (x.mean() - 2) / x.std(ddof=1),
    "empirical_se": lambda x, s: x.std(ddof=1),
    "mse": lambda x, s: ((x - 2) ** 2).mean(),
    "rmse": lambda x, s: np.sqrt(((x - 2) ** 2).mean()),
    "model_se": lambda x, s: np.sqrt((s**2).mean()),
    "relative_error_model_se": lambda x, s: np.sqrt((s**2).mean()) / x.std(ddof=1) - 1,
    "width": lambda x, s: (2 * 1.96 * s).mean(),
}


@pytest.mark.parametrize("name", PLAIN)
def test_identity_value_and_mcse_against_leaving_out(name):
    rng = np.random.default_rng(1)
    x, s = rng.chisquare(4, 40), rng.chisquare(4, 40)
    value, mcse, used, _ = measured(name, with_limits(2.0, x, s))
    assert value == pytest.approx(PLAIN[name](x, s), rel=1e-12)
    assert mcse == pytest.approx(by_jackknife(PLAIN[name], x, s), rel=1e-10)
    assert used == 40


def test_identity_relative_error_with_missing_standard_errors():
    rng = np.random.default_rng(2)
    x, s = rng.chisquare(4, 30), rng.chisquare(4, 30)
    s[:4], x[20] = np.nan, np.nan

    def plain(x, s):
        return np.sqrt((s**2).mean()) / x.std(ddof=1) - 1

    both = np.isfinite(x) & np.isfinite(s)
    value, mcse, used, _ = measured("relative_error_model_se", cell(x, s))
    assert value == pytest.approx(plain(x[both], s[both]), rel=1e-12)
    assert mcse == pytest.approx(by_jackknife(plain, x[both], s[both]), rel=1e-10)
    assert used == 25
    of_both = measured("relative_error_model_se", cell(x[both], s[both]))
    assert (value, mcse, used) == of_both[:3]
    published = measured("relative_error_model_se", cell(x, s), normal=True)
    assert published == measured("relative_error_model_se", cell(x[both], s[both]), normal=True)
    parts = contributions("relative_error_model_se", cell(x, s))
    alone = contributions("relative_error_model_se", cell(x[both], s[both]))
    assert parts[both] == pytest.approx(alone, rel=1e-12)
    assert (parts[~both] == 0).all()


def test_contract_a_share_of_nothing_and_of_all_has_limits_at_the_ends():
    for n in range(1, 300):
        assert wilson(0.0, n)[0] == 0.0
        assert wilson(1.0, n)[1] == 1.0


def test_reference_shares_by_hand():
    lower = np.array([0.0, 1.0, 3.0, np.nan, -np.inf, 0.0])
    upper = np.array([3.0, 1.5, 4.0, 5.0, 2.5, 2.0])
    made = cell(np.array([1.0, 1, 4, 2, 1, np.nan]), lower=lower, upper=upper, null=0.0)
    assert measured("coverage", made)[:3] == (3 / 5, pytest.approx(np.sqrt(0.24 / 5)), 5)
    assert measured("miss_below", made)[0::2][:2] == (1 / 5, 5)
    assert measured("miss_above", made).value == 1 / 5
    assert measured("rejection", made).value == 2 / 5
    assert measured("bias_eliminated_coverage", made).value == 3 / 5
    assert measured("width", made)[:3:2] == (pytest.approx(6.5 / 4), 4)


def test_reference_wilson_limits():
    """Newcombe (1998), Statistics in Medicine 17:857, Table I, method 3."""
    assert share_of(81, 263).limits == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert share_of(0, 20).limits == pytest.approx((0, 0.1611), abs=5e-5)
    assert share_of(1, 29).limits == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert share(np.ones(20, bool)).lower == pytest.approx(1 - 0.1611, abs=5e-5)
    assert share(np.ones(20, bool)).mcse == 0


def test_reference_median_and_mad_by_hand():
    made = cell([1.0, 4.0, 2.0, 9.0, np.nan, 3.0])
    assert measured("median_bias", made)[0::2][:2] == (1.0, 5)
    assert measured("mad", made).value == pytest.approx(1.4826, abs=1e-4)
    assert measured("median_bias", cell([1.0, 2.0, 4.0, 7.0])).value == 1.0


def test_reference_maritz_and_jarrett():
    """The order statistics' weights are increments of Beta((n + 1) / 2, (n + 1) / 2)."""
    x = np.sort(np.random.default_rng(3).exponential(size=25))
    weights = np.diff(stats.beta.cdf(np.arange(26) / 25, 13, 13))
    mcse = np.sqrt((weights * x**2).sum() - (weights * x).sum() ** 2)
    assert measured("median_bias", cell(x)).mcse == pytest.approx(mcse, rel=1e-10)


def test_reference_published_formulas():
    """Morris, White & Crowther (2019), Table 6, written out anew."""
    rng = np.random.default_rng(4)
    x, s, n = rng.normal(2.1, 1.0, 60), rng.normal(1.0, 0.1, 60), 60
    found = {name: measured(name, with_limits(2.0, x, s), normal=True) for name in ALL}
    bar, error = x.sum() / n, x - 2.0
    empirical = math.sqrt(((x - bar) ** 2).sum() / (n - 1))
    mean_square = (error**2).sum() / n
    var_of_square = ((s**2 - (s**2).sum() / n) ** 2).sum() / (n - 1)
    model = math.sqrt((s**2).sum() / n)
    relative = math.sqrt(var_of_square / (4 * n * model**4) + 1 / (2 * (n - 1)))
    covered = sum(abs(v - 2.0) <= 1.96 * w for v, w in zip(x, s, strict=True)) / n
    centred = sum(abs(v - bar) <= 1.96 * w for v, w in zip(x, s, strict=True)) / n
    expected = {
        "bias": (bar - 2, math.sqrt(((x - bar) ** 2).sum() / (n * (n - 1)))),
        "empirical_se": (empirical, empirical / math.sqrt(2 * (n - 1))),
        "mse": (mean_square, math.sqrt(((error**2 - mean_square) ** 2).sum() / (n * (n - 1)))),
        "model_se": (model, math.sqrt(var_of_square / (4 * n * model**2))),
        "relative_error_model_se": (model / empirical - 1, model / empirical * relative),
        "coverage": (covered, math.sqrt(covered * (1 - covered) / n)),
        "bias_eliminated_coverage": (centred, math.sqrt(centred * (1 - centred) / n)),
    }
    assert found["bias_eliminated_coverage"].limits == share_of(round(centred * n), n).limits
    for name, (value, mcse) in expected.items():
        assert found[name][:2] == pytest.approx((value, mcse), rel=1e-12), name


def draws(kind, rng):
    """Return estimates, their standard errors and the truth, for many simulated studies."""
    shape = (STUDIES, REPLICATES)
    scatter = np.sqrt(rng.chisquare(9, shape) / 9)
    if kind == "chi-square":
        x = rng.chisquare(4, shape)
        return x, x / np.sqrt(2), 4.0
    if kind == "t(5)":
        return rng.standard_t(5, shape), np.sqrt(5 / 3) * scatter, 0.3
    x = rng.normal(size=shape)
    if kind == "contaminated":
        x = np.where(rng.random(shape) < 0.05, 5 * x, x)
    return x, scatter, 0.3


@pytest.fixture(scope="module", params=["normal", "chi-square", "t(5)", "contaminated"])
def studies(request):
    estimates, std_errors, truth = draws(request.param, np.random.default_rng(5))
    rows = zip(estimates, std_errors, strict=True)
    return request.param, [with_limits(truth, x, s, null=0.5) for x, s in rows]


@pytest.mark.parametrize("name", ALL)
def test_law_mcse_is_the_spread_over_studies(studies, name):
    """Within 10 %: the spread over 800 studies is itself known to 2.5 %, less in heavy tails.

    The limits are symmetric, so those of squares of heavy-tailed estimates hold too rarely.
    """
    found = [measured(name, one) for one in studies[1]]
    values = np.array([one.value for one in found])
    if not values.any():
        assert all(one.mcse == 0 and one.upper > 0 for one in found)
        return
    mcse = np.sqrt(np.mean([one.mcse**2 for one in found]))
    # Between order statistics in a tail the formula smooths too much.
    near = 0.15 if name.startswith("quantile") else 0.1
    assert mcse / values.std(ddof=1) == pytest.approx(1, abs=near)
    covered = np.mean([one.lower <= values.mean() <= one.upper for one in found])
    assert covered == pytest.approx(0.95, abs=0.08)


@pytest.mark.parametrize("name", NORMAL_MCSE)
def test_law_published_mcse_is_right_for_normal_estimates(studies, name):
    kind, cells = studies
    found = [measured(name, one, normal=True) for one in cells]
    spread = np.std([one.value for one in found], ddof=1)
    ratio = np.sqrt(np.mean([one.mcse**2 for one in found])) / spread
    if kind == "normal":
        assert ratio == pytest.approx(1, abs=0.1)
    elif name == "empirical_se":
        assert ratio < 0.7


@pytest.mark.parametrize("offset", [1e8, -3e7])
def test_identity_a_large_offset_changes_nothing(offset):
    """Spread 1e-3 at 1e8: the doubles themselves are 1.5e-8 apart, so 1e-4 is what they allow."""
    rng = np.random.default_rng(6)
    x, s = rng.normal(0, 1e-3, 2000), rng.uniform(1e-3, 2e-3, 2000)
    plain = with_limits(1e-4, x, s, null=2e-3)
    x = x + offset
    moved = with_limits(1e-4 + offset, x, s, null=2e-3 + offset)
    plain = with_limits(moved.truth - offset, x - offset, s, null=moved.null - offset)
    for name in ALL.keys() - {"relative_bias", *WITHOUT_TRUTH}:
        near, far = measured(name, plain), measured(name, moved)
        assert far.value == pytest.approx(near.value, rel=1e-4, abs=1e-8), name
        assert far.mcse == pytest.approx(near.mcse, rel=1e-4, abs=1e-8), name
        assert far.used == near.used


def test_reference_rmse_of_a_bias_that_dwarfs_the_spread():
    """Then it is the bias, whose MCSE is sd/sqrt(n)."""
    x = 1e8 + np.random.default_rng(7).normal(0, 1e-3, 20_000)
    assert measured("rmse", cell(x, truth=0.0)).mcse == pytest.approx(1e-3 / 20_000**0.5, rel=0.02)
    assert measured("rmse", cell(np.full(9, 2.0))).mcse == 0


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("value", [1.0, np.nan, np.inf, 1e200])
@pytest.mark.parametrize("truth", [2.0, np.nan, 0.0])
@pytest.mark.parametrize("normal", [False, True])
def test_contract_few_missing_and_huge_numbers_give_no_warning(count, value, truth, normal):
    x = np.full(count, value)
    made = Cell(truth, x, x, x, x, 0.5)
    for name in ALL:
        answer = measured(name, made, normal=normal)
        assert 0 <= answer.used <= count
        if not math.isfinite(value):
            assert answer.used == 0 or name in INTERVAL_MEASURES
        if answer.used == 0:
            assert math.isnan(answer.value)
            assert math.isnan(answer.mcse)


def test_contract_without_truth_the_measures_that_need_none_remain():
    made = with_limits(np.nan, np.arange(5.0), np.ones(5))
    used = {name for name in ALL if measured(name, made).used}
    assert used == {
        *("empirical_se", "mad", "model_se", "relative_error_model_se"),
        *("bias_eliminated_coverage", "width"),
        *WITHOUT_TRUTH,
    }


def test_contract_a_missing_standard_error_does_not_cost_the_estimate():
    made = cell([1.0, 3.0, np.nan, 4.0], std_error=np.array([np.nan, 1.0, 2.0, np.nan]))
    assert measured("bias", made).used == 3
    assert measured("model_se", made)[0::2][:2] == (pytest.approx(np.sqrt(2.5)), 2)


def test_contract_relative_bias_keeps_the_sign_of_the_error():
    made = cell([-3.0, -4.0], truth=-2.0)
    assert measured("relative_bias", made).value == 0.75
    assert measured("relative_bias", made).mcse > 0
    assert measured("relative_bias", dataclasses.replace(made, truth=0.0)).used == 0


def test_contract_limits_of_a_number_and_of_a_share():
    assert Measured(1.0, 0.1, 5).lower == pytest.approx(1 - 0.196, abs=1e-4)
    assert Measured(1.0, 0.1, 5).upper == pytest.approx(1.196, abs=1e-4)
    assert share_of(0, 10).upper > 0.2


def test_contract_the_names_a_study_may_not_use_are_the_measures():
    assert set(BUILT_IN) == set(ALL)
