"""A standard error without limits has a Wald interval, unless the method gives one or the study
declines."""

import numpy as np
import pytest
from scipy import stats

from mcstudy import Estimate, Study, check, grid, performance, plan, run
from mcstudy.cli import main
from mcstudy.errors import ResultsError, StudyError
from mcstudy.execution import scheduler


def sample(rng, *, n):
    return rng.normal(size=n)


def _mean(x):
    return x.mean(), x.std(ddof=1) / len(x) ** 0.5


def z(x):
    return {"mu": Estimate(*_mean(x))}


def t(x):
    return {"mu": Estimate(*_mean(x), df=len(x) - 1)}


def own(x):
    """Give limits of its own, in most replicates."""
    mean, se = _mean(x)
    if mean > 0.3:
        return {"mu": Estimate(mean, se)}
    return {"mu": Estimate(mean, se, mean - 2 * se, mean + 2 * se)}


def bare(x):
    return {"mu": Estimate(x.mean())}


def study(methods, **more):
    settings = {
        "name": "wald",
        "simulate": sample,
        "estimands": lambda *, n: {"mu": 0.0},
        "methods": methods,
        "conditions": grid(n=[5, 20]),
        "replicates": 40,
        "seed": 3,
        "null": 0.0,
    }
    return Study(**{**settings, **more})


def test_identity_the_interval_is_that_of_performance(tmp_path):
    results = run(study({"z": z, "t": t}, level=0.9), tmp_path, jobs=1, quiet=True)
    rows = results.estimates.merge(results.conditions)
    rows["df"] = np.where(rows["method"] == "t", rows["n"] - 1.0, np.inf)
    assert set(results.intervals["interval"]) == {"wald"}
    half = stats.t.ppf(0.95, rows["df"]) * rows["std_error"]
    np.testing.assert_allclose(results.intervals["upper"], rows["estimate"] + half, rtol=1e-12)
    np.testing.assert_allclose(results.intervals["lower"], rows["estimate"] - half, rtol=1e-12)
    made = results.performance.query("measure in ['coverage', 'rejection', 'width']")
    assert len(made) == 2 * 2 * 3
    outside = performance(
        rows[rows["method"] == "t"], by=["n"], df="df", level=0.9, null=0.0
    ).query("measure == 'coverage'")
    inside = made.query("measure == 'coverage' and method == 't'")
    assert inside["value"].tolist() == outside["value"].tolist()


def test_identity_sums_know_the_same_intervals(tmp_path):
    methods = {"z": z, "t": t, "own": own}
    rows = run(study(methods), tmp_path / "rows", jobs=1, quiet=True).performance
    sums = run(study(methods, keep="measures"), tmp_path / "sums", jobs=1, quiet=True).performance
    key = ["n", "method", "estimand", "interval", "measure"]
    both = sums.merge(rows, on=key, suffixes=("", "_of_rows"))
    both = both[both["interval"].notna()]
    assert set(both["interval"]) == {"wald", "default"}
    np.testing.assert_allclose(both["value"], both["value_of_rows"], rtol=1e-12)
    assert both["used"].tolist() == both["used_of_rows"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["rows", "measures"])
def test_contract_a_method_with_an_interval_keeps_exactly_its_own(tmp_path, monkeypatch, keep):
    at_once = run(study({"own": own}, keep=keep), tmp_path / "a", jobs=1, quiet=True)
    assert set(at_once.performance["interval"].dropna()) == {"default"}
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.0)
    singly = run(study({"own": own}, keep=keep), tmp_path / "b", jobs=1, quiet=True)
    assert singly.digests() == at_once.digests()


def test_contract_batches_give_the_same(tmp_path):
    from mcstudy.method import batch_form

    def together(batch):
        data = np.array(list(batch))
        se = data.std(axis=1, ddof=1) / data.shape[1] ** 0.5
        return {"mu": Estimate(data.mean(axis=1), se, df=data.shape[1] - 1)}

    batch = batch_form(together)(lambda x: t(x))
    one = run(study({"t": t}), tmp_path / "one", jobs=1, quiet=True)
    all_at_once = run(study({"t": batch}), tmp_path / "all", jobs=1, quiet=True)
    for column in ("lower", "upper"):
        np.testing.assert_allclose(all_at_once.intervals[column], one.intervals[column], rtol=1e-12)


def test_contract_another_level_makes_the_tables_anew_and_no_row(tmp_path, capfd):
    first = run(study({"t": t}), tmp_path, jobs=1, quiet=True).intervals
    second = run(study({"t": t}, level=0.5), tmp_path, jobs=1).intervals
    assert "Nothing is missing" in capfd.readouterr().err
    assert (second["upper"] < first["upper"]).all()


def test_contract_sums_of_another_level_are_computed_anew(tmp_path):
    run(study({"t": t}, keep="measures"), tmp_path, jobs=1, quiet=True)
    with pytest.raises(Exception, match=r"the level of the intervals .* 0\.95 -> 0\.5"):
        run(study({"t": t}, keep="measures", level=0.5), tmp_path, jobs=1, quiet=True)


def test_contract_a_study_declines_and_the_table_says_why_there_is_no_coverage(tmp_path, capsys):
    results = run(study({"t": t}, level=None), tmp_path, jobs=1, quiet=True)
    assert results.intervals.empty
    with pytest.raises(ResultsError, match=r"no method gives an interval; .*level=None"):
        results.table("coverage")
    assert main(["table", str(results.folder), "--measure", "coverage"]) == 2
    assert "there is no coverage here" in capsys.readouterr().err


def test_contract_a_target_that_exists_nowhere_is_an_error(tmp_path, capsys):
    precise = study({"bare": bare}, precision={"coverage": 0.001}, max_replicates=1000)
    with pytest.raises(StudyError, match=r"wald: precision names 'coverage', which exists in no"):
        run(precise, tmp_path, jobs=1, quiet=True)
    assert "precision names 'coverage'" in check(precise).problems[0]
    with pytest.raises(StudyError, match=r"--target \(targets\) names 'coverage'"):
        plan(study({"bare": bare}), targets={"coverage": 0.01}, jobs=1, seconds=0.1)
    with pytest.raises(StudyError, match="no null; give null="):
        study({"t": t}, null=None, precision={"rejection": 0.01}, max_replicates=1000)


def test_contract_a_target_that_exists_for_some_is_said(tmp_path):
    both = study(
        {"bare": bare, "t": t}, precision={"coverage": 0.05}, max_replicates=60, replicates=20
    )
    shown = str(run(both, tmp_path, jobs=1, quiet=True))
    assert "coverage does not exist for mu of bare" in shown


@pytest.mark.parametrize(
    ("estimate", "message"),
    [
        (Estimate(1.0, df=3), "df without a standard error"),
        (Estimate(1.0, 1.0, 0.0, 2.0, df=3), "df and an interval of its own"),
        (Estimate(1.0, 1.0, df=0), "df 0 for 'mu'; give a number above 0"),
    ],
)
def test_contract_bad_df_is_said(tmp_path, estimate, message):
    with pytest.raises(StudyError, match=message):
        run(study({"m": lambda x: {"mu": estimate}}), tmp_path, jobs=1, quiet=True)


@pytest.mark.parametrize("level", [0, 1, 95, "0.9", True])
def test_contract_bad_level_is_said(level):
    with pytest.raises(StudyError, match=r"level is .* between 0 and 1, or None"):
        study({"t": t}, level=level)
