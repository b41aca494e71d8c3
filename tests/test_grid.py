"""Factors to conditions."""

import numpy as np
import pytest

from mcstudy import MCStudyError, grid


def keys(conditions):
    return {condition.key for condition in conditions}


def test_contract_product_union_and_where():
    conditions = grid(a=[1, 2], b=["x", None]) + grid(a=[3], b=["x"])
    assert len(conditions) == 5
    assert keys(conditions.where(lambda a: a > 1)) == {'a=2, b="x"', "a=2, b=None", 'a=3, b="x"'}
    assert keys(conditions.where(lambda **f: f["b"] is None)) == {"a=1, b=None", "a=2, b=None"}


def test_contract_every_condition_of_one_grid_with_every_one_of_another():
    assert keys((grid(a=[1]) + grid(a=[2])) * grid(b=[3, 4])) == keys(grid(a=[1, 2], b=[3, 4]))


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
