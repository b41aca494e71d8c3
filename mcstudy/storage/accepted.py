"""Parts to the rows in them that count: made by what the study is now, or older ones it kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mcstudy.grid import Condition
from mcstudy.storage.facts import digest
from mcstudy.storage.parts import PartHead
from mcstudy.storage.provenance import Mark
from mcstudy.storage.rows import Stored
from mcstudy.storage.sum_parts import references


@dataclass(frozen=True)
class Counting:
    """Which stored rows count as those of a study.

    Parameters
    ----------
    keep : {"rows", "measures"}
        What the study keeps of its replicates.
    marks : mapping of str to dict
        What the rows of each method are marked with now.
    kept : set of str
        What the older rows are known as that count all the same, each beside the code and packages
        for which this was decided (`kept_as`): another change is another decision.
    truths : mapping of Condition to mapping of str to float
        The true value of each estimand.
    null : float or mapping of str to float, optional
        The null value, or that of each estimand.
    level : float or None
        Of the intervals that are formed.
    """

    keep: str
    marks: Mapping[str, Mark]
    kept: set[str]
    truths: Mapping[Condition, Mapping[str, float]]
    null: float | Mapping[str, float] | None
    level: float | None

    def stored(self, heads: Iterable[PartHead]) -> dict[Condition, list[Stored]]:
        """Return the rows that count, by condition.

        Of a replicate that several parts hold the first one counts: rows of the study as it is
        come before older ones that were kept.
        """
        present: dict[Condition, list[Stored]] = {condition: [] for condition in self.truths}
        kept: dict[Condition, list[Stored]] = {condition: [] for condition in self.truths}
        by_key = {condition.key: condition for condition in self.truths}
        for head in heads:
            methods = self.methods_of(head)
            now = tuple(m for m in methods if head.marks[m] == self.marks[m])
            older = tuple(m for m in methods if m not in now)
            for some, held in ((now, present), (older, kept)):
                if some:
                    held[by_key[head.condition]].append(Stored(head, some))
        return {condition: [*items, *kept[condition]] for condition, items in present.items()}

    def methods_of(self, head: PartHead) -> tuple[str, ...]:
        """Return the methods whose rows in a part count."""
        if head.condition not in self._references or self.other_references(head):
            return ()
        return tuple(m for m in head.methods if self.counts(m, head.marks[m]))

    def counts(self, method: str, mark: Mark) -> bool:
        """Return whether rows with this mark count."""
        return mark == self.marks.get(method) or (
            method in self.marks and kept_as(method, mark, self.marks[method]) in self.kept
        )

    def other_references(self, head: PartHead) -> list[str]:
        """Return in words the first truth or null value that a part's sums were not made with."""
        now = self._references.get(head.condition)
        if head.references is None or now is None:
            return []
        for name, before in head.references.items():
            if before != now.get(name):
                return [f"{name} at {head.condition} {before} -> {now.get(name)}"]
        return []

    @cached_property
    def _references(self) -> dict[str, dict[str, float | None]]:
        """What sums are made about, by condition."""
        return {
            condition.key: references(truths, self.null, self.level)
            for condition, truths in self.truths.items()
        }


def replicates_in(
    ranges: Iterable[tuple[int, int]], start: int = 0, stop: int | None = None
) -> int:
    """Return how many of the replicates from `start` to `stop` are in one of the ranges."""
    count = 0
    for first, end in sorted(ranges):
        first, end = max(first, start), end if stop is None else min(end, stop)
        if end > first:
            count += end - first
            start = end
    return count


def ranges_of(items: Iterable[Stored], method: str) -> list[tuple[int, int]]:
    """Return the replicates of a method that each of these parts holds."""
    return [(item.head.start, item.head.stop) for item in items if method in item.methods]


def known_as(method: str, mark: Mark) -> str:
    """Return what stands in the record for the rows of a method with this mark."""
    return digest([method, mark])


def kept_as(method: str, mark: Mark, now: Mark) -> str:
    """Return what stands in the record for the decision to keep such rows beside new ones."""
    return f"{known_as(method, mark)}:{digest(now)}"
