"""Measures of the seconds of fits, and of diagnostics, beside the tables that are bit for bit."""

import numpy as np
import pytest

from mcstudy import Fit, MCStudyError, Skip, Study, grid, open_results, run
from mcstudy.cli import main


def fast(x):
    steps = int(np.ceil(abs(x[0]) * 3))
    return Fit({"mu": x.mean()}, diagnostics={"steps": steps, "above": bool(x[0] > 0), "how": "a"})


def slow(x):
    if len(x) > 10 and x[1] > 1:
        raise Skip("too large")
    return Fit({"mu": np.median(x)}, diagnostics={"steps": 7, "bias": 3.0})


STUDY = Study(
    name="diagnosed",
    simulate=lambda rng, *, n: rng.normal(size=n),
    estimands=lambda *, n: {"mu": 0.0},
    methods={"fast": fast, "slow": slow},
    conditions=grid(n=[10, 20]),
    replicates=50,
    seed=2,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(STUDY, tmp_path_factory.mktemp("diagnosed"), jobs=1, quiet=True)


def of(frame, measure, n, method="fast"):
    found = frame[(frame["measure"] == measure) & (frame["n"] == n) & (frame["method"] == method)]
    (row,) = found.to_dict("records")
    return row


def test_identity_means_and_shares_are_those_of_the_fits(results):
    frame, fits = results.fit_measures, results.fits
    own = fits[(fits["condition"] == "n=10") & (fits["method"] == "fast")]
    steps = own["steps"].astype(float)
    row = of(frame, "steps", 10)
    assert row["value"] == pytest.approx(steps.mean())
    assert row["mcse"] == pytest.approx(steps.std() / 50**0.5)
    assert of(frame, "steps_quantile_95", 10)["value"] == pytest.approx(np.quantile(steps, 0.95))
    above = of(frame, "above", 10)
    assert above["value"] == own["above"].mean()
    assert 0 < above["lower"] < above["value"] < above["upper"] < 1
    seconds = results.timings.query("condition == 'n=10' and method == 'fast'")["seconds"]
    assert of(frame, "seconds", 10)["value"] == pytest.approx(seconds.mean())
    assert of(frame, "seconds_median", 10)["value"] == pytest.approx(seconds.median())


def test_contract_skipped_fits_texts_and_names_of_measures_do_not_count(results):
    frame = results.fit_measures
    skipped = (
        (results.fits.query("condition == 'n=20' and method == 'slow'")["status"]) == "skipped"
    )
    assert skipped.any()
    row = of(frame, "steps", 20, "slow")
    assert (row["value"], row["used"]) == (7, 50 - skipped.sum())
    assert not {"how", "bias", "above_median"} & set(frame["measure"])
    assert "seconds" not in set(results.performance["measure"])


@pytest.mark.slow
def test_contract_they_are_shown_as_other_measures_are(results, tmp_path, capsys):
    folder = str(results.folder)
    assert "steps, seconds: value" in str(results.table("steps,seconds", rows="n"))
    assert main(["table", folder, "--measure", "seconds"]) == 0
    assert main(["anova", folder, "--measure", "steps"]) == 0
    assert main(["plot", folder, "steps", "--output", str(tmp_path / "f.svg")]) == 0
    assert (
        main(["plot", folder, "lolly", "--measure", "seconds", "--output", f"{tmp_path}/l.svg"])
        == 0
    )
    assert main(["compare", folder, "--methods", "slow,fast"]) == 0
    assert "seconds_ratio" in capsys.readouterr().out
    page = open_results(results.folder).report(tmp_path / "page.html").read_text()
    assert "Mean seconds of a fit" in page


def test_identity_two_methods_are_compared_by_replicate(results):
    made = results.compare("slow", "fast", where="n=20").fits
    wide = results.fits.query("condition == 'n=20' and status != 'skipped'").pivot(
        index="replicate", columns="method", values="steps"
    )
    both = wide.dropna()
    d = (both["slow"] - both["fast"]).astype(float)
    (row,) = made[made["measure"] == "steps_difference"].to_dict("records")
    assert row["value"] == pytest.approx(d.mean())
    assert row["mcse"] == pytest.approx(d.std() / len(d) ** 0.5)
    assert row["used"] == len(d)
    assert set(made["n"]) == {20}


def test_contract_sums_have_none(tmp_path):
    study = Study(**{**vars_of(STUDY), "name": "sums", "keep": "measures"})
    assert run(study, tmp_path, jobs=1, quiet=True).fit_measures.empty


def vars_of(study):
    names = ("simulate", "estimands", "methods", "conditions", "replicates", "seed")
    return {name: getattr(study, name) for name in names}


def test_contract_measures_of_fits_and_of_answers_are_not_mixed(results):
    with pytest.raises(MCStudyError, match="seconds: of the fits, and the other measures are of"):
        results.table("seconds,bias")


@pytest.mark.slow
def test_contract_a_verbose_summary_has_the_seconds_and_diagnostics(study_file, tmp_path, capfd):
    from mcstudy.cli import main

    given = ["run", str(study_file()), "--results", str(tmp_path), "--quiet", "--no-report"]
    main([*given, "--verbose"])
    assert "Seconds and diagnostics of the fits: mean (Monte" in capfd.readouterr().out
    main(given)
    assert "Seconds" not in capfd.readouterr().out


def test_contract_a_misspelt_measure_of_the_fits_is_told_what_is_meant(study_file, tmp_path):
    results = run(study_file(), tmp_path, jobs=1, replicates=5, quiet=True)
    with pytest.raises(MCStudyError, match=r"no measure 'secnds' \(did you mean 'seconds'"):
        results.table("secnds")
