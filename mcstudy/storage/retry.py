"""Stored fits that are to be tried again: taken out of the parts, each method by itself."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa

from mcstudy.arguments import as_texts, suggestion
from mcstudy.errors import StudyError
from mcstudy.method import Status
from mcstudy.spoken import either
from mcstudy.storage import parts
from mcstudy.storage.parts import DamagedError, PartHead
from mcstudy.storage.rows import Stored, estimands_of, judged
from mcstudy.storage.study_record import Ledger

RETRIED = tuple(status for status in Status if status is not Status.OK)


def check_retried(statuses: Sequence[str]) -> None:
    """Raise StudyError where a status is not one of those that another try may change."""
    for status in as_texts(statuses, either("--retry", "retry")):
        if status not in RETRIED:
            raise StudyError(
                f"{either('--retry', 'retry')} is {status!r}{suggestion(status, RETRIED)}; fits "
                "that can be tried again are "
                f"those with status {', '.join(RETRIED[:-1])} or {RETRIED[-1]}"
            )


def reopen(ledger: Ledger, statuses: Collection[str], methods: Collection[str]) -> int:
    """Take the fits with one of these statuses out of the parts that hold them.

    What else a part holds is on disk, whole, before the part is removed; after a kill in between
    its rows are there twice and count once.

    Parameters
    ----------
    ledger : Ledger
        Of a folder that is held by this run alone. Only rows that count as the study's are looked
        at.
    statuses : collection of str
        Of the fits that are to miss afterwards, as the table `fits` has them.
    methods : collection of str
        Whose fits.

    Returns
    -------
    int
        How many fits miss now.

    Raises
    ------
    StudyError
        Where sums are kept in place of rows.
    """
    if ledger.study.keep != "rows":
        folder = ledger.store.folder
        raise StudyError(f"{folder}: keeps no rows, so none of its fits can be retried")
    wanted, taken = sorted(statuses), 0
    for items in ledger.stored().values():
        estimands = {method: estimands_of(items, method) for method in methods}
        for item in items:
            try:
                taken += _reopen(ledger, item, wanted, estimands)
            except DamagedError as error:
                ledger.store.set_aside(error.path)
    return taken


def _reopen(
    ledger: Ledger, item: Stored, statuses: Sequence[str], estimands: Mapping[str, Sequence[str]]
) -> int:
    """Take fits out of one part; return how many."""
    import pyarrow.compute as pc

    head, rows = item.head, parts.read(item.head.path)
    gone: dict[str, list[int]] = {}
    for method in sorted(set(item.methods) & estimands.keys()):
        own = judged(parts.rows_of(head, rows, method), estimands[method])
        chosen = pc.is_in(own["status"].cast(pa.string()), pa.array(statuses, pa.string()))
        if found := sorted(own["replicate"].filter(chosen).to_pylist()):
            gone[method] = found
    if not gone:
        return 0
    if whole := [method for method in head.methods if method not in gone]:
        ledger.store.add(parts.piece(head, rows, head.start, head.stop, whole))
    for method, replicates in gone.items():
        for start, stop in _between(head, replicates):
            ledger.store.add(parts.piece(head, rows, start, stop, [method]))
    ledger.store.discard([head])
    return sum(map(len, gone.values()))


def _between(head: PartHead, gone: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of replicates that stay."""
    edges = [head.start - 1, *gone, head.stop]
    for before, after in itertools.pairwise(edges):
        if before + 1 < after:
            yield before + 1, after
