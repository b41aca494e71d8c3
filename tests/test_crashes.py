"""What a run survives: deaths of workers, hangs, and what the tables then say."""

import os
import sys
import time

import pytest

from mcstudy import grid, load_study, run
from mcstudy.cli import main
from mcstudy.execution import scheduler
from mcstudy.execution.crashes import CrashLog
from mcstudy.execution.executor import Died
from mcstudy.simulation.replicates import Job
from mcstudy.streams import stream

NASTY = """
import ctypes, itertools, os, signal, time, warnings

def simulate(rng, *, n, mean):
    sample = rng.normal(mean, size=n)
    if mean == 0 and sample[0] > 2.2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return sample

def killer(sample):
    if abs(sample[1]) > 2.4:
        os._exit(3)
    return {"mean": Estimate(sample.mean())}

def average(sample):
    return {"mean": Estimate(sample.mean())}

@batched
def together(samples):
    for sample in samples:
        if sample[2] > 2.4:
            os.abort()
    return {"mean": Estimate(np.array([sample.mean() for sample in samples]))}

study = Study(
    name="nasty",
    simulate=simulate,
    estimands=lambda *, n, mean: {"mean": mean},
    methods={"killer": killer, "average": average, "together": together},
    conditions=grid(n=[5], mean=[0.0, 0.5]),
    replicates=50,
    seed=11,
)
"""


def expected_crashes():
    """What NASTY must come to, from the samples alone."""
    crashes = {}
    for mean in (0.0, 0.5):
        (condition,) = grid(n=[5], mean=[mean])
        for i in range(50):
            sample = stream(11, condition.key, i).normal(mean, size=5)
            dies = {}
            if abs(sample[1]) > 2.4:
                dies["killer"] = "ended its worker process (exit code 3)"
            if sample[2] > 2.4:
                dies["together"] = "ended its worker process (SIGABRT)"
            if mean == 0 and sample[0] > 2.2:
                word = "simulate: ended its worker process (SIGSEGV)"
                dies = dict.fromkeys(["average", "killer", "together"], word)
            crashes |= {(condition.key, i, name): word for name, word in dies.items()}
    return crashes


@pytest.mark.slow
def test_contract_a_fit_that_ends_its_worker_is_a_row_and_costs_nothing_else(
    study_file, tmp_path, capfd
):
    results = run(study_file(body=NASTY), tmp_path, jobs=2, quiet=True)
    assert capfd.readouterr() == ("", "")
    fits = results.fits.set_index(["condition", "replicate", "method"])
    assert len(fits) == 2 * 50 * 3
    crashed = fits[fits.status == "crashed"]
    assert crashed.message.to_dict() == expected_crashes()
    assert {name for _, _, name in expected_crashes()} == {"average", "killer", "together"}
    assert set(fits[fits.status != "crashed"].status) == {"ok"}


@pytest.mark.xslow
def test_contract_crashes_are_the_same_rows_for_any_workers_and_job_sizes(
    study_file, tmp_path, monkeypatch
):
    path = study_file(("seed=11,", "seed=11, time_limit=60,"), body=NASTY)
    digests = run(path, tmp_path / "two", jobs=2, quiet=True).digests()
    assert run(path, tmp_path / "one", jobs=1, quiet=True).digests() == digests
    assert run(path, tmp_path / "three", jobs=3, quiet=True).digests() == digests
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.005)
    assert run(path, tmp_path / "small", jobs=2, quiet=True).digests() == digests


HOSTILE = """
import os, resource, signal, sys

def simulate(rng, *, n):
    return rng.normal(size=n)

def answer(sample):
    return {"mean": Estimate(sample.mean())}

def hit(sample):
    return sample[0] > 1.2

def interrupts(sample):
    if hit(sample):
        raise KeyboardInterrupt
    return answer(sample)

def exits(sample):
    if hit(sample):
        sys.exit("no more")
    return answer(sample)

def generator_exit(sample):
    if hit(sample):
        raise GeneratorExit
    return answer(sample)

def stops_to_ask(sample):
    if hit(sample):
        breakpoint()
    return answer(sample)

def asks(sample):
    if hit(sample):
        input()
    return answer(sample)

def recurses(sample):
    def deeper(x):
        return even_deeper(x) + 1
    def even_deeper(x):
        return deeper(x) < 1
    if hit(sample):
        deeper(1)
    return answer(sample)

def closes_output(sample):
    if hit(sample):
        for number in range(3):
            os.close(number)
        sys.stdout.close()
    return answer(sample)

def removes_modules(sample):
    if hit(sample):
        sys.modules.clear()
    return answer(sample)

def removes_numpy(sample):
    if hit(sample):
        del sys.modules["numpy"]
    import numpy
    return answer(sample)

def forks(sample):
    if hit(sample) and not os.fork():
        raise ValueError("in the child")
    return answer(sample)

def moves(sample):
    before = os.getcwd()
    if hit(sample):
        os.chdir("/")
    return Fit(answer(sample), diagnostics={"folder": before})

def rings(sample):
    if hit(sample):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
    return answer(sample)

def clears_environment(sample):
    if hit(sample):
        os.environ.clear()
    return answer(sample)

def closes_files(sample):
    if hit(sample):
        os.closerange(3, 1000)
    return answer(sample)

def lowers_a_limit(sample):
    if hit(sample):
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    return answer(sample)

def kills_its_group(sample):
    if hit(sample):
        os.killpg(0, signal.SIGKILL)
    return answer(sample)

def overflows(sample):
    class Endless:
        def __repr__(self):
            return repr([self, Endless()])
    if hit(sample):
        sys.setrecursionlimit(10**9)
        repr(Endless())
    return answer(sample)

ERRORS = {
    "interrupts": interrupts, "exits": exits, "generator_exit": generator_exit, "asks": asks,
    "stops_to_ask": stops_to_ask, "recurses": recurses,
}
HARMLESS = {
    "closes_output": closes_output, "removes_modules": removes_modules, "forks": forks,
    "removes_numpy": removes_numpy, "moves": moves, "rings": rings,
    "clears_environment": clears_environment,
}
DEADLY = {
    "closes_files": closes_files, "kills_its_group": kills_its_group, "overflows": overflows,
    "lowers_a_limit": lowers_a_limit,
}
study = Study(
    name="hostile",
    simulate=simulate,
    estimands=lambda *, n: {"mean": 0.0},
    methods=ERRORS | HARMLESS | DEADLY,
    conditions=grid(n=[5]),
    replicates=12,
    seed=4,
)
"""
HIT = [i for i in range(12) if stream(4, "n=5", i).normal(size=5)[0] > 1.2]


@pytest.mark.slow
def test_contract_a_fit_that_harms_its_process_is_a_row_and_harms_no_other(study_file, tmp_path):
    path = study_file(body=HOSTILE)
    loaded = sys.modules[load_study(path).simulate.__module__]
    names = [*loaded.ERRORS, *loaded.HARMLESS]
    assert len(HIT) >= 2
    fits = run(path, tmp_path, jobs=2, methods=names, quiet=True).fits
    assert len(fits) == 12 * len(names)
    failed = fits[fits.status != "ok"]
    assert set(failed.status) == {"error"}
    assert {name: set(rows.replicate) for name, rows in failed.groupby("method")} == {
        name: set(HIT) for name in loaded.ERRORS
    }
    messages = failed.groupby("method").message.unique().map(list).to_dict()
    assert messages == {
        "interrupts": ["KeyboardInterrupt"],
        "exits": ["SystemExit: no more"],
        "generator_exit": ["GeneratorExit"],
        "asks": ["EOFError: EOF when reading a line"],
        "stops_to_ask": ["BdbQuit"],
        "recurses": ["RecursionError: maximum recursion depth exceeded"],
    }
    assert fits.folder.dropna().nunique() == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("closes_files", "a call has closed files that are not its own"),
        ("kills_its_group", "SIGKILL"),
        ("lowers_a_limit", "a call has lowered a limit of its process, or used it up"),
        pytest.param("overflows", "SIGSEGV", marks=pytest.mark.xslow),
    ],
)
def test_contract_a_fit_that_ends_its_worker_in_an_odd_way_is_a_row(
    study_file, tmp_path, name, how
):
    path = study_file(("replicates=12", f"replicates={HIT[0] + 2}"), body=HOSTILE)
    fits = run(path, tmp_path, jobs=2, methods=[name], quiet=True).fits
    crashed = fits[fits.status == "crashed"]
    assert crashed.replicate.tolist() == HIT[:1]
    assert crashed.message.tolist() == [f"ended its worker process ({how})"]
    assert len(fits) == HIT[0] + 2


LEFT_BEHIND = (
    "se = sample.std",
    """import os, time
    if sample[0] > 2.4:
        if not os.fork():
            os.setsid()
            time.sleep(20)
            os._exit(0)
        os._exit(3)
    se = sample.std""",
)


@pytest.mark.slow
def test_contract_a_worker_that_leaves_a_process_behind_is_seen_to_end(study_file, tmp_path):
    """Though what is left holds the connection to the run."""
    path = study_file(LEFT_BEHIND, ("n=[5, 10], mean=[0.0, 1.5]", "n=[5], mean=[1.5]"))
    begun = time.monotonic()
    fits = run(path, tmp_path, replicates=10, jobs=2, quiet=True).fits
    assert time.monotonic() - begun < 19
    assert set(fits[fits.method == "average"].status) == {"ok", "crashed"}
    assert set(fits[fits.method == "jittered"].status) == {"ok"}


HANGS = """
import itertools, time, warnings

def simulate(rng, *, n, mean):
    sample = rng.normal(mean, size=n)
    if sample[0] > 1.7:
        warnings.warn("this will take long")
        while True:
            pass
    return sample

def hangs_in_python(sample):
    if sample[1] > 1.5:
        try:
            time.sleep(1000)
        except Exception:
            pass
    return {"mean": Estimate(sample.mean())}

def hangs_in_compiled_code(sample):
    if sample[2] > 2.0:
        warnings.warn("soon it hangs")
        sum(itertools.repeat(0))
    return {"mean": Estimate(sample.mean())}

def swallows(sample):
    if sample[3] > 1.9:
        for _ in range(10**9):
            try:
                time.sleep(1)
            except BaseException:
                pass
    return {"mean": Estimate(sample.mean())}

def is_late(sample):
    if sample[4] > 1.9:
        sum(range(5 * 10**7))
    return {"mean": Estimate(sample.mean())}

@batched
def together(samples):
    for sample in samples:
        if sample[5] > 2.0:
            sum(itertools.repeat(0))
    return {"mean": Estimate(np.array([sample.mean() for sample in samples]))}

study = Study(
    name="hangs",
    simulate=simulate,
    estimands=lambda *, n, mean: {"mean": mean},
    methods={
        "python": hangs_in_python, "compiled": hangs_in_compiled_code,
        "swallows": swallows, "late": is_late, "together": together,
    },
    conditions=grid(n=[6], mean=[0.0]),
    replicates=40,
    seed=37,
    time_limit=0.6,
)
"""


@pytest.fixture
def hangs():
    """Which fits of HANGS take too long, by replicate and method, and their message."""
    (condition,) = grid(n=[6], mean=[0.0])
    late = "longer than its time limit of 0.6 s"
    limits = {"python": 1.5, "compiled": 2.0, "swallows": 1.9, "late": 1.9, "together": 2.0}
    expected = {}
    for i in range(40):
        sample = stream(37, condition.key, i).normal(0.0, size=6)
        if sample[0] > 1.7:
            expected |= {(i, name): f"simulate: {late}" for name in limits}
            continue
        over = [name for name, x in zip(limits, sample[1:], strict=True) if x > limits[name]]
        expected |= {(i, name): late for name in over}
    assert {name for _, name in expected} == set(limits)
    return expected


def check_late(results, hangs):
    fits = results.fits.set_index(["replicate", "method"])
    late = fits[fits.status == "timeout"]
    assert late.message.to_dict() == hangs
    assert set(fits[fits.status != "timeout"].status) == {"ok"}
    assert results.estimates.estimate.isna().sum() == len(hangs)


@pytest.mark.slow
def test_contract_a_fit_over_its_time_limit_is_a_row(study_file, tmp_path, capfd, hangs):
    names = ["compiled", "python"]
    results = run(study_file(body=HANGS), tmp_path, jobs=2, methods=names, quiet=True)
    check_late(results, {key: hangs[key] for key in hangs if key[1] in names})
    assert capfd.readouterr() == ("", "")


@pytest.mark.xslow
def test_contract_timeouts_are_the_same_rows_for_any_workers_and_job_sizes(
    study_file, tmp_path, capfd, monkeypatch, hangs
):
    path = study_file(body=HANGS)
    results = run(path, tmp_path / "two", jobs=2, quiet=True)
    check_late(results, hangs)
    assert run(path, tmp_path / "one", jobs=1, quiet=True).digests() == results.digests()
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.01)
    assert run(path, tmp_path / "small", jobs=3, quiet=True).digests() == results.digests()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_contract_stored_timeouts_are_tried_again_when_asked(study_file, tmp_path, capfd):
    late = ("    se =", "    import time\n    if sample[0] > 1: time.sleep(0.12)\n    se =")
    short = study_file(late, ("seed=7,", "seed=7, time_limit={'average': 0.05},"))
    first = run(short, tmp_path, replicates=5, jobs=1, quiet=True)
    assert 0 < (first.fits.status == "timeout").sum() < 20
    untouched, timings = first.digests(), first.timings
    plain = run(study_file(late), tmp_path / "plain", replicates=5, jobs=1, quiet=True)
    assert run(study_file(late), tmp_path, replicates=5, jobs=1, quiet=True).digests() == untouched
    again = run(
        study_file(late), tmp_path, replicates=5, jobs=1, retry=["timeout", "crashed"], quiet=True
    )
    assert again.digests() == plain.digests()
    rows = again.timings.merge(timings, on=["condition", "replicate", "method", "seconds"])
    assert 0 < len(rows) < len(timings)
    assert main(["run", str(short), "--results", str(tmp_path), "--retry", "ok"]) == 2
    assert "mcstudy: retry is 'ok'; fits that can be tried again" in capfd.readouterr().err


@pytest.mark.slow
def test_contract_workers_that_end_as_they_start_stop_the_run_with_one_line(
    study_file, tmp_path, capfd, monkeypatch
):
    monkeypatch.setenv("RUN_BY", str(os.getpid()))
    ends = "import os\nif os.environ['RUN_BY'] != str(os.getpid()):\n    os._exit(5)\n"
    path = study_file(("def simulate", f"{ends}\ndef simulate"))
    assert main(["run", str(path), "--results", str(tmp_path), "--jobs", "2"]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1, err
    assert "worker processes end as they start (exit code 5); what is stored is whole" in err


def test_contract_a_death_without_an_address_is_narrowed_down_by_halves(study_file):
    """As where a machine is lost: replicate and method are found all the same."""
    study = load_study(study_file())
    (condition, *_) = study.conditions
    crash_log, waiting, done = CrashLog(study), [], {}
    waiting.append(Job(condition, 0, 100, ("average", "jittered")))
    deaths = 0
    while waiting:
        job = waiting.pop(0)
        verdicts = crash_log.policy(job).known_failures
        killer = job.start <= 37 < job.stop and "jittered" in job.methods
        if killer and (37, "jittered") not in verdicts:
            waiting = crash_log.record(Died(job, None, "lost")) + waiting
            deaths += 1
            continue
        done |= {
            (i, name): verdicts.get((i, name))
            for i in range(job.start, job.stop)
            for name in job.methods
        }
    assert len(done) == 200
    assert {key for key, verdict in done.items() if verdict} == {(37, "jittered")}
    assert done[37, "jittered"].message == "ended its worker process (lost)"
    assert deaths < 12


STRUCK = (
    "return rng.normal(mean, size=n)",
    """import os, signal
    sample = rng.normal(mean, size=n)
    log = os.environ.get("LOG")
    if log and sample[0] > 2.8:
        with open(log, "ab") as file:
            file.write(b"x")
        if os.path.getsize(log) <= int(os.environ["STRIKES"]):
            os.kill(os.getpid(), signal.SIGKILL)
    return sample""",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strikes", "crashed"), [(100, True), pytest.param(3, False, marks=pytest.mark.xslow)]
)
def test_contract_a_fit_is_innocent_of_three_kills_from_outside(
    study_file, tmp_path, monkeypatch, strikes, crashed
):
    """It is one replicate that is struck each time, first among others, then alone."""
    path = study_file(STRUCK, ("replicates=60", "replicates=16"))
    plain = run(path, tmp_path / "plain", jobs=1, quiet=True)
    log = tmp_path / "log"
    monkeypatch.setenv("LOG", str(log))
    monkeypatch.setenv("STRIKES", str(strikes))
    found = run(path, tmp_path, jobs=2, quiet=True)
    assert log.stat().st_size == 4
    assert (found.digests() == plain.digests()) == (not crashed)
    told = found.fits[found.fits.status == "crashed"].message
    assert set(told) == ({"simulate: ended its worker process (SIGKILL)"} if crashed else set())
    assert found.fits.groupby("condition").replicate.nunique().eq(16).all()


@pytest.mark.slow
def test_contract_one_worker_is_this_process_only_if_asked_for_and_without_time_limit(
    study_file, tmp_path, monkeypatch
):
    said = (
        'return {"mean": Estimate(sample.mean(), se',
        "import os\n    return Fit({'mean': Estimate(sample.mean(), se",
    )
    end = ("+ 2 * se)}", "+ 2 * se)}, diagnostics={'process': os.getpid()})")
    plain = study_file(said, end)
    limited = study_file(said, end, ("seed=7,", "seed=7, time_limit=50,"), name="limited.py")
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    for path, workers, here in [(plain, 1, True), (plain, None, False), (limited, 1, False)]:
        folder = tmp_path / f"{path.stem}{workers}"
        fits = run(path, folder, replicates=3, methods=["average"], jobs=workers, quiet=True).fits
        assert fits.process.nunique() == 1
        assert (fits.process[0] == os.getpid()) == here
