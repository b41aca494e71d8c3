"""Stop when it is enough: at fixed numbers of replicates, whoever did the work."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import HEADER, NORMAL, STUDY

from mcstudy import run
from mcstudy.analysis.mcse import wilson
from mcstudy.analysis.precision import errors
from mcstudy.errors import StudyError
from mcstudy.execution import scheduler
from mcstudy.execution.stopping import counts
from mcstudy.storage.store import Store

PRECISE = (
    "replicates=60",
    'replicates=20, precision={"bias": 0.06, "relative_bias": 0.05, "coverage": 0.05},'
    " max_replicates=100",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precise")
    path = folder / "study_file.py"
    path.write_text((HEADER + NORMAL + STUDY).replace(*PRECISE))
    return run(path, folder, jobs=1, quiet=True)


def replicates_of(results):
    return results.fits.groupby("condition").replicate.nunique().to_dict()


def test_reference_counts_grow_by_halves_and_thirds_up_to_the_cap():
    assert list(counts(10, 75)) == [10, 15, 20, 30, 40, 60, 75]
    assert list(counts(7, 30)) == [7, 11, 14, 21, 28, 30]
    assert list(counts(10, 10)) == [10]


def test_reference_wilson_errors_of_shares_at_the_edge():
    # Limits of 0 of 10 by Newcombe (1998), Statistics in Medicine 17:857: 0 to .2775.
    lower, upper = wilson(0.0, 10.0)
    assert (lower, upper) == (0.0, pytest.approx(0.2775, abs=5e-5))
    table = pd.DataFrame(
        {
            "measure": ["coverage", "coverage", "bias"],
            "value": [1.0, 0.5, 1.0],
            "mcse": [0.0, 0.1, 0.0],
            "used": [10, 25, 10],
        }
    )
    assert errors(table)[0] == pytest.approx(upper / 2 / 1.959963984540054)
    assert errors(table)[1:].tolist() == [0.1, 0.0]


def test_contract_each_condition_stops_where_all_its_cells_are_precise(results):
    done = replicates_of(results)
    # bias .06: 1/n/.06^2 = 56 replicates at n=5 and 28 at n=10; mean 1.5 asks more for the ratio.
    assert set(done) == {f"mean={mean}, n={n}" for mean in ("0", "1.5") for n in (5, 10)}
    assert set(done.values()) <= set(counts(20, 100))
    assert done["mean=0, n=10"] < done["mean=0, n=5"] <= 80
    table = results.performance
    judged = table[table.reached.notna()]
    assert set(judged.measure) == {"bias", "relative_bias", "coverage"}
    assert not ((judged["mean"] == 0) & (judged.measure == "relative_bias")).any()
    assert (judged.reached | (judged.replicates == 100)).all()
    for row in judged[judged.measure == "bias"].itertuples():
        assert row.reached == (row.mcse <= 0.06)


@pytest.mark.slow
def test_law_the_number_needed_is_the_one_that_theory_says(study_file, tmp_path):
    precise = ("replicates=60", 'replicates=50, precision={"bias": 0.03}, max_replicates=2000')
    done = replicates_of(
        run(study_file(precise), tmp_path, methods=["average"], jobs=1, quiet=True)
    )
    for n in (5, 10):
        needed = 1 / n / 0.03**2
        at = done[f"mean=0, n={n}"]
        before = max(count for count in counts(50, 2000) if count < at)
        # The sd of the means is known to 1/sqrt(2R), so the number needed to about sqrt(2/R).
        slack = 1 + 3 * np.sqrt(2 / needed)
        assert before < needed * slack
        assert at > needed / slack


@pytest.mark.slow
def test_contract_the_summary_names_what_stopped_at_the_cap(study_file, tmp_path):
    precise = ("replicates=60", 'replicates=20, precision={"bias": 0.06}, max_replicates=30')
    text = str(run(study_file(precise), tmp_path, jobs=1, quiet=True))
    assert "Precision (bias 0.06): " in text
    assert "of 8 cells stopped short of it at max_replicates=30: mean=0" in text
    enough = ("replicates=60", 'replicates=20, precision={"bias": 9}, max_replicates=30')
    assert "reached in all 8 cells" in str(run(study_file(enough), tmp_path, jobs=1, quiet=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "seconds"), [(2, 2.0), pytest.param(1, 0.002, marks=pytest.mark.xslow)]
)
def test_contract_the_same_end_for_workers_and_job_sizes(
    study_file, tmp_path, results, monkeypatch, workers, seconds
):
    monkeypatch.setattr(scheduler, "JOB_SECONDS", seconds)
    other = run(study_file(PRECISE), tmp_path / "other", jobs=workers, quiet=True)
    assert other.digests() == results.digests()


@pytest.mark.slow
def test_contract_the_same_end_after_kills(study_file, tmp_path, results):
    code = (
        "import sys; from mcstudy import run; from mcstudy.execution import scheduler;"
        "scheduler.JOB_SECONDS = 0.003;"
        "run(sys.argv[1], sys.argv[2], jobs=1, quiet=True)"
    )
    moments = random.Random(3)
    paced = (
        "return rng.normal(mean, size=n)",
        "import os, time; time.sleep(float(os.environ.get('PAUSE', 0)))\n"
        "    return rng.normal(mean, size=n)",
    )
    path = study_file(PRECISE, paced)
    folder = tmp_path / "killed" / "normal" / "parts"
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", code, path, tmp_path / "killed"],
            env={**os.environ, "PAUSE": "0.002"},
        )
        seen, more = len(list(folder.glob("*/*/*.parquet"))), moments.randint(5, 20)
        while child.poll() is None and len(list(folder.glob("*/*/*.parquet"))) < seen + more:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(list(folder.glob("*/*/*.parquet"))) > 10
    end = run(path, tmp_path / "killed", jobs=1, quiet=True)
    whole = run(path, tmp_path / "whole", jobs=1, quiet=True)
    assert end.digests() == whole.digests()
    assert replicates_of(end) == replicates_of(results)


@pytest.mark.slow
def test_contract_rows_beyond_do_not_count_and_nothing_is_computed_twice(
    study_file, tmp_path, results, capfd
):
    folder = tmp_path / "more"
    run(study_file(), folder, methods=["average"], replicates=90, jobs=1, quiet=True)
    end = run(study_file(PRECISE), folder, jobs=1, quiet=True)
    jittered = end.fits[end.fits.method == "jittered"]
    assert jittered.groupby("condition").size().to_dict() == replicates_of(results)
    run(study_file(PRECISE), folder, jobs=1)
    assert "Nothing is missing" in capfd.readouterr().err


def replicates_in(folder):
    """Return the condition and number of each replicate that is stored."""
    return {(p.condition, i) for p in Store(folder).parts() for i in range(p.start, p.stop)}


@pytest.mark.slow
def test_contract_another_precision_goes_on_from_the_stored_rows(study_file, tmp_path):
    loose = ("replicates=60", 'replicates=20, precision={"bias": 0.1}, max_replicates=400')
    tight = ("replicates=60", 'replicates=20, precision={"bias": 0.04}, max_replicates=400')
    first = run(study_file(loose), tmp_path / "on", jobs=1, quiet=True)
    held = replicates_in(first.folder)
    on = run(study_file(tight), tmp_path / "on", jobs=1, quiet=True)
    assert replicates_in(on.folder) > held
    anew = run(study_file(tight), tmp_path / "anew", jobs=1, quiet=True)
    assert on.digests() == anew.digests()


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            'precision={"bais": 1}, max_replicates=99',
            r"'bais' \(did you mean 'bias'\?\), which is no measure",
        ),
        ('precision={"bias": -1}, max_replicates=99', "the precision of bias is -1; give a number"),
        ('precision={"bias": "x"}, max_replicates=99', "the precision of bias is 'x'"),
        ("precision={}, max_replicates=99", "precision is {}; write"),
        ('precision={"bias": 1}', "precision needs max_replicates"),
        ('precision={"bias": 1}, max_replicates=5', "max_replicates is 5, below replicates 60"),
        ('precision={"bias": 1}, max_replicates=1.5', "max_replicates is 1.5; give an integer"),
        ("max_replicates=99", "max_replicates is given without precision"),
    ],
)
def test_contract_bad_precision_is_said_at_once(study_file, tmp_path, new, message):
    with pytest.raises(StudyError, match=message.replace("{", r"\{").replace("}", r"\}")):
        run(study_file(("replicates=60", f"replicates=60, {new}")), tmp_path, quiet=True)
