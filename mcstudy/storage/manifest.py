"""Which stored parts count: those of the study as it is, and older ones that it kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mcstudy.grid import Condition
from mcstudy.storage.parts import Head, Part, condition_id, digest, fingerprint_of
from mcstudy.storage.provenance import Mark
from mcstudy.storage.store import Store
from mcstudy.storage.sum_parts import references

Stored = Mapping[Condition, Sequence[Part]]
"""The parts that count, by condition: of a replicate that two hold the first one counts."""


@dataclass(frozen=True)
class Manifest:
    """What is stored of a study, and what of it counts.

    Parameters
    ----------
    marks : mapping of str to dict
        What the rows of each method are marked with now.
    kept : set of str
        The fingerprints of older rows that count all the same, each beside the code and packages
        for which this was decided (`kept_as`): another change is another decision.
    level : float or None
        Of the intervals that are formed.
    discarded : set of str
        The fingerprints of rows that were discarded.
    alpha : float, optional
        The level of tests, where the study sets it.
    """

    store: Store
    keep: str
    marks: Mapping[str, Mark]
    kept: set[str]
    truths: Mapping[Condition, Mapping[str, float]]
    null: float | Mapping[str, float] | None
    level: float | None
    discarded: set[str] = field(default_factory=set)
    alpha: float | Sequence[float] | None = None

    def stored(self) -> dict[Condition, list[Part]]:
        """Return the parts that count, by condition.

        Of a replicate that several parts hold the first one counts: rows of the study as it is
        come before older ones that were kept.
        """
        by_id: dict[str, list[Part]] = {}
        for part in self.store.parts():
            by_id.setdefault(part.condition, []).append(part)
        return {c: self._in_order(by_id.get(self._ids[c], ())) for c in self.truths}

    def stored_of(self, condition: Condition) -> list[Part]:
        """Return the parts of a condition that count."""
        return self._in_order(self.store.parts(self._ids[condition]))

    def _in_order(self, parts: Iterable[Part]) -> list[Part]:
        present, older = [], []
        for part in parts:
            if self.is_present(part):
                present.append(part)
            elif self.counts_made(part):
                older.append(part)
        return [*present, *older]

    def counts(self, part: Part) -> bool:
        """Return whether a part counts."""
        return part.condition in self.conditions and self.counts_made(part)

    def counts_made(self, part: Part) -> bool:
        """Return whether rows with the provenance of a part count."""
        if part.method not in self.marks:
            return False
        if self.is_present(part):
            return True
        return bool(self.kept) and kept_as(part.fingerprint, self.marks[part.method]) in self.kept

    def is_present(self, part: Part) -> bool:
        """Return whether a part is made by the study as it is."""
        return self.present.get(part.method) == part.fingerprint

    def other_references(self, head: Head) -> list[str]:
        """Return in words the first truth or null value that a part's sums were not made with."""
        now = self._references.get(head.condition)
        if head.references is None or now is None:
            return []
        for name, before in head.references.items():
            if before != now.get(name):
                return [f"{name} at {head.condition} {before} -> {now.get(name)}"]
        return []

    @cached_property
    def present(self) -> dict[str, str]:
        """The fingerprint of each method now."""
        return {name: fingerprint_of(name, mark, self.keep) for name, mark in self.marks.items()}

    @cached_property
    def _references(self) -> dict[str, dict[str, float | None]]:
        """What sums are made about, by condition."""
        return {
            condition.key: references(truths, self.null, self.level, self.alpha)
            for condition, truths in self.truths.items()
        }

    @cached_property
    def _ids(self) -> dict[Condition, str]:
        if self.keep == "rows":
            return {condition: condition_id(condition.key) for condition in self.truths}
        about = self._references
        return {c: condition_id(c.key, about[c.key]) for c in self.truths}

    @cached_property
    def conditions(self) -> dict[str, Condition]:
        """The conditions of the study by the digits that stand for them in names of parts."""
        return {digits: condition for condition, digits in self._ids.items()}


def replicates_in(
    ranges: Iterable[tuple[int, int]], start: int = 0, stop: int | None = None
) -> int:
    """Return how many of the replicates from `start` to `stop` are in one of the ranges."""
    last = math.inf if stop is None else stop
    cut = ((max(first, start), min(end, last)) for first, end in merged_ranges(ranges))
    return sum(max(int(end - first), 0) for first, end in cut)


def missing_ranges(
    ranges: Iterable[tuple[int, int]], start: int, stop: int
) -> list[tuple[int, int]]:
    """Return the replicates from `start` to `stop` that are in none of the ranges, as ranges."""
    missing = []
    for first, end in [*merged_ranges(ranges), (stop, stop)]:
        if start < min(first, stop):
            missing.append((start, min(first, stop)))
        start = max(start, end)
    return missing


def merged_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same replicates as ranges that neither meet nor overlap, in order."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


def ranges_of(parts: Iterable[Part], method: str) -> list[tuple[int, int]]:
    """Return the replicates that each part of a method holds."""
    return [(part.start, part.stop) for part in parts if part.method == method]


def kept_as(fingerprint: str, now: Mark) -> str:
    """Return what stands in the record for the decision to keep older rows beside new ones."""
    return f"{fingerprint}:{digest(now)}"
