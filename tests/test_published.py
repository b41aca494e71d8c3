"""A run against a table of published numbers."""

import numpy as np
import pandas as pd
import pytest

from mcstudy import MCStudyError, compare_runs, run
from mcstudy.cli import main

EXACT = "n,mean,method,measure,value\n5,0,average,bias,0\n"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The plain study, run once."""
    from conftest import HEADER, NORMAL, STUDY

    folder = tmp_path_factory.mktemp("published")
    (folder / "study_file.py").write_text(HEADER + NORMAL + STUDY)
    return run(folder / "study_file.py", folder / "results", jobs=1, quiet=True)


@pytest.fixture
def table(tmp_path):
    """Write a table of measures and return its path."""

    def write(text, name="published.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def ours(results, measure, method="average", n=5, mean=0.0):
    frame = results.performance
    return frame[
        (frame["measure"] == measure)
        & (frame["method"] == method)
        & (frame["n"] == n)
        & (frame["mean"] == mean)
    ].iloc[0]


def test_contract_a_run_against_its_own_table_is_identical(results):
    made = compare_runs(results, results.folder / "performance.parquet")
    assert set(made.frame["outcome"]) == {"identical"}
    assert len(made.frame) == results.performance["value"].notna().sum()
    assert not made.moved
    assert "published numbers" in str(made)


@pytest.mark.filterwarnings("error")
def test_contract_a_mean_width_of_a_few_very_wide_intervals_is_not_compared(results):
    table = results.performance.copy()
    first = table.index[table["measure"] == "width"][0]
    table.loc[first, ["value", "mcse"]] = 3e300, np.nan
    made = compare_runs(results, table)
    assert len(made.frame) == results.performance["value"].notna().sum() - 1
    assert not made.moved
    assert "1 mean width rests on a few very wide intervals and is not compared" in str(made)


def test_identity_a_table_of_another_run_is_judged_as_that_run(results, study_file, tmp_path):
    other = run(study_file(("seed=7", "seed=8")), tmp_path, jobs=1, quiet=True)
    wanted = compare_runs(results, other).frame
    wanted = wanted[wanted["measure"].isin(["bias", "empirical_se", "rmse", "model_se"])]
    made = compare_runs(results, other.performance.drop(columns=["lower", "upper"])).frame
    made = made[made["measure"].isin(["bias", "empirical_se", "rmse", "model_se"])]
    for name in ("difference", "error", "z", "p_value"):
        assert made[name].to_numpy() == pytest.approx(wanted[name].to_numpy(), rel=1e-12)


def test_identity_errors_of_published_numbers(results, table):
    head = "n,mean,method,measure,value,mcse,replicates,digits\n"
    row = "5,0,average,bias,0.1"
    known = ours(results, "bias")["mcse"]
    for given, error in (
        (",,,", 0.0),
        (",0.03,,", 0.03),
        (",,240,", known / 2),
        (",0,240,", known / 2),
        (",0.03,240,1", np.hypot(0.03, 0.1 / np.sqrt(12))),
    ):
        (found,) = compare_runs(results, table(f"{head}{row}{given}\n")).frame.itertuples()
        assert found.error == pytest.approx(np.hypot(known, error), rel=1e-12)
        assert found.z == pytest.approx((0.1 - found.value_a) / found.error, rel=1e-12)


def test_identity_the_error_of_a_share_is_at_least_that_of_the_published_one(results, table):
    text = EXACT.replace("bias,0", "coverage,0.5")
    (found,) = compare_runs(results, table(text)).frame.itertuples()
    assert ours(results, "coverage")["mcse"] < found.error
    assert found.error == pytest.approx(0.5 / np.sqrt(60), rel=1e-12)


@pytest.mark.slow
def test_law_z_of_published_numbers_is_standard_normal(study_file, tmp_path):
    """Of biases that are 0, each against 0 and against one that is rounded to a tenth."""
    many = ("grid(n=[5, 10], mean=[0.0, 1.5])", "grid(n=[5], mean=range(60))")
    found = run(study_file(many), tmp_path, jobs=1, quiet=True)
    biases = found.performance.query("measure == 'bias' and method == 'average'")
    rng = np.random.default_rng(3)
    published = biases[["mean", "method", "estimand", "measure"]].assign(
        value=np.round(rng.normal(scale=biases["mcse"].mean(), size=len(biases)), 1),
        replicates=60,
        digits=1,
    )
    for made in (published, published.assign(value=0.0, replicates=np.nan, digits=np.nan)):
        z = compare_runs(found, made).frame["z"]
        assert z.mean() == pytest.approx(0, abs=4 / np.sqrt(60))
        assert z.std() == pytest.approx(1, abs=4 / np.sqrt(120))


def test_contract_the_order_says_which_is_taken_from_which(results, table):
    path = table(EXACT)
    one, other = compare_runs(results, path), compare_runs(path, results)
    assert one.frame["z"].tolist() == (-other.frame["z"]).tolist()
    assert one.names == ("run", "published")
    assert other.names == ("published", "run")
    assert "published - run" in str(one)
    assert "run - published" in str(other)


def test_contract_any_frame_will_do(results, table):
    polars = pytest.importorskip("polars")
    wanted = compare_runs(results, table(EXACT)).frame
    for frame in (pd.read_csv(table(EXACT)), polars.read_csv(table(EXACT))):
        pd.testing.assert_frame_equal(compare_runs(results, frame).frame, wanted)


def test_contract_an_empty_level_stands_for_the_only_one(results, table):
    text = (
        "n,mean,method,estimand,interval,measure,value\n"
        "5,0,average,,,coverage,0.9\n"
        "5,0,average,mean,default,width,2\n"
        "5.0,0.0,average,,,share_ok,1\n"
        '"10","0",average,mean,,bias,0\n'
    )
    made = compare_runs(results, table(text))
    assert made.frame["measure"].tolist() == ["coverage", "width", "share_ok", "bias"]
    assert made.frame["interval"].fillna("").tolist() == ["default", "default", "", ""]


@pytest.mark.slow
def test_contract_levels_of_mixed_types_and_a_factor_called_digits(study_file, tmp_path):
    edits = (
        ("*, n, mean:", "*, kind, digits:"),
        ('"mean": mean', '"mean": 0'),
        ("*, n, mean)", "*, kind, digits)"),
        ("rng.normal(mean, size=n)", "rng.normal(size=5)"),
        ("n=[5, 10], mean=[0.0, 1.5]", "kind=[None, 1, '1', 'a'], digits=[0.5, 2]"),
    )
    found = run(study_file(*edits), tmp_path, jobs=1, quiet=True)
    assert set(compare_runs(found, found.performance).frame["outcome"]) == {"identical"}
    for kind, stored in ((1, "1"), ("a", '"a"'), ('"1"', '"1"')):
        row = {"kind": kind, "digits": 0.5, "method": "average", "measure": "bias", "value": 0}
        made = compare_runs(found, pd.DataFrame([row])).frame
        assert made["kind"].tolist() == [stored]


def test_contract_rows_without_a_number_of_the_run_are_counted(results, table):
    text = EXACT.replace("measure", "interval,measure").replace("bias", ",bias")
    made = compare_runs(results, table(f"{text}5,0,jittered,default,width,1\n"))
    assert made.only_b["measure"].tolist() == ["width"]
    assert "1 published number without one in the run" in str(made)


def test_contract_where_leaves_rows_of_both_out(results, table):
    path = table(f"{EXACT}7,0,average,bias,0\n")
    assert len(compare_runs(results, path, where="n=5").frame) == 1
    with pytest.raises(MCStudyError, match=r"where leaves none of its rows"):
        compare_runs(results, path, where="n=10")
    with pytest.raises(MCStudyError, match=r"no n=11 here; it has 5, 10"):
        compare_runs(results, path, where="n=11")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as CSV"),
        ("measure,value\n", "has no rows"),
        ("measure,value\nbias,\n", "has no row with a value"),
        ("measure,value\n,1\n", "row 1 has no measure; name it"),
        ("n,measure\n5,bias\n", "has no column 'value'; it has 'n', 'measure'; give"),
        ("measure;value\nbias;0\n", "has semicolons between its columns"),
        (
            "measure,value\nbias,much\n",
            "column 'value' has 'much' in row 1, not a number; leave the cell",
        ),
        ("measure,value,mcse\nbias,0,-1\n", "row 1 has mcse -1; give a finite number of 0 or more"),
        (
            EXACT.replace("value", "value,digits").replace("bias,0", "bias,0,.5"),
            "row 1 has digits 0.5; give a whole number",
        ),
        ("measure,value,replicates\nbias,0,0\n", "replicates 0; give a whole number of 1 or more"),
        (EXACT.replace("bias", "bais"), r"no measure 'bais' \(did you mean 'bias'\?\); there are"),
        (EXACT.replace("bias", "rejection"), "there is no rejection here: it needs p-values"),
        (EXACT.replace("average", "averag"), r"method=averag is not in the run \(did you mean"),
        (EXACT.replace("5,", "6,"), "n=6 is not in the run; it has 5, 10; fix it, or leave rows"),
        (
            EXACT.replace("n,mean", "N,mean"),
            r"fits 2 numbers of the run, of n=5 and of n=10.*used: 'N'\)",
        ),
        (f"{EXACT}5,0,average,bias,0\n", "rows 1 and 2 are about the same number, mean=0, n=5"),
        (
            EXACT.replace("measure", "interval,measure").replace("average", "jittered,default"),
            "have no cell in common to compare",
        ),
    ],
)
def test_contract_what_a_table_lacks_is_said_in_one_line(results, table, text, message):
    with pytest.raises(MCStudyError, match=message) as raised:
        compare_runs(results, table(text))
    assert "\n" not in str(raised.value)
    assert "published.csv" in str(raised.value)


def test_contract_a_table_and_a_run_are_needed(results, table, tmp_path):
    path = table(EXACT)
    with pytest.raises(MCStudyError, match="are two tables; give the folder of a run"):
        compare_runs(path, path)
    with pytest.raises(MCStudyError, match=r"nothere.csv: there is no such file"):
        compare_runs(results, tmp_path / "nothere.csv")
    with pytest.raises(MCStudyError, match="row 1 has value 'x'; give a number"):
        compare_runs(results, pd.DataFrame({"measure": ["bias"], "value": ["x"]}))


def test_contract_columns_of_no_use_are_named(results, table):
    text = EXACT.replace("value", "value,source").replace("bias,0", "bias,0,Table 1")
    assert "columns that were not used: 'source'" in str(compare_runs(results, table(text)))


def test_contract_exit_status_and_text(results, table, capsys):
    folder, path = str(results.folder), table(EXACT)
    assert main(["compare", folder, str(path)]) == 0
    out = capsys.readouterr().out
    assert out == f"{compare_runs(folder, path)}\n"
    assert "Nothing differs by more than its error: of 1 published number 1 in agreement" in out
    assert "no MCSE and no number of replicates is published" in " ".join(out.split())
    assert main(["compare", folder, str(table(EXACT.replace("bias,0", "bias,9")))]) == 1
    assert "Something differs (family-wise level 0.05)" in capsys.readouterr().out
    assert main(["compare", folder, str(table("measure\nbias\n"))]) == 2
    assert "has no column 'value'" in capsys.readouterr().err
