"""Small parts are joined, and no kill in between loses a row or changes a table."""

import itertools
import os
import signal
import subprocess
import sys

import pytest

from mcstudy import run
from mcstudy.execution import refresh, scheduler
from mcstudy.storage import compaction, parts, rows
from mcstudy.storage.store import Store

REPLICATES = ("replicates=60", "replicates=10")


@pytest.fixture
def small_parts(monkeypatch):
    """Jobs of one replicate."""
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.0)


@pytest.fixture
def plain(study_file, tmp_path):
    return run(study_file(REPLICATES), tmp_path / "plain", jobs=1, quiet=True)


def files(results):
    return sorted((results.folder / "parts").glob("*/*/[!.]*.parquet"))


def names(results):
    return [path.name for path in files(results)]


@pytest.mark.slow
def test_contract_many_parts_become_few_and_the_tables_stay(
    study_file, tmp_path, plain, small_parts
):
    first = run(study_file(REPLICATES), tmp_path / "a", replicates=5, jobs=1, quiet=True)
    assert {name.partition("-")[2] for name in names(first)} == {"0000000000-0000000005.parquet"}
    assert len(names(first)) == 4 * 2
    grown = run(study_file(REPLICATES), tmp_path / "a", jobs=1, quiet=True)
    assert len(names(grown)) == 4 * 2
    assert grown.digests() == plain.digests()
    head = parts.read_head(files(grown)[0])
    assert (head.start, head.stop, head.method) == (0, 10, "average")


@pytest.mark.slow
def test_contract_while_a_run_is_under_way_few_parts_are_left_alone(
    study_file, tmp_path, small_parts, monkeypatch
):
    monkeypatch.setattr(refresh, "compact", lambda *_, **__: None)
    grown = run(study_file(REPLICATES), tmp_path, replicates=7, jobs=1, quiet=True)
    store = Store(grown.folder)
    with store.locked():
        compaction.compact(store)
        assert len(names(grown)) == 7 * 8
        store.parts()[0].path.rename(tmp_path / "away")
    grown = run(study_file(REPLICATES), tmp_path, replicates=8, jobs=1, quiet=True)
    with store.locked():
        compaction.compact(store)
        assert len(names(grown)) == 8


@pytest.mark.slow
def test_contract_joined_parts_may_span_blocks_of_the_tables(
    study_file, tmp_path, plain, small_parts, monkeypatch
):
    run(study_file(REPLICATES), tmp_path / "a", jobs=1, quiet=True)
    monkeypatch.setattr(rows, "BLOCK", 3)
    spanned = run(
        study_file(REPLICATES), tmp_path / "a", replicates=11, jobs=1, quiet=True
    ).estimates
    first = spanned[spanned.replicate < 10].reset_index(drop=True)
    assert first.equals(plain.estimates)


@pytest.mark.slow
def test_contract_what_differs_in_kind_is_not_joined(study_file, tmp_path, small_parts):
    diagnostic = (
        '    return {"mean": Estimate(sample.mean() + 0.01',
        '    kind = "text" if sample[0] > 0 else 1\n'
        '    return Fit({"mean": Estimate(sample.mean())}, diagnostics={"kind": kind})\n'
        '    return {"mean": Estimate(sample.mean() + 0.01',
    )
    path = study_file(REPLICATES, diagnostic)
    joined = run(path, tmp_path / "a", jobs=1, quiet=True)
    scheduler.JOB_SECONDS = 100.0
    assert joined.digests() == run(path, tmp_path / "b", jobs=1, quiet=True).digests()
    assert set(joined.fits.kind.dropna()) == {"text", "1"}


def test_contract_parts_are_joined_though_a_diagnostic_is_missing_in_some(
    study_file, tmp_path, small_parts
):
    diagnostic = (
        '    return {"mean": Estimate(sample.mean() + 0.01',
        "    steps = 3 if sample[0] > 0 else None\n"
        '    return Fit({"mean": Estimate(sample.mean())}, diagnostics={"steps": steps})\n'
        '    return {"mean": Estimate(sample.mean() + 0.01',
    )
    joined = run(study_file(REPLICATES, diagnostic), tmp_path / "a", jobs=1, quiet=True)
    steps = joined.fits[joined.fits.method == "jittered"].steps
    assert 0 < steps.isna().sum() < len(steps)
    assert len(names(joined)) == 4 * 2


@pytest.mark.slow
def test_contract_large_parts_are_not_joined(study_file, tmp_path, small_parts, monkeypatch):
    monkeypatch.setattr(compaction, "LARGE_BYTES", 15_000)
    kept = names(run(study_file(REPLICATES), tmp_path, jobs=1, quiet=True))
    assert 8 < len(kept) < 48
    monkeypatch.setattr(compaction, "LARGE_BYTES", 100)
    assert names(run(study_file(REPLICATES), tmp_path, replicates=10, jobs=1, quiet=True)) == kept


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True])
def test_contract_a_part_that_another_holds_is_removed_only_if_that_one_is_whole(
    study_file, tmp_path, plain, small_parts, monkeypatch, damaged
):
    monkeypatch.setattr(Store, "remove", lambda *_: None)
    both = run(study_file(REPLICATES), tmp_path / "a", jobs=1, quiet=True)
    assert len(names(both)) == 88
    assert both.digests() == plain.digests()
    monkeypatch.undo()
    holder = next((both.folder / "parts").glob("*/*/*-0000000000-0000000010.parquet"))
    if damaged:
        content = bytearray(holder.read_bytes())
        content[40] ^= 0xFF
        holder.write_bytes(content)
    after = run(study_file(REPLICATES), tmp_path / "a", jobs=1, quiet=True)
    assert after.digests() == plain.digests()
    assert len(names(after)) == 8
    assert damaged is (both.folder / "parts" / "damaged").exists()


KILLED = """
import os, signal, sys
from mcstudy import run
from mcstudy.execution import refresh, scheduler

scheduler.JOB_SECONDS = 0.0
left = int(sys.argv[3])

def step(function):
    def counting(*arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return counting

def compact_counting(*arguments, **options):
    for name in ("fsync", "replace", "unlink", "open"):
        setattr(os, name, step(getattr(os, name)))
    return join(*arguments, **options)

from mcstudy.execution import refresh
join, refresh.compact = refresh.compact, compact_counting
run(sys.argv[1], sys.argv[2], jobs=1, replicates=4, quiet=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", range(1, 13))
def test_contract_stopped_at_any_step_of_joining(
    study_file, tmp_path, small_parts, monkeypatch, step
):
    left = itertools.count(1)

    def counting(function):
        def call(*arguments, **options):
            if next(left) == step:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return call

    def compact_counting(store, **options):
        with monkeypatch.context() as patch:
            for name in ("fsync", "replace", "unlink", "open"):
                patch.setattr(os, name, counting(getattr(os, name)))
            compaction.compact(store, **options)

    path, whole = study_file(REPLICATES), tmp_path / "whole"
    whole = run(path, whole, replicates=4, jobs=1, quiet=True).digests()
    with monkeypatch.context() as patch:
        patch.setattr(refresh, "compact", compact_counting)
        with pytest.raises(KeyboardInterrupt):
            run(path, tmp_path / "a", replicates=4, jobs=1, quiet=True)
    folder = tmp_path / "a" / "normal" / "parts"
    held = {i for p in folder.glob("*/*/[!.]*.parquet") for i in covered(parts.read_head(p))}
    assert len(held) == 4 * 4 * 2
    assert run(path, tmp_path / "a", replicates=4, jobs=1, quiet=True).digests() == whole


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 9])
def test_contract_killed_at_a_step_of_joining(study_file, tmp_path, step):
    path = study_file(REPLICATES)
    child = [sys.executable, "-c", KILLED, path, tmp_path / "a", str(step)]
    assert subprocess.run(child).returncode == -signal.SIGKILL
    folder = tmp_path / "a" / "normal" / "parts"
    held = {i for p in folder.glob("*/*/[!.]*.parquet") for i in covered(parts.read_head(p))}
    assert len(held) == 4 * 4 * 2
    results = run(path, tmp_path / "a", replicates=4, jobs=1, quiet=True)
    whole = run(path, tmp_path / "b", replicates=4, jobs=1, quiet=True)
    assert results.digests() == whole.digests()


def covered(head):
    return {(head.condition, head.method, replicate) for replicate in range(head.start, head.stop)}
