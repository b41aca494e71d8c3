"""Batches of rows to cells: each cell's numbers together, wherever in the table they stand.

A table that fits the budget is sorted in memory. A larger one is read twice: first only where its
cells are; then, if few cells are open at any time, as with a table sorted by cell, they are put
together as they come; else through a temporary file, in which each cell has its place.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mcstudy.arrays import Floats, joined
from mcstudy.errors import TableError
from mcstudy.external.readers import Source

BUDGET = 2**27  # bytes of numbers held at a time, whatever the size of the table
Codes: TypeAlias = NDArray[np.int64]
Columns: TypeAlias = list[Floats]


@dataclass
class CellIndex:
    """The cells met so far: each combination of the values of `by` has a number."""

    by: Sequence[str]
    keys: list[tuple[Any, ...]] = field(default_factory=list)
    types: list[pa.DataType] = field(default_factory=list)
    _cells: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def codes(self, batch: pa.RecordBatch) -> Codes:
        """Return the number of each row's cell."""
        kinds = [batch.schema.field(name).type for name in self.by]
        self.types = self.types or [
            kind.value_type if pa.types.is_dictionary(kind) else kind for kind in kinds
        ]
        code, keys = np.zeros(batch.num_rows, np.int64), [()]
        for name in self.by:
            column = batch.column(name)
            if not pa.types.is_dictionary(column.type):
                column = column.dictionary_encode()
            levels = [None if level != level else level for level in column.dictionary.to_pylist()]
            filled = column.indices.cast(pa.int32()).fill_null(len(levels))
            places = filled.to_numpy(zero_copy_only=False)
            levels.append(None)  # of the missing ones
            # Column by column: no more codes than rows, whatever the number of combinations.
            code, present = _renumbered(code * len(levels) + places, len(keys) * len(levels))
            before, level = np.divmod(present, len(levels))
            pairs = zip(before.tolist(), level.tolist(), strict=True)
            keys = [(*keys[key], levels[at]) for key, at in pairs]
        for key in keys:
            if key not in self._cells:
                self._cells[key] = len(self.keys)
                self.keys.append(key)
        return np.array([self._cells[key] for key in keys], np.int64)[code]

    def values(self, cell: int) -> dict[str, Any]:
        """Return what tells a cell apart."""
        return dict(zip(self.by, self.keys[cell], strict=True))

    def table(self) -> pa.Table:
        """Return the values of each cell, a row each."""
        columns = list(zip(*self.keys, strict=True))
        arrays = [pa.array(column, kind) for column, kind in zip(columns, self.types, strict=True)]
        return pa.table(dict(zip(self.by, arrays, strict=True)))


def _renumbered(code: Codes, most: int) -> tuple[Codes, Codes]:
    """Return codes below `most` numbered as they appear, and which ones the numbers stand for."""
    if most > len(code):  # hashed, in some ten times the time
        return pd.factorize(code)
    first = np.full(most, len(code))
    first[code[::-1]] = np.arange(len(code))[::-1]  # of equal ones the last stays
    present = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(code))]
    numbers = np.zeros(most, np.int64)
    numbers[present] = np.arange(len(present))
    return numbers[code], present


def gathered(
    source: Source, index: CellIndex, numbers: Sequence[str]
) -> Iterator[tuple[int, Columns]]:
    """Yield the number of each cell and its columns of numbers, rows in the table's order.

    At most `BUDGET` bytes of numbers are held at a time, or one cell's where that needs more. The
    index learns the cells.
    """
    if source.bytes_at_most * len(numbers) <= BUDGET:
        yield from _in_memory(_read(source, index, numbers), len(numbers))
        return
    survey = _Survey.of(source, index)
    if survey.most_open * 8 * len(numbers) <= BUDGET:
        yield from _as_they_come(source, index, numbers, survey)
    else:
        yield from _through_file(source, index, numbers, survey)


def _read(
    source: Source, index: CellIndex, numbers: Sequence[str]
) -> Iterator[tuple[Codes, Columns]]:
    """Yield the cell numbers and the columns of each batch."""
    for batch in source.batches([*dict.fromkeys([*index.by, *numbers])], numbers):
        if batch.num_rows:
            yield index.codes(batch), [_floats(batch, name, source) for name in numbers]


def _in_memory(
    batches: Iterable[tuple[Codes, Columns]], count: int
) -> Iterator[tuple[int, Columns]]:
    codes: list[Codes] = []
    columns: list[list[Floats]] = [[] for _ in range(count)]
    for code, some in batches:
        codes.append(code.astype(np.int32))
        for column, values in zip(columns, some, strict=True):
            column.append(values)
    if not codes:
        return
    code = joined(codes)
    order = _order(code)
    ordered = []
    for column in columns:
        values = joined(column)
        column.clear()
        ordered.append(values if order is None else values[order])
    yield from _split(code if order is None else code[order], ordered)


def _split(code: NDArray[Any], columns: Columns) -> Iterator[tuple[int, Columns]]:
    """Yield the runs of equal codes."""
    edges = [0, *(np.flatnonzero(code[1:] != code[:-1]) + 1).tolist(), len(code)]
    for start, stop in itertools.pairwise(edges):
        yield int(code[start]), [column[start:stop] for column in columns]


def _order(code: NDArray[Any]) -> NDArray[np.intp] | None:
    """Return the stable order of the codes, None if they are in order; 16 bits at a time."""
    if (code[1:] >= code[:-1]).all():
        return None
    low = (code & 0xFFFF).astype(np.uint16)
    order = np.argsort(low, kind="stable")
    if code.max() > 0xFFFF:
        high = (code >> 16).astype(np.uint16)
        order = order[np.argsort(high[order], kind="stable")]
    return order


@dataclass(frozen=True)
class _Survey:
    """Where the cells are: rows of each, the batch that ends each, and most rows open at once."""

    rows: Codes
    last: Codes
    most_open: int

    @classmethod
    def of(cls, source: Source, index: CellIndex) -> _Survey:
        met = []
        for batch in source.batches(index.by, ()):
            counts = np.bincount(index.codes(batch))
            present = np.flatnonzero(counts)
            met.append((present, counts[present]))
        rows, last = np.zeros(len(index), np.int64), np.zeros(len(index), np.int64)
        for place, (present, counts) in enumerate(met):
            rows[present] += counts
            last[present] = place
        opened = np.array([counts.sum() for _, counts in met])
        closed = np.bincount(last, weights=rows, minlength=len(met)).astype(np.int64)
        still_open = np.cumsum(opened) - np.cumsum(closed) + closed
        return cls(rows, last, int(still_open.max(initial=0)))


def _as_they_come(
    source: Source, index: CellIndex, numbers: Sequence[str], survey: _Survey
) -> Iterator[tuple[int, Columns]]:
    """Put cells together batch by batch; each leaves when its last row has come."""
    held: dict[int, list[Columns]] = {}
    for place, part in enumerate(_read(source, index, numbers)):
        for cell, columns in _in_memory([part], len(numbers)):
            pieces = held.setdefault(cell, [])
            if survey.last[cell] > place:
                pieces.append([column.copy() for column in columns])
            else:
                pieces.append(columns)
                yield cell, [joined(column) for column in zip(*pieces, strict=True)]
                del held[cell]


def _through_file(
    source: Source, index: CellIndex, numbers: Sequence[str], survey: _Survey
) -> Iterator[tuple[int, Columns]]:
    """Write each row to the place of its cell in a temporary file, then read cell by cell."""
    width = len(numbers)
    ends = np.cumsum(survey.rows)
    place = ends - survey.rows  # where the next row of each cell goes
    with tempfile.TemporaryFile(prefix="mcstudy-") as file:
        folder = tempfile.gettempdir()
        needed = int(ends[-1]) * width * 8
        if needed > shutil.disk_usage(folder).free:
            raise TableError(
                f"{source.name}: needs {needed / 1e9:.1f} GB for temporary files and {folder} has "
                "less; set TMPDIR to a place with room"
            )
        for code, columns in _read(source, index, numbers):
            order = _order(code)
            if order is not None:
                code, columns = code[order], [column[order] for column in columns]
            for cell, (rows,) in _split(code, [np.stack(columns, axis=1)]):
                file.seek(int(place[cell]) * width * 8)
                file.write(rows.data)
                place[cell] += len(rows)
        for cell, count in enumerate(survey.rows.tolist()):
            rows = np.empty((count, width))
            file.seek((int(ends[cell]) - count) * width * 8)
            file.readinto(rows.data)
            yield cell, list(np.ascontiguousarray(rows.T))


def _floats(batch: pa.RecordBatch, name: str, source: Source) -> Floats:
    """Return a column as floats, missing ones NaN."""
    column = batch.column(name)
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        if not (pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
            what = "text" if "string" in str(kind) else str(kind)
            raise TableError(f"{source.name}: column '{name}' is {what}; give a column of numbers")
        column = column.cast(pa.int8()).cast(pa.float64()) if pa.types.is_boolean(kind) else column
    values: Floats = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values
