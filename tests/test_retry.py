"""Stored fits that are tried again: of one method, the rest of the rows staying as they are."""

import pandas as pd
import pytest

from mcstudy import plan, run
from mcstudy.cli import main
from mcstudy.errors import ChangedError, StudyError
from mcstudy.execution import early_stop, run_loop, scheduler
from mcstudy.method import Status

METHODS = ('{"average": average, "jittered": jittered}', '{"average": average, "buggy": buggy}')
BUGGY = """
def buggy(sample):
    if sample[0] > 0.5:
        raise ZeroDivisionError("a bug")
    return {"mean": Estimate(sample.mean(), 1.0), **OTHER}

def jittered"""
FIXED = ("if sample[0] > 0.5:", "if sample[0] > 1e9:")


@pytest.fixture
def buggy_file(study_file):
    def write(*edits, other="{}"):
        body = BUGGY.replace("**OTHER", f"**{other}")
        return study_file(METHODS, ("\ndef jittered", body), *edits)

    return write


def rows_of(results, method):
    key = ["condition", "replicate", "method"]
    rows = results.fits[[*key, "status"]].merge(results.estimates, on=key, how="left")
    return rows[rows["method"] == method].set_index(key[:2])


@pytest.mark.slow
def test_contract_failed_fits_of_a_mended_method_alone_are_computed_again(
    buggy_file, tmp_path, capfd
):
    before = run(buggy_file(), tmp_path, jobs=1, quiet=True)
    timings = before.timings
    failed = before.fits["status"].eq("error")
    assert 0 < failed.sum() < 240
    with pytest.raises(ChangedError, match="the code of method 'buggy'"):
        run(buggy_file(FIXED), tmp_path, retry=["error"], jobs=1, quiet=True)
    after = run(buggy_file(FIXED), tmp_path, changed="keep", retry=["error"], jobs=1)
    said = capfd.readouterr().err
    assert f"{failed.sum()} fits with status error to retry" in said
    assert f"{failed.sum()} fits to do" in said
    older = 240 - failed.sum()
    assert f"rows of 'buggy' made by older code or packages are among them: {older} of 240" in said
    assert after.study["older_rows"]
    assert after.fits["status"].eq("ok").all()
    same = timings["seconds"].eq(after.timings["seconds"])
    assert same[~failed].all()
    assert not same[failed].any()
    plain = run(buggy_file(FIXED), tmp_path / "plain", jobs=1, quiet=True)
    for method in ("average", "buggy"):
        pd.testing.assert_frame_equal(rows_of(after, method), rows_of(plain, method))
    assert run(buggy_file(FIXED), tmp_path, jobs=1, quiet=True).digests() == after.digests()


@pytest.mark.slow
def test_contract_retried_as_it_was_the_tables_are_the_same(buggy_file, tmp_path):
    before = run(buggy_file(), tmp_path, jobs=1, quiet=True).digests()
    again = run(buggy_file(), tmp_path, retry=["error", "timeout"], jobs=2, quiet=True)
    assert again.digests() == before


def test_contract_fits_beyond_the_number_that_is_wanted_are_retried_and_never_lost(
    buggy_file, tmp_path
):
    before = run(buggy_file(), tmp_path, jobs=1, quiet=True, replicates=40)
    digests, count = before.digests(), len(before.fits)
    again = run(buggy_file(), tmp_path, jobs=1, quiet=True, replicates=5, retry=["error"])
    assert again.digests() == digests
    fixed = {"changed": "keep", "retry": ["error"], "jobs": 1, "quiet": True, "replicates": 5}
    after = run(buggy_file(FIXED), tmp_path, **fixed)
    assert len(after.fits) == count
    assert after.fits["status"].eq("ok").all()


@pytest.mark.parametrize("between", ["", "one method", "larger"])
def test_contract_a_retry_that_is_killed_loses_no_failure(
    buggy_file, tmp_path, monkeypatch, between
):
    """It is killed when the fits are out of the parts; `between` it and the next run is another."""

    def killed(*_):
        raise KeyboardInterrupt

    first = run(buggy_file(), tmp_path, jobs=1, quiet=True, replicates=20)
    if between == "larger":  # rows on which no table rests, as after a kill
        run(buggy_file(), tmp_path, jobs=1, quiet=True, replicates=40, part=(1, 1))
    options = {"changed": "keep", "retry": ["error"], "jobs": 1, "replicates": 5}
    with monkeypatch.context() as patch:
        patch.setattr(run_loop.RunLoop, "compute", killed)
        with pytest.raises(KeyboardInterrupt):
            run(buggy_file(FIXED), tmp_path, **options)
    if not between:
        planned = plan(buggy_file(FIXED), results=tmp_path, replicates=5, jobs=1, seconds=0.1)
        assert planned.fits == first.fits["status"].eq("error").sum()
    if between == "one method":
        alone = ('"average": average, "buggy": buggy', '"average": average')
        run(buggy_file(FIXED, alone), tmp_path, jobs=1, quiet=True, replicates=5)
    after = run(buggy_file(FIXED), tmp_path, jobs=1, quiet=True, replicates=5)
    count = 40 if between == "larger" else 20
    assert after.fits.groupby(["condition", "method"]).size().eq(count).all()
    assert after.fits["status"].eq("ok").all()
    assert not after.study["retried"]
    last = run(buggy_file(FIXED), tmp_path, jobs=1, quiet=True, replicates=5)
    assert last.digests() == after.digests()


def test_contract_a_run_that_was_cut_off_leaves_no_more_to_do(study_file, tmp_path, capfd):
    """Rows beyond what is wanted may have holes, which nobody has asked for."""
    run(study_file(), tmp_path, jobs=1, quiet=True, replicates=40, part=(2, 2))
    run(study_file(), tmp_path, jobs=1, quiet=True, replicates=5)
    run(study_file(), tmp_path, jobs=1, replicates=5)
    assert "Nothing is missing" in capfd.readouterr().err


@pytest.mark.slow
def test_contract_a_retry_of_fits_that_fail_again_does_not_stop_early(
    buggy_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(early_stop, "ENOUGH_FITS", 10)
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.001)
    before = run(buggy_file(), tmp_path, jobs=1, quiet=True).digests()
    assert run(buggy_file(), tmp_path, retry=["error"], jobs=1, quiet=True).digests() == before


@pytest.mark.slow
def test_contract_only_the_methods_of_the_run_and_rows_that_count_are_retried(
    buggy_file, tmp_path, capfd
):
    run(buggy_file(), tmp_path, jobs=1, quiet=True)
    run(buggy_file(), tmp_path, retry=["error"], methods=["average"], jobs=1)
    assert "Note: 0 fits with status error to retry" in capfd.readouterr().err
    fixed = run(buggy_file(FIXED), tmp_path, changed="discard", jobs=1, quiet=True)
    run(buggy_file(FIXED), tmp_path, retry=["error"], jobs=1)
    assert "Note: 0 fits with status error to retry" in capfd.readouterr().err
    assert fixed.fits["status"].eq("ok").all()


@pytest.mark.slow
def test_contract_a_status_is_that_of_the_table(buggy_file, tmp_path, capfd):
    lacking = '({"more": Estimate(1.0)} if sample[1] > 0 else {})'
    estimands = ('{"mean": mean}', '{"mean": mean, "more": 1.0}')
    path = buggy_file(estimands, FIXED, other=lacking)
    results = run(path, tmp_path, jobs=1, quiet=True)
    before, missing = results.digests(), results.fits["status"].eq("not_finite").sum()
    assert missing
    again = run(path, tmp_path, retry=["not_finite"], jobs=1)
    assert f"Note: {missing} fits with status not_finite to retry" in capfd.readouterr().err
    assert again.digests() == before


@pytest.mark.parametrize("status", [s for s in Status if s != "ok"])
def test_contract_every_status_but_ok_can_be_retried(buggy_file, tmp_path, status):
    run(buggy_file(("replicates=60", "replicates=2")), tmp_path, jobs=1, quiet=True, retry=[status])


def test_contract_what_cannot_be_retried_is_said(buggy_file, tmp_path, capsys):
    path = buggy_file()
    assert main(["run", str(path), "--retry", "ok"]) == 2
    assert "retry is 'ok'; fits that can be tried again are those with" in capsys.readouterr().err
    assert main(["run", str(path), "--retry", "eror"]) == 2
    assert "retry is 'eror' (did you mean 'error'?); fits that" in capsys.readouterr().err
    with pytest.raises(StudyError, match="part 1/2 cannot take fits out"):
        run(path, tmp_path, part=(1, 2), retry=["error"], quiet=True)
    with pytest.raises(StudyError, match="give a list of names"):
        run(path, tmp_path, retry="error", quiet=True)


@pytest.mark.slow
def test_contract_after_a_retry_that_was_killed_the_tables_are_those_of_the_new_rows(
    study_file, tmp_path, monkeypatch
):
    bad_day = "    import os\n    if sample[0] > 1 and 'BAD_DAY' in os.environ: raise OSError\n"
    path = study_file(("    se =", f"{bad_day}    se ="))
    monkeypatch.setenv("BAD_DAY", "1")
    assert run(path, tmp_path, jobs=1, quiet=True).fits["status"].eq("error").any()
    monkeypatch.delenv("BAD_DAY")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mcstudy.execution.run._complete", killed)
        with pytest.raises(KeyboardInterrupt):
            run(path, tmp_path, retry=["error"], jobs=1, quiet=True)
    assert run(path, tmp_path, jobs=1, quiet=True).fits["status"].eq("ok").all()


@pytest.mark.slow
def test_contract_fits_that_come_out_otherwise_than_lost_ones_are_in_the_tables(
    study_file, tmp_path, monkeypatch
):
    bad_day = "    import os\n    if sample[0] > 1 and 'BAD_DAY' in os.environ: raise OSError\n"
    path = study_file(("    se =", f"{bad_day}    se ="))
    monkeypatch.setenv("BAD_DAY", "1")
    before = run(path, tmp_path, jobs=1, quiet=True)
    monkeypatch.delenv("BAD_DAY")
    for part in (before.folder / "parts").glob("*/*/*.parquet"):
        part.write_bytes(b"")
    assert run(path, tmp_path, jobs=1, quiet=True).fits["status"].eq("ok").all()
