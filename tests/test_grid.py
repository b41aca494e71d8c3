"""Factors to conditions."""

import enum

import numpy as np
import pytest

from mcstudy import Estimate, MCStudyError, Study, grid, run
from mcstudy.grid import level_text


def keys(conditions):
    return {condition.key for condition in conditions}


def test_contract_product_union_and_where():
    conditions = grid(a=[1, 2], b=["x", None]) + grid(a=[3], b=["x"])
    assert len(conditions) == 5
    assert keys(conditions.where(lambda a: a > 1)) == {'a=2, b="x"', "a=2, b=None", 'a=3, b="x"'}
    assert keys(conditions.where(lambda **f: f["b"] is None)) == {"a=1, b=None", "a=2, b=None"}


def test_contract_every_condition_of_one_grid_with_every_one_of_another():
    assert keys((grid(a=[1]) + grid(a=[2])) * grid(b=[3, 4])) == keys(grid(a=[1, 2], b=[3, 4]))


def test_contract_a_grid_shows_itself_in_a_line():
    assert repr(grid(n=[10, 30], s=[0.5])) == "<Grid of 2 conditions; n = 10, 30; s = 0.5>"
    many = repr(grid(n=range(200)))
    assert many == "<Grid of 200 conditions; n = 0, 1, 2, 3, 4, 5, 6, 7 ... (200 levels)>"


def test_contract_order_carries_no_meaning():
    assert keys(grid(a=[1, 2], b=[3])) == keys(grid(b=[3], a=[2, 1]))


def test_contract_equal_numbers_are_one_level_and_true_is_not_one():
    assert len(grid(a=[1, 1.0, np.float64(1), np.int32(1)])) == 1
    assert len(grid(a=[1, True])) == 2
    assert len(grid(a=[0.0, -0.0])) == 1
    assert len(grid(a=[1]) + grid(a=[1.0])) == 1


@pytest.mark.parametrize(("first", "second"), [([1], [1.0]), ([1.0], [1])])
def test_contract_the_level_given_does_not_depend_on_order(first, second):
    (condition,) = grid(a=first) + grid(a=second)
    assert type(condition.factors["a"]) is int


def test_contract_texts_that_look_alike_stay_apart():
    assert len(grid(a=["1", 1, "None", None, "True", True, 'x", b="y'])) == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid(a=[]), "'a' has no levels"),
        (lambda: grid(a=[float("nan")]), "NaN"),
        (lambda: grid(a=[(1, 2)]), "tuple; levels are bool, int, float, str or None"),
        (lambda: grid(a="normal"), r"a='normal' is not a list of levels; write a=\[...\]"),
        (lambda: grid(a=3), "is not a list of levels"),
        (lambda: grid(a=np.array(3)), r"a=array\(3\) is not a list of levels"),
        (lambda: grid(a=[1]).where(min), "the arguments of <built-in function min> cannot be read"),
        (lambda: grid(method=[1]), "cannot be called 'method'"),
        (lambda: grid(a=[1]) + grid(b=[1]), "'a', 'b' on one side of a '\\+' only"),
        (lambda: grid(a=[1]) + grid(a=[1], b=[2]), "'b' on one side"),
        (lambda: grid(a=[1]) * grid(a=[2], b=[1]), "'a' on both sides of a '\\*'"),
        (lambda: grid(a=[1]).where(lambda c: c), "asks for 'c'; the factors are 'a'"),
    ],
)
def test_contract_bad_grids_get_one_clear_line(make, message):
    with pytest.raises(MCStudyError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "levels",
    [
        [2**53, 2**53 + 1, 0.5],
        [2**53 + 1, 0.5],
        [2**62, 2**62 + 1, None],
        [2**53 + 1, 2.0**63],
        [-(2**53) - 1, float("inf")],
    ],
)
def test_contract_levels_that_would_be_others_in_the_tables_are_refused(levels):
    def study(conditions):
        return Study(
            name="levels",
            simulate=lambda rng, a: a,
            estimands=lambda a: {"a": 0.0},
            methods={"m": lambda data: {"a": Estimate(0.0)}},
            conditions=conditions,
            replicates=2,
            seed=1,
        )

    with pytest.raises(MCStudyError, match=r"^grid: a has the levels .* would be -?\d+: write it"):
        study(grid(a=levels))
    apart = grid(a=levels[:1]) + grid(a=levels[1:-1] or [1]) + grid(a=levels[-1:])
    with pytest.raises(MCStudyError, match="grid: a has the levels"):
        study(apart)


@pytest.mark.parametrize(
    "levels",
    [
        [2**53, 2**53 + 1, 2.0**60],
        [2**53 + 1, float(2**53)],
        [2**63 - 1, -(2**63)],
        [2**53 + 1, 0.5, "half"],
        [2**53, 0.5, None],
        [float("inf"), float("-inf"), 1e300, 5e-324, 0.0, 0.1, 0.1 + 2e-17],
        ["a\0b", "a", "a\0", "", "e\u0301", "\u00e9", "a ", "\n", "None", None],
        [True, 1, "1", "True"],
    ],
)
def test_contract_levels_that_differ_before_the_run_differ_after_it(levels, tmp_path):
    study = Study(
        name="levels",
        simulate=lambda rng, a: rng.normal(),
        estimands=lambda a: {"a": 0.0},
        methods={"m": lambda data: {"a": Estimate(data)}},
        conditions=grid(a=levels),
        replicates=2,
        seed=1,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    bias = results.performance.query("measure == 'bias'")
    assert bias.a.nunique(dropna=False) == len(set(map(level_text, levels))) == len(bias)
    numbers = [level for level in levels if isinstance(level, int | float)]
    if len(numbers) == len(levels):
        assert sorted(bias.a.tolist()) == sorted(set(levels))


class Size(int, enum.Enum):
    SMALL = 3
    BIG = 5


class Shard(float, enum.Enum):
    HALF = 0.5


def test_contract_an_enum_is_the_number_it_is(tmp_path):
    assert len(grid(a=[Size.SMALL, 3, 5, Size.BIG])) == 2
    assert [c.key for c in grid(a=[Size.SMALL], b=[Shard.HALF])] == ["a=3, b=0.5"]
    study = Study(
        name="sizes",
        simulate=lambda rng, a: rng.normal(size=a.value),
        estimands=lambda a: {"mean": 0.0},
        methods={"mean": lambda data: {"mean": Estimate(data.mean())}},
        conditions=grid(a=list(Size)),
        replicates=3,
        seed=1,
    )
    first = run(study, tmp_path, jobs=1, quiet=True)
    assert set(first.performance["a"]) == {3, 5}
    more = run(study, tmp_path, jobs=1, quiet=True, replicates=4)
    assert set(more.estimates["condition"]) == {"a=3", "a=5"}


def test_contract_a_factor_is_not_called_as_a_column_of_ours():
    with pytest.raises(MCStudyError, match="cannot name a factor"):
        grid(**{"\0low": [1]})
