"""Folders of strangers: their code runs only if it is trusted, their texts do no harm."""

import ast
import csv
import importlib
import inspect
import io
import os
import pkgutil
import subprocess
import sys
import unicodedata

import pandas as pd
import pytest

import mcstudy
from mcstudy import (
    MCStudyError,
    Results,
    loader,
    open_results,
    performance,
    replay,
    run,
    status,
    summarize,
    table,
)
from mcstudy.cli import main
from mcstudy.storage.store import Store
from mcstudy.tables.formats import FORMATS, Printed

MEASURE = ("seed=7,", "seed=7, measures={'largest': lambda estimate: estimate.max()},")
MARKER = ("import numpy as np", "import numpy as np\nopen({!r}, 'a').close()")


@pytest.fixture
def stranger(study_file, tmp_path, monkeypatch):
    """Return a stranger's folder, the study file it names, and what that leaves when it runs."""
    marker = tmp_path / "marker"
    path = study_file(MEASURE, (MARKER[0], MARKER[1].format(str(marker))))
    folder = run(path, tmp_path / "results", replicates=3, jobs=1, quiet=True).folder
    marker.unlink()
    monkeypatch.setattr(loader, "_run_here", set())  # as in another process
    return folder, path, marker


ADDRESS = ["--condition", "n=5, mean=0", "--replicate", "1"]


def test_contract_a_strangers_file_runs_only_if_it_is_trusted(stranger, capfd):
    folder, path, marker = stranger
    for verb in (["replay", str(folder), *ADDRESS], ["summarize", str(folder)]):
        assert main(verb) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert f"this runs {path}, the study file that the folder names" in err
        assert "--trust (trust=True), or name the study file yourself: --study FILE (" in err
    for source in (folder, open_results(folder)):
        with pytest.raises(MCStudyError, match=r"trust=True\), or name .*: --study FILE \(repl"):
            replay(source, "n=5, mean=0", 1)
        with pytest.raises(MCStudyError, match=r'trust=True\), or .*: --study FILE \(study="FILE"'):
            summarize(source)
    for looking in ("status", "failures", "table"):
        assert (
            main([looking, str(folder), *(["--measure=bias"] if looking == "table" else [])]) == 0
        )
    assert not marker.exists()


@pytest.mark.parametrize("how", [["--trust"], ["--study"]])
def test_contract_a_trusted_file_runs_or_one_that_is_named(stranger, how, capfd):
    folder, path, marker = stranger
    how = [*how, str(path)] if how == ["--study"] else how
    digests = Results(folder).digests()
    assert main(["summarize", str(folder), *how]) == 0
    assert marker.exists()
    assert Results(folder).digests() == digests
    loader._run_here.clear()
    assert main(["replay", str(folder), *ADDRESS, *how]) == 0
    assert "equal to what is stored, bit for bit" in capfd.readouterr().out
    assert replay(folder, "n=5, mean=0", 1).equal is True  # this session has run it now


def test_contract_measures_of_ones_own_are_not_lost_with_the_study_file(
    stranger, study_file, capfd
):
    folder, path, _ = stranger
    digests = Results(folder).digests()
    moved = path.rename(path.with_name("moved.py"))
    assert main(["summarize", str(folder), "--trust"]) == 2
    assert f"its study file {path} is gone; say where it is now: --study FILE" in (
        capfd.readouterr().err
    )
    store = Store(folder)
    store.write_record({**store.record, "study_file": None})
    with pytest.raises(MCStudyError, match="in a session and has measures of its own, largest; c"):
        summarize(folder)
    other = study_file(('normal"', 'other"'), name="other.py")
    with pytest.raises(MCStudyError, match="holds the study 'normal', not 'other'"):
        summarize(folder, study=other)
    assert Results(folder).digests() == digests
    assert summarize(folder, study=moved).digests() == digests
    assert status(folder).fits.done.sum() == 24


EVIL = "\x1b]0;owned\x07\x1b[31mred\r\x08\x9b2J\u202egnp\u2066\u2028"
TROUBLED = """
EVIL = {evil!r}

def simulate(rng, *, level):
    return rng.normal(size=5)

def sound(sample):
    return {{"mean": Estimate(sample.mean(), 1.0, -2.0, 2.0)}}

def unsound(sample):
    raise ValueError(EVIL + "\\nmethod unsound: equal to what is stored, bit for bit")

study = Study(
    name="evil",
    simulate=simulate,
    estimands=lambda *, level: {{"mean": 0.0}},
    methods={{"sound": sound, "un" + EVIL + "sound": unsound}},
    conditions=grid(level=["plain", EVIL]),
    replicates=3,
    seed=1,
)
"""


def is_harmless(text):
    return not any(
        unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(letter) in ("RLO", "LRO", "RLE", "LRE", "PDF", "LRI", "RLI")
        for letter in text.replace("\n", "")
    )


@pytest.fixture
def evil(study_file, tmp_path, capfd):
    """Return the study file and folder of a study that tries to steer the terminal."""
    path = study_file(body=TROUBLED.format(evil=EVIL))
    log = tmp_path / "log"
    where = tmp_path / "re\x1b[31msults"
    command = ["run", str(path), "--results", str(where), "--jobs", "1", "--log", str(log)]
    assert main([*command, "--verbose"]) == 3  # a short summary cuts long names
    shown = capfd.readouterr()
    assert is_harmless(shown.out)
    assert is_harmless(shown.err)
    assert "\\x1b[31mred\\x0d\\x08\\x9b2J\\u202egnp\\u2066\\u2028" in shown.out
    assert "raises at replicate 0" in shown.err
    assert is_harmless(log.read_text())
    return path, where / "evil"


@pytest.mark.slow
def test_contract_texts_of_strangers_do_not_steer_the_terminal(evil, capfd):
    path, folder = evil
    name = str(folder)
    for verb in (
        ["status", name],
        ["summarize", name],
        ["failures", name],
        *(["table", name, "--measure", "bias", "--format", form] for form in FORMATS),
        ["anova", name, "--measure", "mse"],
        ["compare", name, "--methods", f"sound,un{EVIL}sound"],
        ["compare", name, name],
        ["replay", name, "--trust", "--condition", "level=plain", "--replicate", "1"],
        ["replay", name, "--trust", "--condition", f"level={EVIL}", "--replicate", "1"],
        ["collect", str(path), "--results", str(folder.parent)],
        ["check", str(path)],
        ["plan", str(path), "--seconds", "0.2"],
        ["table", name, "--measure", EVIL],
        ["table", name + EVIL, "--measure", "bias"],
        ["replay", name, "--condition", f"a={EVIL}", "--replicate", EVIL],
        ["run", name + EVIL],
    ):
        assert main(verb) in (0, 1, 2, 3), verb
        shown = capfd.readouterr()
        assert is_harmless(shown.out), (verb, shown.out)
        assert is_harmless(shown.err), (verb, shown.err)
        assert shown.out + shown.err
        assert "Traceback" not in shown.err
    with pytest.raises(SystemExit):
        main(["run", name, EVIL])
    assert is_harmless(capfd.readouterr().err)


def test_contract_a_message_cannot_pose_as_a_line_of_ours(evil, capfd):
    _, folder = evil
    verb = ["replay", str(folder), "--trust", "--condition", "level=plain", "--replicate", "1"]
    assert main(verb) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("method unsound")] == []
    assert sum(line.startswith("method ") for line in lines) == 2


@pytest.mark.slow
def test_contract_every_text_that_is_printed_is_harmless():
    """A class of ours that is printed, and each call of print, goes through one module."""
    for found in pkgutil.walk_packages(mcstudy.__path__, "mcstudy."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        tree = ast.parse(inspect.getsource(module))
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
        printed = [n for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]
        assert not printed or found.name == "mcstudy.terminal", found.name
        if found.name.startswith("mcstudy.nested"):
            continue
        for thing in vars(module).values():
            if isinstance(thing, type) and thing.__module__ == found.name:
                text = vars(thing).get("__str__")
                harmless = issubclass(thing, Exception | Printed)
                assert harmless or not inspect.isfunction(text) or thing.__name__ == "Shard", thing


def test_contract_errors_are_harmless_in_python_too():
    with pytest.raises(MCStudyError) as refused:
        status("none\x1b[2J\n")
    assert "none\\x1b[2J\\n" in str(refused.value)
    assert is_harmless(str(refused.value))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_contract_letters_that_a_terminal_lacks_are_shown_as_escapes(tmp_path, encoding):
    where = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xc3\xa9")
    command = [sys.executable, "-m", "mcstudy", "status", where]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"\\udcff" in done.stderr
    assert (b"\\xe9" if encoding == "ascii" else b"\xc3\xa9") in done.stderr


def test_contract_a_csv_table_has_no_formula(tmp_path):
    levels = ["=1+1", "+x", "-x", "@x", "\t=x", "\uff1dx", "-1", "plain"]
    rows = [(level, -0.5) for level in levels for _ in range(2)]
    frame = pd.DataFrame(rows, columns=["=level", "estimate"])
    measures = performance(frame, truth=0.0, by="=level", replicate=None)
    text = str(table(measures, "bias", rows="=level", format="csv"))
    read = list(csv.reader(io.StringIO(text)))
    assert read[0][0] == "'=level"
    first = {line[0] for line in read[1:]}
    assert first >= {"'=1+1", "'+x", "'-x", "'@x", "'\uff1dx", "-1", "plain"}
    assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for line in read for cell in line)
    assert {line[1] for line in read[1:]} == {"-0.5"}
    numbers = performance(frame.assign(n=[-1, 2] * 8), truth=0.0, by="n", replicate=None)
    assert "\n-1,-0.5," in str(table(numbers, "bias", rows="n", format="csv"))
