"""The generator's factors, and what the law and a batch make of them."""

import numpy as np
import pytest

from mcstudy import nested

PLAIN = {
    "n_group1": 8,
    "n_group2": 3,
    "n_rep": 4,
    "group1_sd": 2.0,
    "group2_sd": 3.0,
    "unexplained_sd": 4.0,
}
FLAVOURS = [
    {},
    {"dropped_rows": 0.3},
    {"dropped_cells": 0.3},
    {"dropped_rows": 0.2, "dropped_cells": 0.2, "cell_sizes": "1 4 7"},
    {"group1_shape": "t(5)", "group2_shape": "chi_square(2)", "intercept": 7.0},
    {"unexplained_shape": "contaminated(0.1, 5)", "dropped_rows": 0.5},
    {"row_slope": 1.0, "cell_slope": 2, "group_slope": 3.0, "dropped_rows": 0.2},
]


def generators(count):
    return [np.random.default_rng(i) for i in range(count)]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_identity_one_by_one_as_in_a_batch_bit_for_bit(flavour):
    batch = nested.generate_nested.batch(generators(5), **PLAIN, **flavour)
    for i, rng in enumerate(generators(5)):
        one, other = nested.generate_nested(rng, **PLAIN, **flavour), batch[i]
        assert one.frame.equals(other.frame)
        assert list(one.frame) == ["y", "group1", "group2", *one.covariates]


@pytest.mark.parametrize("text", ["t(5)", "chi_square(2)", "contaminated(0.1, 4)"])
@pytest.mark.parametrize("part", ["group1", "group2", "unexplained"])
def test_law_each_component_keeps_its_standard_deviation(part, text):
    factors = PLAIN | {f"{part}_shape": text}
    batch = nested.generate_nested.batch(generators(3000), **factors)
    y = batch.y.reshape(-1, 8, 3, 4)
    cell, group = y.mean(axis=3), y.mean(axis=(2, 3))
    squares = [
        (12 * group.var(axis=1, ddof=1), 16 + 4 * 9 + 12 * 4),
        (4 * cell.var(axis=2, ddof=1).mean(axis=1), 16 + 4 * 9),
        (y.var(axis=3, ddof=1).mean(axis=(1, 2)), 16),
    ]
    for values, truth in [*squares, (y.mean(axis=(1, 2, 3)), 0)]:
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))


def test_contract_equal_levels_give_equal_data():
    one = nested.generate_nested(np.random.default_rng(1), **PLAIN)
    whole = PLAIN | {"n_group1": 8.0, "n_group2": np.int64(3), "group1_sd": 2, "dropped_rows": 0}
    assert (nested.generate_nested(np.random.default_rng(1), **whole).y == one.y).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_group1", "x"),
        ("n_group1", None),
        ("n_rep", np.inf),
        ("group1_sd", np.nan),
        ("group2_sd", "3"),
        ("dropped_rows", -0.1),
        ("dropped_cells", None),
        ("intercept", np.nan),
        ("intercept", None),
        ("row_slope", np.inf),
        ("group_slope", "1"),
        ("cell_sizes", "0 1"),
        ("cell_sizes", 3),
    ],
)
def test_contract_bad_factors_are_named_in_one_line(name, value):
    with pytest.raises(ValueError, match=f"^{name} is {value!r}; [^\n]*$"):
        nested.generate_nested(np.random.default_rng(1), **PLAIN | {name: value})


@pytest.mark.parametrize("text", ["t(inf)", "chi_square(0)", "contaminated(0.1, inf)", "T(5)"])
def test_contract_shapes_without_a_standard_deviation_are_refused(text):
    with pytest.raises(ValueError, match="is not known; write normal, t"):
        nested.generate_nested(np.random.default_rng(1), **PLAIN, group1_shape=text)


def test_contract_a_batch_counts_the_bytes_of_rows_kept_and_covariates():
    plain = nested.generate_nested.batch(generators(4), **PLAIN)
    more = nested.generate_nested.batch(generators(4), **PLAIN, dropped_rows=0.1, row_slope=1.0)
    assert plain.nbytes == plain.y.nbytes
    assert more.nbytes == 2 * more.y.nbytes + more.y.size


def test_contract_the_law_knows_plain_data_by_any_name():
    usual = {"dropped_rows": 0.0, "row_slope": None, "group1_shape": "normal", "intercept": 5.0}
    law = nested.exact_law(PLAIN, draws=1000)
    again = nested.exact_law(PLAIN | usual, draws=1000)
    assert (again.value.fillna(-1) == law.value.fillna(-1)).all()
    for bad in ({"group1_sd": -1}, {"dropped_rows": 0.1}, {"wrong": 1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            nested.exact_law(PLAIN | bad, draws=1000)


@pytest.mark.parametrize(
    "factors",
    [
        {"n_group1": 1},
        {"n_group2": 1},
        {"n_rep": 1},
        {"n_group2": 1, "n_rep": 1},
        {"unexplained_sd": 0},
        {"group1_sd": 0, "group2_sd": 0, "unexplained_sd": 0},
        {"dropped_rows": 0.85},
        {"dropped_cells": 0.9},
        {"cell_sizes": "1"},
    ],
)
def test_contract_intervals_of_hopeless_data_are_missing_without_a_warning(factors):
    batch = nested.generate_nested.batch(generators(12), **PLAIN | factors)
    kinds = ("exact", "wald", "log", "satterthwaite", "mls", "generalized", "profile")
    fit = nested.reml.with_intervals(*kinds).batch(batch, generators(12))
    for estimate in fit.estimates.values():
        for lower, upper in estimate.intervals.values():
            missing = np.isnan(lower) | np.isnan(upper)
            assert missing[np.isnan(estimate.value)].all()
            assert (lower <= upper)[~missing].all()
