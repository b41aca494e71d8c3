"""A failed fit is a row: nothing reaches the terminal, nothing is lost."""

import pytest
from conftest import HEADER

from mcstudy import open_results, run
from mcstudy.cli import main

TROUBLE = """
import warnings

def simulate(rng, *, n, mean):
    sample = rng.normal(mean, size=n)
    if sample[0] > 2.5:
        raise RuntimeError("the machine slipped")
    if sample[0] < -1.5:
        warnings.warn("a cold sample")
    return sample

def moody(sample):
    mood = int(abs(sample[0]) * 1e6) % 10
    if mood == 0:
        raise ValueError(f"mood {mood}")
    if mood == 1:
        return {"mean": Estimate(float("nan"))}
    if mood == 2:
        warnings.warn("so so")
        warnings.warn("so so")
        np.log(-1.0)
    if mood == 3:
        return {"mean": Estimate(sample.mean(), None, None, None)}
    if mood == 4:
        raise SystemExit("bye")
    if mood == 5:
        return Fit({"mean": Estimate(0.0)}, Status.BOUNDARY, "at zero", {"mood": mood})
    return {"mean": Estimate(sample.mean(), 1.0, -1.0, 1.0)}

@batched
def together(samples):
    for sample in samples:
        if sample[1] > 1.5:
            raise ValueError(f"too much: {sample[1]:.6f}")
        if sample[1] < -1.5:
            warnings.warn(f"too little: {sample[1]:.6f}")
    means = np.array([sample.mean() for sample in samples])
    return {"mean": Estimate(means, np.ones(len(samples)))}

study = Study(
    name="trouble",
    simulate=simulate,
    estimands=lambda *, n, mean: {"mean": mean},
    methods={"moody": moody, "together": together},
    conditions=grid(n=[5], mean=[0.0, 1.0]),
    replicates=400,
    seed=3,
)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trouble")
    path = folder / "study_file.py"
    path.write_text(HEADER + TROUBLE)
    return run(path, folder, jobs=1, quiet=True)


def test_contract_a_failed_fit_reaches_no_terminal(study_file, tmp_path, capfd):
    run(study_file(body=TROUBLE), tmp_path, replicates=100, jobs=1, quiet=True)
    assert capfd.readouterr() == ("", "")


def test_contract_every_replicate_is_accounted_for(results):
    fits = results.fits
    assert len(fits) == 2 * 2 * 400
    moody = fits[fits.method == "moody"]
    assert set(moody.status) == {"ok", "boundary", "not_finite", "error"}
    shares = results.performance.query("measure.str.startswith('share_')")
    assert (shares.groupby(["mean", "method"]).value.sum() - 1).abs().max() < 1e-12
    bias = results.performance.query("measure == 'bias' and method == 'moody'")
    estimates = results.estimates.query("method == 'moody'")
    assert bias.used.sum() == estimates.estimate.notna().sum()
    assert (bias.replicates == 400).all()
    printed = str(results)
    for status, count in moody.status.value_counts().items():
        assert status in printed
        assert str(count) in printed


def test_contract_messages_tell_what_happened(results):
    fits = results.fits
    messages = set(fits.message.dropna())
    assert "ValueError: mood 0" in messages
    assert "SystemExit: bye" in messages
    assert "at zero" in messages
    assert any("UserWarning: so so (x2); RuntimeWarning: invalid" in m for m in messages)
    slipped = fits[fits.message == "simulate: RuntimeError: the machine slipped"]
    assert set(slipped.status) == {"error"}
    assert (slipped.groupby(["condition", "replicate"]).size() == 2).all()
    assert fits.message.str.startswith("simulate: UserWarning: a cold sample").any()


def test_contract_a_missing_standard_error_does_not_cost_the_estimate(results):
    estimates = results.estimates.query("method == 'moody'")
    without = estimates[estimates.std_error.isna() & estimates.estimate.notna()]
    assert len(without) > 20


def test_contract_a_batch_that_raises_or_warns_is_told_apart(results):
    rows = results.fits.query("method == 'together'")
    rows = rows[~rows.message.fillna("").str.startswith("simulate: Runtime")]
    raised = rows[rows.status == "error"]
    assert raised.message.str.contains(r"ValueError: too much: \d").all()
    assert raised.message.nunique() == len(raised) > 20
    assert rows.message.str.count("a cold sample").max() == 1
    warned = rows[rows.message.fillna("").str.contains("too little")]
    assert set(warned.status) == {"ok"}
    assert warned.message.str.count("too little").max() == 1


@pytest.mark.slow
def test_contract_failures_do_not_depend_on_batch_or_workers(
    study_file, tmp_path, results, monkeypatch
):
    from mcstudy.execution import scheduler
    from mcstudy.simulation import replicates

    monkeypatch.setattr(replicates, "BATCH_REPLICATES", 7)
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.05)
    path = study_file(body=TROUBLE)
    one = run(path, tmp_path / "one", jobs=1, quiet=True)
    two = run(path, tmp_path / "two", jobs=2, quiet=True)
    assert one.digests() == two.digests() == results.digests()


@pytest.mark.slow
def test_contract_what_a_fit_does_to_numpy_and_to_its_diagnostics_stays_its_own(
    study_file, tmp_path
):
    moody = """
    np.seterr(all="raise")
    kinds = [1, 2.5, True, "text", 3.0]
    kind = kinds[int(abs(sample[0]) * 1e6) % 5]
    return Fit({"mean": Estimate(sample.mean())}, diagnostics={"kind": kind})
"""
    path = study_file(
        ("def average(sample):", f"def average(sample):{moody}"),
        ("0.01 * rng.normal())}", "0 * np.log(-1.0))}"),
    )
    from mcstudy.simulation import replicates

    one = run(path, tmp_path / "one", jobs=1, keep_going=True, quiet=True)
    replicates.BATCH_REPLICATES, before = 2, replicates.BATCH_REPLICATES
    two = run(path, tmp_path / "two", jobs=2, keep_going=True, quiet=True)
    replicates.BATCH_REPLICATES = before
    assert one.digests() == two.digests()
    assert set(one.fits.kind.dropna()) == {"1", "2.5", "text", "3"}
    assert set(one.fits[one.fits.method == "jittered"].status) == {"not_finite"}


def test_contract_a_method_that_always_fails_is_in_the_tables(study_file, tmp_path, capfd):
    path = study_file(("se = sample.std", "raise KeyError('x'); se = sample.std"))
    assert main(["run", str(path), "--results", str(tmp_path), "--jobs", "1", "--keep-going"]) == 3
    out, err = capfd.readouterr()
    assert "method 'average' raises at replicate 0" in err
    performance = open_results(tmp_path / "normal").performance
    shares = performance.query("method == 'average' and measure == 'share_error'")
    assert (shares.value == 1).all()
    assert "average    240     240" in out.replace("  0", "   ") or "error" in out


@pytest.mark.slow
def test_contract_a_method_cannot_change_the_data_of_another(study_file, tmp_path):
    spoil = (
        "def jittered(sample, rng):",
        "def jittered(sample, rng):\n    sample[:] = 99\n    sample = sample * 1.0",
    )
    spoiled = run(study_file(spoil), tmp_path / "a", jobs=1, quiet=True).estimates
    plain = run(study_file(), tmp_path / "b", jobs=1, quiet=True).estimates
    one, other = (e[e.method == "average"].reset_index(drop=True) for e in (spoiled, plain))
    assert one.equals(other)
