"""What a study may be made of: what is odd is told of when it is made, in one line."""

import copy
import functools
import inspect

import numpy as np
import pytest

from mcstudy import Estimate, Study, batched, grid, run
from mcstudy.errors import StudyError
from mcstudy.execution import run_loop


def study(**changes):
    parts = {
        "name": "s",
        "simulate": lambda rng, *, n: rng.normal(size=n),
        "estimands": lambda *, n: {"mean": 0.0},
        "methods": {"m": lambda sample: {"mean": Estimate(sample.mean())}},
        "conditions": grid(n=[5]),
        "replicates": 10,
        "seed": 1,
    }
    return Study(**(parts | changes))


async def waits(sample):
    return None


def ends(*, n):
    raise SystemExit(3)


def rambles(*, n):
    raise ValueError("one line\nand another")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": {"m": waits}}, "method 'm' is an async function; write it with a plain def"),
        ({"simulate": waits}, "simulate is an async function"),
        (
            {"methods": {"m": lambda x, level: None}},
            "'m' cannot be called with a data set: missing",
        ),
        ({"methods": {"m": lambda: None}}, "'m' cannot be called with a data set: too many"),
        ({"methods": {"\ud800": len}}, "cannot name a method"),
        ({"replicates": 2**32}, "replicates is 4294967296; give an integer of 1 or more, below"),
        ({"replicates": np.array([1, 2])}, "give an integer of 1 or more"),
    ],
)
def test_contract_odd_studies_are_told_of_in_one_line(changes, message):
    with pytest.raises(StudyError) as error:
        study(**changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("estimands", "message"),
    [
        (ends, "estimands fails at n=5: SystemExit: 3"),
        (rambles, "estimands fails at n=5: ValueError: one line and another"),
        (lambda *, n: {"mean": "1.5"}, "estimands fails at n=5: '1.5' is a text"),
        (lambda *, n: {"\ud800": 1.0}, "return {'name': number}"),
    ],
)
def test_contract_odd_truths_are_told_of_in_one_line(estimands, message):
    a_study = study(estimands=estimands)
    with pytest.raises(StudyError) as error:
        a_study.truths(a_study.conditions.conditions[0])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_contract_a_study_shows_itself_in_a_line():
    shown = repr(study(seed=7))
    assert shown.startswith("<Study ")
    assert "conditions x " in shown
    assert "seed 7; methods " in shown
    assert "\n" not in shown


def test_contract_a_method_may_have_arguments_of_its_own_with_defaults():
    def method(sample, level=0.95, *, rng, condition):
        return None

    assert study(methods={"m": method, "n": functools.partial(lambda x, k: None, k=1)})


def test_contract_numpys_integers_are_integers(tmp_path):
    numpys = study(replicates=np.int64(20), seed=np.int32(1))
    assert (numpys.replicates, numpys.seed) == (20, 1)
    assert run(numpys, tmp_path, replicates=np.int64(4), jobs=1, quiet=True).fits.shape[0] == 4


def test_contract_methods_are_a_list(tmp_path):
    with pytest.raises(StudyError, match=r"methods is 'm'; give a list: methods=\['m'\]"):
        run(study(), tmp_path, methods="m", jobs=1, quiet=True)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([10**400], "a level of 1329 bits"),
        ([2**63], "a level of 64 bits; tables hold integers of 64, write it as a float"),
        (["\ud800"], "which is no valid text"),
        ([np.array([5])], "of type ndarray"),
        ([np.ma.masked], "of type MaskedConstant"),
    ],
)
def test_contract_levels_that_no_table_can_hold_are_refused(levels, message):
    with pytest.raises(StudyError) as error:
        grid(n=levels)
    assert message in str(error.value)


def test_contract_zero_has_no_sign():
    (condition,) = grid(n=[-0.0, 0.0])
    assert str(condition.factors["n"]) == "0.0"
    assert {str(c.factors["n"]) for c in grid(n=[np.float64(-0.0)])} == {"0.0"}


def test_contract_where_takes_defaults_and_tells_what_fails():
    assert len(grid(n=[1, 2, 3]).where(lambda n, least=2: n >= least)) == 2
    with pytest.raises(StudyError, match="where: 3 is no function"):
        grid(n=[1]).where(3)
    with pytest.raises(StudyError, match="where: fails at n=1: ValueError: The truth value"):
        grid(n=[1]).where(lambda n: np.array([True, False]))
    with pytest.raises(StudyError, match="asks for 'm'"):
        grid(n=[1]).where(lambda m: True)


def test_contract_a_look_while_a_condition_has_no_rows_yet(tmp_path, monkeypatch):
    looks = []
    update = run_loop.update_tables

    def counted(study_record, *more):
        looks.append(sum(bool(items) for items in study_record.stored().values()))
        return update(study_record, *more)

    monkeypatch.setattr(run_loop, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(run_loop, "_LOOK_SHARE", 0)
    monkeypatch.setattr(run_loop, "update_tables", counted)
    run(study(conditions=grid(n=[5, 6, 7])), tmp_path, jobs=1, quiet=True)
    assert looks[0] == 1


def test_contract_a_study_shows_its_arguments_and_can_be_built_upon():
    assert list(inspect.signature(Study).parameters)[:2] == ["name", "simulate"]

    class Normal(Study):
        def __init__(self, n):
            super().__init__(
                name="normal",
                simulate=lambda rng: rng.normal(size=n),
                estimands=lambda: {"mean": 0.0},
                methods={"mean": lambda x: {"mean": x.mean()}},
                conditions=grid(),
                replicates=n,
                seed=1,
            )

    assert copy.deepcopy(Normal(3)).replicates == 3
    with pytest.raises(StudyError, match="Study lacks name, simulate"):
        Study()


def test_contract_a_simulate_without_generator_is_told_how_to_take_it():
    for simulate, what in ((lambda n: n, "rng"), (batched(lambda n: [n]), "rngs")):
        with pytest.raises(StudyError, match=rf"write def simulate\({what}, n\)"):
            study(simulate=simulate)
