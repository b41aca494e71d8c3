"""Failures as data: which fits failed, and which methods fail together."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mcstudy.analysis.rows import ConditionRows, MethodRows, rows_by_condition, without_skipped
from mcstudy.analysis.selection import beside, in_words
from mcstudy.comparing.comparisons import matched
from mcstudy.errors import ResultsError
from mcstudy.method import Status
from mcstudy.printing.listing import aligned, without_repeats, wrapped

FAILED = (Status.NOT_CONVERGED,)
_TAKEN = ("other", "failed", "other_failed", "together", "expected")


def failed_fits(
    rows: MethodRows, failed: Collection[str], estimand: str | None = None
) -> NDArray[np.bool_]:
    """Return which fits failed: those of a status that counts as failed or without an estimate.

    Parameters
    ----------
    rows : MethodRows
        The fits, R of them.
    failed : collection of str
        Statuses that count as failed even where there is an estimate.
    estimand : str, optional
        Whose estimate it is that must be there; that of every estimand by default.

    Returns
    -------
    array of bool, shape (R,)
    """
    of = rows.estimands.values() if estimand is None else (rows.estimands[estimand],)
    found: NDArray[np.bool_] = np.isin(rows.status.astype(str), [str(word) for word in failed])
    for one in of:
        found = found | ~np.isfinite(one.estimate)
    return found


def checked_statuses(failed: Collection[str]) -> tuple[str, ...]:
    """Return the statuses in words; ResultsError for one that does not exist."""
    known = [str(word) for word in Status]
    for word in failed:
        if str(word) not in known:
            raise ResultsError(f"failed: no status {str(word)!r}; choose from {', '.join(known)}")
    return tuple(str(word) for word in failed)


def rule_in_words(failed: Collection[str]) -> str:
    """Say which fits count as failed."""
    return "no estimate" + (f", or status {' or '.join(failed)}" if failed else "")


@dataclass(frozen=True)
class Overlap:
    """How often methods fail together; ``str`` shows it.

    Parameters
    ----------
    frame : DataFrame
        By condition (the factors), method and other: ``replicates`` that both have, ``failed`` of
        the method, ``other_failed``, ``together``, and ``expected``, how many replicates would see
        both fail if they failed independently.
    failed : tuple of str
        Statuses that count as failed beside fits without an estimate.
    """

    frame: pd.DataFrame
    failed: tuple[str, ...]

    def __str__(self) -> str:
        counts = ["replicates", "failed", "other_failed", "together", "expected"]
        names = self.frame.columns[: self.frame.columns.get_loc("method")]
        labels = [str(n) for n in names if self.frame[n].nunique(dropna=False) > 1]
        labels += ["method", "other"]
        some = self.frame[(self.frame["failed"] > 0) & (self.frame["other_failed"] > 0)]
        rule = wrapped([f"failed: {rule_in_words(self.failed)}"])
        if some.empty:
            return f"No two methods failed under the same condition.\n{rule}"
        lines = without_repeats(
            (
                [
                    *(in_words(row[name]) for name in labels),
                    *(str(row[name]) for name in counts[:-1]),
                    f"{row['expected']:.1f}",
                ]
                for row in some.to_dict("records")
            ),
            len(labels) - 2,
        )
        head = (*labels, "replicates", "fails", "other fails", "together", "if independent")
        return f"Failures together\n\n{aligned(head, lines, texts=len(labels))}\n\n{rule}"


def failure_overlap(folder: Path, *, failed: Collection[str] = FAILED) -> Overlap:
    """Count in how many replicates each two methods fail together.

    Parameters
    ----------
    folder : Path
        With the tables of a run.
    failed : collection of str, default ("not_converged",)
        Statuses that count as failed beside fits without an estimate.
    """
    words = checked_statuses(failed)
    lines = [line for rows in _whole_conditions(folder, words) for line in _overlaps(*rows)]
    return Overlap(pd.DataFrame(lines), words)


Failures = dict[str, tuple[MethodRows, NDArray[np.bool_]]]


def _whole_conditions(
    folder: Path, failed: Collection[str]
) -> Iterator[tuple[ConditionRows, Failures]]:
    """Yield each condition with the failures of its methods, pieces of it put together."""
    last: ConditionRows | None = None
    found: Failures = {}
    for rows in map(without_skipped, rows_by_condition(folder)):
        if rows.first and last is not None:
            yield last, found
        found = {} if rows.first else found
        last = rows
        for name, method in rows.methods.items():
            before = found[name][1] if name in found else False
            found[name] = method, failed_fits(method, failed) | before
    if last is not None:
        yield last, found


def _overlaps(rows: ConditionRows, found: Failures) -> Iterator[dict[str, object]]:
    for name, other in itertools.combinations(sorted(found), 2):
        (one, fails), (second, fails_second) = found[name], found[other]
        places, places_second, count = matched(one, second)
        here, there = fails[places], fails_second[places_second]
        yield {
            **beside(rows.factors, _TAKEN),
            "method": name,
            "other": other,
            "replicates": count,
            "failed": int(here.sum()),
            "other_failed": int(there.sum()),
            "together": int((here & there).sum()),
            "expected": float(here.sum() * there.sum() / count) if count else np.nan,
        }
