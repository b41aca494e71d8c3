"""Parts that something else has made: noticed, and kept, discarded or refused as told."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mcstudy.errors import ChangedError
from mcstudy.storage.accepted import Counting, kept_as, known_as
from mcstudy.storage.parts import PartHead
from mcstudy.storage.provenance import Mark, changes


@dataclass
class _Changes:
    """What parts have not in common with the study as it is.

    Parameters
    ----------
    said : dict of str
        In words, in order, each once.
    of_sums : dict of str
        The same of the numbers that sums are about.
    seeds : set of str
        The seeds that are not the study's.
    foreign : set of str
        What the rows to decide on are known as.
    kept : set of str
        The same, beside what they are kept for.
    """

    said: dict[str, None]
    of_sums: dict[str, None] = field(default_factory=dict)
    seeds: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)


class Decisions:
    """What was decided on rows that something else has made.

    Parameters
    ----------
    counting : Counting
        Which rows count; what is decided to be kept joins them.
    seed : int
        The study's.
    discarded : set of str
        What the rows are known as that were discarded before.
    """

    def __init__(self, counting: Counting, seed: int, discarded: set[str]) -> None:
        self.counting = counting
        self.discarded = discarded
        self._seed = seed

    def settle(
        self,
        folder: Path,
        heads: Iterable[PartHead],
        changed: str | None,
        *,
        wanted: Collection[str],
        truths: Iterable[str] = (),
    ) -> None:
        """Notice what has changed since the parts of a folder were made; decide as told, or stop.

        Parameters
        ----------
        folder : Path
            Begins the messages.
        heads : iterable of PartHead
            Its parts.
        changed : {"keep", "discard"}, optional
            As in `run`.
        wanted : collection of str
            The methods whose rows may be discarded.
        truths : iterable of str
            In words, what else has changed.

        Raises
        ------
        ChangedError
            Where something has changed and it is not told, or not possible, what to do.
        """
        found = _Changes(dict.fromkeys(truths))
        for head in heads:
            self._check_kept(folder, head)
            found.of_sums |= dict.fromkeys(self.counting.other_references(head))
            for method, mark in head.marks.items():
                self._look_at(method, mark, found, changed, wanted)
        self._refuse(folder, found, changed)
        if changed == "keep":
            self.counting.kept.update(found.kept)
        if changed == "discard":
            gone = {key for key in self.counting.kept if key.partition(":")[0] in found.foreign}
            self.counting.kept.difference_update(gone)
            self.discarded |= found.foreign

    def is_discarded(self, head: PartHead, wanted: Collection[str]) -> bool:
        """Return whether no row of a part is of use any more."""
        if self.counting.other_references(head) and set(head.marks) <= set(wanted):
            return True
        return all(
            known_as(method, mark) in self.discarded and not self.counting.counts(method, mark)
            for method, mark in head.marks.items()
        )

    def _check_kept(self, folder: Path, head: PartHead) -> None:
        """Raise unless the part keeps of its replicates what the study keeps."""
        keep = self.counting.keep
        if head.keep != keep:
            raise ChangedError(
                f"{folder}: keeps {head.keep} and this study has keep={keep!r}; the two "
                "cannot be joined: give it another name, or another folder"
            )

    def _look_at(
        self,
        method: str,
        mark: Mark,
        found: _Changes,
        changed: str | None,
        wanted: Collection[str],
    ) -> None:
        """Add what the rows of a method with this mark have not in common with the study's own."""
        differences = self._differences(method, mark, anew=changed == "discard")
        if differences and known_as(method, mark) not in self.discarded:
            found.seeds |= {mark["seed"]} - {str(self._seed)}
            found.said |= dict.fromkeys(differences)
            if changed == "keep" or method in wanted or method not in self.counting.marks:
                found.foreign.add(known_as(method, mark))
                found.kept.add(kept_as(method, mark, self._now(method, mark)))

    def _differences(self, method: str, mark: Mark, *, anew: bool) -> list[str]:
        """Say in words what rows with this mark have not in common with the study's own.

        Those of a method that the study no longer has must only be of its data. Rows that were
        kept count as its own, unless the question is put `anew`.
        """
        now = self._now(method, mark)
        kept = kept_as(method, mark, now) in self.counting.kept
        if mark == now or (kept and not anew):
            return []
        of = f"of method '{method}'"
        return [change.replace("of method", of) for change in changes(mark, now)]

    def _now(self, method: str, mark: Mark) -> Mark:
        """Return what rows of a method with this mark would be marked with now."""
        now = self.counting.marks.get(method)
        if now is None:
            any_mark = next(iter(self.counting.marks.values()))
            now = {**mark, **{name: any_mark[name] for name in ("seed", "simulate")}}
        return now

    def _refuse(self, folder: Path, found: _Changes, changed: str | None) -> None:
        """Raise where what has changed cannot stand as it is told."""
        if found.seeds and changed != "discard":
            raise ChangedError(
                f"{folder}: holds rows of seed {', '.join(sorted(found.seeds))} and this "
                f"study has seed {self._seed}; give it another name, or --changed discard "
                '(changed="discard") to compute them anew'
            )
        said = found.said | found.of_sums
        if said and changed is None:
            raise ChangedError(
                f"{folder}: changed since its rows were made: {'; '.join(said)}. "
                'Nothing was done: --changed keep (changed="keep") goes on with those rows, '
                "--changed discard computes them anew, --changed verify keeps them if a sample of "
                "the fits comes out equal"
            )
        if changed == "keep" and found.of_sums:
            raise ChangedError(
                f"{folder}: its sums are about other numbers: {'; '.join(found.of_sums)}; "
                '--changed discard (changed="discard") computes them anew'
            )
