"""Parts to the rows of conditions: each replicate once, judged, with the intervals formed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcstudy.columns import WARNED
from mcstudy.grid import Condition
from mcstudy.method import Status
from mcstudy.simulation.validation import TEST, TRUTH
from mcstudy.storage import parts
from mcstudy.storage.parts import Part
from mcstudy.wald import WALD, wald_limits

BLOCK = 2**15
"""Replicates that are held at a time, and the rows of a row group of the tables hold."""
NUMBERS = 2**17
"""Estimates, limits and p-values of small conditions that are read together, some MB."""
KEPT = 2**25
"""Bytes of rows that are kept for a second reading, of many small conditions."""
_WHOLE = 2**27  # bytes of the rows of small parts, which are read as soon as their types are asked
_OF_TABLE = 2**13  # bytes that a small table takes beside its numbers
EXISTS = ("estimate", "lower", TEST)
"""Kinds of numbers of which each makes an estimand, an interval of it or a test exist."""
_OF_FIT = ("replicate", "status", "message", WARNED, "seconds")

Columns: TypeAlias = Mapping[str, pa.ChunkedArray]
"""The columns of a table by name: to ask a table of thousands for each takes ten times as long."""
Key: TypeAlias = tuple[str, ...]
"""(estimand, interval); the interval of an estimate itself is empty."""
Keys: TypeAlias = Collection[Key]


class Block(NamedTuple):
    """Rows of some conditions: of each method a table, one condition after the other in it.

    `counts` has by method how many rows each of the conditions has.
    """

    conditions: Sequence[Condition]
    tables: Mapping[str, pa.Table]
    counts: Mapping[str, NDArray[np.int64]]


class StudyRows:
    """The rows of a study that count, read condition by condition, or some small ones together.

    Parameters
    ----------
    stored : mapping of Condition to sequence of Part
        The parts that count; of a replicate that two hold the first one counts.
    truths : mapping of Condition to mapping of str to float
        The true values that all replicates share; those of each data set are in the parts.
    level : float or None
        Of the intervals formed from standard errors, under each condition for the estimands of
        which a method gives no interval there; None forms none.
    first : int, optional
        Only the first so many replicates.
    """

    def __init__(
        self,
        stored: Mapping[Condition, Sequence[Part]],
        truths: Mapping[Condition, Mapping[str, float]],
        *,
        level: float | None,
        first: int | None = None,
    ) -> None:
        self.conditions = sorted(stored, key=lambda condition: condition.sort_key)
        self.truths = truths
        self._level, self._first = level, first
        self._stored = {
            condition: [part for part in stored[condition] if first is None or part.start < first]
            for condition in self.conditions
        }
        self._whole: dict[Path, pa.Table] = {}
        self._types = dict(self._read_types())
        self._kinds = {condition: self._kinds_of(condition) for condition in self.conditions}
        self._formed = {
            condition: {} if level is None else formed(kinds)
            for condition, kinds in self._kinds.items()
        }
        self._given = {
            condition: _given(kinds, self._formed[condition])
            for condition, kinds in self._kinds.items()
        }
        self.own_truths = {
            condition: {key[1] for keys in kinds.values() for key in keys if key[0] == TRUTH}
            for condition, kinds in self._kinds.items()
        }
        """The estimands of which each data set has a true value of its own, by condition."""
        known = {c: {*truths[c], *own} for c, own in self.own_truths.items()}
        self.named = {estimand for of in known.values() for estimand in of}
        """The estimands that have a true value under some condition."""
        self.keys = existing(self._given, known)
        """(estimand, interval) of the rows that there are, by condition and method, sorted."""
        self.groups = list(self._alike())
        """The conditions in order, those together that are small and have the same columns."""
        self._kept: dict[Condition, Block] = {}
        self._room = KEPT

    def _read_types(self) -> Iterator[tuple[Path, parts.Types]]:
        """Yield the types of each part, and read those that are small, for they are opened here."""
        room = _WHOLE
        for part in itertools.chain.from_iterable(self._stored.values()):
            if room > 0 and part.is_small:
                rows = self._whole[part.path] = part.rows()
                room -= rows.nbytes + _OF_TABLE
                yield part.path, parts.types_of(rows)
            else:
                yield part.path, part.types()

    def _kinds_of(self, condition: Condition) -> dict[str, set[Key]]:
        """Return the columns of numbers that each method has under a condition."""
        kinds: dict[str, set[Key]] = {}
        for part in self._stored[condition]:
            keys = map(parts.column_key, self._types[part.path])
            numbers = {key for key in keys if key[0] not in ("", "diagnostic")}
            kinds.setdefault(part.method, set()).update(numbers)
        return kinds

    @property
    def has_tests(self) -> bool:
        """Whether a method gives a p-value somewhere."""
        return any(
            key[0] == TEST for of in self._kinds.values() for keys in of.values() for key in keys
        )

    def diagnostics(self) -> dict[str, pa.DataType]:
        """Return the methods' own diagnostics, each with the type that holds all its values."""
        types: dict[str, set[pa.DataType]] = {}
        for columns in self._types.values():
            for name, kind in columns.items():
                if (key := parts.column_key(name))[0] == "diagnostic":
                    types.setdefault(key[1], set()).add(kind)
        return {name: parts.common_type(types[name]) for name in sorted(types)}

    def replicates(self, condition: Condition) -> int:
        """Return how many fits there are under a condition at most, by all of its methods."""
        return sum(part.stop - part.start for part in self._stored[condition])

    def _alike(self) -> Iterator[list[Condition]]:
        """Yield the groups. They follow from the rows, not from the parts that hold them."""
        group: list[Condition] = []
        held, before = 0.0, None
        for condition in self.conditions:
            keys, end = self.keys[condition], self._end(condition)
            numbers = end * (1 + sum(map(len, keys.values()))) if end <= BLOCK else np.inf
            now = self._kinds[condition], keys, self.own_truths[condition]
            held += numbers
            if group and (held > NUMBERS or now != before):
                yield group
                group, held = [], numbers
            group.append(condition)
            before = now
        if group:
            yield group

    def _end(self, condition: Condition) -> int:
        """Return the number behind that of the last replicate of a condition."""
        end = max((part.stop for part in self._stored[condition]), default=0)
        return end if self._first is None else min(end, self._first)

    def blocks(
        self, group: Sequence[Condition], wanted: Callable[[Key], bool] | None = None
    ) -> Iterator[Block]:
        """Yield the rows of a group, a fixed range of replicates at a time, sorted, each once.

        A fit that leaves out an estimand that others give is not finite, and not ok. Of the
        columns only those are read whose key, (kind, estimand, interval) or ("diagnostic", name),
        is `wanted`; statuses are right where all estimates are. DamagedError where a part is.
        """
        if group[0] in self._kept:
            yield self._kept[group[0]]
            return
        blocks = self._judged(group, wanted or (lambda key: True))
        block = next(blocks, None)
        if block is None:
            return
        yield block
        if (second := next(blocks, None)) is not None:
            yield second
            yield from blocks
        elif wanted is None:
            size = sum(table.nbytes for table in block.tables.values())
            if size <= self._room:
                self._kept[group[0]], self._room = block, self._room - size

    def _judged(self, group: Sequence[Condition], wanted: Callable[[Key], bool]) -> Iterator[Block]:
        """Yield blocks, judged and with the intervals formed."""
        given, formed = self._given[group[0]], self._formed[group[0]]
        for block in self._together(group, wanted):
            whole = {
                method: judged(rows, sorted({key[0] for key in given[method]}))
                for method, rows in block.tables.items()
            }
            for method, estimands in formed.items():
                some = [name for name in estimands if wanted(("lower", name, WALD))]
                if method in whole and some and self._level is not None:
                    whole[method] = _with_limits(whole[method], some, self._level)
            yield block._replace(tables=whole)

    def _together(
        self, group: Sequence[Condition], wanted: Callable[[Key], bool]
    ) -> Iterator[Block]:
        """Yield the same as they were stored; several conditions are one block."""
        if len(group) == 1:
            for tables in self._read(group[0], wanted):
                yield Block(group, tables, {m: np.array([len(of)]) for m, of in tables.items()})
            return
        found = [next(self._read(condition, wanted), {}) for condition in group]
        methods = sorted({method for tables in found for method in tables})
        if methods:
            together = {m: parts.concatenated([of[m] for of in found if m in of]) for m in methods}
            yield Block(
                group,
                {m: table.unify_dictionaries().combine_chunks() for m, table in together.items()},
                {m: np.array([len(of.get(m, ())) for of in found]) for m in methods},
            )

    def _read(
        self, condition: Condition, wanted: Callable[[Key], bool]
    ) -> Iterator[dict[str, pa.Table]]:
        """Yield the same as they were stored."""
        stored, read = self._stored[condition], dict[Path, pa.Table]()
        end = self._end(condition)
        for start in range(0, end, BLOCK):
            stop = min(start + BLOCK, end)
            found: dict[str, list[pa.Table]] = {}
            for part in stored:
                if part.start < stop and part.stop > start:
                    rows = read.pop(part.path, self._whole.pop(part.path, None))
                    if rows is None:
                        keys = {name: parts.column_key(name) for name in self._types[part.path]}
                        own = [name for name, key in keys.items() if key[0] and wanted(key)]
                        rows = part.rows([*_OF_FIT, *own])
                    if part.stop > stop:
                        read[part.path] = rows
                    first, last = max(start, part.start), min(stop, part.stop)
                    if last - first < rows.num_rows:
                        rows = rows.slice(first - part.start, last - first)
                    found.setdefault(part.method, []).append(rows)
            if found:
                yield {method: _sorted_once(tables) for method, tables in sorted(found.items())}


def estimands_of(columns: Iterable[parts.Types]) -> list[str]:
    """Return the estimands that a method has under a condition, by the columns of its parts."""
    keys = {parts.column_key(name) for own in columns for name in own}
    return sorted({key[1] for key in keys if key[0] in EXISTS})


def formed(kinds: Mapping[str, Iterable[Key]]) -> dict[str, list[str]]:
    """Return by method the estimands that have standard errors and no interval of the method."""
    found = {}
    for method, keys in kinds.items():
        with_error = {key[1] for key in keys if key[0] == "std_error"}
        found[method] = sorted(with_error - {key[1] for key in keys if key[0] == "lower"})
    return {method: estimands for method, estimands in found.items() if estimands}


def _given(
    kinds: Mapping[str, Iterable[Key]], formed: Mapping[str, Iterable[str]]
) -> dict[str, set[Key]]:
    """Return the estimands and intervals that there are by method, with those that are formed."""
    return {
        method: {key[1:] for key in keys if key[0] in EXISTS}
        | {(estimand, WALD) for estimand in formed.get(method, ())}
        for method, keys in kinds.items()
    }


def existing(
    given: Mapping[Condition, Mapping[str, Keys]], truths: Mapping[Condition, Collection[str]]
) -> dict[Condition, dict[str, list[Key]]]:
    """Return the estimands and intervals that exist, by condition and method, sorted.

    An estimand exists where the method gave an estimate of it or `truths` names it, an interval
    where the method gave it; an estimand that `truths` names nowhere, wherever the method was run.
    Of an estimand that `truths` names and of which the method said nothing, as where all of its
    fits failed, all that the method gives elsewhere is missing. Where a method gave nothing at all,
    so is each estimand, but for those that it leaves out where it gives some.
    """
    found: dict[Condition, dict[str, list[Key]]] = {c: {} for c in given}
    named = {estimand for of in truths.values() for estimand in of}
    for method in {method for of in given.values() for method in of}:
        own = {condition: of[method] for condition, of in given.items() if method in of}
        known = {key for keys in own.values() for key in keys}
        unnamed = {key[0] for key in known} - named
        left_out = {e for c, keys in own.items() if keys for e in truths[c]} - {k[0] for k in known}
        for condition, keys in own.items():
            silent = (unnamed | set(truths[condition])) - {key[0] for key in keys}
            missing = {key for key in known if key[0] in silent}
            missing |= {(estimand, "") for estimand in silent - left_out if not keys}
            found[condition][method] = sorted({*keys} | missing)
    return found


def _with_limits(rows: pa.Table, estimands: Sequence[str], level: float) -> pa.Table:
    """Return rows with the interval formed from the standard error of each of the estimands."""
    columns = columns_of(rows)
    has_df = any(parts.column_name("df", estimand, "") in columns for estimand in estimands)
    step = max(1, BLOCK // max(rows.num_rows, 1))  # of estimands at a time
    for begin in range(0, len(estimands), step):
        some = estimands[begin : begin + step]
        estimate, std_error, *df = (
            np.stack([array_of(columns, kind, estimand, "") for estimand in some])
            for kind in ("estimate", "std_error", "df")[: 3 if has_df else 2]
        )
        both = wald_limits(estimate, std_error, level, *df)
        for kind, limits in zip(("lower", "upper"), both, strict=True):
            for estimand, limit in zip(some, limits, strict=True):
                columns[parts.column_name(kind, estimand, WALD)] = pa.array(limit)
    return pa.table(columns)


def _sorted_once(tables: list[pa.Table]) -> pa.Table:
    table = parts.concatenated(tables)
    replicate = table["replicate"].to_numpy()
    if len(replicate) < 2 or (np.diff(replicate) > 0).all():
        return table
    _, index = np.unique(replicate, return_index=True)
    return table.take(pa.array(index))


def judged(rows: pa.Table, estimands: Sequence[str]) -> pa.Table:
    """Return rows where a fit that leaves out what others estimate is not finite, and not ok."""
    import pyarrow.compute as pc

    if len(estimands) < 2:
        return rows
    status = rows["status"].cast(pa.string())
    columns, missing = columns_of(rows), np.zeros(rows.num_rows, bool)
    for estimand in estimands:
        missing |= np.isnan(_said_of(columns, estimand))
    lacking = pc.and_(pa.array(missing), pc.equal(status, Status.OK))
    if not pc.any(lacking).as_py():
        return rows
    status = pc.if_else(lacking, str(Status.NOT_FINITE), status)
    return rows.set_column(rows.column_names.index("status"), "status", status)


def _said_of(columns: Columns, estimand: str) -> NDArray[np.float64]:
    """Return the estimates, or the p-values of a test that estimates nothing."""
    tested = parts.column_name(TEST, estimand, TEST) in columns
    if tested and parts.column_name("estimate", estimand, "") not in columns:
        return array_of(columns, TEST, estimand, TEST)
    return array_of(columns, "estimate", estimand, "")


def columns_of(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the columns of a table by name."""
    return dict(zip(rows.column_names, rows.columns, strict=True))


def column_of(columns: Columns, *key: str) -> pa.ChunkedArray | pa.Array:
    """Return a column of numbers or a diagnostic; all missing where the rows have none."""
    found = columns.get(parts.column_name(*key))
    return pa.nulls(len(columns["replicate"]), pa.float64()) if found is None else found


def array_of(columns: Columns, *key: str) -> NDArray[np.float64]:
    """Return a column of numbers as an array, missing ones NaN."""
    column = column_of(columns, *key)
    if isinstance(column, pa.Array):
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=float)
    return np.asarray(column.to_numpy(), dtype=float)
