"""Many small parts to a few: joined ones are written whole before the old ones are removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from mcstudy.storage import parts
from mcstudy.storage.moment_tables import joined_moments
from mcstudy.storage.parts import Part
from mcstudy.storage.store import Store

# Small parts that follow each other are joined where there are so many. A part of a few rows is
# mostly footer: of ten fits by MixedLM, 9 of its 10 kB.
WORTHWHILE = 8
LARGE_BYTES = 2**21  # of a part that is left as it is: its footer, of some kB, no longer counts


def compact(store: Store, *, fewest: int = WORTHWHILE) -> None:
    """Join `fewest` or more small parts of one method and condition that follow each other.

    A joined part is on disk, whole, before the parts it holds are removed. After a kill in between
    both are there; their rows count once, and the next call removes the old ones. The store must
    be held by this run alone. DamagedError where a part is damaged; nothing of it was removed.
    """
    cells: dict[tuple[str, str, str], list[Part]] = {}
    for part in store.parts():
        cells.setdefault((part.method, part.fingerprint, part.condition), []).append(part)
    for cell in cells.values():
        if len(cell) > 1:
            left = _held_once(store, sorted(cell, key=lambda part: (part.start, -part.stop)))
            for run in _runs(left):
                if len(run) >= max(fewest, 2):
                    _join(store, run)


def _held_once(store: Store, cell: Sequence[Part]) -> list[Part]:
    """Remove the parts whose rows another part has; return the others, in order."""
    left = [cell[0]]
    held: dict[Part, list[Part]] = {}
    for part in cell[1:]:
        if part.stop > left[-1].stop:
            left.append(part)
        else:
            held.setdefault(left[-1], []).append(part)
    for holder, twice in held.items():
        holder.content()  # it must be whole, since it is to stand for them
        store.remove(twice)
    return left


def _runs(cell: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield small parts that follow each other and make a large one."""
    run: list[Part] = []
    size = 0
    for part in cell:
        own = part.path.stat().st_size
        if run and (part.start != run[-1].stop or size + own > LARGE_BYTES):
            yield run
            run, size = [], 0
        if own < LARGE_BYTES:
            run.append(part)
            size += own
    yield run


def _join(store: Store, run: Sequence[Part]) -> None:
    """Join the parts of a run; one with a diagnostic of another type begins anew."""
    group: list[tuple[Part, pa.Table]] = []
    types: dict[str, pa.DataType] = {}
    for part in run:
        rows = part.rows()
        own = _types(rows)
        if any(types.get(name, kind) != kind for name, kind in own.items()):
            _put_together(store, group)
            group, types = [], {}
        group.append((part, rows))
        types |= own
    _put_together(store, group)


def _put_together(store: Store, group: Sequence[tuple[Part, pa.Table]]) -> None:
    """Store the rows of several parts as one, and then remove them."""
    if len(group) > 1:
        old, tables = zip(*group, strict=True)
        head = parts.read_head(old[0].path)
        join = joined_moments if head.keep == "measures" else parts.concatenated
        store.add(parts.new_part(join(tables), head.over(old[0].start, old[-1].stop)), flush=True)
        store.remove(old)


def _types(table: pa.Table) -> dict[str, pa.DataType]:
    """Return the types of the diagnostics, whose choice is the method's; null goes with any."""
    return {
        field.name: field.type
        for field in table.schema
        if parts.column_key(field.name)[0] == "diagnostic" and field.type != pa.null()
    }
