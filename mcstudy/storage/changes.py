"""Parts that something else has made: noticed, and kept, discarded or refused as told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from mcstudy.errors import ChangedError
from mcstudy.storage.manifest import Manifest, kept_as
from mcstudy.storage.parts import Head, Part
from mcstudy.storage.provenance import changes
from mcstudy.storage.store import Store


@dataclass
class _Changes:
    """What parts have not in common with the study as it is.

    In words, each once, also of the numbers that sums are about; the seeds that are not the
    study's; and the rows to decide on, as decisions are written down (`kept_as`).
    """

    said: dict[str, None]
    of_sums: dict[str, None] = field(default_factory=dict)
    seeds: set[str] = field(default_factory=set)
    decided: set[str] = field(default_factory=set)


def settle(
    manifest: Manifest,
    store: Store,
    changed: str | None,
    *,
    wanted: Collection[str],
    truths: Iterable[str] = (),
) -> None:
    """Notice what has changed since the parts of a folder were made; decide as told, or stop.

    The decisions join the manifest. Only rows of the methods that are `wanted` may be discarded;
    `truths` says in words what else has changed. ChangedError where something has changed and it
    is not told, or not possible, what to do.
    """
    # Rows of the code of now count, whatever was decided on it before: another change of it is
    # another question.
    manifest.discarded.difference_update(manifest.present.values())
    found = _noticed(manifest, store, changed, wanted, truths)
    if found.seeds and changed != "discard":
        seed = next(iter(manifest.marks.values()))["seed"]
        raise ChangedError(
            f"{store.folder}: holds rows of seed {', '.join(sorted(found.seeds))} and this "
            f"study has seed {seed}; give it another name, or --changed discard "
            '(changed="discard") to compute them anew'
        )
    said = found.said | found.of_sums
    if said and changed is None:
        raise ChangedError(
            f"{store.folder}: changed since its rows were made: {'; '.join(said)}. "
            'Nothing was done: --changed keep (changed="keep") goes on with those rows, '
            "--changed discard computes them anew, --changed verify keeps them if a sample of "
            "the fits comes out equal"
        )
    if changed == "keep" and found.of_sums:
        raise ChangedError(
            f"{store.folder}: its sums are about other numbers: {'; '.join(found.of_sums)}; "
            '--changed discard (changed="discard") computes them anew'
        )
    if changed == "keep":
        manifest.kept.update(found.decided)
    if changed == "discard":
        foreign = {decision.partition(":")[0] for decision in found.decided}
        gone = {decision for decision in manifest.kept if decision.partition(":")[0] in foreign}
        manifest.kept.difference_update(gone)
        manifest.discarded.update(foreign)


def discarded_parts(manifest: Manifest, wanted: Collection[str]) -> list[Part]:
    """Return the parts that are of no use any more."""
    gone = []
    for part in manifest.store.parts():
        if not manifest.counts_made(part):
            is_gone = part.fingerprint in manifest.discarded
        else:
            head = _of_sums(manifest, manifest.store, part) if part.method in wanted else None
            is_gone = head is not None and bool(manifest.other_references(head))
        if is_gone:
            gone.append(part)
    return gone


def _noticed(
    manifest: Manifest,
    store: Store,
    changed: str | None,
    wanted: Collection[str],
    truths: Iterable[str],
) -> _Changes:
    """Return what the parts of a folder have not in common with the study.

    Those of a method that the study no longer has must only be of its data. Rows that were kept
    count as its own, unless the question is put anew, to discard them.
    """
    found = _Changes(dict.fromkeys(truths))
    some_mark = next(iter(manifest.marks.values()))
    for part, head in _others(manifest, store):
        if head.keep != manifest.keep:
            raise ChangedError(
                f"{store.folder}: keeps {head.keep} and this study has keep={manifest.keep!r}; "
                "the two cannot be joined: give it another name, or another folder"
            )
        found.of_sums |= dict.fromkeys(manifest.other_references(head))
        method, mark = part.method, head.provenance
        of_data = {name: some_mark[name] for name in ("seed", "simulate")}
        now = manifest.marks.get(method, {**mark, **of_data})
        decision = kept_as(part.fingerprint, now)
        is_kept = decision in manifest.kept and changed != "discard"
        differences = changes(mark, now)
        if differences and not is_kept and part.fingerprint not in manifest.discarded:
            found.seeds |= {mark["seed"]} - {now["seed"]}
            of_it = f"of method '{method}'"
            found.said |= dict.fromkeys(said.replace("of method", of_it) for said in differences)
            if changed == "keep" or method in wanted or method not in manifest.marks:
                found.decided.add(decision)
    return found


def _others(manifest: Manifest, store: Store) -> Iterator[tuple[Part, Head]]:
    """Yield a part of each provenance that is not the study's, and the parts of other sums."""
    seen = set()
    for part in store.parts():
        made = part.method, part.fingerprint
        if made not in seen and not manifest.is_present(part):
            seen.add(made)
            if head := store.head_like(part):
                yield part, head
        if head := _of_sums(manifest, store, part):
            yield part, head


def _of_sums(manifest: Manifest, store: Store, part: Part) -> Head | None:
    """Return the head of a part whose sums may be about other numbers than the study's."""
    is_rows = manifest.keep == "rows"
    return None if is_rows or manifest.counts(part) else store.head(part)
