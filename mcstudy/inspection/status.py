"""How far a study is, and what failed: from its parts alone, while a run is going on too."""

from __future__ import annotations

import itertools
import math
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mcstudy.analysis.query import factors_of, written_condition
from mcstudy.analysis.select import METHODS_IN_ORDER, factors_in_words, in_order
from mcstudy.arguments import counted
from mcstudy.comparison.checks import Check
from mcstudy.errors import ResultsError
from mcstudy.execution.refresh import extent_of
from mcstudy.execution.scheduler import covered
from mcstudy.grid import Condition, level_text
from mcstudy.inspection.failures import NOWHERE, Place, kinds_of, troubled_fits
from mcstudy.results import Results, folder_of, open_results
from mcstudy.storage.folder import RecordedStudy, has_tables
from mcstudy.storage.manifest import Stored, kept_as
from mcstudy.storage.parts import Head
from mcstudy.storage.provenance import Mark
from mcstudy.storage.record import is_imported
from mcstudy.storage.store import Store
from mcstudy.storage.sum_parts import nulls_of, truths_of
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed

# What is shown of each, so that the answer is a few screens at most; the frames have all.
MOST_LINES = 30
MOST_GROUPS = 20
MOST_CONDITIONS = 6
MOST_LETTERS = 200
_ALL = ": all with --format csv, or in status(...)"
_TRUST = (
    "mcstudy replay runs the study file that the folder names: add --trust if you trust it, or "
    "--study FILE"
)
_ENOUGH = "Is the study itself good enough? By its tables, and in the report by its rows:"


@dataclass(frozen=True)
class StatusReport(Printed):
    """How far a study is.

    Parameters
    ----------
    folder : Path
        ``results/<study name>``.
    name : str
        Of the study.
    running : bool
        Whether a run is at work.
    fits : DataFrame
        One row per condition and method: done, missing (of what the last run was asked for; not
        there for shares that are not collected), failed (ended neither ok nor at a boundary) and
        warned (gave a warning, whatever their status).
    failures : DataFrame
        One row per kind of failure: status, message (numbers that differ are #), count,
        condition, replicate and method of the first one, and `places`, where all of them are.
    warnings : DataFrame
        The same of the fits with a warning.
    damaged : int
        How many parts cannot be read; the next run sets them aside.
    conditions : sequence of Condition
        Those of the study, or of the parts that are there.
    collected : bool
        False for shares of which nobody has made tables.
    imported : bool
        Whether the replicates were simulated elsewhere, so that none can be replayed.
    checks : tuple of Check
        What the tables say of the study itself, where they are of what is stored; see
        `mcstudy.results.Results.adequacy`, which has more.
    """

    folder: Path
    name: str
    running: bool
    fits: pd.DataFrame
    failures: pd.DataFrame
    warnings: pd.DataFrame
    damaged: int
    conditions: Sequence[Condition]
    collected: bool
    imported: bool
    checks: Sequence[Check] = ()

    @property
    def headline(self) -> str:
        """How much is done, in one line."""
        done, failed = int(self.fits["done"].sum()), int(self.fits["failed"].sum())
        text = f"{self.name}: {done} {'fit is' if done == 1 else 'fits are'} stored"
        if self.collected:
            missing = int(self.fits["missing"].sum())
            text += f", {missing} missing"
            text += f" ({math.floor(100 * done / (done + missing))}% done)" if missing else ""
        text += f", {failed} failed" if failed else ""
        warned = int(self.fits["warned"].sum())
        text += f", {warned} with a warning" if warned else ""
        return text + ("; a run is at work" if self.running else "")

    def document(self) -> Document:
        """Return what is done and missing by condition, and the kinds of failures and warnings."""
        lines = []
        if not self.collected:
            how = f"mcstudy collect STUDY --results {shlex.quote(str(self.folder.parent))}"
            lines.append(f"these are shares; to see what is missing and make the tables: {how}")
        if self._fixed:
            lines.append(f"throughout: {factors_in_words(self._fixed)}")
        blocks = list[Block | Document]([Block(self.headline, lines=lines), self._table()])
        if self.damaged:
            parts = f"{counted(self.damaged, 'damaged part')}, not counted"
            blocks.append(Block(lines=[f"{parts}; the next run computes what was in there"]))
        for name, kinds in (("failures", self.failures), ("warnings", self.warnings)):
            if len(kinds):
                lines = list(self._kind_lines(kinds, name))
                blocks.append(Block(f"{name.capitalize()}, by kind", lines=lines))
        kinds = pd.concat([self.failures, self.warnings])
        if self.collected and not self.imported and (kinds["replicate"] != NOWHERE).any():
            blocks.append(Block(lines=[_TRUST]))
        if self.checks:
            how = f"  mcstudy report {shlex.quote(str(self.folder))}"
            lines = [_ENOUGH, how, *(check.short for check in self.checks)]
            blocks.append(Document(notes=lines))
        frames = [self.fits, *(k.drop(columns="places") for k in (self.failures, self.warnings))]
        return Document(blocks=blocks, frames=[frame for frame in frames if len(frame)])

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        """The factors that have one level only, where others vary."""
        if len(self.conditions) < 2:
            return {}
        factors = self.conditions[0].factors
        levels = {name: {level_text(c.factors[name]) for c in self.conditions} for name in factors}
        return {name: factors[name] for name in sorted(factors) if len(levels[name]) == 1}

    @cached_property
    def _varying(self) -> dict[str, Condition]:
        """By the key of a condition what tells it from the others."""
        return {
            c.key: Condition({n: level for n, level in c.factors.items() if n not in self._fixed})
            for c in self.conditions
        }

    def _words(self, key: str) -> str:
        return factors_in_words(dict(sorted(self._varying[key].factors.items()))) or key

    def _table(self) -> Block:
        """Return the table, cut where it is long; what misses or failed comes first then."""
        shown = self.fits
        if len(shown) > MOST_LINES:
            troubled = shown["failed"] > 0
            if self.collected:
                troubled |= shown["missing"] > 0
            shown = pd.concat([shown[troubled], shown[~troubled]]).head(MOST_LINES)
        rows: Iterable[tuple[Any, ...]] = shown.itertuples(index=False, name=None)
        lines = [(self._words(str(key)), *map(str, rest)) for key, *rest in rows]
        more = len(self.fits) - len(shown)
        left_out = [f"  ... and {counted(more, 'more line')}{_ALL}.fits"] if more else []
        grid = Grid(list(shown.columns), lines, labels=2, repeated=1)
        return Block(grid=grid, lines=left_out)

    def _kind_lines(self, kinds: pd.DataFrame, name: str) -> Iterator[str]:
        for row in kinds.head(MOST_GROUPS).to_dict("records"):
            message = textwrap.shorten(row["message"], MOST_LETTERS) or "(no message)"
            yield f"  {row['count']} x {row['status']}: {message}"
            yield from (f"      {line}" for line in self._place_lines(row["places"]))
            if row["replicate"] != NOWHERE and not self.imported:
                yield f"      {self.replay_command(row)}"
        if (more := len(kinds) - MOST_GROUPS) > 0:
            yield f"  ... and {counted(more, 'more kind')}{_ALL}.{name}"

    def _place_lines(self, places: Sequence[Place]) -> Iterator[str]:
        """Yield a line for each condition, and how many more there are."""
        by_condition = [
            (key, list(some)) for key, some in itertools.groupby(places, key=lambda p: p.condition)
        ]
        for key, some in by_condition[:MOST_CONDITIONS]:
            said = [f"{place.in_words()} by {', '.join(place.methods)}" for place in some]
            yield f"at {self._words(key)}: {'; '.join(said)}"
        if (more := len(by_condition) - MOST_CONDITIONS) > 0:
            yield f"and at {counted(more, 'more condition')}"

    def replay_command(self, failure: Mapping[Any, Any]) -> str:
        """Return the command line that shows a failure again."""
        condition = shlex.quote(written_condition(self._varying[failure["condition"]].factors))
        study = "" if self.collected else " --study STUDY"
        return (
            f"mcstudy replay {shlex.quote(str(self.folder))} --condition {condition} "
            f"--replicate {failure['replicate']} --method {shlex.quote(failure['method'])}{study}"
        )


def status(results: Results | str | Path) -> StatusReport:
    """Return how far a study is and what failed, without the study file.

    Parameters
    ----------
    results : Results or path
        ``results/<study name>``. A run may be at work there, or shares that nobody has collected.

    Raises
    ------
    ResultsError
        If the folder holds no record of a run, and no part of a share.
    """
    recorded = open_recorded(folder_of(results))
    troubled, stored, damaged = troubled_fits(recorded)
    asked = set(recorded.methods)
    lines = [
        (
            condition.key,
            method,
            *covered(parts, method, recorded.goal(condition) if method in asked else 0),
        )
        for condition, parts in stored.items()
        for method in in_order(
            sorted({*recorded.methods, *(part.method for part in parts)}),
            recorded.record.get(METHODS_IN_ORDER, ()),
        )
    ]
    fits = pd.DataFrame(lines, columns=["condition", "method", "done", "missing"])
    for kind in ("failed", "warned"):
        some = troubled[troubled[kind]]
        counts = some.groupby(["condition", "method"], observed=True)["count"].sum().to_dict()
        keys = zip(fits["condition"], fits["method"], strict=True)
        fits[kind] = [int(counts.get(key, 0)) for key in keys]
    collected = "asked" in recorded.record  # a run, or `collect`, writes down what was asked for
    return StatusReport(
        folder=recorded.folder,
        name=recorded.record["name"],
        running=recorded.store.busy,
        fits=fits if collected else fits.drop(columns="missing"),
        failures=kinds_of(troubled[troubled["failed"]]),
        warnings=kinds_of(troubled[troubled["warned"]]),
        damaged=damaged + len(recorded.store.strays()),
        conditions=recorded.conditions,
        collected=collected,
        imported=is_imported(recorded.record),
        checks=_checks(recorded, stored),
    )


def _checks(recorded: RecordedStudy, stored: Stored) -> Sequence[Check]:
    """Return what the tables say of the study, if they are of what is stored; rows are not read."""
    if recorded.record.get("counts") != extent_of(stored):
        return ()
    try:
        return open_results(recorded.folder).checks_of_tables()
    except ResultsError:  # there are none, or a run is replacing them
        return ()


def open_recorded(folder: Path) -> RecordedStudy:
    """Open a folder for looking, one that holds nothing but parts as well.

    ResultsError if it holds neither a record nor a part, or tables without a record.
    """
    store = Store(folder)
    if not store.record and not has_tables(folder) and (record := _record_of(store)):
        return RecordedStudy(folder, record, store)
    return RecordedStudy.of(folder)


def _record_of(store: Store) -> dict[str, Any]:
    """Return what parts alone say of their study; empty if there are none.

    All their rows count, since nobody has decided yet what becomes of those that others have made.
    """
    marks: dict[str, Mark] = {}
    made: dict[tuple[str, str], Mark] = {}
    conditions: dict[str, Head] = {}
    for part in store.parts():
        known = (part.method, part.fingerprint) in made and part.condition in conditions
        if not known and (head := store.head(part)):
            conditions[part.condition] = head
            made[part.method, part.fingerprint] = marks[part.method] = head.provenance
    if not conditions:
        return {}
    heads = list(conditions.values())
    found = {Condition(factors_of(head.condition)) for head in heads}
    return {
        "name": store.folder.name,
        "conditions": {
            condition.key: dict(condition.factors)
            for condition in sorted(found, key=lambda condition: condition.sort_key)
        },
        "methods": sorted(marks),
        "marks": marks,
        "kept": [kept_as(fingerprint, marks[method]) for method, fingerprint in made],
        "keep": heads[0].keep,
        "truths": truths_of(heads),
        "null": nulls_of(heads) or None,
    }
