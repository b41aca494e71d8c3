"""Tables of measures: what stands where, and in which format."""

import csv
import io
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from mcstudy import MCStudyError, run
from mcstudy.analysis.mcse import wilson
from mcstudy.analysis.select import select
from mcstudy.cli import main
from mcstudy.tables.formats import text
from mcstudy.tables.numbers import number_with_error
from mcstudy.tables.table import table

SPECIAL = r"a_b & 50% #1 {x} $y$ ~ ^ \z <q> |"


def performance(methods=("m", "k"), n=(10, 30), intervals=("t", "z"), used=1000):
    """Return a table of measures with every cell's value its own."""
    rows = []
    for size in n:
        for method in methods:
            key = {"n": size, "method": method, "estimand": "mean"}
            numbers = {"mcse": 0.0125, "used": used, "replicates": 1000}
            rows.append(
                {**key, "interval": None, "measure": "bias", "value": size / 100, **numbers}
            )
            rows += [
                {**key, "interval": name, "measure": "coverage", "value": 0.9 + i / 100, **numbers}
                for i, name in enumerate(intervals)
            ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ((1.23456, 0.0123), "1.235 (0.012)"),
        ((-0.0001, 0.5), "0.00 (0.50)"),
        ((0.5, 0.0996), "0.50 (0.10)"),
        ((0.5, 0.00999), "0.500 (0.010)"),
        ((12345.6, 210.0), "12346 (210)"),
        ((6.7e55, 1.2e55), "6.7e+55 (1.2e+55)"),
        ((1.234e-9, 2.1e-11), "1.234e-09 (2.1e-11)"),
        ((np.nan, np.nan), "-"),
        ((3.5, np.nan), "3.5 (-)"),
        ((np.inf, np.nan), "inf (-)"),
        ((1.0, 0.0, *wilson(1.0, 40)), "1 (>0.91)"),
        ((0.0, 0.0, *wilson(0.0, 40)), "0 (<0.09)"),
        ((1.0, 0.0, *wilson(1.0, 10_000)), "1 (>0.9996)"),
        ((0.0, 0.0, -0.03, 0.03), "0 (±0.03)"),
        ((2.0, 0.0), "2 (0)"),
        ((0.3, 1e-17), "0.3 (0)"),
        ((1 / 3, 1e-9), "3.333333e-01 (1.0e-09)"),
    ],
)
def test_reference_a_number_shows_the_digits_its_error_allows(numbers, shown):
    assert number_with_error(*numbers) == shown


def test_contract_every_number_stands_where_its_labels_say():
    made = table(performance(), "coverage", rows="n,interval", columns="method")
    assert made.layout.rows == ((10, "t"), (10, "z"), (30, "t"), (30, "z"))
    assert made.layout.columns == (("m",), ("k",))
    for (i, j), entry in made.layout.entries.items():
        (size, interval), (method,) = made.layout.rows[i], made.layout.columns[j]
        frame = performance().set_index(["n", "interval", "method"])
        assert entry.value == frame.loc[(size, interval, method), "value"]


def test_contract_defaults_put_methods_across_and_the_rest_down():
    layout = table(performance(), "coverage").layout
    assert (layout.row_names, layout.column_names) == (("n", "interval"), ("method",))
    led = table(performance(), "coverage", rows="interval", columns="n").layout
    assert (led.row_names, led.column_names) == (("interval", "method"), ("n",))
    both = table(performance(), "bias, coverage", where="interval=t").layout
    assert both.column_names == ("method", "measure")
    assert [levels[1] for levels in both.columns] == ["bias", "coverage"] * 2
    assert len(both.entries) == 8


def test_contract_what_has_no_interval_has_a_blank_there():
    text = str(table(performance(n=(10,)), "bias,coverage"))
    assert "None" not in text
    assert "0.100* (0.013)" in text
    csv = str(table(performance(n=(10,)), "bias,coverage", rows="interval", format="csv"))
    assert ",0.1,0.0125,1000,1000" in csv


@pytest.mark.parametrize(("value", "starred"), [(1 + 1e-14, False), (1 + 1e-6, True)])
def test_contract_a_ratio_is_starred_for_more_than_its_rounding(value, starred):
    frame = performance(n=(10,)).query("measure == 'bias'")
    frame = frame.assign(measure="empirical_se_ratio", value=value, mcse=1e-17)
    assert ("*" in str(table(frame, "empirical_se_ratio"))) == starred


def test_contract_methods_with_an_interval_each_of_their_own_stand_in_one_row():
    frame = performance(intervals=())
    cells = frame[frame.measure == "bias"].assign(
        measure="coverage", interval=lambda f: f.method.map({"m": "default", "k": "wald"})
    )
    made = table(pd.concat([frame, cells]), ["coverage"])
    assert made.layout.row_names == ("n",)
    assert len(made.layout.entries) == 4
    assert "intervals: default of m, wald of k" in made.notes
    assert not any(note.startswith("throughout") and "interval" in note for note in made.notes)
    both = table(pd.concat([frame, cells]), ["bias", "coverage"])
    assert both.layout.row_names == ("n",)
    assert len(both.layout.entries) == 8
    asked = table(pd.concat([frame, cells]), "coverage", rows="interval")
    assert asked.layout.row_names == ("interval", "n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": "n,intervall"}, r"no column 'intervall' \(did you mean 'interval'\?\)"),
        ({"rows": "n", "columns": "n"}, "n is in rows and in columns"),
        ({"where": "n=20"}, "no n=20 here; it has 10, 30"),
        ({"where": "interval=exact"}, "no interval=exact here; it has t, z$"),
        ({"where": "n"}, "'n' is no condition; write name=level"),
        ({"where": {"size": 3}}, "no column 'size'"),
        ({"format": "pdf"}, "choose from text, markdown, latex, csv, html"),
        ({"level": 95}, "level is 95; give a share"),
    ],
)
def test_contract_what_cannot_be_laid_out_is_said_in_a_line(arguments, message):
    with pytest.raises(MCStudyError, match=message):
        table(performance(), "coverage", **arguments)


def test_contract_an_unknown_measure_is_named_with_the_known_ones():
    with pytest.raises(MCStudyError, match=r"no measure 'cover'.*there are bias, coverage"):
        table(performance(), "cover")


@pytest.mark.parametrize(
    ("where", "sizes"),
    [
        ("n=10", {10}),
        ("n=10.0", {10}),
        ("n=10|30", {10, 30}),
        ({"n": 30}, {30}),
        ({"n": [10, 30], "method": "m"}, {10, 30}),
        ("n=30, method=m|k", {30}),
        (None, {10, 30}),
    ],
)
def test_contract_where_reads_numbers_as_numbers(where, sizes):
    assert set(select(performance(), where)["n"]) == sizes


def test_contract_where_knows_texts_truths_and_none():
    frame = pd.DataFrame({"flag": [True, False], "word": ["a,b", None], "half": [0.5, np.nan]})
    frame = frame.assign(measure="bias", value=1.0, mcse=0.1, used=5, replicates=5)
    assert select(frame, "flag=true")["flag"].tolist() == [True]
    assert select(frame, "word=a,b, flag=True").index.tolist() == [0]
    assert select(frame, "word=None").index.tolist() == [1]
    assert select(frame, {"half": None}).index.tolist() == [1]
    assert select(frame, {"half": 0.5}).index.tolist() == [0]


def test_contract_coverage_off_its_level_by_more_than_its_error_is_marked():
    frame = performance(intervals=("t",), n=(10,), methods=("m",)).iloc[1:]
    n = 1000
    for value in (0.92, 0.93, 0.935, 0.94, 0.96, 0.965, 0.97):
        lower, upper = wilson(value, n)
        (entry,) = table(frame.assign(value=value), "coverage").layout.entries.values()
        assert entry.marked == (not lower <= 0.95 <= upper)
        (entry,) = table(frame.assign(value=value), "coverage", level=value).layout.entries.values()
        assert not entry.marked


def test_contract_used_of_stands_wherever_not_all_replicates_are_used():
    assert "1000/" not in str(table(performance(), "bias"))
    partly = str(table(performance(used=990), "bias"))
    assert partly.count("990/1000") == 4
    assert "a/b: the number rests on a of b" in partly


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_contract_text_fits_the_page_and_loses_no_column(width):
    frame = performance(methods=[f"method_{i}" for i in range(12)])
    shown = text(table(frame, "coverage", rows="n,interval").document(), width)
    assert max(map(len, shown.splitlines())) <= width
    for i in range(12):
        assert len(re.findall(rf"method_{i}\b", shown)) == 1
    assert shown.count("0.900* (0.013)") == 24


def test_identity_csv_holds_every_number_to_the_last_digit():
    frame = performance().assign(value=np.random.default_rng(1).normal(size=12))
    out = str(table(frame, "coverage", rows="n,interval", format="csv"))
    lines = list(csv.DictReader(io.StringIO(out)))
    found = {
        (int(line["n"]), line["interval"], method): float(line[f"{method} value"])
        for line in lines
        for method in ("m", "k")
    }
    keys = frame.dropna().set_index(["n", "interval", "method"])["value"]
    assert found == keys.to_dict()
    assert {line["m mcse"] for line in lines} == {"0.0125"}


def test_contract_html_is_well_formed_and_says_what_is_a_head():
    frame = performance(methods=("<m & k>", "k"))
    made = table(frame, "coverage")
    tree = ET.fromstring(str(table(frame, "coverage", format="html")))
    assert tree.find("caption").text.startswith("coverage")
    assert {th.get("scope") for th in tree.find("thead").iter("th")} == {"col"}
    assert {th.get("scope") for th in tree.find("tbody").iter("th")} == {"row"}
    assert "<m & k>" in [th.text for th in tree.find("thead").iter("th")]
    assert len(list(tree.iter("td"))) == len(made.layout.entries)
    assert made._repr_html_() == str(table(frame, "coverage", format="html"))


def test_contract_latex_escapes_every_special_character():
    out = str(table(performance(methods=(SPECIAL, "k")), "coverage", format="latex"))
    assert r"a\_b \& 50~\% \#1 \{x\} \$y\$" in out.replace(r"50\%", r"50~\%")
    assert r"\textasciitilde{} \textasciicircum{} \textbackslash{}z \textless{}q" in out


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_contract_latex_compiles(tmp_path):
    frame = performance(methods=(SPECIAL, "k", 'quo"ted'), used=990)
    frame.loc[1, ["value", "mcse"]] = 1.0, 0.0
    made = table(frame, "bias,coverage", rows="n,interval", format="latex")
    head = "\\documentclass{article}\n\\usepackage{booktabs}"
    source = f"{head}\n\\begin{{document}}\n{made}\n\\end{{document}}\n"
    (tmp_path / "t.tex").write_text(source)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_contract_the_verb_and_the_method_give_the_same_table(study_file, tmp_path, capsys):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    arguments = ["--measure", "coverage", "--rows", "n", "--where", "mean=1.5"]
    assert main(["table", str(results.folder), *arguments, "--format", "markdown"]) == 0
    made = results.table("coverage", rows="n", where={"mean": 1.5}, format="markdown")
    assert capsys.readouterr().out == f"{made}\n"
    assert "average" in str(made)
    differences = str(results.table("bias_difference", rows="n,mean"))
    assert "method=jittered, reference=average" in differences


def test_contract_the_verb_refuses_in_one_line(study_file, tmp_path, capfd):
    results = run(study_file(), tmp_path, jobs=1, quiet=True, replicates=3)
    for arguments, message in (
        (["--measure", "coverag"], "did you mean 'coverage'?"),
        (["--measure", "coverage", "--level", "95"], "--level is '95'; give a share"),
    ):
        assert main(["table", str(results.folder), *arguments]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert message in err
        assert err.count("\n") == 1


@pytest.mark.slow
def test_contract_nothing_of_the_analysis_imports_statsmodels():
    code = (
        "import importlib, pkgutil, sys, mcstudy.analysis as a, mcstudy.results; "
        "names = [m.name for m in pkgutil.iter_modules(a.__path__)]; "
        "[importlib.import_module(f'{a.__name__}.{name}') for name in names]; "
        "print({'statsmodels', 'scipy.stats', 'joblib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_contract_a_reader_that_stops_early_is_no_error(study_file, tmp_path):
    folder = run(study_file(), tmp_path, jobs=1, quiet=True, replicates=3).folder
    command = [sys.executable, "-m", "mcstudy", "table", str(folder), "--measure", "bias"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_contract_a_method_without_the_measure_is_named(study_file, tmp_path):
    results = run(study_file(), tmp_path, replicates=5, jobs=1, quiet=True)
    both = str(results.table("bias,coverage"))
    assert both.endswith("\nno coverage of jittered")
    assert "\nno " not in str(results.table("bias"))
    assert "\nno " not in str(results.table("coverage", where="method=average"))


def test_contract_latex_is_a_table_of_a_paper(study_file, tmp_path):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    shown = results.table("bias,rmse", rows="n", where="mean=1.5").to("latex")
    assert r"\caption{Bias and RMSE: value (Monte Carlo standard error)." in shown
    assert r"\label{tab:bias-rmse}" in shown
    for rule in ("toprule", "midrule", "bottomrule"):
        assert shown.count(f"\\{rule}") == 1
    # A number stands in two columns that meet before its decimal point.
    assert r"\begin{tabular}{lr@{}lr@{}l" in shown
    row = results.performance.query("n == 5 and mean == 1.5 and method == 'average'")
    value = abs(row[row["measure"] == "rmse"]["value"].item())
    assert f"0 & .{f'{value:.3f}'[2:]} (" in shown
    assert shown.count(r"\multicolumn{2}{c}{") == 4
    named = results.table("rmse,coverage").to("latex")
    assert r"\caption{RMSE and coverage: " in named


def test_contract_a_column_without_numbers_is_not_split():
    frame = performance(methods=("m", "k"))
    frame.loc[frame["method"] == "k", ["value", "mcse", "used"]] = np.nan, np.nan, 0
    shown = str(table(frame, "bias", format="latex"))
    assert r"{2}{c}{m}" in shown
    assert "-- 0/" in shown


def test_contract_a_file_or_pipe_has_lines_as_long_as_it_takes(study_file, tmp_path, monkeypatch):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    made = results.table("bias,rmse,empirical_se,mse,coverage,width", columns="measure,method")
    assert max(map(len, str(made).splitlines())) <= 80
    monkeypatch.delenv("COLUMNS")
    wide = str(made).splitlines()
    assert max(map(len, wide)) > 150
    assert sum("rmse" in line for line in wide[1:]) == 1
    monkeypatch.setenv("COLUMNS", "120")
    assert max(map(len, str(made).splitlines())) <= 120
