"""A table of measures as it grows: its lines, held in columns until it is made."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mcstudy.columns import COUNTS, VALUES
from mcstudy.measure import Measured

Line = tuple[Any, ...]
_LINES = 2**12  # that are held as such at a time: 2 MB


def numbers(answer: Measured) -> tuple[float, float, float, float, int]:
    """Return value, mcse, lower, upper and used."""
    return answer.value, answer.mcse, answer.lower, answer.upper, answer.used


class MeasureTable:
    """The lines of a table of measures, held in columns.

    Each begins with the key of its condition; `words` name the columns before the numbers.
    """

    def __init__(
        self, words: Sequence[str] = ("method", "estimand", "interval", "measure")
    ) -> None:
        self._words: dict[str, list[str | None]] = {name: [] for name in words}
        self._conditions: list[str] = []
        self._values = {name: array("d") for name in VALUES}
        self._counts = {name: array("q") for name in COUNTS}

    def add(self, lines: Iterable[Line]) -> None:
        """Add some lines."""
        lines = iter(lines)
        while some := list(itertools.islice(lines, _LINES)):
            for column, values in zip(self._columns(), zip(*some, strict=True), strict=True):
                column.extend(values)

    def add_stack(self, words: Sequence[Any], made: Measured, replicates: Any) -> None:
        """Add lines of a measure of several cells, whose numbers are arrays.

        The words, condition and measure among them, and the replicates are one for all cells or a
        sequence of one for each.
        """
        given = [*words, *numbers(made), replicates]
        count = max(len(of) for of in words if isinstance(of, list | tuple))
        for column, of in zip(self._columns(), given, strict=True):
            if isinstance(of, list | tuple):
                column.extend(of)
            elif isinstance(of, np.ndarray):
                column.extend(np.broadcast_to(of, count).tolist())
            else:
                column.extend(itertools.repeat(of, count))

    def extend(self, other: MeasureTable) -> None:
        """Add the lines of another table of the same words."""
        for column, values in zip(self._columns(), other._columns(), strict=True):
            column.extend(values)

    def table(self, conditions: pa.Table) -> pa.Table:
        """Return the table with the factors of the conditions, sorted by all words but the last."""
        import pyarrow.compute as pc  # not above: a run with nothing missing does without

        places = {key: place for place, key in enumerate(conditions["condition"].to_pylist())}
        place = pa.array([places[key] for key in self._conditions], pa.int64())
        texts = {name: pa.array(texts, pa.string()) for name, texts in self._words.items()}
        *names, _ = texts
        keys = {"": place} | {name: pc.fill_null(texts[name], "") for name in names}
        wanted = [(name, "ascending") for name in keys]
        order = pc.sort_indices(pa.table(keys), sort_keys=wanted)  # stable: measures as they come
        del keys
        place = place.take(order)
        # One column after the other, so that no second table is held.
        made = {name: conditions[name].take(place) for name in conditions.column_names}
        made |= {name: texts.pop(name).take(order) for name in list(texts)}
        for name, values in (self._values | self._counts).items():
            made[name] = pa.array(np.asarray(values), from_pandas=True).take(order)  # NaN: missing
        return pa.table(made).drop_columns(["condition"])

    def _columns(self) -> list[Any]:
        return [self._conditions, *(self._words | self._values | self._counts).values()]
