"""Coverage where intervals are missing: `coverage_of_all`, and bounds in printed tables."""

import numpy as np
import pandas as pd
import pytest

import mcstudy
from mcstudy import run
from mcstudy.analysis.measure_set import measured
from mcstudy.analysis.measures import Cell
from mcstudy.tables.numbers import bounds_in_words, coverage_bounds

SOME_MISSING = (
    "    return {",
    "    if abs(sample[0]) > 1: se = np.nan\n    return {",
)
KEEP = ("seed=7,", "seed=7, keep='measures',")
KEY = ["n", "mean", "method", "estimand", "interval"]
FACTORS = ["n", "mean"]


@pytest.fixture
def results(study_file, tmp_path):
    return run(study_file(SOME_MISSING), tmp_path, jobs=1, quiet=True)


def plain(results):
    """Count data sets whose interval contains the truth, with pandas, of the tables of rows."""
    rows = results.intervals.merge(results.estimates).merge(results.conditions)
    rows["value"] = (rows.lower <= rows.truth) & (rows.truth <= rows.upper)
    return rows.groupby(KEY)["value"].mean().sort_index()


def of(table, measure):
    return table[table.measure == measure].set_index(KEY).sort_index()


def test_identity_coverage_of_all_is_the_plain_share(results):
    made = of(results.performance, "coverage_of_all")
    known = plain(results)
    some = of(results.performance, "coverage")
    assert (some.used < some.replicates).all()
    assert (made.used == made.replicates).all()
    np.testing.assert_allclose(made.value, known, rtol=1e-14)
    np.testing.assert_allclose(made.mcse, np.sqrt(known * (1 - known) / 60), rtol=1e-12)
    np.testing.assert_allclose(made.value, some.value * some.used / some.replicates, rtol=1e-14)


def test_identity_sums_and_tables_from_elsewhere_give_the_same(results, study_file, tmp_path):
    known = of(results.performance, "coverage_of_all")
    kept = run(study_file(SOME_MISSING, KEEP), tmp_path / "kept", jobs=1, quiet=True)
    numbers = ["value", "mcse", "lower", "upper", "used", "replicates"]
    pd.testing.assert_frame_equal(of(kept.performance, "coverage_of_all")[numbers], known[numbers])
    rows = results.intervals.merge(results.estimates).merge(results.conditions)
    elsewhere = mcstudy.performance(rows, by=KEY)
    pd.testing.assert_frame_equal(of(elsewhere, "coverage_of_all")[numbers], known[numbers])


def test_contract_without_a_truth_there_is_no_coverage_of_all():
    x = np.array([1.0, 2.0])
    assert measured("coverage_of_all", Cell(np.nan, x, x, x, x)).used == 0


def test_contract_without_any_interval_it_is_zero():
    x, none = np.array([1.0, 2.0]), np.full(2, np.nan)
    assert measured("coverage_of_all", Cell(1.0, x, x, none, none))[:3:2] == (0, 2)


@pytest.mark.slow
def test_identity_the_difference_of_two_methods_is_that_of_their_measures(study_file, tmp_path):
    twice = ('"jittered": jittered', '"other": lambda x: average(x[1:])')
    results = run(study_file(SOME_MISSING, twice), tmp_path, jobs=1, quiet=True)
    value = of(results.performance, "coverage_of_all").value.unstack("method")
    compared = results.comparisons.query("measure == 'coverage_of_all_difference'")
    found = compared.set_index(FACTORS).value.sort_index()
    expected = (value.other - value.average).groupby(FACTORS).first()
    np.testing.assert_allclose(found, expected, atol=1e-14)
    assert "coverage_of_all_difference" in str(results.compare("other", "average"))
    whole = run(study_file(twice), tmp_path / "whole", jobs=1, quiet=True)
    assert "coverage_of_all" not in str(whole.compare("other", "average"))


def test_contract_no_truth_no_difference_of_coverage():
    from mcstudy.comparison.paired_measures import INTERVAL_COMPARISONS, Pair

    x = np.array([1.0, 2.0, 3.0])
    pair = Pair(np.nan, x, x, (x - 1, x + 1), (x - 1, x + 1))
    for name in ("coverage_difference", "coverage_of_all_difference"):
        assert INTERVAL_COMPARISONS[name](pair).used == 0


def test_contract_bounds_stand_where_more_than_one_percent_are_missing():
    assert coverage_bounds("coverage", 0.5, 98, 100) == (0.49, 0.51)
    assert coverage_bounds("coverage", 0.5, 99, 100) is None
    assert coverage_bounds("coverage", np.nan, 0, 100) is None
    assert coverage_bounds("width", 0.5, 98, 100) is None
    assert bounds_in_words(coverage_bounds("coverage", 0.99, 30291, 40000)) == "[0.75, 0.99]"


def test_contract_printed_tables_give_the_bounds(results, study_file, tmp_path):
    made = results.table("coverage")
    for form in ("text", "markdown", "latex", "html"):
        shown = made.to(form)
        assert "[0." in shown or "{[}0." in shown
        assert "count as 0, and as 1" in shown
    assert "[" not in made.to("csv")
    whole = run(study_file(), tmp_path / "whole", jobs=1, quiet=True)
    assert "[" not in str(whole.table("coverage"))


def test_contract_it_is_there_for_tables_rankings_and_anova(results):
    assert "coverage_of_all" in str(results.table("coverage_of_all"))
    assert "coverage_of_all" in str(results.anova("coverage_of_all"))


def test_contract_tables_from_before_it_are_named_as_such(results):
    before = results.performance.query("measure != 'coverage_of_all'")
    with pytest.raises(mcstudy.MCStudyError, match="older than it; mcstudy summarize makes them"):
        mcstudy.table(before, "coverage_of_all")
    assert "count as 0" in str(mcstudy.table(before, "coverage"))
