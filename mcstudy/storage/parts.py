"""Answers to Parquet and back: the part is the file that one job leaves, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcstudy.errors import ResultsError
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.validation import STATUSES, Column
from mcstudy.spoken import either
from mcstudy.storage.checksums import (
    BrokenSealError,
    NoSealError,
    check,
    metadata_of,
    read_footer,
    read_verified,
    sealed,
)
from mcstudy.storage.provenance import Mark
from mcstudy.storage.schema import FORMAT, HEAD, misfit

_METADATA = b"mcstudy"
_UNREADABLE = (OSError, pa.ArrowException, TypeError, KeyError, ValueError, RecursionError)


@dataclass(frozen=True)
class PartHead:
    """What a part holds, read from its footer alone."""

    path: Path
    condition: str
    start: int
    stop: int
    marks: Mapping[str, Mark]
    columns: Mapping[str, list[str]]
    references: Mapping[str, float | None] | None = None

    @property
    def keep(self) -> str:
        """What it keeps of its replicates: "rows", or "measures", sums about its references."""
        return "rows" if self.references is None else "measures"

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of their blocks of rows."""
        return sorted(self.marks)


def name_of(content: bytes) -> str:
    """Return the file name of a part that has just been made."""
    return _name(_head(Path(), check(content)))


def _name(head: PartHead) -> str:
    """Return the file name that a part has.

    It names all that tells parts apart, so that none can take the place of another.
    """
    condition = hashlib.sha256(head.condition.encode()).hexdigest()[:16]
    made_by = json.dumps([head.marks, head.references], sort_keys=True)
    known_by = hashlib.sha256(made_by.encode()).hexdigest()[:8]
    return f"{condition}-{head.start:010d}-{head.stop:010d}-{known_by}.parquet"


def encode(job: Job, answers: Mapping[str, Answers], marks: Mapping[str, Mark]) -> bytes:
    """Return the part of a finished job as the bytes of a Parquet file."""
    tables = {name: _table(name, job.start, answers[name]) for name in sorted(answers)}
    table = concatenated(list(tables.values()))
    head = {
        "condition": job.condition.key,
        "start": job.start,
        "stop": job.stop,
        "marks": {name: marks[name] for name in sorted(answers)},
        "columns": {name: _own_columns(table) for name, table in tables.items()},
    }
    return parquet(table, head)


def piece(head: PartHead, table: pa.Table, start: int, stop: int, methods: Sequence[str]) -> bytes:
    """Return the part that holds some methods' rows from `start` to `stop` of another."""
    own = {
        "condition": head.condition,
        "start": start,
        "stop": stop,
        "marks": {method: head.marks[method] for method in methods},
        "columns": {method: head.columns[method] for method in methods},
    }
    own_columns = {name for method in methods for name in head.columns[method]}
    kept = [name for name in table.column_names if not column_key(name) or name in own_columns]
    rows = [rows_of(head, table.select(kept), method) for method in sorted(methods)]
    cut = pa.concat_tables([each.slice(start - head.start, stop - start) for each in rows])
    return parquet(cut, own)


def joined(heads: Sequence[PartHead], tables: Sequence[pa.Table]) -> bytes:
    """Return the part that holds the rows of several, which follow each other.

    Parameters
    ----------
    heads : sequence of PartHead
        Of one condition, with the same marks; each starts where the one before it stops.
    tables : sequence of pyarrow.Table
        The rows of each.
    """
    first, last = heads[0], heads[-1]
    pieces, columns = [], {}
    for method in first.methods:
        columns[method] = sorted({name for head in heads for name in head.columns[method]})
        pieces += [rows_of(head, table, method) for head, table in zip(heads, tables, strict=True)]
    head = {
        "condition": first.condition,
        "start": first.start,
        "stop": last.stop,
        "marks": first.marks,
        "columns": columns,
    }
    return parquet(concatenated(pieces), head)


def rows_of(head: PartHead, table: pa.Table, method: str) -> pa.Table:
    """Return the rows of one method of a part."""
    count = head.stop - head.start
    return table.slice(head.methods.index(method) * count, count)


def parquet(table: pa.Table, head: Mapping[str, Any]) -> bytes:
    """Return a part's rows and head as the bytes of a Parquet file."""
    text = json.dumps({"format": FORMAT, **head}, sort_keys=True)
    table = table.replace_schema_metadata({_METADATA: text})
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=["method", "status", "message"],
        write_page_checksum=True,
        write_statistics=False,
    )
    return sealed(bytes(sink.getvalue()))


def read_head(path: Path) -> PartHead:
    """Return what a part holds; raise DamagedError if it is no whole part.

    Raises
    ------
    ResultsError
        Where another version of mcstudy has written it, or the system does not let us read it.
    """
    try:
        head = _head(path, read_footer(path))
        if path.name != _name(head):
            raise ValueError("it is named for another part")
    except MemoryError:
        raise
    except _UNREADABLE as error:
        if isinstance(error, NoSealError):
            _check_older(path, error.footer)
        raise _unreadable(path, error) from error
    return head


def _head(path: Path, metadata: Any) -> PartHead:
    """Return the head that stands in the metadata of a part, held against its rows."""
    head = json.loads(metadata.metadata[_METADATA])
    if isinstance(head, dict) and head.pop("format", FORMAT) != FORMAT:
        raise _other_version(path)
    if found := misfit(head, HEAD):
        raise ValueError(found)
    made = PartHead(path=path, **head)
    rows = len(made.marks) * (made.stop - made.start)
    if not 0 <= made.start < made.stop or (
        made.keep == "rows" and metadata.num_rows != rows  # sums have some rows for each block
    ):
        raise ValueError("head and rows disagree")
    if made.columns.keys() != made.marks.keys() or not made.marks:
        raise ValueError("its methods disagree")
    return made


def _check_older(path: Path, footer: bytes) -> None:
    """Raise ResultsError where a version without checksums has written a part."""
    with suppress(*_UNREADABLE):
        head = json.loads(metadata_of(footer).metadata[_METADATA])
        if {"condition", "marks"} <= head.keys() and "format" not in head:
            raise _other_version(path)


def _other_version(path: Path) -> ResultsError:
    return ResultsError(
        f"{path}: was written by another version of mcstudy, which this one cannot read; "
        f"run with that version, or choose another {either('--results', 'results')}"
    )


class DamagedError(ResultsError):
    """A part is not what was written."""

    def __init__(self, path: Path, reason: BaseException) -> None:
        super().__init__(f"{path}: damaged ({type(reason).__name__})")
        self.path = path


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a part's rows, its checksum verified; raise DamagedError if it is damaged."""
    try:
        content = pa.BufferReader(read_verified(path))
        return pq.read_table(content, columns=columns, use_threads=False)
    except MemoryError:
        raise
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def read_content(path: Path) -> bytes:
    """Return the bytes of a part, its checksum verified; raise DamagedError if it is damaged."""
    try:
        return read_verified(path)
    except (OSError, BrokenSealError) as error:
        raise _unreadable(path, error) from error


def read_schema(path: Path) -> pa.Schema:
    """Return the types of a part's columns; raise DamagedError if it is damaged."""
    try:
        return read_footer(path).schema.to_arrow_schema()
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ResultsError:
    """Return what a failure to read means: a damaged part, or a system that does not let us."""
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE):
        return ResultsError(
            f"{path}: cannot be read ({os.strerror(code)}); mend that and run again"
        )
    return DamagedError(path, error)


def column_name(*key: str) -> str:
    """Return the name of a part's column of numbers or diagnostics."""
    return json.dumps(key)


def column_key(name: str) -> tuple[str, ...] | None:
    """Return the key of a column of numbers or diagnostics, None for the plain columns."""
    return tuple(json.loads(name)) if name.startswith("[") else None


def _table(method: str, start: int, answers: Answers) -> pa.Table:
    count = answers.count
    messages = [answers.messages.get(row) for row in range(count)] if answers.messages else None
    columns: dict[str, Any] = {
        "method": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), [method]),
        "replicate": np.arange(start, start + count, dtype=np.int64),
        "status": pa.DictionaryArray.from_arrays(
            pa.array(answers.status.astype(np.int32)), [str(status) for status in STATUSES]
        ),
        "message": pa.array(messages, pa.string()) if messages else pa.nulls(count, pa.string()),
        "seconds": answers.seconds,
        "warned": answers.warned,
    }
    for key, numbers in answers.numbers.items():
        columns[column_name(*Column(*key))] = numbers
    for name, values in answers.diagnostics.items():
        columns[column_name("diagnostic", name)] = _diagnostic(values)
    return pa.table(columns)


def _own_columns(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if column_key(name)]


def concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all; a diagnostic gets the type that holds what each calls by its name."""
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            if field.name.startswith("["):
                types.setdefault(field.name, set()).add(field.type)
    mixed = {name: common_type(kinds) for name, kinds in types.items() if len(kinds) > 1}
    alike = []
    for table in tables:
        for name in mixed.keys() & set(table.column_names):
            index = table.column_names.index(name)
            table = table.set_column(index, name, cast(table[name], mixed[name]))
        alike.append(table)
    return pa.concat_tables(alike, promote_options="permissive")


def common_type(types: set[pa.DataType]) -> pa.DataType:
    """Return the type that holds all of these: text, or else numbers; null is held by any."""
    types = types - {pa.null()}
    if len(types) == 1:
        return next(iter(types))
    return pa.string() if pa.string() in types else pa.float64()


def cast(column: Any, kind: pa.DataType) -> Any:
    """Return a column of diagnostics as another type, numbers in words where that is text."""
    if column.type == kind:
        return column
    if column.type == pa.null():
        return pa.nulls(len(column), kind)
    if kind == pa.string():
        return pa.array([diagnostic_text(value) for value in column.to_pylist()], kind)
    return (column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column).cast(
        kind, safe=False
    )


def diagnostic_text(value: bool | int | float | str | None) -> str | None:
    """Return a diagnostic in words, the same from whichever column of numbers it comes."""
    if value is None or isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() else str(value)


def _diagnostic(values: list[Any]) -> pa.Array:
    """Return a diagnostic's column; where types differ, the one that holds them all.

    One that is missing throughout has the null type, so that it says nothing of what others hold.
    """
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) > 1:
        if str in kinds:
            values = [diagnostic_text(value) for value in values]
        else:
            values = [None if value is None else float(value) for value in values]
    return pa.array(values, None if kinds else pa.null())
