"""Whether a study is good enough: its checks find what was put in, and nothing else."""

import itertools
import shlex

import numpy as np
import pandas as pd
import pytest

from mcstudy import Estimate, Skip, Study, grid, open_results, replay, run, status
from mcstudy.analysis.serial_correlation import midranks, serial_correlation
from mcstudy.cli import main
from mcstudy.comparison.checks import about
from mcstudy.comparison.row_checks import (
    DEPENDENCE,
    FALSE_ALARM,
    OUTLIERS,
    RANKING,
    robust_distance,
)
from mcstudy.comparison.table_checks import table_checks

DIFFERENCES = "Differences between methods"
CELLS = "Replicates for single cells"
MISSING = "Standard errors and intervals"


def check_of(results, name):
    return next(check for check in results.adequacy().checks if check.name == name)


def made(folder, methods, replicates=60, **options):
    options = {"simulate": sample, "conditions": grid(n=[5, 10])} | options
    study = Study(
        name="s",
        estimands=lambda **_: {"mean": 0.0},
        methods=methods,
        replicates=replicates,
        seed=3,
        **options,
    )
    return run(study, folder, jobs=1, quiet=True)


def sample(rng, *, n):
    return rng.normal(size=n)


def mean(x):
    return {"mean": Estimate(x.mean(), x.std(ddof=1) / len(x) ** 0.5)}


def bare(x):
    return {"mean": Estimate(x.mean())}


@pytest.mark.parametrize("gap", [(), (2,), (1, 4)])
def test_identity_mean_and_variance_of_the_correlation_are_those_over_all_orders(monkeypatch, gap):
    monkeypatch.setattr("mcstudy.analysis.serial_correlation.LEAST_PAIRS", 1)
    monkeypatch.setattr("mcstudy.analysis.serial_correlation._LEAST_UNTIED", 0)
    values = np.array([1.0, 1.0, 3.0, 4.0, 9.0, 9.0])
    replicate = np.array([i for i in range(6 + len(gap)) if i not in gap])
    found = [
        serial_correlation(replicate, np.array(order)).z for order in itertools.permutations(values)
    ]
    assert np.mean(found) == pytest.approx(0, abs=1e-12)
    assert np.mean(np.square(found)) == pytest.approx(1)


def test_reference_midranks_are_those_of_scipy():
    from scipy.stats import rankdata

    values = np.random.default_rng(1).integers(0, 9, 50).astype(float)
    assert midranks(values).tolist() == rankdata(values).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("draw", ["normal", "cauchy", "boundary"])
def test_law_independent_estimates_are_calm_and_dependent_ones_are_not(draw):
    rng = np.random.default_rng(20261126)
    studies, replicates = 4000, 200
    values = rng.standard_cauchy((studies, replicates))
    if draw != "cauchy":
        values = rng.normal(size=(studies, replicates))
    values = np.maximum(values, 0.0) if draw == "boundary" else values
    number = np.arange(replicates)
    found = [serial_correlation(number, row) for row in values]
    z = np.array([one.z for one in found])
    assert len(z) == studies
    assert abs(z.mean()) < 4 / len(z) ** 0.5
    share = np.mean([one.p_value < FALSE_ALARM for one in found])
    assert share == pytest.approx(FALSE_ALARM, abs=4 * (FALSE_ALARM / len(z)) ** 0.5)
    if draw == "normal":
        for i in range(1, replicates):
            values[:, i] += 0.3 * values[:, i - 1]
        sizes = [abs(serial_correlation(number, row).z) for row in values[:200]]
        assert np.mean(np.array(sizes) > 2.576) > 0.9


def test_contract_nothing_is_said_of_few_replicates_gaps_and_constants():
    rng = np.random.default_rng(1)
    number = np.arange(100)
    assert serial_correlation(number[:30], rng.normal(size=30)) is None
    assert serial_correlation(2 * number, rng.normal(size=100)) is None
    assert serial_correlation(number, np.ones(100)) is None
    assert serial_correlation(number, np.where(number % 20, 0.0, 1.0)) is None
    missing = np.where(number % 2, np.nan, 1.0 * number)
    assert serial_correlation(number, missing) is None


class Autoregressive:
    """Adds to each estimate .3 of the one before: what no method should do."""

    before = 0.0

    def __call__(self, x):
        self.before = x.mean() + 0.3 * self.before
        return {"mean": Estimate(self.before)}


def test_contract_a_study_of_independent_replicates_is_fine_and_a_dependent_one_is_not(tmp_path):
    fine = made(tmp_path / "fine", {"mean": mean}, 300)
    assert check_of(fine, DEPENDENCE).verdict == "fine"
    methods = {"mean": mean, "ar": Autoregressive()}
    bad = made(tmp_path / "bad", methods, 400, conditions=grid(n=[5]))
    check = check_of(bad, DEPENDENCE)
    assert check.verdict == "warning"
    assert "(ar, mean)" in check.sentence
    assert check.frame.set_index("method")["beyond"].to_dict() == {"mean": 0, "ar": 1}
    few = made(tmp_path / "few", {"mean": mean}, 20)
    assert check_of(few, DEPENDENCE).verdict == "cannot be said"


SLIP = """
def simulate(rng, *, n, mean):
    return rng.normal(mean, size=n)

def average(sample):
    value = sample.mean()
    return {"mean": Estimate(1e4 if 0.5 < value % 1 < 0.51 else value)}

study = Study(
    name="slip",
    simulate=simulate,
    estimands=lambda *, n, mean: {"mean": mean},
    methods={"average": average},
    conditions=grid(n=[5, 10], mean=[0.0], kind=["it's"]),
    replicates=100,
    seed=7,
)
"""


def test_contract_an_outlier_is_listed_and_its_command_brings_that_row_back(
    study_file, tmp_path, capsys
):
    body = SLIP.replace("*, n, mean", "*, n, mean, kind")
    results = run(study_file(body=body), tmp_path / "a folder", jobs=1, quiet=True)
    slips = results.estimates.query("estimate == 1e4")
    assert 0 < len(slips) < 5
    check = check_of(results, OUTLIERS)
    assert check.verdict == "warning"
    assert sorted(check.frame["replicate"]) == sorted(slips["replicate"])
    assert len(check.commands) == len(slips)
    program, *arguments = shlex.split(check.commands[0])
    assert program == "mcstudy"
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "equal to what is stored" in shown
    assert f"replicate {check.frame['replicate'][0]} of" in shown
    assert "10000" in shown


def test_contract_a_study_of_a_session_has_the_call_that_replays_it(tmp_path):
    def slip(x):
        return {"mean": Estimate(1e4 if 0.5 < x.mean() < 0.51 else x.mean())}

    study = Study(
        name="s",
        simulate=sample,
        estimands=lambda **_: {"mean": 0.0},
        methods={"slip": slip},
        conditions=grid(n=[5, 10]),
        replicates=300,
        seed=3,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    call = check_of(results, OUTLIERS).commands[0]
    again = eval(call.removeprefix("mcstudy."), {"replay": replay, "study": study})
    assert again.stored["slip"].estimates["estimate"].tolist() == [1e4]


def test_contract_a_mass_at_the_boundary_makes_no_outliers_of_the_others():
    values = np.array([0.0] * 60 + [1e-9] * 10 + list(np.linspace(0.5, 2, 50)))
    assert robust_distance(values).max() < 10
    assert robust_distance(np.array([0.0] * 90 + [1.0] * 10)) is None
    assert robust_distance(np.full(4, np.nan)) is None
    far = robust_distance(np.array([*np.arange(20.0), np.nan, 500.0]))
    assert np.flatnonzero(far > 10).tolist() == [21]


def test_identity_differences_are_told_apart_by_their_paired_error(tmp_path):
    def shifted(x):
        return {"mean": Estimate(x.mean() + 0.3)}

    def noisy(x, rng):
        return {"mean": Estimate(x.mean() + rng.normal())}

    methods = {"mean": bare, "shifted": shifted, "same": bare, "noisy": noisy}
    results = made(tmp_path, methods, 50)
    check = check_of(results, DIFFERENCES)
    frame = check.frame.query("measure == 'bias'").set_index(["method", "reference"])
    assert frame.loc[("shifted", "mean")][["told_apart", "equal", "open"]].tolist() == [2, 0, 0]
    assert frame.loc[("same", "mean")][["told_apart", "equal", "open"]].tolist() == [0, 2, 0]
    rows = results.comparisons.query("measure == 'bias_difference'")
    rows = rows[(rows["value"].abs() < 1.96 * rows["mcse"])]
    rmse = results.performance.query("measure == 'rmse'").set_index(["n", "method"])["value"]
    matter = [
        50 * (2 * row.mcse / row.value) ** 2
        for row in rows.itertuples()
        if abs(row.value) > 0.1 * rmse[row.n, row.reference]
    ]
    assert check.verdict == "warning"
    assert frame["open"].sum() == len(matter) > 0
    assert frame["replicates_needed"].max() == pytest.approx(max(*matter, 51))


def test_identity_replicates_for_single_cells_are_those_of_the_errors(tmp_path):
    few = made(tmp_path / "few", {"mean": mean}, 100)
    check = check_of(few, CELLS)
    assert check.verdict == "warning"
    wide = few.performance.pivot_table(index="n", columns="measure", values=["value", "mcse"])
    worst = (wide["mcse"]["bias"] / wide["value"]["rmse"]).max()
    assert f"{worst:.2g} of the RMSE" in check.sentence
    assert "about 410 replicates a condition (now 100)" in check.advice
    enough = made(tmp_path / "enough", {"mean": mean}, 450)
    assert check_of(enough, CELLS).verdict == "fine"
    assert check_of(enough, DIFFERENCES).sentence.startswith("There is one method")


def test_contract_missing_standard_errors_count_where_a_method_gives_some(tmp_path):
    def sometimes(x):
        return bare(x) if x[0] < -1 else mean(x)

    results = made(tmp_path, {"mean": mean, "sometimes": sometimes, "bare": bare}, 100)
    check = check_of(results, MISSING)
    gone = results.estimates.query("method == 'sometimes'")["std_error"].isna().sum()
    assert check.verdict == "warning"
    assert f"Estimates without a standard error: {gone} of 200 by sometimes" in check.sentence
    assert set(check.frame["method"]) == {"sometimes"}
    assert check.frame["missing"].tolist() == [gone] * 2


def test_contract_intervals_lost_with_failed_fits_are_missing_but_not_those_of_skipped_ones(
    tmp_path,
):
    def limits(x):
        half = 2 * x.std() / len(x) ** 0.5
        return {"mean": Estimate(x.mean(), intervals={"i": (x.mean() - half, x.mean() + half)})}

    def fails(x):
        if x[0] > 0.7:
            raise ValueError("no")
        return limits(x)

    def only_small(x):
        if len(x) > 5:
            raise Skip("too large")
        return limits(x)

    methods = {"limits": limits, "fails": fails, "only_small": only_small}
    results = made(tmp_path, methods, 100)
    check = check_of(results, MISSING)
    failed = int((results.fits.query("method == 'fails'")["status"] == "error").sum())
    assert check.verdict == "warning"
    assert check.frame[["method", "of", "missing"]].values.tolist() == [["fails", 200, failed]]
    lost = results.fits.query("method == 'fails' and status == 'error'")["condition"]
    assert f"in {lost.value_counts().max()} % (fails, mean, i)" in check.sentence


def test_contract_a_ranking_that_failures_turn_is_a_warning(tmp_path):
    def fails_where_it_is_bad(x):
        if abs(x.mean()) > 0.4:
            raise ValueError("far")
        return mean(x)

    methods = {"mean": mean, "other": fails_where_it_is_bad}
    check = check_of(made(tmp_path / "a", methods, 100), RANKING)
    assert check.verdict == "warning"
    assert set(check.frame["ranking"]) <= {"depends", "reversed"}
    whole = check_of(made(tmp_path / "b", {"mean": mean, "bare": bare}, 40), RANKING)
    assert whole.verdict == "fine"


def test_contract_without_rows_it_says_what_cannot_be_said(tmp_path):
    study = made(tmp_path, {"mean": mean, "bare": bare}, 40, keep="measures")
    verdicts = {check.name: check.verdict for check in study.adequacy().checks}
    assert [verdicts[name] for name in (DIFFERENCES, RANKING, DEPENDENCE, OUTLIERS)] == [
        "cannot be said"
    ] * 4
    assert verdicts[CELLS] == "warning"
    assert "keep='measures'" in str(study.adequacy())


def test_contract_a_study_without_any_estimate_has_an_answer(tmp_path):
    def never(x):
        raise ValueError("no")

    text = str(made(tmp_path, {"never": never, "none": never}, 3).adequacy())
    assert text.count("cannot be said") >= 3


def test_contract_a_precision_is_judged(tmp_path):
    options = {"precision": {"bias": 0.01}, "max_replicates": 80}
    results = made(tmp_path, {"mean": mean}, 40, **options)
    check = check_of(results, "Precision that was asked for")
    assert check.verdict == "warning"
    assert "stopped short" in check.sentence


def test_contract_status_shows_what_the_tables_say_unless_they_are_out_of_date(
    study_file, tmp_path, monkeypatch
):
    results = run(study_file(), tmp_path, replicates=20, jobs=1, quiet=True)
    report = status(results)
    assert [check.name for check in report.checks] == [DIFFERENCES, CELLS, MISSING]
    monkeypatch.setenv("COLUMNS", "80")
    text = str(report)
    assert f"\n  mcstudy report {results.folder}" in text
    lower = text[text.index("Is the study itself good enough?") :]
    assert len(lower.splitlines()) <= 9  # at 80 columns
    part = next((results.folder / "parts").rglob("*.parquet"))
    part.rename(tmp_path / "gone")
    assert status(results).checks == ()


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "csv", "html"])
def test_contract_every_format_shows_it_and_odd_names_break_nothing(tmp_path, form):
    odd = {"a <b>|$_": mean, "\U0001f642 {}": bare}
    results = made(tmp_path, odd, 40, labels={"n": "districts"})
    text = results.adequacy().to(form)
    assert DEPENDENCE in text
    assert "<b>" not in text or form != "html"
    assert open_results(results.folder).adequacy().to(form) == text


def test_contract_the_checks_of_tables_read_no_rows(tmp_path):
    results = made(tmp_path, {"mean": mean, "bare": bare}, 40)
    checks = table_checks(results.performance, results.comparisons, results.study)
    for part in (results.folder / "parts").rglob("*.parquet"):
        part.unlink()
    again = open_results(results.folder)
    assert [c.sentence for c in again.checks_of_tables()] == [c.sentence for c in checks]
    assert check_of(again, OUTLIERS).verdict == "cannot be said"
    assert isinstance(again.adequacy().frame, pd.DataFrame)


@pytest.mark.slow
def test_contract_factors_may_have_the_names_of_columns(tmp_path):
    def fails(x):
        if x[0] > 0:
            raise ValueError("no")
        return {"mean": Estimate(1e4 if x[0] > -0.02 else x.mean())}

    conditions = grid(z=[5, 10], rank=[1, 2], distance=["a"], factors=[1, 2])
    options = {"simulate": lambda rng, z, **_: rng.normal(size=z), "conditions": conditions}
    results = made(tmp_path, {"mean": mean, "fails": fails}, 100, **options)
    assert set(check_of(results, OUTLIERS).frame["z"]) == {5, 10}
    assert "z_factor" in check_of(results, DEPENDENCE).frame
    assert "at factors=" in check_of(results, DEPENDENCE).sentence
    assert "rank_factor" in check_of(results, RANKING).frame


@pytest.mark.parametrize(
    ("number", "words"), [(86.2, "87"), (12_345.0, "13,000"), (float("inf"), "infinitely many")]
)
def test_contract_a_number_of_replicates_is_rounded_up(number, words):
    assert about(number) == words
