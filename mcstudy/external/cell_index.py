"""Batches of rows to the numbers of their cells: each combination of the values of `by` has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Codes: TypeAlias = NDArray[np.int64]


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
        columns = [_levels_and_places(batch.column(name)) for name in self.by]
        edges = np.zeros(max(batch.num_rows - 1, 0), bool)
        for _, places in columns:
            edges |= places[1:] != places[:-1]
        starts = np.flatnonzero(np.concatenate([[True], edges]))
        has_runs = 2 * len(starts) < batch.num_rows  # else looking for them does not pay
        first = starts if has_runs else slice(None)
        code, keys = np.zeros(len(starts) if has_runs else batch.num_rows, np.int64), [()]
        for levels, places in columns:
            # Column by column: no more codes than rows, whatever the number of combinations.
            code, present = _renumbered(code * len(levels) + places[first], len(keys) * len(levels))
            before, level = np.divmod(present, len(levels))
            pairs = zip(before.tolist(), level.tolist(), strict=True)
            keys = [(*keys[key], levels[at]) for key, at in pairs]
        for key in keys:
            if key not in self._cells:
                self._cells[key] = len(self.keys)
                self.keys.append(key)
        cells = np.array([self._cells[key] for key in keys], np.int64)[code]
        return np.repeat(cells, np.diff(starts, append=batch.num_rows)) if has_runs else cells

    def values(self, cell: int) -> dict[str, Any]:
        """Return what tells a cell apart."""
        return dict(zip(self.by, self.keys[cell], strict=True))

    def table(self) -> pa.Table:
        """Return the values of each cell, a row each."""
        columns = list(zip(*self.keys, strict=True))
        arrays = [pa.array(column, kind) for column, kind in zip(columns, self.types, strict=True)]
        return pa.table(dict(zip(self.by, arrays, strict=True)))


def _levels_and_places(column: Any) -> tuple[list[Any], NDArray[Any]]:
    """Return the levels of a column, None of the missing ones last, and where each row's stands."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    levels = [None if level != level else level for level in column.dictionary.to_pylist()]
    places = column.indices.cast(pa.int32()).fill_null(len(levels))
    return [*levels, None], places.to_numpy(zero_copy_only=False)


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
