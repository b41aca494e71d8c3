"""The fits of a folder that failed or warned: read from its parts, grouped by how they ended."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mcstudy.arguments import counted
from mcstudy.columns import ENDING, WARNED
from mcstudy.grid import Condition
from mcstudy.method import SOUND
from mcstudy.simulation.call import message_kind
from mcstudy.storage.folder import RecordedStudy
from mcstudy.storage.manifest import Stored
from mcstudy.storage.parts import DamagedError, Part
from mcstudy.storage.sum_parts import summaries

NOWHERE = -1
"""The replicate of failures whose address was not kept."""
_OF_PART = ["replicate", *ENDING]
_ALL = ["condition", "count", "replicate", "method", *ENDING]
_TOO_MANY = "(of kinds too many to be kept)"
_Line: TypeAlias = tuple[str, int, int, str, str, str, bool]
MOST_NUMBERS = 5  # of the replicates of a place: those to replay; the frames have all
TRIES = 3  # a run may join parts while one looks, but not three times within a look


class Place(NamedTuple):
    """Where failures of one kind are: a condition, the methods that share these replicates.

    `replicates` are those known by their numbers, `fits` counts all of one method.
    """

    condition: str
    methods: tuple[str, ...]
    replicates: tuple[int, ...]
    fits: int

    def in_words(self) -> str:
        """Return the first replicates of the place, and how many more there are."""
        if not self.replicates:
            return counted(self.fits, "fit")
        known = self.replicates[:MOST_NUMBERS]
        more = f" and {self.fits - len(known)} more" if self.fits > len(known) else ""
        return f"replicate{'s' * (self.fits != 1)} {', '.join(map(str, known))}{more}"


def troubled_fits(recorded: RecordedStudy) -> tuple[pd.DataFrame, Stored, int]:
    """Return a row for each fit that failed or warned, what is stored, how many parts are damaged.

    A row has condition, replicate, method, status, message, `warned`, `failed` (ended neither ok
    nor at a boundary), and `count`: 1, or more for sums, which keep the first addresses only. What
    is stored is that of the same moment, without the damaged parts.
    """
    for _ in range(TRIES):
        stored = recorded.stored()
        found, lost = _read_all(stored)
        if all(os.path.lexists(part.path) for part in lost):
            break
        # A run at work has joined parts meanwhile: look again.
    stored = {c: [part for part in parts if part not in lost] for c, parts in stored.items()}
    troubled = pd.DataFrame(found, columns=_ALL)
    troubled["warned"] = troubled["warned"].astype(bool)
    troubled["failed"] = ~troubled["status"].isin(SOUND)
    return troubled, stored, sum(os.path.lexists(part.path) for part in lost)


def kinds_of(failed: pd.DataFrame) -> pd.DataFrame:
    """Return fits by status and the shape of their messages, most frequent first."""
    shapes = {text: message_kind(text) for text in failed["message"].unique()}
    failed = failed.assign(shape=failed["message"].map(shapes))
    lines = []
    for (word, _), rows in failed.groupby(["status", "shape"], sort=False):
        first = rows.iloc[0]
        texts = rows["message"].unique()
        message = first["shape" if len(texts) > 1 else "message"]
        count, address = int(rows["count"].sum()), first[["condition", "replicate", "method"]]
        lines.append((word, message, count, *address, places_of(rows)))
    head = ["status", "message", "count", "condition", "replicate", "method", "places"]
    kinds = pd.DataFrame(lines, columns=head)
    return kinds.sort_values("count", ascending=False, kind="stable", ignore_index=True)


def places_of(rows: pd.DataFrame) -> tuple[Place, ...]:
    """Return the places of some failures, by condition; one for methods that failed on the same."""
    methods: dict[tuple[str, tuple[int, ...], int], list[str]] = {}
    for (condition, method), some in rows.groupby(["condition", "method"], sort=False):
        known = tuple(sorted(int(n) for n in some["replicate"] if n != NOWHERE))
        where = (str(condition), known, int(some["count"].sum()))
        methods.setdefault(where, []).append(str(method))
    return tuple(
        Place(where[0], tuple(sorted(names)), *where[1:]) for where, names in methods.items()
    )


def _read_all(stored: Stored) -> tuple[list[_Line], list[Part]]:
    """Return the troubled fits of each part, and the parts that could not be read."""
    found: list[_Line] = []
    lost: list[Part] = []
    for condition, own in stored.items():
        held: dict[str, list[tuple[int, int]]] = {}
        sums: list[tuple[Part, pa.Table]] = []
        for part in own:
            try:
                head = part.head()
                if head.keep == "measures":
                    sums.append((part, part.rows()))  # of moments, which are counted together
                    continue
                rows = part.rows(_OF_PART) if head.troubled != 0 else None
            except DamagedError:
                lost.append(part)
                continue
            before = held.setdefault(part.method, [])
            if rows is not None:
                found += _of_rows(condition, part, rows, before)
            before.append((part.start, part.stop))
        if sums:
            found += _of_sums(condition, sums)
    return found, lost


def _of_rows(
    condition: Condition, part: Part, rows: pa.Table, held: Sequence[tuple[int, int]]
) -> Iterator[_Line]:
    """Yield a line for each fit, but for those that a part before holds: the first one counts."""
    good = pc.is_in(rows["status"].cast(pa.string()), value_set=pa.array(map(str, SOUND)))
    bad = pc.or_(pc.invert(good), rows[WARNED])
    for row in rows.select(_OF_PART).filter(bad).to_pylist():
        replicate = row["replicate"]
        if not any(start <= replicate < stop for start, stop in held):
            address = (condition.key, 1, replicate, part.method)
            yield (*address, row["status"], row["message"] or "", row[WARNED])


def _of_sums(condition: Condition, sums: Sequence[tuple[Part, pa.Table]]) -> Iterator[_Line]:
    """Yield a line for each address that was kept, the first of its kind with the count of all."""
    for method, kept in summaries(sums).items():
        for outcome, fits in sorted(kept.outcomes.items(), key=lambda item: item[0].kind is None):
            if outcome.status in SOUND and not outcome.warned:
                continue
            addresses = kept.addresses.get(outcome) or [(NOWHERE, _TOO_MANY)]
            for i, (replicate, text) in enumerate(addresses):
                count = 1 if i else fits - len(addresses) + 1
                address = (condition.key, count, replicate, method)
                yield (*address, outcome.status, text, outcome.warned)
