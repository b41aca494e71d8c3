"""Batches of rows to cells: each cell's numbers together, wherever in the table they stand.

A table that fits the budget is sorted in memory. A larger one is read twice: first only where its
cells are; then, if few cells are open at any time, as with a table sorted by cell, they are put
together as they come. Where many are open, it is read once, through a temporary file.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mcstudy.arrays import Floats, joined
from mcstudy.errors import TableError
from mcstudy.external.cell_index import CellIndex, Codes
from mcstudy.external.table_source import Source, no_numbers

ROWS_EACH = 16  # of a cell in a piece of the temporary file: at least one read for these
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BUDGET = 2**27  # bytes of numbers held at a time, whatever the size of the table
Columns: TypeAlias = list[Floats]


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
    most = BUDGET // (8 * len(numbers))
    last = _last_batches(source, index, most)
    if last is None:
        yield from _through_file(source, index, numbers, most)
    else:
        yield from _as_they_come(source, index, numbers, last)


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


def _last_batches(source: Source, index: CellIndex, most: int) -> Codes | None:
    """Return the batch that ends each cell, None where cells could not be put together so.

    That is where more than `most` rows would be held at once.
    """
    met = []
    rows: Codes = np.zeros(0, np.int64)
    for batch in source.batches(index.by, ()):
        if not batch.num_rows:  # as `_read` leaves it out
            continue
        counts = np.bincount(index.codes(batch))
        present = np.flatnonzero(counts)
        met.append((present, counts[present]))
        rows = np.pad(rows, (0, len(index) - len(rows)))
        rows[present] += counts[present]
        if rows[present].sum() - batch.num_rows > most:  # as soon as it is plain
            return None
    last = np.zeros(len(index), np.int64)
    for place, (present, _) in enumerate(met):
        last[present] = place
    opened = np.array([counts.sum() for _, counts in met])
    closed = np.bincount(last, weights=rows, minlength=len(met)).astype(np.int64)
    still_open = np.cumsum(opened) - np.cumsum(closed) + closed
    return None if still_open.max(initial=0) > most else last


def _as_they_come(
    source: Source, index: CellIndex, numbers: Sequence[str], last: Codes
) -> Iterator[tuple[int, Columns]]:
    """Put cells together batch by batch; each leaves when its last row has come."""
    held: dict[int, list[Columns]] = {}
    for place, part in enumerate(_read(source, index, numbers)):
        for cell, columns in _in_memory([part], len(numbers)):
            pieces = held.setdefault(cell, [])
            if last[cell] > place:
                pieces.append([column.copy() for column in columns])
            else:
                pieces.append(columns)
                yield cell, [joined(column) for column in zip(*pieces, strict=True)]
                del held[cell]


def _through_file(
    source: Source, index: CellIndex, numbers: Sequence[str], most: int
) -> Iterator[tuple[int, Columns]]:
    """Write the rows to a temporary file in pieces, each in the order of its cells; read these."""
    with tempfile.TemporaryFile(prefix="mcstudy-", buffering=0) as file:
        folder, needed = tempfile.gettempdir(), source.bytes_at_most * len(numbers)
        too_large = TableError(
            f"{source.name}: needs {needed / 1e9:.1f} GB for temporary files and {folder} has "
            "less; set TMPDIR to a place with room"
        )
        if needed > shutil.disk_usage(folder).free:
            raise too_large
        try:
            bounds = _write(file, _pieces_of(_read(source, index, numbers), index, most), index)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise too_large from error  # somebody else has filled the disk meanwhile
        for cell in range(len(index)):
            pieces = bounds[:, cell : cell + 2] * 8 * len(numbers)
            read = (os.pread(file.fileno(), stop - start, start) for start, stop in pieces.tolist())
            rows = np.frombuffer(b"".join(read)).reshape(-1, len(numbers))
            yield cell, list(np.ascontiguousarray(rows.T))


def _write(file: Any, pieces: Iterable[tuple[Codes, Columns]], index: CellIndex) -> Codes:
    """Write pieces, row by row; return where each cell begins in each, and where it ends."""

    def write(code: Codes, columns: Columns) -> Codes:
        order = _order(code)
        if order is not None:
            code, columns = code[order], [column[order] for column in columns]
        content = np.stack(columns, axis=1).data.cast("B")
        while content:  # a write may take some of it only
            content = content[file.write(content) :]
        return np.searchsorted(code, np.arange(len(index) + 1))

    edges: list[Codes] = []
    with ThreadPoolExecutor(1) as writer:  # while the next ones are read
        waiting: Future[Codes] | None = None
        for piece in pieces:
            edges += [waiting.result()] if waiting else []
            waiting = writer.submit(write, *piece)
        edges += [waiting.result()] if waiting else []
    cells = len(index) + 1  # one met later has no rows in a piece
    padded = [np.pad(edge, (0, cells - len(edge)), "edge") for edge in edges]
    bounds = np.array(padded, np.int64).reshape(-1, cells)
    bounds[1:] += np.cumsum(bounds[:-1, -1:], axis=0)
    return bounds


def _pieces_of(
    batches: Iterable[tuple[Codes, Columns]], index: CellIndex, most: int
) -> Iterator[tuple[Codes, Columns]]:
    """Yield batches together until they are `ROWS_EACH` for each cell, as far as `most` goes."""
    held: list[tuple[Codes, Columns]] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += len(batch[0])
        if rows >= min(ROWS_EACH * len(index), most // 2):
            yield _joined(held)
            held, rows = [], 0
    if held:
        yield _joined(held)


def _joined(batches: list[tuple[Codes, Columns]]) -> tuple[Codes, Columns]:
    codes, columns = zip(*batches, strict=True)
    return joined(codes), [joined(column) for column in zip(*columns, strict=True)]


def _floats(batch: pa.RecordBatch, name: str, source: Source) -> Floats:
    """Return a column as floats, missing ones NaN."""
    column = batch.column(name)
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        if not (pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
            raise no_numbers(pd.Series(column.to_pylist(), name=name), source.name)
        column = column.cast(pa.int8()).cast(pa.float64()) if pa.types.is_boolean(kind) else column
    values: Floats = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values
