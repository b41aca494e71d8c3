"""Anybody's table to batches of rows: any data frame, Arrow dataset, Parquet, CSV."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mcstudy.arguments import as_path
from mcstudy.errors import TableError
from mcstudy.external.csv_files import DELIMITERS, csv_source
from mcstudy.external.frames import as_arrow, is_frame, no_frame
from mcstudy.external.table_source import Source

BATCH = 2**18  # rows at a time: 2 MB a column
ENDINGS = (*DELIMITERS, ".parquet")


def open_source(data: Any) -> Source:
    """Return the table to read: a data frame of any kind, an Arrow dataset, or a path.

    TableError for a path that cannot be read, or anything else.
    """
    if isinstance(data, pd.DataFrame):
        return frame_source(data)
    if isinstance(data, str | Path):
        return path_source(as_path(data, "data", TableError, of="a Parquet or CSV file"))
    if type(data).__module__ == "pyarrow._dataset" and hasattr(data, "to_batches"):
        return dataset_source(data, "the dataset")
    if is_frame(data):
        table = as_arrow(data)
        names = table.column_names
        return Source("the table", names, 0, lambda some, _: iter(table.select(some).to_batches()))
    wanted = "a data frame of pandas, Polars or Arrow, an Arrow dataset, or the path of a file"
    raise no_frame(data, f"{wanted} (Parquet or CSV)")


def frame_source(frame: pd.DataFrame) -> Source:
    """Return a pandas frame, with its intervals as texts and sparse columns in full."""
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)

    def batches(columns: Sequence[str], numbers: Sequence[str]) -> Iterator[pa.RecordBatch]:
        try:
            table = pa.Table.from_pandas(known_to_arrow(frame[list(columns)]), preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            reason = " ".join(str(text) for text in error.args)
            raise TableError(f"the table mixes types in a column: {reason}") from None
        except (pa.ArrowNotImplementedError, OverflowError) as error:
            reason = " ".join(str(text) for text in error.args)
            raise TableError(f"a column has values of no use here: {reason}") from None
        yield from table.to_batches()

    return Source("the table", frame.columns.tolist(), 0, batches)


def known_to_arrow(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose columns Arrow knows: intervals as text, sparse ones in full."""
    known: dict[str, Any] = {}
    for name, kind in frame.dtypes.items():
        if isinstance(kind, pd.SparseDtype):
            known[str(name)] = frame[name].to_numpy()
        elif isinstance(getattr(kind, "categories", None), pd.IntervalIndex):
            known[str(name)] = frame[name].cat.rename_categories(str)
        elif isinstance(kind, pd.IntervalDtype):
            known[str(name)] = frame[name].astype(str)
    return frame.assign(**known) if known else frame


def path_source(path: Path) -> Source:
    """Return a Parquet or CSV file, or a folder of Parquet files."""
    if not path.exists():
        raise TableError(f"{path}: there is no such file; give the path of a CSV or Parquet file")
    kind = "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).lower()
    with _readable(path, kind):
        if path.is_dir():
            source = folder_source(path)
        else:
            source = (
                csv_source(path, DELIMITERS[kind]) if kind in DELIMITERS else parquet_source(path)
            )

    def batches(columns: Sequence[str], numbers: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with _readable(path, kind):
            yield from source.batches(columns, numbers)

    return replace(source, batches=batches)


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """Raise TableError in place of what Arrow raises."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        raise TableError(f"{path}: cannot be read ({reason})") from None
    except pa.ArrowException as error:
        if not path.is_dir() and kind not in ENDINGS:
            raise TableError(
                f"{path}: is no table that can be read; save it as CSV or Parquet, in a file that "
                f"ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
            ) from None
        form, reason = "CSV" if kind in DELIMITERS else "Parquet", " ".join(str(error).split())
        raise TableError(f"{path}: cannot be read as {form} ({reason})") from None


def parquet_source(path: Path) -> Source:
    """Return a Parquet file, read in batches."""
    with pq.ParquetFile(path) as file:
        names, rows = file.schema_arrow.names, file.metadata.num_rows
        texts = [item.name for item in file.schema_arrow if "string" in str(item.type)]

    def batches(columns: Sequence[str], numbers: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False) as file:
            yield from file.iter_batches(BATCH, columns=list(columns))

    return Source(str(path), names, 8 * rows, batches)


def folder_source(path: Path) -> Source:
    """Return the Parquet files below a folder as one table, hive partitions as columns."""
    import pyarrow.dataset as ds

    if (path / "study.json").is_file():
        raise TableError(
            f"{path}: is a results folder of mcstudy; its measures are shown by mcstudy summarize "
            "(open_results(folder).performance)"
        )
    files = [
        str(file)
        for file in sorted(path.rglob("*.parquet"))
        if file.is_file()
        and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
    ]
    if not files:
        raise TableError(f"{path}: has no file that ends in .parquet")
    options: Any = {"format": "parquet", "partition_base_dir": str(path)}
    options["partitioning"] = ds.partitioning(flavor="hive")
    dataset = ds.dataset(files, **options)
    schemas = [dataset.schema, *(f.physical_schema for f in dataset.get_fragments())]
    schema = pa.unify_schemas(schemas, promote_options="permissive")
    return dataset_source(ds.dataset(files, schema=schema, **options), str(path))


def dataset_source(dataset: Any, name: str) -> Source:
    """Return an Arrow dataset, read in batches."""

    def batches(columns: Sequence[str], numbers: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return dataset.to_batches(  # type: ignore[no-any-return]
            columns=list(columns), batch_size=BATCH, batch_readahead=2, fragment_readahead=1
        )

    return Source(name, dataset.schema.names, 8 * dataset.count_rows(), batches)
