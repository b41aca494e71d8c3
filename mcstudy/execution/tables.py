"""Stored rows to all the tables of a folder: first those of rows, then the measures of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcstudy.analysis.performance import performance_table
from mcstudy.analysis.precision import with_reached
from mcstudy.comparison.paired import Comparer
from mcstudy.execution.sum_tables import write_summed_tables
from mcstudy.grid import Condition
from mcstudy.measure import LEVEL
from mcstudy.storage.export import Stored, write_tables
from mcstudy.storage.files import write_table
from mcstudy.storage.record import as_json
from mcstudy.study import Study


@dataclass(frozen=True)
class Wishes:
    """What a study wants measured, beside what every study gets; as in `Study`."""

    measures: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    null: float | Mapping[str, float] | None = None
    reference: str | None = None
    precision: Mapping[str, float] | None = None

    @classmethod
    def of(cls, study: Study) -> Wishes:
        """Return those of a study."""
        return cls(study.measures, study.null, study.reference, study.precision)


def write_rows(
    folder: Path,
    stored: Mapping[Condition, Sequence[Stored]],
    truths: Mapping[Condition, Mapping[str, float]],
    facts: Mapping[str, Any],
) -> None:
    """Write the tables of rows; where sums are kept in their place, all tables that there are.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged.
    """
    metadata, level = _metadata(facts), facts.get("level", LEVEL)
    if facts["keep"] == "measures":
        write_summed_tables(folder, stored, truths, metadata)
    else:
        write_tables(folder, stored, truths, metadata, level=level)


def write_measures(
    folder: Path, facts: Mapping[str, Any], wishes: Wishes, *, into: Path
) -> list[str]:
    """Measure the rows in `folder` and write the tables of measures.

    Returns
    -------
    list of str
        A line for each of the user's measures that raised.
    """
    failures: list[str] = []
    comparer = Comparer(reference=wishes.reference, null=wishes.null)
    table = performance_table(
        folder,
        measures=wishes.measures,
        null=wishes.null,
        tell=failures.append,
        also=comparer.add,
    )
    table = with_reached(table, wishes.precision)
    metadata = _metadata(facts)
    write_table(into / "performance.parquet", table, metadata)
    write_table(into / "comparisons.parquet", comparer.table(folder), metadata)
    return failures


def _metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    return {"mcstudy": as_json(facts)}
