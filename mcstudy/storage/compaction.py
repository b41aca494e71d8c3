"""Many small parts to a few: joined ones are written whole before the old ones are removed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence

import pyarrow as pa

from mcstudy.storage import parts
from mcstudy.storage.parts import PartHead
from mcstudy.storage.store import Store
from mcstudy.storage.sum_parts import joined_sums

MANY_PARTS = 1000
WORTHWHILE = 8
LARGE_BYTES = 2**23


def compact(store: Store) -> None:
    """Join small parts that follow each other, where a folder holds many.

    A joined part is on disk, whole, before the parts it holds are removed. After a kill in between
    both are there; their rows count once, and the next call removes the old ones.

    Parameters
    ----------
    store : Store
        Held by this run alone.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged; nothing of it was removed.
    """
    groups = _groups(store.heads())
    for group in groups:
        for holder, held in _held_twice(group):
            parts.read(holder.path)
            store.remove(held)
    if len(store.heads()) > MANY_PARTS:
        for group in groups:
            for run in _runs(group):
                _join(store, run)


def _groups(heads: Sequence[PartHead]) -> list[list[PartHead]]:
    """Return the parts of the same condition, methods and marks, in the order of replicates."""
    groups: dict[tuple[str, str], list[PartHead]] = {}
    for head in heads:
        key = (head.condition, json.dumps([head.marks, head.references], sort_keys=True))
        groups.setdefault(key, []).append(head)
    return [sorted(group, key=lambda head: (head.start, -head.stop)) for group in groups.values()]


def _held_twice(group: Sequence[PartHead]) -> list[tuple[PartHead, list[PartHead]]]:
    """Return each part that holds all of others, with those."""
    found: list[tuple[PartHead, list[PartHead]]] = []
    holder = group[0]
    for head in group[1:]:
        if head.stop > holder.stop:
            holder = head
        elif found and found[-1][0] is holder:
            found[-1][1].append(head)
        else:
            found.append((holder, [head]))
    return found


def _runs(group: Sequence[PartHead]) -> Iterator[list[PartHead]]:
    """Yield small parts that follow each other and make a large one."""
    run: list[PartHead] = []
    size = 0
    for head in group:
        if not head.path.exists():
            continue
        own = head.path.stat().st_size
        if run and (head.start != run[-1].stop or size + own > LARGE_BYTES):
            yield run
            run, size = [], 0
        if own < LARGE_BYTES:
            run.append(head)
            size += own
    yield run


def _join(store: Store, run: Sequence[PartHead]) -> None:
    """Join the parts of a run; one whose columns are of other types begins anew."""
    if len(run) < WORTHWHILE:
        return
    read = [(head, parts.read(head.path)) for head in run]
    for _, alike in itertools.groupby(read, key=lambda item: _types(item[1])):
        heads, tables = zip(*alike, strict=True)
        if len(heads) > 1:
            join = parts.joined if heads[0].keep == "rows" else joined_sums
            content = join(heads, tables)
            if not heads[0].path.with_name(parts.name_of(content)).exists():
                store.add(content)
                store.remove(heads)


def _types(table: pa.Table) -> frozenset[tuple[str, str]]:
    """Return the types of the diagnostics, the only columns whose type is the method's choice."""
    return frozenset(
        (field.name, str(field.type))
        for field in table.schema
        if (key := parts.column_key(field.name))
        and key[0] == "diagnostic"
        and field.type != pa.null()
    )
