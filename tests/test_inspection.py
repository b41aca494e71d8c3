"""Looking at a folder of results: status, replay, summarize; while a run is at work, too."""

import json
import pickle
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_failures import TROUBLE

from mcstudy import (
    Estimate,
    MCStudyError,
    Study,
    collect,
    grid,
    nested,
    open_results,
    replay,
    run,
    status,
    summarize,
)
from mcstudy.analysis.query import find_condition
from mcstudy.cli import main
from mcstudy.inspection.save import data_text, save_data
from mcstudy.storage import parts
from mcstudy.storage.parts import Part
from mcstudy.storage.store import Store

MOODY_WHEN_TOLD = (
    "def average(sample):",
    "import os\ndef average(sample):\n    if os.environ.get('MCSTUDY_TEST_MOOD'):\n"
    "        raise ValueError('mood')",
)


@pytest.fixture
def results(study_file, tmp_path):
    path = study_file(body=TROUBLE)
    return run(path, tmp_path / "results", replicates=100, jobs=1, quiet=True)


def one_of_each(results):
    """Return condition, replicate and method of a fit of each status, simulate's own too."""
    fits = results.fits.assign(
        kind=results.fits.status
        + results.fits.message.fillna("").str.startswith("simulate: Runtime").map(str)
    )
    return fits.drop_duplicates(["method", "kind"])[["condition", "replicate", "method", "status"]]


@pytest.mark.slow
def test_contract_a_replay_is_what_was_stored_for_every_status(results):
    fits = one_of_each(results)
    assert set(fits.status) == {"ok", "boundary", "not_finite", "error"}
    for condition, replicate, method, ended in fits.itertuples(index=False):
        again = replay(results, condition, replicate, method=method)
        assert again.equal is True
        assert again.answers[method].status == ended
        assert (again.answers[method].traceback != "") == (ended == "error")
        rows = results.estimates.query(
            "condition == @condition and replicate == @replicate and method == @method"
        )
        if ended == "ok":
            shown = again.answers[method].estimates
            assert shown.estimate.tolist() == rows.estimate.tolist()
            assert shown.truth.tolist() == rows.truth.tolist()


def test_contract_a_replay_shows_data_warnings_and_the_users_traceback(results):
    fits = results.fits
    warned = fits[fits.message.fillna("").str.contains("so so")].iloc[0]
    text = str(replay(results, warned.condition, int(warned.replicate)))
    assert "ndarray of shape (5,)" in text
    assert "UserWarning: so so (x2)" in text
    raised = fits[fits.message == "ValueError: mood 0"].iloc[0]
    again = replay(results.folder, raised.condition, int(raised.replicate), method="moody")
    assert again.answers["moody"].traceback.startswith("Traceback (most recent call last):\n")
    assert 'raise ValueError(f"mood {mood}")' in again.answers["moody"].traceback
    assert "attempt.py" not in again.answers["moody"].traceback
    slipped = fits[fits.message.fillna("").str.startswith("simulate: Runtime")].iloc[0]
    nothing = replay(results, slipped.condition, int(slipped.replicate))
    assert nothing.data is None
    assert "the machine slipped" in str(nothing)
    assert nothing.equal is True


def test_contract_a_replay_says_what_changed_and_what_differs(study_file, tmp_path):
    results = run(study_file(), tmp_path, replicates=3, jobs=1, quiet=True)
    study_file(("0.01 * rng", "0.02 * rng"))
    again = replay(results, "n=5, mean=0", 2)
    assert again.equal is False
    assert not again.answers["average"].differences(again.stored["average"])
    text = str(again)
    assert "Changed since the rows were made: the code of method" in text
    assert "method jittered: NOT what is stored\n  estimate mean: " in text
    assert "method average: equal to what is stored, bit for bit" in text
    assert replay(results, "n=5, mean=0", 3).equal is None


def discarded(study_file, folder):
    """Run with an old version of a method, then discard and compute it anew; return the results."""
    run(study_file(), folder, replicates=4, jobs=1, quiet=True)
    path = study_file(("0.01 * rng", "0.02 * rng"))
    options = {"replicates": 4, "jobs": 1, "quiet": True, "methods": ["jittered"]}
    return run(path, folder, changed="discard", **options)


@pytest.mark.slow
def test_contract_a_replay_compares_with_the_rows_that_count(study_file, tmp_path):
    results = discarded(study_file, tmp_path)
    for source in (results, tmp_path / "study_file.py"):
        for condition in results.conditions.condition:
            again = replay(source, condition, 2, results=results.folder, trust=True)
            assert again.equal is True
            assert again.unstored == []
    assert replay(results, condition, 2, method="jittered", trust=True).equal is True


def test_contract_a_replay_of_what_the_last_run_left_out_finds_its_rows(study_file, tmp_path):
    path = study_file()
    run(path, tmp_path, replicates=4, jobs=1, quiet=True)
    fewer = study_file(("n=[5, 10]", "n=[5]"), (', "jittered": jittered', ""), name="fewer.py")
    folder = run(fewer, tmp_path, replicates=4, jobs=1, quiet=True).folder
    again = replay(path, "n=10, mean=0", 3, results=folder)
    assert again.equal is True
    assert again.unstored == []


@pytest.mark.slow
def test_contract_of_a_fit_that_is_there_twice_status_tells_what_the_tables_have(
    study_file, tmp_path
):
    path = study_file(MOODY_WHEN_TOLD)
    shares = tmp_path / "shares"
    run(path, shares, replicates=120, part=(1, 2), jobs=1, quiet=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MCSTUDY_TEST_MOOD", "1")
        run(path, tmp_path / "twice", replicates=135, part=(2, 3), jobs=1, quiet=True)
    collected = collect(path, [shares, tmp_path / "twice"], results=tmp_path / "all", quiet=True)
    fits = collected.results.fits
    errors = (fits.status == "error").sum()
    assert errors == 30 * 4
    assert status(collected.results).fits.failed.sum() == errors
    failed = fits[fits.status == "error"].iloc[0]
    where = (failed.condition, int(failed.replicate))
    assert replay(collected.results, *where, trust=True).stored["average"].status == "error"
    first = replay(collected.results, failed.condition, 50, trust=True)
    assert first.stored["average"].status == "ok"


@pytest.mark.slow
def test_contract_only_rows_that_count_are_retried(study_file, tmp_path):
    slow = "def jittered(sample, rng):\n    import time; time.sleep(WAIT)"
    told = ("def jittered(sample, rng):", slow)
    limit = ("seed=7,", "seed=7, time_limit={'jittered': 0.05},")
    few = {"replicates": 2, "jobs": 1, "quiet": True}
    path = study_file((told[0], told[1].replace("WAIT", "0.3")), limit)
    ran = run(path, tmp_path, **few)
    assert (ran.fits.status == "timeout").sum() == 8
    path = study_file((told[0], told[1].replace("WAIT", "0.0")), limit)
    run(path, tmp_path, changed="discard", methods=["jittered"], **few)
    log = tmp_path / "log"
    run(path, tmp_path, retry=["timeout"], log=log, **few)
    assert "0 fits with status timeout to retry" in log.read_text()


def test_contract_a_study_of_a_session_is_replayed_with_the_study(tmp_path):
    def simulate(rng, *, n):
        return pd.DataFrame({"x": rng.normal(size=n)})

    study = Study(
        name="session",
        simulate=simulate,
        estimands=lambda *, n: {"mean": 0.0},
        methods={"mean": lambda frame: {"mean": Estimate(frame.x.mean())}},
        conditions=grid(n=[4, 6]),
        replicates=5,
        seed=1,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    again = replay(study, {"n": 6}, 4, results=tmp_path)
    assert again.equal is True
    assert again.data.equals(again.simulate())
    assert "DataFrame, 6 rows" in str(again)
    assert replay(study, "n=6", 4, results=results.folder).equal is True
    with pytest.raises(MCStudyError, match=r"made in a session.*replay\(study"):
        replay(results, "n=6", 4)


def test_contract_batched_methods_and_data_of_the_family_are_replayed(tmp_path):
    study = Study(
        name="family",
        simulate=nested.generate_nested,
        estimands=nested.variances,
        methods={"reml": nested.reml},
        conditions=grid(
            n_group1=[4], n_group2=[3], n_rep=[2], group1_sd=[0.5], group2_sd=[1.0],
            unexplained_sd=[1.0],
        ),
        replicates=40,
        seed=1,
    )  # fmt: skip
    run(study, tmp_path, jobs=1, quiet=True)
    for replicate in (0, 17, 39):
        again = replay(study, "n_rep=2", replicate, results=tmp_path)
        assert again.equal is True
    assert "NestedData, 24 rows" in str(again)
    save_data(again.data, tmp_path / "data.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "data.parquet"), again.data.frame)


def restatus(results, word):
    """Write over the status of every stored row."""
    for path in (results.folder / "parts").glob("*/*/*.parquet"):
        table = pq.read_table(path)
        index = table.column_names.index("status")
        word_column = pa.array([word] * table.num_rows).dictionary_encode()
        head = parts.read_head(path)
        part = parts.new_part(table.set_column(index, "status", word_column), head)
        path.write_bytes(part.content)


@pytest.mark.slow
def test_contract_what_crashed_or_hung_is_not_fitted_again_unless_forced(study_file, tmp_path):
    results = run(study_file(), tmp_path, replicates=3, jobs=1, quiet=True)
    restatus(results, "crashed")
    again = replay(results, "n=5, mean=0", 2)
    assert again.answers == {}
    assert len(again.data) == 5
    assert "ended as crashed, which could end this process as well" in str(again)
    forced = replay(results, "n=5, mean=0", 2, force=True)
    assert forced.answers["average"].differences(forced.stored["average"]) == [
        "status: 'ok', stored 'crashed'"
    ]
    assert status(results).fits.failed.tolist() == [3] * 8


LEVELS = grid(n=[5, 10], shape=["t(5)", "contaminated(0.1, 5)", "7"], scale=[0.5, 1.0, None])


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        ('n=5, scale=1, shape="t(5)"', 'n=5, scale=1, shape="t(5)"'),
        ("shape=t(5),scale= 1.0 , n=5", 'n=5, scale=1, shape="t(5)"'),
        ("scale=None, n=10, shape=7", 'n=10, scale=None, shape="7"'),
        (
            "n=5, shape=contaminated(0.1, 5), scale=.5",
            'n=5, scale=0.5, shape="contaminated(0.1, 5)"',
        ),
        ({"shape": "7", "n": 5, "scale": 0.5}, 'n=5, scale=0.5, shape="7"'),
    ],
)
def test_contract_a_condition_is_found_by_its_factors_in_any_order(wanted, key):
    assert find_condition(wanted, LEVELS).key == key


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("n=6", "no condition 'n=6'; there are: n=5, scale=0.5, shape=\"t.5.\" | .* 10 more"),
        ("n=5, scale=1", "fits 3 conditions: n=5, scale=1"),
        ("m=6", "no factor 'm'; the factors are n, scale, shape"),
        ("scal=6, n=5", r"no factor 'scal' \(did you mean 'scale'\?\); the factors are n"),
        ("six", "'six' is no condition; write name=level"),
        ("n=5, scale=1, n=10", "says twice what 'n' is; say it once"),
    ],
)
def test_contract_an_unknown_or_ambiguous_condition_lists_the_candidates(wanted, message):
    with pytest.raises(MCStudyError, match=message):
        find_condition(wanted, LEVELS)


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_contract_frames_of_any_library_are_saved_as_tables(tmp_path, library):
    frame = pd.DataFrame({"frame": [1.0, 2.0], "b": ["x", "y"]})
    data = {
        "pandas": lambda: frame,
        "polars": lambda: pytest.importorskip("polars").from_pandas(frame),
        "arrow": lambda: pytest.importorskip("pyarrow").Table.from_pandas(frame),
    }[library]()
    save_data(data, tmp_path / "data.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "data.csv"), frame)
    assert "2 rows" in data_text(data)


def test_contract_data_is_saved_by_suffix(tmp_path):
    sample = np.array([[1.0, 2.0], [3.0, 4.5]])
    for suffix, back in ((".parquet", pd.read_parquet), (".csv", pd.read_csv)):
        save_data(sample, tmp_path / f"data{suffix}")
        assert (back(tmp_path / f"data{suffix}").to_numpy() == sample).all()
    save_data({"any": object}, tmp_path / "data.pkl")
    assert pickle.loads((tmp_path / "data.pkl").read_bytes()) == {"any": object}
    with pytest.raises(MCStudyError, match=r"a int is no table; save it as .*x\.pkl"):
        save_data(3, tmp_path / "x.csv")
    with pytest.raises(MCStudyError, match=r"cannot save as '.sav'; use"):
        save_data(sample, tmp_path / "x.sav")
    with pytest.raises(MCStudyError, match=r"there is no folder .*none; make it, or name another"):
        save_data(sample, tmp_path / "none" / "x.csv")


@pytest.mark.parametrize("name", ["data.xyz", "data", "none/data.csv", "."])
def test_contract_a_file_that_cannot_be_written_is_refused_before_the_work(
    study_file, tmp_path, capfd, monkeypatch, name
):
    folder = run(study_file(), tmp_path, replicates=1, jobs=1, quiet=True).folder
    monkeypatch.setattr("mcstudy.inspection.replay.replay", None)
    command = ["replay", str(folder), "--condition", "n=5, mean=0", "--replicate", "0"]
    assert main([*command, "--save", str(tmp_path / name)]) == 2
    assert capfd.readouterr().err.startswith(f"mcstudy: {tmp_path / name}: ")


@pytest.mark.slow
def test_contract_the_replay_verb(study_file, tmp_path, capfd, monkeypatch):
    path = study_file()
    folder = run(path, tmp_path, replicates=3, jobs=1, quiet=True).folder
    command = ["replay", str(folder), "--condition", "mean=0,n=5", "--replicate", "2"]
    saved = tmp_path / "data.csv"
    assert main([*command, "--save", str(saved)]) == 0
    assert "method average: equal to what is stored, bit for bit" in capfd.readouterr().out
    assert len(pd.read_csv(saved)) == 5
    monkeypatch.setattr("builtins.input", _typed("print(sum(data) == sum(simulate()))"))
    assert main([*command, "--shell"]) == 0
    assert capfd.readouterr().out.endswith("True\n")
    moved = path.rename(tmp_path / "moved.py")
    assert main(command) == 2
    assert "is gone; say where it is now: --study FILE" in capfd.readouterr().err
    assert main([*command, "--study", str(moved)]) == 0
    moved.write_text(moved.read_text().replace("0.01 * rng", "0.02 * rng"))
    assert main([*command, "--study", str(moved)]) == 1
    assert main([*command[:-1], "3", "--study", str(moved)]) == 3
    out = capfd.readouterr().out
    assert "\nNote: replicate 3 is not stored, so nothing to compare with\n" in out
    assert "method average: not stored, so nothing to compare with" in out
    added = (("methods={", 'methods={"more": average, '),)
    moved.write_text(study_file(*added, name="added.py").read_text())
    assert main([*command, "--study", str(moved)]) == 3
    assert main([*command, "--study", str(moved), "--method", "more"]) == 3
    assert main([*command, "--study", str(moved), "--method", "average"]) == 0
    moved.write_text(study_file(name="added.py").read_text())
    assert main([*command, "--study", str(moved), "--method", "averge"]) == 2
    assert "no method 'averge' (did you mean 'average'?); it has" in capfd.readouterr().err
    assert main([*command, "--study", str(moved), "--method", "x"]) == 2
    assert "no method 'x'; it has average, jittered" in capfd.readouterr().err


def _typed(line):
    lines = iter([line])

    def read(prompt=""):
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    return read


def test_contract_status_counts_and_groups_the_failures(results, capfd):
    standing = status(results)
    fits = results.fits
    assert standing.fits.done.tolist() == [100] * 4
    assert standing.fits.missing.tolist() == [0] * 4
    bad = fits[~fits.status.isin(["ok", "boundary"])]
    expected = bad.groupby(["condition", "method"]).size()
    found = standing.fits.set_index(["condition", "method"]).failed
    assert (found == expected.reindex(found.index).fillna(0)).all()
    assert standing.failures["count"].sum() == len(bad)
    too_much = standing.failures.query("message == 'ValueError: too much: #'").iloc[0]
    assert too_much["count"] == (bad.message.fillna("").str.startswith("ValueError: too")).sum()
    main(["status", str(results.folder)])
    lines = capfd.readouterr().out.splitlines()
    trust = "names: add --trust if you trust it, or --study FILE"
    assert any(line.endswith(trust) for line in lines)
    command = next(line for line in lines if "mcstudy replay" in line and "together" in line)
    import shlex

    assert main(shlex.split(command)[1:]) == 0
    assert "ValueError: too much" in capfd.readouterr().out


@pytest.mark.slow
def test_contract_status_tells_what_is_missing_of_what_was_asked_for(study_file, tmp_path):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    conditions = {path.name for path in (results.folder / "parts").glob("*/*/*.parquet")}
    for path in (results.folder / "parts").glob("*/*/*.parquet"):
        if path.name in sorted(conditions)[:2]:
            path.unlink()
    missing = status(results).fits.missing
    assert missing.sum() == 240
    run(study_file(), tmp_path, replicates=10, methods=["average"], jobs=1, quiet=True)
    fits = status(results).fits.set_index("method")
    assert fits.loc["average"].missing.sum() == 0
    assert fits.loc["jittered"].done.sum() == 120
    run(study_file(), tmp_path, replicates=80, methods=["average"], jobs=1, quiet=True)
    assert status(results).fits.missing.sum() == 0
    assert "mcstudy" not in str(status(results))
    with pytest.raises(MCStudyError, match=r"no tables here, but in .*normal"):
        status(tmp_path)


SLOW = (
    "return rng.normal(mean, size=n)",
    "import time; time.sleep(0.05)\n    return rng.normal(mean, size=n)",
)


@pytest.mark.slow
def test_contract_status_and_summarize_while_a_run_is_at_work(study_file, tmp_path):
    path = study_file(SLOW)
    code = (
        "import sys; from mcstudy import run; from mcstudy.execution import scheduler;"
        "scheduler.JOB_SECONDS = 0.1; run(sys.argv[1], sys.argv[2], jobs=1, quiet=True)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, path, tmp_path])
    folder = tmp_path / "normal"
    try:
        deadline = time.monotonic() + 60
        while len(list(folder.glob("parts/*/*/*.parquet"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        standing, results = status(folder), summarize(folder)
        assert child.poll() is None
        assert standing.running
        assert "; a run is at work" in standing.headline
        assert (
            0 < standing.fits.done.sum() < 480 == (standing.fits.done + standing.fits.missing).sum()
        )
        assert results.folder != folder
        assert not (folder / "performance.parquet").exists()
        assert len(results.fits) >= standing.fits.done.sum()
        assert "mean" in str(results)
    finally:
        child.kill()
        child.wait()
    assert not status(folder).running


def test_contract_summarize_gives_the_tables_of_the_run_without_the_study(study_file, tmp_path):
    precise = ("replicates=60", 'replicates=20, precision={"bias": 0.1}, max_replicates=30')
    path = study_file(precise)
    results = run(path, tmp_path, jobs=1, quiet=True)
    whole = results.digests()
    path.unlink()
    for table in results.folder.glob("*.parquet"):
        table.unlink()
    again = summarize(results.folder)
    assert again.folder == results.folder
    assert again.digests() == whole
    assert open_results(again.folder).summary == results.summary


def test_contract_summarize_leaves_out_what_is_damaged(study_file, tmp_path, capfd):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    first, second, *_ = sorted((results.folder / "parts").glob("*/*/*.parquet"))
    first.write_bytes(first.read_bytes()[:-100])
    content = bytearray(second.read_bytes())
    content[40] ^= 0xFF
    second.write_bytes(content)
    before = results.digests()
    assert main(["summarize", str(results.folder)]) == 2
    assert "(2 damaged parts); the tables stay as they are" in capfd.readouterr().err
    assert results.digests() == before
    for table in results.folder.glob("*.parquet"):
        table.unlink()
    assert main(["summarize", str(results.folder)]) == 0
    assert "normal: 360 fits are stored, 120 missing (75% done)" in capfd.readouterr().out
    assert len(summarize(results).fits) == 360


def test_contract_looking_moves_nothing(study_file, tmp_path):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    first = min((results.folder / "parts").glob("*/*/*.parquet"))
    first.write_bytes(b"junk")
    before = sorted((results.folder / "parts").iterdir())
    status(results)
    replay(results, "n=5, mean=0", 0)
    with Store(results.folder).locked():
        summarize(results)
    assert sorted((results.folder / "parts").iterdir()) == before


def test_contract_the_record_has_the_study_file_and_no_table_has(study_file, tmp_path):
    path = study_file()
    results = run(path, tmp_path, replicates=2, jobs=1, quiet=True)
    assert json.loads((results.folder / "study.json").read_text())["study_file"] == str(path)
    for table in results.folder.glob("*.parquet"):
        assert path.name not in str(pq.read_schema(table).metadata)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(path, elsewhere / "other.py")
    other = run(elsewhere / "other.py", elsewhere, replicates=2, jobs=1, quiet=True)
    assert other.digests() == results.digests()


@pytest.mark.slow
def test_contract_sums_in_place_of_rows_are_looked_at_alike(study_file, tmp_path, results):
    body = TROUBLE.replace("replicates=400", 'keep="measures", replicates=100')
    summed = run(study_file(body=body, name="sums.py"), tmp_path / "sums", jobs=1, quiet=True)
    of_rows, of_sums = status(results), status(summed)
    pd.testing.assert_frame_equal(of_rows.fits, of_sums.fits)
    key = ["status", "message", "count", "condition", "replicate", "method"]
    alike = [
        standing.failures.sort_values(key).reset_index(drop=True)[key]
        for standing in (of_rows, of_sums)
    ]
    assert (alike[0]["count"] == alike[1]["count"]).all()
    assert alike[0].status.tolist() == alike[1].status.tolist()
    first = of_sums.failures[of_sums.failures.status == "error"].iloc[0]
    again = replay(summed, first.condition, first.replicate, method=first.method)
    assert again.equal is None
    assert "No rows are kept (keep='measures')" in str(again)
    assert ": no numbers are stored, so nothing to compare with\n" in str(again)
    assert f"Stored of '{first.method}': error: " in str(again)
    assert again.answers[first.method].status == "error"
    assert summarize(summed).performance.equals(summed.performance)


@pytest.mark.slow
def test_contract_failures_of_kinds_too_many_to_keep_are_counted(study_file, tmp_path, monkeypatch):
    from mcstudy.execution import scheduler
    from mcstudy.storage import moment_tables

    monkeypatch.setattr(moment_tables, "KINDS", 1)
    monkeypatch.setattr(moment_tables, "ADDRESSES", 2)
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.01)
    body = TROUBLE.replace("replicates=400", 'keep="measures", replicates=100')
    run(study_file(body=body), tmp_path, replicates=50, jobs=1, quiet=True)
    summed = run(study_file(body=body), tmp_path, jobs=1, quiet=True)
    standing = status(summed)
    shares = summed.performance[
        summed.performance.measure.isin(["share_error", "share_not_finite"])
    ]
    expected = (shares.value * shares.replicates).round().sum()
    assert standing.fits.failed.sum() == standing.failures["count"].sum() == expected
    assert "(of kinds too many to be kept)" in str(standing)


def test_contract_parts_that_are_joined_meanwhile_are_not_lost(study_file, tmp_path, monkeypatch):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    part = min((results.folder / "parts").glob("*/*/*.parquet"))
    away, rows = tmp_path / "away.parquet", Part.rows

    def joined_meanwhile(one, columns=None):
        if not away.exists():
            shutil.copy(part, away)
            part.unlink()
        elif not part.exists():
            shutil.copy(away, part)
        return rows(one, columns)

    monkeypatch.setattr(Part, "rows", joined_meanwhile)
    standing = status(results)
    assert standing.damaged == 0
    assert standing.fits.missing.sum() == 0


@pytest.mark.slow
def test_contract_a_reader_who_has_seen_enough_is_no_error(study_file, tmp_path):
    folder = run(study_file(), tmp_path, replicates=2, jobs=1, quiet=True).folder
    child = subprocess.Popen(
        [sys.executable, "-m", "mcstudy", "status", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.close()
    assert (child.stderr.read(), child.wait()) == (b"", 141)
    child.stderr.close()


def test_contract_the_command_of_a_failure_holds_where_other_parts_have_none(study_file, tmp_path):
    some = ("def average(sample):", "def average(sample):\n    1 / (len(sample) - 10)\n")
    results = run(study_file(some), tmp_path, replicates=5, jobs=1, quiet=True)
    standing = status(results)
    assert standing.failures["count"].tolist() == [10]
    assert "at mean=0, n=10: replicates 0, 1, 2, 3, 4 by average\n" in str(standing)
    assert "at mean=1.5, n=10: replicates 0, 1, 2, 3, 4 by average\n" in str(standing)
    assert "--condition 'mean=0, n=10' --replicate 0 --method average" in str(standing)


MOODY = (
    "def average(sample):",
    "def average(sample):\n    if sample[0] < {}: raise ValueError('low')\n",
)


def test_contract_status_names_failures_of_each_condition_and_method(study_file, tmp_path, capfd):
    both = (
        "def jittered(sample, rng):",
        "def jittered(sample, rng):\n    if sample[0] < 1: raise ValueError('low')\n",
    )
    one_n = ("n=[5, 10]", "n=[5]")
    path = study_file((MOODY[0], MOODY[1].format(1)), both, one_n)
    results = run(path, tmp_path, replicates=9, jobs=1, quiet=True)
    bad = results.fits[results.fits.status == "error"]
    standing = status(results)
    (kind,) = standing.failures.to_dict("records")
    assert kind["count"] == len(bad) > 12
    for place in kind["places"]:
        rows = bad[(bad.condition == place.condition) & (bad.method == "average")]
        assert place.methods == ("average", "jittered")
        assert list(place.replicates) == rows.replicate.tolist()
        assert place.fits == len(rows)
    text = str(standing)
    assert text.count("n=5") == 1
    assert "\nthroughout: n=5\n" in text
    for mean in ("0", "1.5"):
        assert f"\n      at mean={mean}: replicates " in text
    most = max(place.fits for place in kind["places"])
    assert f" and {most - 5} more by average, jittered\n" in text
    assert "--condition mean=0 --replicate" in text


def test_contract_status_cuts_many_conditions_and_says_so(study_file, tmp_path):
    path = study_file((MOODY[0], MOODY[1].format(99)), ("n=[5, 10]", "n=range(2, 10)"))
    text = str(status(run(path, tmp_path, replicates=1, jobs=1, quiet=True)))
    assert text.count(": replicate 0 by average\n") == 6
    assert "\n      and at 10 more conditions\n" in text


def test_contract_shares_that_are_not_collected_are_looked_at(study_file, tmp_path, capfd):
    path = study_file((MOODY[0], MOODY[1].format(1)))
    folder = run(path, tmp_path, part=(1, 3), jobs=1, quiet=True).folder
    before = sorted(folder.rglob("*"))
    standing = status(folder)
    assert standing.fits.done.tolist() == [20] * 8
    assert "missing" not in standing.fits
    text = str(standing)
    assert text.startswith("normal: 160 fits are stored, ")
    assert f"make the tables: mcstudy collect STUDY --results {tmp_path}\n" in text
    assert "\n  mean=0, n=5     average" in text
    failed = standing.failures.iloc[0]
    address = (failed.condition, int(failed.replicate))
    assert replay(path, *address, method="average", results=folder).equal is True
    again = f"collect STUDY --results {tmp_path}"
    arguments = ["--condition", address[0], "--replicate", str(address[1])]
    for command in (
        ["summarize", str(folder)],
        ["failures", str(folder)],
        ["table", str(folder), "--measure", "bias"],
        ["replay", str(folder), *arguments],
    ):
        assert main(command) == 2
        shown = capfd.readouterr().err
        assert shown.startswith(f"mcstudy: {folder}: holds shares that are not collected yet; ")
        assert again in shown
    assert main(["replay", str(folder), *arguments, "--study", str(path)]) == 0
    assert sorted(folder.rglob("*")) == before
    capfd.readouterr()
    assert main(["status", str(tmp_path)]) == 2
    assert f"no tables here, but in {folder}" in capfd.readouterr().err
    assert main(["status", str(tmp_path / "none")]) == 2
    assert "there is no such folder; name one like" in capfd.readouterr().err
    assert main(["status", str(path)]) == 2
    assert "is a file, not a folder of results; name one like" in capfd.readouterr().err


def test_contract_a_part_of_a_first_run_has_no_tables_yet(study_file, tmp_path, capfd):
    folder = run(study_file(), tmp_path, jobs=1, quiet=True).folder
    (folder / "performance.parquet").unlink()
    assert main(["table", str(folder), "--measure", "bias"]) == 2
    assert "performance.parquet is missing; mcstudy summarize" in capfd.readouterr().err
    for table in folder.glob("*.parquet"):
        table.unlink()
    store = Store(folder)
    store.write_record({**store.record, "tables": {}})
    assert main(["table", str(folder), "--measure", "bias"]) == 2
    assert "no tables yet; mcstudy summarize makes them" in capfd.readouterr().err


def test_contract_replay_takes_the_study_file_in_place_of_its_results(
    study_file, tmp_path, monkeypatch, capfd
):
    path = study_file()
    monkeypatch.chdir(tmp_path)
    run(path, replicates=3, methods=["average"], jobs=1, quiet=True)
    address = ["--condition", "n=5, mean=0", "--replicate", "2", "--method", "average"]
    assert main(["replay", str(path), *address]) == 0
    assert "method average: equal to what is stored" in capfd.readouterr().out
    assert main(["replay", "results/normal", *address, "--study", str(path)]) == 0
    assert main(["replay", "results", *address, "--study", str(path)]) == 0
    capfd.readouterr()
    assert main(["replay", "results/nromal", *address, "--study", str(path)]) == 2
    assert "results/nromal: there is no such folder" in capfd.readouterr().err
