"""What a run leaves behind in the process that called it: nothing."""

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from mcstudy import MCStudyError, check, collect, load_study, plan, run
from mcstudy.cli import main
from mcstudy.planning.pilot import run_pilot
from mcstudy.simulation import call as calls


def state():
    """What a program can see of its process, and mcstudy could change."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": umask,
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "once": dict(warnings.onceregistry),
        "path": list(sys.path),
        "finders": list(sys.meta_path),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, threading.excepthook, sys.displayhook, sys.breakpointhook),
        "recursion": sys.getrecursionlimit(),
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "timer": signal.getitimer(signal.ITIMER_REAL),
        "errors": np.geterr(),
        "random": random.getstate(),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002 - that it stays as it is
        "threads": [(lib["filepath"], lib["num_threads"]) for lib in threadpool_info()],
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
    }


def differences(before, after):
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


@pytest.fixture
def neighbour(study_file, tmp_path):
    """Write a study file that imports a module of its folder."""
    (tmp_path / "beside_host.py").write_text("SHIFT = 0.0\n")

    def write(*edits, **names):
        return study_file(("def simulate", "import beside_host\n\ndef simulate"), *edits, **names)

    return write


@pytest.mark.parametrize("function", [check, plan, collect])
def test_contract_a_study_file_is_read_without_a_trace(neighbour, tmp_path, monkeypatch, function):
    monkeypatch.chdir(tmp_path)
    run(neighbour(), replicates=2, jobs=1, quiet=True)
    before = state()
    options = {"jobs": 1, "seconds": 0.1} if function is plan else {}
    function(neighbour(), **options)
    assert differences(before, state()) == {}


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_contract_a_run_leaves_its_process_as_it_was(neighbour, tmp_path, jobs):
    path = neighbour()
    run(path, tmp_path / "warm", jobs=1, replicates=2, quiet=True)
    before = state()
    run(path, tmp_path, jobs=jobs, replicates=3, quiet=True)
    assert differences(before, state()) == {}
    refused = neighbour(("se = sample.std", "return 3\n    se = sample.std"), name="refused.py")
    with pytest.raises(MCStudyError, match="returned 3"):
        run(refused, tmp_path / "refused", jobs=jobs, quiet=True)
    assert differences(before, state()) == {}


LEAVES = (
    "    se = sample.std",
    """    import os, resource, signal, sys, warnings
    os.chdir("/")
    os.environ["LEFT"] = os.environ.pop("HOME", "") + os.environ.get("LEFT", "")
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    sys.stdout = sys.stderr = None
    sys.setrecursionlimit(5000)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    np.seterr(all="raise")
    warnings.simplefilter("once")
    warnings.warn("once")
    del sys.modules["numpy.linalg"]
    se = sample.std""",
)


@pytest.mark.slow
def test_contract_what_a_fit_leaves_behind_is_put_back(neighbour, tmp_path, monkeypatch):
    """So the results go where they belong, and each fit finds what the first one found."""
    monkeypatch.chdir(tmp_path)
    path = neighbour(LEAVES)
    run(path, "warm", jobs=1, replicates=2, quiet=True)
    before = state()
    here = run(path, "here", jobs=1, replicates=5, quiet=True)
    assert differences(before, state()) == {}
    assert (tmp_path / "here" / "normal" / "fits.parquet").exists()
    assert "numpy.linalg" in sys.modules
    average = here.fits[here.fits.method == "average"]
    assert set(average.message) == {"UserWarning: once"}
    assert set(average.status) == {"ok"}
    assert run(path, "there", jobs=2, replicates=5, quiet=True).digests() == here.digests()


@pytest.mark.parametrize("by_thread", [False, True])  # as numpy keeps its errors since 2.0, before
def test_contract_each_call_warns_as_the_first_did(monkeypatch, by_thread):
    def spoil():
        warnings.simplefilter("ignore")
        warnings.showwarning = None
        np.seterr(all="ignore")

    def divide():
        return np.float64(1.0) / np.float64(0.0)

    monkeypatch.setattr(calls, "_ERRORS_BY_THREAD", by_thread)
    before = state()
    with calls.Caller() as caller:
        assert caller.attempt(caller.run, spoil).warned == ""
        assert caller.attempt(caller.run, divide).warned.startswith("RuntimeWarning: divide by")
        assert caller.attempt(caller.run, int).warned == ""
    assert differences(before, state()) == {}


@pytest.mark.slow
def test_contract_the_command_line_puts_its_signal_handler_back(
    neighbour, tmp_path, capfd, monkeypatch
):
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "system")  # which it sets for its process
    before = state()
    assert main(["run", str(neighbour()), "--results", str(tmp_path), "--replicates", "2"]) == 0
    assert differences(before, state()) == {}


@pytest.mark.slow
def test_contract_the_memory_of_a_pilot_is_not_that_of_an_earlier_run(study_file, tmp_path):
    subprocess.run([sys.executable, "-c", "bytearray(b'x') * 500_000_000"], check=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 > 480e6
    memory = run_pilot(load_study(study_file()), 2, 0.5).memory
    assert 20e6 < memory < 450e6
