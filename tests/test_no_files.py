"""What stands where a file should: a pipe, a folder, a link. Nobody hangs, nobody raises."""

import shutil
import subprocess
import sys

import pytest

from mcstudy import run
from mcstudy.cli import main

VERBS = """
import os, shutil, sys
from pathlib import Path
from mcstudy.cli import main

path, stored, work, kind = sys.argv[1:]


def put(spot):
    if spot.is_dir():
        shutil.rmtree(spot)
    spot.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(spot)
    elif kind == "folder":
        spot.mkdir()
        (spot / "within").touch()
    else:
        target = {"link to a text": "/etc/passwd", "dangling link": "/none/none"}
        spot.symlink_to(target.get(kind, spot))


for place in ("part", "performance.parquet", "fits.parquet", "study.json", ".lock", ".share-1-2"):
    results = Path(work, place, "results")
    shutil.copytree(stored, results)
    folder = results / "normal"
    if place == "part":
        put(min((folder / "parts").glob("*/*/*.parquet")))
    else:
        put((folder / "parts" if place.startswith(".") else folder) / place)
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
        status = main(list(map(str, verb)))
        print("STATUS", place, verb[0], status, flush=True)
        assert status in (0, 1, 2, 3), (place, verb, status)
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    from conftest import HEADER, NORMAL, STUDY

    folder = tmp_path_factory.mktemp("stored")
    path = folder / "study_file.py"
    path.write_text(HEADER + NORMAL + STUDY)
    run(path, folder / "results", replicates=4, jobs=1, quiet=True)
    return path, folder / "results"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "pipe",
        *(
            pytest.param(kind, marks=pytest.mark.xslow)
            for kind in ("folder", "link to a text", "dangling link", "loop")
        ),
    ],
)
def test_contract_no_verb_hangs_or_raises(stored, tmp_path, kind):
    path, results = stored
    done = subprocess.run(
        [sys.executable, "-c", VERBS, path, results, tmp_path, kind],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "KeyError" not in done.stderr
    assert "STATUS part run 0" in done.stdout
    assert "damaged, or no part; set aside" in done.stdout + done.stderr or kind == "pipe"
    for line in done.stderr.splitlines():
        assert len(line) < 600


def test_contract_a_share_of_an_odd_name_is_none(stored, tmp_path, capfd):
    path, results = stored
    shutil.copytree(results, tmp_path / "results")
    (tmp_path / "results" / "normal" / "parts" / ".share-x").touch()
    assert main(["collect", str(path), "--results", str(tmp_path / "results")]) == 1
    assert "normal is incomplete" in capfd.readouterr().out
