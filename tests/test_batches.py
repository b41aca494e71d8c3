"""Functions that take a whole batch: which ones do, and what depends on the size of a batch."""

import functools
import warnings
from collections import deque

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mcstudy import Estimate, Fit, Study, batched, check, grid, run
from mcstudy.errors import StudyError
from mcstudy.method import batch_form, batch_of
from mcstudy.simulation import replicates
from mcstudy.simulation.retry_policy import RetryPolicy
from mcstudy.streams import stream

WEIGHTS = np.linspace(0.1, 0.9, 7)


@batched
def by_row(samples, shift=0.0):
    means = np.array([sample.mean() for sample in samples])
    return Fit({"mean": Estimate(means + shift)}, diagnostics={"together": len(samples) > 1})


@batched
def product(samples):
    return {"mean": Estimate(np.array(samples) @ WEIGHTS)}


def study(method, **more):
    return Study(
        name="s",
        simulate=lambda rng, *, n: rng.normal(size=n),
        estimands=lambda *, n: {"mean": 0.0},
        methods={"m": method},
        conditions=grid(n=[7]),
        replicates=40,
        seed=1,
        **more,
    )


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_contract_a_partial_of_a_batched_method_is_batched(tmp_path, jobs):
    partial = functools.partial(by_row, shift=1000.0)
    results = run(study(partial), tmp_path, jobs=jobs, quiet=True)
    assert set(results.fits.status) == {"ok"}
    assert results.fits.together.any()
    assert (results.estimates.estimate > 900).all()


@pytest.mark.slow
def test_contract_what_wraps_a_batched_method_is_refused_unless_batched_itself(tmp_path):
    with pytest.raises(StudyError, match=r"'m' wraps a batched function .* put @batched on top"):
        study(logged(by_row))
    results = run(study(batched(logged(by_row))), tmp_path, jobs=2, quiet=True)
    assert results.fits.together.any()


def test_contract_what_wraps_one_of_two_forms_is_called_itself():
    def both(samples):
        raise AssertionError

    @logged
    @batch_form(both)
    def single(sample):
        return 1

    assert batch_of(single) is None
    assert study(single)


class Scaled:
    batch = 32

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, sample):
        return {"mean": Estimate(self.factor * sample.mean())}

    @batched
    def together(self, samples):
        return {"mean": Estimate(np.array([self.factor * s.mean() for s in samples]))}


def test_contract_an_attribute_called_batch_means_nothing(tmp_path):
    results = run(study(Scaled(2.0)), tmp_path, jobs=1, quiet=True)
    assert set(results.fits.status) == {"ok"}


def test_contract_a_bound_method_can_be_batched(tmp_path):
    one = run(study(Scaled(2.0)), tmp_path / "one", jobs=1, quiet=True)
    together = run(study(Scaled(2.0).together), tmp_path / "together", jobs=1, quiet=True)
    assert one.digests() == together.digests()


def test_contract_a_method_is_asked_for_by_the_right_name():
    @batched
    def alone(samples, rng=None):
        return None

    with pytest.raises(StudyError, match="'m' asks for 'rng'; a method that is batched asks for"):
        study(alone)
    with pytest.raises(StudyError, match="asks for 'rngs'; a method that is not batched asks for"):
        study(lambda sample, rngs: None)


@pytest.mark.parametrize("most", [1, 3, 1024])
def test_contract_a_method_that_keeps_replicates_apart_is_the_same_in_any_batch(
    tmp_path, monkeypatch, most
):
    @batched
    def apart(samples):
        return {"mean": Estimate((np.array(samples) * WEIGHTS).sum(axis=-1))}

    whole = run(study(apart), tmp_path / "whole", jobs=1, quiet=True).digests()
    monkeypatch.setattr(replicates, "BATCH_REPLICATES", most)
    assert run(study(apart), tmp_path / "cut", jobs=1, quiet=True).digests() == whole


def test_contract_a_product_over_the_batch_is_the_same_but_for_its_last_bits(tmp_path, monkeypatch):
    """What the docstring of `batched` says is no guarantee: bits may follow the batch here."""
    whole = run(study(product), tmp_path / "whole", jobs=1, quiet=True).estimates.estimate
    monkeypatch.setattr(replicates, "BATCH_REPLICATES", 3)
    cut = run(study(product), tmp_path / "cut", jobs=1, quiet=True).estimates.estimate
    np.testing.assert_allclose(whole, cut, rtol=0, atol=1e-14)


@pytest.mark.slow
def test_contract_the_order_of_sets_is_one_in_all_workers(tmp_path):
    def tells(sample):
        warnings.warn(f"{ {'a', 'b', 'c', 'd', 'e'} }", stacklevel=1)
        return {"mean": Estimate(sample.mean())}

    runs = [run(study(tells), tmp_path / name, jobs=2, quiet=True) for name in ("one", "two")]
    assert runs[0].digests() == runs[1].digests()
    assert runs[0].fits.message.nunique() == 1


def batch_study(convert, name="s", method=None):
    """A study whose simulate makes a batch of another kind out of an array of shape (R, 8)."""

    @batched
    def simulate(rngs, *, n):
        return convert(np.array([rng.normal(size=8) for rng in rngs]))

    def first(sample):
        return {"first": Estimate(float(np.asarray(sample)[0]))}

    return Study(
        name=name,
        simulate=simulate,
        estimands=lambda *, n: {"first": 0.0},
        methods={"m": method or first},
        conditions=grid(n=[8]),
        replicates=20,
        seed=1,
    )


class Lacking:
    """A batch that does not give the data sets that begin below a limit."""

    def __init__(self, samples, limit):
        self.samples, self.limit = samples, limit

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, place):
        if self.samples[place][0] < self.limit:
            raise KeyError(place)
        return self.samples[place]


REFUSED = {
    "an object of type DataFrame": pd.DataFrame,
    "an object of type dict": lambda samples: dict(enumerate(samples)),
    "an object of type set": lambda samples: {tuple(sample) for sample in samples},
    "an object of type str": lambda samples: "x" * len(samples),
    "an object of type bytes": lambda samples: b"x" * len(samples),
    "an object of type generator": lambda samples: (sample for sample in samples),
    "an object of type NoneType": lambda samples: None,
    "an object of type float": lambda samples: 1.0,
    "an object of type ndarray without a length": lambda samples: np.array(1.0),
    "an object of type Series whose index is not 0 to 0": lambda samples: pd.Series(
        list(samples), index=["a"]
    ),
    "8 items": lambda samples: samples.T,
    "0 items": lambda samples: [],
    "an object of type Table": lambda samples: pa.table({"y": samples[:, 0]}),
    "an object of type RecordBatch": lambda samples: pa.record_batch({"y": samples[:, 0]}),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_contract_a_batch_that_is_none_is_refused_before_the_run(tmp_path, kind):
    odd = batch_study(REFUSED[kind])
    said = f"simulate returned {kind} for a batch of 1; return a list, or an array, with one data"
    with pytest.raises(StudyError, match=f"s: {said}"):
        run(odd, tmp_path, jobs=1, quiet=True)
    assert not list(tmp_path.glob("s/parts/*/*/*.parquet"))
    assert [line for line in check(odd).problems if line.startswith(said)]


def test_contract_a_batch_that_is_a_polars_frame_is_refused(tmp_path):
    polars = pytest.importorskip("polars")
    with pytest.raises(StudyError, match="simulate returned an object of type DataFrame for a"):
        run(batch_study(polars.DataFrame), tmp_path, jobs=1, quiet=True)


@pytest.mark.parametrize("convert", [list, tuple, np.asarray, np.asfortranarray, pd.array, deque])
def test_contract_a_batch_is_anything_whose_items_are_the_data_sets(tmp_path, convert):
    if convert is pd.array:
        convert = lambda samples: pd.Series(list(samples))  # noqa: E731
    estimates = run(batch_study(convert), tmp_path, jobs=1, quiet=True).estimates
    condition = grid(n=[8]).conditions[0].key
    expected = [stream(1, condition, i).normal(size=8)[0] for i in range(20)]
    assert estimates.estimate.tolist() == expected


def test_contract_a_data_set_that_a_batch_does_not_give_is_a_row(tmp_path, monkeypatch):
    said = "gets no data set: batch[i] of what simulate returned raises KeyError"
    some = batch_study(lambda samples: Lacking(samples, -0.5))
    results = run(some, tmp_path, jobs=1, quiet=True)
    failed = results.fits[results.fits.status == "error"]
    assert 0 < len(failed) < 20
    assert all(said in message for message in failed.message)
    monkeypatch.setattr(replicates, "BATCH_REPLICATES", 3)
    assert run(some, tmp_path / "cut", jobs=1, quiet=True).digests() == results.digests()
    with pytest.raises(StudyError, match="method 'm' gets no data set"):
        run(batch_study(lambda samples: Lacking(samples, 9.0)), tmp_path / "none", jobs=1)


def test_contract_check_holds_a_batch_against_each_replicate_alone():
    too_few = batch_study(lambda samples: samples[:1])
    assert "simulate returned 1 item for a batch of 3" in check(too_few).problems[0]
    mixed = batch_study(lambda samples: samples[::-1])
    assert "gives another answer for replicates in a batch" in check(mixed).problems[0]

    @batched
    def centred(samples):
        return {"first": Estimate(samples[:, 0] - samples[:, 0].mean())}

    assert "gives another answer" in check(batch_study(np.asarray, method=centred)).problems[0]
    assert check(batch_study(np.asarray)).clean


def test_contract_a_method_that_gets_a_view_of_a_batch_spoils_nothing(tmp_path):
    def spoils(sample):
        first = float(sample[0])
        sample[:] = 0.0
        return {"first": Estimate(first)}

    results = run(batch_study(np.asarray, method=spoils), tmp_path, jobs=1, quiet=True)
    plain = run(batch_study(np.asarray, name="plain"), tmp_path, jobs=1, quiet=True)
    assert results.estimates.estimate.equals(plain.estimates.estimate)


def test_contract_a_warning_is_told_once_whatever_the_batch():
    """Where the true value of one of a batch cannot be had, all are done again one by one."""

    def simulate(rng):
        x = rng.normal()
        if x > 1:
            warnings.warn("large", stacklevel=1)
        return x

    def truth(data):
        if data < -2:
            raise ValueError("no truth")
        return {"m": data}

    study = Study(
        name="warns",
        simulate=simulate,
        estimands=truth,
        methods={"same": lambda x: {"m": x}},
        conditions=grid(),
        replicates=100,
        seed=1,
    )
    (condition,) = study.conditions
    job = replicates.Job(condition, 0, 100, ("same",))
    together, singly = (
        replicates.do_job(study, job, 1e9, policy=RetryPolicy(singly, {}))[1]["same"].messages
        for singly in (False, True)
    )
    assert together == singly
    assert {"simulate: UserWarning: large", "estimands: ValueError: no truth"} == {
        *together.values()
    }
