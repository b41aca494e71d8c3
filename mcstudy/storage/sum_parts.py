"""Tables of moments to parts and back: the parts of a study with ``keep="measures"``."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcstudy.measure import null_of
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.replicates import Job
from mcstudy.storage import parts
from mcstudy.storage.facts import digest
from mcstudy.storage.moment_tables import Summary, joined_moments, moments_table, summary
from mcstudy.storage.parts import PartHead
from mcstudy.storage.provenance import Mark
from mcstudy.storage.rows import Stored

_TRUTH = "the truth of "
_NULL = "the null value of "
_LEVEL = "the level of the intervals that are formed"


def encode_sums(
    job: Job,
    answers: Mapping[str, Answers],
    marks: Mapping[str, Mark],
    truths: Mapping[str, float],
    null: float | Mapping[str, float] | None,
    level: float | None,
) -> bytes:
    """Return the part of a finished job, its sums alone, as the bytes of a Parquet file."""
    nulls = {estimand: null_of(null, estimand) for estimand in truths}
    tables = {
        name: moments_table(answers[name], job.start, truths, nulls, level=level)
        for name in answers
    }
    head = {
        "condition": job.condition.key,
        "start": job.start,
        "stop": job.stop,
        "marks": {name: marks[name] for name in sorted(answers)},
        "references": references(truths, null, level),
    }
    return _part(head, tables)


def references(
    truths: Mapping[str, float],
    null: float | Mapping[str, float] | None,
    level: float | None,
) -> dict[str, float | None]:
    """Return by name what sums are made about: truths, null values, the level of formed intervals.

    None is missing.
    """
    known = {f"{_TRUTH}{estimand}": value for estimand, value in truths.items()}
    known |= {f"{_NULL}{estimand}": null_of(null, estimand) for estimand in truths}
    known[_LEVEL] = math.nan if level is None else level
    return {name: value if value == value else None for name, value in sorted(known.items())}


def truths_of(heads: Sequence[PartHead]) -> dict[str, dict[str, float | None]]:
    """Return the true values that the sums of these parts are about, by condition and estimand."""
    return {
        head.condition: {
            name.removeprefix(_TRUTH): value
            for name, value in head.references.items()
            if name.startswith(_TRUTH)
        }
        for head in heads
        if head.references is not None
    }


def nulls_of(heads: Sequence[PartHead]) -> dict[str, float]:
    """Return the null values that the sums of these parts are about, by estimand."""
    return {
        name.removeprefix(_NULL): value
        for head in heads
        for name, value in (head.references or {}).items()
        if name.startswith(_NULL) and value is not None
    }


def read_summaries(stored: Sequence[Stored]) -> dict[str, Summary]:
    """Return what is known of each method in some parts of one condition, each replicate once.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged.
    """
    tables: dict[str, dict[str, list[pa.Table]]] = {}
    for item in stored:
        rows = parts.read(item.head.path)
        for method in item.methods:
            of_code = tables.setdefault(method, {}).setdefault(digest(item.head.marks[method]), [])
            of_code.append(_of_method(rows, method))
    return {
        method: summary([joined_moments(same) for same in own.values()])
        for method, own in tables.items()
    }


def summaries_of(content: bytes) -> dict[str, Summary]:
    """Return what is known of each method in a part that has just been made."""
    rows = pq.read_table(io.BytesIO(content))
    return {
        name: summary([_of_method(rows, name)]) for name in pc.unique(rows["method"]).to_pylist()
    }


def joined_sums(heads: Sequence[PartHead], tables: Sequence[pa.Table]) -> bytes:
    """Return the part that holds the sums of several, each after the other."""
    head = {
        "condition": heads[0].condition,
        "start": heads[0].start,
        "stop": heads[-1].stop,
        "marks": heads[0].marks,
        "references": heads[0].references,
    }
    own = {
        name: joined_moments([_of_method(table, name) for table in tables])
        for name in heads[0].methods
    }
    return _part(head, own)


def _part(head: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> bytes:
    named = [
        tables[name].add_column(0, "method", pa.repeat(name, tables[name].num_rows))
        for name in sorted(tables)
    ]
    return parts.parquet(
        pa.concat_tables(named), {**head, "columns": {name: [] for name in tables}}
    )


def _of_method(rows: pa.Table, method: str) -> pa.Table:
    return rows.filter(pc.equal(rows["method"], method)).drop_columns("method")
