"""Parts to tables for a study that keeps measures, not rows: conditions, endings, performance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mcstudy.analysis.moment_measures import summary_lines
from mcstudy.analysis.performance import assembled
from mcstudy.columns import WARNED
from mcstudy.grid import Condition
from mcstudy.storage.export import conditions_table
from mcstudy.storage.files import write_table
from mcstudy.storage.manifest import Stored
from mcstudy.storage.moment_tables import Summary
from mcstudy.storage.parts import read_head
from mcstudy.storage.rows import existing
from mcstudy.storage.sum_parts import nulls_of, read_summaries

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
    lines: list[tuple[Any, ...]] = []
    endings: list[tuple[Any, ...]] = []
    found = {condition: read_summaries(stored[condition]) for condition in conditions}
    given = {c: {m: kept.given for m, kept in of.items()} for c, of in found.items()}
    keys = existing(given, truths)
    for place, condition in enumerate(conditions):
        summaries, own = found[condition], truths[condition]
        nulls = nulls_of([read_head(part.path) for part in stored[condition][:1]])
        lines += [(place, *line) for line in summary_lines(summaries, keys[condition], own, nulls)]
        endings += _ending_rows(condition, summaries)
    columns = list(zip(*endings, strict=True)) or [()] * len(_ENDINGS)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _ENDINGS, strict=True)]
    write_table(folder / "conditions.parquet", table, metadata)
    write_table(folder / "endings.parquet", pa.table(arrays, schema=_ENDINGS), metadata)
    write_table(folder / "performance.parquet", assembled(lines, table), metadata)


def _ending_rows(
    condition: Condition, summaries: Mapping[str, Summary]
) -> Iterator[tuple[Any, ...]]:
    for method, kept in sorted(summaries.items()):
        for outcome, addresses in sorted(kept.addresses.items()):
            status, kind, warned = outcome
            for replicate, message in addresses:
                key = (condition.key, method, status, kind or None, warned)
                yield *key, kept.outcomes[outcome], replicate, message or None
