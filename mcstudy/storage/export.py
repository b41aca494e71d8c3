"""Parts to tables: the long Parquet tables, sorted by their keys, the same for any history."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcstudy.arrays import joined
from mcstudy.columns import BESIDE_DIAGNOSTICS, ENDING, FIT, WARNED
from mcstudy.grid import Condition, level_text
from mcstudy.measure import null_of
from mcstudy.simulation.validation import TEST, TRUTH
from mcstudy.storage import parts
from mcstudy.storage.files import TableWriters, write_table
from mcstudy.storage.rows import Block, StudyRows, array_of, column_of, columns_of

MEASURED = ("performance", "comparisons")
TABLES = ("conditions", "fits", "estimates", "intervals", "timings", *MEASURED)
TABLES_OF = {"rows": TABLES, "measures": ("conditions", "endings", "performance")}
_TEXT, _NUMBER = pa.string(), pa.float64()
_LIMITS = ("lower", "upper")
_UNNAMED = "unnamed"  # whether the study has no such estimand: its truth is null, not NaN
Piece: TypeAlias = tuple[str, tuple[str, ...], Mapping[str, NDArray[Any]]]
"""All the rows of a block of one method: its name, estimand and interval, numbers by column."""
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
    limits = [("interval", _TEXT), *((kind, _NUMBER) for kind in _LIMITS)]
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
                writers.write(_fits_and_timings(block, schemas))
                for name, pieces in (("estimates", _estimates), ("intervals", _intervals)):
                    if found := list(pieces(block, rows)):
                        writers.write({name: _long_table(block, found, schemas[name])})


def _fits_and_timings(block: Block, schemas: Mapping[str, pa.Schema]) -> dict[str, pa.Table]:
    """Return the rows of the fits of a block, and those of their seconds."""
    kinds = {of.name: of.type for of in schemas["fits"] if of.name not in BESIDE_DIAGNOSTICS}
    fits = []
    for method, rows in block.tables.items():
        columns = columns_of(rows)
        ending = {"status": rows["status"].cast(_TEXT), "message": rows["message"]}
        own = {
            name: parts.cast(column_of(columns, "diagnostic", name), kind)
            for name, kind in kinds.items()
        }
        name = pa.repeat(pa.scalar(method, _TEXT), rows.num_rows)
        key = {"replicate": rows["replicate"], "method": name}
        fits.append(pa.table({**key, **ending, WARNED: rows[WARNED], **own}))
    keys, order = _sorted_keys(block, list(block.tables))
    seconds = joined([rows["seconds"].to_numpy() for rows in block.tables.values()])[order]
    table = (
        pa.concat_tables(fits).take(pa.array(order)).add_column(0, "condition", keys["condition"])
    )
    timings = {**keys, "method": table["method"], "seconds": seconds}
    made = {"fits": table, "timings": pa.table(timings)}
    return {name: of.select(schemas[name].names).cast(schemas[name]) for name, of in made.items()}


def _estimates(block: Block, of: StudyRows) -> Iterator[Piece]:
    """Yield the estimates of each estimand by each method."""
    first, truths = block.conditions[0], [of.truths[each] for each in block.conditions]
    for method, rows in block.tables.items():
        columns = columns_of(rows)
        for estimand in sorted({estimand for estimand, _ in of.keys[first][method]}):
            if estimand in of.own_truths[first]:
                truth = array_of(columns, TRUTH, estimand, "")
                unnamed = np.isnan(truth)
            else:
                known = [own.get(estimand) for own in truths]
                truth = np.repeat(np.array(known, float), block.counts[method])
                unnamed = np.repeat([value is None for value in known], block.counts[method])
            numbers = {
                "truth": truth,
                _UNNAMED: unnamed,
                "estimate": array_of(columns, "estimate", estimand, ""),
                "std_error": array_of(columns, "std_error", estimand, ""),
                TEST: array_of(columns, TEST, estimand, TEST),
            }
            yield method, (estimand,), numbers


def _intervals(block: Block, of: StudyRows) -> Iterator[Piece]:
    """Yield the limits of each interval of each estimand by each method."""
    for method, rows in block.tables.items():
        columns = columns_of(rows)
        for key in of.keys[block.conditions[0]][method]:
            if key[1] not in ("", TEST):
                yield method, key, {kind: array_of(columns, kind, *key) for kind in _LIMITS}


def _long_table(block: Block, pieces: Sequence[Piece], schema: pa.Schema) -> pa.Table:
    """Join pieces that come in the order of the key's last columns; sort by the first ones."""
    methods, texts, numbers = zip(*pieces, strict=True)
    columns, order = _sorted_keys(block, methods)
    counts = [block.tables[method].num_rows for method in methods]
    piece = pa.array(np.repeat(np.arange(len(pieces)), counts)[order])
    for name, words in zip(("estimand", "interval"), zip(*texts, strict=True), strict=False):
        columns[name] = pa.array(words, _TEXT).take(piece)
    columns["method"] = pa.array(methods, _TEXT).take(piece)
    for name in schema.names:
        if name not in columns:
            values = joined([of[name] for of in numbers])
            is_truth = name == "truth"
            missing = joined([of[_UNNAMED] for of in numbers]) if is_truth else np.isnan(values)
            columns[name] = pa.array(values[order], _NUMBER, mask=missing[order])
    return pa.table(columns).select(schema.names)


def _sorted_keys(block: Block, methods: Sequence[str]) -> tuple[dict[str, Any], NDArray[np.intp]]:
    """Return condition and replicate of the rows of some methods, and the order that sorts them."""
    places = np.arange(len(block.conditions))
    place = joined([np.repeat(places, block.counts[method]) for method in methods])
    replicate = joined([block.tables[method]["replicate"].to_numpy() for method in methods])
    order = np.lexsort((replicate, place))
    conditions = pa.array([condition.key for condition in block.conditions], _TEXT)
    keys = {"condition": conditions.take(pa.array(place[order])), "replicate": replicate[order]}
    return keys, order


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
