"""Anybody's table to batches of rows: any data frame, Arrow dataset, Parquet, CSV."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mcstudy.arguments import as_path, short
from mcstudy.errors import TableError
from mcstudy.external.frames import as_arrow, is_frame, no_frame

BATCH = 2**18  # rows at a time: 2 MB a column
LARGE_CSV = 2**28  # bytes: larger ones are streamed, on one core, to stay within memory
_NOT_UTF_8 = "is not UTF-8; save it as UTF-8, in R by write.csv(..., fileEncoding = 'UTF-8')"
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_CONVERSION = re.compile(
    r"In CSV column #(\d+):(?: Row #(\d+):)? CSV conversion error to (\w+): invalid value '(.*)'",
    re.DOTALL,
)
_WIDTH = re.compile(
    r"CSV parse error:(?: Row #(\d+):)? Expected (\d+) columns, got (\d+):.*", re.DOTALL
)
_CSV = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
ENDINGS = (*_CSV, ".parquet")


@dataclass(frozen=True)
class Source:
    """A table whose rows can be read more than once, always in the same order.

    `bytes_at_most` is how much memory the numbers of one column can take; 0 where they are in
    memory already. `batches` takes names of columns, and which of them are numbers.
    """

    name: str
    columns: Sequence[str]
    bytes_at_most: int
    batches: Callable[[Sequence[str], Sequence[str]], Iterator[pa.RecordBatch]]

    def check_column(self, name: str, role: str) -> None:
        """Raise TableError unless there is one column of the name; `role` is what it is for."""
        count = list(self.columns).count(name)
        if count > 1:
            raise TableError(f"{self.name}: has two columns '{name}'; rename one")
        if not count:
            columns = ", ".join(f"'{column}'" for column in self.columns[:30])
            more = ", ..." if len(self.columns) > 30 else ""
            also = "give a number, or " if role == "truth" else ""
            raise TableError(
                f"{self.name}: has no column '{name}' ({role}); it has {columns or 'none'}{more}; "
                f"{also}name one of them"
            )


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
            source = csv_source(path, _CSV[kind]) if kind in _CSV else parquet_source(path)

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
        form, reason = "CSV" if kind in _CSV else "Parquet", " ".join(str(error).split())
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


def csv_source(path: Path, delimiter: str) -> Source:
    """Return a CSV file, streamed if it is large."""
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter=delimiter)
    rows_counted = csv.ReadOptions(use_threads=False)  # so that an error says in which row
    try:
        with csv.open_csv(path, parse_options=parse, read_options=rows_counted) as reader:
            names, types = reader.schema.names, reader.schema.types
    except UnicodeDecodeError:
        raise TableError(f"{path}: {_NOT_UTF_8}") from None
    except pa.ArrowInvalid as error:
        check_delimiter(path, delimiter)
        raise csv_error(path, error) from None
    if len(names) == 1:
        check_delimiter(path, delimiter)
    if pa.binary() in types:
        raise TableError(f"{path}: {_NOT_UTF_8}")
    size = path.stat().st_size * (4 if path.suffix == ".gz" else 1)
    read_csv = csv.open_csv if size > LARGE_CSV else _read_whole

    def read(
        columns: Sequence[str], numbers: Sequence[str], quoted: bool = False, how: Any = None
    ) -> Any:
        """Return batches; with `quoted` a missing value is one in quotes too."""
        convert = csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(numbers, pa.float64()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=quoted,
        )
        return read_csv(path, read_options=how, parse_options=parse, convert_options=convert)

    def read_apart(columns: Sequence[str], numbers: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the same batches, where a quoted NA is missing among numbers: a text elsewhere."""
        texts = [name for name in columns if name not in numbers]
        parts = [read(numbers, numbers, quoted=True, how=rows_counted)] if numbers else []
        parts += [read(texts, ())] if texts else []
        for pieces in zip(*parts, strict=True):
            of = {name: piece.column(name) for piece in pieces for name in piece.schema.names}
            yield pa.RecordBatch.from_pydict({name: of[name] for name in columns})

    def batches(columns: Sequence[str], numbers: Sequence[str]) -> Iterator[pa.RecordBatch]:
        columns, done = columns or names[:1], 0
        try:
            for batch in read(columns, numbers):
                if pa.binary() in batch.schema.types:
                    raise TableError(f"{path}: {_NOT_UTF_8}")
                yield batch
                done += 1
        except pa.ArrowInvalid:  # for a quoted NA, say, in a column of numbers
            try:
                yield from islice(read_apart(columns, numbers), done, None)
            except pa.ArrowInvalid as error:
                raise csv_error(path, error, names) from None

    return Source(str(path), names, size // len(names), batches)


def _read_whole(path: Path, **options: Any) -> list[pa.RecordBatch]:
    from pyarrow import csv

    batches: list[pa.RecordBatch] = csv.read_csv(path, **options).to_batches()
    return batches


def check_delimiter(path: Path, delimiter: str) -> None:
    """Raise TableError if another sign separates the columns, as where the comma is decimal."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", errors="replace") as file:
        head = file.readline()
    others = [words for sign, words in _SEPARATORS.items() if sign in head]
    if delimiter not in head and others:
        raise TableError(
            f"{path}: has {others[0]} between its columns, not {_SEPARATORS[delimiter]}; write it "
            "to a .csv file with commas and full stops, as R's write.csv does"
        )


def csv_error(path: Path, error: pa.ArrowInvalid, names: Sequence[str] = ()) -> TableError:
    """Return the error for what Arrow says of a CSV file, whose rows it counts with the head."""
    reason = str(error)
    if "UTF8" in reason:
        return TableError(f"{path}: {_NOT_UTF_8}")
    if found := _CONVERSION.fullmatch(reason):
        column, row, kind, value = found.groups()
        name, at = names[int(column)], int(row) - 1 if row else None
        if kind == "double":
            return no_number(str(path), name, value, at)
        return TableError(
            f"{path}: column '{name}' has {short(value)}, and {kind} in the rows above; save the "
            "table as Parquet"
        )
    if found := _WIDTH.fullmatch(reason):
        row, wanted, there = found.groups()
        return TableError(
            f"{path}: {f'row {int(row) - 1}' if row else 'a row'} has {there} columns, the head "
            f"{wanted}; write it as R's write.csv does, a name for each column and texts in quotes"
        )
    return TableError(f"{path}: cannot be read as CSV ({' '.join(reason.split())})")


def no_numbers(values: pd.Series[Any], name: str, *, counted: bool = False) -> TableError:
    """Return the error for a column that is not of numbers; `counted` if all its rows are there."""
    made = pd.to_numeric(values.astype(str), errors="coerce")
    wrong = (made.isna() & values.notna()).to_numpy()
    if not wrong.any():
        return TableError(f"{name}: column '{values.name}' is text; give a column of numbers")
    row = int(wrong.argmax())
    return no_number(name, str(values.name), values.iloc[row], row + 1 if counted else None)


def no_number(name: str, column: str, value: object, row: int | None = None) -> TableError:
    """Return the error for a value in a column of numbers; rows count from 1."""
    cure = "leave the cell empty (NA) where there is none"
    if re.fullmatch(r"[-+]?\d*,\d+", str(value).strip()):
        cure = "write numbers with full stops, as R's write.csv does"
    at = f" in row {row}" if row else ""
    return TableError(f"{name}: column '{column}' has {short(value)}{at}, not a number; {cure}")
