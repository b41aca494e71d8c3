"""What the user's functions print: on stderr and in the log, its beginning only, for few calls."""

import os
import re
import subprocess
import sys

import pytest

from mcstudy import run
from mcstudy.cli import main

LOUD = (
    "    se = sample.std",
    """    import os, sys
    print("from Python\\n" * 100)
    sys.stderr.write("and \\x1b[31mred\\x07")
    sys.stdout.buffer.write(b"bytes")
    os.write(1, b"from C")
    os.write(2, b"to C's stderr")
    se = sample.std""",
)
AT_LOAD = ("def simulate", "print('as it is loaded')\n\ndef simulate")


def command(path, folder, *options):
    code = "import sys; from mcstudy.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", code, "run", str(path), "--results", str(folder), *options]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_contract_the_output_of_a_run_has_its_tables_only(study_file, tmp_path, jobs):
    brief = ("--replicates", "8", "--jobs", jobs)
    plain = command(study_file(name="plain.py"), tmp_path / "results", *brief)
    again = command(study_file(LOUD, AT_LOAD), tmp_path / "loud", *brief)
    assert again.stdout.replace("/loud/", "/results/") == plain.stdout
    notes = re.findall(r"Note: .*", again.stderr)
    assert len(notes) == 6
    first = r"Note: method 'average' prints at replicate \d of mean=[\d.]+, n=(5|10): from Python "
    assert all(re.match(first, note) for note in notes[:5])
    assert re.search(r" Pyt\.\.\. \(\d+ more characters\)$", notes[0])
    assert len(notes[0]) < 330
    assert notes[-1] == "Note: 27 more calls print something, which is not shown"
    assert "\x1b" not in again.stderr
    assert again.stderr.count("as it is loaded") == 1
    if jobs == "2":  # compiled code is not told from a debugger's prompt in the run's own process
        assert "from C" not in again.stderr.replace("from Python", "")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_contract_quiet_is_quiet_and_the_log_has_what_was_printed(
    study_file, tmp_path, capfd, jobs
):
    log = tmp_path / "log"
    path = study_file(("    se = sample", "    print('hello', end='')\n    se = sample"))
    options = ["--jobs", jobs, "--quiet", "--log", str(log), "--replicates", "3"]
    assert main(["run", str(path), "--results", str(tmp_path), *options]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "hello" not in out
    assert log.read_text().count(": hello\n") == 5
    assert "Note: 7 more calls print something, which is not shown\n" in log.read_text()


@pytest.mark.slow
def test_contract_what_compiled_code_prints_in_a_worker_is_bounded(study_file, tmp_path, capfd):
    path = study_file(
        ("    se = sample", "    import os; os.write(1, b'c' * 3000)\n    se = sample")
    )
    run(path, tmp_path, replicates=2, jobs=2, methods=["average"])
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("c" * 200 + "... (2800 more characters)\n") == 5
    assert "Note: 3 more calls print something" in err


def test_contract_what_simulate_prints_has_its_address(study_file, tmp_path, capfd):
    path = study_file(("    return rng", "    print('x' * n)\n    return rng"))
    run(path, tmp_path, replicates=1, jobs=1)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Note: simulate prints at replicate 0 of mean=0, n=5: xxxxx\n" in err
    assert "more calls" not in err


@pytest.mark.slow
def test_contract_a_debugger_speaks_to_its_user(study_file, tmp_path):
    """With one worker that is the run's own process."""
    path = study_file(("    se = sample", "    breakpoint()\n    se = sample"))
    code = "import sys; from mcstudy.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ["--results", str(tmp_path), "--jobs", "1", "--replicates", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(path), *options],
        input="p 'sample of', len(sample)\nc\n" + "c\n" * 8,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONBREAKPOINT": ""},
    )
    assert "('sample of', 5)" in done.stderr
    assert "(Pdb)" in done.stderr
    assert "(Pdb)" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["check", "plan"])
def test_contract_the_output_of_other_verbs_has_their_answer_only(
    study_file, tmp_path, capfd, monkeypatch, verb
):
    monkeypatch.chdir(tmp_path)
    options = ["--seconds", "0.2"]
    assert main([verb, str(study_file(LOUD, AT_LOAD)), *options]) == 0
    out = capfd.readouterr().out
    assert out
    for text in ("from Python", "from C", "bytes", "loaded"):
        assert text not in out
