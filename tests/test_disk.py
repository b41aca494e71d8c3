"""Trouble on disk: a full one, a read-only one, files that are not ours; what is stored stays."""

import builtins
import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mcstudy import MCStudyError, open_results, run
from mcstudy.cli import main

CODE = (
    "import sys; from mcstudy.cli import main; from mcstudy.runs import jobs; "
    "jobs.JOB_SECONDS = float(sys.argv[1]); sys.exit(main(sys.argv[2:]))"
)


def limited(size, *arguments):
    """Run the command line where no file can be larger than `size` bytes."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.run(
        [sys.executable, "-B", "-c", CODE, "0.005", "run", *map(str, arguments)],
        preexec_fn=limit if size else None,
        capture_output=True,
        text=True,
    )


def everything(folder):
    return {
        p.name: p.read_bytes()
        for p in (*folder.glob("*"), *folder.glob("parts/*.parquet"))
        if p.is_file()
    }


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("full", ["part", "table"])
def test_contract_a_full_disk_costs_nothing_that_is_stored(study_file, tmp_path, full, jobs):
    path = study_file()
    asked = (path, "--results", tmp_path, "--jobs", jobs)
    folder = tmp_path / "normal"
    assert limited(0, *asked, "--replicates", "20").returncode == 0
    before = everything(folder)
    largest = max(len(content) for name, content in before.items() if "-" in name)
    done = limited(largest // 2 if full == "part" else 8 * largest, *asked, "--replicates", "5000")
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done
    assert "cannot be written (File too large); what is stored is whole, run again" in lines[-1]
    assert not [line for line in lines[:-1] if "fits to do, into" not in line]
    assert not list(folder.rglob(".*.tmp"))
    after = everything(folder)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed <= {"study.json"}
    assert full == "part" or len(after) > len(before)
    assert open_results(folder).fits.replicate.max() == 19
    assert limited(0, *asked, "--replicates", "5000").returncode == 0
    plain = run(path, tmp_path / "plain", replicates=5000, jobs=1, quiet=True)
    assert open_results(folder).digests() == plain.digests()


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
    assert "cannot be written" in lines[-1]
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
    part = sorted((folder / "parts").glob("*.parquet"))[1]
    part.write_bytes(damage_of(kind, part.read_bytes()))
    (folder / "estimates.parquet").unlink()
    assert run(study_file(), tmp_path, jobs=1).digests() == digests
    assert f"{part}: damaged, or no part; set aside" in capfd.readouterr().err
    assert (folder / "parts" / "damaged" / part.name).is_file()


def test_contract_what_is_no_part_of_this_condition_is_set_aside(study_file, tmp_path, whole):
    folder, digests = whole
    parts = folder / "parts"
    first, second, third, *_ = sorted(parts.glob("*.parquet"))
    (parts / "folder.parquet").mkdir()
    (parts / "folder.parquet" / "x").write_text("")
    (parts / "link.parquet").symlink_to(parts / "nowhere")
    shutil.copy(first, parts / "copy.parquet")
    second.write_bytes(first.read_bytes())
    third.unlink()
    assert run(study_file(), tmp_path, jobs=1, quiet=True).digests() == digests
    aside = {path.name for path in (parts / "damaged").iterdir()}
    assert aside == {"folder.parquet", "link.parquet", "copy.parquet", second.name}
    (parts / "folder.parquet").mkdir()
    assert run(study_file(), tmp_path, jobs=1, quiet=True).digests() == digests
    assert (parts / "damaged" / "folder.parquet.1").is_dir()


def test_contract_a_part_of_another_study_is_told_or_dropped(study_file, tmp_path, capfd, whole):
    folder, digests = whole
    other = study_file(("0.01 * rng", "0.02 * rng"), ("seed=7", "seed=8"))
    foreign = run(other, tmp_path / "other", jobs=1, quiet=True).folder
    part = sorted((foreign / "parts").glob("*.parquet"))[0]
    shutil.copy(part, folder / "parts" / part.name.replace("-0000000060-", "-0000000061-"))
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
    import pyarrow.parquet as pq

    folder, digests = whole
    before = everything(folder)

    def refuse(path):
        raise OSError(errno.EMFILE, "Failed to open local file")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_metadata", refuse)
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
