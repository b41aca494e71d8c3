"""Measures to the table that ends a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mcstudy.analysis.select import Columns, at, factor_columns, in_order, levels_by_row
from mcstudy.columns import COUNTS, VALUES, WARNED, WARNED_MEANING
from mcstudy.method import Status
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.numbers import number_with_error

MOST_CONDITIONS = 24  # a screen or two, with a line for each interval; the table has all


def performance_summary(name: str, table: Columns, order: Sequence[str]) -> Document:
    """Return bias, RMSE and coverage of every cell of a study, and how its fits ended.

    Parameters
    ----------
    name : str
        Of the study.
    table : Columns
        The measures.
    order : sequence of str
        Of the methods.
    """
    names = factor_columns(table)
    levels = levels_by_row(table, names)
    varied = [name for j, name in enumerate(names) if len({key[j] for key in levels}) > 1]
    fixed = [name for name in names if name not in varied]
    conditions: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(levels):
        conditions.setdefault(key, []).append(row)
    title = f"{name}: value (Monte Carlo standard error)"
    if fixed:
        title += f"\nthroughout: {at(dict(zip(names, levels[0], strict=True)), fixed)}"
    lines = [
        (at(dict(zip(names, key, strict=True)), varied), *line)
        for key, rows in list(conditions.items())[:MOST_CONDITIONS]
        for line in _condition_lines({n: table[n][rows].tolist() for n in _READ}, order)
    ]
    head = ("condition", "method", "estimand", "interval", "bias", "RMSE", "coverage", "used/of")
    notes = []
    left = len(conditions) - MOST_CONDITIONS
    if left > 0:
        notes.append(f"... and {left} more conditions in performance.parquet")
    if np.any(table["used"] < table["replicates"]):
        notes.append(
            "used/of: intervals that exist (estimates, where a method gives none) of replicates"
        )
    grid = Grid(head, lines, labels=4, repeated=3, grouped=True)
    return Document(title, [Block(grid=grid, lines=notes), endings(table, order)])


_READ = ("method", "estimand", "interval", "measure", *VALUES, *COUNTS)


def _condition_lines(
    columns: Mapping[str, list[Any]], order: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Yield the lines of one condition; bias and RMSE stand in the first of each estimand."""
    cells: dict[tuple[str, str], dict[tuple[str, str], dict[str, Any]]] = {}
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        if isinstance(row["estimand"], str):
            interval = row["interval"] if isinstance(row["interval"], str) else ""
            cell = cells.setdefault((row["method"], row["estimand"]), {})
            cell[interval, row["measure"]] = row
    methods = in_order(dict.fromkeys(method for method, _ in cells), order)
    for method, estimand in sorted(cells, key=lambda cell: methods.index(cell[0])):
        rows = cells[method, estimand]
        bias = rows["", "bias"]
        some = "" if bias["used"] == bias["replicates"] else f" {_used(bias)}"
        for i, interval in enumerate(list(dict.fromkeys(i for i, _ in rows if i)) or [""]):
            own = ("", "") if i else (_shown(bias) + some, _shown(rows.get(("", "rmse"))))
            coverage = rows.get((interval, "coverage"))
            yield (method, estimand, interval, *own, _shown(coverage), _used(coverage or bias))


def ends_in_words(table: Columns) -> str:
    """Return how many fits ended how, in one line: ``61 ok, 7 boundary``."""
    counts = {str(word): _counts_of(table, f"share_{word}").total() for word in Status}
    said = [f"{round(count)} {word}" for word, count in counts.items() if count]
    if warned := round(_counts_of(table, WARNED).total()):
        said.append(f"{warned} of them with a warning")
    return ", ".join(said)


def _counts_of(table: Columns, measure: str, *, all_fits: bool = False) -> Counter[str]:
    """Return how many fits a share counts, or has in all, by method, over all conditions."""
    there = np.flatnonzero(table["measure"] == measure)
    fits = table["replicates"][there]
    counts = fits if all_fits else table["value"][there] * fits
    made = Counter[str]()
    for method, count in zip(table["method"][there], counts.tolist(), strict=True):
        made[method] += count
    return made


def endings(table: Columns, order: Sequence[str]) -> Block:
    """Return how many fits ended how, by method, over all conditions."""
    totals = _counts_of(table, f"share_{Status.OK}", all_fits=True)
    meanings = {str(word): word.meaning for word in Status} | {WARNED: WARNED_MEANING}
    counts = {
        word: _counts_of(table, word if word == WARNED else f"share_{word}") for word in meanings
    }
    words = [word for word, count in counts.items() if count.total() > 0]
    lines = [
        (method, str(totals[method]), *(str(round(counts[word][method])) for word in words))
        for method in in_order(totals, order)
    ]
    notes = [f"{word}: {meanings[word]}" for word in words if word != Status.OK]
    return Block("How the fits ended", Grid(("method", "fits", *words), lines), notes)


def _shown(row: Mapping[str, Any] | None) -> str:
    return number_with_error(*(row[name] for name in VALUES)) if row else ""


def _used(row: Mapping[str, Any]) -> str:
    return f"{row['used']}/{row['replicates']}"
