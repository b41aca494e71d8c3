"""What a folder holds of a study, what made it, and whether that is still the study."""

from __future__ import annotations

import math
import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mcstudy.arguments import short, suggestion
from mcstudy.errors import StudyError
from mcstudy.grid import Condition
from mcstudy.measure import BUILT_IN, functions_of
from mcstudy.storage import changes
from mcstudy.storage.facts import (
    commit_of,
    facts_of,
    measures_record,
    processor,
    simulated_record,
    take_simulated,
    truth_errors_record,
    truths_record,
)
from mcstudy.storage.manifest import Manifest, Stored, merged_ranges, ranges_of, replicates_in
from mcstudy.storage.parts import Part, digest, folder_name
from mcstudy.storage.provenance import method_marks, take_as_unchanged
from mcstudy.storage.record import RecordError
from mcstudy.storage.source import sources_of
from mcstudy.storage.store import Store
from mcstudy.study import Study
from mcstudy.truths import DATA, mcse_of

_MOST_NAMES = 5  # of estimands in a line
_LONGEST_NAME = 255  # bytes, of a file or folder on most systems (NAME_MAX of Linux)


class StudyRecord:
    """The stored rows of a study, and the record of what made them (`study.json`)."""

    def __init__(self, study: Study, store: Store) -> None:
        self.study = study
        self.store = store
        self._started, self._begun = datetime.now(UTC), time.monotonic()
        self.marks = method_marks(study)
        self.repaired, self._wrote = "", False
        self._record = self._record_of(store)
        take_simulated(study, self._record)
        self.truths = {condition: study.truths(condition) for condition in study.conditions}
        self._check_names()
        self._check_precision()
        self._sources = sources_of(study)
        take_as_unchanged(study, self.marks)
        self.manifest = Manifest(
            store,
            study.keep,
            self.marks,
            set(self._record.get("kept", ())),
            self.truths,
            study.null,
            study.level,
            set(self._record.get("discarded", ())),
            study.alpha,
        )
        self.made_of: str | None = self._record.get("made_of")
        self._to_clear: list[Part] = []
        self.discarded_up_to = 0
        self.new_truths: list[str] = []
        self._older: list[str] = self._record.get("older_rows", [])
        self.asked: dict[str, Any] = self._record.get("asked", {})
        self.tables: dict[str, str] = self._record.get("tables", {})
        self._extent: dict[str, dict[str, int]] = self._record.get("counts", {})
        self.measured_of: str | None = self._record.get("measured_of")
        # By condition and method the replicate before which fits were taken out to be retried.
        self.retried: dict[str, dict[str, int]] = self._record.get("retried", {})

    def _record_of(self, store: Store) -> dict[str, Any]:
        """Return the record; one that cannot be used is made anew by the first `write`."""
        try:
            record = store.record
        except RecordError as error:
            self.repaired = error.reason
            return {}
        if record and record["name"] != self.study.name:
            self.repaired = f"is of the study {record['name']!r}"
            return {}
        return record

    @property
    def extent(self) -> dict[str, dict[str, int]]:
        """How many replicates the tables rest on, of what the study still has."""
        conditions = {condition.key for condition in self.study.conditions}
        return {
            key: {method: n for method, n in methods.items() if method in self.marks}
            for key, methods in self._extent.items()
            if key in conditions
        }

    @extent.setter
    def extent(self, extent: dict[str, dict[str, int]]) -> None:
        self._extent = extent

    def _check_names(self) -> None:
        """Raise StudyError for a null or label of nothing, or a name too long for a folder."""
        known = {estimand for truths in self.truths.values() for estimand in truths}
        known |= set(self.study.estimands_of(next(iter(self.truths))))
        # Where each data set has true values of its own the first one has yet to be seen.
        named_beforehand = self.study.estimands is not None and self.study.truth_from != DATA
        self.study.check_labelled(known if named_beforehand else None)
        named = self.study.null if isinstance(self.study.null, Mapping) else ()
        named = named if named_beforehand else ()
        if unknown := [estimand for estimand in named if estimand not in known]:
            raise StudyError(
                f"{self.study.name}: null is given for {', '.join(map(repr, unknown))}; "
                f"the estimands are {', '.join(sorted(known))}"
            )
        for name, measure in self.study.measures.items():
            for of in functions_of(measure):
                if of is not None and of not in known and (meant := suggestion(of, sorted(known))):
                    raise StudyError(
                        f"{self.study.name}: measure '{name}' is given for {of!r}{meant}; the "
                        f"estimands are {', '.join(sorted(known))}"
                    )
        for name in self.study.methods:
            if (length := len(folder_name(name).encode())) > _LONGEST_NAME:
                raise StudyError(
                    f"{self.study.name}: method {short(name)} has a name of {length} bytes as a "
                    f"folder is called, and {_LONGEST_NAME} is the most; give it a shorter one"
                )

    def _check_precision(self) -> None:
        """Raise StudyError for a bias that is to be more precise than the true value is."""
        wanted = (self.study.precision or {}).get("bias", math.inf)
        for condition, truths in self.truths.items():
            for estimand, value in truths.items():
                if mcse_of(value) >= wanted:
                    raise StudyError(
                        f"{self.study.name}: precision of bias is {wanted:g}, and the true "
                        f"{estimand!r} at {condition.key} has a Monte Carlo error of "
                        f"{mcse_of(value):.2g}, which no number of replicates makes smaller; "
                        "simulate it with more draws"
                    )

    def without_truth(self) -> list[str]:
        """Say in words which estimands have no truth, or one under some conditions only."""
        lines, partly = [], []
        for estimand in sorted({name for truths in self.truths.values() for name in truths}):
            given = {c.key: t[estimand] for c, t in self.truths.items() if estimand in t}
            lacking = [key for key, truth in given.items() if not math.isfinite(truth)]
            if lacking:
                lines.append(
                    f"'{estimand}' has no truth under {len(lacking)} of {len(self.truths)} "
                    f"conditions ({lacking[0]}{', ...' if len(lacking) > 1 else ''}); its bias, "
                    "coverage and the like are missing there"
                )
            if len(given) < len(self.truths):
                partly.append(f"'{estimand}'")
        if partly:
            more = f" and {len(partly) - _MOST_NAMES} more" if len(partly) > _MOST_NAMES else ""
            lines.append(
                f"some estimands have a truth under some conditions only "
                f"({', '.join(partly[:_MOST_NAMES])}{more}); where a method estimates one under "
                "another condition, its bias, coverage and the like are missing"
            )
        return lines

    def settle_changes(self, changed: str | None, methods: Iterable[str] | None = None) -> None:
        """Notice rows that something else has made; decide on them as told, or stop.

        Rows that are discarded no longer count; `clear` moves them away. They are of these methods,
        by default all of the study's.
        """
        wanted = self.marks.keys() if methods is None else set(methods)
        truths = self._changed_truths()
        self.new_truths = truths if changed == "keep" else []
        changes.settle(self.manifest, self.store, changed, wanted=wanted, truths=truths)
        if changed == "discard":
            self._to_clear = changes.discarded_parts(self.manifest, wanted)
            self.made_of, self._extent = None, {}
            self.discarded_up_to = max((part.stop for part in self._to_clear), default=0)

    def older_parts(self) -> list[Part]:
        """Return the parts of the study that something else has made, and nothing is decided on."""
        return [
            part
            for part in self.store.parts()
            if part.method in self.marks
            and part.condition in self.manifest.conditions
            and not self.manifest.counts(part)
            and part.fingerprint not in self.manifest.discarded
        ]

    def settle_others(self, store: Store, changed: str | None) -> None:
        """Do the same with the parts of another folder, where nothing is discarded."""
        changes.settle(self.manifest, store, changed, wanted=self.marks.keys())

    def remeasured(self) -> str:
        """Say in one sentence that the measures are about another truth than before, or nothing."""
        if not self.new_truths:
            return ""
        return f"{self.new_truths[0]}; the rows stay, and are measured anew about the new truth"

    def clear(self) -> str:
        """Move away the parts that were discarded; return in words what and where to, or nothing.

        The record says first that they are discarded, so that a kill in between costs nothing.
        """
        gone, self._to_clear = self._to_clear, []
        if not gone:
            return ""
        self.write()
        folder = self.store.discard(gone)
        parts = "1 part, which is" if len(gone) == 1 else f"{len(gone)} parts, which are"
        return f"discarded rows were in {parts} in {folder} now"

    def _changed_truths(self) -> list[str]:
        """Say which truth is not what the tables were made with: the first, and how many more."""
        stored = self._record.get("truths", {})
        said = [
            f"the truth of {estimand} at {condition.key}: {before} -> {after}"
            for condition, truths in self.truths.items()
            for estimand, before in stored.get(condition.key, {}).items()
            for after in [truths.get(estimand)]
            if before != after and not (before is None and after != after)
        ]
        more = f" (and of {len(said) - 1} more)" if len(said) > 1 else ""
        return [said[0] + more] if said else []

    def stored(self) -> dict[Condition, list[Part]]:
        """Return the parts that count, by condition."""
        return self.manifest.stored()

    def facts(self) -> dict[str, Any]:
        """Return what a reader needs to know where the numbers came from."""
        return facts_of(self.study, self.truths)

    def tables_digest(self, stored: Stored) -> str:
        """Return the digest of all that the tables are made of: the same after parts are joined."""
        made: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
        for parts in stored.values():
            for part in parts:
                cell = part.condition, part.method, part.fingerprint
                made.setdefault(cell, []).append((part.start, part.stop))
        # Those of a method stay in their order: where two hold a replicate the first one counts.
        held = [(cell, merged_ranges(made[cell])) for cell in sorted(made, key=lambda c: c[:2])]
        errors = truth_errors_record(self.truths)
        return digest([held, self.facts(), truths_record(self.truths), *errors.values()])

    def older_rows(self, stored: Stored) -> list[str]:
        """Say in words which of the rows were made by something else, and were kept."""
        older: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for parts in stored.values():
            present = [part for part in parts if self.manifest.is_present(part)]
            for method in {part.method for part in parts}:
                rows = replicates_in(ranges_of(parts, method))
                total[method] += rows
                older[method] += rows - replicates_in(ranges_of(present, method))
        return [
            f"rows of '{method}' made by older code or packages are among them: "
            f"{count} of {total[method]}"
            for method, count in sorted(older.items())
            if count
        ]

    def measures_digest(self, made_of: str) -> str:
        """Return the digest of all that the measures and comparisons are made of."""
        return digest([made_of, measures_record(self.study), [*self.study.measures], BUILT_IN])

    def outdate_tables(self) -> None:
        """Write down that rows change, before they do: the same replicates may get other rows."""
        if self.made_of is not None:
            self.made_of = None
            self.write()

    def note_retried(self, stops: Mapping[str, Mapping[str, int]]) -> None:
        """Write down that fits are taken out, before they are: of which cells, up to where.

        A run completes these, after a kill too: else its failures would be missing in the tables.
        """
        for key, methods in stops.items():
            known = self.retried.setdefault(key, {})
            for method, stop in methods.items():
                known[method] = max(stop, known.get(method, 0))
        self.made_of = None
        self.write()

    def _forget_completed(self, stored: Stored) -> None:
        by_key = {condition.key: parts for condition, parts in stored.items()}
        for key, methods in list(self.retried.items()):
            for method, stop in list(methods.items()):
                ranges = ranges_of(by_key.get(key, ()), method)
                if replicates_in(ranges, 0, stop) == stop:
                    del methods[method]
            if not methods:
                del self.retried[key]

    def write(self) -> None:
        """Bring `study.json` up to date."""
        if self.repaired and not self._wrote:
            self.store.set_record_aside()
        self._wrote = True
        self._record = {
            **self.facts(),
            "facts": list(self.facts()),
            "aims": self.study.aims,
            "labels": dict(self.study.labels),
            "sources": self._sources,
            "method_order": list(self.study.methods),
            "conditions": {
                c.key: dict(c.factors)
                for c in sorted(self.study.conditions, key=lambda c: c.sort_key)
            },
            "study_file": str(self.study.source) if self.study.source else None,
            "source_digest": self.study.source_digest,
            "asked": self.asked,
            "replicates": self._record.get("replicates"),
            "marks": self.marks,
            "kept": sorted(self.manifest.kept),
            "older_rows": self._older,
            "discarded": sorted(self.manifest.discarded),
            "truths": truths_record(self.truths),
            **truth_errors_record(self.truths),
            **simulated_record(self.study),
            "made_of": self.made_of,
            "measured_of": self.measured_of,
            "tables": self.tables,
            "counts": self._extent,
            "retried": self.retried,
            **measures_record(self.study),
            "runs": self._record.get("runs", []),
        }
        self.store.write_record(self._record)

    def close(self, replicates: int, workers: int, computed: int) -> list[str]:
        """Write down how a run went; one that computed nothing leaves no line.

        Return what a reader of the tables should know of their rows, a line each.
        """
        stored = self.stored()
        self._forget_completed(stored)
        stops = [part.stop for parts in stored.values() for part in parts]
        self._record["replicates"] = max(stops, default=replicates)
        self._older = self.older_rows(stored)
        if computed:
            run = {
                "started": self._started.isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - self._begun, 1),
                "fits": computed,
                "workers": workers,
                "commit": commit_of(self.study),
                "host": platform.node(),
                "platform": platform.platform(),
                "cpu": processor(),
            }
            self._record["runs"] = [*self._record.get("runs", []), run]
        self.write()
        return self._older
