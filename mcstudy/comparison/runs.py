"""Two runs of a study, or a run and published numbers: which numbers moved."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import special

from mcstudy.analysis.precision import errors, with_limits
from mcstudy.analysis.select import (
    Where,
    at,
    beside,
    dimensions,
    in_words,
    levels_of,
    select,
    varying,
)
from mcstudy.arguments import counted, is_number, is_proportion, short
from mcstudy.arrays import Floats
from mcstudy.columns import WORDS
from mcstudy.comparison.influence import in_both, paired_or_independent
from mcstudy.comparison.published import Published, published_cells
from mcstudy.comparison.same_data import cell_key, pair_runs
from mcstudy.errors import ResultsError
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed
from mcstudy.tables.numbers import number_with_error

_MOST_LINES = 40  # a screen; the frame has them all
_VALUES = ("value_a", "value_b", "difference", "error", "paired")
_TAKEN = (*_VALUES, "z", "p_value", "p_holm", "outcome")
OUTCOMES = ("identical", "rounding", "unmoved", "unjudged", "moved")
PUBLISHED = "published"
_OF_PUBLISHED = ("identical", "equal but for rounding", "in agreement", "unjudged", "different")


@dataclass(frozen=True)
class TwoRuns(Printed):
    """What became of each number from one run to the other; ``str`` shows it.

    Parameters
    ----------
    frame : DataFrame
        One row per cell that has a value in both: factors, method, estimand, interval, measure,
        value_a, value_b, difference (b less a), error (its standard error), paired, z, p_value,
        p_holm (Holm's, over all cells) and outcome: "identical" (the values are equal), "rounding"
        (they differ by no more than the tolerance), "unmoved", "moved", and "unjudged" where a
        single replicate gives no error.
    only_a, only_b : DataFrame
        The cells that have a value in one run only, with that value.
    alpha : float
        Chance that anything is said to have moved if nothing has.
    notes : tuple of str
        Whether the two saw the same data, and how that is known; of published numbers where their
        errors come from.
    names : (str, str)
        What the two are called in print. One of them is "published" for published numbers.
    """

    frame: pd.DataFrame
    only_a: pd.DataFrame
    only_b: pd.DataFrame
    alpha: float
    notes: tuple[str, ...]
    names: tuple[str, str] = ("A", "B")

    @property
    def moved(self) -> bool:
        """Whether any number moved by more than its error."""
        return bool((self.frame["outcome"] == "moved").any())

    @property
    def published(self) -> bool:
        """Whether one of the two is a table of published numbers."""
        return PUBLISHED in self.names

    def document(self) -> Document:
        """Return what moved, and what became of all the others; published numbers all."""
        moved = self.frame if self.published else self.frame[self.frame["outcome"] == "moved"]
        moved = moved.sort_values("p_value", kind="stable")
        more = len(moved) - _MOST_LINES
        left_out = [Block(lines=[f"  ... and {more} more"])] if more > 0 else []
        return Document(
            blocks=[Block(grid=self._grid(moved[:_MOST_LINES])), *left_out] if len(moved) else [],
            notes=[self._verdict(), *self._only(), *self.notes],
            frames=[frame for frame in (self.frame, self.only_a, self.only_b) if len(frame)],
        )

    def _grid(self, moved: pd.DataFrame) -> Grid:
        names = itertools.takewhile(lambda name: name != "value_a", map(str, self.frame))
        shared = varying(self.frame, [name for name in names if name not in WORDS])
        labels = [*varying(self.frame, ["method", "estimand", "interval"]), "measure"]
        rows = moved.to_dict("records")
        first = {at(row, shared): i for i, row in reversed(list(enumerate(rows)))}
        rows.sort(key=lambda row: first[at(row, shared)])
        lines = [
            [
                at(row, shared),
                *("" if pd.isna(row[name]) else in_words(row[name]) for name in labels),
                f"{row['value_a']:.5g}",
                f"{row['value_b']:.5g}",
                number_with_error(row["difference"], row["error"]),
                z_in_words(row["z"]),
                f"{row['p_holm']:.1g}",
            ]
            for row in rows
        ]
        a, b = self.names
        head = ("condition", *labels, a, b, f"{b} - {a}", "z", "p (Holm)")
        return Grid(head, lines, labels=1 + len(labels), repeated=1, grouped=True)

    def _verdict(self) -> str:
        count = self.frame["outcome"].value_counts()
        words = dict(zip(OUTCOMES, _OF_PUBLISHED if self.published else OUTCOMES, strict=True))
        cells = ", ".join(f"{count[word]} {words[word]}" for word in OUTCOMES if word in count)
        verb = "differs" if self.published else "moved"
        if self.moved:
            verdict = f"Something {verb} (family-wise level {self.alpha:g})"
        else:
            verdict = f"Nothing {verb} by more than its error"
        largest = self.frame.loc[self.frame["outcome"].isin(["moved", "unmoved"]), "z"].abs().max()
        if self.published:
            of = counted(len(self.frame), "published number")
        else:
            of = f"{len(self.frame)} numbers in both runs"
        text = f"{verdict}: of {of} {cells}"
        return text + ("" if np.isnan(largest) else f"; largest |z| {z_in_words(largest)}")

    def _only(self) -> Iterator[str]:
        for name, frame in zip(self.names, (self.only_a, self.only_b), strict=True):
            if len(frame) and name == PUBLISHED:
                yield f"{counted(len(frame), 'published number')} without one in the run"
            elif len(frame):
                counts = frame["method"].value_counts()
                methods = levels_of(frame, "method")
                by_method = ", ".join(f"{method} {counts[method]}" for method in methods)
                yield f"{len(frame)} numbers are in {name} only, by method: {by_method}"


class Run(Protocol):
    """What is read of a run: `Results` has it."""

    @property
    def folder(self) -> Path:
        """Where the parts are."""

    @property
    def study(self) -> Mapping[str, Any]:
        """What made the numbers."""

    @property
    def performance(self) -> pd.DataFrame:
        """The measures."""


def two_runs(
    a: Run | Published, b: Run | Published, *, where: Where, alpha: float, tolerance: float
) -> TwoRuns:
    """Compare every measure of two runs, or of a run and a table; see `mcstudy.compare_runs`."""
    if not is_proportion(alpha):
        raise ResultsError(f"alpha is {short(alpha)}; give a share like 0.05")
    if not is_number(tolerance) or not 0 <= tolerance < np.inf:
        raise ResultsError(f"tolerance is {short(tolerance)}; give a number of 0 or more")
    if isinstance(a, Published) or isinstance(b, Published):
        return _with_published(a, b, where=where, alpha=alpha, tolerance=tolerance)
    frames = [keyed(select(results.performance, where)) for results in (a, b)]
    both = in_both(*frames)
    if both[0].empty:
        raise ResultsError(f"{a.folder} and {b.folder} have no cell in common to compare")
    paired_errors, notes = pair_runs((a.folder, b.folder), (a.study, b.study))
    frame = compared(both, dimensions(a.performance), paired_errors, alpha, tolerance)
    alone = (one[one["value"].notna() & ~one.index.isin(both[0].index)] for one in frames)
    only_a, only_b = (one[[*dimensions(one), "value"]].reset_index(drop=True) for one in alone)
    return TwoRuns(frame, only_a, only_b, alpha, (*notes, *different_lengths(*both)))


def _with_published(
    a: Run | Published, b: Run | Published, *, where: Where, alpha: float, tolerance: float
) -> TwoRuns:
    """Compare a run and published numbers, in the order in which they are given."""
    if isinstance(a, Published) and isinstance(b, Published):
        raise ResultsError(f"{a.name} and {b.name} are two tables; give the folder of a run")
    run, table = (b, a) if isinstance(a, Published) else (a, b)
    assert isinstance(table, Published)
    assert not isinstance(run, Published)
    performance = run.performance
    ours, theirs, alone, notes = published_cells(table, performance, where)
    if ours.empty:
        raise ResultsError(f"{run.folder} and {table.name} have no cell in common to compare")
    frames = [keyed(ours), keyed(theirs)]
    names, only = ("run", PUBLISHED), (performance.iloc[:0], alone.reset_index(drop=True))
    if table is a:
        frames, names, only = frames[::-1], names[::-1], only[::-1]
    frame = compared(in_both(*frames), dimensions(performance), {}, alpha, tolerance)
    return TwoRuns(frame, *only, alpha, notes, names)


def compared(
    both: tuple[pd.DataFrame, pd.DataFrame],
    names: list[str],
    paired_errors: Mapping[str, float],
    alpha: float,
    tolerance: float,
) -> pd.DataFrame:
    """Return the frame of `TwoRuns`: the errors are those of pairs where these are known."""
    one, other = both
    made = one[names].set_axis(list(beside(dict.fromkeys(names), _TAKEN)), axis=1)
    made = made.assign(value_a=one["value"], value_b=other["value"])
    made.attrs = one.attrs if one.attrs == other.attrs else {}  # what is known of both studies
    made["difference"] = made["value_b"] - made["value_a"]
    independent: Floats = np.hypot(errors(one, by_limits=True), errors(other, by_limits=True))
    made["error"], made["paired"] = paired_or_independent(one, other, paired_errors, independent)
    return judged(made, both, alpha, tolerance).reset_index(drop=True)


def different_lengths(one: pd.DataFrame, other: pd.DataFrame) -> Iterator[str]:
    """Say where the runs have different numbers of replicates."""
    counts = zip(*(of["replicates"].astype(int) for of in (one, other)), strict=True)
    differ = [f"{a} and {b}" for a, b in dict.fromkeys(counts) if a != b]
    if differ:
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        yield (
            f"replicates in A and B differ ({', '.join(differ[:3])}{more}): each number rests on "
            "all that its run has, and the errors on which of them both have"
        )


def z_in_words(z: float) -> str:
    """Return z; where the error is nothing but rounding, that it is large."""
    return f"{z:.1f}" if abs(z) < 1e6 else ">1e6" if z > 0 else "<-1e6"


def keyed(frame: pd.DataFrame) -> pd.DataFrame:
    """Index cells by the text that is theirs in both runs."""
    names = dimensions(frame)
    rows = zip(*(frame[name] for name in names), strict=True)
    keys = [cell_key(dict(zip(names, row, strict=True))) for row in rows]
    return with_limits(frame).set_axis(pd.Index(keys, dtype=object), axis=0)


def judged(
    made: pd.DataFrame, both: tuple[pd.DataFrame, pd.DataFrame], alpha: float, tolerance: float
) -> pd.DataFrame:
    """Add z, p-values and the outcome of each cell."""
    difference, error = made["difference"].to_numpy(dtype=float), made["error"].to_numpy()
    used, used_other = (of["used"].to_numpy(dtype=float) for of in both)
    identical = difference == 0
    scale = np.maximum(
        made[["value_a", "value_b"]].abs().max(axis=1), both[0]["mcse"] * np.sqrt(used)
    ).to_numpy(dtype=float)
    rounding = ~identical & (np.abs(difference) <= tolerance * scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(difference == 0, 0.0, difference / error)
    degrees = np.minimum(used, used_other) - 1
    p = np.full(len(z), np.nan)
    known = (degrees > 0) & ~np.isnan(z)
    p[known] = 2 * special.stdtr(degrees[known], -np.abs(z[known]))
    p[identical | rounding] = 1.0
    p_holm = holm(p)
    outcome = np.select(
        [identical, rounding, np.isnan(p), p_holm <= alpha],
        ["identical", "rounding", "unjudged", "moved"],
        "unmoved",
    )
    return made.assign(z=z, p_value=p, p_holm=p_holm, outcome=outcome)


def holm(p: Floats) -> Floats:
    """Return Holm's p-values; NaN stays."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted
