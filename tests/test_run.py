"""The same tables whatever the way: workers, job sizes, order, growth, interruptions."""

import dataclasses
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from mcstudy import Estimate, Status, Study, grid, load_study, open_results, run
from mcstudy.execution import scheduler
from mcstudy.execution.process_pool import ProcessPool
from mcstudy.execution.worker import WorkerConfig
from mcstudy.simulation import replicates
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.retry_policy import KnownFailure, RetryPolicy
from mcstudy.storage.provenance import method_marks


@pytest.fixture
def digests(study_file, tmp_path):
    """What the plain run of the plain study gives."""
    return run(study_file(), tmp_path / "plain", jobs=1, quiet=True).digests()


def parts_of(folder):
    parts = folder / "parts"
    return {path.relative_to(parts): path.read_bytes() for path in parts.glob("*/*/*.parquet")}


@pytest.mark.slow
def test_contract_two_workers(study_file, tmp_path, digests):
    assert run(study_file(), tmp_path / "two", jobs=2, quiet=True).digests() == digests


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.005, 100.0, pytest.param(0.0, marks=pytest.mark.xslow)])
def test_contract_job_sizes(study_file, tmp_path, digests, monkeypatch, seconds):
    monkeypatch.setattr(scheduler, "JOB_SECONDS", seconds)
    results = run(study_file(), tmp_path / "sized", jobs=1, quiet=True)
    assert results.digests() == digests


def test_contract_batch_sizes(study_file, tmp_path, digests, monkeypatch):
    monkeypatch.setattr(replicates, "BATCH_REPLICATES", 3)
    assert run(study_file(), tmp_path / "batches", jobs=1, quiet=True).digests() == digests


def test_contract_grid_and_methods_reversed(study_file, tmp_path, digests):
    path = study_file(
        ("grid(n=[5, 10], mean=[0.0, 1.5])", "grid(mean=[1.5, 0.0], n=[10, 5])"),
        (
            '{"average": average, "jittered": jittered}',
            '{"jittered": jittered, "average": average}',
        ),
    )
    assert run(path, tmp_path / "reversed", jobs=1, quiet=True).digests() == digests


def test_contract_methods_one_by_one(study_file, tmp_path, digests):
    for method in ("jittered", "average"):
        results = run(study_file(), tmp_path / "one", methods=[method], jobs=1, quiet=True)
    assert results.digests() == digests


def test_contract_replicates_conditions_and_methods_are_added_and_nothing_old_changes(
    study_file, tmp_path, digests
):
    small = study_file(
        ("mean=[0.0, 1.5]", "mean=[1.5]"),
        ('"average": average, ', ""),
        ("replicates=60", "replicates=25"),
    )
    before = run(small, tmp_path / "grown", jobs=1, quiet=True)
    old_rows = before.estimates
    after = run(study_file(), tmp_path / "grown", jobs=1, quiet=True)
    assert after.digests() == digests
    merged = old_rows.merge(after.estimates, how="left")
    pd.testing.assert_frame_equal(merged, old_rows)


def test_contract_nothing_missing_computes_nothing(study_file, tmp_path, capfd):
    first = run(study_file(), tmp_path, jobs=1)
    before = parts_of(first.folder)
    capfd.readouterr()
    run(study_file(), tmp_path, jobs=1)
    assert capfd.readouterr().err == (
        "Nothing is missing: 4 conditions x 2 methods x 60 replicates are stored.\n"
    )
    assert parts_of(first.folder) == before


def test_contract_more_stored_than_asked_for_stays(study_file, tmp_path):
    run(study_file(), tmp_path, jobs=1, quiet=True)
    fewer = run(study_file(), tmp_path, replicates=10, jobs=1, quiet=True)
    assert len(fewer.fits) == 480


def test_contract_what_is_stored_is_counted_not_what_was_asked_for(study_file, tmp_path, capfd):
    run(study_file(), tmp_path, jobs=1, quiet=True)
    run(study_file(), tmp_path, replicates=40, jobs=1)
    assert capfd.readouterr().err == (
        "Nothing is missing: 4 conditions x 2 methods x 60 replicates are stored, "
        "40 were asked for.\n"
    )


@pytest.mark.slow
def test_contract_fewer_than_were_discarded_are_not_computed_in_silence(
    study_file, tmp_path, capfd
):
    run(study_file(), tmp_path, jobs=1, quiet=True)
    path = study_file(("0.01 * rng", "0.02 * rng"))
    fewer = run(path, tmp_path, replicates=40, jobs=1, changed="discard")
    said = (
        "Note: up to 60 replicates of a condition are discarded, and 40 are computed in their "
        "place; --replicates 60 (replicates=60) computes as many as before"
    )
    assert capfd.readouterr().err.count(said) == 1
    assert fewer.fits.groupby("method").replicate.nunique().to_dict() == {
        "average": 60,
        "jittered": 40,
    }
    run(path, tmp_path, replicates=40, jobs=1, changed="discard")
    assert "discarded" not in capfd.readouterr().err
    path = study_file(("rng.normal(mean, size=n)", "rng.normal(mean, 2, size=n)"))
    run(path, tmp_path, replicates=60, jobs=1, changed="discard")
    err = capfd.readouterr().err
    assert "discarded rows were in " in err
    assert "in their place" not in err


PACED = (
    "return rng.normal(mean, size=n)",
    "import os, time; time.sleep(float(os.environ.get('PAUSE', 0)))\n"
    "    return rng.normal(mean, size=n)",
)


@pytest.mark.slow
def test_contract_killed_at_random_moments_and_resumed(study_file, tmp_path):
    path = study_file(PACED)
    whole = run(path, tmp_path / "whole", jobs=1, quiet=True).digests()
    code = (
        "import sys; from mcstudy import run; from mcstudy.execution import scheduler;"
        "scheduler.JOB_SECONDS = 0.03;"
        "run(sys.argv[1], sys.argv[2], jobs=int(sys.argv[3]), quiet=True)"
    )
    moments = random.Random(5)
    for workers in ("2", "1", "1"):
        child = subprocess.Popen(
            [sys.executable, "-c", code, path, tmp_path / "killed", workers],
            env={**os.environ, "PAUSE": "0.004"},
        )
        folder = tmp_path / "killed" / "normal" / "parts"
        seen, more = len(list(folder.glob("*/*/*"))), moments.randint(1, 8)
        while child.poll() is None and len(list(folder.glob("*/*/*"))) < seen + more:
            time.sleep(moments.random() / 100)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert 1 < len(parts_of(folder.parent)) < 240
    results = run(path, tmp_path / "killed", jobs=1, quiet=True)
    assert results.digests() == whole
    assert not list(results.folder.glob(".*.tmp"))


def test_contract_damaged_and_foreign_parts_are_set_aside(study_file, tmp_path, digests, capfd):
    results = run(study_file(), tmp_path / "hurt", jobs=1, quiet=True)
    first, second, *_ = sorted((results.folder / "parts").glob("*/*/*.parquet"))
    first.write_bytes(first.read_bytes()[:-100])
    content = bytearray(second.read_bytes())
    content[40] ^= 0xFF
    second.write_bytes(content)
    (results.folder / "parts" / "foreign.parquet").write_text("nothing of ours")
    again = run(study_file(), tmp_path / "hurt", jobs=1)
    assert again.digests() == digests
    aside = {path.name for path in (results.folder / "parts" / "damaged").rglob("*")}
    assert {first.name, "foreign.parquet"} <= aside


def test_contract_a_damaged_table_is_made_again(study_file, tmp_path, digests):
    results = run(study_file(), tmp_path / "hurt", jobs=1, quiet=True)
    (results.folder / "fits.parquet").write_text("junk")
    assert run(study_file(), tmp_path / "hurt", jobs=1, quiet=True).digests() == digests


@pytest.mark.slow
def test_contract_a_study_made_in_a_session_reaches_the_workers(tmp_path):
    shift = 0.25

    def simulate(rng, *, n):
        return rng.normal(size=n)

    study = Study(
        name="closure",
        simulate=simulate,
        estimands=lambda *, n: {"mean": 0.0},
        methods={"shifted": lambda sample: {"mean": Estimate(sample.mean() + shift)}},
        conditions=grid(n=[4]),
        replicates=20,
        seed=1,
    )
    one = run(study, tmp_path / "one", jobs=1, quiet=True)
    two = run(study, tmp_path / "two", jobs=2, quiet=True)
    assert one.digests() == two.digests()


@pytest.mark.slow
def test_contract_partials_closures_and_dataclasses_of_a_study_file_reach_the_workers(
    study_file, tmp_path
):
    path = study_file(
        (
            "study = Study(",
            """
from dataclasses import dataclass
from functools import partial

@dataclass(frozen=True)
class Shifted:
    by: float
    def __call__(self, sample):
        return {"mean": Estimate(sample.mean() + self.by)}

def scaled(factor, sample):
    return {"mean": Estimate(factor * sample.mean())}

def closure(factor):
    return lambda sample: scaled(factor, sample)

study = Study(""",
        ),
        (
            '{"average": average, "jittered": jittered}',
            '{"object": Shifted(1.0), "partial": partial(scaled, 2.0), "closure": closure(3.0)}',
        ),
    )
    two = run(path, tmp_path / "two", jobs=2, quiet=True)
    assert set(two.fits.status) == {"ok"}
    changed = dataclasses.replace(load_study(path), replicates=61)
    assert len(run(changed, tmp_path / "two", jobs=2, quiet=True).fits) == 61 * 4 * 3


@pytest.mark.slow
def test_contract_linear_algebra_has_one_thread(study_file, tmp_path):
    counting = study_file(
        ("def average(sample):", "from threadpoolctl import threadpool_info\ndef average(sample):"),
        (
            "se = sample.std",
            "threads = max([pool['num_threads'] for pool in threadpool_info()])\n"
            "    return Fit({'mean': Estimate(0.0)}, diagnostics={'threads': threads})\n"
            "    se = sample.std",
        ),
    )
    for jobs_ in (1, 2):
        folder = tmp_path / str(jobs_)
        with threadpool_limits(2):
            results = run(counting, folder, methods=["average"], jobs=jobs_, quiet=True)
        assert set(results.fits.threads) == {1}


def test_contract_tables_tell_where_they_came_from(study_file, tmp_path):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    import json

    import pyarrow.parquet as pq

    facts = json.loads(pq.read_schema(results.folder / "fits.parquet").metadata[b"mcstudy"])
    assert facts["seed"] == results.study["seed"] == 7
    assert facts["factors"] == {"mean": [0.0, 1.5], "n": [5, 10]}
    assert set(facts["versions"]) >= {"mcstudy", "numpy", "scipy", "statsmodels"}
    assert list(results.estimates) == [
        *("condition", "replicate", "method", "estimand", "truth", "estimate", "std_error")
    ]
    assert list(results.performance) == [
        *("mean", "n", "method", "estimand", "interval", "measure"),
        *("value", "mcse", "lower", "upper", "used", "replicates"),
    ]
    assert open_results(results.folder).digests() == results.digests()
    keys = results.intervals[["replicate", "method", "estimand", "interval"]]
    assert not results.intervals.duplicated(["condition", *keys]).any()


def test_contract_a_second_run_on_the_same_folder_is_told_to_wait(study_file, tmp_path):
    from mcstudy import MCStudyError
    from mcstudy.storage.store import Store

    with Store(tmp_path / "normal").locked(), pytest.raises(MCStudyError, match="another run"):
        run(study_file(), tmp_path, jobs=1, quiet=True)


@pytest.mark.slow
def test_contract_a_new_factor_makes_new_conditions_and_the_old_rows_come_back(
    study_file, tmp_path, capfd
):
    any_factor = [
        ("def simulate(rng, *, n, mean):", "def simulate(rng, *, n, mean, **others):"),
        ("lambda *, n, mean:", "lambda *, n, mean, **others:"),
    ]
    before = run(study_file(*any_factor), tmp_path, replicates=5, jobs=1, quiet=True)
    digests, parts = before.digests(), parts_of(before.folder)
    path = study_file(*any_factor, ("grid(n=", "grid(extra=[1], n="))
    run(path, tmp_path, replicates=5, jobs=1)
    assert "40 fits to do" in capfd.readouterr().err
    assert set(run(path, tmp_path, replicates=5, jobs=1, quiet=True).fits.condition) == {
        f"extra=1, mean={mean}, n={n}" for mean in ("0", "1.5") for n in (5, 10)
    }
    back = run(study_file(*any_factor), tmp_path, replicates=5, jobs=1)
    assert "Nothing is missing" in capfd.readouterr().err
    assert back.digests() == digests
    assert parts.items() <= parts_of(back.folder).items()


@pytest.mark.slow
def test_contract_a_method_or_condition_less_is_in_no_table_and_comes_back(study_file, tmp_path):
    whole = run(study_file(), tmp_path, replicates=5, jobs=1, quiet=True)
    digests = whole.digests()
    path = study_file((', "jittered": jittered', ""), ("n=[5, 10]", "n=[5]"))
    less = run(path, tmp_path, replicates=5, jobs=1, quiet=True)
    assert len(less.fits) == 10
    assert run(study_file(), tmp_path, replicates=5, jobs=1, quiet=True).digests() == digests


def test_contract_a_pool_that_ends_as_it_is_given_work_says_nothing(study_file, monkeypatch, capfd):
    said, threads = [], threading.active_count()
    monkeypatch.setattr(threading, "excepthook", said.append)
    study = load_study(study_file())
    condition = next(iter(study.conditions))
    pool = ProcessPool(WorkerConfig.of(study, method_marks(study)), 1)
    for start in range(3):
        pool.submit(Job(condition, start, start + 1, ("average",)), 0.0)
    pool.close()
    assert said == []
    assert capfd.readouterr() == ("", "")
    assert multiprocessing.active_children() == []
    assert threading.active_count() == threads


@pytest.mark.slow
def test_contract_a_task_that_no_connection_holds_waits_for_the_worker(study_file, tmp_path):
    """And the run does not wait for it: its other workers would have nothing to do."""
    gate = tmp_path / "submitted"
    waits = f"""import pathlib, time
    ends = time.monotonic() + 60
    while not pathlib.Path({str(gate)!r}).exists() and time.monotonic() < ends:
        time.sleep(0.01)
    return rng.normal"""
    study = load_study(study_file(("return rng.normal", waits)))
    pool = ProcessPool(WorkerConfig.of(study, method_marks(study)), 1)
    large = RetryPolicy(
        True,
        {
            (i, "average"): KnownFailure(Status.CRASHED, f"ended its worker process {i}", 0.0)
            for i in range(2, 20_000)
        },
    )
    condition = next(iter(study.conditions))
    first, second = (Job(condition, i, i + 1, ("average",)) for i in range(2))
    gate.touch()
    try:
        pool.check(first, ("average",))  # the worker has begun
        gate.unlink()
        begun = time.monotonic()
        pool.submit(first, 0.0)
        pool.submit(second, 0.0, large)
        assert time.monotonic() - begun < 60  # the first task has not ended
        gate.touch()
        ends = [end for _ in range(2) for end in pool.finished()]
    finally:
        pool.close()
    assert [end.done for end in ends] == [first, second]
