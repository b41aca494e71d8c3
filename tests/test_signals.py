"""Signals: a run ends at once with one line, its workers with it; and fifty kills cost nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcstudy import run

SLOW = (
    "return rng.normal(mean, size=n)",
    "import time; time.sleep(0.2)\n    return rng.normal(mean, size=n)",
)
CODE = (  # a suite that was started in the background has its children ignore SIGINT
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "import sys; from mcstudy.cli import main; from mcstudy.execution import scheduler; "
    "scheduler.JOB_SECONDS = float(sys.argv[1]); sys.exit(main(sys.argv[2:]))"
)


def started(path, folder, workers, seconds=2.0):
    """Start a run in a session of its own."""
    arguments = ("run", path, "--results", folder, "--jobs", workers)
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(seconds), *map(str, arguments)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(session):
    """Return the living processes of a session, and those of them that are workers."""
    found, workers = [], []
    for entry in os.listdir("/proc"):
        try:
            fields = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
            command = Path("/proc", entry, "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry))
            if b"popen_loky" in command:
                workers.append(int(entry))
    return found, workers


def workers_of(session):
    return processes_of(session)[1]


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_the_end_of(session):
    """Wait until no process of a session is left, for a few seconds at most."""
    wait_until(lambda: not processes_of(session)[0], 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "send", "number", "status", "word"),
    [
        (2, os.killpg, signal.SIGINT, 130, "interrupted"),
        (1, os.kill, signal.SIGTERM, 143, "terminated"),
        pytest.param(2, os.killpg, signal.SIGTERM, 143, "terminated", marks=pytest.mark.xslow),
    ],
)
def test_contract_a_signal_ends_a_run_at_once_with_one_line(
    study_file, tmp_path, workers, send, number, status, word
):
    child = started(study_file(SLOW), tmp_path, workers)
    parts = tmp_path / "normal" / "parts"
    wait_until(lambda: (parts.parent / "study.json").exists())
    time.sleep(0.5)
    send(child.pid, number)
    out, err = child.communicate(timeout=20)
    assert child.returncode == status
    assert out == ""
    lines = [line for line in err.splitlines() if " fits" not in line]
    assert lines == [f"mcstudy: {word}; what is stored is whole, run again to go on"]
    wait_for_the_end_of(child.pid)


@pytest.mark.slow
@pytest.mark.parametrize("early", [True, pytest.param(False, marks=pytest.mark.xslow)])
def test_contract_workers_end_with_a_killed_run(study_file, tmp_path, early):
    """Also while they still start, when they cannot have asked the system to end them."""
    child = started(study_file(SLOW), tmp_path, 2)
    wait_until(lambda: len(workers_of(child.pid)) == 2)
    if not early:
        wait_until(lambda: (tmp_path / "normal" / "study.json").exists())
    child.kill()
    _, err = child.communicate()
    assert "resource_tracker" not in err
    wait_for_the_end_of(child.pid)


PACED = (
    "return rng.normal(mean, size=n)",
    "import os, time; time.sleep(float(os.environ.get('PAUSE', 0)))\n"
    "    return rng.normal(mean, size=n)",
)


@pytest.mark.slow
def test_contract_killed_workers_are_replaced_and_the_run_goes_on(
    study_file, tmp_path, monkeypatch
):
    path = study_file(PACED)
    digests = run(path, tmp_path / "plain", jobs=1, quiet=True).digests()
    monkeypatch.setenv("PAUSE", "0.02")
    moments = random.Random(3)
    child = started(path, tmp_path, 2, 0.1)
    wait_until(lambda: (tmp_path / "normal" / "study.json").exists())
    for _ in range(4):
        time.sleep(moments.uniform(0.0, 0.5))
        wait_until(lambda: len(workers_of(child.pid)) == 2)
        os.kill(moments.choice(workers_of(child.pid)), signal.SIGKILL)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    (note,) = (line for line in err.splitlines() if " fits" not in line)
    assert note.startswith("Note: a worker process ended (SIGKILL)")
    assert note.endswith("it is replaced, its job is done again")
    assert run(path, tmp_path, jobs=1, quiet=True).digests() == digests


@pytest.mark.xslow
def test_contract_fifty_kills_at_random_moments_then_equal_digests(
    study_file, tmp_path, monkeypatch
):
    """Of the run itself and of its workers, from their first moment to the middle of the work."""
    path = study_file(PACED, ("replicates=60", "replicates=1500"))
    digests = run(path, tmp_path / "plain", jobs=1, quiet=True).digests()
    monkeypatch.setenv("PAUSE", "0.05")
    moments = random.Random(8)
    killed = {"run": 0, "worker": 0}
    child = started(path, tmp_path, 2, 0.1)
    while sum(killed.values()) < 50:
        time.sleep(moments.uniform(0.0, 4.0))
        if child.poll() is not None:  # three in a row that had not begun a job: so it should
            assert "worker processes end as they start" in child.communicate()[1]
            child = started(path, tmp_path, 2, 0.1)
            continue
        if moments.random() < 0.5:
            if workers := workers_of(child.pid):
                os.kill(moments.choice(workers), signal.SIGKILL)
                killed["worker"] += 1
            continue
        child.kill()
        child.communicate()
        killed["run"] += 1
        wait_for_the_end_of(child.pid)
        child = started(path, tmp_path, 2, 0.1)
    child.kill()
    child.communicate()
    wait_for_the_end_of(child.pid)
    parts = len(list((tmp_path / "normal" / "parts").glob("*/*/*.parquet")))
    print(killed, parts)
    assert min(killed.values()) > 10
    assert parts > 20
    monkeypatch.delenv("PAUSE")
    fits = run(path, tmp_path, replicates=1, jobs=1, quiet=True).fits
    assert 0 < len(fits) < 4 * 2 * 1500
    assert run(path, tmp_path, jobs=1, quiet=True).digests() == digests
    assert not (tmp_path / "normal" / "parts" / "damaged").exists()
