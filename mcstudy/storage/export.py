"""Parts to tables: the long Parquet tables, sorted by their keys, the same for any history."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcstudy.arrays import joined
from mcstudy.columns import ENDING, FIT, WARNED
from mcstudy.grid import Condition, level_text
from mcstudy.measure import null_of
from mcstudy.simulation.validation import TEST, TRUTH
from mcstudy.storage import parts
from mcstudy.storage.files import TableWriters, write_table
from mcstudy.storage.rows import Block, StudyRows, column_of, columns_of, numbers_of

MEASURED = ("performance", "comparisons")
TABLES = ("conditions", "fits", "estimates", "intervals", "timings", *MEASURED)
TABLES_OF = {"rows": TABLES, "measures": ("conditions", "endings", "performance")}
_TEXT, _NUMBER = pa.string(), pa.float64()
Piece: TypeAlias = tuple[NDArray[np.int64], pa.Table]
"""Rows of a table, and the place in the block of each one's condition."""
_KEY = list(zip(FIT, (_TEXT, pa.int64(), _TEXT), strict=True))
_ENDING = list(zip(ENDING, (_TEXT, _TEXT, pa.bool_()), strict=True))


def tables_of_rows(keep: str) -> tuple[str, ...]:
    """Return the tables that are made of the parts; the others are made of these."""
    made = TABLES_OF[keep]
    return made if keep == "measures" else tuple(name for name in made if name not in MEASURED)


def write_tables(folder: Path, rows: StudyRows, metadata: Mapping[str, str]) -> None:
    """Write conditions, fits, estimates, intervals and timings into `folder`.

    Each replaces its predecessor whole; the metadata joins that of every table's schema.
    DamagedError where a part turns out to be damaged.
    """
    diagnostics = rows.diagnostics()
    numbers = [("truth", _NUMBER), ("estimate", _NUMBER), ("std_error", _NUMBER)]
    numbers += [(TEST, _NUMBER)] if rows.has_tests else []
    limits = [("interval", _TEXT), ("lower", _NUMBER), ("upper", _NUMBER)]
    schemas = {
        "fits": pa.schema([*_KEY, *_ENDING, *diagnostics.items()]),
        "estimates": pa.schema([*_KEY, ("estimand", _TEXT), *numbers]),
        "intervals": pa.schema([*_KEY, ("estimand", _TEXT), *limits]),
        "timings": pa.schema([*_KEY, ("seconds", _NUMBER)]),
    }
    write_table(folder / "conditions.parquet", conditions_table(rows.conditions), metadata)
    with TableWriters(folder, schemas, metadata) as writers:
        for group in rows.groups:
            for block in rows.blocks(group):
                made = _block_tables(block, rows, diagnostics)
                writers.write(
                    {
                        name: _interleave(pieces, block.conditions, schemas[name])
                        for name, pieces in made.items()
                    }
                )


def _block_tables(
    block: Block, of: StudyRows, diagnostics: Mapping[str, pa.DataType]
) -> dict[str, list[Piece]]:
    """Return the rows of a block for each of the tables, in the order of the key's last columns."""
    made: defaultdict[str, list[Piece]] = defaultdict(list)
    first, truths = block.conditions[0], [of.truths[each] for each in block.conditions]
    keys, own_truths = of.keys[first], of.own_truths[first]
    for method, rows in block.tables.items():
        count, columns = rows.num_rows, columns_of(rows)
        place = np.repeat(np.arange(len(block.conditions)), block.counts[method])
        key = {"replicate": rows["replicate"], "method": _repeat(method, count)}
        own = {
            name: parts.cast(column_of(columns, "diagnostic", name), kind)
            for name, kind in diagnostics.items()
        }
        ending = {"status": rows["status"].cast(_TEXT), "message": rows["message"]}
        ending[WARNED] = rows["warned"]
        made["fits"].append((place, pa.table({**key, **ending, **own})))
        made["timings"].append((place, pa.table({**key, "seconds": rows["seconds"]})))
        for estimand in sorted({estimand for estimand, _ in keys[method]}):
            numbers = {
                "estimand": _repeat(estimand, count),
                "truth": (
                    numbers_of(columns, TRUTH, estimand, "")
                    if estimand in own_truths
                    else _spread([known.get(estimand) for known in truths], place, _NUMBER)
                ),
                "estimate": numbers_of(columns, "estimate", estimand, ""),
                "std_error": numbers_of(columns, "std_error", estimand, ""),
                TEST: numbers_of(columns, TEST, estimand, TEST),
            }
            made["estimates"].append((place, pa.table({**key, **numbers})))
        for estimand, interval in (key for key in keys[method] if key[1] not in ("", TEST)):
            limits = {
                "estimand": _repeat(estimand, count),
                "interval": _repeat(interval, count),
                "lower": numbers_of(columns, "lower", estimand, interval),
                "upper": numbers_of(columns, "upper", estimand, interval),
            }
            made["intervals"].append((place, pa.table({**key, **limits})))
    return made


def _interleave(
    pieces: Sequence[Piece], conditions: Sequence[Condition], schema: pa.Schema
) -> pa.Table:
    """Join tables that come in the order of the key's last columns; sort by the first ones."""
    table, place = pa.concat_tables([rows for _, rows in pieces]), joined([of for of, _ in pieces])
    if len(pieces) > 1:
        order = np.lexsort((table["replicate"].to_numpy(), place))
        table, place = table.take(pa.array(order)), place[order]
    key = _spread([condition.key for condition in conditions], place, _TEXT)
    return table.add_column(0, "condition", key).select(schema.names).cast(schema)


def _repeat(value: Any, count: int, kind: pa.DataType = _TEXT) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def _spread(values: Sequence[Any], place: NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """Return the value of each condition in all of its rows."""
    if len(values) == 1:
        return _repeat(values[0], len(place), kind)
    return pa.array(values, kind).take(pa.array(place))


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


def null_hypotheses(record: Mapping[str, Any], names: Sequence[str]) -> dict[tuple[Any, ...], bool]:
    """Return whether the null value of an estimand is its true value, by (levels, estimand).

    What is not in it is not known: there is no null value, or no true one.

    Parameters
    ----------
    record : mapping
        The study's.
    names : sequence of str
        The factors, in the order of the levels. These are as tables have them.
    """
    null, truths, conditions = (record.get(name) for name in ("null", "truths", "conditions"))
    if null is None or not truths or not conditions:
        return {}
    columns = [
        factor_column([of[name] for of in conditions.values()]).to_pylist() for name in names
    ]
    levels = zip(*columns, strict=True) if columns else itertools.repeat(())
    return {
        (here, estimand): truth == null_of(null, estimand)
        for condition, here in zip(conditions, levels, strict=False)
        for estimand, truth in truths.get(condition, {}).items()
        if truth is not None and not math.isnan(null_of(null, estimand))
    }
