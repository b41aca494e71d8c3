"""Parts to tables: the long Parquet tables, sorted by their keys, the same for any history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcstudy.analysis.wald import WALD, wald_limits
from mcstudy.columns import ENDING, FIT, WARNED
from mcstudy.grid import Condition, level_text
from mcstudy.method import Status
from mcstudy.storage import parts
from mcstudy.storage.files import TableWriters, write_table
from mcstudy.storage.parts import PartHead

MEASURED = ("performance", "comparisons")
TABLES = ("conditions", "fits", "estimates", "intervals", "timings", *MEASURED)
TABLES_OF = {"rows": TABLES, "measures": ("conditions", "endings", "performance")}
BLOCK = 2**15
_TEXT, _NUMBER = pa.string(), pa.float64()
_KEY = list(zip(FIT, (_TEXT, pa.int64(), _TEXT), strict=True))
_ENDING = list(zip(ENDING, (_TEXT, _TEXT, pa.bool_()), strict=True))


def tables_of_rows(keep: str) -> tuple[str, ...]:
    """Return the tables that are made of the parts; the others are made of these."""
    made = TABLES_OF[keep]
    return made if keep == "measures" else tuple(name for name in made if name not in MEASURED)


@dataclass(frozen=True)
class Stored:
    """The stored rows of some methods under one condition: a part, and which of it counts."""

    head: PartHead
    methods: tuple[str, ...]


def write_tables(
    folder: Path,
    stored: Mapping[Condition, Sequence[Stored]],
    truths: Mapping[Condition, Mapping[str, float]],
    metadata: Mapping[str, str],
    *,
    level: float | None,
    first: int | None = None,
) -> None:
    """Write conditions, fits, estimates, intervals and timings into `folder`.

    Parameters
    ----------
    folder : Path
        Where the tables are; each replaces its predecessor whole.
    stored : mapping of Condition to sequence of Stored
        The rows there are.
    truths : mapping of Condition to mapping of str to float
        The true value of each estimand.
    metadata : mapping of str to str
        Joins the schema metadata of every table.
    level : float or None
        Of the intervals formed from standard errors, under each condition for the estimands of
        which a method gives no interval there; None forms none.
    first : int, optional
        Write the first so many replicates only.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged.
    """
    conditions = sorted(stored, key=lambda condition: condition.sort_key)
    if first is not None:
        stored = {c: [i for i in items if i.head.start < first] for c, items in stored.items()}
    formed = {c: {} if level is None else _formed(stored[c]) for c in conditions}
    given = {c: _Layout.of(stored[c]).with_formed(formed[c]) for c in conditions}
    owed = existing({c: layout.numbers for c, layout in given.items()}, truths)
    layout = _Layout.of(item for items in stored.values() for item in items)
    write_table(folder / "conditions.parquet", conditions_table(conditions), metadata)
    with TableWriters(folder, layout.schemas(), metadata) as writers:
        for condition in conditions:
            layout = replace(layout, numbers=owed[condition])
            for block in _blocks(stored[condition], first):
                whole = {
                    name: judged(rows, given[condition].estimands(name))
                    for name, rows in block.items()
                }
                for method, estimands in formed[condition].items():
                    if method in whole and level is not None:
                        whole[method] = _with_limits(whole[method], estimands, level)
                writers.write(_block_tables(condition, whole, layout, truths[condition]))


def estimands_of(stored: Iterable[Stored], method: str) -> list[str]:
    """Return the estimands that a method has under a condition, over all of its parts."""
    of = [item for item in stored if method in item.methods]
    return _Layout.of(of).estimands(method) if of else []


@dataclass(frozen=True)
class _Layout:
    """Which estimands, intervals and diagnostics each method has, over all of its parts."""

    numbers: Mapping[str, list[tuple[str, ...]]]
    diagnostics: Mapping[str, pa.DataType]

    @classmethod
    def of(cls, stored: Iterable[Stored]) -> _Layout:
        numbers: dict[str, set[tuple[str, ...]]] = {}
        types: dict[str, set[pa.DataType]] = {}
        for item in stored:
            schema = None
            for method in item.methods:
                found = numbers.setdefault(method, set())
                for name in item.head.columns[method]:
                    key = parts.column_key(name)
                    assert key is not None
                    if key[0] == "diagnostic":
                        schema = schema or parts.read_schema(item.head.path)
                        types.setdefault(key[1], set()).add(schema.field(name).type)
                    elif key[0] in ("estimate", "lower"):
                        found.add(key[1:])
        diagnostics = {name: parts.common_type(types[name]) for name in sorted(types)}
        return cls({method: sorted(keys) for method, keys in numbers.items()}, diagnostics)

    def with_formed(self, formed: Mapping[str, Sequence[str]]) -> _Layout:
        """Return the layout that also has the intervals formed for these estimands of methods."""
        numbers = {method: set(keys) for method, keys in self.numbers.items()}
        for method, estimands in formed.items():
            numbers[method] |= {(estimand, WALD) for estimand in estimands}
        return _Layout({m: sorted(keys) for m, keys in numbers.items()}, self.diagnostics)

    def estimands(self, method: str) -> list[str]:
        return sorted({key[0] for key in self.numbers[method]})

    def intervals(self, method: str) -> list[tuple[str, str]]:
        return [(key[0], key[1]) for key in self.numbers[method] if key[1]]

    def schemas(self) -> dict[str, pa.Schema]:
        own = list(self.diagnostics.items())
        estimand = [("estimand", _TEXT)]
        numbers = [("truth", _NUMBER), ("estimate", _NUMBER), ("std_error", _NUMBER)]
        limits = [("interval", _TEXT), ("lower", _NUMBER), ("upper", _NUMBER)]
        return {
            "fits": pa.schema([*_KEY, *_ENDING, *own]),
            "estimates": pa.schema([*_KEY, *estimand, *numbers]),
            "intervals": pa.schema([*_KEY, *estimand, *limits]),
            "timings": pa.schema([*_KEY, ("seconds", _NUMBER)]),
        }


Keys: TypeAlias = Collection[tuple[str, ...]]
"""(estimand, interval) of what a method gives; the interval of an estimate itself is empty."""


def existing(
    given: Mapping[Condition, Mapping[str, Keys]], truths: Mapping[Condition, Collection[str]]
) -> dict[Condition, dict[str, list[tuple[str, ...]]]]:
    """Return the estimands and intervals that exist, by condition and method, sorted.

    An estimand exists where the method gave an estimate of it or it has a truth, an interval where
    the method gave it. Of an estimand that has a truth and of which the method said nothing, as
    where all of its fits failed, all that the method gives elsewhere is missing. Where a method
    gave nothing at all, so is each estimand, but for those that it leaves out where it gives some.

    Parameters
    ----------
    given : mapping of Condition to mapping of str to keys
        What each method gave.
    truths : mapping of Condition to collection of str
        The estimands that have a truth.
    """
    found: dict[Condition, dict[str, list[tuple[str, ...]]]] = {c: {} for c in given}
    for method in {method for of in given.values() for method in of}:
        own = {condition: of[method] for condition, of in given.items() if method in of}
        known = {key for keys in own.values() for key in keys}
        left_out = {e for c, keys in own.items() if keys for e in truths[c]} - {k[0] for k in known}
        for condition, keys in own.items():
            silent = set(truths[condition]) - {key[0] for key in keys}
            missing = {key for key in known if key[0] in silent}
            missing |= {(estimand, "") for estimand in silent - left_out if not keys}
            found[condition][method] = sorted({*keys} | missing)
    return found


def _formed(stored: Sequence[Stored]) -> dict[str, list[str]]:
    """Return by method the estimands that have standard errors and no interval of the method."""
    kinds: dict[str, dict[str, set[str]]] = {}
    for item in stored:
        for method in item.methods:
            for name in item.head.columns[method]:
                kind, estimand, *_ = parts.column_key(name) or ("", "")
                kinds.setdefault(method, {}).setdefault(kind, set()).add(estimand)
    found = {
        method: sorted(of.get("std_error", set()) - of.get("lower", set()))
        for method, of in kinds.items()
    }
    return {method: estimands for method, estimands in found.items() if estimands}


def _with_limits(rows: pa.Table, estimands: Sequence[str], level: float) -> pa.Table:
    """Return rows with the interval formed from the standard error of each of the estimands."""
    for estimand in estimands:
        estimate, std_error, df = (
            _numbers(rows, kind, estimand, "").to_numpy(zero_copy_only=False)
            for kind in ("estimate", "std_error", "df")
        )
        for kind, limit in zip(
            ("lower", "upper"), wald_limits(estimate, std_error, level, df), strict=True
        ):
            rows = rows.append_column(parts.column_name(kind, estimand, WALD), pa.array(limit))
    return rows


def _blocks(stored: Sequence[Stored], first: int | None) -> Iterator[dict[str, pa.Table]]:
    """Yield the rows of each method, a fixed range of replicates at a time, sorted, each once."""
    read: dict[Path, pa.Table] = {}
    end = max((item.head.stop for item in stored), default=0)
    end = end if first is None else min(end, first)
    for start in range(0, end, BLOCK):
        stop = min(start + BLOCK, end)
        found: dict[str, list[pa.Table]] = {}
        for item in stored:
            if item.head.start < stop and item.head.stop > start:
                path = item.head.path
                rows = read.pop(path, None) or parts.read(path)
                if item.head.stop > stop:
                    read[path] = rows
                for method in item.methods:
                    found.setdefault(method, []).append(_cut(rows, item.head, method, start, stop))
        if found:
            yield {method: _sorted_once(tables) for method, tables in sorted(found.items())}


def _cut(rows: pa.Table, head: PartHead, method: str, start: int, stop: int) -> pa.Table:
    """Return the rows of a method that fall into the block."""
    first = max(start - head.start, 0)
    last = min(stop, head.stop) - head.start
    columns = ["replicate", "status", "message", "warned", "seconds", *head.columns[method]]
    return parts.rows_of(head, rows, method).slice(first, last - first).select(columns)


def _sorted_once(tables: list[pa.Table]) -> pa.Table:
    table = parts.concatenated(tables)
    replicate = table["replicate"].to_numpy()
    if len(replicate) < 2 or (np.diff(replicate) > 0).all():
        return table
    _, index = np.unique(replicate, return_index=True)
    return table.take(pa.array(index))


def judged(rows: pa.Table, estimands: Sequence[str]) -> pa.Table:
    """Return rows where a fit that leaves out what others estimate is not finite, and not ok."""
    if len(estimands) < 2:
        return rows
    status = rows["status"].cast(_TEXT)
    missing = pa.array(np.zeros(rows.num_rows, bool))
    for estimand in estimands:
        missing = pc.or_(missing, pc.is_null(_numbers(rows, "estimate", estimand, "")))
    lacking = pc.and_(missing, pc.equal(status, Status.OK))
    if not pc.any(lacking).as_py():
        return rows
    status = pc.if_else(lacking, str(Status.NOT_FINITE), status)
    return rows.set_column(rows.column_names.index("status"), "status", status)


def _block_tables(
    condition: Condition,
    block: Mapping[str, pa.Table],
    layout: _Layout,
    truths: Mapping[str, float],
) -> dict[str, pa.Table]:
    """Return the rows of a block for each of the tables."""
    made: dict[str, list[pa.Table]] = {name: [] for name in layout.schemas()}
    for method, rows in block.items():
        count = rows.num_rows
        key = {"replicate": rows["replicate"], "method": _repeat(method, count)}
        own = {
            name: parts.cast(_column(rows, "diagnostic", name, count=count), kind)
            for name, kind in layout.diagnostics.items()
        }
        ending = {"status": rows["status"].cast(_TEXT), "message": rows["message"]}
        ending[WARNED] = rows["warned"]
        made["fits"].append(pa.table({**key, **ending, **own}))
        made["timings"].append(pa.table({**key, "seconds": rows["seconds"]}))
        for estimand in layout.estimands(method):
            numbers = {
                "estimand": _repeat(estimand, count),
                "truth": _repeat(truths.get(estimand), count, _NUMBER),
                "estimate": _numbers(rows, "estimate", estimand, ""),
                "std_error": _numbers(rows, "std_error", estimand, ""),
            }
            made["estimates"].append(pa.table({**key, **numbers}))
        for estimand, interval in layout.intervals(method):
            limits = {
                "estimand": _repeat(estimand, count),
                "interval": _repeat(interval, count),
                "lower": _numbers(rows, "lower", estimand, interval),
                "upper": _numbers(rows, "upper", estimand, interval),
            }
            made["intervals"].append(pa.table({**key, **limits}))
    return {
        name: _interleave(tables, condition, layout.schemas()[name])
        for name, tables in made.items()
        if tables
    }


def _interleave(tables: list[pa.Table], condition: Condition, schema: pa.Schema) -> pa.Table:
    """Join tables that come in the order of the key's last columns; sort by replicate."""
    table = pa.concat_tables(tables)
    if len(tables) > 1:
        order = np.argsort(table["replicate"].to_numpy(), kind="stable")
        table = table.take(pa.array(order))
    key = _repeat(condition.key, table.num_rows)
    return table.add_column(0, "condition", key).select(schema.names).cast(schema)


def _column(rows: pa.Table, *key: str, count: int) -> Any:
    name = parts.column_name(*key)
    return rows[name] if name in rows.column_names else pa.nulls(count, _NUMBER)


def _numbers(rows: pa.Table, *key: str) -> pa.Array:
    """Return a column of numbers, NaN as null."""
    column = _column(rows, *key, count=rows.num_rows)
    return (
        pa.array(column.to_numpy(zero_copy_only=False), _NUMBER, from_pandas=True)
        if isinstance(column, pa.Array)
        else pa.array(column.to_numpy(), _NUMBER, from_pandas=True)
    )


def _repeat(value: Any, count: int, kind: pa.DataType = _TEXT) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def conditions_table(conditions: Sequence[Condition]) -> pa.Table:
    """Return the table of conditions: the key of each and its factor values."""
    columns: dict[str, Any] = {"condition": pa.array([c.key for c in conditions], _TEXT)}
    for name in sorted(conditions[0].factors) if conditions else ():
        columns[name] = factor_column([condition.factors[name] for condition in conditions])
    return pa.table(columns)


def factor_column(levels: Sequence[Any]) -> pa.Array:
    """Return the levels of a factor as a column of one type; a mixture becomes text."""
    kinds = {type(level) for level in levels} - {type(None)}
    if kinds <= {int, float} and kinds:
        whole = all(level is None or float(level).is_integer() for level in levels)
        if whole and all(level is None or -(2**63) <= level < 2**63 for level in levels):
            return pa.array([None if level is None else int(level) for level in levels], pa.int64())
        return pa.array([None if level is None else float(level) for level in levels], _NUMBER)
    if len(kinds) > 1:
        plain = [None if level is None else level_text(level) for level in levels]
        return pa.array(plain, _TEXT)
    return pa.array(levels, None if kinds else _TEXT)
