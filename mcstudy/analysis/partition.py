"""Rows to cells: which rows of a table have which combination of values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Chosen: TypeAlias = slice | NDArray[np.intp]


def split(table: pa.Table, by: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], Chosen]]:
    """Yield each combination of values, and which rows have it, in their order.

    Where the combinations take turns in a fixed order, the rows are a slice: every k-th.
    """
    if not table.num_rows:
        return
    code, words = _codes(table, by)
    period = int(np.argmax(code[1:] == code[0])) + 1 if len(code) > 1 else 1
    if period == 1 and not (len(code) > 1 and code[1] == code[0]):
        period = len(code)
    head = code[:period]
    regular = len(code) % period == 0 and len(np.unique(head)) == period
    if regular and (code.reshape(-1, period) == head).all():
        for place, value in enumerate(head.tolist()):
            yield _key(value, words), slice(place, None, period)
        return
    order = np.argsort(code, kind="stable")
    values, starts = np.unique(code[order], return_index=True)
    for value, rows in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
        yield _key(value, words), rows


def _codes(table: pa.Table, by: Sequence[str]) -> tuple[NDArray[Any], list[list[Any]]]:
    """Return a small integer for each row that stands for its values of `by`, and the values."""
    code: NDArray[Any] = np.zeros(table.num_rows, dtype=np.int64)
    words = []
    for name in by:
        column = table[name].combine_chunks()
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        words.append(column.dictionary.to_pylist())
        code = code * len(words[-1]) + column.indices.to_numpy()
    most = int(np.prod([len(known) for known in words]))
    return code.astype(np.int16 if most < 2**15 else np.int64, copy=False), words


def _key(value: int, words: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    key = []
    for known in reversed(words):
        value, index = divmod(value, len(known))
        key.append(known[index])
    return tuple(reversed(key))
