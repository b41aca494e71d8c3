"""Does the pipeline reproduce what is known beforehand? Each cell against the study's oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from mcstudy.analysis.performance import measured_rows
from mcstudy.analysis.precision import errors, shares
from mcstudy.arguments import counted
from mcstudy.errors import StudyError
from mcstudy.external.frames import as_pandas, is_frame
from mcstudy.grid import Condition
from mcstudy.simulation.global_random import do_seeded_job
from mcstudy.simulation.replicates import Job
from mcstudy.storage.parts import RowsInMemory
from mcstudy.storage.rows import StudyRows
from mcstudy.study import Study

FALSE_ALARM = 0.001  # that any cell of a right study is off: 1 of 1000 checks, as the docs say
FEWEST = 50  # replicates from which on the mean of a skewed estimate is near enough to normal
_ENOUGH = 20_000  # replicates of a condition: errors of a share are below .004 then
_MOST_LINES = 8  # of the worst cells; the frame has all
_CELL = ["method", "estimand", "interval", "measure"]
COLUMNS = ["condition", *_CELL, "value", "mcse", "used", "expected", "error", "z", "off"]


@dataclass(frozen=True)
class OracleComparison:
    """The comparison with the oracle: a row per cell that could be compared, the worst first.

    A cell is `off` from abs(z) = `limit`: none of a right study reaches it in 999 of 1000 checks.
    `conditions` and `replicates` are how many the oracle knows, and the fewest of one of these.
    """

    cells: pd.DataFrame
    limit: float
    conditions: int
    replicates: int

    def lines(self) -> Iterator[str]:
        """Yield how much was compared, and a line for each of the worst cells."""
        if self.cells.empty:
            yield "oracle: no cell to compare"
            return
        cells, conditions = counted(len(self.cells), "cell"), counted(self.conditions, "condition")
        yield (
            f"oracle: {cells} of {conditions} compared, {counted(self.replicates, 'replicate')} or "
            f"more each; off from |z| = {self.limit:.1f}; the worst:"
        )
        for row in self.cells.head(_MOST_LINES).to_dict("records"):
            names = [row["condition"], *(row[name] for name in _CELL)]
            yield (
                f"  z = {row['z']:+.1f}: {row['value']:.5g} where {row['expected']:.5g} is "
                f"expected (error {row['error']:.2g}): {' '.join(filter(None, names))}"
            )


def compare_with_oracle(study: Study, seconds: float) -> OracleComparison:
    """Run as many replicates as `seconds` allow and compare every cell that the oracle knows.

    StudyError if the oracle raises or returns no such table.
    """
    known = {c: table for c in study.conditions if (table := _expected(study, c)) is not None}
    share = seconds / max(len(known), 1)
    found = [_compared(study, c, expected, share) for c, expected in known.items()]
    tables = [table for table, _ in found if len(table)]
    cells = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    tail = FALSE_ALARM / 2 / max(len(cells), 1)
    # With few replicates a mean over its error has the tails of t, not of the normal.
    freedom = (cells["used"].astype(float) - 1).clip(lower=1)
    limits = np.where(shares(cells), stats.norm.isf(tail), stats.t.isf(tail, freedom))
    cells["off"] = cells["z"].abs().to_numpy(dtype=float) > limits
    cells = cells.sort_values("z", key=abs, ascending=False, kind="stable", ignore_index=True)
    fewest = min((count for _, count in found), default=0)
    return OracleComparison(cells, float(stats.norm.isf(tail)), len(known), fewest)


def _expected(study: Study, condition: Condition) -> pd.DataFrame | None:
    assert study.oracle is not None
    try:
        table = study.oracle(**condition.factors)
    except Exception as error:
        raise StudyError(
            f"{study.name}: oracle fails at {condition.key}: {type(error).__name__}: {error}"
        ) from error
    if table is None:
        return None
    table = as_pandas(table) if is_frame(table) else table
    lacking = [
        name for name in (*_CELL, "value", "mcse") if name not in getattr(table, "columns", ())
    ]
    if lacking:
        raise StudyError(
            f"{study.name}: oracle returns a {type(table).__name__} without "
            f"{', '.join(lacking)} at {condition.key}; return the columns of performance, or None"
        )
    expected: pd.DataFrame = table[[*_CELL, "value", "mcse"]]
    return expected[expected["value"].notna() & expected["method"].isin(list(study.methods))]


def _compared(
    study: Study, condition: Condition, expected: pd.DataFrame, seconds: float
) -> tuple[pd.DataFrame, int]:
    """Return the cells of one condition with their z, and how many replicates they rest on."""
    methods = tuple(sorted(expected["method"].unique()))
    done, answers = do_seeded_job(study, Job(condition, 0, _ENOUGH, methods), seconds)
    made = [RowsInMemory.of(name, done, own) for name, own in sorted(answers.items())]
    rows = StudyRows({condition: made}, {condition: study.truths(condition)}, level=study.level)
    performance = measured_rows(
        rows, measures=study.measures, null=study.null, alphas=study.alphas
    ).to_pandas()
    for table in (performance, expected):
        table[["estimand", "interval"]] = table[["estimand", "interval"]].astype(object).fillna("")
    expected = expected.rename(columns={"value": "expected", "mcse": "oracle_mcse"})
    cells = performance.merge(expected, on=_CELL)
    enough = (cells["used"] >= FEWEST) & cells["value"].notna()
    cells = cells[enough | shares(cells) & cells["value"].notna()]
    # The error of a share if the oracle is right: rare events make that from the sample alone too
    # small or too large.
    p = cells["expected"].clip(0, 1)
    if_right = np.where(shares(cells), np.sqrt(p * (1 - p) / cells["used"]), 0.0)
    own = np.maximum(errors(cells), if_right)
    cells["error"] = np.hypot(own, cells["oracle_mcse"].fillna(0).to_numpy(dtype=float))
    difference = (cells["value"] - cells["expected"]).to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        cells["z"] = np.where(difference == 0, 0.0, difference / cells["error"])
    cells["condition"], cells["off"] = condition.key, False
    return cells[cells["z"].notna()][COLUMNS], len(done)
