"""Measures of the user's own: what they get, what they may return, and what becomes of failures."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import mcstudy
from mcstudy import MCStudyError, Measured, Study, grid, open_results, performance, protocol, run
from mcstudy.analysis.custom import customs
from mcstudy.analysis.measures import Cell, bias, coverage, mse, rmse, share_of

OWN = """
def interval_score(truth, lower, upper, *, level=0.95):
    below = np.maximum(lower - truth, 0)
    above = np.maximum(truth - upper, 0)
    return np.nanmean(upper - lower + 2 / (1 - level) * (below + above))

def within_half(truth, estimate):
    return np.mean(np.abs(estimate - truth) <= 0.5)

study = Study("""


def with_measures(study_file, body="measures={'interval_score': interval_score, 'w': within_half}"):
    return study_file(("\nstudy = Study(", OWN), ("    seed=7,", f"    seed=7,\n    {body},"))


def one(function, **columns):
    measure = customs({"own": function})[0]
    rows = {"truth": 0.0, "estimate": np.zeros(5), "std_error": np.zeros(5)} | columns
    return measure(Cell(**rows))


def test_contract_the_error_of_huge_values_is_infinite_without_a_warning():
    # Beyond 1e154 their squares are no floats any more; Python's own warning went to the screen.
    huge = 1e200 * np.random.default_rng(3).normal(size=60)
    made = one(lambda estimate: float(np.quantile(estimate, 0.9)), estimate=huge)
    assert np.isfinite(made.value)
    assert made.mcse == np.inf


@pytest.mark.parametrize("count", [3, 30, 41, 500])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 1.0])
def test_identity_a_share_among_them_has_the_error_of_a_share(count, share):
    rng = np.random.default_rng(3)
    lower = np.where(rng.random(count) < share, -1.0, 0.5)
    lower[::6] = np.nan
    columns = {"lower": lower, "upper": lower + 2, "estimate": rng.normal(size=count)}
    columns["std_error"] = np.ones(count)
    known = coverage(Cell(0.0, columns["estimate"], columns["std_error"], lower, lower + 2))

    def averaged(truth, lower, upper):
        return np.nanmean(np.where(np.isnan(lower), np.nan, (lower <= truth) & (truth <= upper)))

    def each(truth, lower, upper):
        return (lower <= truth) & (truth <= upper)

    for function in (averaged, each):
        made = one(function, **columns)
        assert made == known
        assert 0 <= made.lower <= made.upper <= 1
    whole = one(lambda truth, estimate: np.mean(estimate < truth), **columns)
    below = int((columns["estimate"] < 0).sum())
    assert whole == share_of(below, count)


def test_contract_what_is_no_share_keeps_the_jackknife():
    x = np.random.default_rng(4).normal(size=400)
    twice = one(lambda estimate: 2 * np.mean(estimate > 1), estimate=x, std_error=x)
    plain = 2 * np.sqrt(np.mean(x > 1) * np.mean(x <= 1) / 400)
    assert twice.limits is None
    assert twice.mcse == pytest.approx(plain, rel=0.35)
    positive = one(lambda estimate: float(estimate.mean() > -1), estimate=x, std_error=x)
    assert (positive.value, positive.mcse, positive.limits) == (1.0, 0.0, None)
    needs = one(lambda estimate: np.mean(estimate[:-1] < estimate[1:]), estimate=x, std_error=x)
    assert needs.limits is None


def test_contract_a_value_for_each_replicate_is_averaged_over_those_that_are_complete():
    x = np.array([1.0, 2.0, np.nan, 6.0])
    made = one(lambda truth, estimate: (estimate - truth) ** 2, estimate=x, std_error=x)
    assert made == mse(Cell(0.0, x, x))


def test_contract_a_share_of_nothing_is_not_precise_yet(study_file, tmp_path):
    never = "measures={'never': lambda estimate: np.mean(estimate > 99)}"
    aim = "precision={'never': 0.012}, max_replicates=200"
    results = run(with_measures(study_file, f"{never}, {aim}"), tmp_path, jobs=1, quiet=True)
    own = results.performance[results.performance["measure"] == "never"]
    assert (own["value"] == 0).all()
    assert (own["lower"] == 0).all()
    assert (own["replicates"] > 60).all()
    assert own["reached"].all()


def test_contract_one_called_like_a_comparison_is_shown_where_it_is(study_file, tmp_path):
    path = with_measures(study_file, "measures={'bias_difference': within_half}")
    results = run(path, tmp_path, jobs=1, quiet=True)
    assert (results.table("bias_difference").frame["value"] > 0.2).all()


def test_contract_measures_of_a_study_stand_in_its_tables(study_file, tmp_path):
    results = run(with_measures(study_file), tmp_path, jobs=1, quiet=True)
    own = results.performance[results.performance.measure.isin(["interval_score", "w"])]
    assert set(own[own.measure == "interval_score"].interval) == {"default"}
    assert own[own.measure == "w"].interval.isna().all()
    assert len(own) == 4 + 8
    row = own[(own.measure == "interval_score") & (own.n == 5) & (own["mean"] == 0)].iloc[0]
    rows = results.intervals[results.intervals.condition == "mean=0, n=5"]
    lower, upper = rows.lower, rows.upper
    score = upper - lower + 40 * (lower.clip(lower=0) + (-upper).clip(lower=0))
    assert row.value == pytest.approx(score.mean(), rel=1e-12)
    assert row.mcse == pytest.approx(score.std() / 60**0.5, rel=0.3)
    assert row.used == row.replicates == 60


def test_contract_a_changed_measure_or_null_never_touches_rows(study_file, tmp_path, monkeypatch):
    results = run(with_measures(study_file), tmp_path, jobs=1, quiet=True)
    before = results.digests()
    written = {p: p.stat().st_mtime_ns for p in results.folder.glob("*.parquet")}
    changed = with_measures(study_file, "measures={'w': interval_score}, null={'mean': 0.0}")
    again = run(changed, tmp_path, jobs=1, quiet=True)
    assert set(again.performance.measure) >= {"w", "rejection"}
    after = again.digests()
    moved = {name for name in before if before[name] != after[name]}
    assert moved == {"comparisons", "performance"}
    for path, when in written.items():
        made_again = path.stem in ("performance", "comparisons")
        assert (path.stat().st_mtime_ns == when) == (not made_again)
    monkeypatch.setattr("mcstudy.execution.tables.measured_rows", None)
    run(changed, tmp_path, jobs=1, quiet=True)


def test_contract_a_measure_that_raises_costs_its_own_numbers_only(study_file, tmp_path, capsys):
    failing = with_measures(study_file, "measures={'w': lambda estimate: 1 / 0}")
    results = run(failing, tmp_path, jobs=1)
    said = capsys.readouterr().err.splitlines() + capsys.readouterr().out.splitlines()
    notes = [line for line in said if "measure 'w'" in line]
    assert len(notes) == 1
    assert "fails in 8 cells" in notes[0]
    assert "mean=0, n=5, method average, mean: ZeroDivisionError: division by zero" in notes[0]
    own = results.performance[results.performance.measure == "w"]
    assert own.value.isna().all()
    assert (own.used == 0).all()
    assert len(results.estimates) == 480
    fixed = with_measures(study_file, "measures={'w': lambda estimate: 1.0}")
    assert (run(fixed, tmp_path, jobs=1).performance.query("measure == 'w'").value == 1).all()


def test_identity_the_plain_run_is_not_changed_by_measures(study_file, tmp_path):
    plain = run(study_file(), tmp_path / "a", jobs=1, quiet=True).performance
    more = run(with_measures(study_file), tmp_path / "b", jobs=1, quiet=True).performance
    kept = more[~more.measure.isin(["interval_score", "w"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, plain, check_exact=True)


def test_contract_every_kind_of_answer():
    x = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    assert one(lambda estimate: (1.5, 0.25), estimate=x)[:3] == (1.5, 0.25, 4)
    assert one(lambda estimate: Measured(1.5, 0.25, 2), estimate=x)[:3] == (1.5, 0.25, 2)
    assert one(lambda estimate: np.nanmax(estimate), estimate=x).value == 5
    assert one(lambda truth, estimate: np.float32(truth), estimate=x).value == 0
    assert one(lambda estimate, std_error: 1, estimate=x, std_error=x[::-1]).used == 4
    assert one(lambda estimate: 1, estimate=x[:0], std_error=x[:0]).used == 0
    assert np.isnan(one(lambda estimate: 1.0, estimate=x[:1], std_error=x[:1]).mcse)
    with pytest.raises(MCStudyError, match="returned 'x'; return a number"):
        one(lambda estimate: "x")


def test_contract_rows_cannot_be_changed_by_a_measure():
    with pytest.raises(ValueError, match="read-only"):
        one(lambda estimate: estimate.sort())


@pytest.mark.parametrize("count", [7, 40, 41, 95, 1000])
def test_law_jackknife_of_a_mean_is_its_standard_error(count):
    """Exact where each group is one replicate or all are equally large."""
    x = np.random.default_rng(count).exponential(size=count)
    made = one(lambda estimate: estimate.mean(), estimate=x, std_error=x)
    plain = bias(Cell(0.0, x, x)).mcse
    assert made.mcse == pytest.approx(plain, rel=1e-9 if count <= 40 else 0.35)


@pytest.mark.slow
def test_law_jackknife_is_the_spread_over_studies():
    """600 studies know the spread to 3 %, and a jackknife of 40 groups each to 11 %."""
    rng = np.random.default_rng(3)

    def root(truth, estimate):
        return np.sqrt(np.mean((estimate - truth) ** 2))

    found = []
    for _ in range(600):
        x = rng.chisquare(4, 415)
        found.append((one(root, truth=4.0, estimate=x, std_error=x), rmse(Cell(4.0, x, x))))
    own, built_in = (np.array([pair[i].mcse for pair in found]) for i in (0, 1))
    spread = np.std([pair[0].value for pair in found], ddof=1)
    assert np.sqrt((own**2).mean()) / spread == pytest.approx(1, abs=0.1)
    assert np.sqrt((own**2).mean() / (built_in**2).mean()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("measures=[within_half]", "measures is .*; write {'name': function}"),
        ("measures={'bias': within_half}", "mcstudy has a measure 'bias'; choose another name"),
        (
            "measures={'share_good': within_half}",
            "measure 'share_good' begins with share_, as measures of",
        ),
        ("measures={'': within_half}", "'' cannot name a measure"),
        ("measures={'w': 3}", "measure 'w' is 3, not a function"),
        ("measures={'w': lambda x: 1}", "measure 'w' asks for x; its arguments must be among"),
        ("measures={'w': lambda estimate, *a: 1}", "measure 'w' asks for a;"),
        ("measures={'w': {'mean': 3}}", "measure 'w' is 3, not a function"),
        ("measures={'w': {}}", "measure 'w' is None, not a function"),
        ("measures={'w': {3: within_half}}", "write {'estimand': function}"),
        ("measures={'w': {'maen': within_half}}", r"given for 'maen' \(did you mean 'mean'"),
        ("measures={'w': lambda: 1}", "measure 'w' asks for none of them"),
        ("null='zero'", "null is 'zero'; give a number"),
        ("null={'maen': 0.0}", "null is given for 'maen'; the estimands are mean"),
    ],
)
def test_contract_bad_measures_are_one_line_before_work_starts(study_file, tmp_path, body, message):
    with pytest.raises(MCStudyError, match=message) as caught:
        run(with_measures(study_file, body), tmp_path, jobs=1, quiet=True)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("normal/*.parquet"))


def test_contract_a_partial_is_a_measure():
    def near(truth, estimate, width):
        return np.mean(np.abs(estimate - truth) < width)

    frame = pd.DataFrame({"estimate": [0.1, 0.3, 2.0, 0.0]})
    found = performance(frame, truth=0, measures={"near": functools.partial(near, width=1)})
    assert found.set_index("measure").loc["near", "value"] == 0.75


def test_contract_a_measure_of_any_table_fails_with_its_name_and_cell():
    frame = pd.DataFrame({"g": ["a", "b"], "estimate": [1.0, 2.0]})

    def bad(estimate):
        raise ValueError("no")

    with pytest.raises(MCStudyError, match=r"measure 'bad' fails in 1 cell .* g=a: ValueError: no"):
        performance(frame, truth=0, by="g", measures={"bad": bad})
    with pytest.raises(MCStudyError, match="measure 'w' asks for lower"):
        performance(frame, truth=0, by="g", measures={"w": lambda lower: 1})


def test_contract_results_tell_their_measures(study_file, tmp_path):
    results = run(with_measures(study_file, "null=0.5"), tmp_path, jobs=1, quiet=True)
    assert open_results(results.folder).study["null"] == 0.5
    rejection = results.performance.query("measure == 'rejection'")
    assert len(rejection) == 4
    assert (rejection.used == 60).all()
    columns = pq.read_schema(results.folder / "performance.parquet").names
    assert columns == list(results.performance)
    assert mcstudy.Measured is Measured


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Measured(None, 0.1, 3), "returned None; return a number"),
        (Measured(1.0, "x", 3), "returned 'x'; return a number"),
        (Measured(10**400, 0.1, 3), "; return a number"),
        (Measured(1.0, -1.0, 3), "returned the MCSE -1.0; return 0 or more"),
        ((1.0, -1.0), "returned the MCSE -1.0; return 0 or more"),
        (Measured(1.0, 0.1, np.nan), "returned used=nan; return how many of the 3 replicates"),
        (Measured(1.0, 0.1, 3.5), "returned used=3.5"),
        (Measured(1.0, 0.1, -3), "returned used=-3"),
        (Measured(1.0, 0.1, 400), "returned used=400"),
        (Measured(1.0, 0.1, 3, 5), "returned the limits 5; return .lower, upper"),
        (Measured(1.0, 0.1, 3, (1, 2, 3)), "returned the limits"),
        (Measured(1.0, 0.1, 3, (5, 2)), "returned the limits .* the lower one first"),
        (Measured(1.0, 0.1, 3, (1j, 2)), "returned 1j; return a number"),
    ],
)
def test_contract_an_answer_with_its_error_is_checked(answer, message):
    frame = pd.DataFrame({"estimate": [0.1, 0.3, 2.0]})
    with pytest.raises(MCStudyError, match=message):
        performance(frame, truth=0, measures={"own": lambda estimate: answer})


def test_contract_an_answer_with_its_error_stands_as_it_is():
    frame = pd.DataFrame({"estimate": [0.1, 0.3, 2.0]})
    given = Measured(np.nan, np.nan, np.int64(0), [0, np.float32(2)])
    found = performance(frame, truth=0, measures={"own": lambda estimate: given})
    own = found.set_index("measure").loc["own"]
    assert own[["lower", "upper", "used"]].tolist() == [0.0, 2.0, 0]
    assert np.isnan(own["value"])


def test_contract_a_measure_of_one_estimand_is_of_no_other(tmp_path):
    def loss(truth, estimate):
        """Mean absolute error."""
        return np.abs(estimate - truth)

    study = Study(
        name="two",
        simulate=lambda rng, *, n: rng.normal(size=n),
        estimands=lambda *, n: {"mean": 0.0, "sd": 1.0},
        methods={"plain": lambda x: {"mean": x.mean(), "sd": x.std()}},
        conditions=grid(n=[5, 10]),
        replicates=20,
        seed=1,
        measures={"loss": {"sd": loss}, "top": lambda estimate: float(estimate.max())},
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    frame = results.performance
    assert set(frame[frame["measure"] == "loss"]["estimand"]) == {"sd"}
    assert set(frame[frame["measure"] == "top"]["estimand"]) == {"mean", "sd"}
    rows = results.estimates.query("condition == 'n=5' and estimand == 'sd'")
    value = frame.query("measure == 'loss' and n == 5")["value"].item()
    assert value == pytest.approx((rows["estimate"] - 1).abs().mean())
    assert "Mean absolute error. (of sd)" in protocol(study).to("markdown")
    own = dict(study.measures)
    other = dataclasses.replace(study, measures={**own, "loss": {"mean": loss}})
    again = run(other, tmp_path, jobs=1, quiet=True).performance
    assert set(again[again["measure"] == "loss"]["estimand"]) == {"mean"}
    table = results.estimates.merge(results.conditions, on="condition")
    made = performance(table, by=["n", "method", "estimand"], measures={"loss": {"sd": loss}})
    assert set(made[made["measure"] == "loss"]["estimand"]) == {"sd"}
