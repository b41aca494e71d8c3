"""Study files for the tests, written where a test wants them."""

from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

HEADER = """
import numpy as np
from mcstudy import Estimate, Fit, Status, Study, batched, grid
"""

NORMAL = """
def simulate(rng, *, n, mean):
    return rng.normal(mean, size=n)

def average(sample):
    se = sample.std(ddof=1) / len(sample) ** 0.5
    return {"mean": Estimate(sample.mean(), se, sample.mean() - 2 * se, sample.mean() + 2 * se)}

def jittered(sample, rng):
    return {"mean": Estimate(sample.mean() + 0.01 * rng.normal())}
"""

STUDY = """
study = Study(
    name="normal",
    simulate=simulate,
    estimands=lambda *, n, mean: {"mean": mean},
    methods={"average": average, "jittered": jittered},
    conditions=grid(n=[5, 10], mean=[0.0, 1.5]),
    replicates=60,
    seed=7,
)
"""


@pytest.fixture(scope="session", autouse=True)
def page_of_80_columns():
    """Fold tables as a terminal of 80 columns does; without one they are as wide as it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Leave the other cores to the other tests."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def no_report():
    """Let `mcstudy run` write no report, which takes longer than most studies of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MCSTUDY_REPORT", "off")
        yield


@pytest.fixture
def study_file(tmp_path):
    """Write a study file and return its path; `old` and `new` edit the plain one."""

    def write(*edits, body=NORMAL + STUDY, name="study_file.py") -> Path:
        text = HEADER + body
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
