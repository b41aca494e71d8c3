"""The error to expect of each measure, and the replicates that a wanted error needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mcstudy.analysis.precision import shares
from mcstudy.analysis.select import factors_in_words

_SHOWN_NAMES = ("method", "estimand", "interval")


def unit_errors(performance: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of a pilot with `unit`, the error of a measure over one replicate.

    An error falls with the root of the number of replicates. A share is drawn towards 1/2, as
    (x + 2) / (n + 4) (Agresti & Coull 1998, The American Statistician 52:119): a pilot that saw no
    miss has not shown that there is none.
    """
    cells = performance[(performance["used"] >= 1) & performance["value"].notna()].copy()
    used = cells["used"].to_numpy(dtype=float)
    value = cells["value"].to_numpy(dtype=float)
    p = (np.clip(value, 0, 1) * used + 2) / (used + 4)
    unit = cells["mcse"].to_numpy(dtype=float, na_value=np.nan) * np.sqrt(used)
    cells["unit"] = np.where(shares(cells), np.sqrt(p * (1 - p)), unit)
    cells["unit"] /= np.sqrt(used / cells["replicates"].to_numpy(dtype=float))
    known: pd.DataFrame = cells[np.isfinite(cells["unit"].to_numpy())]
    return known


def expected_errors(units: pd.DataFrame, replicates: int | pd.Series) -> pd.DataFrame:
    """Return the error of every cell after so many replicates, its own number: column `mcse`."""
    return units.assign(mcse=units["unit"] / np.sqrt(replicates))


def needed(units: pd.DataFrame, targets: Mapping[str, float]) -> pd.DataFrame:
    """Return the cells that have a target, with how many replicates they need for it."""
    cells = units[units["measure"].isin(list(targets))].copy()
    cells["target"] = cells["measure"].map(dict(targets)).astype(float)
    ratio = (cells["unit"] / cells["target"]).to_numpy(dtype=float)
    cells["needed"] = np.maximum(np.ceil(ratio**2), 1).astype("int64")
    return cells


def worst(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return for each measure the cell with the largest `column`."""
    order = cells.sort_values(column, ascending=False, kind="stable")
    firsts = order.drop_duplicates("measure")
    return firsts.loc[sorted(firsts.index)]


def cell_in_words(cell: pd.Series, cells: pd.DataFrame) -> str:
    """Return in words what tells a row of `performance` from the others of `cells`."""
    names = list(cells.columns)
    factors = [
        name for name in names[: names.index("method")] if cells[name].nunique(dropna=False) > 1
    ]
    words = [str(cell[name]) for name in _SHOWN_NAMES if isinstance(cell[name], str)]
    where = factors_in_words({name: cell[name] for name in factors})
    return f"{where}: {' '.join(words)}" if where else " ".join(words)
