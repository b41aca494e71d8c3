"""`mcstudy new`: what it writes runs, and its test passes."""

import subprocess
import sys

import pytest

from mcstudy import MCStudyError, check, load_study, run
from mcstudy.cli import main
from mcstudy.planning.new_study import new


@pytest.mark.slow
def test_contract_the_study_runs_as_it_stands(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "trimmed"]) == 0
    shown = capfd.readouterr().out
    assert shown == "Study: trimmed.py\nTest: test_trimmed.py\nNext: mcstudy run trimmed.py\n"
    study = load_study("trimmed.py")
    assert study.name == "trimmed"
    assert check(study).clean
    results = run("trimmed.py", replicates=300, jobs=1, quiet=True)
    table = results.performance.query(
        "measure == 'coverage' and outliers == 0 and method == 'mean'"
    )
    assert ((table["value"] - 0.95).abs() < 4 * table["mcse"]).all()


@pytest.mark.slow
def test_contract_its_test_passes(tmp_path):
    study, test = new("outliers", tmp_path)
    assert (study.name, test.name) == ("outliers.py", "test_outliers.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "3 passed" in done.stdout, done.stdout


def test_contract_nothing_is_written_over(tmp_path):
    new("one", tmp_path)
    with pytest.raises(MCStudyError, match=r"one.py: already exists; choose another name"):
        new("one", tmp_path)
    for name in ("One", "1", "a-b", "", None, "a/b"):
        with pytest.raises(MCStudyError, match=r"new: name is .*; use small letters"):
            new(name, tmp_path)
    with pytest.raises(MCStudyError, match="cannot be written"):
        new("two", tmp_path / "nowhere")
