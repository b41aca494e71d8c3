"""Tallies to parts and back: the parts of a study with ``keep="measures"``."""

from __future__ import annotations

import bisect
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mcstudy.measure import null_of
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.replicates import Job
from mcstudy.storage import parts
from mcstudy.storage.parts import DamagedError, PartHead
from mcstudy.storage.provenance import Mark
from mcstudy.storage.rows import Stored
from mcstudy.storage.sums import Ending, Tally, merged, tally

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
    head = {
        "condition": job.condition.key,
        "start": job.start,
        "stop": job.stop,
        "marks": {name: marks[name] for name in sorted(answers)},
        "references": references(truths, null, level),
    }
    nulls = {estimand: null_of(null, estimand) for estimand in truths}
    tallies = {
        name: tally(answers[name], job.start, truths, nulls, level=level) for name in answers
    }
    return _part(head, tallies)


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


def read_tallies(path: Path) -> dict[str, Tally]:
    """Return the tally of each method in a part; raise DamagedError if it is damaged."""
    return _tallies(path, parts.read(path))


def tallies_of(content: bytes) -> dict[str, Tally]:
    """Return the tally of each method in a part that has just been made."""
    return _tallies(Path(), pq.read_table(io.BytesIO(content)))


def joined_sums(heads: Sequence[PartHead], tables: Sequence[pa.Table]) -> bytes:
    """Return the part that holds the sums of several, each after the other."""
    found = [_tallies(head.path, table) for head, table in zip(heads, tables, strict=True)]
    head = {
        "condition": heads[0].condition,
        "start": heads[0].start,
        "stop": heads[-1].stop,
        "marks": heads[0].marks,
        "references": heads[0].references,
    }
    methods = {name: merged(each[name] for each in found) for name in heads[0].methods}
    return _part(head, methods)


def _part(head: Mapping[str, Any], tallies: Mapping[str, Tally]) -> bytes:
    names = sorted(tallies)
    texts = [json.dumps(_plain(tallies[name]), ensure_ascii=False) for name in names]
    table = pa.table({"method": pa.array(names, pa.string()), "tally": pa.array(texts)})
    return parts.parquet(table, {**head, "columns": {name: [] for name in names}})


def _tallies(path: Path, table: pa.Table) -> dict[str, Tally]:
    try:
        rows = zip(table["method"].to_pylist(), table["tally"].to_pylist(), strict=True)
        return {name: _of_plain(json.loads(text)) for name, text in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(path, error) from error


def _plain(kept: Tally) -> dict[str, Any]:
    """Return a tally as JSON can say it; a sum is a hexadecimal number without its last zeros."""
    sums = [
        [*key, {name: _text(value) for name, value in own.items()}]
        for key, own in sorted(kept.sums.items())
    ]
    endings = [[*e, count, kept.addresses[e]] for e, count in sorted(kept.endings.items())]
    return {
        "replicates": kept.replicates,
        "seconds": kept.seconds,
        "statuses": dict(kept.statuses),
        "warned": kept.warned,
        "sums": sums,
        "endings": endings,
    }


def _of_plain(plain: Mapping[str, Any]) -> Tally:
    endings = [(Ending(*ending), count, at) for *ending, count, at in plain["endings"]]
    return Tally(
        replicates=plain["replicates"],
        seconds=plain["seconds"],
        statuses=plain["statuses"],
        warned=plain["warned"],
        sums={
            (estimand, interval): {name: _units(text) for name, text in own.items()}
            for estimand, interval, own in plain["sums"]
        },
        endings={ending: count for ending, count, _ in endings},
        addresses={ending: [(r, m) for r, m in at] for ending, _, at in endings},
    )


def _text(value: int) -> str:
    zeros = (value & -value).bit_length() - 1 if value else 0
    return f"{value >> zeros:x}p{zeros}"


def _units(text: str) -> int:
    digits, zeros = text.split("p")
    return int(digits, 16) << int(zeros)


def without_overlap(present: Sequence[Stored], kept: Sequence[Stored]) -> list[Stored]:
    """Return what counts each replicate of a method once: present code first, then longest first.

    Sums cannot be cut: a part that shares replicates with one that counts already does not count.
    """
    taken: dict[str, list[tuple[int, int]]] = {}
    counting = []
    for items in (present, kept):
        order = sorted(
            items, key=lambda i: (i.head.start - i.head.stop, i.head.start, i.head.path.name)
        )
        for item in order:
            own = (item.head.start, item.head.stop)
            free = tuple(m for m in item.methods if _is_free(taken.setdefault(m, []), own))
            for method in free:
                bisect.insort(taken[method], own)
            if free:
                counting.append(Stored(item.head, free))
    return counting


def _is_free(taken: Sequence[tuple[int, int]], own: tuple[int, int]) -> bool:
    """Return whether a range shares nothing with those that are taken, which are sorted."""
    place = bisect.bisect(taken, own)
    before = place == 0 or taken[place - 1][1] <= own[0]
    return before and (place == len(taken) or own[1] <= taken[place][0])
