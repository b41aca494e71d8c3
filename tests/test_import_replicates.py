"""Replicates from elsewhere: their results are those that a run of the same fits has."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from mcstudy import (
    MCStudyError,
    compare_runs,
    import_replicates,
    open_results,
    performance,
    replay,
    run,
    status,
)
from mcstudy.cli import main

KEYS = ["condition", "replicate", "method", "estimand"]


def exported(results):
    """Return all that a run has as a table with a row for each fit, estimand and interval."""
    rows = results.estimates.merge(results.intervals, on=KEYS, how="left")
    rows = rows.merge(results.fits[[*KEYS[:3], "status"]], on=KEYS[:3])
    rows = rows.merge(results.timings, on=KEYS[:3]).merge(results.conditions, on="condition")
    return rows.drop(columns=["condition", "interval"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from conftest import HEADER, NORMAL, STUDY

    folder = tmp_path_factory.mktemp("run")
    fails = NORMAL.replace(
        "def average(sample):\n",
        "def average(sample):\n    if sample[0] < -1: raise ValueError('low')\n",
    )
    (folder / "study_file.py").write_text(HEADER + fails + STUDY)
    return run(folder / "study_file.py", folder / "r", jobs=1, quiet=True)


@pytest.mark.parametrize("kind", ["frame", "csv", "parquet"])
def test_identity_imported_replicates_have_the_tables_of_the_run(made, tmp_path, kind):
    data = exported(made)
    if kind == "csv":
        data.to_csv(tmp_path / "rows.csv", index=False)
    if kind == "parquet":
        data.to_parquet(tmp_path / "rows.parquet")
    source = data if kind == "frame" else tmp_path / f"rows.{kind}"
    found = import_replicates(source, tmp_path, name="normal", by=["n", "mean"], quiet=True)
    for name in ("performance", "comparisons", "estimates", "intervals"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(made, name), rtol=1e-14)
    assert found.fits["status"].tolist() == made.fits["status"].tolist()
    assert not compare_runs(found, made).moved
    assert str(found.sensitivity("rmse")) == str(made.sensitivity("rmse"))
    pd.testing.assert_frame_equal(found.fit_measures, made.fit_measures)


def test_identity_a_wide_table_is_a_long_one(made, tmp_path):
    long = exported(made)
    key = ["n", "mean", "replicate", "truth"]
    numbers = ["estimate", "std_error", "lower", "upper", "status"]
    wide = long.pivot(index=key, columns="method", values=numbers)
    wide.columns = [f"{kind}.{method}" for kind, method in wide.columns]
    wide = wide.reset_index().infer_objects()
    columns = {name: f"{name}.{{method}}" for name in numbers}
    long = long.drop(columns="estimand")
    one = import_replicates(
        wide, tmp_path / "a", name="s", by=["n", "mean"], columns=columns, quiet=True
    )
    other = import_replicates(long, tmp_path / "b", name="s", by=["n", "mean"], quiet=True)
    pd.testing.assert_frame_equal(one.performance, other.performance)
    pd.testing.assert_frame_equal(one.comparisons, other.comparisons)


@pytest.mark.slow
def test_contract_all_that_results_do_works(made, tmp_path):
    rows = exported(made).drop(columns="seconds")
    found = import_replicates(rows, tmp_path, name="rows", by=["n", "mean"], null=0.0, quiet=True)
    page = found.report(tmp_path / "page.html").read_text()
    assert "The data were simulated elsewhere." in page
    # What made a study is known of those alone that mcstudy has run.
    for text in (
        "mcstudy replay",
        "mcstudy protocol",
        "seed 0",
        "_elsewhere",
        "igest of",
        "Runs that",
    ):
        assert text not in page
    for text in (
        *(found, found.table("bias"), found.compare("average", "jittered"), found.anova("rmse")),
        *(found.adequacy(), found.failure_overlap(), found.sensitivity("bias"), status(found)),
    ):
        assert str(text)
    assert "mcstudy replay" not in str(status(found))
    assert "0 missing" in str(status(found))
    found.plot("zip").save(tmp_path / "zip.svg")
    assert set(found.fit_measures["measure"]) == set()
    some = found.compare("average", "jittered", where={"n": 5})
    assert set(some.frame["n"]) == {5}
    with pytest.raises(MCStudyError, match="its replicates were imported; nothing here makes them"):
        replay(found, "n=5, mean=0", 1)


def frame(**changes):
    made = {"replicate": np.repeat([1, 2, 3, 4], 2), "method": ["a", "b"] * 4}
    made["estimate"] = [1.0, 1.1, 0.9, np.nan, 1.2, 1.0, 0.8, 0.9]
    return pd.DataFrame(made | changes)


def imported(data, tmp_path, **options):
    return import_replicates(data, tmp_path, name="x", quiet=True, **options)


def test_contract_replicates_start_at_0_and_a_missing_row_is_a_failed_fit(tmp_path, capsys):
    found = import_replicates(frame().drop(index=[5]), tmp_path, name="x", truth=1.0)
    assert capsys.readouterr().err == (
        "Note: replicates are numbered from 0 here; the first is 1 in the table\n"
        "Note: the table: 1 of 4 replicates have no row of 'b'; they count as failed fits\n"
    )
    fits = found.fits.query("method == 'b'").set_index("replicate")
    assert fits["status"].to_dict() == {0: "ok", 1: "not_finite", 2: "not_finite", 3: "ok"}
    assert fits["message"][2] == "the table has no row of this replicate"


def test_contract_the_only_estimand_is_called_as_its_column(tmp_path):
    rows = frame().rename(columns={"estimate": "theta"})
    found = imported(
        rows, tmp_path, columns={"estimate": "theta"}, truth={"estimand": {"theta": 1}}
    )
    assert found.study["estimands"] == ["theta"]
    assert found.performance.query("measure == 'bias'")["value"].notna().all()


def test_contract_the_report_says_which_table_was_imported(tmp_path):
    path = tmp_path / "theirs.csv"
    frame().to_csv(path, index=False)
    found = import_replicates(path, tmp_path, name="x", quiet=True)
    page = found.report(tmp_path / "page.html").read_text()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    today = found.study["asked"]["imported"]["date"]
    assert f"imported from theirs.csv on {today} (SHA-256 {digest})." in page
    assert "the method or the simulation raised" not in str(found)


def test_contract_statuses_are_words_or_truth_values(tmp_path):
    converged = [True, True, False, True, True, True, True, True]
    found = imported(frame(converged=converged), tmp_path, columns={"status": "converged"})
    ends = found.fits.query("method == 'a'")["status"].tolist()
    assert ends == ["ok", "not_converged", "ok", "ok"]
    words = ["boundary", *["ok"] * 7]
    found = imported(frame(status=words), tmp_path / "w")
    assert found.fits["status"].tolist()[0] == "boundary"


def test_contract_true_values_by_the_levels_of_a_column(tmp_path):
    rows = frame(n=[10] * 4 + [20] * 4)
    found = imported(rows, tmp_path, by="n", truth={"n": {10: 1.0, 20: 2.0}})
    truths = found.estimates.merge(found.conditions)[["n", "truth"]].drop_duplicates()
    assert truths.to_numpy().tolist() == [[10, 1.0], [20, 2.0]]
    rows = frame(estimand=["slope", "intercept"] * 4, method="a")
    found = imported(rows, tmp_path / "e", truth={"estimand": {"slope": 1.0, "intercept": 0.0}})
    truths = found.estimates[["estimand", "truth"]].drop_duplicates().set_index("estimand")
    assert truths["truth"].to_dict() == {"slope": 1.0, "intercept": 0.0}
    rows = frame(truth=[1.0, 1.0, 1.1, 1.1, 0.9, 0.9, 1.2, 1.2])
    found = imported(rows, tmp_path / "o", own_truths=True)
    bias = found.performance.query("measure == 'bias' and method == 'a'")["value"].item()
    assert bias == pytest.approx((rows["estimate"] - rows["truth"])[::2].mean())


def test_contract_intervals_and_tests_of_a_wide_table(tmp_path):
    rows = pd.DataFrame({"b": [1.0, 2.0], "lo_t": [0.0, 0.5], "up_t": [3.0, 4.0]})
    rows[["lo_z", "up_z", "p"]] = [[0.5, 2.5, 0.01], [1.0, 3.0, 0.2]]
    columns = {"estimate": "b", "lower": "lo_{interval}", "upper": "up_{interval}", "p_value": "p"}
    found = imported(rows, tmp_path, columns=columns, truth=1.0, alpha=0.05)
    assert sorted(found.intervals["interval"].unique()) == ["t", "z"]
    rejection = found.performance.query("measure == 'rejection'")
    assert rejection["value"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (frame(), {"by": ["m"]}, "has no column 'm'"),
        (frame(), {"by": ["method"]}, "'method' in by is a name of mcstudy's; rename it"),
        (frame(), {"columns": {"estimat": "b"}}, r"names 'estimat' \(did you mean 'estimate'"),
        (frame(), {"columns": {"estimate": "b_{method}"}}, r"no column is called like 'b_"),
        (frame(), {"columns": {"std_error": 5}}, "columns has 5 for std_error; name a column"),
        (frame(), {"truth": "t"}, "has no column 't'"),
        (frame(), {"truth": {"k": {1: 2.0}}}, "truth is by 'k'; it can be by estimand"),
        (frame(), {"truth": {"estimand": 1.0}}, "truth is .*; give a number, the name of a column"),
        (frame(truth=np.arange(8.0)), {}, "the truth varies in the table: 0 and 1; "),
        (frame(estimate="x"), {}, "column 'estimate' has 'x' in row 1, not a number; leave the"),
        (frame(status="fine"), {}, "a status is 'fine' in .*; the statuses are ok, "),
        (frame(std_error=-1.0), {}, "a standard error is -1 in"),
        (frame(lower=2.0, upper=1.0), {}, "a lower limit is above its upper one"),
        (frame(lower=2.0), {}, "and not both limits"),
        (frame(method="a"), {}, "rows 1 and 2 are both replicate 1 in the table, method a; name"),
        (frame(method=None), {}, "a row has no method"),
        (frame().head(0), {}, "has no rows"),
        (frame().drop(columns="estimate"), {}, "has no column 'estimate'; name it, or one"),
    ],
)
def test_contract_what_cannot_be_used_is_said_in_one_line(tmp_path, data, options, message):
    with pytest.raises(MCStudyError, match=message) as refused:
        imported(data, tmp_path, **options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("rep,b\n1,0.5\n", [], "--columns estimate=... or p_value=... (columns={'estimate': ...})"),
        ("estimate,rep\n1,1\n", ["--by", "m"], "'m' (by); it has 'estimate', 'rep'; name one of"),
        ("estimate,rep\n1,1\n", ["--truth", "t"], "'rep'; give a number, or name one of them"),
        ("estimate\n1\n", ["--truth", "k:a=1"], "truth is by 'k'; it can be by estimand"),
        ("truth,estimate\n1,1\n2,1\n", [], "add to --by (by=) the column that it depends on"),
        ("truth,estimate\n1,1\n2,1\n", [], "or say --own-truths (own_truths=True) if each"),
        ("method,estimate\na,1\na,1\nb,1\n", [], "--columns replicate=... (columns={'replicate': "),
        ("rep;estimate\n1;0,5\n", [], "commas and full stops, as R's write.csv does"),
        ("rep,méthode\n1,0\n", [], "write.csv(..., fileEncoding = 'UTF-8')"),
    ],
)
def test_contract_a_message_fits_the_command_line(tmp_path, capsys, content, options, message):
    path = tmp_path / "x.csv"
    path.write_text(content, encoding="latin-1")
    assert main(["import", str(path), "--results", str(tmp_path), *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "pandas" not in said


@pytest.mark.slow
def test_contract_the_command_line(made, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    rows = exported(made).rename(columns={"estimate": "b"}).drop(columns="truth")
    rows.to_csv("rows.csv", index=False)
    given = ["import", "rows.csv", "--by", "n,mean", "--columns", "estimate=b", "--null", "0"]
    assert main([*given, "--truth", "mean:0=0,1.5=1.5", "--no-report"]) == 0, capfd.readouterr()
    shown = capfd.readouterr().out
    assert "rows: 4 conditions x 2 methods x 60 replicates" in shown
    assert "rejection" in shown
    named = [*given, "--truth", "0", "--no-report", "--name"]
    for form, mark in (("csv", "mean,n,method"), ("latex", "tabular"), ("markdown", "|")):
        assert main([*named, form, "--format", form]) == 0
        assert mark in capfd.readouterr().out
    assert main(given) == 2
    assert "results/rows: already exists; give another name, or delete it" in (
        capfd.readouterr().err
    )
    assert main([*given, "--truth", "mean:a=b", "--name", "z"]) == 2
    assert "--truth is 'mean:a=b'; write it as estimand:slope=1,intercept=0" in (
        capfd.readouterr().err
    )


def test_contract_quotes_in_truth_and_columns(tmp_path, capsys):
    rows = frame(dgm=["normal"] * 4 + ["skewed (a=1), 2"] * 4).rename(columns={"estimate": "b,=1"})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    given = ["import", str(tmp_path / "rows.csv"), "--results", str(tmp_path), "--no-report"]
    given += ["--by", "dgm", "--columns", 'estimate="b,=1"', "--truth"]
    assert main([*given, 'dgm:normal=1,"skewed (a=1), 2"=0.5']) == 0, capsys.readouterr()
    found = open_results(tmp_path / "rows")
    truths = found.estimates.merge(found.conditions)[["dgm", "truth"]].drop_duplicates()
    assert dict(truths.to_numpy()) == {"normal": 1.0, "skewed (a=1), 2": 0.5}


@pytest.mark.parametrize(
    "truth",
    ["dgm:a=1,b (c=1)=0.5", 'dgm:"a=1', 'dgm:"a"=1 2', "dgm:a=1,2", "dgm:a=1,a=2", "dgm:=1"],
)
def test_contract_a_malformed_truth_is_told_how(tmp_path, capsys, truth):
    assert main(["import", "rows.csv", "--results", str(tmp_path), "--truth", truth]) == 2
    said = capsys.readouterr().err
    assert f"--truth is {truth!r}; write it as estimand:slope=1,intercept=0, a level that" in said
    assert 'in double quotes: dgm:"a=1"=0.5' in said


@pytest.mark.parametrize("columns", ["estimate", "estimate=b,se", "estimate=b,estimate=c", "=b"])
def test_contract_malformed_columns_are_told_how(tmp_path, capsys, columns):
    assert main(["import", "rows.csv", "--results", str(tmp_path), "--columns", columns]) == 2
    assert f"--columns is {columns!r}; write it as estimate=b" in capsys.readouterr().err


def test_contract_names_that_are_whole_floats_read_as_integers(tmp_path):
    rows = frame(method=[1.0, 2.0] * 4, estimand=3.0, truth=1.0)
    found = imported(rows, tmp_path)
    assert found.fits["method"].unique().tolist() == ["1", "2"]
    assert found.estimates["estimand"].unique().tolist() == ["3"]
    given = imported(rows.drop(columns="truth"), tmp_path / "t", truth={"estimand": {3.0: 1.0}})
    pd.testing.assert_frame_equal(given.performance, found.performance)
    halves = imported(rows.assign(method=[1.5, 2.0] * 4), tmp_path / "h")
    assert halves.fits["method"].unique().tolist() == ["1.5", "2"]
    measures = performance(rows, by=["method", "estimand"], null={"3": 0.0}, replicate="replicate")
    assert measures["estimand"].tolist() == [3.0] * len(measures)


def p_values_in(tmp_path):
    """Return the words of an import of p-values, whose file is in a folder."""
    rows = pd.DataFrame({"replicate": [1, 2, 3, 4], "p_value": [0.001, 0.03, 0.2, 0.5]})
    rows.to_csv(tmp_path / "tests.csv", index=False)
    return ["import", str(tmp_path / "tests.csv"), "--results", str(tmp_path), "--no-report"]


def test_contract_several_levels_of_tests_on_the_command_line(tmp_path, capsys):
    assert main([*p_values_in(tmp_path), "--alpha", "0.05,0.01"]) == 0
    found = open_results(tmp_path / "tests").performance.set_index("measure")["value"]
    assert found[["rejection", "rejection_0.01"]].tolist() == [0.5, 0.25]
    capsys.readouterr()


def test_contract_a_method_without_a_usable_fit_is_exit_status_3(tmp_path, capsys):
    frame(estimate=[1.0, np.nan] * 4).to_csv(tmp_path / "rows.csv", index=False)
    given = ["import", str(tmp_path / "rows.csv"), "--results", str(tmp_path), "--no-report"]
    said = "method 'b' has no usable fit; most often (4 of 4): not_finite"
    assert main(given) == 3
    assert capsys.readouterr().err.count(f"Note: {said}\n") == 1
    assert main([*given, "--name", "quiet", "--quiet"]) == 3
    assert capsys.readouterr().err == f"mcstudy: {said}\n"


def test_contract_aims_on_the_command_line(tmp_path, capsys):
    assert main([*p_values_in(tmp_path), "--aims", "Does the test keep its size?"]) == 0
    assert open_results(tmp_path / "tests").aims == "Does the test keep its size?"
    capsys.readouterr()


@pytest.mark.parametrize("alpha", ["5", "0.05,", "0.05;0.01"])
def test_contract_a_level_of_tests_that_is_none(tmp_path, capsys, alpha):
    assert main([*p_values_in(tmp_path), "--alpha", alpha]) == 2
    said = f"--alpha is {alpha!r}; give a share like 0.05, or several as 0.05,0.01"
    assert said in capsys.readouterr().err
    assert main(["compare", "a", "b", "--alpha", alpha]) == 2
    assert f"--alpha is {alpha!r}; give a share like 0.05\n" in capsys.readouterr().err


def test_contract_numbers_of_fits_that_failed_are_left_out(tmp_path):
    rows = frame(status=["error", *["ok"] * 7], truth=1.0)
    rows.loc[0, "estimate"] = 100.0
    found = imported(rows, tmp_path)
    bias = found.performance.query("measure == 'bias' and method == 'a'")
    assert bias["used"].item() == 3
    assert abs(bias["value"].item()) < 1


def test_contract_numbers_that_no_method_has_are_no_replicates(tmp_path, capsys):
    rows = frame(replicate=np.repeat([2, 4, 6, 2**53 + 1], 2))
    found = import_replicates(rows, tmp_path, name="x")
    assert found.fits["replicate"].max() == 3
    assert "replicates are numbered anew here" in capsys.readouterr().err
    assert not (found.fits["status"] == "error").any()


@pytest.mark.parametrize("factor", ["truth", "seconds", "status"])
def test_contract_a_factor_may_be_called_like_a_role(tmp_path, factor):
    found = imported(frame(**{factor: [1] * 4 + [2] * 4}), tmp_path, by=factor)
    assert sorted(found.conditions[factor]) == [1, 2]
    if factor == "truth":
        both = imported(frame(truth=[1] * 4 + [2] * 4), tmp_path / "t", by=factor, truth=factor)
        assert (
            both.estimates.merge(both.conditions, on="condition").eval("truth_x == truth_y").all()
        )


def test_contract_factors_as_a_text(tmp_path):
    found = imported(frame(n=10, m=2), tmp_path, by="n,m")
    assert found.conditions["condition"].tolist() == ["m=2, n=10"]
    found = imported(frame(**{"n,m": 2}), tmp_path / "one", by="n,m")
    assert found.conditions["condition"].tolist() == ["n,m=2"]


@pytest.mark.parametrize("role", ["method", "estimand"])
def test_contract_rows_that_a_forgotten_column_tells_apart(tmp_path, role):
    rows = frame(n=50).rename(columns={"method": "way"})
    rows = rows if role == "method" else rows.assign(method="CC")
    by = ["n"] if role == "method" else []
    where = "n=50" if role == "method" else "method CC"
    with pytest.raises(MCStudyError, match=rf"replicate 1 in .*{where}; name the column") as error:
        imported(rows, tmp_path, by=by)
    said = str(error.value)
    assert said.startswith("rows 1 and 2 are both replicate 1 in the table")
    remedies = ("--columns (columns=)", "--by (by=)", "drop the row that is there twice")
    assert all(remedy in said for remedy in remedies)
    assert "only" not in said
    assert ", method;" not in said
    assert "estimate" not in said
    found = imported(rows, tmp_path, by=by, columns={role: "way"})
    assert set(found.performance[role].dropna()) == {"a", "b"}


def test_contract_a_row_of_a_wide_table_that_is_there_twice(tmp_path):
    rows = pd.DataFrame({"replicate": [1, 2, 2], "b_x": 1.0, "b_y": 2.0, "row": 5, "number": 6})
    with pytest.raises(MCStudyError, match="rows 2 and 3 are both replicate 2 in the table at num"):
        imported(rows, tmp_path, by=["row", "number"], columns={"estimate": "b_{method}"})


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (frame(truth=[1.0, 2.0] * 4), {}, "the truth varies in"),
        (frame(truth=[1.0, 2.0] * 4), {"own_truths": True}, "replicate 0 has two true values"),
        (
            frame().drop(columns="replicate").drop(index=2),
            {},
            "has 4 rows of method b and 3 of method a",
        ),
        (
            pd.concat([frame(status="ok", estimand="u"), frame(status="boundary", estimand="v")]),
            {},
            "replicate 0 has two statuses in",
        ),
        (frame(estimand=""), {}, "a row has an empty estimand"),
        (
            pd.DataFrame({"b_ols_x": [1.0], "b_ols_x_1": [1.0]}),
            {"columns": {"estimate": "b_{method}_{estimand}"}},
            "column 'b_ols_x_1' fits 'b_{method}_{estimand}' in more than one way",
        ),
        (
            pd.DataFrame({"b_ols": [1.0], "se_ols": [1.0], "se_typo": [1.0]}),
            {"columns": {"estimate": "b_{method}", "std_error": "se_{method}"}},
            r"column 'se_typo' \(std_error\) is of typo, which has no estimate",
        ),
    ],
)
def test_contract_what_could_be_read_in_two_ways_is_refused(tmp_path, data, options, message):
    with pytest.raises(MCStudyError, match=message):
        imported(data, tmp_path, **options)


def test_contract_a_column_belongs_to_the_pattern_that_says_most(tmp_path):
    rows = pd.DataFrame({"n": [5, 5], "rep": [0, 1], "b_ols": [1.0, 2.0], "b_se_ols": [0.1, 0.2]})
    columns = {"replicate": "rep", "estimate": "b_{method}", "std_error": "b_se_{method}"}
    found = imported(rows, tmp_path, by="n", columns=columns)
    assert found.fits["method"].unique().tolist() == ["ols"]
    assert found.estimates["std_error"].tolist() == [0.1, 0.2]


def test_contract_a_refused_import_leaves_no_folder(tmp_path):
    with pytest.raises(MCStudyError, match="null is given for 'zz'"):
        imported(frame(), tmp_path, truth=0.0, null={"zz": 1.0})
    assert imported(frame(), tmp_path, truth=0.0).folder.exists()
