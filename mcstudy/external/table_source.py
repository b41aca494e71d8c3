"""A table whose rows come in batches, and what is said of a column of it that has no numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from mcstudy.arguments import short
from mcstudy.errors import TableError


@dataclass(frozen=True)
class Source:
    """A table whose rows can be read more than once, always in the same order.

    `bytes_at_most` is how much memory the numbers of one column can take; 0 where they are in
    memory already. `batches` takes names of columns, and which of them are numbers.
    """

    name: str
    columns: Sequence[str]
    bytes_at_most: int
    batches: Callable[[Sequence[str], Sequence[str]], Iterator[pa.RecordBatch]]

    def check_column(self, name: str, role: str) -> None:
        """Raise TableError unless there is one column of the name; `role` is what it is for."""
        count = list(self.columns).count(name)
        if count > 1:
            raise TableError(f"{self.name}: has two columns '{name}'; rename one")
        if not count:
            columns = ", ".join(f"'{column}'" for column in self.columns[:30])
            more = ", ..." if len(self.columns) > 30 else ""
            also = "give a number, or " if role == "truth" else ""
            raise TableError(
                f"{self.name}: has no column '{name}' ({role}); it has {columns or 'none'}{more}; "
                f"{also}name one of them"
            )


def no_numbers(values: pd.Series[Any], name: str, *, counted: bool = False) -> TableError:
    """Return the error for a column that is not of numbers; `counted` if all its rows are there."""
    made = pd.to_numeric(values.astype(str), errors="coerce")
    wrong = (made.isna() & values.notna()).to_numpy()
    if not wrong.any():
        return TableError(f"{name}: column '{values.name}' is text; give a column of numbers")
    row = int(wrong.argmax())
    return no_number(name, str(values.name), values.iloc[row], row + 1 if counted else None)


def no_number(name: str, column: str, value: object, row: int | None = None) -> TableError:
    """Return the error for a value in a column of numbers; rows count from 1."""
    cure = "leave the cell empty (NA) where there is none"
    if re.fullmatch(r"[-+]?\d*,\d+", str(value).strip()):
        cure = "write numbers with full stops, as R's write.csv does"
    at = f" in row {row}" if row else ""
    return TableError(f"{name}: column '{column}' has {short(value)}{at}, not a number; {cure}")
