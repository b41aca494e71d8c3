"""Moments of aligned blocks, against fractions, against rows, and bit for bit over any cut."""

from fractions import Fraction

import numpy as np
import pytest

from mcstudy.analysis.measures import INTERVAL_MEASURES, MEASURES, Cell
from mcstudy.analysis.moment_measures import NEED_ROWS, summary_lines
from mcstudy.measure import WITHOUT_TRUTH
from mcstudy.method import Estimate
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.validation import checked
from mcstudy.storage.moment_tables import moments_table, summary
from mcstudy.storage.moments import Blocks, Moments, disjoint, folded, merged, stacked, total


def singles(x, y, start=0):
    """Return the blocks of single replicates, a missing x being NaN."""
    exists = np.isfinite(x)
    one = Moments(n=exists, x=np.where(exists, x, 0.0), y=np.where(exists, y, 0.0))
    replicates = np.arange(start, start + len(x))
    return Blocks(replicates, np.ones_like(replicates), stacked([one], len(x)))


def moments_of(x, y, start=0):
    return Moments(*(values.item() for values in total(folded(singles(x, y, start)))))


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize(("centre", "scale"), [(0.0, 1.0), (1e8, 1.0), (-3e15, 2.0), (1e-9, 1e-3)])
def test_identity_moments_are_those_of_fractions(centre, scale, start):
    rng = np.random.default_rng(2)
    x, y = centre + scale * rng.chisquare(3, 700), centre + scale * rng.normal(size=700)
    x[::9] = np.nan
    found = moments_of(x, y, start)
    there = np.isfinite(x)
    xs, ys = (list(map(Fraction, values[there].tolist())) for values in (x, y))
    n = len(xs)
    mean_x, mean_y = sum(xs) / n, sum(ys) / n
    assert found.n == n
    for mean, true, values in ((found.x, mean_x, xs), (found.y, mean_y, ys)):
        assert abs(mean - float(true)) <= 2e-16 * float(sum(map(abs, values)) / n)
    pairs = [(a - mean_x, b - mean_y) for a, b in zip(xs, ys, strict=True)]
    for name in ("xx", "xxx", "xxxx", "yy", "xy", "xxy"):
        terms = [a ** name.count("x") * b ** name.count("y") for a, b in pairs]
        error = abs(getattr(found, name) - float(sum(terms)))
        assert error <= 1e-14 * float(sum(map(abs, terms))), name


@pytest.mark.parametrize("shift", [0.0, 1e8, -1e8])
@pytest.mark.parametrize("truth", [0.0, 1.5])
def test_identity_measures_are_those_of_rows_however_far_from_the_truth(shift, truth):
    rng = np.random.default_rng(7)
    x = shift + rng.gamma(4.0, 0.5, 20_000)
    std_error = np.sqrt(rng.chisquare(9, len(x)))
    x[::7], std_error[::5] = np.nan, np.nan
    lower, upper = x - 2 * std_error, x + 2 * std_error
    found = Answers(len(x))
    answer = {"x": Estimate(x, std_error, lower, upper)}
    found.store_batch(np.arange(len(x)), checked(answer, len(x)))
    kept = summary([moments_table(found, 3, {"x": truth}, {"x": 2.0})])
    lines = summary_lines({"m": kept}, {"m": kept.given}, {"x": truth}, {"x": 2.0})
    values = {line[3]: (line[4], line[8]) for line in lines if line[1]}
    cell = Cell(truth, x, std_error, lower, upper, 2.0)
    for name, measure in (MEASURES | INTERVAL_MEASURES).items():
        if name not in (*NEED_ROWS, *WITHOUT_TRUTH):
            of_rows = measure(cell)
            assert values[name][0] == pytest.approx(of_rows.value, rel=1e-12, nan_ok=True), name
            assert values[name][1] == of_rows.used, name


@pytest.mark.slow
def test_identity_any_order_of_merging_has_the_same_bits():
    rng = np.random.default_rng(5)
    x, y = rng.standard_cauchy(600), rng.normal(size=600)
    x[::13] = np.nan
    whole = folded(singles(x, y, 77))
    for _ in range(5):
        held = [singles(x[i : i + 1], y[i : i + 1], 77 + i) for i in rng.permutation(600)]
        while len(held) > 1:
            one, two = held.pop(rng.integers(len(held))), held.pop(rng.integers(len(held)))
            start, size = (
                np.concatenate([getattr(b, f) for b in (one, two)]) for f in ("start", "size")
            )
            order = disjoint(start, size)
            moments = Moments(
                *(np.concatenate(v)[order] for v in zip(one.moments, two.moments, strict=True))
            )
            held.append(folded(Blocks(start[order], size[order], moments)))
        assert held[0].start.tolist() == whole.start.tolist()
        assert held[0].size.tolist() == whole.size.tolist()
        for got, wanted in zip(held[0].moments, whole.moments, strict=True):
            assert got.tobytes() == wanted.tobytes()


def test_identity_arrays_of_any_width_and_layout_have_the_same_bits():
    rng = np.random.default_rng(6)
    x, y = 1e6 + rng.normal(size=(64, 37)), rng.chisquare(2, (64, 37))
    columns = [Moments(n=np.ones(64, bool), x=x[:, i], y=y[:, i]) for i in range(37)]
    replicates = np.arange(64)
    wide = total(folded(Blocks(replicates, np.ones_like(replicates), stacked(columns, 64))))
    for i in range(37):
        alone = total(folded(singles(x[:, i], y[:, i])))
        for all_of_them, one in zip(wide, alone, strict=True):
            assert all_of_them[i].tobytes() == one[0].tobytes()


def test_contract_nested_blocks_count_once():
    start = np.array([4, 0, 4, 6, 8, 0])
    size = np.array([2, 4, 2, 1, 8, 2])
    assert disjoint(start, size).tolist() == [1, 0, 3, 4]


def test_identity_nothing_merges_to_the_other():
    some = Moments(3, 2, 1, 0, 1, 2, 1.5, 1e-17, 2.0, 3.0, 4.0, -1.0, 1e-18, 2.5, 0.5, 0.25)
    some = Moments(*map(np.atleast_1d, some))
    none = Moments(*map(np.atleast_1d, Moments()))
    for found in (merged(some, none), merged(none, some)):
        assert [v.item() for v in found] == [v.item() for v in some]
    assert [v.item() for v in merged(none, none)] == list(Moments())


def test_contract_what_leaves_the_range_is_infinite_or_missing():
    large = moments_of(np.array([1e200, -1e200, 1.0, 2.0]), np.array([np.inf, 1.0, 2.0, 3.0]))
    assert large.x == 0.75
    assert large.y == np.inf
    assert not np.isfinite(large.xx)
    edge = 1.7e308
    assert moments_of(np.array([edge, -edge]), np.zeros(2)).x == 0.0
    assert moments_of(np.full(5, edge), np.zeros(5)).x == edge
