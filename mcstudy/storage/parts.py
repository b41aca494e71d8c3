"""Parts: the Parquet files that hold the answers of one method to a run of replicates."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcstudy.arrays import joined
from mcstudy.errors import ResultsError
from mcstudy.method import SOUND
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.validation import STATUSES, Column
from mcstudy.storage.checksums import (
    NoChecksumError,
    key_value,
    metadata_of,
    read_footer,
    read_verified,
    with_checksum,
)
from mcstudy.storage.provenance import Mark
from mcstudy.storage.record import FORMAT, other_version
from mcstudy.storage.schema import misfit

_METADATA = b"mcstudy"
_STATUSES = [str(status) for status in STATUSES]
ASIDE = ("damaged", "discarded")
"""The folders beside those of the methods: of what was set aside, and of what no longer counts."""
# What not every file system takes, and what would make the folder look hidden, or like a part.
_ESCAPED = re.compile(r"[^\w .,;=+@!^&#~'()\[\]{}-]|^[.]|[.](?=parquet$)")
_PLACE = re.compile(r".*?([^/]*)/([0-9a-f]{16})/([0-9a-f]{16})-(\d{10})-(\d{10})\.parquet", re.S)
_UNREADABLE = (OSError, pa.ArrowException, TypeError, KeyError, ValueError, RecursionError)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE)
_NAMES = 2**15  # of columns whose keys are remembered: those of a wide study, about 10 MB
_SMALL = 2**14  # bytes of a file; the names of some hundred columns take as much
_MARKS = 2**10  # fingerprints that are remembered: methods, and what has made their rows

Types: TypeAlias = Mapping[str, pa.DataType]
"""The columns of a part."""


@dataclass(frozen=True)
class Part:
    """A stored part, as its path says: ``<method>/<fingerprint>/<condition>-<start>-<stop>``.

    The fingerprint stands for what made it (`fingerprint_of`), the condition also for what sums
    are about (`condition_id`). The replicates are those from `start`, before `stop`.
    """

    path: Path
    method: str
    fingerprint: str
    condition: str
    start: int
    stop: int

    @property
    def place(self) -> Path:
        """Where it is below the folder of parts."""
        return Path(*self.path.parts[-3:])

    @property
    def is_small(self) -> bool:
        """Whether its rows take hardly longer to read than its types."""
        with reading(self.path):
            return self.path.stat().st_size <= _SMALL

    def types(self) -> Types:
        """Return the names and types of its columns; raise DamagedError if it is damaged."""
        with reading(self.path):
            schema = metadata_of(read_footer(self.path)).schema.to_arrow_schema()
            return dict(zip(schema.names, schema.types, strict=True))

    def content(self) -> bytes:
        """Return its bytes, all verified; raise DamagedError if it is damaged."""
        return self._verified()[0]

    def head(self) -> Head:
        """Return its head, every byte of it verified; raise DamagedError if it is damaged."""
        return self._verified()[1]

    def _verified(self) -> tuple[bytes, Head]:
        with reading(self.path):
            content, footer = read_verified(self.path)
            return content, _head(self.path, footer)

    def rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return its rows, verified, those of the columns that it has; raise DamagedError."""
        content, head = self._verified()
        with reading(self.path):
            file = pq.ParquetFile(pa.BufferReader(content))
            if head.keep == "rows" and file.metadata.num_rows != head.stop - head.start:
                raise ValueError("head and rows disagree")
            if columns is not None:
                there = set(file.schema_arrow.names)
                columns = [name for name in columns if name in there]
            return file.read(columns=columns, use_threads=False)


@dataclass(frozen=True)
class RowsInMemory(Part):
    """Rows that are not stored, to be read as those of a part are."""

    table: pa.Table

    @property
    def is_small(self) -> bool:
        """Whether there is something to read."""
        return False

    @classmethod
    def of(cls, method: str, job: Job, answers: Answers) -> RowsInMemory:
        """Return the rows of a method's answers in a finished job."""
        rows = rows_of(answers, job.start)
        return cls(Path(method), method, "", job.condition.digest, job.start, job.stop, rows)

    def types(self) -> Types:
        """Return the names and types of its columns."""
        return types_of(self.table)

    def rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return its rows."""
        return self.table if columns is None else self.table.select(columns)


class NewPart(NamedTuple):
    """A part that is not stored yet: where it belongs below the folder of parts, and its bytes."""

    place: Path
    content: bytes

    def rows(self) -> pa.Table:
        """Return its rows."""
        return pq.read_table(pa.BufferReader(self.content), use_threads=False)


@dataclass(frozen=True)
class Head:
    """What stands in a part beside its rows: the key of its condition, and what made it.

    The references are what sums are about; rows have none. `troubled` is how many of its rows are
    fits that failed or warned, so that those of a part without any need not be read.
    """

    condition: str
    method: str
    start: int
    stop: int
    provenance: Mark
    references: Mapping[str, float | None] | None = None
    troubled: int | None = None

    @property
    def keep(self) -> str:
        """What the part keeps of its replicates: "rows", or "measures", sums."""
        return "rows" if self.references is None else "measures"

    @property
    def place(self) -> Path:
        """Where the part belongs, below the folder of parts."""
        fingerprint = fingerprint_of(self.method, self.provenance, self.keep)
        condition = condition_id(self.condition, self.references)
        name = f"{condition}-{self.start:010d}-{self.stop:010d}.parquet"
        return Path(folder_name(self.method), fingerprint, name)

    def over(self, start: int, stop: int) -> Head:
        """Return the head of a part with other replicates."""
        return replace(self, start=start, stop=stop)


def fingerprint_of(method: str, provenance: Mark, keep: str) -> str:
    """Return 16 hexadecimal digits that stand for what made the rows of a method."""
    return _fingerprint(method, tuple(sorted(provenance.items())), keep)


@functools.lru_cache(maxsize=_MARKS)
def _fingerprint(method: str, provenance: tuple[tuple[str, str], ...], keep: str) -> str:
    return digest([method, dict(provenance), keep])[:16]


def condition_id(key: str, references: Mapping[str, float | None] | None = None) -> str:
    """Return 16 hexadecimal digits that stand for a condition, and for what sums are about.

    Those of rows are `Condition.digest`.
    """
    if references is None:
        return hashlib.sha256(key.encode()).hexdigest()[:16]
    return digest([key, references])[:16]


def digest(thing: Any) -> str:
    """Return the SHA-256 of anything that JSON can say."""
    return hashlib.sha256(json.dumps(thing, sort_keys=True).encode()).hexdigest()


def folder_name(method: str) -> str:
    """Return the name of a method's folder: letters that a file name cannot have are escaped."""
    name = _ESCAPED.sub(lambda found: "".join(f"%{b:02X}" for b in found[0].encode()), method)
    return f"%{ord(name[0]):02X}{name[1:]}" if name in ASIDE else name


def part_at(path: Path) -> Part | None:
    """Return the part that a path names, None where it names none."""
    found = _PLACE.fullmatch(os.fspath(path))
    if found is None:
        return None
    method, fingerprint, condition, start, stop = found.groups()
    return Part(path, unquote(method), fingerprint, condition, int(start), int(stop))


def new_part(table: pa.Table, head: Head) -> NewPart:
    """Return the part with some rows and a head."""
    head = replace(head, troubled=_troubled(table) if head.keep == "rows" else None)
    text = json.dumps({"format": FORMAT, **vars(head)}, sort_keys=True)
    table = table.replace_schema_metadata({_METADATA: text})
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=[name for name in ("status", "message") if name in table.column_names],
        write_page_checksum=True,
        write_statistics=False,
    )
    return NewPart(head.place, with_checksum(bytes(sink.getvalue())))


def _troubled(rows: pa.Table) -> int:
    """Return how many fits failed or warned."""
    failed = [
        np.array([word not in SOUND for word in chunk.dictionary.to_pylist()], bool)[
            chunk.indices.to_numpy()
        ]
        for chunk in rows["status"].chunks
    ]
    return int((joined(failed) | rows["warned"].to_numpy()).sum())


def read_head(path: Path) -> Head:
    """Return what stands in a part beside its rows; raise DamagedError if it is no whole part.

    Raises
    ------
    ResultsError
        Where another version of mcstudy has written it, or the system does not let us read it.
    """
    with reading(path):
        try:
            return _head(path, read_footer(path))
        except NoChecksumError as error:
            # A version without checksums has written it, or something else.
            with suppress(*_UNREADABLE):
                head = json.loads(key_value(error.footer, _METADATA))
                if {"condition", "marks"} <= head.keys() and "format" not in head:
                    raise other_version(path) from None
            raise


def _head(path: Path, footer: bytes) -> Head:
    """Return the head that stands in the footer of a part, held against its path."""
    head = {"references": None, "troubled": None} | json.loads(key_value(footer, _METADATA))
    if head.pop("format", FORMAT) != FORMAT:
        raise other_version(path)
    if found := misfit(head, Head):
        raise ValueError(found)
    made = Head(**head)
    if not 0 <= made.start < made.stop:
        raise ValueError("it has no replicates")
    if path.parts[-3:] != made.place.parts:
        raise ValueError("it is named for another part")
    return made


class DamagedError(ResultsError):
    """A part is not what was written."""

    def __init__(self, path: Path, reason: BaseException) -> None:
        super().__init__(f"{path}: damaged ({type(reason).__name__})")
        self.path = path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say what a failure to read means: a damaged part, or a system that does not let us."""
    try:
        yield
    except MemoryError:
        raise
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno in _REFUSED:
            raise ResultsError(
                f"{path}: cannot be read ({os.strerror(error.errno)}); fix that and run again"
            ) from error
        raise DamagedError(path, error) from error


@functools.lru_cache(maxsize=_NAMES)
def column_name(*key: str) -> str:
    """Return the name of a part's column of numbers or diagnostics."""
    return json.dumps(key)


@functools.lru_cache(maxsize=_NAMES)
def column_key(name: str) -> tuple[str, ...]:
    """Return the key of a column of numbers or diagnostics, ("",) of the plain columns."""
    return tuple(json.loads(name)) if name.startswith("[") else ("",)


def rows_of(answers: Answers, start: int) -> pa.Table:
    """Return the rows of a method's answers, the first of which is to replicate `start`."""
    count = answers.count
    messages = [answers.messages.get(row) for row in range(count)] if answers.messages else None
    columns: dict[str, Any] = {
        "replicate": np.arange(start, start + count, dtype=np.int64),
        "status": pa.DictionaryArray.from_arrays(
            pa.array(answers.status.astype(np.int32)), _STATUSES
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


def types_of(table: pa.Table) -> Types:
    """Return the names and types of the columns of a table."""
    return dict(zip(table.column_names, table.schema.types, strict=True))


def concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all; a diagnostic gets the type that holds what each calls by its name."""
    if len(tables) == 1:
        return tables[0]
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
    if len(kinds) > 1 and str in kinds:
        values = [diagnostic_text(value) for value in values]
    elif len(kinds) > 1:
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, None if kinds else pa.null())
