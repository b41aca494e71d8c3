"""Cells measured together, against the same cells one by one."""

import numpy as np
import pyarrow as pa
import pytest

from mcstudy.analysis.measure_set import MeasureSet
from mcstudy.analysis.measure_table import MeasureTable, numbers
from mcstudy.analysis.measures import Cell
from mcstudy.analysis.performance import AddressedCell, Stacks
from mcstudy.columns import COUNTS, VALUES
from mcstudy.simulation.validation import TEST
from mcstudy.truths import SimulatedTruth

NAN = np.nan


def cells(count: int, rng: np.random.Generator) -> list[tuple[str | None, Cell]]:
    """Return cells of all kinds: estimates, intervals and tests; whole, broken, tied, huge."""
    some = []
    for scale in (1.0, 1e-9, 1e8, 1e160):
        x, se = scale * rng.normal(5, 1, count), scale * rng.gamma(9, 1 / 9, count)
        some += [(x, se), (np.round(x / scale), se), (x, np.full(count, NAN))]
    broken = rng.normal(5, 1, count)
    broken[::3] = NAN
    infinite = rng.normal(5, 1, count)
    infinite[0] = np.inf
    zero_one = rng.integers(0, 2, count).astype(float)
    nothing = np.full(count, NAN)
    for x in (broken, infinite, zero_one, nothing, np.full(count, 2.0)):
        some.append((x, rng.gamma(9, 1 / 9, count)))
    found: list[tuple[str | None, Cell]] = []
    for x, se in some:
        for truth in (5.0, 0.0, NAN, SimulatedTruth(5.0, 0.1), rng.normal(5, 0.1, count)):
            found.append((None, Cell(truth, x, se).about_truth()))
            limits = x - 2 * se, x + 2 * se
            tested = [Cell(truth, x, se, *limits, null) for null in (NAN, 4.5)]
            found += [("wald", cell.about_truth()) for cell in tested]
        found.append((None, Cell(NAN, x, se, has_truth=False)))
        found.append((None, Cell(NAN, zero_one, se, has_truth=False)))
        found.append((TEST, Cell(NAN, nothing, nothing, p_value=rng.uniform(size=count))))
        found.append((TEST, Cell(NAN, nothing, nothing, p_value=np.abs(broken) / 9)))
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10, 101])
def test_identity_stacked_cells_are_measured_as_alone_to_the_last_bit(count):
    measures = MeasureSet(alphas=(0.05, 0.01))
    rng = np.random.default_rng(count)
    given = cells(count, rng) + cells(count, rng) + cells(count, rng)
    lines, alone = MeasureTable(), MeasureTable()
    stacks = Stacks(lines)
    for place, (interval, cell) in enumerate(given):
        of = AddressedCell("", f"m{place:04d}", "e", interval, cell, measures, count)
        stacks.add(of)
        for name, made in measures.built_in(cell, of.kind):
            alone.add([(*of[:4], name, *numbers(made), count)])
    stacks.finish()
    conditions = pa.table({"condition": [""]})
    together, apart = lines.table(conditions), alone.table(conditions)
    for name in together.column_names:
        if name in (*VALUES, *COUNTS):
            one, other = (of[name].to_numpy() for of in (together, apart))
            np.testing.assert_array_equal(one, other, strict=True)
        else:
            assert together[name].to_pylist() == apart[name].to_pylist()
