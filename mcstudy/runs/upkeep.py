"""Parts to tables, whenever they are asked for: joins what is small, writes what has changed."""

from __future__ import annotations

from mcstudy.runs.summary import write_summary
from mcstudy.stored.compact import compact
from mcstudy.stored.files import is_whole
from mcstudy.stored.ledger import Ledger
from mcstudy.stored.parts import DamagedError
from mcstudy.stored.tables import TABLES_OF


def update_tables(ledger: Ledger) -> bool:
    """Make the tables, unless they are those of the stored parts already.

    Returns
    -------
    bool
        False if a part turned out to be damaged; it is set aside and its replicates miss.
    """
    try:
        compact(ledger.store)
        _make_tables(ledger)
    except DamagedError as error:
        ledger.store.set_aside(error.path)
        return False
    return True


def _make_tables(ledger: Ledger) -> None:
    folder = ledger.store.folder
    stored = ledger.stored()
    made_of = ledger.tables_digest(stored)
    present = all(is_whole(folder / f"{name}.parquet") for name in TABLES_OF[ledger.study.keep])
    if present and ledger.made_of == made_of:
        return
    write_summary(folder, stored, ledger.truths, ledger.facts())
    ledger.made_of = made_of
