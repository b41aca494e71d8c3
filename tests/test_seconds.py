"""The seconds of a fit, and its time limit, are those of the user's function alone."""

import time

import numpy as np
import pytest

from mcstudy import Estimate, Fit, Study, batched, grid, run


class Heavy:
    """A data set that takes long to copy."""

    def __deepcopy__(self, memo):
        time.sleep(0.2)
        return self


class SlowText:
    """A message that takes long to put into words."""

    def __str__(self):
        time.sleep(0.2)
        return "slow"


def answer(data):
    time.sleep(0.02)
    return Fit({"mean": Estimate(1.0)}, message=SlowText())


@batched
def together(batch):
    time.sleep(0.02 * len(batch))
    return Fit({"mean": Estimate(np.ones(len(batch)))}, message=[SlowText()] * len(batch))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "method"),
    [
        (None, together),
        (0.15, answer),
        pytest.param(None, answer, marks=pytest.mark.xslow),
        pytest.param(0.15, together, marks=pytest.mark.xslow),
    ],
)
def test_contract_copies_and_checks_are_in_no_seconds_and_no_limit(tmp_path, method, limit):
    study = Study(
        name="s",
        simulate=lambda rng, *, n: Heavy(),
        estimands=lambda *, n: {"mean": 0.0},
        methods={"m": method},
        conditions=grid(n=[1]),
        replicates=3,
        seed=1,
        time_limit=limit,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    assert results.fits.status.tolist() == ["ok"] * 3
    assert results.fits.message.tolist() == ["slow"] * 3
    assert results.timings.seconds.between(0.02, 0.15).all()


@pytest.mark.slow
def test_contract_a_limit_does_not_end_a_worker_that_copies(tmp_path):
    """Beyond the limit and its grace, which the worker is given on top."""

    class Heavier(Heavy):
        def __deepcopy__(self, memo):
            time.sleep(1.0)
            return self

    study = Study(
        name="s",
        simulate=lambda rng, *, n: Heavier(),
        estimands=lambda *, n: {"mean": 0.0},
        methods={"m": lambda data: {"mean": Estimate(1.0)}},
        conditions=grid(n=[1]),
        replicates=1,
        seed=1,
        time_limit=0.1,
    )
    assert run(study, tmp_path, jobs=1, quiet=True).fits.status.tolist() == ["ok"]
