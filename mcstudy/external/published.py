"""Published numbers to a frame: a table of measures from a CSV or Parquet file, or any frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mcstudy.errors import TableError
from mcstudy.external.frames import is_frame
from mcstudy.external.readers import ENDINGS, open_source
from mcstudy.external.table_source import Source

NUMBERS = ("value", "mcse", "replicates")
_LEAST = {"mcse": 0.0, "replicates": 1.0}
_NEEDED = ("measure", "value")


def is_table(data: object) -> bool:
    """Return whether this is a table of measures: a frame, or a path that ends as one does."""
    if isinstance(data, str | Path):
        return str(data).lower().endswith(ENDINGS) and not Path(data).is_dir()
    return is_frame(data)


def read_published(data: Any) -> tuple[str, pd.DataFrame]:
    """Return the name of a table of measures, and its rows that have a value.

    TableError if it cannot be read, lacks measure or value, or has no number where one is due.
    """
    source = open_source(data)
    columns = list(dict.fromkeys(source.columns))
    for name in _NEEDED:
        if name not in columns:
            raise TableError(
                f"{source.name}: has no column '{name}'; it has "
                f"{', '.join(map(repr, columns)) or 'none'}; give measure and value, the columns "
                "that tell cells apart, and mcse, replicates or digits where they are known"
            )
    for name in columns:
        source.check_column(name, name)
    frame = _rows(source, columns)
    if "used" in columns:  # a table of mcstudy, whose mean of widths may be infinite
        frame = frame.replace({"value": {np.inf: np.nan}, "mcse": {np.inf: np.nan}})
    for name in [name for name in NUMBERS if name in columns]:
        _check_numbers(frame, name, source.name)
    frame = frame[frame["value"].notna()]
    if frame.empty:
        raise TableError(f"{source.name}: has no row with a value")
    if frame["measure"].isna().any():
        row = int(frame.index[frame["measure"].isna()][0]) + 1
        raise TableError(f"{source.name}: row {row} has no measure; name it, as bias or coverage")
    return source.name, frame


def _rows(source: Source, columns: list[str]) -> pd.DataFrame:
    """Return all rows; numbers are numbers, whatever they are in the file."""
    numbers = [name for name in columns if name in NUMBERS]
    if not (batches := list(source.batches(columns, numbers))):
        raise TableError(f"{source.name}: has no rows")
    frame: pd.DataFrame = pa.Table.from_batches(batches).to_pandas()
    for name in numbers:
        made = pd.to_numeric(frame[name], errors="coerce").astype(float)
        if (wrong := made.isna() & frame[name].notna()).any():
            at = int(np.flatnonzero(wrong)[0])
            raise TableError(
                f"{source.name}: row {at + 1} has {name} {frame[name].iloc[at]!r}; give a number"
            )
        frame[name] = made
    return frame


def _check_numbers(frame: pd.DataFrame, name: str, where: str) -> None:
    """Raise TableError for a number that this column cannot have."""
    least = _LEAST.get(name, -np.inf)
    wrong = np.isinf(frame[name]) | (frame[name] < least)
    if name == "replicates":
        wrong |= frame[name].notna() & (frame[name] % 1 != 0)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        whole = "a whole number" if name == "replicates" else "a finite number"
        limit = f" of {least:g} or more" if np.isfinite(least) else ""
        raise TableError(
            f"{where}: row {at + 1} has {name} {frame[name].iloc[at]:g}; give {whole}{limit}, or "
            "leave it empty"
        )
