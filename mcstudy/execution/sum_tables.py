"""Parts to tables for a study that keeps measures, not rows: conditions, endings, performance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from mcstudy.analysis.moment_measures import tally_lines
from mcstudy.analysis.performance import assembled
from mcstudy.columns import WARNED
from mcstudy.grid import Condition
from mcstudy.storage.export import conditions_table
from mcstudy.storage.files import write_table
from mcstudy.storage.manifest import Stored
from mcstudy.storage.parts import Part, read_head
from mcstudy.storage.rows import existing
from mcstudy.storage.sum_parts import nulls_of, read_tally
from mcstudy.storage.sums import Tally, merged, no_sums

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
    found = {condition: _tallies(stored[condition]) for condition in conditions}
    given = {c: {m: list(kept.sums) for m, kept in of.items()} for c, of in found.items()}
    owed = existing(given, truths)
    for place, condition in enumerate(conditions):
        tallies = {
            method: _whole(kept, owed[condition][method])
            for method, kept in found[condition].items()
        }
        nulls = nulls_of([read_head(part.path) for part in stored[condition][:1]])
        lines += [(place, *line) for line in tally_lines(tallies, truths[condition], nulls)]
        endings += _ending_rows(condition, tallies)
    columns = list(zip(*endings, strict=True)) or [()] * len(_ENDINGS)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _ENDINGS, strict=True)]
    write_table(folder / "conditions.parquet", table, metadata)
    write_table(folder / "endings.parquet", pa.table(arrays, schema=_ENDINGS), metadata)
    write_table(folder / "performance.parquet", assembled(lines, table), metadata)


def _tallies(stored: Sequence[Part]) -> dict[str, Tally]:
    """Return the tally of each method over all of its parts."""
    found: dict[str, Tally] = {}
    for part in stored:
        known = [found[part.method]] if part.method in found else []
        found[part.method] = merged([*known, read_tally(part.path)])
    return found


def _whole(kept: Tally, owed: Iterable[tuple[str, ...]]) -> Tally:
    """Return a tally with empty sums for what exists under its condition and was never given."""
    sums = {
        (estimand, interval): kept.sums.get((estimand, interval)) or no_sums(interval)
        for estimand, interval in owed
    }
    return replace(kept, sums=sums)


def _ending_rows(condition: Condition, tallies: Mapping[str, Tally]) -> Iterator[tuple[Any, ...]]:
    for method, kept in sorted(tallies.items()):
        for ending, fits in sorted(kept.endings.items()):
            for replicate, message in kept.addresses[ending]:
                key = (
                    *(condition.key, method, ending.status, ending.message or None),
                    ending.warned,
                )
                yield *key, fits, replicate, message or None
