"""Failures as data: overlap of failures, and rankings with failures counted in three ways."""

import numpy as np
import pandas as pd
import pytest

from mcstudy import Estimate, MCStudyError, Study, grid, run
from mcstudy.cli import main
from mcstudy.tables.numbers import number_with_error

BODY = """
def simulate(rng, *, n):
    return rng.normal(size=n)

def interval(value):
    return Estimate(value, 1.0, value - 1, value + 1)

def good(x):
    return {"mean": interval(x.mean())}

def fails(x):
    if x[0] > 1:
        raise ValueError("large")
    return {"mean": interval(0.5 * x.mean())}

def stops(x):
    status = Status.NOT_CONVERGED if x[0] > 0.5 else Status.OK
    return Fit({"mean": interval(x.mean() + 0.1)}, status)

study = Study(
    name="fails",
    simulate=simulate,
    estimands=lambda *, n: {"mean": 0.0},
    methods={"good": good, "fails": fails, "stops": stops},
    conditions=grid(n=[5, 10]),
    replicates=200,
    seed=3,
)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    from tests.conftest import HEADER

    folder = tmp_path_factory.mktemp("fails")
    path = folder / "study_file.py"
    path.write_text(HEADER + BODY)
    return run(path, folder, jobs=1, quiet=True)


def wide(results, n):
    """Return estimates and statuses of a condition, a row per replicate."""
    estimates = results.estimates[results.estimates["condition"] == f"n={n}"]
    fits = results.fits[results.fits["condition"] == f"n={n}"]
    return (
        estimates.pivot(index="replicate", columns="method", values="estimate"),
        fits.pivot(index="replicate", columns="method", values="status"),
    )


@pytest.mark.parametrize("n", [5, 10])
def test_identity_overlap_against_counting(results, n):
    estimates, status = wide(results, n)
    failed = estimates.isna() | (status == "not_converged")
    frame = results.failure_overlap().frame.query("n == @n")
    assert len(frame) == 3
    for row in frame.itertuples():
        here, there = failed[row.method], failed[row.other]
        assert (row.failed, row.other_failed) == (here.sum(), there.sum())
        assert row.together == (here & there).sum()
        assert row.expected == pytest.approx(here.mean() * there.mean() * 200)
        assert row.replicates == 200


def test_contract_which_statuses_count_as_failed_is_the_users_choice(results):
    some, none = results.failure_overlap(), results.failure_overlap(failed=())
    stops = lambda frame: frame.query("other == 'stops'")["other_failed"].sum()  # noqa: E731
    assert stops(some.frame) > stops(none.frame) == 0
    assert "failed: no estimate, or status not_converged" in str(some)
    assert "No two methods failed under the same condition" in str(none)
    with pytest.raises(MCStudyError, match="no status 'lost'; choose from ok, boundary"):
        results.failure_overlap(failed=("lost",))


@pytest.mark.parametrize("n", [5, 10])
def test_identity_views_of_rmse_against_plain_pandas(results, n):
    estimates, status = wide(results, n)
    failed = estimates.isna() | (status == "not_converged")
    frame = results.sensitivity("rmse", where={"n": n}).frame.set_index(["method", "view"])
    farthest = estimates.abs().max().max()
    common = ~failed.any(axis=1)
    for method in ("good", "fails", "stops"):
        own = estimates[method]
        rmse = lambda x: np.sqrt((x.dropna() ** 2).mean())  # noqa: E731
        assert frame.loc[(method, "available"), "value"] == pytest.approx(rmse(own))
        assert frame.loc[(method, "common"), "value"] == pytest.approx(rmse(own[common]))
        assert frame.loc[(method, "common"), "used"] == common.sum()
        worst = own.mask(failed[method], farthest)
        assert frame.loc[(method, "worst"), "value"] == pytest.approx(rmse(worst))
        assert frame.loc[(method, "worst"), "used"] == 200
        assert frame.loc[(method, "worst"), "failed"] == failed[method].sum()


def test_contract_available_is_what_performance_says(results):
    for measure in ("bias", "empirical_se", "coverage", "width"):
        available = results.sensitivity(measure).frame.query("view == 'available'")
        known = results.performance[results.performance.measure == measure]
        both = available.merge(known, on=["n", "method", "estimand"], suffixes=("", "_known"))
        assert len(both) == 6
        for column in ("value", "mcse", "lower", "upper", "used"):
            np.testing.assert_array_equal(both[column], both[f"{column}_known"])


def test_contract_the_worst_case_of_coverage_is_the_farther_from_the_level(results):
    plain = results.performance.query("measure == 'coverage' and method == 'fails'")
    for level in (0.95, 0.5):
        frame = results.sensitivity("coverage", level=level).frame
        worst = frame.query("view == 'worst' and method == 'fails'")
        for row, before in zip(worst.itertuples(), plain.itertuples(), strict=True):
            hits = round(before.value * before.used)
            ends = (hits / 200, (hits + row.failed) / 200)
            assert row.value == pytest.approx(max(ends, key=lambda end: abs(end - level)))


def test_contract_the_worst_case_is_never_better(results):
    for measure in ("bias", "relative_bias", "empirical_se", "mse", "rmse", "width"):
        frame = results.sensitivity(measure).frame
        size = frame["value"].abs()
        worst, available = (size[frame["view"] == view] for view in ("worst", "available"))
        assert (worst.to_numpy() >= available.to_numpy() - 1e-12).all() or worst.isna().all()


def test_contract_a_ranking_that_failures_reverse_is_said_to_be(results):
    made = results.sensitivity("rmse")
    assert set(made.frame["ranking"]) == {"reversed"}
    assert set(made.frame["differs_in"]) == {"worst"}
    first = made.frame.query("n == 5").pivot(index="method", columns="view", values="rank")
    assert first["available"].idxmin() == "fails"
    assert first["worst"].idxmin() == "good"
    assert "reversed (worst)" in str(made)


@pytest.mark.slow
def test_contract_without_failures_all_views_agree(study_file, tmp_path):
    made = run(study_file(), tmp_path, jobs=1, quiet=True).sensitivity("rmse")
    assert set(made.frame["ranking"]) == {"same"}
    values = made.frame.pivot_table(index=["n", "mean", "method"], columns="view", values="value")
    assert (values["common"] == values["worst"]).all()
    assert "4 of 4 cells have no failure" in str(made)
    for value, mcse in made.frame[["value", "mcse"]].to_numpy():
        assert number_with_error(value, mcse) in str(made)


def test_contract_bad_input_is_one_line(results, study_file, tmp_path):
    with pytest.raises(MCStudyError, match="'model_se' does not rank methods"):
        results.sensitivity("model_se")
    with pytest.raises(MCStudyError, match=r"'rms' does not rank methods \(did you mean 'rmse'"):
        results.sensitivity("rms")
    alone = run(study_file(), tmp_path, jobs=1, quiet=True, methods=["average"])
    with pytest.raises(MCStudyError, match="no cell has rmse of two methods or more"):
        alone.sensitivity("rmse")


def test_contract_the_only_interval_of_each_method_are_ranked_together(study_file, tmp_path):
    named = 'Estimate(sample.mean() + 0.01 * rng.normal(), intervals={"wide": (-9, 9)})'
    path = study_file(("Estimate(sample.mean() + 0.01 * rng.normal())", named))
    made = run(path, tmp_path, jobs=1, quiet=True, replicates=5).sensitivity("width")
    assert set(made.frame["interval"]) == {"default / wide"}
    first = made.frame.query("view == 'available'").pivot(
        index=["n", "mean"], columns="method", values=["rank", "value"]
    )
    assert (first["value", "jittered"] == 18).all()
    assert (first["rank", "jittered"] == 2).all()
    assert (first["rank", "average"] == 1).all()


def test_contract_intervals_of_one_method_are_not_ranked_and_named(study_file, tmp_path, capsys):
    two = 'intervals={"wide": (-9, 9), "wider": (-99, 99)}'
    named = f"Estimate(sample.mean() + 0.01 * rng.normal(), {two})"
    path = study_file(("Estimate(sample.mean() + 0.01 * rng.normal())", named))
    folder = str(run(path, tmp_path, jobs=1, quiet=True, replicates=5).folder)
    assert main(["failures", folder]) == 0
    out = capsys.readouterr().out
    assert "Ranking of the methods by rmse" in out
    lacking = "no cell has coverage of two methods or more here; of one method only: "
    assert (
        f"No ranking by coverage: {lacking}default (average), wide (jittered), wider (jittered)"
        in out
    )
    assert main(["failures", folder, "--measure", "coverage"]) == 2
    assert lacking in capsys.readouterr().err


def test_contract_the_verb_shows_endings_overlap_and_rankings(results, capsys):
    assert main(["failures", str(results.folder), "--where", "n=5"]) == 0
    out = capsys.readouterr().out
    fits = results.fits[results.fits["condition"] == "n=5"]
    counts = pd.crosstab(fits["method"], fits["status"])
    assert f"fails    200  {200 - counts.loc['fails', 'error']}" in out
    for text in (
        str(results.failure_overlap(where="n=5")),
        str(results.sensitivity("rmse", where={"n": 5})),
        str(results.sensitivity("coverage", where={"n": 5})),
    ):
        assert text in out
    assert set(results.failure_overlap(where="n=5").frame["n"]) == {5}
    two = "method=good|fails"
    assert main(["failures", str(results.folder), "--where", two]) == 0
    out = capsys.readouterr().out
    assert "stops" not in out
    assert str(results.failure_overlap(where=two)) in out
    assert main(["failures", str(results.folder), "--where", "n=7"]) == 2
    assert "no n=7 here" in capsys.readouterr().err
    assert main(["failures", str(results.folder), "--failed", "lost"]) == 2
    assert "no status 'lost'" in capsys.readouterr().err


def test_identity_true_values_of_each_data_set_are_counted_by_hand(tmp_path):
    def by(count):
        def estimate(x):
            if count == 5 and x[0] > 2.5:
                raise ValueError("large")
            return {"mean": Estimate(x[:count].mean(), 1.0, 0.0, 10.0 - count)}

        return estimate

    study = Study(
        name="own",
        simulate=lambda rng, *, n: rng.normal(2.0, size=n),
        estimands=lambda data, *, n: {"mean": data.mean()},
        methods={"five": by(5), "four": by(4)},
        conditions=grid(n=[10]),
        replicates=60,
        seed=1,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    key = ["condition", "replicate", "method", "estimand"]
    rows = results.estimates.merge(results.intervals, on=key).set_index(["method", "replicate"])
    kept = rows.loc["five"].dropna(subset="estimate").index
    bias = results.sensitivity("relative_bias").frame.set_index(["view", "method"])["value"]
    width = results.sensitivity("width").frame.set_index(["view", "method"])["value"]
    for method in ("five", "four"):
        own = rows.loc[method].loc[kept]
        expected = (own["estimate"] - own["truth"]).mean() / own["truth"].mean()
        assert bias["common", method] == pytest.approx(expected)
    assert width["common", "five"] == 5
    lost = 60 - len(kept)  # these are as wide as the widest of the cell, of four
    assert width["worst", "five"] == pytest.approx((5 * len(kept) + 6 * lost) / 60)
