"""The tables of a folder: they change all together, or it is said; no good one gets poorer."""

import contextlib
import os
import shutil

import pytest

from mcstudy import MCStudyError, open_results, run, summarize
from mcstudy.cli import main
from mcstudy.execution import run_loop, scheduler
from mcstudy.storage import table_set
from mcstudy.storage.store import Store
from mcstudy.storage.table_set import OtherStateError

VERBS = (
    ("table", "--measure", "bias"),
    ("table", "--measure", "bias_difference"),
    ("failures",),
    ("compare", "--methods", "average,jittered"),
    ("compare", "--methods", "average,jittered", "--equivalence"),
    ("anova", "--measure", "bias"),
)


@pytest.fixture
def small(study_file, tmp_path):
    """A study of which 5 replicates are stored, and what 5 and 10 give."""
    path = study_file(("=60", "=10"))
    few = run(path, tmp_path, replicates=5, jobs=1, quiet=True)
    many = run(path, tmp_path / "many", jobs=1, quiet=True)
    return path, few.folder, (few.digests(), many.digests())


def parts_of(folder):
    return sorted((folder / "parts").glob("*/*/*.parquet"))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def one_line(capfd, *arguments):
    capfd.readouterr()
    assert main(list(map(str, arguments))) == 2, arguments
    err = capfd.readouterr().err
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("renamed", range(8))
def test_contract_tables_of_two_states_are_told_of(small, tmp_path, monkeypatch, capfd, renamed):
    """A kill among the renames, after the last one as well: study.json is the last to change."""
    path, folder, (_, whole) = small
    replace, done = os.replace, []

    def killed(source, target):
        if table_set.MADE in str(source) and table_set.MADE not in str(target):
            if len(done) == renamed:
                raise KeyboardInterrupt
            done.append(target)
        elif len(done) == 7:  # study.json
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run(path, tmp_path, jobs=1, quiet=True)
    assert len(done) == renamed
    assert not (folder / table_set.MADE).exists()
    results = open_results(folder)
    for name in ("fits", "estimates", "intervals", "timings"):
        with contextlib.suppress(OtherStateError):
            assert getattr(results, name).replicate.max() == 4
    with contextlib.suppress(OtherStateError):
        assert results.performance.replicates.max() == 5
    if renamed > 5:  # in the order of names
        assert "mcstudy summarize" in one_line(capfd, "table", folder, "--measure", "bias")
    assert summarize(folder).digests() == whole
    assert run(path, tmp_path, jobs=1, quiet=True).digests() == whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conditions", "fits", "estimates", "performance", "comparisons"])
@pytest.mark.parametrize("how", ["junk", "gone", "other", "zeros", "cut", "folder"])
def test_contract_a_table_that_is_not_ours_is_one_line(small, tmp_path, capfd, name, how):
    path, folder, (whole, _) = small
    table = folder / f"{name}.parquet"
    content = table.read_bytes()
    table.unlink()
    if how == "other":
        shutil.copy(tmp_path / "many" / "normal" / table.name, table)
        if table.read_bytes() == content:
            return
    elif how == "folder":
        table.mkdir()
    elif how != "gone":
        hurt = {"junk": b"junk", "zeros": bytes(len(content)), "cut": content[:-9]}[how]
        table.write_bytes(hurt)
    for verb, *rest in VERBS:
        capfd.readouterr()
        told = main([verb, str(folder), *rest])
        err = capfd.readouterr().err
        assert told == 0 or (told == 2 and err.count("\n") == 1), (verb, err)
    with pytest.raises(MCStudyError):
        getattr(open_results(folder), name)
    if how == "folder":
        table.rmdir()
    assert run(path, tmp_path, replicates=5, jobs=1, quiet=True).digests() == whole


def test_contract_what_was_opened_before_a_run_is_not_mixed_with_what_it_made(small, tmp_path):
    path, folder, _ = small
    read, unread = open_results(folder), open_results(folder)
    assert read.fits.replicate.max() == 4
    assert unread.study["replicates"] == 5
    run(path, tmp_path, jobs=1, quiet=True)
    with pytest.raises(MCStudyError, match="a run has replaced the tables since they were opened"):
        _ = read.estimates
    with pytest.raises(MCStudyError, match="a run has replaced the tables since they were opened"):
        read.compare("average", "jittered")
    assert unread.estimates.replicate.max() == 9
    assert unread.study["replicates"] == 10


def test_contract_a_reader_looks_again_while_tables_are_replaced(small, tmp_path, monkeypatch):
    path, folder, _ = small
    old = (folder / "study.json").read_bytes()
    run(path, tmp_path, jobs=1, quiet=True)
    new = (folder / "study.json").read_bytes()
    (folder / "study.json").write_bytes(old)
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            (folder / "study.json").write_bytes(new)

    monkeypatch.setattr(table_set.time, "sleep", nap)
    with Store(folder).locked():
        assert open_results(folder).fits.replicate.max() == 9
    assert len(naps) == 3


def delete_a_condition(folder):
    name = parts_of(folder)[0].name
    for part in parts_of(folder):
        if part.name == name:
            part.unlink()


def test_contract_no_verb_replaces_tables_by_poorer_ones(small, tmp_path, capfd):
    path, folder, (whole, _) = small
    before = content(folder)
    delete_a_condition(folder)
    err = one_line(capfd, "summarize", folder)
    assert "the tables rest on 5 replicates of 'average' at mean=" in err
    assert "the tables stay as they are" in err
    assert main(["collect", str(path), "--results", str(tmp_path)]) == 1
    assert "Note: the tables rest on 5 replicates of 'average'" in capfd.readouterr().err
    for asked, said in (
        (
            ["--replicates", "4"],
            "'average' at mean=0, n=10, of which only 4 are stored, and likewise in 1 more cell",
        ),
        (
            ["--replicates", "5", "--methods", "average"],
            "'jittered' at mean=0, n=10, of which only 4 are",
        ),
    ):
        assert main(["run", str(path), "--results", str(tmp_path), "--jobs", "1", *asked]) == 0
        err = capfd.readouterr().err
        assert said in err
        assert err.count("the tables stay as they are") == 1
        assert content(folder) == before
    assert run(path, tmp_path, replicates=5, jobs=1, quiet=True).digests() == whole
    for part in parts_of(folder):
        part.unlink()
    assert "the tables rest on 5 replicates" in one_line(capfd, "summarize", folder)
    assert content(folder).keys() == before.keys()
    for table in folder.glob("*.parquet"):
        table.unlink()
    assert "holds no rows of its study, so no tables are made" in one_line(
        capfd, "summarize", folder
    )
    assert not list(folder.glob("*.parquet"))


def test_contract_deleted_tables_are_made_of_what_is_left(small, capfd):
    _, folder, _ = small
    delete_a_condition(folder)
    for table in folder.glob("*.parquet"):
        table.unlink()
    assert main(["summarize", str(folder)]) == 0
    assert len(open_results(folder).fits) == 30


def test_contract_a_run_cut_off_leaves_the_better_tables(small, tmp_path, monkeypatch):
    """It looks at its tables after every job, and is stopped half-way."""
    path, folder, _ = small
    before = content(folder)
    for part in parts_of(folder):
        part.unlink()
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.0)
    monkeypatch.setattr(run_loop, "LOOK_SECONDS", -1.0)
    monkeypatch.setattr(run_loop, "_LOOK_SHARE", -1)
    add, added = Store.add, []

    def stopped(store, part):
        add(store, part)
        added.append(part)
        if len(added) == 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(path, tmp_path, jobs=1, quiet=True)
    assert content(folder) == before
    assert open_results(folder).fits.replicate.max() == 4


def test_contract_discarding_says_that_tables_may_change(small, tmp_path):
    path, *_ = small
    path.write_text(path.read_text().replace("0.01 * rng", "0.02 * rng"))
    anew = run(path, tmp_path, replicates=3, jobs=1, quiet=True, changed="discard")
    assert anew.fits.query("method == 'jittered'").replicate.max() == 2


def test_contract_parts_of_another_study_never_take_the_place_of_ours(
    small, tmp_path, study_file, capfd
):
    path, folder, (whole, _) = small
    edits = ("=60", "=10"), ("seed=7", "seed=8"), ("0.01 * rng", "0.02 * rng")
    other = study_file(*edits, name="other.py")
    foreign = run(other, tmp_path / "other", replicates=5, jobs=1, quiet=True).folder
    shutil.copytree(foreign / "parts", folder / "parts", dirs_exist_ok=True)
    assert len(parts_of(folder)) == 16
    assert summarize(folder).digests() == whole
    assert "holds rows of seed 8" in one_line(capfd, "run", path, "--results", tmp_path)
    assert open_results(folder).digests() == whole
    for part in parts_of(folder):
        if not (foreign / part.relative_to(folder)).exists():
            part.unlink()
    before = content(folder)
    assert "the tables rest on 5" in one_line(capfd, "summarize", folder)
    assert content(folder) == before


def test_contract_measures_of_ones_own_stay_where_the_study_file_is_gone(
    study_file, tmp_path, capfd
):
    own = ("seed=7,", "seed=7, measures={'largest': lambda estimate: abs(estimate).max()},")
    path = study_file(("=60", "=5"), own)
    results = run(path, tmp_path, jobs=1, quiet=True)
    before = content(results.folder)
    path.rename(tmp_path / "moved.py")
    assert "study_file.py is gone; say where it is now: --study FILE" in one_line(
        capfd, "summarize", results.folder
    )
    assert content(results.folder) == before


def test_contract_what_is_missing_has_its_name(study_file, tmp_path, capsys):
    folder = run(study_file(), tmp_path, jobs=1, quiet=True, replicates=3).folder
    (folder / "performance.parquet").unlink()
    assert main(["table", str(folder), "--measure", "bias"]) == 2
    assert "its table performance.parquet is missing" in capsys.readouterr().err
    run(study_file(), tmp_path, jobs=1, quiet=True, replicates=3)
    (folder / "study.json").unlink()
    for verb in (["status"], ["summarize"], ["table", "--measure", "bias"]):
        assert main([verb[0], str(folder), *verb[1:]]) == 2
        assert "its study.json is missing, so nothing says what" in capsys.readouterr().err


@pytest.mark.slow
def test_contract_unusable_is_not_said_of_another_state(study_file, tmp_path):
    path = study_file(("se = sample.std", "raise KeyError('x'); se = sample.std"))
    results = run(path, tmp_path, jobs=1, quiet=True, replicates=3)
    assert len(results.unusable) == 1
    run(path, tmp_path, jobs=1, quiet=True, replicates=5)
    with pytest.raises(MCStudyError, match="has replaced the tables"):
        _ = results.unusable
