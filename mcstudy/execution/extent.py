"""How many replicates the tables rest on: held against what is stored before they are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from mcstudy.execution.scheduler import covered
from mcstudy.storage.manifest import Stored

Extent: TypeAlias = dict[str, dict[str, int]]


def extent_of(stored: Stored) -> Extent:
    """Return the number of replicates by condition and method."""
    return {
        condition.key: {
            method: covered(parts, method, 0)[0]
            for method in sorted({part.method for part in parts})
        }
        for condition, parts in stored.items()
        if parts
    }


def lost(before: Extent, now: Extent) -> str:
    """Say in words what tables of `before` rest on and those of `now` would not, if anything."""
    cells = list(_lost(before, now))
    if not cells:
        return ""
    condition, method, had, has = cells[0]
    more = f", and {len(cells) - 1} more such cells" if len(cells) > 1 else ""
    return (
        f"the tables rest on {had} replicates of '{method}' at {condition}, and {has} of these are "
        f"stored{more}"
    )


def _lost(before: Extent, now: Extent) -> Iterator[tuple[str, str, int, int]]:
    for condition, methods in before.items():
        for method, had in methods.items():
            if (has := now.get(condition, {}).get(method, 0)) < had:
                yield condition, method, had, has
