"""How an array lies in memory: its copy elsewhere has sums that are the same to the last bit."""

import numpy as np
import pytest

from mcstudy import Estimate, Study, grid, run
from mcstudy.arrays import laid_out, layout_of


def views():
    """Yield views with gaps, of one to four axes, some of them reversed or repeated."""
    rng = np.random.default_rng(1)
    for _ in range(500):
        shape = tuple(rng.integers(2, 6, rng.integers(1, 5)))
        steps = [slice(None, None, int(rng.choice([1, 1, 2, -1, -2]))) for _ in shape]
        view = rng.normal(size=shape).transpose(rng.permutation(len(shape)))[tuple(steps)]
        if rng.random() < 0.2:
            view = np.broadcast_to(view, (3, *view.shape))
        if not view.flags.forc:
            yield view


def test_identity_sums_of_a_copy_with_the_layout_are_the_same():
    for view in views():
        made = laid_out(np.ascontiguousarray(view), layout_of(view))
        assert np.array_equal(made, view)
        assert made.strides == layout_of(made) == layout_of(view)
        for axis in (None, 0, -1):
            assert np.array_equal(made.sum(axis=axis), view.sum(axis=axis))


def test_contract_a_layout_takes_little_memory():
    column = np.ones((10, 5000))[:, 7]
    assert layout_of(column) == (16,)
    assert layout_of(np.ones((20, 3000))[:, 1:3]) == (24, 8)


@pytest.mark.slow
def test_identity_views_of_a_session_give_the_same_numbers_in_workers(tmp_path):
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(40, 9))[:, 0]
    cube = rng.normal(size=(30, 40, 50)).transpose(0, 2, 1)
    study = Study(
        name="views",
        simulate=lambda rng, *, n: rng.normal(size=n),
        estimands=None,
        methods={
            "m": lambda x: {
                "sum": Estimate(float((cube * x[0]).sum())),
                "dot": Estimate(float(x @ weights)),
            }
        },
        conditions=grid(n=[40]),
        replicates=20,
        seed=1,
    )
    here = run(study, tmp_path / "here", jobs=1, quiet=True)
    there = run(study, tmp_path / "there", jobs=2, quiet=True)
    assert here.digests() == there.digests()
