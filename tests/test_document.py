"""Every answer in every format: what it says is the same, and each format is well formed."""

import argparse
import csv
import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from numbers import Number

import pandas as pd
import pytest

from mcstudy import MCStudyError, check, compare_runs, open_results, plan, replay, run, status
from mcstudy.cli import _parser, main
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import FORMATS, render

BODY = """
import warnings

def simulate(rng, *, n, kind):
    return rng.normal(size=n)

def interval(value, half=0.9):
    return {"mean_of": Estimate(value, half / 2, value - half, value + half)}

def good_one(x):
    if x[1] > 1.5:
        warnings.warn(f"large_value {x[1]:.2f}")
    return interval(x.mean())

def fails_often(x):
    if x[0] > 0.9:
        raise ValueError(f"100% lost & {x[0]:.3f} <gone>")
    return interval(np.median(x))

def fails_too(x):
    if abs(x[0]) > 1.2:
        raise ValueError("$lost$ #2")
    return interval(x[:-1].mean(), 0.8)

study = Study(
    name="robust_mean",
    simulate=simulate,
    estimands=lambda *, n, kind: {"mean_of": 0.0},
    methods={"good_one": good_one, "fails_often": fails_often, "fails_too": fails_too},
    conditions=grid(n=[5, 10], kind=["a|b_1", "=c & 50%"]),
    replicates=40,
    seed=5,
)
"""
HEADER = "import numpy as np\nfrom mcstudy import Estimate, Study, grid\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of a study, that of another run of it, and the study file."""
    where = tmp_path_factory.mktemp("made")
    path, other = where / "study_file.py", where / "other.py"
    path.write_text(HEADER + BODY)
    other.write_text(HEADER + BODY.replace("interval(np.median(x))", "interval(np.median(x) + 9)"))
    folder = run(path, where / "one", jobs=1, quiet=True).folder
    return folder, run(other, where / "two", jobs=1, quiet=True).folder, path


@pytest.fixture(scope="module")
def answers(made):
    folder, other, path = made
    results = open_results(folder)
    return {
        "results": results,
        "table": results.table("coverage,bias"),
        "compare": results.compare("good_one", "fails_often"),
        "anova": results.anova("rmse"),
        "failure_overlap": results.failure_overlap(),
        "sensitivity": results.sensitivity("coverage"),
        "equivalence": results.equivalence("good_one", "fails_often"),
        "compare_runs": compare_runs(folder, other),
        "plan": plan(path, targets={"bias": 0.01}, seconds=0.2, jobs=1, results=folder.parent),
        "check": check(path, seconds=0.2),
        "status": status(folder),
        "replay": replay(path, "n=5, kind=a|b_1", 3, results=folder),
    }


NAMES = (
    *("results", "table", "compare", "anova", "failure_overlap", "sensitivity", "equivalence"),
    *("compare_runs", "plan", "check", "status", "replay"),
)


def blocks_of(document):
    for block in document.blocks:
        yield from blocks_of(block) if isinstance(block, Document) else [block]


def grids(document):
    return [block.grid.flat() for block in blocks_of(document) if block.grid]


@pytest.mark.parametrize("name", NAMES)
def test_contract_every_answer_shows_itself_in_a_notebook(answers, name):
    answer = answers[name]
    assert answer._repr_mimebundle_() == {
        "text/plain": str(answer),
        "text/html": answer._repr_html_(),
    }
    shown = answer._repr_html_()
    assert shown == answer.to("html")
    assert str(answer) == answer.to() == answer.to("text")
    tree = ET.fromstring(shown)
    assert len(list(tree.iter("table"))) == (tree.tag == "table") + len(tree.findall("table"))
    found = [[cell.text or "" for cell in row] for row in tree.iter("tr")]
    expected = [list(row) for grid in grids(answer.document()) for row in (grid.heads, *grid.rows)]
    assert found == expected
    assert {th.get("scope") for th in tree.iter("th")} <= {"row", "col"}
    assert f"{type(answer).__name__}(" not in shown


@pytest.mark.parametrize("name", NAMES)
def test_contract_markdown_tables_are_aligned_and_whole(answers, name):
    answer = answers[name]
    tables = re.findall(r"(?:^\|.*\n?)+", answer.to("markdown"), re.MULTILINE)
    flat = grids(answer.document())
    assert len(tables) == len(flat)
    for shown, grid in zip(tables, flat, strict=True):
        head, rule, *body = shown.splitlines()
        assert {len(line) for line in body} <= {len(head)} == {len(rule)}
        assert len(body) == len(grid.rows)
        for line in (head, rule, *body):
            assert len(re.findall(r"(?<!\\)\|", line)) == len(grid.heads) + 1


@pytest.mark.parametrize("name", NAMES)
def test_contract_latex_has_no_special_character_that_is_not_escaped(answers, name):
    shown = answers[name].to("latex")
    assert shown.count(r"\begin{table}") == len(grids(answers[name].document()))
    bare = re.sub(
        r"\\(?:(?:top|mid|bottom)rule|centering|label\{tab:[\w-]+\}|multicolumn\{2\}\{c\}"
        r"|(?:begin|end)\{\w+\}(\{[lr@{}]+\})?)",
        "",
        re.sub(r"^% .*$", "", shown, flags=re.MULTILINE),
    )
    bare = re.sub(r"\\[&%$#_{}]|\\text\w+\{\}|\\\\$| & |\$-\$", "", bare, flags=re.MULTILINE)
    assert not re.search(r"[%$#_&^<>|\"]", bare)
    assert bare.count("{") == bare.count("}")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
@pytest.mark.parametrize("name", NAMES)
def test_contract_latex_compiles(answers, name, tmp_path):
    shown = answers[name].to("latex")
    head = "\\documentclass{article}\n\\usepackage{booktabs}"
    source = f"{head}\n\\begin{{document}}\n{shown}\n\\end{{document}}\n"
    (tmp_path / "t.tex").write_text(source)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def says(text, cell):
    """Say whether a cell of a CSV is that of a frame: a number to the last bit, a text guarded."""
    if isinstance(cell, Number) and cell == cell and not isinstance(cell, bool):
        return float(text) == cell
    return text.removeprefix("'") == ("" if pd.isna(cell) else str(cell))


@pytest.mark.parametrize("name", NAMES)
def test_identity_csv_has_every_number_of_the_frames(answers, name):
    answer = answers[name]
    frames = [made() if callable(made) else made for made in answer.document().frames]
    texts = answer.to("csv").split("\n\n")
    assert len(texts) == len(frames) > 0
    for text, frame in zip(texts, frames, strict=True):
        head, *rows = csv.reader(io.StringIO(text))
        assert head == [str(column) for column in frame]
        assert len(rows) == len(frame)
        for row, cells in zip(rows, frame.itertuples(index=False), strict=True):
            assert [
                text for text, cell in zip(row, cells, strict=True) if not says(text, cell)
            ] == []
            assert not [text for text in row if text.startswith(("=", "+", "@"))]
    if name in ("compare", "anova", "failure_overlap", "sensitivity", "equivalence"):
        assert frames[0] is answer.frame


def test_contract_a_format_that_does_not_exist_is_refused(answers):
    with pytest.raises(MCStudyError, match=r"'pdf'; choose from text, markdown, latex, csv, html"):
        answers["anova"].to("pdf")


COMMANDS = {
    "table": ["--measure", "bias"],
    "anova": ["--measure", "rmse"],
    "failures": [],
    "compare": ["--methods", "good_one,fails_often"],
    "status": [],
    "summarize": [],
    "replay": ["--condition", "n=5, kind=a|b_1", "--replicate", "3"],
    "run": ["--jobs", "1", "--quiet"],
    "collect": [],
    "plan": ["--seconds", "0.2", "--jobs", "1"],
    "check": ["--seconds", "0.2"],
    "protocol": [],
    "solve": [
        *("--factor", "n", "--for", "rmse=0.4", "--between", "4,12", "--most", "400"),
        *("--where", 'kind="a|b_1", method=good_one', "--jobs", "1", "--replicates", "40"),
    ],
}


def test_contract_every_verb_takes_a_format():
    actions = _parser()._actions
    (verbs,) = [a.choices for a in actions if isinstance(a, argparse._SubParsersAction)]
    # The first three write files and say where they are; import has a test of its own.
    assert set(verbs) == {*COMMANDS, "plot", "report", "new", "import"}
    for verb, parser in verbs.items():
        (found,) = [a for a in parser._actions if a.dest == "format"]
        usual = "markdown" if verb == "protocol" else "text"
        assert (tuple(found.choices), found.default) == (tuple(FORMATS), usual)


@pytest.mark.slow
@pytest.mark.parametrize("verb", list(COMMANDS))
def test_contract_every_verb_prints_its_answer_in_the_format(made, verb, capsys):
    folder, _, path = made
    of_study = verb in ("run", "collect", "plan", "check", "protocol", "solve")
    target = [str(path)] if of_study else [str(folder)]
    target += ["--study", str(path)] if verb == "replay" else []
    target += (
        ["--results", str(folder.parent)] if verb in ("run", "collect", "plan", "solve") else []
    )
    arguments = [verb, *target, *COMMANDS[verb]]
    shown = {}
    for form in FORMATS:
        assert main([*arguments, "--format", form]) in (0, 1)
        shown[form] = capsys.readouterr().out
        assert shown[form]
    ET.fromstring(shown["html"])
    rows = list(csv.reader(io.StringIO(shown["csv"])))
    assert len({len(row) for row in rows if row}) <= shown["csv"].count("\n\n") + 1
    assert ("|--" in shown["markdown"].replace(" ", "")) == (verb not in ("check", "replay"))
    assert (r"\begin{tabular}" in shown["latex"]) == (verb not in ("check", "replay"))


def test_contract_compare_in_all_its_forms_takes_a_format(made, capsys):
    folder, other, _ = made
    equal = ["--methods", "good_one,fails_often", "--equivalence"]
    for arguments in ([str(folder), str(other)], [str(folder), *equal]):
        main(["compare", *arguments, "--format", "html"])
        assert ET.fromstring(capsys.readouterr().out).tag == "table"


def test_contract_failures_gives_its_answers_one_after_the_other(made, capsys):
    folder = made[0]
    assert main(["failures", str(folder), "--format", "csv"]) == 0
    results = open_results(folder)
    texts = capsys.readouterr().out.rstrip("\n").split("\n\n")
    ended, warned, overlap, *rankings = texts
    assert ended.startswith("method,fits,ok,error,warned\ngood_one,160,160,0,")
    assert warned.startswith("method,message,fits,condition,replicate\n")
    assert overlap == results.failure_overlap().to("csv")
    assert rankings == [results.sensitivity(m).to("csv") for m in ("rmse", "coverage")]


GRID = Grid(
    heads=("condition", "method", "a\nx", "a\ny"),
    rows=[("n=1", "m", "1.0", "-2.0"), ("n=1", "m", "-", "3\x1b[1m"), ("n=2", "m", "5", "6")],
    labels=2,
    repeated=2,
    grouped=True,
)


def test_contract_text_has_groups_and_leaves_out_what_repeats():
    document = Document("Title", [Block("Heading", GRID, ["below", "  kept   so"])], ["a note"])
    assert render(document, "text").splitlines() == [
        *("Title", "", "Heading"),
        "            a",
        "  method    x         y",
        "n=1",
        "  m       1.0      -2.0",
        "            -  3\\x1b[1m",
        "n=2",
        "  m         5         6",
        *("below", "  kept   so", "", "a note"),
    ]


def test_contract_the_same_in_the_other_formats():
    document = Document("Title", [Block(grid=GRID, lines=["below", "  kept   so"])], ["a note"])
    head, *rows = csv.reader(io.StringIO(render(document, "csv")))
    assert head == ["condition", "method", "a, x", "a, y"]
    assert rows[1] == ["n=1", "m", "'-", "3\\x1b[1m"]
    tree = ET.fromstring(render(document, "html"))
    assert tree.find("caption").text == "Title"
    assert tree.find("caption/pre").text == "  kept   so"
    shown = render(document, "markdown")
    assert "\n\nbelow\n\n      kept   so\n\na note" in shown
    assert "| n=1       | m      |    - |" in shown
    shown = render(document, "latex")
    assert r"\caption{Title. Below. \texttt{~~kept~~~so}. A note.}" in shown
    assert r" &  & \multicolumn{2}{c}{--} & 3 & " in shown
    assert r"n=1 & m & 1 & .0 & $-$2 & .0 \\" in shown


def test_contract_latex_has_what_stands_between_tables_as_comments():
    document = Document("a_b", [Block(grid=GRID), Block(grid=GRID)], ["100 % of\nthem"])
    shown = render(document, "latex")
    assert shown.startswith("% a_b\n\n\\begin{table}")
    assert shown.endswith("\\end{table}\n\n% 100 % of them")


def test_contract_a_group_that_says_nothing_is_not_shown():
    alone = Grid(("condition", "method", "n"), [("", "m", "1"), ("", "k", "2")], 2, grouped=True)
    document = Document(blocks=[Block(grid=alone)])
    assert render(document, "csv") == "method,n\nm,1\nk,2"
    assert render(document, "text") == "  method  n\n  m       1\n  k       2"


def test_contract_a_document_of_lines_is_lines_in_every_format():
    document = Document(blocks=[Block("=head", lines=["a_b"])], notes=["c"])
    assert render(document, "csv") == "'=head\na_b\nc"
    assert render(document, "latex") == "=head\n\na\\_b\n\nc"
    assert render(document, "markdown") == "=head\n\na_b\n\nc"
    ET.fromstring(render(document, "html"))
