"""Methods without a usable fit: a run says so, has a status of its own, and stops early."""

import pytest

from mcstudy import run
from mcstudy.cli import main
from mcstudy.errors import FitsFailedError
from mcstudy.execution import early_stop, scheduler

BROKEN = """
def broken(sample):
    raise ValueError(f"mean is {sample.mean()}")

def large(sample):
    if len(sample) == 5:
        raise KeyError("small")
    return {"mean": Estimate(sample.mean())}

def careful(sample):
    if len(sample) == 5:
        raise Skip("needs more than 5")
    return {"mean": Estimate(sample.mean())}

def told(sample):
    if len(sample) == 5:
        return Fit({}, Status.SKIPPED, "needs more than 5")
    return {"mean": Estimate(sample.mean())}

@batched
def together(batch):
    if len(batch[0]) == 5:
        raise Skip("needs more than 5")
    return {"mean": Estimate(np.array([sample.mean() for sample in batch]))}

@batched
def told_together(batch):
    small = ["skipped" if len(sample) == 5 else "ok" for sample in batch]
    return Fit({"mean": Estimate(np.array([sample.mean() for sample in batch]))}, small)
"""
METHODS = '{"average": average, "jittered": jittered}'


@pytest.fixture
def broken_file(study_file):
    def write(methods, *edits):
        given = "{" + ", ".join(f'"{name}": {name}' for name in ("average", *methods)) + "}"
        return study_file(
            ("def jittered", BROKEN.lstrip() + "\ndef jittered"),
            ("import Estimate", "import Skip, Estimate"),
            (METHODS, given),
            *edits,
        )

    return write


def arguments(path, folder, *more):
    return ["run", str(path), "--results", str(folder), "--jobs", "1", *more]


@pytest.mark.slow
def test_contract_a_method_without_a_usable_fit_has_its_own_exit_status(
    broken_file, tmp_path, capsys
):
    path = broken_file(["large"])
    assert main(arguments(path, tmp_path, "--quiet")) == 3
    said = capsys.readouterr().err
    assert "method 'large' has no usable fit under 2 of 4 conditions (mean=0, n=5, ...)" in said
    assert "most often (120 of 120): error: KeyError: 'small'" in said
    assert main(arguments(path, tmp_path, "--methods", "average")) == 0
    assert main(arguments(path, tmp_path)) == 3
    assert "Note: method 'large' has no usable fit" in capsys.readouterr().err
    assert main(["collect", str(path), "--results", str(tmp_path)]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["rows", "measures"])
def test_contract_a_run_stops_early_and_goes_on_if_told(
    broken_file, tmp_path, capsys, keep, monkeypatch
):
    monkeypatch.setattr(early_stop, "ENOUGH_FITS", 100)
    monkeypatch.setattr(
        scheduler, "JOB_SECONDS", 0.01
    )  # many jobs, most of them left when it stops
    path = broken_file(["broken"], ("replicates=60", f"replicates=300, keep={keep!r}"))
    assert main(arguments(path, tmp_path, "--quiet")) == 3
    said = capsys.readouterr().err
    assert "of method 'broken' is usable, and all end alike: error: ValueError: mean is" in said
    assert "--keep-going" in said
    with pytest.raises(FitsFailedError, match=r"--keep-going \(keep_going=True\)"):
        run(path, tmp_path, jobs=1, quiet=True)
    assert main(arguments(path, tmp_path, "--quiet", "--keep-going")) == 3
    assert "has no usable fit under 4 of 4 conditions" in capsys.readouterr().err
    whole = run(path, tmp_path, jobs=1, quiet=True, keep_going=True)
    counts = whole.performance.query("measure == 'share_error' and method == 'broken'")
    assert counts["value"].eq(1).all()
    assert counts["replicates"].eq(300).all()
    assert len(whole.unusable) == 1


def test_contract_failures_under_some_conditions_stop_nothing(broken_file, tmp_path, monkeypatch):
    monkeypatch.setattr(early_stop, "ENOUGH_FITS", 10)
    assert len(run(broken_file(["large"]), tmp_path, jobs=1, quiet=True).unusable) == 1


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["rows", "measures"])
def test_contract_what_does_not_apply_is_skipped_and_no_failure(
    broken_file, tmp_path, capsys, monkeypatch, keep
):
    monkeypatch.setattr(early_stop, "ENOUGH_FITS", 10)
    methods = ["careful", "told", "together", "told_together"]
    path = broken_file(methods, ("replicates=60", f"replicates=20, keep={keep!r}"))
    assert main(arguments(path, tmp_path, "--quiet")) == 0
    shown = capsys.readouterr()
    assert "skipped: the method says that it does not apply; no failure" in shown.out
    results = run(path, tmp_path, jobs=1, quiet=True)
    table = results.performance.query("measure == 'share_skipped'")
    assert sorted(set(table["method"])) == sorted(methods)
    assert table["n"].eq(5).all()
    assert table["value"].eq(1).all()
    bias = results.performance.query("measure == 'bias' and n == 5 and method != 'average'")
    assert bias["used"].eq(0).all()
    assert main(["status", str(results.folder)]) == 0
    assert "400 fits are stored, 0 missing\n" in capsys.readouterr().out
    assert main(["check", str(path)]) == 0
    noted = capsys.readouterr().out
    assert "note: method 'careful' says that it does not apply: needs more than 5" in noted
    if keep == "rows":
        assert results.failure_overlap().frame["failed"].eq(0).all()
        ranked = results.sensitivity("rmse").frame
        assert ranked["failed"].eq(0).all()
        assert set(ranked.query("n == 5")["method"]) <= {"average"}


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["rows", "measures"])
def test_contract_a_method_with_usable_fits_is_not_stopped_where_it_grows(
    broken_file, tmp_path, monkeypatch, keep
):
    monkeypatch.setattr(early_stop, "ENOUGH_FITS", 10)
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.001)
    kept = ("replicates=60", f"replicates=60, keep={keep!r}")
    run(broken_file(["large"], kept, ("n=[5, 10]", "n=[10]")), tmp_path, jobs=1, quiet=True)
    grown = run(broken_file(["large"], kept), tmp_path, jobs=1, quiet=True)
    whole = run(broken_file(["large"], kept), tmp_path / "whole", jobs=1, quiet=True)
    assert grown.digests() == whole.digests()
