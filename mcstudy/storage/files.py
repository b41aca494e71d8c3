"""Files that are written whole or not at all: under another name, then renamed."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mcstudy.errors import ResultsError
from mcstudy.storage.checksums import add_checksum

GROUP_ROWS = 2**15
"""The rows of a row group, or more: below some thousands its description outweighs them."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line what the system refuses: a full disk, a folder that is read-only.

    Raises
    ------
    ResultsError
        In place of any OSError.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ResultsError(
            f"{path}: cannot be written ({reason}); what is stored is whole, run again to go on"
        ) from None


def write_content(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Write the bytes of a file, whole or not at all; without `flush` a power cut may undo it."""
    temporary = _temporary(path)
    with writing(path):
        try:
            temporary.unlink(missing_ok=True)
            with open(temporary, "wb") as file:
                file.write(content)
                if flush:
                    _flush(file)
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)  # what of it fitted on a full disk is in the way
            raise


def write_table(path: Path, table: pa.Table, metadata: Mapping[str, str]) -> None:
    """Write one table, whole or not at all."""
    with TableWriters(path.parent, {path.stem: table.schema}, metadata) as writers:
        writers.write({path.stem: table})


class TableWriters:
    """Parquet files being written row group by row group; renamed into place at the end."""

    def __init__(
        self, folder: Path, schemas: Mapping[str, pa.Schema], metadata: Mapping[str, str]
    ) -> None:
        self._paths = {name: folder / f"{name}.parquet" for name in schemas}
        self._writers = {}
        self._waiting: defaultdict[str, list[pa.Table]] = defaultdict(list)
        self._rows_waiting: Counter[str] = Counter()
        for name, path in self._paths.items():
            with writing(path):
                schema = schemas[name].with_metadata(dict(metadata))
                texts = [field.name for field in schema if field.type == pa.string()]
                numbers = [field.name for field in schema if field.type == pa.float64()]
                _temporary(path).unlink(missing_ok=True)
                self._writers[name] = pq.ParquetWriter(
                    _temporary(path),
                    schema,
                    compression="zstd",
                    use_dictionary=texts,
                    column_encoding=dict.fromkeys(numbers, "BYTE_STREAM_SPLIT") or None,
                    write_page_checksum=True,
                )

    def __enter__(self) -> TableWriters:
        return self

    def write(self, tables: Mapping[str, pa.Table]) -> None:
        """Append rows to each; small tables share a row group."""
        for name, table in tables.items():
            self._waiting[name].append(table)
            self._rows_waiting[name] += table.num_rows
            if self._rows_waiting[name] >= GROUP_ROWS:
                self._write_group(name)

    def _write_group(self, name: str) -> None:
        table = pa.concat_tables(self._waiting.pop(name)).cast(self._writers[name].schema)
        table = table.combine_chunks()
        self._rows_waiting[name] = 0
        with writing(self._paths[name]):
            self._writers[name].write_table(table, row_group_size=max(table.num_rows, 1))

    def __exit__(self, kind: Any, *_: object) -> None:
        try:
            if kind is None:
                for name in list(self._waiting):
                    self._write_group(name)
                for name, path in self._paths.items():
                    with writing(path):
                        self._writers[name].close()
                        add_checksum(_temporary(path))
                for path in self._paths.values():
                    with writing(path), open(_temporary(path), "rb+") as file:
                        _flush(file)
                        os.replace(_temporary(path), path)
        finally:
            for name, path in self._paths.items():
                with suppress(OSError):  # of a file that is given up
                    self._writers[name].close()
                _temporary(path).unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _flush(file: IO[bytes]) -> None:
    """Have on disk what was written."""
    file.flush()
    os.fsync(file.fileno())
