"""Tables on disk to arrays, condition by condition: the one way by which results are read.

No row group of ours crosses conditions, and in each the rows are sorted by replicate, method,
estimand and interval; where all methods have the same replicates, a cell is every k-th row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mcstudy.analysis.partition import split
from mcstudy.arrays import Floats
from mcstudy.columns import WARNED
from mcstudy.errors import ResultsError
from mcstudy.grid import Level
from mcstudy.method import Status
from mcstudy.simulation.validation import STATUSES
from mcstudy.storage.table_set import open_tables

BUDGET = 2**27  # bytes of one condition's numbers at a time, so that wide studies fit in memory

_KEYS = {"fits": ["method"], "estimates": ["method", "estimand"]}
_KEYS["intervals"] = [*_KEYS["estimates"], "interval"]
_NUMBERS = {
    "fits": ["replicate", "status", WARNED],
    "estimates": ["truth", "estimate", "std_error"],
    "intervals": ["lower", "upper"],
}


@dataclass(frozen=True)
class EstimandRows:
    """What a method says of one estimand; NaN is missing.

    Parameters
    ----------
    truth : float
        NaN where it is missing.
    estimate, std_error : arrays of shape (R,)
        In the estimand's units, in the order of the method's replicates.
    intervals : mapping of str to (lower, upper)
        Arrays of shape (R,), by the interval's name, sorted.
    """

    truth: float
    estimate: Floats
    std_error: Floats
    intervals: Mapping[str, tuple[Floats, Floats]]


@dataclass(frozen=True)
class MethodRows:
    """The fits of one method under one condition.

    Parameters
    ----------
    replicate : array of shape (R,)
        Rising; methods are paired by it and by nothing else.
    status_code : array of int8, shape (R,)
        The place of each fit's status in `mcstudy.simulation.answers.STATUSES`.
    estimands : mapping of str to EstimandRows
        Sorted by name.
    warned : array of bool, shape (R,)
        Which of the fits gave a warning.
    """

    replicate: NDArray[np.int64]
    status_code: NDArray[np.int8]
    estimands: Mapping[str, EstimandRows]
    warned: NDArray[np.bool_]

    @property
    def status(self) -> NDArray[np.object_]:
        """The status of each fit, a word; shape (R,)."""
        return np.array([str(status) for status in STATUSES], dtype=object)[self.status_code]


@dataclass(frozen=True)
class ConditionRows:
    """The rows of one condition, or of some of its estimands.

    Parameters
    ----------
    condition : str
        Its key.
    factors : mapping of str to level
        As the table `conditions` has them.
    methods : mapping of str to MethodRows
        Sorted by name.
    first : bool
        False for a further piece of a large condition: it has other estimands of the same fits,
        whose statuses are counted already.
    """

    condition: str
    factors: Mapping[str, Level]
    methods: Mapping[str, MethodRows]
    first: bool = True


def without_skipped(rows: ConditionRows) -> ConditionRows:
    """Return the rows of a condition as if no method had been run where it does not apply."""
    skipped = STATUSES.index(Status.SKIPPED)
    methods = {}
    for name, method in rows.methods.items():
        kept = method.status_code != skipped
        if kept.all():
            methods[name] = method
        elif kept.any():
            methods[name] = _chosen(method, kept)
    return replace(rows, methods=methods)


def _chosen(method: MethodRows, kept: NDArray[np.bool_]) -> MethodRows:
    """Return some of the fits of a method."""
    estimands = {
        name: EstimandRows(
            of.truth,
            of.estimate[kept],
            of.std_error[kept],
            {interval: (low[kept], up[kept]) for interval, (low, up) in of.intervals.items()},
        )
        for name, of in method.estimands.items()
    }
    return MethodRows(
        method.replicate[kept], method.status_code[kept], estimands, method.warned[kept]
    )


def rows_by_condition(
    folder: Path,
    *,
    upto: Mapping[str, int] | int | None = None,
    budget: int = BUDGET,
) -> Iterator[ConditionRows]:
    """Yield the rows of a folder's tables, one condition after the other.

    Parameters
    ----------
    folder : Path
        With the tables conditions, fits, estimates and intervals.
    upto : int or mapping of condition to int, optional
        Only the replicates below that number; a condition that the mapping lacks comes whole.
    budget : int, optional
        Bytes. A condition whose numbers need more comes in pieces, each with some of the estimands
        and all of the methods. One estimand is always whole.

    Yields
    ------
    ConditionRows
        In the order of the table `conditions`; one without rows is left out.

    Raises
    ------
    ResultsError
        If a table is missing or damaged.
    """
    try:
        with ExitStack() as stack:
            opened = _opened(folder, stack)
            conditions = pq.read_table(opened.pop("conditions")).to_pylist()
            files = {name: _File(file, name, stack) for name, file in opened.items()}
            for factors in conditions:
                key = factors.pop("condition")
                stop = upto.get(key) if isinstance(upto, Mapping) else upto
                yield from _pieces(files, key, factors, stop=stop, budget=budget)
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(
            f"{folder}: its tables cannot be read ({' '.join(str(error).split())}); "
            "run the study again to make them anew"
        ) from None


def _opened(folder: Path, stack: ExitStack) -> dict[str, Any]:
    if not (folder / "fits.parquet").exists() and (folder / "endings.parquet").is_file():
        raise ResultsError(
            f"{folder}: keeps measures and no rows, which this needs (keep='measures')"
        )
    return open_tables(folder, ["conditions", *_KEYS], stack)


class _File:
    """A table on disk, and which of its row groups belong to which condition."""

    def __init__(self, opened: Any, name: str, stack: ExitStack) -> None:
        texts = [*_KEYS[name], "status"] if name == "fits" else _KEYS[name]
        self._file = stack.enter_context(pq.ParquetFile(opened, read_dictionary=texts))
        self.key = _KEYS[name]
        self.numbers = _NUMBERS[name]
        self._groups: dict[str, list[int]] = defaultdict(list)
        schema = self._file.schema_arrow
        self._condition, self._replicate = map(schema.get_field_index, ("condition", "replicate"))
        for group in range(self._file.num_row_groups):
            self._groups[self._condition_of(group)].append(group)

    def _condition_of(self, group: int) -> str:
        statistics = self._file.metadata.row_group(group).column(self._condition).statistics
        if statistics is not None and statistics.has_min_max:
            return str(statistics.min)
        column = self._file.read_row_group(group, columns=["condition"])["condition"]
        return str(column[0].as_py())

    def groups(self, condition: str, stop: int | None) -> list[int]:
        """Return the row groups of a condition that begin below replicate `stop`."""
        found = self._groups.get(condition, [])
        if stop is None:
            return found
        return [group for group in found if self._first_replicate(group) < stop]

    def _first_replicate(self, group: int) -> int:
        statistics = self._file.metadata.row_group(group).column(self._replicate).statistics
        return int(statistics.min) if statistics is not None and statistics.has_min_max else 0

    def rows(self, groups: Sequence[int]) -> int:
        """Return how many rows the groups have."""
        return sum(int(self._file.metadata.row_group(group).num_rows) for group in groups)

    def words(self, group: int, column: str) -> list[str]:
        """Return the distinct texts of a column."""
        table = self._file.read_row_group(group, columns=[column])
        return sorted(table[column].unique().to_pylist())

    def cells(
        self, groups: Sequence[int], some: frozenset[str] | None = None
    ) -> dict[tuple[str, ...], list[list[Any]]]:
        """Return the numbers of each cell: for each column an array from each of the groups."""
        found: dict[tuple[str, ...], list[list[Any]]] = {}
        for group in groups:
            table = self._file.read_row_group(group, columns=[*self.key, *self.numbers])
            numbers = [_array(table[name]) for name in self.numbers]
            for key, chosen in split(table, self.key):
                if some is None or key[1] in some:
                    columns = found.setdefault(key, [[] for _ in self.numbers])
                    for column, values in zip(columns, numbers, strict=True):
                        column.append(np.ascontiguousarray(values[chosen]))
        return found


def _pieces(
    files: Mapping[str, _File],
    condition: str,
    factors: Mapping[str, Level],
    *,
    stop: int | None,
    budget: int,
) -> Iterator[ConditionRows]:
    groups = {name: file.groups(condition, stop) for name, file in files.items()}
    fits = {key: columns for (key,), columns in files["fits"].cells(groups["fits"]).items()}
    if not fits:
        return
    replicate = {name: np.concatenate(columns[0]) for name, columns in fits.items()}
    status = {name: np.concatenate(columns[1]) for name, columns in fits.items()}
    warned = {name: np.concatenate(columns[2]) for name, columns in fits.items()}
    fits.clear()
    kept = {
        name: len(numbers) if stop is None else int(np.searchsorted(numbers, stop))
        for name, numbers in replicate.items()
    }
    for index, some in enumerate(_shares(files, groups, budget)):
        estimands = _estimands(files, groups, some, kept)
        methods = {
            name: MethodRows(
                replicate[name][: kept[name]],
                status[name][: kept[name]],
                {key[1]: rows for key, rows in sorted(estimands.items()) if key[0] == name},
                warned[name][: kept[name]],
            )
            for name in sorted(replicate)
            if kept[name]
        }
        pa.default_memory_pool().release_unused()
        if methods:
            yield ConditionRows(condition, factors, methods, first=index == 0)


def _shares(
    files: Mapping[str, _File], groups: Mapping[str, Sequence[int]], budget: int
) -> list[frozenset[str] | None]:
    """Return which estimands to read at once, so that their numbers fit the budget."""
    held = 16 * sum(files[name].rows(groups[name]) for name in ("estimates", "intervals"))
    if held <= budget or not groups["estimates"]:
        return [None]
    names = files["estimates"].words(groups["estimates"][0], "estimand")
    count = min(len(names), -(-held // budget))
    return [frozenset(some.tolist()) for some in np.array_split(np.array(names, object), count)]


def _estimands(
    files: Mapping[str, _File],
    groups: Mapping[str, Sequence[int]],
    some: frozenset[str] | None,
    kept: Mapping[str, int],
) -> dict[tuple[str, ...], EstimandRows]:
    """Return the rows of each method and estimand."""
    limits: dict[tuple[str, ...], dict[str, tuple[Floats, Floats]]] = defaultdict(dict)
    for key, columns in sorted(files["intervals"].cells(groups["intervals"], some).items()):
        lower, upper = (_joined(column, key, kept) for column in columns)
        limits[key[:2]][key[2]] = lower, upper
    found = {}
    for key, columns in files["estimates"].cells(groups["estimates"], some).items():
        truth = float(columns[0][0][0])
        estimate, std_error = (_joined(column, key, kept) for column in columns[1:])
        found[key] = EstimandRows(truth, estimate, std_error, limits[key])
    return found


def _joined(column: list[Floats], key: Sequence[str], kept: Mapping[str, int]) -> Floats:
    """Return a column of a cell, a number for each fit of the method that is kept."""
    values = column[0] if len(column) == 1 else np.concatenate(column)
    column.clear()  # two copies of one column at a time, not of all
    count = kept.get(key[0], 0)
    if len(values) < count:
        raise ResultsError(f"{' '.join(key)} has {len(values)} rows and {count} fits; run it again")
    return values[:count]


def _array(column: Any) -> NDArray[Any]:
    """Return a column as an array, statuses as their codes."""
    array: NDArray[Any]
    if not pa.types.is_dictionary(column.type):
        array = column.to_numpy()
        return array
    column = column.combine_chunks()
    words = column.dictionary.to_pylist()
    if unknown := [word for word in words if word not in STATUSES]:
        raise ResultsError(
            f"the table fits has the status '{unknown[0]}', which this version of mcstudy does not "
            f"know; it knows {', '.join(STATUSES)}"
        )
    array = np.array([STATUSES.index(word) for word in words], np.int8)[column.indices.to_numpy()]
    return array
