"""The generator: against its law, one by one and in batches, and its refusals."""

import numpy as np
import pytest

from mcstudy import nested
from mcstudy.nested.generate import shape

PLAIN = {
    "n_group1": 8,
    "n_group2": 3,
    "n_rep": 4,
    "group1_sd": 2.0,
    "group2_sd": 3.0,
    "unexplained_sd": 4.0,
}
WIDE = PLAIN | {"n_group1": 20, "n_group2": 5, "n_rep": 5}
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


@pytest.mark.parametrize("text", ["normal", "t(5)", "chi_square(2)", "contaminated(0.1, 4)"])
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
        ("n_group1", 2.5),
        ("n_rep", 0),
        ("n_rep", np.inf),
        ("group1_sd", np.nan),
        ("group2_sd", "3"),
        ("group2_sd", -3),
        ("dropped_rows", 1.0),
        ("dropped_rows", -0.1),
        ("dropped_cells", None),
        ("intercept", np.nan),
        ("intercept", None),
        ("row_slope", np.inf),
        ("group_slope", "1"),
        ("cell_sizes", "0 1"),
        ("cell_sizes", "2 x"),
        ("cell_sizes", 3),
    ],
)
def test_contract_bad_factors_are_named_in_one_line(name, value):
    with pytest.raises(ValueError, match=f"^{name} is {value!r}; [^\n]*$"):
        nested.generate_nested(np.random.default_rng(1), **PLAIN | {name: value})


@pytest.mark.parametrize(
    "text", ["t(2)", "cauchy", "t(inf)", "chi_square(0)", "contaminated(0.1, inf)", "T(5)"]
)
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


def test_contract_the_generator_honours_its_arguments():
    nothing = {"group1_sd": 0, "group2_sd": 0, "unexplained_sd": 0}
    assert (nested.generate_nested(np.random.default_rng(1), **WIDE | nothing).y == 0).all()
    frame = nested.generate_nested(np.random.default_rng(2), **WIDE).frame
    assert list(frame) == ["y", "group1", "group2"]
    assert frame.groupby(["group1", "group2"]).size().tolist() == [5] * 100
    assert sorted(frame.group2.unique()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("text", ["normal", "t(5)", "chi_square(3)", "contaminated(0.1, 5)"])
def test_law_every_shape_is_scaled_to_its_standard_deviation(text):
    values = shape(text)(np.random.default_rng(5), 400_000)
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    square = values**2
    assert abs(square.mean() - 1) < 4 * square.std() / np.sqrt(len(values))
    kurtosis = (values**4).mean()
    assert (kurtosis > 3.5) == (text != "normal")


def test_law_shapes_reach_their_component():
    rng = np.random.default_rng(6)
    sds = {"group1_sd": 1, "group2_sd": 1, "unexplained_sd": 0}
    sizes = {"n_group1": 2000, "n_group2": 2, "n_rep": 1}
    data = nested.generate_nested(rng, **sizes, **sds, group1_shape="chi_square(1)")
    group = data.y.reshape(2000, 2).mean(axis=1)
    assert ((group - group.mean()) ** 3).mean() > 0.5


def test_contract_covariates_carry_their_coefficients():
    rng = np.random.default_rng(7)
    sds = {"group1_sd": 0, "group2_sd": 0, "unexplained_sd": 0}
    slopes = {"row_slope": 1.0, "cell_slope": 2.0, "group_slope": 3.0}
    frame = nested.generate_nested(rng, **WIDE | sds, **slopes, intercept=5).frame
    whole = 5 + frame.x_row + 2 * frame.x_cell + 3 * frame.x_group
    assert np.allclose(frame.y, whole)
    assert frame.groupby("group1").x_group.nunique().max() == 1
    assert frame.groupby(["group1", "group2"]).x_cell.nunique().max() == 1


def test_law_dropped_rows_and_cells():
    rngs = [np.random.default_rng(i) for i in range(100)]
    rows = nested.generate_nested.batch(rngs, **WIDE, dropped_rows=0.3).kept
    assert abs(rows.mean() - 0.7) < 4 * np.sqrt(0.21 / rows.size)
    cells = nested.generate_nested.batch(rngs, **WIDE, dropped_cells=0.2).kept
    by_cell = cells.reshape(100, 100, 5)
    assert (by_cell.all(axis=2) | ~by_cell.any(axis=2)).all()
    assert abs(cells.mean() - 0.8) < 4 * np.sqrt(0.16 / 10_000)


def test_contract_given_cell_sizes():
    data = nested.generate_nested(np.random.default_rng(1), **WIDE, cell_sizes="2 7 1")
    sizes = data.frame.groupby(["group1", "group2"]).size().tolist()
    assert sizes[:6] == [2, 7, 1, 2, 7, 1]


def test_identity_the_plain_case_keeps_its_bits():
    rng = np.random.default_rng(3)
    normals = rng.standard_normal(20 + 100 + 500)
    effects = 2.0 * normals[:20, None] + 3.0 * normals[20:120].reshape(20, 5)
    y = 4.0 * normals[120:].reshape(20, 5, 5) + effects[..., None]
    one = nested.generate_nested(np.random.default_rng(3), **WIDE)
    assert (one.y == y.ravel()).all()
    more = nested.generate_nested(np.random.default_rng(3), **WIDE, row_slope=0.0, dropped_rows=0.1)
    assert np.isin(more.y, y).all()
