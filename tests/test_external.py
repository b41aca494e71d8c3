"""Measures of any table: whatever form it comes in, and however its rows are strewn."""

import csv

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from scipy import stats

from mcstudy import MCStudyError, performance, run
from mcstudy.external import group

BY = ["n", "method"]


def table(replicates=40, seed=1):
    """Return replicates of two methods at two sample sizes, with some missing."""
    rng = np.random.default_rng(seed)
    rows = [
        (n, method, replicate, 0.5, rng.normal(0.5, n**-0.5), n**-0.5 * rng.uniform(0.8, 1.2))
        for n in (10, 20)
        for method in ("mean", "median")
        for replicate in range(replicates)
    ]
    frame = pd.DataFrame(rows, columns=[*BY, "replicate", "truth", "estimate", "std_error"])
    frame["lower"] = frame.estimate - 2 * frame.std_error
    frame["upper"] = frame.estimate + 2 * frame.std_error
    frame.loc[3, "estimate"] = np.nan
    frame.loc[[5, 50], ["std_error", "lower", "upper"]] = np.nan
    return frame


@pytest.fixture
def frame():
    return table()


@pytest.fixture
def scattered(monkeypatch):
    """Make any table one that goes through files; return how often one did."""
    went, through = [], group._through_file
    monkeypatch.setattr(
        "mcstudy.external.group._through_file", lambda *a: went.append(1) or through(*a)
    )
    monkeypatch.setattr("mcstudy.external.group.BUDGET", 1)
    monkeypatch.setattr("mcstudy.external.readers.BATCH", 7)
    monkeypatch.setattr("mcstudy.external.csv_files.LARGE_CSV", 0)
    return went


def same(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def plain(frame, **more):
    """Return the table cell by cell, from the pieces themselves."""
    pieces = [
        performance(piece.reset_index(drop=True), by=BY, **more) for _, piece in frame.groupby(BY)
    ]
    return pd.concat(pieces, ignore_index=True)


FORMS = {
    "arrow": lambda frame, path: pa.Table.from_pandas(frame),
    "polars": lambda frame, path: _of_polars(frame),
    "polars categories": lambda frame, path: _of_polars(frame, method="Categorical"),
    "stream": lambda frame, path: pa.Table.from_pandas(frame).to_reader(),
    "to_pandas": lambda frame, path: _ToPandas(frame),
    "batch": lambda frame, path: pa.RecordBatch.from_pandas(frame),
    "parquet": lambda frame, path: _written(frame.to_parquet, path / "x.parquet"),
    "text path": lambda frame, path: str(_written(frame.to_parquet, path / "x.parquet")),
    "row groups": lambda frame, path: _written(
        frame.to_parquet, path / "y.parquet", row_group_size=9
    ),
    "csv": lambda frame, path: _written(frame.to_csv, path / "x.csv", na_rep="NA"),
    "gzip": lambda frame, path: _written(frame.to_csv, path / "x.csv.gz", index=False),
    "tsv": lambda frame, path: _written(frame.to_csv, path / "x.tsv", sep="\t"),
    "folder": lambda frame, path: _files(frame, path / "many"),
    "dataset": lambda frame, path: ds.dataset(_files(frame, path / "many")),
}


class _ToPandas:
    """A frame of some other library."""

    def __init__(self, frame):
        self.to_pandas = lambda: frame


def _of_polars(frame, **types):
    polars = pytest.importorskip("polars")
    polars.Series(["z", "y", *sorted(frame["method"], reverse=True)], dtype=polars.Categorical)
    return polars.from_pandas(frame).cast(dict.fromkeys(types, polars.Categorical))


def _written(write, path, **options):
    write(path, **options)
    return path


def _files(frame, folder):
    folder.mkdir()
    for place, begin in enumerate(range(0, len(frame), 37)):
        frame[begin : begin + 37].to_parquet(folder / f"{place}.parquet")
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_identity_every_form_gives_the_same_table(frame, tmp_path, form):
    found = performance(FORMS[form](frame, tmp_path), by=BY)
    same(found, plain(frame))


@pytest.mark.parametrize("form", ["parquet", "row groups", "folder", "csv", "gzip"])
@pytest.mark.parametrize("most", [0, 40])  # rows: batch by batch, or several together
@pytest.mark.parametrize("last", [None, "median"])  # a method whose rows come after all others
def test_identity_through_a_file_as_in_memory(
    frame, tmp_path, form, most, last, scattered, monkeypatch
):
    monkeypatch.setattr("mcstudy.external.group.BUDGET", max(1, most * 8 * 5))
    strewn = frame.sample(frac=1, random_state=3)
    strewn = strewn.sort_values("method", key=lambda m: m == last, kind="stable")
    strewn = strewn.reset_index(drop=True)
    expected = plain(frame)
    assert not scattered
    same(performance(FORMS[form](strewn, tmp_path), by=BY), expected)
    assert scattered
    assert not list(tmp_path.glob("mcstudy-*"))


@pytest.mark.parametrize("first", [True, False])
def test_identity_an_empty_file_among_those_of_a_large_table(
    frame, tmp_path, first, scattered, monkeypatch
):
    monkeypatch.setattr("mcstudy.external.group.BUDGET", 60 * 8 * 6)
    monkeypatch.setattr("mcstudy.external.group._through_file", None)
    folder = _files(frame, tmp_path / "many")
    frame[:0].to_parquet(folder / ("-1.parquet" if first else "9.parquet"))
    same(performance(folder, by=BY), plain(frame))


@pytest.mark.parametrize("size", [100, 3000, 7600])  # bytes: in the first piece, later, at the end
def test_contract_a_disk_that_fills_up_is_one_line(frame, tmp_path, size, scattered):
    resource = pytest.importorskip("resource")
    source = FORMS["row groups"](frame.sample(frac=1, random_state=3), tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(MCStudyError, match=r"for temporary files and .* has less; set TMPDIR"):
            performance(source, by=BY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_contract_a_measure_that_raises_is_said_at_once(frame):
    calls = []

    def broken(estimate):
        calls.append(1)
        raise ValueError("no")

    with pytest.raises(MCStudyError, match="fails in 1 cell and"):
        performance(frame, by=BY, measures={"broken": broken})
    assert len(calls) == 1


def test_identity_a_sorted_table_needs_no_files(frame, tmp_path, scattered, monkeypatch):
    monkeypatch.setattr("mcstudy.external.group.BUDGET", 60 * 8 * 6)
    monkeypatch.setattr("mcstudy.external.group._through_file", None)
    source = FORMS["row groups"](frame, tmp_path)
    same(performance(source, by=BY), plain(frame))


@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_contract_permuting_and_splitting_rows_changes_no_bit(
    frame, tmp_path, seed, files, request
):
    """Where there is a column of replicates; each time with other chunks, files and row groups."""
    if files:
        request.getfixturevalue("scattered")
    rng = np.random.default_rng(seed)
    strewn = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
    folder = tmp_path / "many"
    folder.mkdir()
    edges = np.sort(rng.integers(0, len(frame), 4))
    for place, piece in enumerate(np.split(np.arange(len(frame)), edges)):
        strewn.iloc[piece].to_parquet(
            folder / f"{place}.parquet", row_group_size=int(rng.integers(1, 30))
        )
    same(performance(folder, by=BY), plain(frame))


def test_contract_without_replicates_only_the_last_bits_depend_on_the_order(frame):
    strewn = frame.sample(frac=1, random_state=2).reset_index(drop=True)
    found = performance(strewn, by=BY, replicate=None)
    expected = performance(frame, by=BY, replicate=None)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-12, atol=1e-14)
    halves = pa.concat_tables([pa.Table.from_pandas(frame[:77]), pa.Table.from_pandas(frame[77:])])
    same(performance(halves, by=BY, replicate=None), expected)


@pytest.mark.parametrize("added", [{"method": "third"}, {"n": 5}, {"method": None}])
def test_contract_a_further_method_or_condition_changes_no_other_cell(frame, added):
    more = table(seed=2)[:40].assign(**added)
    both = pd.concat([frame, more]).sample(frac=1, random_state=1).reset_index(drop=True)
    found = performance(both, by=BY)
    column, value = next(iter(added.items()))
    new = found[column].isna() if value is None else found[column] == value
    same(found[~new].reset_index(drop=True), plain(frame))
    assert new.sum() == len(found) / 5


def test_contract_of_our_own_results_are_the_measures_of_the_run(study_file, tmp_path):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    estimates = tmp_path / "normal" / "estimates.parquet"
    found = performance(estimates, by=["condition", "method", "estimand"], std_error=None)
    found = found.merge(results.conditions, on="condition")
    known = results.performance[results.performance.measure.isin(found.measure)]
    known = known[known.interval.isna()]
    both = known.merge(found, on=["mean", "n", "method", "estimand", "measure"])
    assert len(both) == len(known) == len(found)
    for name in ("value", "mcse", "lower", "upper", "used", "replicates"):
        assert both[f"{name}_x"].equals(both[f"{name}_y"])


@pytest.mark.parametrize("df", [None, 7, "degrees"])
def test_reference_limits_from_the_standard_error(frame, df):
    frame = frame.drop(columns=["lower", "upper"]).assign(degrees=np.arange(160) % 9 + 2.0)
    found = performance(frame, by=BY, df=df, level=0.9).set_index("measure")
    degrees = frame.degrees if df == "degrees" else 7
    quantile = stats.norm.ppf(0.95) if df is None else stats.t.ppf(0.95, degrees)
    error = (frame.estimate - 0.5).abs()
    hit = (error <= quantile * frame.std_error)[error.notna() & frame.std_error.notna()]
    cells = found.loc["coverage"]
    assert (cells.value * cells.used).sum() == pytest.approx(hit.sum())
    assert cells.used.sum() == len(hit) == 157


def test_contract_columns_that_are_not_there_cost_their_measures(frame):
    bare = frame[[*BY, "estimate"]]
    found = set(performance(bare, by=BY, truth=0.5).measure)
    assert "bias" in found
    assert not found & {"model_se", "relative_error_model_se", "coverage", "rejection"}
    limits = frame[[*BY, "estimate", "lower", "upper"]]
    assert "coverage" in set(performance(limits, by=BY, truth=0.5).measure)
    formed = performance(frame, by=BY, lower=None, upper=None)
    assert "coverage" in set(formed.measure)
    given = performance(frame, by=BY).query("measure == 'width'").value
    assert formed.query("measure == 'width'").value.sum() == pytest.approx(
        0.98 * given.sum(), rel=1e-3
    )
    left_out = performance(frame, by=BY, std_error=None, lower=None, upper=None)
    assert set(left_out.measure) == found


def test_contract_null_by_estimand(frame):
    frame["estimand"] = np.where(frame.n == 10, "a", "b")
    found = performance(frame, by=["estimand", *BY], null={"a": 5.0})
    rejection = found[found.measure == "rejection"]
    assert set(rejection.estimand) == {"a"}
    assert (rejection.value == 1).all()
    with pytest.raises(MCStudyError, match=r"null names 'c', which is no estimand here; .* a, b"):
        performance(frame, by=["estimand", *BY], null={"c": 5.0})


def test_contract_an_infinite_estimate_has_no_formed_limits():
    frame = pd.DataFrame({"estimate": [1.0, np.inf, 0.1], "std_error": [1.0, 1.0, 1.0]})
    found = performance(frame, truth=0.0).set_index("measure")
    assert found.loc["coverage", ["value", "used"]].tolist() == [1.0, 2]


def test_contract_missing_and_odd_values_of_by_keep_their_cells():
    frame = pd.DataFrame(
        {
            "a": [None, None, True, False],
            "b": [1.5, 1.5, np.nan, -0.0],
            "c": pd.Categorical(["x", "x", None, "y"]),
            "estimate": [1, 2, 3, 4],
        }
    )
    found = performance(frame, truth=0, by=["a", "b", "c"])
    assert found[found.measure == "bias"].value.tolist() == [4.0, 3.0, 1.5]
    assert found.a.isna().sum() == len(found) / 3


def test_contract_intervals_and_sparse_columns_are_columns_like_others():
    frame = pd.DataFrame({"x": [1, 2, 8, 9], "estimate": pd.arrays.SparseArray([0.0, 2, 0, 4])})
    for binned in (pd.cut(frame.x, [0, 5, 10]), pd.cut(frame.x, [0, 5, 10]).astype("interval")):
        found = performance(frame.assign(x=binned), truth=0, by=["x"], replicate=None)
        bias = found[found.measure == "bias"]
        assert bias.x.tolist() == ["(0, 5]", "(5, 10]"]
        assert bias.value.tolist() == [1.0, 2.0]
    large = pd.DataFrame({"estimate": pd.Series([10**30, 1], dtype=object)})
    with pytest.raises(MCStudyError, match="a column has values of no use here: Python int too"):
        performance(large, truth=0)


def test_contract_columns_may_have_numbers_for_names():
    found = performance(pd.DataFrame([[1.0, "a"], [3.0, "a"]]), truth=0, by="1", estimate="0")
    assert found.iloc[0].tolist()[:3] == ["a", "bias", 2.0]


def test_contract_an_r_csv(tmp_path):
    """As write.csv makes it: row names, NA, quoted words, TRUE and Inf."""
    path = tmp_path / "sim.csv"
    path.write_text(
        '"","dgm","method","rep","theta","se"\n'
        '"1",1,"NA",1,0.5,0.25\n"2",1,"NA",2,NA,NA\n"3",1,"NA",3,1.5,Inf\n"4",1,NA,1,2,1\n'
    )
    found = performance(
        path, truth=1, by=["dgm", "method"], estimate="theta", std_error="se", replicate="rep"
    ).set_index(["method", "measure"])
    assert found.loc[("NA", "bias"), ["value", "used", "replicates"]].tolist() == [0.0, 2, 3]
    assert found.loc[("NA", "model_se"), "value"] == 0.25
    assert found.loc[(np.nan, "bias"), "value"].item() == 1


def test_identity_by_as_a_text(frame, tmp_path):
    same(performance(frame, by="n, method"), plain(frame))
    odd = frame.rename(columns={"n": "n,method"})
    expected = performance(odd, by=["n,method", "method"])
    same(performance(odd, by='"n,method",method'), expected)
    assert "n,method" in performance(odd, by="n,method", replicate=None)
    with pytest.raises(MCStudyError, match="has no column 'm'"):
        performance(frame, by="n,m")


@pytest.mark.parametrize("large", [False, True])
def test_identity_a_csv_file_with_all_in_quotes(frame, tmp_path, large, monkeypatch):
    if large:
        monkeypatch.setattr("mcstudy.external.csv_files.LARGE_CSV", 0)
    frame = pd.concat([frame.assign(replicate=frame["replicate"] + 40 * k) for k in range(500)])
    frame["estimate"] = frame["estimate"].where(frame["replicate"] < 19_500)  # in the last block
    plain_file, quoted = tmp_path / "plain.csv", tmp_path / "quoted.csv"
    frame.to_csv(plain_file, index=False, na_rep="NA")
    frame.to_csv(quoted, index=False, na_rep="NA", quoting=csv.QUOTE_ALL)
    assert quoted.stat().st_size > 3 * 2**20  # several blocks
    assert '"NA"' in quoted.read_text()
    same(performance(quoted, by=BY), performance(plain_file, by=BY))


@pytest.mark.parametrize("large", [False, True])
def test_contract_a_quoted_na_is_missing_among_numbers_only(tmp_path, large, monkeypatch):
    if large:
        monkeypatch.setattr("mcstudy.external.csv_files.LARGE_CSV", 0)
    path = tmp_path / "x.csv"
    path.write_text('method,estimate\n"NA","1"\n"NA","NA"\nNA,"3"\n"",""\n"a","2"\n')
    found = performance(path, truth=0, by="method").query("measure == 'bias'")
    assert found["method"].fillna("missing").tolist() == ["", "NA", "a", "missing"]
    assert found["value"].tolist()[1:] == [1.0, 2.0, 3.0]
    assert found["used"].tolist() == [0, 1, 1, 1]


def test_contract_text_that_a_large_file_has_late_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("mcstudy.external.csv_files.LARGE_CSV", 0)
    path = tmp_path / "x.csv"
    path.write_text("g,estimate\n" + "1,2\n" * 400_000 + "b,2\n")
    with pytest.raises(MCStudyError, match="column 'g' has 'b', and int64 in the rows above; save"):
        performance(path, truth=0, by="g")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": ["n", "methode"]}, "has no column 'methode'.*'n', 'method', 'replicate'"),
        ({"truth": "theta"}, "has no column 'theta'.*give a number, or name one of them"),
        ({"std_error": "se"}, "has no column 'se'"),
        ({"estimate": "method"}, "column 'method' has 'mean', not a number; leave the cell"),
        ({"by": []}, "replicate 0 occurs more than once in the table; add to by"),
        ({"by": ["method"], "replicate": None, "truth": "n"}, "truth varies in .*: 10 and 20"),
        ({"upper": None}, "has the limit 'lower' and no upper one"),
        ({"df": 5}, "df is not used"),
        ({"df": 0, "lower": None, "upper": None}, "df is 0; give a number above 0"),
        ({"level": 95.0}, "level is 95.0; give a number between 0 and 1"),
        ({"mcse": "bootstrap"}, "mcse is 'bootstrap'; say 'jackknife' or 'normal'"),
        ({"truth": True}, "truth is True; give a number or the name of a column"),
        ({"null": "0"}, "null is '0'"),
        ({"null": {"a": 0}}, "null is by estimand, and by lacks 'estimand'"),
        ({"measures": {"bias": len}}, "mcstudy has a measure 'bias'"),
        ({"by": ["n", "method", "value"]}, "by has 'value', a column of the result"),
    ],
)
def test_contract_bad_input_is_one_line(frame, options, message):
    with pytest.raises(MCStudyError, match=message) as caught:
        performance(frame.assign(value=1), **{"by": BY, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1, 2], "the table is a list; give a data frame of pandas, Polars"),
        ({"a": [1]}, "the table is a dict; give a data frame of pandas, Polars"),
        (None, "the table is a NoneType; give a data frame of pandas, Polars"),
        (pd.Series([1.0]), "the table is a Series; give a data frame of pandas, Polars"),
        ("missing.parquet", "missing.parquet: there is no such file; give the path of"),
        ("missing.csv", "missing.csv: there is no such file; give the path of"),
        (pd.DataFrame({"estimate": []}), "has no rows"),
        (pd.DataFrame({"estimate": ["1", "x"]}), "column 'estimate' has 'x', not a number"),
        (pd.DataFrame({"estimate": ["1", "2"]}), "column 'estimate' is text; give a column of num"),
        (pd.DataFrame({"estimate": [1, "x"]}), "mixes types in a column"),
    ],
)
def test_contract_what_is_no_table_is_one_line(data, message):
    with pytest.raises(MCStudyError, match=message) as caught:
        performance(data, truth=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"std_error": -1.0}, "a standard error is -1 in n=10, method=mean; none is below 0"),
        ({"lower": 9.0, "upper": 1.0}, "a lower limit is 9 and its upper one 1 in n=10"),
        ({"replicate": 2**60 + np.arange(160)}, "2^53 or more in n=10.* number them from 0"),
    ],
)
def test_contract_impossible_numbers_are_one_line(frame, changed, message):
    with pytest.raises(MCStudyError, match=message.replace("^", r"\^")):
        performance(frame.assign(**changed), by=BY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("estimate,méthode\n1,a\n".encode("latin-1"), "is not UTF-8; save it as UTF-8"),
        ("estimate,method\n1,é\n".encode("latin-1"), "is not UTF-8; save it as UTF-8"),
        (
            b"estimate,method\n" + b"1,a\n" * 400_000 + "1,é\n".encode("latin-1"),
            "is not UTF-8; save it as UTF-8",
        ),
        (b"estimate;method\n1,5;a\n", "has semicolons between its columns"),
        (b"estimate;method\n1.5;a\n", "semicolons between its columns, not commas; write it to a"),
        (b"estimate\tmethod\n1.5\ta\n", "has tabs between its columns, not commas; write it to"),
        (b"estimate\tmethod\n1,5\ta\n", "has tabs between its columns, not commas; write it to"),
        (
            b'method,estimate\na,1\na,"NA"\na,"Error in solve"\n',
            r"x\.csv: column 'estimate' has 'Error in solve' in row 3, not a number; leave the "
            r"cell empty \(NA\) where there is none",
        ),
        (
            b'method,estimate\na,"1,5"\n',
            "has '1,5' in row 1, not a number; write numbers with full",
        ),
        (b"a,estimate\n1,2\n1,2,3\n", "row 2 has 3 columns, the head 2; write it as R's write.csv"),
    ],
)
def test_contract_what_no_csv_should_have_is_one_line(tmp_path, content, message):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(MCStudyError, match=message):
        performance(path, truth=0, by="method")


def test_contract_damaged_files_are_one_line(frame, tmp_path, study_file):
    bad = tmp_path / "x.parquet"
    bad.write_bytes(b"no parquet")
    with pytest.raises(MCStudyError, match="cannot be read as Parquet"):
        performance(bad, truth=0)
    whole = frame.to_parquet()
    bad.write_bytes(
        b"z" * (len(whole) // 2) + whole[len(whole) // 2 :]
    )  # its end is whole, and says its columns
    with pytest.raises(MCStudyError, match="cannot be read"):
        performance(bad, truth=0)
    words = tmp_path / "x.csv"
    words.write_text("estimate\n1\nabc\n")
    with pytest.raises(MCStudyError, match=r"x\.csv.*abc"):
        performance(words, truth=0)
    with pytest.raises(MCStudyError, match=r"no file that ends in \.parquet"):
        performance(_written(lambda p: p.mkdir(), tmp_path / "empty"), truth=0)
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    with pytest.raises(MCStudyError, match="is a results folder"):
        performance(results.folder)


@pytest.mark.parametrize("name", ["x.txt", "x.dta", "x.csv.zip", "x"])
def test_contract_a_file_that_is_no_table_is_told_which_are(tmp_path, name):
    (tmp_path / name).write_text("estimate\n1\n")
    ends = r"ends in \.csv, \.csv\.gz, \.tsv, \.tsv\.gz or \.parquet"
    with pytest.raises(MCStudyError, match=f"is no table that can be read; .*{ends}") as caught:
        performance(tmp_path / name, truth=0)
    assert "Parquet magic bytes" not in str(caught.value)
    with pytest.raises(MCStudyError, match=f"{name}: there is no such file"):
        performance(tmp_path / "nothing" / name, truth=0)


def test_contract_a_folder_within_a_folder_may_end_in_parquet(frame, tmp_path):
    _files(frame, tmp_path / "x.parquet")
    same(performance(tmp_path, by=BY), plain(frame))


def test_contract_the_same_replicates_twice_are_noticed_in_every_way(frame, tmp_path, scattered):
    twice = pd.concat([frame, frame[:1]])
    with pytest.raises(
        MCStudyError, match="replicate 0 occurs more than once in n=10, method=mean"
    ):
        performance(FORMS["parquet"](twice, tmp_path), by=BY)


def test_identity_the_radix_order_is_the_stable_order():
    rng = np.random.default_rng(1)
    for most in (3, 2**15 + 5, 2**17, 2**30):
        code = rng.integers(0, most, 5000)
        order = group._order(code)
        assert (order == np.argsort(code, kind="stable")).all()


@pytest.mark.slow
def test_contract_more_combinations_than_an_integer_counts():
    names = list("abcde")  # 10,000 levels each: 10^20 combinations
    levels = np.random.default_rng(1).permuted(np.tile(np.arange(10_000), (5, 1)), axis=1)
    frame = pd.DataFrame(dict(zip(names, levels, strict=True))).assign(truth=0.0, estimate=1.0)
    found = performance(frame, by=names).query("measure == 'bias'")
    expected = frame.sort_values("a", ignore_index=True)[names]
    pd.testing.assert_frame_equal(found[names].reset_index(drop=True), expected)


def test_contract_a_folder_whose_files_differ_in_columns(frame, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    frame[:80].drop(columns="std_error").to_parquet(folder / "a.parquet")
    frame[80:].to_parquet(folder / "b.parquet")
    frame[:0].to_parquet(folder / "_ignored.parquet")
    found = performance(folder, by=BY).set_index([*BY, "measure"])
    assert found.loc[(10, "mean", "model_se"), "used"] == 0
    assert found.loc[(20, "mean", "model_se"), "used"] == 40


def test_contract_whole_numbers_in_one_file_and_decimals_in_another(tmp_path):
    for name, estimates in (("a", [1, 2, 3]), ("b", [1.5, 2.5, 3.5])):
        pd.DataFrame({"g": name, "estimate": estimates}).to_parquet(tmp_path / f"{name}.parquet")
    found = performance(tmp_path, truth=0, by="g")
    assert found[found.measure == "bias"].value.tolist() == [2.0, 2.5]


def test_contract_partitioned_folders_bring_their_columns(frame, tmp_path):
    ds.write_dataset(
        pa.Table.from_pandas(frame),
        tmp_path / "parts",
        format="parquet",
        partitioning=ds.partitioning(pa.schema([("n", pa.int64())]), flavor="hive"),
    )
    found = performance(tmp_path / "parts", by=BY)
    pd.testing.assert_frame_equal(found, plain(frame), check_dtype=False, check_exact=True)


def test_contract_parquet_is_read_in_batches(frame, tmp_path, scattered):
    path = FORMS["row groups"](frame, tmp_path)
    assert pq.ParquetFile(path).num_row_groups == 18
    from mcstudy.external.readers import open_source

    batches = list(open_source(path).batches(["estimate"], ["estimate"]))
    assert max(batch.num_rows for batch in batches) <= 7


def test_identity_true_values_by_the_levels_of_a_column():
    rows = {"n": [10, 10, 20, 20], "estimate": [1.0, 1.2, 2.0, 2.4], "truth": [1.0, 1.0, 2.0, 2.0]}
    frame = pd.DataFrame(rows)
    expected = performance(frame, by="n")
    found = performance(frame.drop(columns="truth"), by="n", truth={"n": {10: 1.0, "20": 2.0}})
    pd.testing.assert_frame_equal(found, expected)
    with pytest.raises(MCStudyError, match="truth has no number for n=20; add it"):
        performance(frame, by="n", truth={"n": {10: 1.0}})
    with pytest.raises(MCStudyError, match="true values by the levels of a column of by"):
        performance(frame, by="n", truth={"m": {10: 1.0}})
