"""Functions that take a whole batch: which ones do, and what depends on the size of a batch."""

import functools
import warnings

import numpy as np
import pytest

from mcstudy import Estimate, Fit, Study, batched, grid, run
from mcstudy.errors import StudyError
from mcstudy.fits import replicates
from mcstudy.method import batch_form, batch_of

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


@pytest.mark.parametrize("jobs", [1, 2])
def test_contract_a_partial_of_a_batched_method_is_batched(tmp_path, jobs):
    partial = functools.partial(by_row, shift=1000.0)
    results = run(study(partial), tmp_path, jobs=jobs, quiet=True)
    assert set(results.fits.status) == {"ok"}
    assert results.fits.together.any()
    assert (results.estimates.estimate > 900).all()


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


def test_contract_the_order_of_sets_is_one_in_all_workers(tmp_path):
    def tells(sample):
        warnings.warn(f"{ {'a', 'b', 'c', 'd', 'e'} }", stacklevel=1)
        return {"mean": Estimate(sample.mean())}

    runs = [run(study(tells), tmp_path / name, jobs=2, quiet=True) for name in ("one", "two")]
    assert runs[0].digests() == runs[1].digests()
    assert runs[0].fits.message.nunique() == 1


def test_contract_a_draw_from_a_global_state_is_noticed_after_the_first_replicate(tmp_path):
    def late(sample):
        noise = np.random.normal() if sample[0] > 1 else 0.0  # noqa: NPY002 - what is refused
        return {"mean": Estimate(sample.mean() + noise)}

    with pytest.raises(StudyError, match="draws from a global random state"):
        run(study(late), tmp_path, jobs=1, quiet=True)
    assert not list(tmp_path.glob("s/parts/*.parquet"))
