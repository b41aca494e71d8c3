"""Folders of strangers: their code runs only if it is trusted, their texts do no harm."""

import shutil

import pytest

from mcstudy import MCStudyError, Results, loading, open_results, replay, run, status, summarize
from mcstudy.cli import main
from mcstudy.stored.store import Store

MEASURE = ("seed=7,", "seed=7, measures={'largest': lambda estimate: estimate.max()},")
MARKER = ("import numpy as np", "import numpy as np\nopen({!r}, 'a').close()")


@pytest.fixture
def stranger(study_file, tmp_path, monkeypatch):
    """Return a stranger's folder, the study file it names, and what that leaves when it runs."""
    marker = tmp_path / "marker"
    path = study_file(MEASURE, (MARKER[0], MARKER[1].format(str(marker))))
    folder = run(path, tmp_path / "results", replicates=3, jobs=1, quiet=True).folder
    marker.unlink()
    monkeypatch.setattr(loading, "_run_here", set())  # as in another process
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
        assert "--trust, or name the study file yourself: --study FILE" in err
    for source in (folder, open_results(folder)):
        with pytest.raises(MCStudyError, match="trust=True, or name the study file yourself: repl"):
            replay(source, "n=5, mean=0", 1)
        with pytest.raises(MCStudyError, match=r'trust=True, or .*: summarize\(..., study="FILE"'):
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
    loading._run_here.clear()
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
    shutil.rmtree(folder / "parts" / "damaged", ignore_errors=True)
    assert status(folder).fits.done.sum() == 24
