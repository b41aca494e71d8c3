"""How far a study is, and what failed: from its parts alone, while a run is going on too."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mcstudy.looking.failures import NOWHERE, failed_fits, kinds_of
from mcstudy.printing.listing import aligned
from mcstudy.results import Results
from mcstudy.stored.holding import Holding
from mcstudy.stored.tables import Stored

MOST_LINES = 30
MOST_GROUPS = 20
MOST_LETTERS = 200


@dataclass(frozen=True)
class Standing:
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
        One row per condition and method: done, missing (of what the last run was asked for) and
        failed (ended neither ok nor at a boundary).
    failures : DataFrame
        One row per kind of failure: status, message (numbers that differ are #), count, and
        condition, replicate and method of the first one; `others` are replicates of more.
    damaged : int
        How many parts cannot be read; the next run sets them aside.
    """

    folder: Path
    name: str
    running: bool
    fits: pd.DataFrame
    failures: pd.DataFrame
    damaged: int

    @property
    def headline(self) -> str:
        """How much is done, in one line."""
        done, missing = int(self.fits["done"].sum()), int(self.fits["missing"].sum())
        failed = int(self.fits["failed"].sum())
        text = f"{self.name}: {done} fits are stored, {missing} missing"
        if missing:
            text += f" ({done / (done + missing):.0%} done)"
        failures = f", {failed} failed" if failed else ""
        return text + failures + ("; a run is at work" if self.running else "")

    def __str__(self) -> str:
        blocks = [self.headline, _table_text(self.fits)]
        if self.damaged:
            blocks.append(f"{self.damaged} damaged parts; the next run computes them again")
        if len(self.failures):
            blocks.append(f"Failures, by kind\n{self._failures_text()}")
        return "\n\n".join(blocks)

    def _failures_text(self) -> str:
        lines = []
        for row in self.failures.head(MOST_GROUPS).to_dict("records"):
            message = textwrap.shorten(row["message"], MOST_LETTERS) or "(no message)"
            lines.append(f"  {row['count']} x {row['status']}: {message}")
            if row["replicate"] == NOWHERE:
                continue
            lines.append(f"      at {row['condition']}: replicates {row['others']}")
            lines.append(f"      {self.replay_command(row)}")
        if (more := len(self.failures) - MOST_GROUPS) > 0:
            lines.append(f"  ... and {more} more kinds")
        return "\n".join(lines)

    def replay_command(self, failure: Mapping[Any, Any]) -> str:
        """Return the command line that shows a failure again."""
        condition, method = shlex.quote(failure["condition"]), shlex.quote(failure["method"])
        return (
            f"mcstudy replay {shlex.quote(str(self.folder))} --condition {condition} "
            f"--replicate {failure['replicate']} --method {method}"
        )


def status(results: Results | str | Path) -> Standing:
    """Return how far a study is and what failed, without the study file.

    Parameters
    ----------
    results : Results or path
        ``results/<study name>``. A run may be at work there.

    Raises
    ------
    ResultsError
        If the folder holds no record of a run.
    """
    holding = Holding.of(results.folder if isinstance(results, Results) else Path(results))
    failed, stored, damaged = failed_fits(holding)
    counts = failed.groupby(["condition", "method"], observed=True)["count"].sum().to_dict()
    asked = set(holding.methods)
    lines = [
        (
            condition.key,
            method,
            *_covered(items, method, holding.goal(condition) if method in asked else 0),
        )
        for condition, items in stored.items()
        for method in _methods(holding, items)
    ]
    fits = pd.DataFrame(lines, columns=["condition", "method", "done", "missing"])
    keys = zip(fits["condition"], fits["method"], strict=True)
    fits["failed"] = [int(counts.get(key, 0)) for key in keys]
    name, running = holding.record["name"], holding.store.busy
    return Standing(holding.folder, name, running, fits, kinds_of(failed), damaged)


def _methods(holding: Holding, items: Sequence[Stored]) -> list[str]:
    """Return the methods that were asked for or have rows."""
    return sorted({*holding.methods, *(method for item in items for method in item.methods)})


def _covered(items: Sequence[Stored], method: str, goal: int) -> tuple[int, int]:
    """Return how many replicates there are, and how many of the first `goal` are missing."""
    done = within = reach = 0
    runs = sorted((i.head.start, i.head.stop) for i in items if method in i.methods)
    for start, stop in runs:
        start = max(start, reach)
        if stop > start:
            done += stop - start
            within += max(min(stop, goal) - start, 0)
            reach = stop
    return done, goal - within


def _table_text(fits: pd.DataFrame) -> str:
    """Return the table, cut where it is long; what misses or failed comes first then."""
    shown = fits
    if len(fits) > MOST_LINES:
        troubled = (fits["missing"] > 0) | (fits["failed"] > 0)
        shown = pd.concat([fits[troubled], fits[~troubled]]).head(MOST_LINES)
    lines = list(_lines(shown))
    more = len(fits) - len(shown)
    text = aligned(tuple(fits.columns), lines, texts=2)
    return text + (f"\n  ... and {more} more, in status(...).fits" if more else "")


def _lines(fits: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    above = ""
    for row in fits.itertuples(index=False):
        cells: Iterable[Any] = row
        condition, *rest = map(str, cells)
        yield ("" if condition == above else condition, *rest)
        above = condition
