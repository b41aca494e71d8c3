"""Who holds a folder of results: a run keeps out runs, and whoever looks keeps out nobody."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mcstudy import MCStudyError, run, status, summarize
from mcstudy.storage import store as module
from mcstudy.storage.store import Store

POLLER = """
import sys
from pathlib import Path
from mcstudy.storage.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    store.busy
"""
HOLDER = """
import sys, time
from pathlib import Path
from mcstudy.storage.store import Store
with Store(Path(sys.argv[1])).locked(*sys.argv[2:]):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def beside(tmp_path):
    """Start a process beside this one; it is killed at the end."""
    started = []

    def start(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "normal"), *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_contract_no_start_fails_while_others_look_in_a_tight_loop(beside, tmp_path):
    folder = tmp_path / "normal"
    with Store(folder).locked("1-2"), Store(folder).locked("2-2"):
        pass
    for _ in range(2):
        beside(POLLER)
    started = time.monotonic()
    for _ in range(300):
        with Store(folder).locked():
            assert Store(folder).busy
        with Store(folder).locked("1-2"), Store(folder).locked("2-2"):
            assert Store(folder).busy
        with Store(folder).locked(for_tables=True):
            pass
        assert not Store(folder).busy
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_contract_a_run_starts_while_status_is_asked_for_again_and_again(study_file, tmp_path):
    path = study_file()
    folder = run(path, tmp_path, replicates=2, jobs=1, quiet=True).folder
    assert not status(folder).running
    stop, seen = threading.Event(), []

    def look():
        while not stop.is_set():
            seen.append(status(folder).running)

    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in looking:
        thread.start()
    try:
        for replicates in range(3, 6):
            run(path, tmp_path, replicates=replicates, jobs=1, quiet=True)
            run(path, tmp_path, replicates=replicates, part=(1, 2), jobs=1, quiet=True)
    finally:
        stop.set()
        for thread in looking:
            thread.join()
    assert True in seen
    assert not status(folder).running
    assert status(folder).fits.done.tolist() == [5] * 8


@pytest.mark.slow
def test_contract_lookers_do_not_take_each_other_for_a_run(beside, tmp_path):
    with Store(tmp_path / "normal").locked():
        pass
    beside(POLLER)
    beside(POLLER)
    assert not any(Store(tmp_path / "normal").busy for _ in range(3000))


@pytest.mark.slow
@pytest.mark.parametrize("share", [(), ("1-2",)])
def test_contract_a_killed_run_lets_go(beside, study_file, tmp_path, share):
    holder = beside(HOLDER, *share)
    store = Store(tmp_path / "normal")
    assert store.busy
    began = time.monotonic()
    with pytest.raises(MCStudyError, match="another run is at work here"), store.locked():
        pass
    if share:
        with pytest.raises(MCStudyError, match="part 1/2 is at work"), store.locked("1-2"):
            pass
        with store.locked("2-2"):
            pass
    assert time.monotonic() - began < 5  # nobody waits for a run
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert not store.busy
    run(study_file(), tmp_path, replicates=2, jobs=1, quiet=True)


@pytest.mark.slow
def test_contract_a_run_waits_for_tables_that_are_made_anew(study_file, tmp_path, monkeypatch):
    path = study_file()
    folder = run(path, tmp_path, replicates=2, jobs=1, quiet=True).folder
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with Store(folder).locked(for_tables=True):
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(60)
    assert status(folder).running is False
    threading.Timer(0.5, leave.set).start()
    assert len(run(path, tmp_path, replicates=3, jobs=1, quiet=True).fits) == 24
    thread.join()
    assert len(summarize(folder).fits) == 24
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    with (
        Store(folder).locked(for_tables=True),
        pytest.raises(MCStudyError, match="its tables are being made anew by somebody; wait for"),
    ):
        run(path, tmp_path, replicates=3, jobs=1, quiet=True)
