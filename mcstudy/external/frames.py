"""Anybody's data frame to an Arrow table or a pandas frame: pandas, Arrow, Polars and others."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from mcstudy.errors import TableError


def is_frame(data: Any) -> bool:
    """Return whether `as_arrow` or `as_pandas` takes an object for a frame in memory."""
    if isinstance(data, type | pd.Series):
        return False
    return isinstance(data, pd.DataFrame | pa.Table | pa.RecordBatch) or any(
        hasattr(data, name) for name in ("__arrow_c_stream__", "to_pandas")
    )


def as_arrow(data: Any) -> pa.Table:
    """Return a frame that is not a pandas one as an Arrow table.

    Taken are all that have the Arrow stream interface, as those of Polars do, or `to_pandas`;
    TableError for a series, or a frame that cannot be read.
    """
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    try:
        if hasattr(data, "__arrow_c_stream__"):
            return _texts_in_no_order(pa.table(data))
        return pa.Table.from_pandas(data.to_pandas(), preserve_index=False)
    except (pa.ArrowException, TypeError, AttributeError) as error:
        kind, reason = type(data).__name__, " ".join(str(error).split())
        raise TableError(f"the table is a {kind} that cannot be read ({reason})") from None


def as_pandas(data: Any) -> pd.DataFrame:
    """Return a frame as a pandas one; a pandas one is itself."""
    if isinstance(data, pd.DataFrame):
        return data
    frame: pd.DataFrame = as_arrow(data).to_pandas()
    return frame


def no_frame(data: Any, wanted: str) -> TableError:
    """Return the error for an object that is no frame; `wanted` says what to give."""
    if callable(getattr(data, "collect", None)):
        return TableError(f"the table is a lazy {type(data).__name__}; call its collect() first")
    return TableError(f"the table is a {type(data).__name__}; give {wanted}")


def _texts_in_no_order(table: pa.Table) -> pa.Table:
    """Return the table with Categorical columns of Polars as texts.

    The order of their levels is that in which the process met them; an Enum's order is meant.
    """
    for place, column in enumerate(table.schema):
        if any(key.startswith(b"_PL_CATEGORICAL") for key in column.metadata or ()):
            chunks = table.column(place).chunks
            levels = [chunk.dictionary.cast(pa.large_string()) for chunk in chunks]
            taken = [known.take(x.indices) for known, x in zip(levels, chunks, strict=True)]
            texts = pa.chunked_array(taken, pa.large_string())
            table = table.set_column(place, column.name, texts)
    return table
