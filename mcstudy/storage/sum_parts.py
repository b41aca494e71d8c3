"""Tallies to parts and back: the parts of a study with ``keep="measures"``."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mcstudy.measure import null_of
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.replicates import Job
from mcstudy.storage import parts
from mcstudy.storage.parts import DamagedError, Head, NewPart, Part
from mcstudy.storage.provenance import Mark
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
) -> dict[str, NewPart]:
    """Return the part of each method of a finished job, its sums alone."""
    about = references(truths, null, level)
    nulls = {estimand: null_of(null, estimand) for estimand in truths}
    made = {}
    for name in sorted(answers):
        kept = tally(answers[name], job.start, truths, nulls, level=level)
        head = Head(job.condition.key, name, job.start, job.stop, marks[name], about)
        made[name] = _part(head, kept)
    return made


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


def truths_of(heads: Sequence[Head]) -> dict[str, dict[str, float | None]]:
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


def nulls_of(heads: Sequence[Head]) -> dict[str, float]:
    """Return the null values that the sums of these parts are about, by estimand."""
    return {
        name.removeprefix(_NULL): value
        for head in heads
        for name, value in (head.references or {}).items()
        if name.startswith(_NULL) and value is not None
    }


def read_tally(path: Path) -> Tally:
    """Return the tally in a part; raise DamagedError if it is damaged."""
    return _tally(path, parts.read(path))


def tally_of(part: NewPart) -> Tally:
    """Return the tally in a part that has just been made."""
    return _tally(part.place, parts.rows_in(part))


def joined_sums(heads: Sequence[Head], tables: Sequence[pa.Table]) -> NewPart:
    """Return the part that holds the sums of several, each after the other."""
    whole = merged(_tally(head.place, table) for head, table in zip(heads, tables, strict=True))
    return _part(heads[0].over(heads[0].start, heads[-1].stop), whole)


def _part(head: Head, kept: Tally) -> NewPart:
    text = json.dumps(_plain(kept), ensure_ascii=False)
    return parts.new_part(pa.table({"tally": pa.array([text])}), head)


def _tally(path: Path, table: pa.Table) -> Tally:
    try:
        return _of_plain(json.loads(table["tally"][0].as_py()))
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


def without_overlap(present: Sequence[Part], kept: Sequence[Part]) -> list[Part]:
    """Return what counts each replicate of a method once: present code first, then longest first.

    Sums cannot be cut: a part that shares replicates with one that counts already does not count.
    """
    taken: dict[str, list[tuple[int, int]]] = {}
    counting = []
    for some in (present, kept):
        for part in sorted(some, key=lambda p: (p.start - p.stop, p.start, str(p.path))):
            own = part.start, part.stop
            known = taken.setdefault(part.method, [])
            if _is_free(known, own):
                bisect.insort(known, own)
                counting.append(part)
    return counting


def _is_free(taken: Sequence[tuple[int, int]], own: tuple[int, int]) -> bool:
    """Return whether a range shares nothing with those that are taken, which are sorted."""
    place = bisect.bisect(taken, own)
    before = place == 0 or taken[place - 1][1] <= own[0]
    return before and (place == len(taken) or own[1] <= taken[place][0])
