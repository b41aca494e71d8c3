"""The exact law of balanced data, and the studies that must agree with it."""

import numpy as np
import pytest
from scipy import stats

from mcstudy import Study, grid, nested, run

DESIGN = {"n_group1": 20, "n_group2": 5, "n_rep": 5}
SDS = {"group1_sd": 2.0, "group2_sd": 3.0, "unexplained_sd": 4.0}
PROFILE = nested.reml.with_intervals("exact", "wald", "log", "satterthwaite", "mls", "profile")
SLOW = nested.reml.with_intervals("generalized", "bootstrap")
KEY = ["estimand", "interval", "measure"]


def study(method, replicates, **factors):
    return Study(
        name="law",
        simulate=nested.generate_nested,
        estimands=nested.variances,
        methods={"reml": method},
        conditions=grid(**{name: [level] for name, level in (DESIGN | SDS | factors).items()}),
        replicates=replicates,
        seed=20261123,
    )


def assert_agreement(found, law, times=4.0):
    """Every measure of the study is within that many MCSEs of the law."""
    both = found.merge(law, on=KEY, suffixes=("", "_law"), how="outer", indicator=True)
    assert (both["_merge"] == "both").all()
    checked = both[(both.used > 0) & both.mcse.notna()]
    shares = checked.measure.str.startswith(("coverage", "share_"))
    p, n = checked.value_law, checked.used
    mcse = np.where(shares, np.sqrt(np.clip(p * (1 - p), 0, None) / n), checked.mcse)
    error = np.hypot(mcse, checked.mcse_law)
    away = (checked.value - checked.value_law).abs()
    off = checked[away > times * error + 1e-9]
    assert off.empty, off[[*KEY, "value", "mcse", "value_law", "mcse_law"]].to_string()


@pytest.mark.slow
def test_reference_closed_forms_of_the_law():
    law = nested.exact_law(DESIGN | SDS, draws=200_000).set_index(KEY)
    exact = law.loc[("unexplained_var", "exact")]
    assert exact.loc["coverage", "value"] == pytest.approx(0.95, abs=4 * 0.0005)
    spread = law.loc[("unexplained_var", np.nan, "empirical_se")]
    assert spread.value == pytest.approx(16 * np.sqrt(2 / 400), abs=4 * spread.mcse)
    boundary = law[law.index.get_level_values("measure") == "share_boundary"].iloc[0]
    at_zero = stats.f.cdf(61 / 161, 19, 80)
    assert boundary.value == pytest.approx(at_zero, abs=4 * boundary.mcse + 1e-4)


def test_contract_the_law_has_the_columns_of_performance(tmp_path):
    found = run(study(nested.reml, 10), tmp_path, jobs=1, quiet=True).performance
    law = nested.exact_law(DESIGN | SDS, draws=1000)
    assert list(law) == list(found)
    assert set(law.measure) == set(found.measure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_rep": 1}, "must be 2 or more"),
        ({"unexplained_shape": "t(5)"}, "balanced normal data only, not unexplained_shape"),
    ],
)
def test_contract_the_law_says_what_it_does_not_know(change, message):
    with pytest.raises(ValueError, match=message):
        nested.exact_law(DESIGN | SDS | change)


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [20_000, pytest.param(100_000, marks=pytest.mark.xslow)])
def test_law_of_every_interval_with_a_formula(tmp_path, replicates):
    found = run(study(PROFILE, replicates), tmp_path, jobs=1, quiet=True).performance
    law = nested.exact_law(DESIGN | SDS, method=PROFILE, draws=replicates)
    assert_agreement(found, law)
    coverage = found[found.measure == "coverage"].set_index(["estimand", "interval"]).value
    published = {
        ("group1_var", "satterthwaite"): 0.952,
        ("group1_var", "mls"): 0.950,
        ("group2_var", "wald"): 0.937,
        ("group2_var", "mls"): 0.949,
        ("unexplained_var", "exact"): 0.950,
        ("unexplained_var", "wald"): 0.949,
    }
    for key, value in published.items():
        mcse = np.sqrt(2 * value * (1 - value) / replicates)
        assert coverage[key] == pytest.approx(value, abs=3 * mcse + 0.0005), key


@pytest.mark.slow
def test_law_of_ml_near_zero(tmp_path):
    factors = {"group1_sd": 0.5, "n_group1": 8}
    method = nested.ml.with_intervals("wald", "log", "mls")
    found = run(study(method, 20_000, **factors), tmp_path, jobs=2, quiet=True).performance
    assert_agreement(found, nested.exact_law(DESIGN | SDS | factors, method=method, draws=200_000))


@pytest.mark.slow
def test_law_of_generalized_and_bootstrap(tmp_path):
    found = run(study(SLOW, 1000), tmp_path, jobs=1, quiet=True).performance
    assert_agreement(found, nested.exact_law(DESIGN | SDS, method=SLOW, draws=1000, seed=9))
    coverage = found[found.measure == "coverage"].set_index(["estimand", "interval"]).value
    mcse = np.sqrt(0.925 * 0.075 / 1000)
    assert coverage["group1_var", "bootstrap"] == pytest.approx(0.925, abs=3 * mcse)
