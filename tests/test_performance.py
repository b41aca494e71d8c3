"""Measures and their Monte Carlo standard errors."""

import numpy as np
import pytest

from mcstudy.analysis.cell import Cell
from mcstudy.analysis.measures import (
    MEASURES,
    bias,
    coverage,
    empirical_se,
    model_se,
    mse,
    relative_bias,
    rmse,
    width,
)


def cell(values, truth=2.0, **more):
    values = np.asarray(values, dtype=float)
    return Cell(truth, values, more.pop("std_error", np.full(len(values), np.nan)), **more)


def by_jackknife(statistic, values):
    left_out = np.array([statistic(np.delete(values, i)) for i in range(len(values))])
    n = len(values)
    return np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())


@pytest.mark.parametrize(
    ("measure", "statistic"),
    [
        (bias, lambda x: (x - 2).mean()),
        (relative_bias, lambda x: ((x - 2) / 2).mean()),
        (empirical_se, lambda x: x.std(ddof=1)),
        (mse, lambda x: ((x - 2) ** 2).mean()),
        (rmse, lambda x: np.sqrt(((x - 2) ** 2).mean())),
    ],
)
def test_identity_closed_form_against_leaving_out(measure, statistic):
    values = np.random.default_rng(1).chisquare(4, 40)
    value, mcse, used, _ = measure(cell(values))
    assert value == pytest.approx(statistic(values), rel=1e-12)
    assert mcse == pytest.approx(by_jackknife(statistic, values), rel=1e-10)
    assert used == 40


def test_identity_model_se_against_leaving_out():
    values = np.random.default_rng(2).chisquare(4, 40)
    value, mcse, *_ = model_se(cell(values, std_error=values))
    root_mean_square = lambda x: np.sqrt((x**2).mean())  # noqa: E731
    assert value == pytest.approx(root_mean_square(values), rel=1e-12)
    assert mcse == pytest.approx(by_jackknife(root_mean_square, values), rel=1e-10)


@pytest.mark.parametrize("degrees", [4, 9, 39])
@pytest.mark.parametrize("name", ["bias", "empirical_se", "mse", "rmse"])
def test_law_mcse_is_the_spread_over_studies_of_skewed_estimates(degrees, name):
    rng = np.random.default_rng(degrees)
    studies = rng.chisquare(degrees, (2000, 500))
    measured = [MEASURES[name](cell(study, truth=degrees)) for study in studies]
    values = np.array([m.value for m in measured])
    mcse = np.sqrt(np.mean([m.mcse**2 for m in measured]))
    assert mcse / values.std(ddof=1) == pytest.approx(1, abs=0.1)


def test_reference_coverage_and_width():
    limits = {"lower": np.array([0, 1, 3, np.nan, -np.inf]), "upper": np.array([3, 2, 4, 5, 2.5])}
    made = cell(np.zeros(5), **limits)
    assert coverage(made)[:3] == pytest.approx((0.75, np.sqrt(0.75 * 0.25 / 4), 4))
    assert width(made).used == 3
    assert width(made).value == pytest.approx(5 / 3)


def test_contract_a_missing_standard_error_does_not_cost_the_estimate():
    made = cell([1.0, 3.0, np.nan, 4.0], std_error=np.array([np.nan, 1.0, 2.0, np.nan]))
    assert bias(made).used == 3
    assert model_se(made).value == pytest.approx(np.sqrt(2.5))
    assert model_se(made).used == 2


@pytest.mark.parametrize("count", [0, 1, 2])
def test_contract_too_few_replicates_give_missing_and_no_warning(count):
    for measure in MEASURES.values():
        measured = measure(cell(np.ones(count)))
        assert measured.used in (0, count)


def test_contract_relative_bias_of_zero_does_not_exist():
    assert relative_bias(cell([1.0, 2.0], truth=0.0)).used == 0
