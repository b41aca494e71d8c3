"""A table of measures as it grows: its lines, held in columns until it is made."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcstudy.columns import COUNTS, VALUES
from mcstudy.measure import Measured

Line = tuple[Any, ...]
_LINES = 2**12  # that are held as such at a time: 2 MB


def numbers(answer: Measured) -> tuple[float, float, float, float, int]:
    """Return value, mcse, lower, upper and used."""
    return answer.value, answer.mcse, answer.lower, answer.upper, answer.used


class _Texts:
    """A column of texts, each of which is held once; None is missing."""

    def __init__(self) -> None:
        self._codes: dict[str | None, int] = {}
        self._rows = array("i")

    def __iter__(self) -> Iterator[str | None]:
        texts = list(self._codes)
        return (texts[code] for code in self._rows)

    def extend(self, texts: Iterable[str | None]) -> None:
        """Append some rows."""
        codes = self._codes
        self._rows.extend([codes.setdefault(text, len(codes)) for text in texts])

    def places(self, ordered: Iterable[str]) -> NDArray[np.int32]:
        """Return the place of each row's text among these; a missing one is as if empty."""
        places = {text: place for place, text in enumerate(ordered)}
        of_texts = np.array([places[text or ""] for text in self._codes], np.int32)
        found: NDArray[np.int32] = of_texts[np.asarray(self._rows)]
        return found

    def ranks(self) -> NDArray[np.int32]:
        """Return the place of each row's text among all in order."""
        return self.places(sorted({text or "" for text in self._codes}))

    def taken(self, order: NDArray[np.intp]) -> pa.Array:
        """Return the rows in another order."""
        texts = pa.array(list(self._codes), pa.string())
        return texts.take(pa.array(np.asarray(self._rows)[order]))


class MeasureTable:
    """The lines of a table of measures, held in columns.

    Each begins with the key of its condition; `words` name the columns before the numbers.
    """

    def __init__(
        self, words: Sequence[str] = ("method", "estimand", "interval", "measure")
    ) -> None:
        self._conditions = _Texts()
        self._words = {name: _Texts() for name in words}
        self._numbers: dict[str, array[Any]] = {name: array("d") for name in VALUES}
        self._numbers |= {name: array("q") for name in COUNTS}

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
        """Return the table with the factors of the conditions, sorted by all words but the last.

        The numbers move into it, since a large table does not fit twice.
        """
        place = self._conditions.places(conditions["condition"].to_pylist())
        *names, _ = self._words
        ranks = [place, *(self._words[name].ranks() for name in names)]
        order = np.lexsort(ranks[::-1])  # stable: measures as they come
        place = pa.array(place[order])
        del ranks
        made = {name: conditions[name].take(place) for name in conditions.column_names}
        made |= {name: texts.taken(order) for name, texts in self._words.items()}
        for name in list(self._numbers):
            values = np.asarray(self._numbers.pop(name))
            made[name] = pa.array(values[order], from_pandas=True)  # NaN: missing
        return pa.table(made).drop_columns(["condition"])

    def _columns(self) -> list[Any]:
        return [self._conditions, *(self._words | self._numbers).values()]
