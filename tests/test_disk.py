"""Trouble on disk: a full one, a read-only one, files that are not ours; what is stored stays."""

import builtins
import errno
import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcstudy import MCStudyError, open_results, run
from mcstudy.cli import main
from mcstudy.storage import checksums
from mcstudy.storage.store import Store


@contextmanager
def limited(size):
    """Let no file grow beyond `size` bytes; the system refuses that as it refuses a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def everything(folder):
    return {p.name: p.read_bytes() for p in folder.glob("*") if p.is_file()}


def fits_in(folder):
    """Return the address of each fit that is stored."""
    return {
        (part.method, part.condition, replicate)
        for part in Store(folder).parts()
        for replicate in range(part.start, part.stop)
    }


@pytest.mark.slow
@pytest.mark.parametrize(("full", "workers"), [("part", 1), ("part", 2), ("table", 1)])
def test_contract_a_full_disk_costs_nothing_that_is_stored(
    study_file, tmp_path, capfd, full, workers
):
    path, folder = study_file(), tmp_path / "normal"
    plain = run(path, tmp_path / "plain", replicates=400, jobs=1, quiet=True)
    run(path, tmp_path, replicates=20, jobs=1, quiet=True)
    before, held = everything(folder), fits_in(folder)
    table = (plain.folder / "estimates.parquet").stat().st_size
    size = table - 1 if full == "table" else 4000
    asked = ["run", str(path), "--results", str(tmp_path), "--replicates", "400"]
    with limited(size):
        assert main([*asked, "--jobs", str(workers)]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert "cannot be written (File too large); what is stored is whole, run again" in lines[-1]
    assert ("estimates.parquet: " in lines[-1]) == (full == "table")
    assert not [line for line in lines[:-1] if "fits to do, into" not in line]
    assert not list(folder.rglob(".*.tmp"))
    after = everything(folder)
    assert {name for name in before if after.get(name) != before[name]} <= {"study.json"}
    assert (fits_in(folder) > held) == (full == "table")
    assert fits_in(folder) >= held
    assert open_results(folder).fits.replicate.max() == 19
    assert run(path, tmp_path, replicates=400, jobs=1, quiet=True).digests() == plain.digests()


@pytest.mark.slow
@pytest.mark.parametrize("refused", [".lock", ".study.json.tmp", "-", ".fits.parquet.tmp"])
def test_contract_a_read_only_folder_is_one_line(study_file, tmp_path, capfd, monkeypatch, refused):
    """Opening for writing is refused by the system from some file on; root ignores permissions."""
    run(study_file(), tmp_path, replicates=20, jobs=1, quiet=True)
    before = everything(tmp_path / "normal")

    def is_refused(path):
        name = os.path.basename(str(path))
        return name == refused or (refused == "-" and name.endswith(".parquet.tmp") and "-" in name)

    def refusing(opened):
        def open_(path, *args, **kwargs):
            if is_refused(path):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return opened(path, *args, **kwargs)

        return open_

    import pyarrow.parquet as pq

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", refusing(builtins.open))
        patch.setattr(Path, "write_bytes", refusing(Path.write_bytes))
        patch.setattr(pq, "ParquetWriter", refusing(pq.ParquetWriter))
        asked = ["run", str(study_file()), "--results", str(tmp_path), "--jobs", "1"]
        assert main(asked) == 2
    lines = capfd.readouterr().err.splitlines()
    assert "cannot be written (Read-only file system)" in lines[-1]
    assert len(lines) <= 2
    after = everything(tmp_path / "normal")
    assert {name for name in before if after.get(name) != before[name]} <= {"study.json"}
    grown = run(study_file(), tmp_path, jobs=1, quiet=True)
    assert grown.digests() == run(study_file(), tmp_path / "b", jobs=1, quiet=True).digests()


@pytest.mark.parametrize("name", ["parts", "fits.parquet", "study.json"])
def test_contract_what_stands_in_the_place_of_a_file_is_one_line(study_file, tmp_path, capfd, name):
    place = tmp_path / "normal" / name
    if name == "parts":
        place.parent.mkdir()
        place.write_text("a file")
    else:
        (place / "a folder").mkdir(parents=True)
    asked = ["run", str(study_file()), "--results", str(tmp_path), "--jobs", "1"]
    assert main(asked) == 2
    lines = capfd.readouterr().err.splitlines()
    assert str(tmp_path / "normal") in lines[-1]
    assert ("is no file" if name == "study.json" else "cannot be written") in lines[-1]
    assert len(lines) <= 2
    shutil.rmtree(place.parent)
    assert main(asked) == 0


@pytest.fixture
def whole(study_file, tmp_path):
    """A finished run, and its digests."""
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    return results.folder, results.digests()


def damage_of(kind, content):
    if kind == "flipped":
        middle = len(content) // 3
        return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]
    return {"empty": b"", "zeros": bytes(len(content)), "truncated": content[:-7]}[kind]


@pytest.mark.parametrize("kind", ["empty", "zeros", "truncated", "flipped"])
def test_contract_a_damaged_part_is_set_aside_and_computed_again(
    study_file, tmp_path, capfd, whole, kind
):
    folder, digests = whole
    part = sorted((folder / "parts").glob("*/*/*.parquet"))[1]
    part.write_bytes(damage_of(kind, part.read_bytes()))
    (folder / "estimates.parquet").unlink()
    assert run(study_file(), tmp_path, jobs=1).digests() == digests
    assert f"{part}: damaged, or no part; set aside" in capfd.readouterr().err
    assert (folder / "parts" / "damaged" / part.relative_to(folder / "parts")).is_file()


def test_contract_what_is_no_part_of_this_condition_is_set_aside(study_file, tmp_path, whole):
    folder, digests = whole
    parts = folder / "parts"
    first, second, third, *_ = sorted(parts.glob("*/*/*.parquet"))
    (parts / "folder.parquet").mkdir()
    (parts / "folder.parquet" / "x").write_text("")
    (parts / "link.parquet").symlink_to(parts / "nowhere")
    shutil.copy(first, parts / "copy.parquet")
    second.write_bytes(first.read_bytes())
    third.unlink()
    assert run(study_file(), tmp_path, jobs=1, quiet=True).digests() == digests
    aside = {path.name for path in (parts / "damaged").rglob("*.parquet")}
    assert aside == {"folder.parquet", "link.parquet", "copy.parquet", second.name}
    (parts / "folder.parquet").mkdir()
    assert run(study_file(), tmp_path, jobs=1, quiet=True).digests() == digests
    assert (parts / "damaged" / "folder.parquet.1").is_dir()


@pytest.mark.parametrize("depth", [0, 1])
def test_contract_a_file_in_the_place_of_a_folder_of_parts_is_set_aside(
    study_file, tmp_path, capfd, whole, depth
):
    folder, digests = whole
    place = min((folder / "parts").glob("*/*/*.parquet")).parents[1 - depth]
    shutil.rmtree(place)
    place.write_text("a file")
    assert run(study_file(), tmp_path, jobs=1).digests() == digests
    assert f"{place}: damaged, or no part; set aside" in capfd.readouterr().err
    assert (folder / "parts" / "damaged" / place.relative_to(folder / "parts")).is_file()


def test_contract_a_part_of_another_study_is_told_or_dropped(study_file, tmp_path, capfd, whole):
    folder, digests = whole
    other = study_file(("0.01 * rng", "0.02 * rng"), ("seed=7", "seed=8"))
    foreign = run(other, tmp_path / "other", jobs=1, quiet=True).folder
    part = sorted((foreign / "parts").glob("*/*/*.parquet"))[0]
    place = folder / part.relative_to(foreign)
    place.parent.mkdir(exist_ok=True)
    shutil.copy(part, place)
    asked = ["run", str(study_file()), "--results", str(tmp_path), "--jobs", "1"]
    assert main(asked) == 2
    refusal = capfd.readouterr().err
    assert refusal.count("\n") == 1
    assert "holds rows of seed 8" in refusal
    assert main([*asked, "--changed", "discard"]) == 0
    assert open_results(folder).digests() == digests


def test_contract_a_part_that_may_not_be_read_is_not_damaged(
    study_file, tmp_path, monkeypatch, whole
):
    folder, digests = whole
    before = everything(folder)
    opened = checksums._opened

    def refuse(path):
        if "parts" in path.parts:
            raise OSError(errno.EMFILE, "Failed to open local file")
        return opened(path)

    with monkeypatch.context() as patch:
        patch.setattr(checksums, "_opened", refuse)
        with pytest.raises(MCStudyError, match=r"cannot be read \(Too many open files\)"):
            run(study_file(), tmp_path, jobs=1, quiet=True)
    assert everything(folder) == before
    assert run(study_file(), tmp_path, jobs=1, quiet=True).digests() == digests


def test_contract_a_clock_that_goes_back_steers_nothing(study_file, tmp_path, monkeypatch, whole):
    import time

    moments = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(moments)))
    results = run(study_file(), tmp_path / "back", jobs=1, quiet=True)
    assert results.digests() == whole[1]
    assert 0 <= results.study["runs"][0]["seconds"] < 600


def full(*arguments, stdout=None, stderr=None):
    """Run the command line with an output on a full disk; return status and what it says."""
    with open("/dev/full", "w") as nowhere:
        done = subprocess.run(
            [sys.executable, "-m", "mcstudy", *map(str, arguments)],
            stdout=nowhere if stdout == "full" else subprocess.PIPE,
            stderr=nowhere if stderr == "full" else subprocess.PIPE,
            text=True,
            check=False,
        )
    return done.returncode, done.stdout or "", done.stderr or ""


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.mark.slow
@needs_full
def test_contract_a_full_output_is_a_line_and_what_was_computed_is_kept(study_file, tmp_path):
    run_it = ["run", study_file(), "--results", tmp_path, "--replicates", "3", "--jobs", "1"]
    status, _, err = full(*run_it, "--quiet", stdout="full")
    assert status == 2
    assert err == (
        "mcstudy: the output cannot be written (No space left on device); what was stored is "
        "whole\n"
    )
    assert len(open_results(tmp_path / "normal").fits) == 24
    assert full("status", tmp_path / "normal", stdout="full")[0] == 2
    run_it[5] = "4"
    status, out, _ = full(*run_it, stderr="full")
    assert status == 0
    assert "Tables: " in out
    assert len(open_results(tmp_path / "normal").fits) == 32


@needs_full
def test_contract_a_full_log_costs_no_work(study_file, tmp_path, capfd):
    results = run(study_file(), tmp_path, replicates=3, jobs=1, log="/dev/full", quiet=True)
    assert len(results.fits) == 24
    assert capfd.readouterr().err == (
        "Note: /dev/full: the log cannot be written (No space left on device); the run goes on "
        "without it\n"
    )


@pytest.mark.slow
def test_contract_no_more_workers_than_work(study_file, tmp_path, capfd, monkeypatch):
    from mcstudy.execution import process_pool, run_loop

    started = []
    init = process_pool._Worker.__init__
    monkeypatch.setattr(
        process_pool._Worker,
        "__init__",
        lambda self, *given: (started.append(self), init(self, *given))[1],
    )
    few = study_file(("n=[5, 10], mean=[0.0, 1.5]", "n=[5], mean=[0.0]"))
    results = run(few, tmp_path, replicates=3, jobs=1_000_000_000, quiet=True)
    assert len(started) == 3
    assert len(results.fits) == 6
    monkeypatch.setattr(run_loop, "workers_for", lambda jobs, replicates: min(jobs, replicates, 2))
    run(few, tmp_path, replicates=9, jobs=1_000_000_000)
    assert len(started) == 5
    assert "Note: 2 workers are started, not 1000000000\n" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["1>&-", "<&- >&- 2>&-"])
def test_contract_closed_streams_cost_no_work(study_file, tmp_path, closed):
    command = f"{sys.executable} -m mcstudy run {study_file()} --results {tmp_path} --jobs 1"
    done = subprocess.run(["bash", "-c", f"{command} {closed}"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert len(open_results(tmp_path / "normal").fits) == 4 * 60 * 2
