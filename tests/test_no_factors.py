"""A study without factors has one condition, and every verb answers about it."""

import pytest

from mcstudy import (
    MCStudyError,
    check,
    collect,
    compare_runs,
    open_results,
    performance,
    plan,
    replay,
    run,
    status,
    summarize,
)
from mcstudy.cli import main

BODY = """
def simulate(rng):
    return rng.normal(size=10)

def average(sample):
    se = sample.std(ddof=1) / len(sample) ** 0.5
    return {"mean": Estimate(sample.mean(), se, sample.mean() - 2 * se, sample.mean() + 2 * se)}

def half(sample):
    return {"mean": Estimate(sample.mean() / 2, 1.0, sample.mean() - 2, sample.mean() + 2)}

study = Study(
    name="plain",
    simulate=simulate,
    estimands=lambda: {"mean": 0.0},
    methods={"average": average, "half": half},
    conditions=grid(),
    replicates=20,
    seed=1,
)
"""


@pytest.fixture(params=["rows", "measures", "precision"])
def study(request, study_file):
    """A study without factors, of each kind."""
    further = {
        "rows": "",
        "measures": ' keep="measures",',
        "precision": ' precision={"coverage": 0.05}, max_replicates=200,',
    }
    return study_file(("seed=1,", f"seed=1,{further[request.param]}"), body=BODY)


@pytest.mark.slow
def test_contract_run_summarize_plan_check_and_status_of_a_study_without_factors(study, tmp_path):
    assert check(study).clean
    assert "coverage" in str(plan(study, seconds=0.2, results=tmp_path, targets={"coverage": 0.1}))
    results = run(study, tmp_path, jobs=2, quiet=True)
    assert list(results.performance.columns[:2]) == ["method", "estimand"]
    bias = results.performance.query("measure == 'bias'")
    assert bias.method.tolist() == ["average", "half"]
    assert bias.value.notna().all()
    assert results.conditions.condition.tolist() == ["only"]
    assert "average" in str(results)
    digests = results.digests()
    assert summarize(results).digests() == digests
    assert run(study, tmp_path, jobs=1, quiet=True).digests() == digests
    done = int(results.performance.replicates.max())
    assert status(results).fits.done.tolist() == [done, done]
    assert "only" in str(status(results))
    compared = compare_runs(results.folder, results.folder)
    assert not compared.moved
    assert "Nothing moved" in str(compared)


def test_contract_shares_of_a_study_without_factors(study, tmp_path):
    for number in (1, 2):
        run(study, tmp_path / str(number), part=(number, 2), jobs=1, quiet=True)
    where = {"results": tmp_path / "all", "quiet": True}
    collected = collect(study, [tmp_path / "1", tmp_path / "2"], **where)
    whole = run(study, tmp_path / "whole", jobs=1, quiet=True)
    if "precision" not in whole.study:
        assert collected.results.digests() == whole.digests()


@pytest.mark.parametrize("study", ["rows"], indirect=True)
def test_contract_tables_of_a_study_without_factors(study, tmp_path, capfd):
    results = run(study, tmp_path, jobs=1, quiet=True)
    folder = str(results.folder)
    for form in ("text", "markdown", "latex", "csv", "html"):
        assert main(["table", folder, "--measure", "bias,coverage", "--format", form]) == 0
    assert main(["compare", folder, "--methods", "average,half"]) == 0
    assert main(["compare", folder, "--methods", "average,half", "--equivalence"]) == 0
    assert main(["failures", folder]) == 0
    assert main(["anova", folder, "--measure", "bias"]) == 0
    capfd.readouterr()
    assert main(["anova", folder, "--measure", "bias", "--where", "method=half"]) == 2
    assert "nothing varies; it needs a factor with several levels" in capfd.readouterr().err
    assert len(results.comparisons) > 0
    assert "half" in str(results.sensitivity("rmse"))
    of_half = results.estimates.query("method == 'half'")
    measures = performance(of_half).set_index("measure").value
    stored = open_results(folder).performance.query("method == 'half'").set_index("measure").value
    assert measures["rmse"] == stored["rmse"]


def test_contract_a_replay_without_factors_needs_no_condition(study, tmp_path, capfd):
    results = run(study, tmp_path, jobs=1, quiet=True)
    again = replay(results, replicate=3)
    assert again.condition.key == "only"
    assert again.equal is (True if results.study["keep"] == "rows" else None)
    expected = 0 if results.study["keep"] == "rows" else 3
    assert main(["replay", str(results.folder), "--replicate", "3"]) == expected
    assert "plain: replicate 3 of only\n" in capfd.readouterr().out


def test_contract_a_replay_with_several_conditions_lists_them(study_file, tmp_path, capfd):
    results = run(study_file(), tmp_path, replicates=2, jobs=1, quiet=True)
    assert main(["replay", str(results.folder), "--replicate", "1"]) == 2
    assert "no condition is given; there are: mean=0, n=5 | " in capfd.readouterr().err
    body = BODY.replace('"plain"', '"normal"')
    other = study_file(body=body, name="other.py")
    with pytest.raises(MCStudyError, match=r"no condition 'n=7'; there are: only \| mean=0"):
        replay(other, "n=7", results=results.folder)
