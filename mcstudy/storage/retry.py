"""Stored fits that are to be tried again: taken out of the parts, each method by itself."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Sequence

import pyarrow as pa

from mcstudy.arguments import as_texts, suggestion
from mcstudy.errors import StudyError
from mcstudy.method import Status
from mcstudy.storage import parts
from mcstudy.storage.parts import Part
from mcstudy.storage.rows import estimands_of, judged
from mcstudy.storage.store import Store
from mcstudy.storage.study_record import StudyRecord

RETRIED = tuple(status for status in Status if status is not Status.OK)


def check_retried(statuses: Sequence[str]) -> None:
    """Raise StudyError where a status is not one of those that another try may change."""
    for status in as_texts(statuses, "retry"):
        if status not in RETRIED:
            raise StudyError(
                f"retry is {status!r}{suggestion(status, RETRIED)}; fits "
                "that can be tried again are "
                f"those with status {', '.join(RETRIED[:-1])} or {RETRIED[-1]}"
            )


def reopen(study_record: StudyRecord, statuses: Collection[str], methods: Collection[str]) -> int:
    """Take the fits with one of these statuses out of the parts that hold them.

    Which cells these are is written down first, so that a run completes them. What else a part
    holds is on disk, whole, before the part is removed; after a kill in between its rows are there
    twice and count once. Only rows that count as the study's are looked at, in a folder that is
    held by this run alone. Where sums are kept in place of rows, StudyError.

    Returns
    -------
    int
        How many fits miss now.
    """
    store = study_record.store
    if study_record.study.keep != "rows":
        raise StudyError(f"{store.folder}: keeps no rows, so none of its fits can be retried")
    found: dict[Part, list[int]] = {}
    stops: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for condition, stored in study_record.stored().items():
        for method in methods:
            types = {}
            for part in stored:
                if part.method == method:
                    with store.damaged_aside():
                        types[part] = part.types()
            estimands = estimands_of(types.values())
            for part in types:
                with store.damaged_aside():
                    if replicates := _ended_so(part, sorted(statuses), estimands):
                        found[part] = replicates
                        last = stops[condition.key].get(method, 0)
                        stops[condition.key][method] = max(last, replicates[-1] + 1)
    if found:
        study_record.note_retried(stops)
    for part, replicates in found.items():
        with store.damaged_aside():
            _take_out(store, part, replicates)
    return sum(map(len, found.values()))


def _ended_so(part: Part, statuses: Sequence[str], estimands: Sequence[str]) -> list[int]:
    """Return the replicates of a part whose fits have one of the statuses, in order."""
    import pyarrow.compute as pc

    rows = part.rows()
    status = judged(rows, estimands)["status"].cast(pa.string())
    wanted = pc.is_in(status, pa.array(statuses, pa.string()))
    return sorted(rows["replicate"].filter(wanted).to_pylist())


def _take_out(store: Store, part: Part, replicates: Sequence[int]) -> None:
    """Leave some replicates out of a part: what is before, between and behind them stays."""
    head, rows = parts.read_head(part.path), part.rows()
    edges = [part.start - 1, *replicates, part.stop]
    for before, after in itertools.pairwise(edges):
        if before + 1 < after:
            kept = rows.slice(before + 1 - part.start, after - before - 1)
            store.add(parts.new_part(kept, head.over(before + 1, after)), flush=True)
    store.discard([part])
