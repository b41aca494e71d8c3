"""Failures as data: which fits failed, which methods fail together, and kinds of warnings."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mcstudy.analysis.load import ConditionRows, MethodRows, rows_by_condition, without_skipped
from mcstudy.analysis.query import matching
from mcstudy.analysis.select import (
    METHODS_IN_ORDER,
    Where,
    beside,
    factor_columns,
    in_order,
    labelled,
    labels_of,
    select,
    varying,
    wheres,
    with_labels,
    with_record,
)
from mcstudy.analysis.unusable import with_kinds
from mcstudy.arguments import as_texts, cut, suggestion
from mcstudy.columns import WARNED, WORDS
from mcstudy.comparison.failure_rules import FAILED
from mcstudy.comparison.paired import matched
from mcstudy.errors import ResultsError
from mcstudy.labels import Labels, label
from mcstudy.method import Status
from mcstudy.storage.table_set import read_table
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed

_COUNTS = ("replicates", "failed", "other_failed", "together", "expected")
_NAMES = ("method", "other")
_TAKEN = (*_NAMES, *_COUNTS)
_MOST_LETTERS = 200  # of a warning: two lines of a terminal
_MOST_LINES = 20  # of warnings: they follow the table that was asked for


def failed_fits(
    rows: MethodRows, failed: Collection[str], estimands: Iterable[str]
) -> NDArray[np.bool_]:
    """Return which fits failed: those of a status that counts as failed or without an estimate.

    `failed` may have "warned", for fits with a warning. `estimands` are those whose estimates must
    be there.
    """
    found: NDArray[np.bool_] = np.isin(rows.status.astype(str), [str(word) for word in failed])
    if WARNED in failed:
        found = found | rows.warned
    for name in estimands:
        found = found | ~np.isfinite(rows.estimands[name].main)
    return found


def checked_statuses(failed: Collection[str]) -> tuple[str, ...]:
    """Return the statuses, and "warned", in words; ResultsError for one that does not exist."""
    known = [*(str(word) for word in Status), WARNED]
    words = as_texts(failed, "failed", ResultsError)
    for word in words:
        if word not in known:
            raise ResultsError(
                f"failed: no status {str(word)!r}{suggestion(word, known)}; choose from "
                f"{', '.join(known)}"
            )
    return tuple(str(word) for word in words)


def rule_in_words(failed: Collection[str], lacking: str = "no estimate") -> str:
    """Say which fits count as failed."""
    statuses = [word for word in failed if word != WARNED]
    rule = lacking + (f", or status {' or '.join(statuses)}" if statuses else "")
    return rule + (", or a warning" if WARNED in failed else "")


@dataclass(frozen=True)
class Overlap(Printed):
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

    def document(self) -> Document:
        """Return the pairs of methods that both failed under some condition."""
        varied = varying(self.frame, factor_columns(self.frame))
        some = self.frame[(self.frame["failed"] > 0) & (self.frame["other_failed"] > 0)]
        rule = f"failed: {rule_in_words(self.failed)}"
        if some.empty:
            nothing = "No two methods failed under the same condition."
            return Document(notes=[nothing, rule], frames=[self.frame])
        words = labels_of(self.frame)
        lines = [
            [
                *(labelled(name, row[name], words) for name in varied),
                *(labelled("method", row[name], words) for name in _NAMES),
                *(str(row[name]) for name in _COUNTS[:-1]),
                f"{row['expected']:.1f}",
            ]
            for row in some.to_dict("records")
        ]
        counts = ("replicates", "fails", "other fails", "together", "if independent")
        count = len(varied)
        heads = [*(label(words, name, "factor") for name in varied), *_NAMES, *counts]
        grid = Grid(heads, lines, labels=count + 2, repeated=count)
        return Document("Failures together", [Block(grid=grid)], [rule], [self.frame])


def failure_overlap(
    folder: Path,
    *,
    where: Where = None,
    failed: Collection[str] = FAILED,
    record: Mapping[str, Any],
) -> Overlap:
    """Count in how many replicates each two methods fail together.

    Parameters
    ----------
    folder : Path
        With the tables of a run.
    where : mapping or str, optional
        Which conditions and methods, and which estimands must have an estimate; see
        `mcstudy.analysis.select.select`.
    failed : collection of str, default ("not_converged",)
        Statuses that count as failed beside fits without an estimate.
    record : mapping
        The study's, so that factors and the order of methods are known.
    """
    words = checked_statuses(failed)
    chosen = Chosen.of(folder, where, record)
    order = record.get(METHODS_IN_ORDER, ())
    lines = []
    for rows, found in failures_by_condition(folder, words, chosen):
        for name, other in itertools.combinations(in_order(sorted(found), order), 2):
            (one, fails), (second, fails_second) = found[name], found[other]
            places, places_second, count = matched(one, second)
            here, there = fails[places], fails_second[places_second]
            expected = float(here.sum() * there.sum() / count) if count else np.nan
            counts = (count, int(here.sum()), int(there.sum()), int((here & there).sum()), expected)
            own = dict(zip(_TAKEN, (name, other, *counts), strict=True))
            lines.append(beside(rows.factors, _TAKEN) | own)
    frame = pd.DataFrame(lines, columns=None if lines else [*_TAKEN])
    return Overlap(with_labels(frame, record.get("labels", {})), words)


@dataclass(frozen=True)
class Chosen:
    """The conditions that count, and what is asked of methods and estimands."""

    conditions: Collection[str]
    wanted: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, folder: Path, where: Where, record: Mapping[str, Any]) -> Chosen:
        """Return what is asked for of the conditions in `folder`."""
        wanted = wheres(where)
        conditions = read_table(folder, "conditions").to_pandas()
        factors = {name: levels for name, levels in wanted.items() if name not in WORDS}
        keys = select(with_record(conditions, record), factors)["condition"]
        return cls(set(keys), {name: levels for name, levels in wanted.items() if name in WORDS})

    def some(self, kind: str, names: Iterable[str]) -> list[str]:
        """Return those of the methods or estimands that are asked for."""
        names = list(names)
        if kind not in self.wanted:
            return names
        meant = {name for one in self.wanted[kind] for name in matching(names, one)}
        return [name for name in names if name in meant]


Failures = dict[str, tuple[MethodRows, NDArray[np.bool_]]]


def failures_by_condition(
    folder: Path, failed: Collection[str], chosen: Chosen
) -> Iterator[tuple[ConditionRows, Failures]]:
    """Yield each condition with the failures of its methods, pieces of it put together."""
    pieces = map(without_skipped, rows_by_condition(folder, formed=False))
    wanted = (rows for rows in pieces if rows.condition in chosen.conditions)
    for _, group in itertools.groupby(wanted, lambda rows: rows.condition):
        found: Failures = {}
        for rows in group:
            for name in chosen.some("method", rows.methods):
                method = rows.methods[name]
                before = found[name][1] if name in found else False
                estimands = chosen.some("estimand", method.estimands)
                found[name] = method, failed_fits(method, failed, estimands) | before
        yield rows, found


def warning_kinds(
    folder: Path, fits: pd.DataFrame, where: Where, record: Mapping[str, Any]
) -> pd.DataFrame:
    """Return how many fits of each method gave which kind of warning; `Results.warnings`.

    `fits` is the table `fits`, or of a study without rows `endings`.
    """
    chosen = Chosen.of(folder, where, record)
    fits = fits[fits["warned"] & fits["condition"].isin(chosen.conditions)]
    methods = chosen.some("method", fits["method"].unique())
    fits = with_kinds(fits[fits["method"].isin(methods)])
    lines = []
    for (method, kind), rows in fits.groupby(["method", "kind"], sort=False):
        first, texts = rows.iloc[0], rows["message"].unique()
        message = kind if len(texts) > 1 else first["message"]
        lines.append((method, message, int(rows["fits"].sum()), *first[["condition", "replicate"]]))
    place = in_order(sorted(methods), record.get(METHODS_IN_ORDER, ()))
    lines.sort(key=lambda line: (place.index(line[0]), -line[2]))
    return pd.DataFrame(lines, columns=["method", "message", "fits", "condition", "replicate"])


def warnings_document(kinds: pd.DataFrame, labels: Labels) -> Document:
    """Return the kinds of warnings as they are shown."""
    lines = [
        (
            label(labels, row["method"], "method"),
            str(row["fits"]),
            cut(row["message"], _MOST_LETTERS),
        )
        for row in kinds.head(_MOST_LINES).to_dict("records")
    ]
    more = len(kinds) - _MOST_LINES
    left_out = [f"  ... and {more} more"] if more > 0 else []
    grid = Grid(("method", "fits", "warning"), lines, left=3)
    return Document(blocks=[Block("Warnings, by kind", grid, left_out)], frames=[kinds])
