"""A CSV file to batches of rows, and Arrow's complaints of one in words that help."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from mcstudy.arguments import short
from mcstudy.errors import TableError
from mcstudy.external.table_source import Source, no_number

LARGE_CSV = 2**28  # bytes: larger ones are streamed, on one core, to stay within memory
DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
_NOT_UTF_8 = "is not UTF-8; save it as UTF-8, in R by write.csv(..., fileEncoding = 'UTF-8')"
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_CONVERSION = re.compile(
    r"In CSV column #(\d+):(?: Row #(\d+):)? CSV conversion error to (\w+): invalid value '(.*)'",
    re.DOTALL,
)
_WIDTH = re.compile(
    r"CSV parse error:(?: Row #(\d+):)? Expected (\d+) columns, got (\d+):.*", re.DOTALL
)


def csv_source(path: Path, delimiter: str) -> Source:
    """Return a CSV file, compressed or not; a large one is read anew each time."""
    names = _head(path, delimiter)
    size = path.stat().st_size * (4 if path.suffix == ".gz" else 1)
    file = _CsvFile(path, delimiter, names, size > LARGE_CSV)
    return Source(str(path), names, size // len(names), file.batches)


def _head(path: Path, delimiter: str) -> list[str]:
    """Return the names of the columns; TableError if the file is no such table."""
    from pyarrow import csv

    try:
        parse = csv.ParseOptions(delimiter=delimiter)
        with csv.open_csv(path, parse_options=parse, read_options=_rows_counted()) as reader:
            names, types = reader.schema.names, reader.schema.types
    except UnicodeDecodeError:
        raise TableError(f"{path}: {_NOT_UTF_8}") from None
    except pa.ArrowInvalid as error:
        _check_delimiter(path, delimiter)
        raise _csv_error(path, error) from None
    if len(names) == 1:
        _check_delimiter(path, delimiter)
    if pa.binary() in types:
        raise TableError(f"{path}: {_NOT_UTF_8}")
    return list(names)


def _rows_counted() -> Any:
    """Return the way of reading in which an error says in which row."""
    from pyarrow import csv

    return csv.ReadOptions(use_threads=False)


@dataclass(frozen=True)
class _CsvFile:
    """A CSV file; a large one is streamed."""

    path: Path
    delimiter: str
    names: Sequence[str]
    is_large: bool

    def batches(self, columns: Sequence[str], numbers: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of some columns, of which some are numbers."""
        columns, done = columns or self.names[:1], 0
        try:
            for batch in self._read(columns, numbers):
                if pa.binary() in batch.schema.types:
                    raise TableError(f"{self.path}: {_NOT_UTF_8}")
                yield batch
                done += 1
        except pa.ArrowInvalid:  # for a quoted NA, say, in a column of numbers
            try:
                yield from islice(self._read_apart(columns, numbers), done, None)
            except pa.ArrowInvalid as error:
                raise _csv_error(self.path, error, self.names) from None

    def _read(
        self,
        columns: Sequence[str],
        numbers: Sequence[str],
        *,
        quoted: bool = False,
        how: Any = None,
    ) -> Any:
        """Return batches; with `quoted` a missing value is one in quotes too."""
        from pyarrow import csv

        options = {
            "read_options": how,
            "parse_options": csv.ParseOptions(delimiter=self.delimiter),
            "convert_options": csv.ConvertOptions(
                include_columns=list(columns),
                column_types=dict.fromkeys(numbers, pa.float64()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=quoted,
            ),
        }
        if self.is_large:
            return csv.open_csv(self.path, **options)
        return csv.read_csv(self.path, **options).to_batches()

    def _read_apart(
        self, columns: Sequence[str], numbers: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the same batches, where a quoted NA is missing among numbers: a text elsewhere."""
        texts = [name for name in columns if name not in numbers]
        parts = [self._read(numbers, numbers, quoted=True, how=_rows_counted())] if numbers else []
        parts += [self._read(texts, ())] if texts else []
        for pieces in zip(*parts, strict=True):
            of = {name: piece.column(name) for piece in pieces for name in piece.schema.names}
            yield pa.RecordBatch.from_pydict({name: of[name] for name in columns})


def _check_delimiter(path: Path, delimiter: str) -> None:
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


def _csv_error(path: Path, error: pa.ArrowInvalid, names: Sequence[str] = ()) -> TableError:
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
