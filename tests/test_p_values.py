"""Tests by p-values: rejection at every level, size and power, compared on the same data."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mcstudy import Estimate, MCStudyError, Study, batched, grid, performance, run
from mcstudy.errors import ChangedError, StudyError, TableError
from mcstudy.report.findings import findings


def sample(rng, *, n, shift):
    return rng.normal(shift, size=n)


def t_test(x):
    return {"mu": Estimate(p_value=stats.ttest_1samp(x, 0).pvalue)}


def sign_test(x):
    return {"mu": Estimate(p_value=stats.binomtest(int((x > 0).sum()), len(x)).pvalue)}


STUDY = Study(
    name="tests",
    simulate=sample,
    estimands=lambda *, n, shift: {"mu": shift},
    methods={"t": t_test, "sign": sign_test},
    conditions=grid(n=[8, 15], shift=[0.0, 0.6]),
    replicates=300,
    seed=5,
    null=0.0,
    alpha=[0.05, 0.2],
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(STUDY, tmp_path_factory.mktemp("tests"), jobs=1, quiet=True)


def of(results, measure, **where):
    frame = results.performance
    kept = frame["measure"] == measure
    for name, level in where.items():
        kept &= frame[name] == level
    return frame[kept]


@pytest.mark.parametrize(("measure", "alpha"), [("rejection", 0.05), ("rejection_0.2", 0.2)])
def test_law_power_is_that_of_the_noncentral_t(results, measure, alpha):
    for row in of(results, measure, method="t").to_dict("records"):
        df, centre = row["n"] - 1, row["shift"] * row["n"] ** 0.5
        limit = stats.t.isf(alpha / 2, df)
        power = stats.nct.sf(limit, df, centre) + stats.nct.cdf(-limit, df, centre)
        error = math.sqrt(power * (1 - power) / row["used"])
        assert abs(row["value"] - power) < 4 * error


def test_law_a_discrete_test_has_its_own_size(results):
    for row in of(results, "rejection", method="sign", shift=0.0).to_dict("records"):
        n = row["n"]
        size = sum(
            stats.binom.pmf(k, n, 0.5) for k in range(n + 1) if stats.binomtest(k, n).pvalue <= 0.05
        )
        assert abs(row["value"] - size) < 4 * math.sqrt(size * (1 - size) / row["used"])


def test_identity_rejection_is_the_share_of_small_p_values_with_wilsons_limits(results):
    p = results.estimates
    assert p["estimate"].isna().all()
    for row in of(results, "rejection").to_dict("records"):
        key = f"n={row['n']}, shift={row['shift']:g}"
        own = p[(p["condition"] == key) & (p["method"] == row["method"])]["p_value"]
        hits = int((own <= 0.05).sum())
        limits = stats.binomtest(hits, len(own)).proportion_ci(method="wilson")
        assert row["value"] == hits / len(own)
        assert (row["lower"], row["upper"]) == pytest.approx(tuple(limits))
        assert row["mcse"] == pytest.approx(math.sqrt(row["value"] * (1 - row["value"]) / 300))


def test_contract_a_test_alone_has_no_measures_of_estimates_and_no_interval(results):
    mine = results.performance[results.performance["estimand"].notna()]
    assert set(mine["measure"]) == {"rejection", "rejection_0.2"}
    assert set(mine["interval"]) == {"p_value"}
    assert results.intervals.empty
    assert set(results.fits["status"]) == {"ok"}


@pytest.mark.parametrize(
    ("measure", "alpha"), [("rejection_difference", 0.05), ("rejection_difference_0.2", 0.2)]
)
def test_identity_two_tests_are_compared_by_replicate(results, measure, alpha):
    frame = results.comparisons
    p = results.estimates.pivot(
        index=["condition", "replicate"], columns="method", values="p_value"
    )
    for row in frame[frame["measure"] == measure].to_dict("records"):
        own = p.loc[f"n={row['n']}, shift={row['shift']:g}"]
        d = (own["t"] <= alpha).astype(float) - (own["sign"] <= alpha)
        assert (row["method"], row["reference"]) == ("t", "sign")
        assert row["value"] == pytest.approx(d.mean(), abs=1e-15)
        assert row["mcse"] == pytest.approx(d.std() / len(d) ** 0.5)


@pytest.mark.slow
def test_identity_sums_give_the_same_rejection(tmp_path, results):
    study = dataclasses.replace(STUDY, name="sums", keep="measures", alpha=0.2)
    sums = run(study, tmp_path, jobs=1, quiet=True).performance
    sums = sums[sums["measure"] == "rejection"].reset_index(drop=True)
    rows = of(results, "rejection_0.2").reset_index(drop=True)
    columns = ["n", "shift", "method", "value", "mcse", "lower", "upper", "used"]
    pd.testing.assert_frame_equal(sums[columns], rows[columns])


def test_contract_sums_of_another_alpha_do_not_count(tmp_path, capfd):
    study = dataclasses.replace(STUDY, name="sums", keep="measures", alpha=0.2, replicates=20)
    run(study, tmp_path, jobs=1, quiet=True)
    other = dataclasses.replace(study, alpha=0.05)
    with pytest.raises(ChangedError, match=r"the level of the tests .* 0\.2 -> 0\.05"):
        run(other, tmp_path, jobs=1, quiet=True)


def test_identity_anybodys_p_values_give_the_same_measures(results):
    frame = results.estimates.merge(results.conditions, on="condition")
    by = ["n", "shift", "method", "estimand"]
    made = performance(
        frame.drop(columns=["estimate", "std_error", "truth"]), by=by, alpha=[0.05, 0.2]
    )
    mine = results.performance.dropna(subset=["estimand"]).drop(columns="interval")
    pd.testing.assert_frame_equal(
        made.reset_index(drop=True),
        mine.sort_values(by, kind="stable").reset_index(drop=True)[made.columns],
        check_dtype=False,
    )


@pytest.mark.slow
def test_contract_a_p_value_stands_beside_an_estimate_and_its_interval(tmp_path):
    def both(x):
        test = stats.ttest_1samp(x, 0)
        low, high = test.confidence_interval(0.95)
        return {"mu": Estimate(x.mean(), lower=low, upper=high, p_value=test.pvalue)}

    study = dataclasses.replace(STUDY, name="both", methods={"both": both}, alpha=None)
    frame = run(study, tmp_path, jobs=1, quiet=True).performance
    rejection = frame[frame["measure"] == "rejection"].pivot_table(
        index=["n", "shift"], columns="interval", values="value"
    )
    # The interval of the t test leaves out 0 exactly where its p-value is below 0.05.
    assert (rejection["default"] == rejection["p_value"]).all()
    assert {"bias", "coverage"} <= set(frame["measure"])


def test_contract_a_missing_p_value_costs_itself_alone(tmp_path):
    def some(x):
        return {"mu": Estimate(p_value=0.01 if x[0] > 0 else np.nan)}

    study = dataclasses.replace(STUDY, name="some", methods={"some": some}, alpha=None)
    results = run(study, tmp_path, jobs=1, quiet=True)
    lost = int((results.fits["status"] == "not_finite").sum())
    rows = of(results, "rejection")
    assert lost > 0
    assert rows["used"].sum() == len(results.fits) - lost
    assert (rows["value"] == 1).all()


def test_contract_p_values_stand_beside_true_values_of_each_data_set(tmp_path):
    def both(x):
        test = stats.ttest_1samp(x, 0)
        return {"mu": Estimate(x[:5].mean(), 0.5, p_value=test.pvalue)}

    study = dataclasses.replace(
        STUDY,
        name="own",
        estimands=lambda data, *, n, shift: {"mu": data.mean()},
        methods={"t": both, "sign": sign_test},
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    rejected = results.estimates["p_value"] <= 0.05
    found = of(results, "rejection", interval="p_value")
    assert (found["value"] * found["used"]).sum() == pytest.approx(rejected.sum())
    assert of(results, "bias", method="t")["value"].notna().all()
    assert "rejection_difference" in set(results.comparisons["measure"])


def test_contract_a_batch_has_p_values_too(tmp_path, results):
    @batched
    def together(batch):
        return {"mu": Estimate(p_value=stats.ttest_1samp(np.stack(batch), 0, axis=1).pvalue)}

    study = dataclasses.replace(STUDY, name="batch", methods={"t": together})
    frame = run(study, tmp_path, jobs=1, quiet=True).performance
    rows = of(results, "rejection", method="t")
    assert frame[frame["measure"] == "rejection"]["value"].tolist() == rows["value"].tolist()


def test_contract_a_study_without_p_values_has_no_such_column(study_file, tmp_path):
    assert "p_value" not in run(study_file(), tmp_path, jobs=1, quiet=True).estimates


@pytest.mark.slow
def test_contract_a_measure_of_ones_own_gets_the_p_values(tmp_path):
    study = dataclasses.replace(
        STUDY, name="own", measures={"middle": lambda p_value: float(np.median(p_value))}
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    p = results.estimates.groupby(["condition", "method"])["p_value"].median()
    assert sorted(of(results, "middle")["value"]) == pytest.approx(sorted(p))


def test_contract_size_and_power_have_columns_and_sentences_of_their_own(results):
    assert "Tests: " in str(results)
    assert "rejection (null true)" in str(results)
    said = " ".join(each.text for each in findings(results))
    assert "The test by t rejects the null hypothesis of mu in" in said
    assert "where it is true (nominal 5 %)" in said
    assert "where it is true (nominal 20 %)" in said
    assert "where it is false (its power at 20 %)" in said


@pytest.mark.slow
def test_contract_where_no_null_hypothesis_is_known_none_is_said_to_be_true(tmp_path):
    study = dataclasses.replace(STUDY, name="bare", estimands=None, null=None, alpha=None)
    results = run(study, tmp_path, jobs=1, quiet=True)
    said = " ".join(each.text for each in findings(results) if "rejects" in each.text)
    assert "true" not in said
    assert "false" not in said
    assert "(null" not in str(results)


def test_contract_the_study_is_judged_by_its_tests(results):
    said = str(results.adequacy())
    assert "differences in rejection" in said
    assert "for a rejection rate" in said


@pytest.mark.slow
def test_contract_calibration_is_that_of_true_null_hypotheses(results):
    said = results.plot("pvalues").chart.description
    p = results.estimates[results.estimates["condition"] == "n=8, shift=0"]
    share = (p[p["method"] == "t"]["p_value"] <= 0.05).mean()
    assert f"t: {share:.3f} of 300 p-values at or below 0.05" in said
    results.plot("path", measure="rejection_0.2").to_dict()


def test_contract_a_study_of_tests_has_no_words_about_estimates(results, tmp_path):
    page = results.report(tmp_path / "page.html").read_text()
    assert "No figure" not in page
    assert "No method gives an estimate, so nothing is ranked." in page
    with pytest.raises(MCStudyError, match="no method gives an estimate, so there is no bias"):
        results.plot("bias_se_rmse")


@pytest.mark.slow
def test_contract_where_no_null_hypothesis_is_true_calibration_is_that_of_the_true_value(tmp_path):
    def test(x):
        return {"mu": Estimate(x.mean(), x.std(ddof=1) / len(x) ** 0.5, p_value=0.5)}

    study = dataclasses.replace(STUDY, methods={"t": test}, replicates=50)
    said = []
    for name, null in (("none", None), ("never", 9.0)):
        one = dataclasses.replace(study, name=name, null=null)
        said.append(run(one, tmp_path, jobs=1, quiet=True).plot("pvalues").chart)
    assert said[0].description == said[1].description
    assert "share of p-values of the true value" in json.dumps(said[1].to_dict())


def off(answer):
    return dataclasses.replace(STUDY, name="off", methods={"m": lambda x: answer}, replicates=2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"mu": Estimate(p_value=1.2)}, "returned the p-value 1.2 for 'mu'; give a number between"),
        ({"mu": Estimate(p_value=-0.1)}, "returned the p-value -0.1 for 'mu'"),
        (
            {"mu": Estimate(0.0, intervals={"p_value": (0, 1)}, p_value=0.3)},
            "returned an interval called 'p_value' beside a p-value for 'mu'; give it another name",
        ),
    ],
)
def test_contract_what_is_no_p_value_is_refused(tmp_path, answer, said):
    with pytest.raises(StudyError) as caught:
        run(off(answer), tmp_path, jobs=1, quiet=True)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alpha": 0}, "alpha is 0; give a number between 0 and 1, or a list"),
        ({"alpha": [0.05, 1.0]}, "alpha is "),
        ({"alpha": []}, "alpha is "),
        ({"alpha": [0.05, 0.05]}, "give each level once"),
        ({"alpha": "0.05"}, "alpha is '0.05'"),
        ({"keep": "measures"}, "several levels of alpha need the rows"),
        (
            {"measures": {"m": lambda p_value, lower: 0.0}},
            "measure 'm' asks for p_value and for limits",
        ),
        ({"measures": {"rejection_x": lambda estimate: 0.0}}, "begins with rejection_"),
    ],
)
def test_contract_alpha_and_measures_are_checked(options, said):
    with pytest.raises(StudyError) as caught:
        dataclasses.replace(STUDY, **options)
    assert said in str(caught.value)


def test_contract_a_table_with_a_p_value_that_is_none_is_refused():
    with pytest.raises(TableError, match="a p-value is 3 in"):
        performance(pd.DataFrame({"p_value": [0.1, 3.0]}))


@pytest.mark.slow
def test_contract_the_report_defines_rejection_at_each_level(results, tmp_path):
    page = results.report(tmp_path / "page.html").read_text()
    assert "p-values of at most alpha, at the level 0.2" in page


def test_contract_a_test_fails_only_where_its_p_value_is_missing(results):
    assert (results.failure_overlap().frame["failed"] == 0).all()
    text = str(results.compare("t", "sign"))
    assert text.count("*") > 3
    made = performance(
        pd.DataFrame({"estimate": [np.nan] * 4, "p_value": [0.01, 0.2, 0.5, 0.04]}),
        truth=None,
        estimate=None,
    )
    assert made["measure"].tolist() == ["rejection"]
    assert made["value"].tolist() == [0.5]
