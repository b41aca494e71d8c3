"""How far a study is, and what failed: from its parts alone, while a run is going on too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mcstudy.analysis.query import factors_of
from mcstudy.analysis.select import METHODS_IN_ORDER, in_order
from mcstudy.execution.scheduler import covered
from mcstudy.grid import Condition
from mcstudy.inspection.failures import kinds_of, troubled_fits
from mcstudy.inspection.status_report import StatusReport
from mcstudy.results import Results, folder_of
from mcstudy.storage.folder import RecordedStudy, has_tables
from mcstudy.storage.manifest import kept_as
from mcstudy.storage.parts import Head, Part
from mcstudy.storage.provenance import Mark
from mcstudy.storage.store import Store
from mcstudy.storage.sum_parts import nulls_of, truths_of


def status(results: Results | str | Path) -> StatusReport:
    """Return how far a study is and what failed, without the study file.

    Parameters
    ----------
    results : Results or path
        ``results/<study name>``. A run may be at work there, or shares that nobody has collected.

    Raises
    ------
    ResultsError
        If the folder holds no record of a run, and no part of a share.
    """
    recorded = open_recorded(folder_of(results))
    troubled, stored, damaged = troubled_fits(recorded)
    asked = set(recorded.methods)
    lines = [
        (
            condition.key,
            method,
            *covered(parts, method, recorded.goal(condition) if method in asked else 0),
        )
        for condition, parts in stored.items()
        for method in _methods(recorded, parts)
    ]
    fits = pd.DataFrame(lines, columns=["condition", "method", "done", "missing"])
    for kind in ("failed", "warned"):
        some = troubled[troubled[kind]]
        counts = some.groupby(["condition", "method"], observed=True)["count"].sum().to_dict()
        keys = zip(fits["condition"], fits["method"], strict=True)
        fits[kind] = [int(counts.get(key, 0)) for key in keys]
    collected = "asked" in recorded.record  # a run, or `collect`, writes down what was asked for
    return StatusReport(
        folder=recorded.folder,
        name=recorded.record["name"],
        running=recorded.store.busy,
        fits=fits if collected else fits.drop(columns="missing"),
        failures=kinds_of(troubled[troubled["failed"]]),
        warnings=kinds_of(troubled[troubled["warned"]]),
        damaged=damaged + len(recorded.store.strays()),
        conditions=recorded.conditions,
        collected=collected,
    )


def _methods(recorded: RecordedStudy, parts: Sequence[Part]) -> list[str]:
    """Return the methods that were asked for or have rows."""
    names = sorted({*recorded.methods, *(part.method for part in parts)})
    return in_order(names, recorded.record.get(METHODS_IN_ORDER, ()))


def open_recorded(folder: Path) -> RecordedStudy:
    """Open a folder for looking, one that holds nothing but parts as well.

    Raises
    ------
    ResultsError
        If it holds neither a record nor a part, or tables without a record.
    """
    store = Store(folder)
    if not store.record and not has_tables(folder) and (record := _record_of(store)):
        return RecordedStudy(folder, record, store)
    return RecordedStudy.of(folder)


def _record_of(store: Store) -> dict[str, Any]:
    """Return what parts alone say of their study; empty if there are none.

    All their rows count, since nobody has decided yet what becomes of those that others have made.
    """
    marks: dict[str, Mark] = {}
    made: dict[tuple[str, str], Mark] = {}
    conditions: dict[str, Head] = {}
    for part in store.parts():
        known = (part.method, part.fingerprint) in made and part.condition in conditions
        if not known and (head := store.head(part)):
            conditions[part.condition] = head
            made[part.method, part.fingerprint] = marks[part.method] = head.provenance
    if not conditions:
        return {}
    heads = list(conditions.values())
    found = {Condition(factors_of(head.condition)) for head in heads}
    return {
        "name": store.folder.name,
        "conditions": {
            condition.key: dict(condition.factors)
            for condition in sorted(found, key=lambda condition: condition.sort_key)
        },
        "methods": sorted(marks),
        "marks": marks,
        "kept": [kept_as(fingerprint, marks[method]) for method, fingerprint in made],
        "keep": heads[0].keep,
        "truths": truths_of(heads),
        "null": nulls_of(heads) or None,
    }
