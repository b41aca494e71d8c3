"""The flagship study against theory: the mean squares of balanced data are scaled chi-squares."""

import numpy as np
import pytest

from mcstudy import Study, grid, nested, run

A, B, R = 20, 5, 5
TRUTH = {"group1_var": 4.0, "group2_var": 9.0, "unexplained_var": 16.0}


def law():
    """Return bias, RMSE and coverage of `wald` by 400,000 draws of the three mean squares."""
    degrees = np.array([A * B * (R - 1), A * (B - 1), A - 1])
    scale = np.array([16, 16 + R * 9, 16 + R * 9 + B * R * 4])
    squares = scale * np.random.default_rng(1).chisquare(degrees, (400_000, 3)) / degrees
    e, second, first = squares.T
    pooled = {
        "e2": (degrees[0] * e + degrees[1] * second) / degrees[:2].sum(),
        "21": (degrees[1] * second + degrees[2] * first) / degrees[1:].sum(),
    }
    at_zero = first < second
    assert (second > e).all()
    second = np.where(at_zero, pooled["21"], second)
    first = np.where(at_zero, pooled["21"], first)
    values = {
        "group1_var": np.where(at_zero, 0, (first - second) / (B * R)),
        "group2_var": (second - e) / R,
        "unexplained_var": e,
    }
    spread_e, spread_first = 2 * e**2 / degrees[0], 2 * first**2 / degrees[2]
    spread_second = 2 * second**2 / np.where(at_zero, degrees[1:].sum(), degrees[1])
    errors = {
        "group1_var": np.where(at_zero, np.nan, np.sqrt(spread_first + spread_second) / (B * R)),
        "group2_var": np.sqrt(spread_second + spread_e) / R,
        "unexplained_var": np.sqrt(spread_e),
    }
    for name, truth in TRUTH.items():
        error = values[name] - truth
        exists = ~np.isnan(errors[name])
        covered = np.abs(error[exists]) <= 1.959964 * errors[name][exists]
        yield (
            name,
            {
                "bias": error.mean(),
                "rmse": np.sqrt((error**2).mean()),
                "coverage": covered.mean(),
            },
        )


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [40, pytest.param(160, marks=pytest.mark.xslow)])
def test_law_of_the_20_x_5_x_5_design(tmp_path, replicates):
    study = Study(
        name="law",
        simulate=nested.generate_nested,
        estimands=nested.variances,
        methods={"matrices_tight": nested.matrices_tight},
        conditions=grid(
            n_group1=[A], n_group2=[B], n_rep=[R], group1_sd=[2], group2_sd=[3], unexplained_sd=[4]
        ),
        replicates=replicates,
        seed=20261123,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    performance = results.performance[
        results.performance.interval.isin(["wald"]) | (results.performance.interval.isna())
    ].set_index(["estimand", "measure"])
    for name, exact in law():
        for measure, value in exact.items():
            row = performance.loc[(name, measure)]
            mcse = row.mcse
            if measure == "coverage":
                mcse = np.sqrt(value * (1 - value) / row.used)
            assert row.value == pytest.approx(value, abs=4 * mcse), (name, measure)
    assert results.performance.query("measure == 'share_ok'").value.item() > 0.9
