"""Fits to measures of their own numbers: the seconds they took, and diagnostics of the methods.

They stand beside the table `performance` and not in it: seconds differ from run to run, and the
tables are the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.measure_table import numbers
from mcstudy.analysis.measures import mean_of, quantile, share
from mcstudy.arrays import Floats
from mcstudy.columns import BESIDE_DIAGNOSTICS, COUNTS, VALUES
from mcstudy.measure import Measured
from mcstudy.method import Status

SECONDS = "seconds"
FIT_KEY = ["condition", "replicate", "method"]
"""The columns of `fit_numbers` before the numbers."""
FIT_COLUMNS = ("estimand", "interval", "measure", *VALUES, *COUNTS)


def fit_numbers(fits: pd.DataFrame, timings: pd.DataFrame, taken: Collection[str]) -> pd.DataFrame:
    """Return the seconds and the numeric diagnostics of each fit that was not skipped.

    Diagnostics called like one of `taken` are left out.
    """
    own = [
        name
        for name in fits.columns
        if name not in (*BESIDE_DIAGNOSTICS, SECONDS, *taken)
        and (pd.api.types.is_numeric_dtype(fits[name]) or _is_binary(fits[name]))
    ]
    some = fits.loc[fits["status"] != Status.SKIPPED, [*FIT_KEY, *own]]
    return some.merge(timings, on=FIT_KEY, how="left")


def fit_measures(made: pd.DataFrame, conditions: pd.DataFrame) -> pd.DataFrame:
    """Return mean, median and 95 % quantile of each number of the fits, by condition and method.

    Of ``seconds`` the measures are ``seconds``, the mean, ``seconds_median`` and
    ``seconds_quantile_95``, and likewise of each diagnostic; of one that is true or false there is
    its share alone.
    """
    names = [name for name in made.columns if name not in FIT_KEY]
    lines = []
    for (condition, method), rows in made.groupby(["condition", "method"], sort=False):
        for name in names:
            for measure, answer in _measured(name, rows[name]):
                found = (*numbers(answer), len(rows))
                lines.append((condition, method, None, None, measure, *found))
    frame = pd.DataFrame(lines, columns=["condition", "method", *FIT_COLUMNS])
    return conditions.merge(frame, on="condition").drop(columns="condition")


def _measured(name: str, column: pd.Series[Any]) -> Iterator[tuple[str, Measured]]:
    values = floats(column)
    values = values[np.isfinite(values)]
    if not len(values):
        return
    if _is_binary(column):
        yield name, share(values == 1)
        return
    yield name, mean_of(values)
    yield f"{name}_median", quantile(values, 0.5)
    yield f"{name}_quantile_95", quantile(values, 0.95)


def _is_binary(column: pd.Series[Any]) -> bool:
    """Return whether a column is of true and false, which may be missing."""
    if pd.api.types.is_bool_dtype(column):
        return True
    there = column.dropna()
    return bool(len(there)) and all(isinstance(value, bool | np.bool_) for value in there)


def floats(column: pd.Series[Any]) -> Floats:
    """Return numbers, or truth values, as floats; NaN is missing."""
    return column.astype(object).where(column.notna(), np.nan).to_numpy(dtype=float)
