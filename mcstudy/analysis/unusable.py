"""Measures to the methods that have no usable fit under a condition."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.analysis.select import (
    Columns,
    factor_columns,
    factors_in_words,
    in_words,
    levels_by_row,
)
from mcstudy.arguments import cut
from mcstudy.measure import REJECTION
from mcstudy.method import Status
from mcstudy.simulation.call import message_kind
from mcstudy.simulation.validation import TEST
from mcstudy.storage.table_set import read_table

if TYPE_CHECKING:
    import pandas as pd

MOST_LETTERS = 300  # of a message: three lines of a terminal, as the line names a method too


def unusable(folder: Path, table: Columns, methods: Collection[str] | None = None) -> list[str]:
    """Say of each method under which conditions none of its fits has an estimate or a p-value.

    Conditions under which it does not apply, all of its fits being skipped, do not count.

    Parameters
    ----------
    folder : Path
        With the tables.
    table : Columns
        The measures.
    methods : collection of str, optional
        Those that are asked about; all by default.

    Returns
    -------
    list of str
        A line for each method.
    """
    factors = factor_columns(table)
    cells = levels_by_row(table, [*factors, "method"])
    measure, used, value = table["measure"], table["used"], table["value"]
    fine = (measure == "empirical_se") & (used > 0)
    fine |= (measure == REJECTION) & (table["interval"] == TEST) & (used > 0)
    fine |= (measure == f"share_{Status.SKIPPED}") & (value == 1)
    known = {cells[row] for row in np.flatnonzero(fine)}
    by_method: dict[str, list[tuple[Any, ...]]] = {}
    for row in np.flatnonzero(measure == f"share_{Status.OK}"):
        by_method.setdefault(cells[row][-1], []).append(cells[row])
    lines = []
    for method, rows in by_method.items():
        bad = [cell[:-1] for cell in rows if cell not in known]
        if bad and (methods is None or method in methods):
            first = factors_in_words(dict(zip(factors, bad[0], strict=True)))
            where = f" under {len(bad)} of {len(rows)} conditions" if len(rows) > 1 else ""
            where += f" ({first}{', ...' if len(bad) > 1 else ''})" if first and where else ""
            said = _most_often(folder, method, set(map(_words, bad)))
            lines.append(f"method '{method}' has no usable fit{where}; {said}")
    return lines


def _words(levels: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(in_words, levels))


def _most_often(folder: Path, method: str, where: set[tuple[str, ...]]) -> str:
    """Say how most of the fits of a method ended under these conditions."""
    conditions = read_table(folder, "conditions").to_pandas()
    factors = [str(name) for name in conditions.columns if name != "condition"]
    keys = conditions[factors].itertuples(index=False, name=None)
    among = [_words(key) in where for key in keys] if factors else [True] * len(conditions)
    wanted = [("method", "==", method), ("condition", "in", list(conditions["condition"][among]))]
    name = "fits" if (folder / "fits.parquet").exists() else "endings"
    columns = ["status", "message"] if name == "fits" else None
    ends = with_kinds(read_table(folder, name, columns=columns, filters=wanted).to_pandas())
    words = {"message": object, "kind": object}  # of floats where no fit has a message
    ends = ends[ends["status"] != Status.SKIPPED].astype(words).fillna(dict.fromkeys(words, ""))
    ends = ends.assign(status=ends["status"].astype(str))
    kinds = ends.groupby(["status", "kind"], as_index=False)["fits"].sum()
    most = kinds.loc[kinds["fits"].idxmax()]
    alike = ends[(ends["status"] == most["status"]) & (ends["kind"] == most["kind"])]
    texts = alike["message"].unique()
    text = str(texts[0] if len(texts) == 1 else most["kind"])
    message = cut(" ".join(text.split()), MOST_LETTERS)
    said = f"{most['status']}: {message}" if message else most["status"]
    return f"most often ({most['fits']} of {kinds['fits'].sum()}): {said}"


def with_kinds(ends: pd.DataFrame) -> pd.DataFrame:
    """Return `fits` or `endings` with the kind of each message, and how many `fits` a row is."""
    if "kind" in ends:  # several addresses, each with the number of all
        return ends.drop_duplicates(["condition", "method", "status", "kind"])
    return ends.assign(fits=1, kind=ends["message"].map(message_kind, na_action="ignore"))
