"""What a run leaves behind in the process that called it: nothing."""

import contextlib
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

from mcstudy import MCStudyError, Study, check, collect, grid, load_study, plan, run
from mcstudy.cli import main
from mcstudy.planning.pilot import run_pilot
from mcstudy.simulation import call as calls
from mcstudy.simulation import process_state
from mcstudy.simulation.replicates import Job, do_job, draw
from mcstudy.simulation.validation import CODES


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


def test_contract_no_fit_finds_what_another_of_its_batch_has_left():
    """Nor does it matter whether a later one cleans up first, as careful code does."""
    folder, rare = os.getcwd(), []

    def fit(x, *, rng):
        found = float(os.getcwd() != folder or os.environ.pop("LEFT", None) is not None)
        if rng.random() < 0.01:
            rare.append(x)
            os.environ["LEFT"] = "1"
            os.chdir("/")
            raise ValueError("left")
        return {"found": found}

    study = Study(
        name="leaves",
        simulate=lambda rng: rng.normal(),
        estimands=lambda: {"found": 0.0},
        methods={"fit": fit},
        conditions=grid(),
        replicates=2000,
        seed=1,
    )
    (condition,) = study.conditions
    _, answers = do_job(study, Job(condition, 0, 2000, ("fit",)), 1e9)
    columns = answers["fit"]
    failed = columns.status == CODES["error"]
    assert 10 < failed.sum() < 40
    assert set(rare) == {float(draw(study, condition, i)) for i in np.flatnonzero(failed)}
    (found,) = columns.numbers.values()
    assert not found[~failed].any()
    assert np.isnan(found[failed]).all()
    assert set(columns.messages.values()) == {"ValueError: left"}
    assert (os.getcwd(), "LEFT" in os.environ) == (folder, False)


def test_contract_a_recursion_limit_that_lets_nothing_be_called_is_put_back():
    def depth():
        frame, count = sys._getframe(), 0
        while frame is not None:
            frame, count = frame.f_back, count + 1
        return count

    def spoil():
        for more in range(1, 20):  # the lowest that is taken
            with contextlib.suppress(RecursionError):
                sys.setrecursionlimit(depth() + more)
                return

    before = state()
    with calls.Caller() as caller:
        assert caller.attempt(caller.run, spoil).exception is None
        assert caller.attempt(caller.run, sorted, [2, 1]).value == [1, 2]
    assert differences(before, state()) == {}


def test_contract_a_worker_ends_whose_limit_cannot_be_raised_again(monkeypatch):
    def refused(*_):
        raise ValueError("not allowed to raise maximum limit")

    def end(code):
        raise SystemExit(code)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a worker
    try:
        then = process_state.ProcessState()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
        with monkeypatch.context() as patch:
            patch.setattr(resource, "setrlimit", refused)
            patch.setattr(os, "_exit", end)
            with pytest.raises(SystemExit, match=str(process_state.LIMIT_REACHED)):
                then.restore()
    finally:
        signal.signal(signal.SIGINT, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
