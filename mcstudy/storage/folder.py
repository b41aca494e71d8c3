"""What a folder of results holds, by its record and its parts alone: the study is not needed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mcstudy.errors import ResultsError
from mcstudy.grid import Condition
from mcstudy.measure import LEVEL
from mcstudy.storage.manifest import Manifest
from mcstudy.storage.parts import Part
from mcstudy.storage.record import NAME
from mcstudy.storage.store import Store
from mcstudy.truths import SimulatedTruth

MOST_WITHIN = 5


@dataclass(frozen=True)
class RecordedStudy:
    """The stored rows of a folder, and what the last run wrote down about them."""

    folder: Path
    record: dict[str, Any]
    store: Store

    @classmethod
    def of(cls, folder: Path) -> RecordedStudy:
        """Open a folder for looking; raise ResultsError if no run has written into it."""
        store = Store(folder)
        record = store.record
        if not isinstance(record.get("conditions"), dict):
            raise ResultsError(f"{folder}: {why_not_there(folder)}")
        return cls(folder, record, store)

    @cached_property
    def conditions(self) -> list[Condition]:
        """The conditions of the study, in the order of the tables."""
        return [Condition(factors) for factors in self.record["conditions"].values()]

    @property
    def methods(self) -> list[str]:
        """The methods that the last run was asked for."""
        asked: Sequence[str] = self.record.get("asked", {}).get("methods", self.record["methods"])
        return sorted(asked)

    def goal(self, condition: Condition) -> int:
        """Return how many replicates of a condition the last run was to have."""
        asked = self.record.get("asked", {})
        return int(asked.get("goals", {}).get(condition.key, asked.get("replicates", 0)))

    @property
    def truths(self) -> dict[Condition, dict[str, float]]:
        """The true values by condition and estimand."""
        stored, errors = self.record["truths"], self.record.get("truth_errors", {})
        truths = {
            condition: {
                estimand: float("nan") if value is None else value
                for estimand, value in stored.get(condition.key, {}).items()
            }
            for condition in self.conditions
        }
        for condition, known in truths.items():
            for estimand, mcse in errors.get(condition.key, {}).items():
                known[estimand] = SimulatedTruth(known[estimand], mcse)
        return truths

    @property
    def facts(self) -> dict[str, Any]:
        """What the tables carry in their metadata."""
        return {name: self.record[name] for name in self.record["facts"]}

    @property
    def manifest(self) -> Manifest:
        """What counts as the study's."""
        record = self.record
        return Manifest(
            self.store,
            record["keep"],
            record["marks"],
            set(record.get("kept", ())),
            self.truths,
            record.get("null"),
            record.get("level", LEVEL),
            alpha=record.get("alpha"),
        )

    def stored(self) -> dict[Condition, list[Part]]:
        """Return the parts that count as the study's, by condition."""
        return self.manifest.stored()


def has_parts(folder: Path) -> bool:
    """Return whether something is stored in a folder."""
    return bool(Store(folder).parts())


def has_tables(folder: Path) -> bool:
    """Return whether a run, or `collect`, has made tables in a folder."""
    return any(folder.glob("*.parquet"))


def why_not_there(folder: Path) -> str:
    """Say why a folder has no tables, or no record of a run, and what to do."""
    if record := Store(folder).record:
        if record.get("tables"):
            return "its table performance.parquet is missing; mcstudy summarize makes it anew"
        return "its run is not finished, so there are no tables yet; mcstudy summarize makes them"
    if has_tables(folder):
        return (
            f"its {NAME} is missing, so nothing says what the tables are; to make it anew: "
            f"mcstudy run STUDY --results {shlex.quote(str(folder.parent))}"
        )
    if has_parts(folder):
        return (
            "holds shares that are not collected yet; make the tables first: "
            f"mcstudy collect STUDY --results {shlex.quote(str(folder.parent))}"
        )
    if folder.is_file():
        return "is a file, not a folder of results; name one like results/<study name>"
    if not folder.is_dir():
        return "there is no such folder; name one like results/<study name>"
    within = sorted(path.parent for path in folder.glob("*/parts"))
    if within:
        more = f" and {len(within) - MOST_WITHIN} more" if len(within) > MOST_WITHIN else ""
        return f"no tables here, but in {', '.join(map(str, within[:MOST_WITHIN]))}{more}"
    return "no tables here; name a folder like results/<study name>"
