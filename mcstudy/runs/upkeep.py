"""Parts to tables, whenever they are asked for: joins what is small, writes what has changed."""

from __future__ import annotations

from pathlib import Path

from mcstudy.runs.progress import Progress
from mcstudy.runs.summary import Wishes, write_measures, write_rows
from mcstudy.stored.compact import compact
from mcstudy.stored.files import is_whole
from mcstudy.stored.ledger import Ledger
from mcstudy.stored.parts import DamagedError
from mcstudy.stored.tables import MEASURED, tables_of_rows


def update_tables(ledger: Ledger, progress: Progress | None = None) -> bool:
    """Make the tables, unless they are those of the stored parts already.

    Parameters
    ----------
    ledger : Ledger
        The study and its stored rows.
    progress : Progress, optional
        Is told which of the study's own measures raise; left out while a run is under way.

    Returns
    -------
    bool
        False if a part turned out to be damaged; it is set aside and its replicates miss.
    """
    try:
        compact(ledger.store)
        _update_rows(ledger)
    except DamagedError as error:
        ledger.store.set_aside(error.path)
        return False
    _update_measures(ledger, progress)
    return True


def _update_rows(ledger: Ledger) -> None:
    folder = ledger.store.folder
    stored = ledger.stored()
    made_of = ledger.tables_digest(stored)
    tables = tables_of_rows(ledger.study.keep)
    if ledger.made_of != made_of or not _are_whole(folder, tables):
        ledger.made_of = None
        ledger.write()
        write_rows(folder, stored, ledger.truths, ledger.facts())
        ledger.made_of, ledger.measured_of = made_of, None


def _update_measures(ledger: Ledger, progress: Progress | None) -> None:
    folder = ledger.store.folder
    measured_of = ledger.measures_digest(ledger.made_of or "")
    if ledger.study.keep == "measures" or (
        ledger.measured_of == measured_of and _are_whole(folder, MEASURED)
    ):
        return
    failures = write_measures(folder, ledger.facts(), Wishes.of(ledger.study))
    if progress is not None:
        for text in failures:
            progress.say(f"Note: {text}")
    ledger.measured_of = None if failures else measured_of


def _are_whole(folder: Path, tables: tuple[str, ...]) -> bool:
    return all(is_whole(folder / f"{name}.parquet") for name in tables)
