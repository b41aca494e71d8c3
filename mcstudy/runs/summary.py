"""Stored rows to all the tables of a folder, the measures among them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcstudy.analysis.performance import performance_table
from mcstudy.analysis.precision import with_reached
from mcstudy.grid import Condition
from mcstudy.runs.summing import write_summed_tables
from mcstudy.stored.files import write_table
from mcstudy.stored.tables import Stored, write_tables


def write_summary(
    folder: Path,
    stored: Mapping[Condition, Sequence[Stored]],
    truths: Mapping[Condition, Mapping[str, float]],
    facts: Mapping[str, Any],
) -> None:
    """Write every table of `stored` into `folder`.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged.
    """
    metadata = {"mcstudy": json.dumps(facts, sort_keys=True, ensure_ascii=False)}
    if facts.get("keep") == "measures":
        write_summed_tables(folder, stored, truths, metadata)
        return
    write_tables(folder, stored, truths, metadata)
    table = with_reached(performance_table(folder), facts.get("precision"))
    write_table(folder / "performance.parquet", table, metadata)
