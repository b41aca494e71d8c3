"""Stored rows to all the tables of a folder: first those of rows, then the measures of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcstudy.analysis.performance import measured_rows
from mcstudy.analysis.precision import with_reached
from mcstudy.comparison.paired import Comparer
from mcstudy.execution.sum_tables import write_summed_tables
from mcstudy.grid import Condition
from mcstudy.measure import LEVEL
from mcstudy.storage.export import conditions_table, write_tables
from mcstudy.storage.files import write_table
from mcstudy.storage.manifest import Stored
from mcstudy.storage.record import as_json
from mcstudy.storage.rows import StudyRows
from mcstudy.study import Study


@dataclass(frozen=True)
class MeasureOptions:
    """What a study wants measured, beside what every study gets; as in `Study`."""

    measures: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    null: float | Mapping[str, float] | None = None
    reference: str | None = None
    precision: Mapping[str, float] | None = None

    @classmethod
    def of(cls, study: Study) -> MeasureOptions:
        """Return those of a study."""
        return cls(study.measures, study.null, study.reference, study.precision)


def write_rows(
    folder: Path,
    stored: Stored,
    truths: Mapping[Condition, Mapping[str, float]],
    facts: Mapping[str, Any],
) -> None:
    """Write the tables of rows; where sums are kept in their place, all tables that there are.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged.
    """
    if facts["keep"] == "measures":
        write_summed_tables(folder, stored, truths, _metadata(facts))
    else:
        write_tables(folder, _rows(stored, truths, facts), _metadata(facts))


def write_measures(
    folder: Path,
    stored: Stored,
    truths: Mapping[Condition, Mapping[str, float]],
    facts: Mapping[str, Any],
    measure_options: MeasureOptions,
) -> list[str]:
    """Measure the rows and write the tables of measures.

    Returns
    -------
    list of str
        A line for each of the user's measures that raised.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged.
    """
    failures: list[str] = []
    comparer = Comparer(reference=measure_options.reference, null=measure_options.null)
    rows = _rows(stored, truths, facts)
    table = measured_rows(
        rows,
        measures=measure_options.measures,
        null=measure_options.null,
        tell=failures.append,
        also=comparer.add,
    )
    table = with_reached(table, measure_options.precision)
    metadata = _metadata(facts)
    write_table(folder / "performance.parquet", table, metadata)
    table = comparer.table(conditions_table(rows.conditions))
    write_table(folder / "comparisons.parquet", table, metadata)
    return failures


def _rows(
    stored: Stored,
    truths: Mapping[Condition, Mapping[str, float]],
    facts: Mapping[str, Any],
) -> StudyRows:
    return StudyRows(stored, truths, level=facts.get("level", LEVEL))


def _metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    return {"mcstudy": as_json(facts)}
