"""Changed code whose numbers are the same: a sample of the stored fits is computed again."""

import pytest

from mcstudy import collect, run
from mcstudy.cli import main
from mcstudy.errors import ChangedError, StudyError
from mcstudy.execution import verify

SAME = ("len(sample) ** 0.5", "np.sqrt(len(sample))")
OTHER = ("sample.mean(), se,", "sample.mean() + 1e-9 * (sample[0] > 1), se,")
JITTERED = ("0.01 * rng.normal()", "rng.normal() * 0.01")


@pytest.mark.slow
def test_contract_rows_are_kept_if_a_sample_comes_out_equal(study_file, tmp_path, capfd):
    before = run(study_file(), tmp_path, jobs=1, quiet=True)
    timings = before.timings
    with pytest.raises(ChangedError, match="--changed verify keeps them if a sample"):
        run(study_file(SAME, JITTERED), tmp_path, jobs=1, quiet=True)
    after = run(study_file(SAME, JITTERED), tmp_path, changed="verify", jobs=1)
    said = capfd.readouterr().err
    assert "160 stored fits computed again, to compare" in said
    assert "160 of 160 fits are equal bit for bit; the stored rows are kept" in said
    assert "Nothing is missing" in said
    assert after.digests() == before.digests()
    assert after.timings.equals(timings)
    run(study_file(SAME, JITTERED), tmp_path, replicates=80, jobs=1, quiet=True)


@pytest.mark.slow
def test_contract_rows_that_differ_are_named_and_nothing_is_done(study_file, tmp_path, capsys):
    before = run(study_file(), tmp_path, jobs=1, quiet=True)
    untouched = {p: p.read_bytes() for p in before.folder.rglob("*") if p.is_file()}
    path = study_file(OTHER, JITTERED)
    arguments = ["run", str(path), "--results", str(tmp_path), "--jobs", "1"]
    assert main([*arguments, "--changed", "verify"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "of 160 fits computed again are not equal to what is stored, first method" in said
    assert "method 'average' at mean=" in said
    assert "estimate mean: " in said
    assert ", stored " in said
    assert said.endswith('Nothing was done: say --changed keep (changed="keep") or discard')
    assert {p: p.read_bytes() for p in before.folder.rglob("*") if p.is_file()} == untouched


@pytest.mark.slow
def test_contract_the_sample_is_spread_and_bounded(study_file, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(verify, "MOST", 20)
    run(study_file(), tmp_path, jobs=1, quiet=True)
    run(study_file(SAME), tmp_path, changed="verify", jobs=1)
    assert "Note: 20 of 20 fits are equal" in capfd.readouterr().err
    assert verify._spread(range(60), 3) == [0, 30, 59]
    assert verify._spread(range(2), 20) == [0, 1]


@pytest.mark.slow
def test_contract_failed_fits_and_workers(study_file, tmp_path, capfd):
    fails = ("    se =", "    if sample[0] > 1: raise ValueError(f'{sample[0]}')\n    se =")
    run(study_file(fails), tmp_path, jobs=1, quiet=True)
    run(study_file(fails, SAME), tmp_path, changed="verify", jobs=2)
    assert "fits are equal bit for bit" in capfd.readouterr().err


@pytest.mark.slow
def test_contract_what_cannot_be_verified_is_said(study_file, tmp_path):
    keep = ("seed=7,", 'seed=7, keep="measures",')
    run(study_file(keep), tmp_path / "sums", jobs=1, quiet=True)
    with pytest.raises(ChangedError, match="keeps no rows that could be compared"):
        run(study_file(keep, SAME), tmp_path / "sums", changed="verify", jobs=1, quiet=True)
    run(study_file(), tmp_path, jobs=1, quiet=True)
    with pytest.raises(ChangedError, match="holds rows of seed 7"):
        run(study_file(("seed=7", "seed=8")), tmp_path, changed="verify", jobs=1, quiet=True)
    with pytest.raises(StudyError, match=r"collect computes no fit.*run STUDY --changed verify"):
        collect(study_file(), results=tmp_path, changed="verify")
    with pytest.raises(StudyError, match="start: mcstudy run STUDY --changed verify"):
        run(study_file(), tmp_path, part=(1, 2), changed="verify")


def test_contract_nothing_changed_verifies_nothing(study_file, tmp_path, capfd):
    run(study_file(), tmp_path, jobs=1, quiet=True)
    run(study_file(), tmp_path, changed="verify", jobs=1)
    assert "compare" not in capfd.readouterr().err


def test_contract_rows_that_were_kept_are_not_verified_and_that_is_said(
    study_file, tmp_path, capfd
):
    run(study_file(), tmp_path, jobs=1, quiet=True)
    run(study_file(OTHER), tmp_path, changed="keep", jobs=1, quiet=True)
    run(study_file(OTHER), tmp_path, changed="verify", jobs=1)
    said = capfd.readouterr().err
    assert "nothing is verified: rows that were kept before count as decided" in said


def test_contract_a_better_truth_is_measured_anew_and_said(study_file, tmp_path, capfd):
    before = run(study_file(), tmp_path, jobs=1, quiet=True)
    path = study_file(('{"mean": mean}', '{"mean": mean + 0.5}'))
    after = run(path, tmp_path, changed="keep", jobs=1)
    said = capfd.readouterr().err
    assert (
        "0.0 -> 0.5 (and of 3 more); the rows stay, and are measured anew about the new truth"
        in said
    )
    bias = [r.performance.query("measure == 'bias'")["value"] for r in (before, after)]
    assert (bias[0] - bias[1]).to_numpy() == pytest.approx(0.5)
    run(path, tmp_path, changed="keep", jobs=1)
    assert "measured anew" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("how", ["keep", "verify"])
def test_contract_what_was_kept_is_asked_about_again_after_another_change(
    study_file, tmp_path, how
):
    run(study_file(), tmp_path, jobs=1, quiet=True)
    kept = run(study_file(SAME), tmp_path, changed=how, jobs=1, quiet=True)
    assert run(study_file(SAME), tmp_path, jobs=1, quiet=True).digests() == kept.digests()
    with pytest.raises(ChangedError, match="the code of method 'average'"):
        run(study_file(OTHER), tmp_path, jobs=1, quiet=True)
    with pytest.raises(ChangedError, match="fits computed again are not equal"):
        run(study_file(OTHER), tmp_path, changed="verify", jobs=1, quiet=True)
    assert run(study_file(SAME), tmp_path, jobs=1, quiet=True).digests() == kept.digests()
    run(study_file(), tmp_path, jobs=1, quiet=True)
    fresh = run(study_file(OTHER), tmp_path, changed="discard", jobs=1, quiet=True)
    plain = run(study_file(OTHER), tmp_path / "plain", jobs=1, quiet=True)
    assert fresh.digests() == plain.digests()


@pytest.mark.slow
def test_contract_fits_that_failed_are_in_the_sample(study_file, tmp_path, capfd):
    """A fixed method gives the old numbers everywhere but where it failed."""
    rare = "    if sample[0] > 3.5: raise ValueError('rare')\n    se ="
    before = run(study_file(("    se =", rare)), tmp_path, jobs=1, quiet=True, replicates=200)
    failed = int((before.fits.status == "error").sum())
    assert 0 < failed < 40
    with pytest.raises(ChangedError, match=r"computed again are not equal .* status: 'ok', stored"):
        run(study_file(), tmp_path, changed="verify", jobs=1, replicates=200, quiet=True)


@pytest.mark.slow
def test_contract_a_damaged_part_is_set_aside_and_the_others_are_verified(
    study_file, tmp_path, capfd
):
    before = run(study_file(), tmp_path, jobs=1, quiet=True)
    whole = before.digests()
    part = min((before.folder / "parts").glob("*/*/*.parquet"))
    content = bytearray(part.read_bytes())
    content[40] ^= 1
    part.write_bytes(content)
    after = run(study_file(SAME), tmp_path, changed="verify", jobs=1)
    said = capfd.readouterr().err
    assert f"{part}: damaged, or no part; set aside, and computed again" in said
    assert "60 of 60 fits are equal bit for bit; the stored rows are kept" in said
    assert after.digests() == whole
