"""Stored fits that are to be tried again: taken out of the parts, each method by itself."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import pyarrow as pa

from mcstudy.arguments import as_texts, suggestion
from mcstudy.errors import StudyError
from mcstudy.method import Status
from mcstudy.storage import parts
from mcstudy.storage.parts import Part
from mcstudy.storage.rows import estimands_of, judged
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


def reopen(
    study_record: StudyRecord, statuses: Collection[str], methods: Collection[str], replicates: int
) -> int:
    """Take the fits with one of these statuses out of the parts that hold them.

    They are of the first `replicates`, or of those that the tables rest on: the ones that a run
    computes again. To take others out would be to lose failures.
    What else a part holds is on disk, whole, before the part is removed; after a kill in between
    its rows are there twice and count once. Only rows that count as the study's are looked at, in
    a folder that is held by this run alone. Where sums are kept in place of rows, StudyError.

    Returns
    -------
    int
        How many fits miss now.
    """
    if study_record.study.keep != "rows":
        folder = study_record.store.folder
        raise StudyError(f"{folder}: keeps no rows, so none of its fits can be retried")
    store, wanted, taken = study_record.store, sorted(statuses), 0
    extent = study_record.extent
    for condition, stored in study_record.stored().items():
        for method in methods:
            first = max(replicates, extent.get(condition.key, {}).get(method, 0))
            types = {}
            for part in stored:
                if part.method == method:
                    with store.damaged_aside():
                        types[part] = part.types()
            estimands = estimands_of(types.values())
            for part in types:
                with store.damaged_aside():
                    taken += _reopen(study_record, part, wanted, estimands, first)
    return taken


def _reopen(
    study_record: StudyRecord,
    part: Part,
    statuses: Sequence[str],
    estimands: Sequence[str],
    first: int,
) -> int:
    """Take fits of the first replicates out of one part; return how many."""
    import pyarrow.compute as pc

    head, rows = parts.read_head(part.path), part.rows()
    status = judged(rows, estimands)["status"].cast(pa.string())
    wanted = pc.is_in(status, pa.array(statuses, pa.string()))
    gone = [n for n in rows["replicate"].filter(wanted).to_pylist() if n < first]
    if not gone:
        return 0
    study_record.outdate_tables()
    edges = [part.start - 1, *sorted(gone), part.stop]
    for before, after in itertools.pairwise(edges):
        if before + 1 < after:
            kept = rows.slice(before + 1 - part.start, after - before - 1)
            study_record.store.add(parts.new_part(kept, head.over(before + 1, after)), flush=True)
    study_record.store.discard([part])
    return len(gone)
