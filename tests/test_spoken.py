"""Messages name the option as its user writes it: a flag on the command line, an argument here."""

import shlex

import pytest

from mcstudy import MCStudyError, replay, run
from mcstudy.cli import main
from mcstudy.execution.collect import collect
from mcstudy.loader import load_study
from mcstudy.spoken import at_command_line, call, option


def test_contract_options_are_named_for_the_command_line_or_for_python():
    assert option("changed", "keep") == 'changed="keep"'
    assert call("run", option("jobs", 1), option("force", True)) == "run(study, jobs=1, force=True)"
    with at_command_line():
        assert option("changed", "keep") == "--changed keep"
        assert call("run", option("jobs", 1), option("force", True)) == (
            "mcstudy run STUDY --jobs 1 --force"
        )
    assert option("jobs", 2) == "jobs=2"


def test_contract_a_changed_study_says_how_to_decide_here_and_there(study_file, tmp_path, capfd):
    run(study_file(), tmp_path, jobs=1, replicates=5, quiet=True)
    path = study_file(("0.01 * rng", "0.02 * rng"))
    for study in (load_study(path), path):
        with pytest.raises(MCStudyError, match=r'changed="keep" goes on .*, changed="discard"'):
            run(study, tmp_path, jobs=1, replicates=5, quiet=True)
    assert main(["run", str(path), "--results", str(tmp_path), "--jobs", "1"]) == 2
    assert "--changed keep goes on with those rows, --changed discard" in capfd.readouterr().err
    other = study_file(("seed=7", "seed=8"))
    with pytest.raises(MCStudyError, match='give it another name, or changed="discard"'):
        run(other, tmp_path, jobs=1, quiet=True)


def test_contract_a_lost_study_file_is_asked_for_here_and_there(study_file, tmp_path, capfd):
    path = study_file()
    folder = run(path, tmp_path, jobs=1, replicates=1, quiet=True).folder
    path.unlink()
    with pytest.raises(MCStudyError, match=r'where it is now: replay\("FILE", ..., results="'):
        replay(folder, "n=5, mean=0", 0)
    assert main(["replay", str(folder), "--condition", "n=5, mean=0", "--replicate", "0"]) == 2
    assert "where it is now: --study FILE" in capfd.readouterr().err


def test_contract_shares_say_how_to_go_on_here_and_there(study_file, tmp_path, capfd):
    path = study_file()
    with pytest.raises(MCStudyError, match=r'shares start: collect\(study, changed="keep"\)'):
        run(path, tmp_path, part=(1, 2), changed="keep")
    run(path, tmp_path, part=(1, 2), jobs=1, quiet=True)
    here = collect(path, results=tmp_path, quiet=True).summary
    assert here.endswith(f'to compute them: run(study, part=(2, 2), results="{tmp_path}")')
    assert main(["collect", str(path), "--results", str(tmp_path)]) == 1
    last = capfd.readouterr().out.splitlines()[-1]
    assert last.endswith(f"to compute them: mcstudy run STUDY --part 2/2 --results {tmp_path}")


def test_contract_a_command_line_can_be_pasted_whatever_the_folder_is_called(
    study_file, tmp_path, capfd
):
    path, where = str(study_file()), str(tmp_path / "two words")
    assert main(["run", path, "--results", where, "--part", "1/2", "--jobs", "1"]) == 0
    assert main(["collect", path, "--results", where]) == 1
    command = capfd.readouterr().out.splitlines()[-1].rpartition("to compute them: ")[2]
    assert main([path if word == "STUDY" else word for word in shlex.split(command)[1:]]) == 0
    assert main(["collect", path, "--results", where]) == 0
