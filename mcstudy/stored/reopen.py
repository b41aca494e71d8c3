"""Stored fits that are to be tried again: their replicates are taken out of the parts."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mcstudy.errors import StudyError
from mcstudy.method import Status
from mcstudy.spoken import either
from mcstudy.stored import parts
from mcstudy.stored.parts import DamagedError, PartHead
from mcstudy.stored.store import Store

RETRIED = (Status.TIMEOUT, Status.CRASHED)


def check_retried(statuses: Sequence[str]) -> None:
    """Raise StudyError where a status is not one of those that another try may change."""
    for status in statuses:
        if status not in RETRIED:
            raise StudyError(
                f"{either('--retry', 'retry')} is {status!r}; fits that can be tried again are "
                f"those with status {' or '.join(RETRIED)}"
            )


def reopen(store: Store, statuses: Collection[str]) -> int:
    """Take the replicates out of the parts that hold a fit with one of these statuses.

    What else a part holds is on disk, whole, before the part is removed; after a kill in between
    its rows are there twice and count once.

    Parameters
    ----------
    store : Store
        Held by this run alone.
    statuses : collection of str
        Of the fits that are to miss afterwards, with all other fits of the same replicates.

    Returns
    -------
    int
        How many replicates miss now.

    Raises
    ------
    StudyError
        Where sums are kept in place of rows.
    """
    wanted, taken = sorted(statuses), 0
    for head in store.heads():
        if head.keep != "rows":
            raise StudyError(f"{store.folder}: keeps no rows, so none of its fits can be retried")
        try:
            rows = parts.read(head.path)
        except DamagedError:
            store.set_aside(head.path)
            continue
        chosen = pc.is_in(rows["status"].cast(pa.string()), pa.array(wanted, pa.string()))
        gone = sorted(set(rows["replicate"].filter(chosen).to_pylist()))
        if not gone:
            continue
        for start, stop in _between(head, gone):
            store.add(parts.piece(head, rows, start, stop))
        store.discard([head])
        taken += len(gone)
    return taken


def _between(head: PartHead, gone: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of replicates that stay."""
    edges = [head.start - 1, *gone, head.stop]
    for before, after in itertools.pairwise(edges):
        if before + 1 < after:
            yield before + 1, after
