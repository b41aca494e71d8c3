"""Stored rows, or sums, to all the tables of a folder: rows first, then the measures of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from mcstudy.analysis.custom import customs
from mcstudy.analysis.measure_table import MeasureTable
from mcstudy.analysis.moment_measures import summary_lines
from mcstudy.analysis.performance import measured_rows
from mcstudy.analysis.precision import with_reached
from mcstudy.columns import WARNED
from mcstudy.comparison.own_measures import OwnMeasures
from mcstudy.comparison.paired import Comparer
from mcstudy.grid import Condition
from mcstudy.measure import LEVEL, alphas_of
from mcstudy.storage.export import conditions_table, write_tables
from mcstudy.storage.files import write_table
from mcstudy.storage.manifest import Stored
from mcstudy.storage.moment_tables import Summary
from mcstudy.storage.parts import read_head
from mcstudy.storage.record import as_json
from mcstudy.storage.rows import StudyRows, existing
from mcstudy.storage.sum_parts import nulls_of, read_summaries
from mcstudy.study import Study


@dataclass(frozen=True)
class MeasureOptions:
    """What a study wants measured, beside what every study gets; as in `Study`."""

    measures: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    null: float | Mapping[str, float] | None = None
    reference: str | None = None
    precision: Mapping[str, float] | None = None
    alphas: Sequence[float] = alphas_of(None, None)

    @classmethod
    def of(cls, study: Study) -> MeasureOptions:
        """Return those of a study."""
        return cls(study.measures, study.null, study.reference, study.precision, study.alphas)


def make_tables(
    folder: Path,
    stored: Stored,
    truths: Mapping[Condition, Mapping[str, float]],
    facts: Mapping[str, Any],
    measure_options: MeasureOptions,
    *,
    of_rows: bool = True,
) -> list[str]:
    """Write the tables of rows and those of measures; of sums, all tables that there are.

    Parameters
    ----------
    folder : Path
        Where they are written.
    stored : Stored
        The parts that count.
    truths : mapping of Condition to mapping of str to float
        The true values.
    facts : mapping of str to Any
        What `study.json` says of the study; joins the metadata of every table.
    measure_options : MeasureOptions
        What is measured.
    of_rows : bool, optional
        False where the tables of rows are there already.

    Returns
    -------
    list of str
        A line for each of the user's measures that raised.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged.
    """
    metadata = {"mcstudy": as_json(facts)}
    if facts["keep"] == "measures":
        if of_rows:
            write_summed_tables(folder, stored, truths, metadata)
        return []
    rows = StudyRows(stored, truths, level=facts.get("level", LEVEL))
    if of_rows:
        write_tables(folder, rows, metadata)
    failures: list[str] = []
    of = measure_options
    own = OwnMeasures(customs(of.measures)) if of.measures else None
    comparer = Comparer(reference=of.reference, null=of.null, alphas=of.alphas, own=own)
    table = measured_rows(
        rows,
        measures=of.measures,
        null=of.null,
        alphas=of.alphas,
        tell=failures.append,
        also=comparer.add,
    )
    write_table(folder / "performance.parquet", with_reached(table, of.precision), metadata)
    del table  # as large as the next
    table = comparer.table(conditions_table(rows.conditions))
    write_table(folder / "comparisons.parquet", table, metadata)
    return failures


_ENDINGS = pa.schema(
    [
        *((name, pa.string()) for name in ("condition", "method", "status", "kind")),
        (WARNED, pa.bool_()),
        *(("fits", pa.int64()), ("replicate", pa.int64()), ("message", pa.string())),
    ]
)


def write_summed_tables(
    folder: Path,
    stored: Stored,
    truths: Mapping[Condition, Mapping[str, float]],
    metadata: Mapping[str, str],
) -> None:
    """Write conditions, endings and performance into `folder`.

    `endings` has a row for each fit whose address was kept: how it ended, how many fits ended so
    (`fits`), its replicate and its message.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged.
    """
    conditions = sorted(stored, key=lambda condition: condition.sort_key)
    table = conditions_table(conditions)
    lines = MeasureTable()
    endings: list[tuple[Any, ...]] = []
    found = {condition: read_summaries(stored[condition]) for condition in conditions}
    given = {c: {m: kept.given for m, kept in of.items()} for c, of in found.items()}
    keys, named = existing(given, truths), {name for of in truths.values() for name in of}
    for condition in conditions:
        summaries, own = found[condition], truths[condition]
        nulls = nulls_of([read_head(part.path) for part in stored[condition][:1]])
        without = {key[0] for of in keys[condition].values() for key in of} - named
        measured = summary_lines(summaries, keys[condition], own, nulls, without)
        lines.add((condition.key, *line) for line in measured)
        endings += _ending_rows(condition, summaries)
    columns = list(zip(*endings, strict=True)) or [()] * len(_ENDINGS)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _ENDINGS, strict=True)]
    write_table(folder / "conditions.parquet", table, metadata)
    write_table(folder / "endings.parquet", pa.table(arrays, schema=_ENDINGS), metadata)
    write_table(folder / "performance.parquet", lines.table(table), metadata)


def _ending_rows(
    condition: Condition, summaries: Mapping[str, Summary]
) -> Iterator[tuple[Any, ...]]:
    for method, kept in sorted(summaries.items()):
        for outcome, addresses in sorted(kept.addresses.items()):
            status, kind, warned = outcome
            for replicate, message in addresses:
                key = (condition.key, method, status, kind or None, warned)
                yield *key, kept.outcomes[outcome], replicate, message or None
