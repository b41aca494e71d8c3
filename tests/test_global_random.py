"""Draws that no seed of a study reaches: seen by run and by check alike, with their address."""

import random
import sys
import types

import numpy as np
import pytest

from mcstudy import Estimate, Study, batched, check, grid, run
from mcstudy.errors import StudyError
from mcstudy.streams import stream

LIMIT = 1.8
CONDITION = grid(n=[7]).conditions[0].key


def study(method, *, simulate=None, **more):
    return Study(
        name="s",
        simulate=simulate or (lambda rng, *, n: rng.normal(size=n)),
        estimands=lambda *, n: {"mean": 0.0},
        methods={"a": lambda sample: {"mean": Estimate(sample.mean())}, "m": method},
        conditions=grid(n=[7]),
        replicates=40,
        seed=1,
        **more,
    )


def rarely(draw):
    """A method that draws from elsewhere on few data sets, and none of the first."""

    def method(sample):
        noise = draw() if sample[0] > LIMIT else 0.0
        return {"mean": Estimate(sample.mean() + noise)}

    return method


def global_draw():
    return np.random.normal()  # noqa: NPY002 - what is refused


FIRST = next(i for i in range(40) if stream(1, CONDITION, i).normal(size=7)[0] > LIMIT)
WHERE = rf"\(replicate {FIRST} of n=7\)$"


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_contract_a_rare_draw_from_a_global_state_has_an_address(tmp_path, jobs):
    said = (
        r"^s: method 'm' draws from the global random state of numpy\.random, which no seed of the "
        r"study reaches; let it ask for rng .*: random_state=int\(rng\.integers\(2\*\*31\)\) "
    )
    with pytest.raises(StudyError, match=said + WHERE):
        run(study(rarely(global_draw)), tmp_path, jobs=jobs, quiet=True)
    assert not list(tmp_path.glob("s/parts/*.parquet"))


def test_contract_the_state_that_is_drawn_from_has_its_name(tmp_path):
    with pytest.raises(StudyError, match=f"method 'm' .* state of random, .*{WHERE}"):
        run(study(rarely(random.random)), tmp_path, jobs=1, quiet=True)


def test_contract_a_draw_of_simulate_is_not_blamed_on_a_method(tmp_path):
    def simulate(rng, *, n):
        sample = rng.normal(size=n)
        if sample[0] > LIMIT:
            np.random.normal()  # noqa: NPY002 - what is refused
        return sample

    with pytest.raises(StudyError, match=f"s: simulate draws .*; use the rng it gets; .*{WHERE}"):
        run(study(lambda s: {"mean": Estimate(s[0])}, simulate=simulate), tmp_path, jobs=1)


def test_contract_a_draw_within_a_batch_has_an_address(tmp_path):
    method = rarely(global_draw)

    @batched
    def together(samples):
        return {"mean": Estimate(np.array([method(s)["mean"].value for s in samples]))}

    with pytest.raises(StudyError, match=f"method 'm' draws .*{WHERE}"):
        run(study(together), tmp_path, jobs=1, quiet=True)


def test_contract_a_draw_that_comes_once_is_told_of_without_a_replicate(tmp_path):
    drawn = []

    def method(sample):
        if sample[0] > LIMIT and not drawn:
            drawn.append(np.random.normal())  # noqa: NPY002 - what is refused
        return {"mean": Estimate(sample.mean())}

    said = r"somewhere in replicates \d+ to \d+ of n=7, but not when they are done again"
    with pytest.raises(StudyError, match=said):
        run(study(method), tmp_path, jobs=1, quiet=True)


def fake_numba():
    """A module with numba's functions that tell of the state of its compiled functions."""
    states = {"np": 0, "py": 0}
    helper = types.ModuleType("numba._helperlib")
    helper.rnd_get_np_state_ptr = lambda: "np"
    helper.rnd_get_py_state_ptr = lambda: "py"
    helper.rnd_get_state = lambda pointer: (states[pointer], [1, 2, 3])

    def draw():
        states["np"] += 1
        return 0.5

    return helper, draw


def test_contract_a_draw_of_a_compiled_function_is_seen(tmp_path, monkeypatch):
    helper, draw = fake_numba()
    monkeypatch.setitem(sys.modules, "numba._helperlib", helper)
    said = "method 'm' draws from the global random state of numba, .* pass it to the compiled"
    with pytest.raises(StudyError, match=f"{said}.*{WHERE}"):
        run(study(rarely(draw)), tmp_path, jobs=1, quiet=True)
    always = check(study(lambda sample: {"mean": Estimate(sample[0] + 0 * draw())}))
    assert [line for line in always.problems if "global random state of numba" in line]


def test_contract_numba_itself_is_seen(tmp_path):
    numba = pytest.importorskip("numba")
    draw = numba.njit(global_draw)
    with pytest.raises(StudyError, match=f"state of numba, .*{WHERE}"):
        run(study(rarely(draw)), tmp_path, jobs=1, quiet=True)


def test_contract_run_tells_of_a_generator_without_a_seed_as_check_does(tmp_path, capfd):
    unseeded = study(lambda sample: {"mean": Estimate(np.random.default_rng().normal())})
    said = "method 'm' gives another answer when the same replicate is done again: it or simulate"
    assert said in check(unseeded).problems[0]
    run(unseeded, tmp_path, jobs=1)
    assert f"Note: {said}" in capfd.readouterr().err
    run(study(lambda s: {"mean": Estimate(s[0])}), tmp_path / "plain", jobs=1)
    assert "otherwise" not in capfd.readouterr().err


def test_contract_what_takes_no_generator_comes_with_advice(tmp_path, capfd):
    def like_scikit_learn(sample, rng):
        raise ValueError(f"{rng} cannot be used to seed a numpy.random.RandomState instance")

    said = "in scikit-learn: random_state=int(rng.integers(2**31))"
    assert said in check(study(like_scikit_learn)).problems[0]
    run(study(like_scikit_learn), tmp_path, jobs=1)
    assert said in capfd.readouterr().err
