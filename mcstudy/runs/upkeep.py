"""Parts to tables, whenever they are asked for: joins what is small, writes what has changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mcstudy.analysis.performance import performance_table
from mcstudy.runs.progress import Progress
from mcstudy.runs.summing import write_summed_tables
from mcstudy.stored.compact import compact
from mcstudy.stored.files import is_whole, write_table
from mcstudy.stored.ledger import Ledger
from mcstudy.stored.parts import DamagedError
from mcstudy.stored.tables import TABLES_OF, write_tables


def update_tables(ledger: Ledger, progress: Progress) -> bool:
    """Make the tables, unless they are those of the stored parts already.

    Returns
    -------
    bool
        False if a part turned out to be damaged; it is set aside and its replicates miss.
    """
    try:
        compact(ledger.store)
        _make_tables(ledger, progress)
    except DamagedError as error:
        progress.say(f"{error}; set aside, its replicates are computed again")
        ledger.store.set_aside(error.path)
        return False
    return True


def _make_tables(ledger: Ledger, progress: Progress) -> None:
    folder, study = ledger.store.folder, ledger.study
    stored = ledger.stored()
    made_of = ledger.tables_digest(stored)
    metadata = {"mcstudy": json.dumps(ledger.facts(), sort_keys=True, ensure_ascii=False)}
    measured_of = ledger.measures_digest(made_of)
    tables = TABLES_OF[study.keep]
    if study.keep == "measures":
        if ledger.measured_of != measured_of or not _are_whole(folder, tables):
            write_summed_tables(folder, stored, ledger.truths, study.null, metadata)
            ledger.measured_of = measured_of
        return
    rows = [name for name in tables if name != "performance"]
    if ledger.made_of != made_of or not _are_whole(folder, rows):
        write_tables(folder, stored, ledger.truths, metadata)
        ledger.made_of = made_of
    if ledger.measured_of != measured_of or not _are_whole(folder, ["performance"]):
        _measure(ledger, progress, metadata, measured_of)


def _measure(
    ledger: Ledger, progress: Progress, metadata: Mapping[str, str], measured_of: str
) -> None:
    """Make the table of measures; where one of the user's fails, it is tried again next time."""
    folder, study = ledger.store.folder, ledger.study
    failures: list[str] = []
    table = performance_table(
        folder, measures=study.measures, null=study.null, tell=failures.append
    )
    write_table(folder / "performance.parquet", table, metadata)
    for text in failures:
        progress.say(f"Note: {text}")
    ledger.measured_of = None if failures else measured_of


def _are_whole(folder: Path, tables: Sequence[str]) -> bool:
    return all(is_whole(folder / f"{name}.parquet") for name in tables)
