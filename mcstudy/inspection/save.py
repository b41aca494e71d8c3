"""A data set to a file: Parquet or CSV where it is a table, a pickle for anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd

from mcstudy.arguments import as_path, cut
from mcstudy.errors import ResultsError
from mcstudy.external.frames import as_pandas, is_frame

SUFFIXES = (".parquet", ".csv", ".pkl")
# What is shown of a data set: enough to know it again, above the fits that a replay is about.
_MOST_ROWS = 6
_MOST_NUMBERS = 10
_MOST_LETTERS = 300


def check_path(path: str | Path) -> None:
    """Raise ResultsError unless a data set can be written to a file of that name."""
    path = as_path(path, "path", of="a file")
    if path.suffix not in SUFFIXES:
        suffix = f"as {path.suffix!r}" if path.suffix else "without a suffix"
        raise ResultsError(f"{path}: cannot save {suffix}; use .parquet, .csv or .pkl")
    if not path.parent.is_dir():
        raise ResultsError(f"{path}: there is no folder {path.parent}; make it, or name another")
    if path.is_dir():
        raise ResultsError(f"{path}: is a folder; name a file")


def save_data(data: Any, path: str | Path) -> None:
    """Write a data set to a file, by its suffix ``.parquet``, ``.csv`` or ``.pkl``.

    It is a DataFrame, an array, something with a ``frame`` or, for ``.pkl``, anything. ResultsError
    says what is no table, or cannot be written.
    """
    path = Path(path)
    check_path(path)
    frame = None if path.suffix == ".pkl" else as_frame(data)
    if frame is None and path.suffix != ".pkl":
        raise ResultsError(
            f"{path}: a {type(data).__name__} is no table; save it as {path.with_suffix('.pkl')}"
        )
    try:
        if frame is None:
            path.write_bytes(cloudpickle.dumps(data))
        elif path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written ({error.strerror or error})") from None


def as_frame(data: Any) -> pd.DataFrame | None:
    """Return a data set as a table, None if it is none."""
    frame = data if is_frame(data) else getattr(data, "frame", data)
    if is_frame(frame):
        return as_pandas(frame).rename(columns=str)
    if isinstance(frame, pd.Series):
        return frame.to_frame(str(frame.name or "value"))
    if isinstance(frame, np.ndarray) and frame.ndim in (1, 2):
        if frame.dtype.names:
            return pd.DataFrame(frame)
        columns = ["value"] if frame.ndim == 1 else [f"value{i}" for i in range(frame.shape[1])]
        return pd.DataFrame(frame.reshape(len(frame), -1), columns=columns)
    is_table = isinstance(frame, dict) and all(
        isinstance(column, np.ndarray | list) for column in frame.values()
    )
    try:
        return pd.DataFrame(frame).rename(columns=str) if is_table else None
    except ValueError:
        return None


def data_text(data: Any) -> str:
    """Return kind, size and beginning of a data set."""
    head, frame = type(data).__name__, as_frame(data)
    if isinstance(data, np.ndarray):
        head += f" of shape {data.shape}, {data.dtype}"
        text = np.array2string(data, threshold=_MOST_NUMBERS, precision=6)
    elif frame is not None:
        head += f", {len(frame)} rows"
        text = frame.to_string(max_rows=_MOST_ROWS, max_cols=_MOST_NUMBERS)
    else:
        text = cut(repr(data), _MOST_LETTERS)
    return f"{head}\n" + "\n".join(f"  {line}" for line in text.splitlines())
