"""The shares of a job array that nobody has collected: there is no record, only their parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcstudy.grid import Condition
from mcstudy.inspection.address import factors_of
from mcstudy.storage.accepted import kept_as
from mcstudy.storage.folder import Holding, has_tables
from mcstudy.storage.provenance import Mark
from mcstudy.storage.store import Store
from mcstudy.storage.sum_parts import nulls_of, truths_of


def open_holding(folder: Path) -> Holding:
    """Open a folder for looking, one that holds nothing but parts as well.

    Raises
    ------
    ResultsError
        If it holds neither a record nor a part, or tables without a record.
    """
    store = Store(folder)
    if not store.record and not has_tables(folder) and (record := _record_of(store)):
        return Holding(folder, record, store)
    return Holding.of(folder)


def is_collected(holding: Holding) -> bool:
    """Return whether a run, or `collect`, has written down what was asked for."""
    return "asked" in holding.record


def _record_of(store: Store) -> dict[str, Any]:
    """Return what parts alone say of their study; empty if there are none.

    All their rows count, since nobody has decided yet what becomes of those that others have made.
    """
    heads = store.heads()
    marks: dict[str, Mark] = {name: head.marks[name] for head in heads for name in head.methods}
    conditions = {Condition(factors_of(head.condition)) for head in heads}
    if not heads:
        return {}
    return {
        "name": store.folder.name,
        "conditions": {
            condition.key: dict(condition.factors)
            for condition in sorted(conditions, key=lambda condition: condition.sort_key)
        },
        "methods": sorted(marks),
        "marks": marks,
        "kept": [
            kept_as(name, mark, marks[name]) for head in heads for name, mark in head.marks.items()
        ],
        "keep": heads[0].keep,
        "truths": truths_of(heads),
        "null": nulls_of(heads) or None,
    }
