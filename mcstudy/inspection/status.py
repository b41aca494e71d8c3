"""How far a study is, and what failed: from its parts alone, while a run is going on too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mcstudy.analysis.select import METHODS_IN_ORDER, in_order
from mcstudy.execution.scheduler import covered
from mcstudy.inspection.failures import kinds_of, troubled_fits
from mcstudy.inspection.status_report import StatusReport
from mcstudy.inspection.uncollected import is_collected, open_holding
from mcstudy.results import Results, folder_of
from mcstudy.storage.export import Stored
from mcstudy.storage.folder import Holding


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
    holding = open_holding(folder_of(results))
    troubled, stored, damaged = troubled_fits(holding)
    asked = set(holding.methods)
    lines = [
        (
            condition.key,
            method,
            *covered(items, method, holding.goal(condition) if method in asked else 0),
        )
        for condition, items in stored.items()
        for method in _methods(holding, items)
    ]
    fits = pd.DataFrame(lines, columns=["condition", "method", "done", "missing"])
    for kind in ("failed", "warned"):
        some = troubled[troubled[kind]]
        counts = some.groupby(["condition", "method"], observed=True)["count"].sum().to_dict()
        keys = zip(fits["condition"], fits["method"], strict=True)
        fits[kind] = [int(counts.get(key, 0)) for key in keys]
    collected = is_collected(holding)
    return StatusReport(
        folder=holding.folder,
        name=holding.record["name"],
        running=holding.store.busy,
        fits=fits if collected else fits.drop(columns="missing"),
        failures=kinds_of(troubled[troubled["failed"]]),
        warnings=kinds_of(troubled[troubled["warned"]]),
        damaged=damaged + len(holding.store.damaged),
        conditions=holding.conditions,
        collected=collected,
    )


def _methods(holding: Holding, items: Sequence[Stored]) -> list[str]:
    """Return the methods that were asked for or have rows."""
    names = sorted({*holding.methods, *(method for item in items for method in item.methods)})
    return in_order(names, holding.record.get(METHODS_IN_ORDER, ()))
