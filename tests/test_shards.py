"""Shares of a study, computed apart and collected, are the study."""

import itertools
import shlex
import shutil

import pytest

from mcstudy import MCStudyError, replay, run, status
from mcstudy.cli import main
from mcstudy.execution.collect import collect
from mcstudy.execution.shards import Shard
from mcstudy.grid import grid
from mcstudy.simulation.replicates import Job
from mcstudy.storage.compaction import compact
from mcstudy.storage.manifest import Manifest
from mcstudy.storage.parts import Part
from mcstudy.storage.store import Store


@pytest.fixture
def digests(study_file, tmp_path):
    return run(study_file(), tmp_path / "plain", jobs=1, quiet=True).digests()


@pytest.mark.parametrize("conditions", [1, 3, 30])
@pytest.mark.parametrize("replicates", [1, 7, 99, 100, 1000])
@pytest.mark.parametrize("of", [1, 2, 7, 100])
def test_contract_shares_are_the_study_and_differ_by_one_replicate(conditions, replicates, of):
    cells = list(grid(a=range(conditions)))
    jobs = [Job(cell, 0, replicates, ("m",)) for cell in cells]
    shares = [Shard(k, of).of_jobs(jobs, reversed(cells), replicates) for k in range(1, of + 1)]
    sizes = [sum(map(len, share)) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    for cell in cells:
        own = [j for share in shares for j in share if j.condition == cell]
        edges = [0, *itertools.chain(*((job.start, job.stop) for job in own)), replicates]
        assert edges[::2] == edges[1::2]


@pytest.mark.slow
def test_contract_shares_in_one_folder(study_file, tmp_path, digests):
    for k in (2, 3, 1):
        run(study_file(), tmp_path / "a", part=(k, 3), jobs=1, quiet=True)
        assert not list((tmp_path / "a" / "normal").glob("*.*"))
    done = collect(study_file(), results=tmp_path / "a")
    assert done.results.digests() == digests
    assert done.missing == ()
    assert done.summary == "normal is complete: all 480 fits are there."
    run(study_file(), tmp_path / "a", jobs=1)


@pytest.mark.slow
def test_contract_shares_in_folders_of_their_own_and_of_different_cuts(
    study_file, tmp_path, digests
):
    for k, of in [(1, 2), (2, 3), (3, 3)]:
        run(study_file(), tmp_path / f"{k}_{of}", part=(k, of), jobs=1, quiet=True)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "2_3").rglob("*")}
    folders = [tmp_path / "1_2", tmp_path / "2_3" / "normal", tmp_path / "3_3"]
    for _ in range(2):
        done = collect(study_file(), folders, results=tmp_path / "a", quiet=True)
        assert done.results.digests() == digests
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "2_3").rglob("*")}


@pytest.mark.slow
def test_contract_what_is_missing_is_said_with_the_share_that_computes_it(
    study_file, tmp_path, capfd
):
    path, where = str(study_file()), str(tmp_path / "a")
    for k in (1, 3):
        assert main(["run", path, "--part", f"{k}/3", "--results", where, "--jobs", "1"]) == 0
        assert capfd.readouterr().out == (
            f"Part {k}/3 is in {where}/normal. When all parts are there: "
            f"mcstudy collect {path} --results {where}\n"
        )
    first = min((tmp_path / "a" / "normal" / "parts").glob("*/*/*-0000000000-*"))
    for part in first.parents[2].glob(f"*/*/{first.name}"):
        part.unlink()
    assert main(["collect", path, "--results", where]) == 1
    last = capfd.readouterr().out.splitlines()[-1]
    assert last.startswith("normal is incomplete: 200 of 480 fits are missing: replicates ")
    assert " to 39 of average, jittered at " in last
    run(path, where, part=(2, 3), methods=["average"], jobs=1, quiet=True)
    assert main(["collect", path, "--results", where]) == 1
    again = f"mcstudy run STUDY --part K/3 --results {where} with K = 1 to 2"
    assert capfd.readouterr().out.splitlines()[-1].endswith(f"; to compute them: {again}")
    for k in (1, 2):
        run(path, where, part=(k, 3), jobs=1, quiet=True)
    assert main(["collect", path, "--results", where]) == 0


@pytest.mark.slow
def test_contract_many_missing_shares_are_said_in_short(study_file, tmp_path):
    for k in (2, 3, 7):
        run(study_file(), tmp_path, part=(k, 30), jobs=1, quiet=True)
    summary = collect(study_file(), results=tmp_path, quiet=True).summary
    command = f"mcstudy run STUDY --part K/30 --results {tmp_path}"
    assert summary.endswith(f": {command} with K = 1, 4 to 6, 8 to 30")
    for k in range(4, 28, 2):
        run(study_file(), tmp_path, part=(k, 30), jobs=1, quiet=True)
    summary = collect(study_file(), results=tmp_path, quiet=True).summary
    assert summary.endswith("with K = 1, 5, 9, 11, 13, 15, 17, 19, 21, 23 and 5 more")


def test_contract_a_folder_without_parts_is_no_study_with_all_missing(study_file, tmp_path, capfd):
    path, where = str(study_file()), tmp_path / "mistyped"
    before = sorted(tmp_path.iterdir())
    assert main(["collect", path, "--results", str(where)]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"mcstudy: {where}/normal: holds no parts of normal; name the folder that its shares were "
        "given as --results (results), or compute them first: mcstudy run STUDY --part K/N\n"
    )
    (tmp_path / "empty" / "parts").mkdir(parents=True)
    with pytest.raises(MCStudyError, match=r"given as --results \(results\), .* --part K/N"):
        collect(path, [tmp_path / "empty"], results=where)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "empty"])


def test_contract_who_may_be_at_work_at_the_same_time(study_file, tmp_path):
    store = Store(tmp_path / "normal")
    with store.locked("1-2"):
        run(study_file(), tmp_path, part=(2, 2), jobs=1, quiet=True)
        with pytest.raises(MCStudyError, match="part 1/2 is at work here already"):
            run(study_file(), tmp_path, part=(1, 2), jobs=1, quiet=True)
        with pytest.raises(MCStudyError, match="another run is at work here"):
            run(study_file(), tmp_path, jobs=1, quiet=True)
        with pytest.raises(MCStudyError, match="another run is at work here"):
            collect(study_file(), results=tmp_path)
    with store.locked(), pytest.raises(MCStudyError, match="another run is at work here"):
        run(study_file(), tmp_path, part=(1, 2), jobs=1, quiet=True)


@pytest.mark.slow
def test_contract_marks_are_checked_as_by_run(study_file, tmp_path, digests):
    edited = study_file(("0.01 * rng", "0.02 * rng"), name="edited.py")
    run(edited, tmp_path / "other", part=(1, 2), jobs=1, quiet=True)
    run(study_file(), tmp_path / "a", part=(2, 2), jobs=1, quiet=True)
    before = sorted((tmp_path / "a").rglob("*"))
    with pytest.raises(MCStudyError, match=r"other/normal: changed since .* method 'jittered'"):
        collect(study_file(), [tmp_path / "other"], results=tmp_path / "a")
    assert sorted((tmp_path / "a").rglob("*")) == before
    with pytest.raises(MCStudyError, match="a/normal: changed since"):
        run(edited, tmp_path / "a", part=(1, 2), jobs=1)
    anew = collect(
        study_file(), [tmp_path / "other"], results=tmp_path / "a", changed="discard", quiet=True
    )
    assert "replicates 0 to 29 of jittered at all 4 conditions; to compute" in anew.summary
    kept = collect(
        study_file(), [tmp_path / "other"], results=tmp_path / "b", changed="keep", quiet=True
    )
    assert len(kept.results.fits) == 4 * 30 * 2
    run(study_file(), tmp_path / "a", part=(1, 2), jobs=1, quiet=True)
    assert collect(study_file(), results=tmp_path / "a").results.digests() == digests


@pytest.mark.parametrize("part", ["0/3", "4/3", "x", "3", "1/2/3", "-1/3"])
def test_contract_a_part_that_is_none(study_file, tmp_path, capfd, part):
    path = str(study_file())
    assert main(["run", path, f"--part={part}", "--results", str(tmp_path / "a")]) == 2
    assert "give K/N with K from 1 to N" in capfd.readouterr().err
    assert not (tmp_path / "a").exists()


def test_contract_a_share_cannot_settle_changes_and_a_folder_must_hold_parts(study_file, tmp_path):
    with pytest.raises(MCStudyError, match="before the shares start: mcstudy collect STUDY"):
        run(study_file(), tmp_path, part=(1, 2), changed="keep")
    with pytest.raises(MCStudyError, match="nowhere: holds no parts of normal"):
        collect(study_file(), [tmp_path / "nowhere"], results=tmp_path)


@pytest.mark.slow
def test_contract_precision_goes_on_where_the_shares_end(study_file, tmp_path):
    path = study_file(("seed=7,", 'seed=7, precision={"bias": 0.05}, max_replicates=200,'))
    whole = run(path, tmp_path / "whole", jobs=1, quiet=True)
    for k in (1, 2):
        run(path, tmp_path / "a", part=(k, 2), jobs=1, quiet=True)
    lacking = collect(path, results=tmp_path / "a", quiet=True)
    assert "of those that the precision asks for by now are missing: " in lacking.summary
    assert lacking.summary.endswith(
        f"; to compute them: mcstudy run STUDY --results {tmp_path / 'a'}"
    )
    assert run(path, tmp_path / "a", jobs=1, quiet=True).digests() == whole.digests()
    done = collect(path, results=tmp_path / "a", quiet=True)
    assert done.summary.startswith("normal is complete: no condition needs more replicates")
    assert done.results.digests() == whole.digests()


@pytest.mark.slow
def test_contract_collecting_again_brings_back_no_row_that_was_retried(
    study_file, tmp_path, monkeypatch
):
    bad_day = "    import os\n    if sample[0] > 1 and 'BAD_DAY' in os.environ: raise OSError\n"
    path = study_file(("    se =", f"{bad_day}    se ="))
    nodes = [tmp_path / "1", tmp_path / "2"]
    monkeypatch.setenv("BAD_DAY", "1")
    for number, node in enumerate(nodes, 1):
        run(path, node, part=(number, 2), jobs=1, quiet=True)
    where = {"results": tmp_path / "all", "quiet": True}
    assert collect(path, nodes, **where).results.fits["status"].eq("error").any()
    monkeypatch.delenv("BAD_DAY")
    retried = run(path, tmp_path / "all", retry=["error"], jobs=1, quiet=True)
    digests = retried.digests()
    assert retried.fits["status"].eq("ok").all()
    assert collect(path, nodes, **where).results.digests() == digests


@pytest.mark.slow
def test_contract_of_a_part_that_is_here_by_half_the_other_half_is_collected(
    study_file, tmp_path, monkeypatch
):
    bad_day = "    import os\n    if sample[0] > 1 and 'BAD_DAY' in os.environ: raise OSError\n"
    path = study_file(("    se =", f"{bad_day}    se ="))
    here, there = ({"results": tmp_path / name, "jobs": 1, "quiet": True} for name in "ab")
    monkeypatch.setenv("BAD_DAY", "1")
    run(path, replicates=20, **here)
    run(path, **there)
    monkeypatch.delenv("BAD_DAY")
    run(path, replicates=20, retry=["error"], **here)
    joined = collect(path, [there["results"]], results=here["results"], quiet=True)
    assert not joined.missing
    failed = joined.results.fits.query("status == 'error'")
    assert len(failed)
    assert failed["replicate"].min() >= 20


@pytest.mark.slow
def test_contract_code_changed_back_is_that_of_the_rows_in_the_tables(study_file, tmp_path):
    path = study_file()
    where = {"results": tmp_path / "b", "jobs": 1, "quiet": True}
    a = run(path, tmp_path / "a", replicates=20, jobs=1, quiet=True)
    study_file(("sample.mean()", "(sample.mean() + 9)"))
    run(path, **where)
    collect(path, [tmp_path / "a"], results=tmp_path / "b", changed="keep", quiet=True)
    study_file()
    back = run(path, changed="keep", **where).estimates.query("replicate < 20")
    assert back["estimate"].tolist() == a.estimates["estimate"].tolist()


def test_contract_status_counts_shares_made_by_two_versions_of_the_code(study_file, tmp_path):
    run(study_file(), tmp_path, part=(1, 2), jobs=1, quiet=True)
    other = study_file(("sample.mean(), se,", "sample.mean() + 1, se,"))
    (tmp_path / "normal").rename(tmp_path / "first")
    run(other, tmp_path, part=(2, 2), jobs=1, quiet=True)
    shutil.copytree(tmp_path / "first" / "parts", tmp_path / "normal" / "parts", dirs_exist_ok=True)
    assert status(tmp_path / "normal").fits.done.tolist() == [60] * 8


@pytest.mark.slow
def test_contract_a_command_line_can_be_pasted_whatever_the_folder_is_called(
    study_file, tmp_path, capfd
):
    path, where = str(study_file()), str(tmp_path / "two words")
    assert main(["run", path, "--results", where, "--part", "1/2", "--jobs", "1"]) == 0
    assert main(["collect", path, "--results", where]) == 1
    command = capfd.readouterr().out.splitlines()[-1].rpartition("to compute them: ")[2]
    assert main([path if word == "STUDY" else word for word in shlex.split(command)[1:]]) == 0
    assert main(["collect", path, "--results", where]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["rows", "measures"])
@pytest.mark.parametrize("step", ["listed", "read"])
def test_contract_parts_joined_while_one_looks_are_not_lost(
    study_file, tmp_path, monkeypatch, keep, step
):
    path = study_file(("seed=7", f"seed=7, keep={keep!r}"))
    run(path, tmp_path, replicates=20, jobs=1, quiet=True)
    for number in (1, 2):
        run(path, tmp_path, part=(number, 2), jobs=1, quiet=True)
    (folder,) = (path.parent for path in tmp_path.glob("*/parts"))
    before, joined = status(folder), []
    of, name = (Store, "parts") if step == "listed" else (Part, "rows")
    function = getattr(of, name)

    def joining(*arguments):
        found = function(*arguments)
        if not joined:
            joined.append(True)
            compact(Store(folder), fewest=2)
        return found

    monkeypatch.setattr(of, name, joining)
    assert Store(folder).strays() == []
    for look in (status(folder), status(folder)):
        assert not look.damaged
        assert look.fits.equals(before.fits)


def test_contract_a_replay_finds_what_is_joined_meanwhile(study_file, tmp_path, monkeypatch):
    path = study_file()
    for number in (1, 2):
        run(path, tmp_path, part=(number, 2), jobs=1, quiet=True)
    (folder,) = (path.parent for path in tmp_path.glob("*/parts"))
    listed, joined = Manifest.stored, []

    def joining(manifest):
        found = listed(manifest)
        if not joined:
            joined.append(True)
            compact(Store(folder), fewest=2)
        return found

    monkeypatch.setattr(Manifest, "stored", joining)
    again = replay(path, "n=5, mean=0", 1, results=tmp_path)
    assert joined
    assert again.equal
    assert not again.unstored
