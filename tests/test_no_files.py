"""What stands where a file should: a pipe, a folder, a link. Nobody hangs, nobody raises."""

import os
import shutil
import subprocess
import sys

import pytest

from mcstudy import run
from mcstudy.cli import main

SPOTS = ("part", "performance.parquet", "fits.parquet", "study.json", ".lock", ".share-1-2")
VERBS = """
import sys
from mcstudy.cli import main
path, folder, results = sys.argv[1:]
for verb in (
    ["status", folder],
    ["table", folder, "--measure", "bias"],
    ["failures", folder],
    ["compare", folder, folder],
    ["compare", folder, "--methods", "average,jittered"],
    ["replay", folder, "--study", path, "--condition", "n=5, mean=0", "--replicate", "1"],
    ["summarize", folder],
    ["collect", path, "--results", results],
    ["run", path, "--results", results, "--jobs", "1", "--quiet"],
):
    status = main(verb)
    print("STATUS", verb[0], status, flush=True)
    assert status in (0, 1, 2, 3), (verb, status)
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    from conftest import HEADER, NORMAL, STUDY

    folder = tmp_path_factory.mktemp("stored")
    path = folder / "study_file.py"
    path.write_text(HEADER + NORMAL + STUDY)
    run(path, folder / "results", replicates=4, jobs=1, quiet=True)
    return path, folder / "results"


def make(kind, path):
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "within").touch()
    elif kind == "link to a text":
        path.symlink_to("/etc/passwd")
    elif kind == "dangling link":
        path.symlink_to("/none/none")
    elif kind == "loop":
        path.symlink_to(path)


@pytest.mark.parametrize(
    ("kind", "spot"),
    [
        *((kind, spot) for kind in ("pipe", "folder") for spot in SPOTS),
        *((kind, "part") for kind in ("link to a text", "dangling link", "loop")),
        ("link to a text", "study.json"),
        ("loop", "performance.parquet"),
    ],
)
def test_contract_no_verb_hangs_or_raises(stored, tmp_path, kind, spot):
    path, results = stored
    shutil.copytree(results, tmp_path / "results")
    folder = tmp_path / "results" / "normal"
    parts = folder / "parts"
    where = min(parts.glob("*.parquet")) if spot == "part" else None
    make(kind, where or (parts / spot if spot.startswith(".") else folder / spot))
    done = subprocess.run(
        [sys.executable, "-c", VERBS, path, folder, tmp_path / "results"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "KeyError" not in done.stderr
    if spot == "part":
        assert "STATUS run 0" in done.stdout
        assert len(list((parts / "damaged").iterdir())) == 1
    for line in done.stderr.splitlines():
        assert len(line) < 600


def test_contract_a_share_of_an_odd_name_is_none(stored, tmp_path, capfd):
    path, results = stored
    shutil.copytree(results, tmp_path / "results")
    (tmp_path / "results" / "normal" / "parts" / ".share-x").touch()
    assert main(["collect", str(path), "--results", str(tmp_path / "results")]) == 1
    assert "normal is incomplete" in capfd.readouterr().out
