"""Parts that something else has made: noticed, and kept, discarded or refused as told."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from mcstudy.errors import ChangedError
from mcstudy.storage.manifest import Manifest, kept_as
from mcstudy.storage.parts import Head, Part
from mcstudy.storage.provenance import Mark, changes
from mcstudy.storage.store import Store


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
        The fingerprints of the rows to decide on.
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
    manifest : Manifest
        Which rows count; what is decided to be kept joins them.
    seed : int
        The study's.
    discarded : set of str
        The fingerprints of the rows that were discarded before.
    """

    def __init__(self, manifest: Manifest, seed: int, discarded: set[str]) -> None:
        self.manifest = manifest
        self.discarded = discarded
        self._seed = seed

    def settle(
        self,
        store: Store,
        changed: str | None,
        *,
        wanted: Collection[str],
        truths: Iterable[str] = (),
    ) -> None:
        """Notice what has changed since the parts of a folder were made; decide as told, or stop.

        Parameters
        ----------
        store : Store
            The folder.
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
        # Rows of the code of now count, whatever was decided on it before: another change of it is
        # another question.
        self.discarded.difference_update(self.manifest.present.values())
        for part, head in self._others(store):
            self._check_kept(store, head)
            found.of_sums |= dict.fromkeys(self.manifest.other_references(head))
            self._look_at(part, head.provenance, found, changed, wanted)
        self._refuse(store, found, changed)
        if changed == "keep":
            self.manifest.kept.update(found.kept)
        if changed == "discard":
            gone = {key for key in self.manifest.kept if key.partition(":")[0] in found.foreign}
            self.manifest.kept.difference_update(gone)
            self.discarded |= found.foreign

    def is_discarded(self, store: Store, part: Part, wanted: Collection[str]) -> bool:
        """Return whether a part is of no use any more."""
        if self.manifest.counts_made(part):
            head = self._about_others(store, part) if part.method in wanted else None
            return head is not None and bool(self.manifest.other_references(head))
        return part.fingerprint in self.discarded

    def _others(self, store: Store) -> Iterable[tuple[Part, Head]]:
        """Yield a part of each provenance that is not the study's, and the parts of other sums."""
        seen = set()
        for part in store.parts():
            made = part.method, part.fingerprint
            if made not in seen and not self.manifest.is_present(part):
                seen.add(made)
                if head := store.head_like(part):
                    yield part, head
            if head := self._about_others(store, part):
                yield part, head

    def _about_others(self, store: Store, part: Part) -> Head | None:
        """Return the head of a part whose sums may be about other numbers than the study's."""
        if self.manifest.keep == "rows" or self.manifest.counts(part):
            return None
        return store.head(part)

    def _check_kept(self, store: Store, head: Head) -> None:
        """Raise unless the part keeps of its replicates what the study keeps."""
        keep = self.manifest.keep
        if head.keep != keep:
            raise ChangedError(
                f"{store.folder}: keeps {head.keep} and this study has keep={keep!r}; the two "
                "cannot be joined: give it another name, or another folder"
            )

    def _look_at(
        self,
        part: Part,
        mark: Mark,
        found: _Changes,
        changed: str | None,
        wanted: Collection[str],
    ) -> None:
        """Add what the rows of a part, with this mark, have not in common with the study's own."""
        method = part.method
        differences = self._differences(part, mark, anew=changed == "discard")
        if differences and part.fingerprint not in self.discarded:
            found.seeds |= {mark["seed"]} - {str(self._seed)}
            found.said |= dict.fromkeys(differences)
            if changed == "keep" or method in wanted or method not in self.manifest.marks:
                found.foreign.add(part.fingerprint)
                found.kept.add(kept_as(part.fingerprint, self._now(method, mark)))

    def _differences(self, part: Part, mark: Mark, *, anew: bool) -> list[str]:
        """Say in words what rows with this mark have not in common with the study's own.

        Those of a method that the study no longer has must only be of its data. Rows that were
        kept count as its own, unless the question is put `anew`.
        """
        now = self._now(part.method, mark)
        kept = kept_as(part.fingerprint, now) in self.manifest.kept
        if mark == now or (kept and not anew):
            return []
        of = f"of method '{part.method}'"
        return [change.replace("of method", of) for change in changes(mark, now)]

    def _now(self, method: str, mark: Mark) -> Mark:
        """Return what rows of a method with this mark would be marked with now."""
        now = self.manifest.marks.get(method)
        if now is None:
            any_mark = next(iter(self.manifest.marks.values()))
            now = {**mark, **{name: any_mark[name] for name in ("seed", "simulate")}}
        return now

    def _refuse(self, store: Store, found: _Changes, changed: str | None) -> None:
        """Raise where what has changed cannot stand as it is told."""
        folder = store.folder
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
