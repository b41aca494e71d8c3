"""Numbers without a true value, such as a test error or a choice: means, quantiles and shares."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import mcstudy
from mcstudy import Estimate, Study, batched, grid, open_results, run
from mcstudy.analysis.mcse import wilson
from mcstudy.cli import main
from mcstudy.comparison.paired_measures import (
    Pair,
    mean_estimate_difference,
    mean_estimate_ratio,
    share_difference,
)
from mcstudy.errors import StudyError
from mcstudy.report.findings import findings


def sample(rng, *, n):
    return rng.gamma(2.0, size=n)


def mean(x):
    return {"error": (x.mean() - 2) ** 2, "above": bool(x.mean() > 2), "count": int((x > 1).sum())}


def median(x):
    value = np.median(x)
    return {"error": (value - 2) ** 2, "above": np.bool_(value > 2), "count": np.int64(len(x))}


@batched
def together(data):
    x = np.array(data)
    middle = x.mean(axis=-1)
    return {"error": (middle - 2) ** 2, "above": middle > 2, "count": (x > 1).sum(axis=-1)}


STUDY = Study(
    name="numbers",
    simulate=sample,
    estimands=None,
    methods={"mean": mean, "median": median},
    conditions=grid(n=[5, 10, 20]),
    replicates=80,
    seed=4,
)


def made(folder, **changes):
    return run(dataclasses.replace(STUDY, **changes), folder, jobs=1, quiet=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return made(tmp_path_factory.mktemp("numbers"))


def cell(results, estimand, measure, n=5, method="mean"):
    frame = results.performance
    found = frame[
        (frame.estimand == estimand)
        & (frame.measure == measure)
        & (frame.n == n)
        & (frame.method == method)
    ]
    (row,) = found.to_dict("records")
    return row


def numbers(results, estimand, n=5, method="mean"):
    frame = results.estimates.merge(results.conditions)
    frame = frame[(frame.estimand == estimand) & (frame.n == n) & (frame.method == method)]
    return frame.sort_values("replicate").estimate.to_numpy()


def test_identity_measures_are_those_of_numpy(results):
    x = numbers(results, "error")
    row = cell(results, "error", "mean")
    assert row["value"] == pytest.approx(x.mean(), rel=1e-14)
    assert row["mcse"] == pytest.approx(x.std(ddof=1) / 80**0.5, rel=1e-12)
    assert (row["used"], row["replicates"]) == (80, 80)
    for measure, p in (("quantile_05", 0.05), ("median", 0.5), ("quantile_95", 0.95)):
        assert cell(results, "error", measure)["value"] == pytest.approx(np.quantile(x, p))
    assert cell(results, "error", "empirical_se")["value"] == pytest.approx(x.std(ddof=1))


def test_identity_the_mean_of_zeros_and_ones_is_a_share(results):
    x = numbers(results, "above")
    assert set(x) == {0.0, 1.0}
    row, p = cell(results, "above", "mean"), x.mean()
    assert row["mcse"] == pytest.approx(np.sqrt(p * (1 - p) / 80))
    assert (row["lower"], row["upper"]) == pytest.approx(wilson(p, 80))


def test_contract_there_is_no_measure_that_needs_a_truth_or_a_standard_error(results):
    assert set(results.performance.dropna(subset="estimand").measure) == {
        *("mean", "median", "quantile_05", "quantile_95", "empirical_se", "mad"),
    }
    assert set(results.comparisons.measure) == {
        *("mean_difference", "mean_ratio", "empirical_se_ratio"),
    }


def test_identity_sums_say_what_rows_say(results, tmp_path):
    kept = made(tmp_path, keep="measures").performance.dropna(subset="estimand")
    assert set(kept.measure) == {"mean", "empirical_se"}
    key = ["n", "method", "estimand", "measure"]
    both = kept.merge(results.performance, on=key, suffixes=("", "_rows"))
    assert len(both) == len(kept)
    for column in ("value", "used"):
        np.testing.assert_allclose(both[column], both[f"{column}_rows"], rtol=1e-12)
    means = both[both.measure == "mean"]
    for column in ("mcse", "lower", "upper"):
        np.testing.assert_allclose(means[column], means[f"{column}_rows"], rtol=1e-9, atol=1e-15)


def test_identity_a_table_from_elsewhere_without_a_truth_gives_the_same(results):
    rows = results.estimates.merge(results.conditions).drop(columns=["truth", "std_error"])
    by = ["n", "method", "estimand"]
    made_of = mcstudy.performance(rows, truth=None, by=by)
    own = results.performance.dropna(subset="estimand")
    both = made_of.merge(own, on=[*by, "measure"], suffixes=("", "_own"))
    assert len(both) == len(own) == len(made_of)
    for column in ("value", "mcse", "lower", "upper", "used"):
        np.testing.assert_array_equal(both[column], both[f"{column}_own"])


def test_identity_a_batch_gives_what_single_calls_give(results, tmp_path):
    batch = made(tmp_path, methods={"mean": together}).performance
    single = results.performance.query("method == 'mean'")
    key = ["n", "estimand", "measure"]
    both = batch.merge(single, on=key, suffixes=("", "_single"))
    assert len(both) == len(batch)
    np.testing.assert_allclose(both["value"], both["value_single"], rtol=1e-12)


def test_identity_paired_measures_are_those_by_hand():
    rng = np.random.default_rng(3)
    x, y = rng.gamma(2.0, size=(2, 60))
    x[3], y[7] = np.nan, np.inf
    kept = np.isfinite(x) & np.isfinite(y)
    pair = Pair(np.nan, x, y)
    difference = mean_estimate_difference(pair)
    assert difference.value == pytest.approx((x - y)[kept].mean())
    assert difference.mcse == pytest.approx((x - y)[kept].std(ddof=1) / np.sqrt(58))
    assert difference.upper == pytest.approx(difference.value + 1.959964 * difference.mcse)
    ratio, a, b = mean_estimate_ratio(pair), x[kept], y[kept]
    left_out = [np.delete(a, i).mean() / np.delete(b, i).mean() for i in range(58)]
    assert ratio.value == pytest.approx(a.mean() / b.mean())
    assert ratio.mcse == pytest.approx(np.sqrt(57 / 58 * np.var(left_out) * 58))
    one, other = rng.random((2, 3, 40)) < 0.8
    shares = share_difference(one, other)
    made_of = mean_estimate_difference(Pair(np.nan, one.astype(float), other.astype(float)))
    np.testing.assert_allclose(made_of.lower, shares.lower)
    np.testing.assert_allclose(made_of.value, shares.value)


@pytest.mark.slow
def test_law_limits_of_a_mean_cover():
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(1000):
        frame = pd.DataFrame({"estimate": rng.gamma(2.0, size=100)})
        row = mcstudy.performance(frame, truth=None).set_index("measure").loc["quantile_95"]
        covered += row.lower <= 4.743865 <= row.upper  # the quantile of gamma(2)
    assert 0.90 <= covered / 1000 <= 0.985


def test_contract_the_run_says_nothing_of_it_and_shows_the_means(results, tmp_path, capfd):
    text = str(run(STUDY, tmp_path, jobs=1))
    assert "Note" not in capfd.readouterr().err
    assert "Estimates without a true value: range over 3 conditions (Monte Carlo" in text
    assert "bias" not in text
    assert "coverage" not in text
    said = [each.text for each in findings(results)]
    assert any(each.startswith("The mean error: mean ") for each in said)
    assert any(each.startswith("On the same data sets, the mean ") for each in said)


@pytest.mark.slow
def test_contract_every_way_to_look_at_it_works(results, tmp_path, capsys):
    folder = str(results.folder)
    assert main(["table", folder, "--measure", "mean,quantile_95"]) == 0
    assert main(["compare", folder, "--methods", "median,mean"]) == 0
    assert "mean_ratio" in capsys.readouterr().out
    assert main(["anova", folder, "--measure", "mean"]) == 0
    assert main(["failures", folder]) == 0
    assert main(["status", folder]) == 0
    assert "differences in mean" in " ".join(capsys.readouterr().out.split())
    assert main(["report", folder, "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "The mean above: mean " in page
    assert "mcstudy table" in page
    for name in ("mean", "lolly", "heat", "estimates"):
        results.plot(name).save(tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.svg").stat().st_size > 1000


def test_contract_some_estimands_have_a_truth_and_others_none(tmp_path):
    def both(x):
        return {"centre": Estimate(x.mean(), x.std(ddof=1) / len(x) ** 0.5), **mean(x)}

    results = made(
        tmp_path,
        estimands=lambda *, n: {"centre": 2.0, "error": None, "above": None},
        methods={"both": both},
        labels={"error": "squared error"},
    )
    frame = results.performance
    assert "bias" in set(frame[frame.estimand == "centre"].measure)
    assert "mean" not in set(frame[frame.estimand == "centre"].measure)
    assert "mean" in set(frame[frame.estimand == "count"].measure)
    text = str(results)
    for words in ("Estimates: value", "Estimates without a true value", "squared error"):
        assert words in text
    assert results.estimates.query("estimand == 'error'").truth.isna().all()


def test_contract_what_reads_like_an_estimand_is_refused(tmp_path):
    changes = {"estimands": lambda *, n: {"erorr": 1.0}}
    with pytest.raises(
        StudyError, match=r"'error', of which estimands says nothing \(did you mean"
    ):
        made(tmp_path, **changes)
    with pytest.raises(StudyError, match="no method returns the estimand 'theta'"):
        made(tmp_path, estimands=lambda *, n: {"theta": 1.0})


def test_contract_where_all_fits_fail_the_number_is_missing_and_not_absent(tmp_path):
    def fails(x):
        if len(x) == 5:
            raise ValueError("no")
        return mean(x)

    frame = made(tmp_path, methods={"fails": fails}).performance
    rows = frame[(frame.measure == "mean") & (frame.n == 5)]
    assert set(rows.estimand) == {"error", "above", "count"}
    assert (rows.used == 0).all()
    assert (rows.replicates == 80).all()


def test_contract_a_measure_of_ones_own_called_mean_stands_in_place_of_ours(tmp_path):
    results = made(tmp_path, measures={"mean": lambda estimate: float(np.max(estimate))})
    frame = results.performance
    assert (frame[frame.measure == "mean"].groupby(["n", "method", "estimand"]).size() == 1).all()
    assert cell(results, "error", "mean")["value"] == numbers(results, "error").max()


@pytest.mark.slow
def test_contract_growing_and_reading_again_change_nothing(tmp_path):
    made(tmp_path / "a", replicates=30)
    grown = made(tmp_path / "a")
    whole = made(tmp_path / "b")
    assert grown.digests() == whole.digests()
    assert open_results(grown.folder).performance.equals(whole.performance)


def test_contract_check_notes_a_method_with_another_name_for_an_estimand():
    from mcstudy import check

    made = Study(
        name="names",
        simulate=lambda rng: rng.normal(size=9),
        estimands=lambda: {"rho": 0.0},
        methods={
            "one": lambda data: {"rho": Estimate(data.mean())},
            "two": lambda data: {"r": Estimate(data.std())},
        },
        conditions=grid(),
        replicates=2,
        seed=1,
    )
    shown = str(check(made))
    assert "method 'two' returns 'r', of which estimands says nothing, and not 'rho'" in shown
    assert "method 'one'" not in shown
