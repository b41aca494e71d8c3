"""What a folder holds of a study, what made it, and whether that is still the study."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcstudy.errors import ChangedError, StudyError
from mcstudy.grid import Condition
from mcstudy.stored.marks import (
    Mark,
    changes,
    code_digest,
    method_marks,
    take_as_unchanged,
    versions,
)
from mcstudy.stored.parts import PartHead
from mcstudy.stored.store import Store
from mcstudy.stored.sumparts import plain_truths, without_overlap
from mcstudy.stored.tables import Stored
from mcstudy.study import Study


class Ledger:
    """The stored rows of a study, and the record of what made them (`study.json`).

    Parameters
    ----------
    study : Study
        As it is now.
    store : Store
        Where its rows are.
    """

    def __init__(self, study: Study, store: Store) -> None:
        self.study = study
        self.store = store
        self._started, self._begun = datetime.now(UTC), time.monotonic()
        self.marks = method_marks(study)
        self.truths = {condition: study.truths(condition) for condition in study.conditions}
        self._plain_truths = {c.key: plain_truths(truths) for c, truths in self.truths.items()}
        take_as_unchanged(study, self.marks)
        self._check_null()
        self._record = store.record
        self.kept: set[str] = set(self._record.get("kept", ()))
        self._discarded: set[str] = set(self._record.get("discarded", ()))
        self.made_of: str | None = self._record.get("made_of")
        self.asked: dict[str, Any] = self._record.get("asked", {})
        self.measured_of: str | None = self._record.get("measured_of")

    def _check_null(self) -> None:
        """Raise StudyError for a null value of what is no estimand."""
        known = {estimand for truths in self.truths.values() for estimand in truths}
        named = self.study.null if isinstance(self.study.null, Mapping) else ()
        if unknown := [estimand for estimand in named if estimand not in known]:
            raise StudyError(
                f"{self.study.name}: null is given for {', '.join(map(repr, unknown))}; "
                f"the estimands are {', '.join(sorted(known))}"
            )

    def settle_changes(self, changed: str | None) -> None:
        """Notice rows that something else has made; keep or discard them as told, or stop."""
        self._settle(self.store.folder, self.store.heads(), self._changed_truths(), changed)
        if changed == "discard":
            self._drop_foreign()

    def settle_others(self, folder: Path, heads: Iterable[PartHead], changed: str | None) -> None:
        """Do the same with the parts of another folder, where nothing is discarded."""
        self._settle(folder, heads, [], changed)

    def _settle(
        self, folder: Path, heads: Iterable[PartHead], truths: Sequence[str], changed: str | None
    ) -> None:
        said: dict[str, None] = {}
        foreign: dict[str, Mark] = {}
        seeds = set()
        said |= dict.fromkeys(truths)
        for head in heads:
            self._check_kept(folder, head)
            said |= dict.fromkeys(self._other_truths(head))
            for method, mark in head.marks.items():
                settled = changed != "keep" and digest(mark) in self._discarded
                if method not in self.marks or self._counts(method, mark) or settled:
                    continue
                seeds |= {mark["seed"]} - {str(self.study.seed)}
                foreign[digest(mark)] = mark
                for change in changes(mark, self.marks[method]):
                    said[change.replace("of method", f"of method '{method}'")] = None
        if seeds and changed != "discard":
            raise ChangedError(
                f"{folder}: holds rows of seed {', '.join(sorted(seeds))} and this "
                f"study has seed {self.study.seed}; give it another name, or --changed discard "
                "to compute them anew"
            )
        if said and changed is None:
            raise ChangedError(
                f"{folder}: changed since its rows were made: {'; '.join(said)}. "
                "Nothing was done: --changed keep goes on with those rows, --changed discard "
                "computes them anew"
            )
        summed = self.study.keep == "measures"
        if changed == "keep" and summed and any(c.startswith("the truth") for c in said):
            raise ChangedError(
                f"{folder}: its sums were made with another truth: {'; '.join(said)}; "
                "--changed discard computes them anew"
            )
        if changed == "keep":
            self.kept |= foreign.keys()
            self._discarded -= foreign.keys()
        if changed == "discard":
            self._discarded |= foreign.keys()

    def _check_kept(self, folder: Path, head: PartHead) -> None:
        """Raise unless the part keeps of its replicates what the study keeps."""
        if head.keep != self.study.keep:
            raise ChangedError(
                f"{folder}: keeps {head.keep} and this study has keep={self.study.keep!r}; the two "
                "cannot be joined: give it another name, or another --results"
            )

    def _other_truths(self, head: PartHead) -> list[str]:
        """Return in words the first truth that is not the one a part's sums were made with."""
        now = self._plain_truths.get(head.condition)
        if head.truths is None or now is None:
            return []
        for name, before in head.truths.items():
            if before != now.get(name):
                return [f"the truth of {name} at {head.condition} {before} -> {now.get(name)}"]
        return []

    def _changed_truths(self) -> list[str]:
        """Return in words the first truth that is not what the tables were made with."""
        stored = self._record.get("truths", {})
        for condition, truths in self.truths.items():
            for estimand, before in stored.get(condition.key, {}).items():
                after = truths.get(estimand)
                if before != after and not (before is None and after != after):
                    return [f"the truth of {estimand} at {condition.key} {before} -> {after}"]
        return []

    def _drop_foreign(self) -> None:
        for head in self.store.heads():
            known = [m for m in head.marks if m in self.marks]
            counting = any(self._counts(m, head.marks[m]) for m in known)
            if known and (not counting or self._other_truths(head)):
                self.store.drop(head.path)

    def counts(self, head: PartHead) -> bool:
        """Return whether a part holds rows of this study as it is."""
        known = any(self._counts(method, mark) for method, mark in head.marks.items())
        return known and head.condition in self._plain_truths and not self._other_truths(head)

    def _counts(self, method: str, mark: Mark) -> bool:
        """Return whether rows with this mark count as this study's."""
        return mark == self.marks.get(method) or (
            method in self.marks and digest(mark) in self.kept
        )

    def stored(self) -> dict[Condition, list[Stored]]:
        """Return the rows there are, by condition."""
        held: dict[Condition, list[Stored]] = {condition: [] for condition in self.study.conditions}
        by_key = {condition.key: condition for condition in held}
        for head in self.store.heads():
            condition = by_key.get(head.condition)
            counting = tuple(m for m in head.methods if self._counts(m, head.marks[m]))
            if condition is not None and counting and not self._other_truths(head):
                held[condition].append(Stored(head, counting))
        if self.study.keep == "measures":
            return {condition: without_overlap(items) for condition, items in held.items()}
        return held

    def facts(self) -> dict[str, Any]:
        """Return what a reader needs to know where the numbers came from."""
        study = self.study
        factors: dict[str, list[Any]] = {name: [] for name in study.conditions.factors}
        for condition in sorted(study.conditions, key=lambda c: c.sort_key):
            for name, level in condition.factors.items():
                if level not in factors[name]:
                    factors[name].append(level)
        return {
            "name": study.name,
            "seed": study.seed,
            "factors": factors,
            "estimands": sorted({e for truths in self.truths.values() for e in truths}),
            "methods": sorted(study.methods),
            "keep": study.keep,
            "versions": versions(),
            "commit": _commit(study),
            **self._precision(),
        }

    def _precision(self) -> dict[str, Any]:
        study = self.study
        if study.precision is None:
            return {}
        return {"precision": dict(study.precision), "max_replicates": study.max_replicates}

    def tables_digest(self, stored: Mapping[Condition, Sequence[Stored]]) -> str:
        """Return the digest of all that the tables are made of."""
        names = [(i.head.path.name, i.methods) for items in stored.values() for i in items]
        return digest([sorted(names), self.facts(), self._truths_record()])

    def measures_digest(self, made_of: str) -> str:
        """Return the digest of all that the measures and comparisons are made of."""
        return digest([made_of, self._measures_record()])

    def _measures_record(self) -> dict[str, Any]:
        null = self.study.null
        return {
            "measures": {name: code_digest(f) for name, f in sorted(self.study.measures.items())},
            "null": dict(sorted(null.items())) if isinstance(null, Mapping) else null,
            "reference": self.study.reference,
        }

    def _truths_record(self) -> dict[str, dict[str, float | None]]:
        return {
            condition.key: self._plain_truths[condition.key]
            for condition in sorted(self.truths, key=lambda condition: condition.sort_key)
        }

    def write(self) -> None:
        """Bring `study.json` up to date."""
        self._record = {
            **self.facts(),
            "facts": list(self.facts()),
            "conditions": {
                c.key: dict(c.factors)
                for c in sorted(self.study.conditions, key=lambda c: c.sort_key)
            },
            "study_file": str(self.study.source) if self.study.source else None,
            "asked": self.asked,
            "replicates": self._record.get("replicates"),
            "marks": self.marks,
            "kept": sorted(self.kept),
            "discarded": sorted(self._discarded),
            "truths": self._truths_record(),
            "made_of": self.made_of,
            "measured_of": self.measured_of,
            **self._measures_record(),
            "runs": self._record.get("runs", []),
        }
        self.store.write_record(self._record)

    def close(self, replicates: int, workers: int, computed: int) -> None:
        """Write down how a run went; one that computed nothing leaves no line."""
        self._record["replicates"] = replicates
        if computed:
            run = {
                "started": self._started.isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - self._begun, 1),
                "fits": computed,
                "workers": workers,
                "host": platform.node(),
                "platform": platform.platform(),
            }
            self._record["runs"] = [*self._record.get("runs", []), run]
        self.write()


def digest(thing: Any) -> str:
    """Return the SHA-256 of anything that JSON can say."""
    return hashlib.sha256(json.dumps(thing, sort_keys=True).encode()).hexdigest()


def _commit(study: Study) -> str | None:
    """Return the commit of the study file's repository, None where there is none."""
    folder = study.source.parent if study.source else Path.cwd()
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
