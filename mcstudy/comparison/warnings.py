"""The warnings of fits, by method and kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mcstudy.analysis.select import METHODS_IN_ORDER, Where, in_order
from mcstudy.comparison.failures import Chosen
from mcstudy.simulation.call import message_kind
from mcstudy.tables.document import Block, Document, Grid

_KEY = ["condition", "method", "status", "kind"]
_COLUMNS = ["method", "message", "fits", "condition", "replicate"]
_MOST_LETTERS = 200
_MOST_LINES = 20


def warning_kinds(
    folder: Path, fits: pd.DataFrame, where: Where, record: Mapping[str, Any]
) -> pd.DataFrame:
    """Return how many fits of each method gave which kind of warning.

    Parameters
    ----------
    folder : Path
        With the tables of a run.
    fits : DataFrame
        The table `fits`, or of a study without rows `endings`.
    where : mapping or str, optional
        Which conditions and methods; see `mcstudy.analysis.select.select`.
    record : mapping
        The study's.

    Returns
    -------
    DataFrame
        method, message (numbers that differ are #), fits and the address of the first one:
        condition and replicate. Methods in the order of the study, most frequent first.
    """
    chosen = Chosen.of(folder, where, record)
    fits = fits[fits["warned"] & fits["condition"].isin(chosen.conditions)]
    methods = chosen.some("method", fits["method"].unique())
    fits = fits[fits["method"].isin(methods)]
    if "kind" in fits:
        fits = fits.drop_duplicates(_KEY)
    else:
        fits = fits.assign(fits=1, kind=fits["message"].map(message_kind))
    lines = []
    for (method, kind), rows in fits.groupby(["method", "kind"], sort=False):
        first, texts = rows.iloc[0], rows["message"].unique()
        message = kind if len(texts) > 1 else first["message"]
        lines.append((method, message, int(rows["fits"].sum()), *first[["condition", "replicate"]]))
    place = in_order(sorted(methods), record.get(METHODS_IN_ORDER, ()))
    lines.sort(key=lambda line: (place.index(line[0]), -line[2]))
    return pd.DataFrame(lines, columns=_COLUMNS)


def warnings_document(kinds: pd.DataFrame) -> Document:
    """Return the kinds of warnings as they are shown."""
    lines = [
        (row["method"], str(row["fits"]), _short(row["message"]))
        for row in kinds.head(_MOST_LINES).to_dict("records")
    ]
    more = len(kinds) - _MOST_LINES
    left_out = [f"  ... and {more} more"] if more > 0 else []
    grid = Grid(("method", "fits", "warning"), lines, left=3)
    return Document(blocks=[Block("Warnings, by kind", grid, left_out)], frames=[kinds])


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "..."
