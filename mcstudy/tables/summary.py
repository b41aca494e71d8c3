"""Measures to the table that ends a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from mcstudy.analysis.precision import with_limits
from mcstudy.analysis.select import at, by_method, factor_columns, levels_of, varying
from mcstudy.columns import VALUES, WARNED, WARNED_MEANING
from mcstudy.method import Status
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.numbers import number_with_error

MOST_CONDITIONS = 24  # a screen or two, with a line for each interval; the table has all


def performance_summary(name: str, performance: pd.DataFrame) -> Document:
    """Return bias, RMSE and coverage of every cell of a study, and how its fits ended."""
    performance = by_method(with_limits(performance))
    names = factor_columns(performance)
    varied = varying(performance, names)
    fixed = [name for name in names if name not in varied]
    groups = performance.groupby(varied or (lambda _: 0), sort=False, dropna=False)
    conditions = [cells for _, cells in groups]
    title = f"{name}: value (Monte Carlo standard error)"
    if fixed:
        title += f"\nthroughout: {at(dict(performance.iloc[0]), fixed)}"
    lines = [
        (at(dict(cells.iloc[0]), varied), *line)
        for cells in conditions[:MOST_CONDITIONS]
        for line in _condition_lines(cells)
    ]
    head = ("condition", "method", "estimand", "interval", "bias", "RMSE", "coverage", "used/of")
    notes = []
    left = len(conditions) - MOST_CONDITIONS
    if left > 0:
        notes.append(f"... and {left} more conditions in performance.parquet")
    if (performance["used"] < performance["replicates"]).any():
        notes.append(
            "used/of: intervals that exist (estimates, where a method gives none) of replicates"
        )
    grid = Grid(head, lines, labels=4, repeated=3, grouped=True)
    return Document(title, [Block(grid=grid, lines=notes), endings(performance)])


def _condition_lines(cells: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield the lines of one condition; bias and RMSE stand in the first of each estimand."""
    for (method, estimand), cell in cells.groupby(["method", "estimand"], sort=False):
        rows = {
            (row["interval"] if isinstance(row["interval"], str) else "", row["measure"]): row
            for row in cell.to_dict("records")
        }
        bias = rows["", "bias"]
        some = "" if bias["used"] == bias["replicates"] else f" {_used(bias)}"
        for i, interval in enumerate(list(dict.fromkeys(i for i, _ in rows if i)) or [""]):
            own = ("", "") if i else (_shown(bias) + some, _shown(rows.get(("", "rmse"))))
            coverage = rows.get((interval, "coverage"))
            names = (str(method), str(estimand), interval)
            yield (*names, *own, _shown(coverage), _used(coverage or bias))


def _counts_by_method(performance: pd.DataFrame, measure: str) -> pd.Series[float]:
    """Return how many fits a share counts, by method, over all conditions."""
    shares = performance[performance["measure"] == measure]
    return (shares["value"] * shares["replicates"]).groupby(shares["method"], sort=False).sum()


def ends_in_words(performance: pd.DataFrame) -> str:
    """Return how many fits ended how, in one line: ``61 ok, 7 boundary``."""
    counts = {word: _counts_by_method(performance, f"share_{word}").sum() for word in Status}
    said = [f"{round(count)} {word}" for word, count in counts.items() if count]
    if warned := round(_counts_by_method(performance, WARNED).sum()):
        said.append(f"{warned} of them with a warning")
    return ", ".join(said)


def endings(performance: pd.DataFrame) -> Block:
    """Return how many fits ended how, by method, over all conditions."""
    ok = performance[performance["measure"] == f"share_{Status.OK}"]
    totals = ok.groupby("method", sort=False)["replicates"].sum()
    meanings = {str(word): word.meaning for word in Status} | {WARNED: WARNED_MEANING}
    counts = {
        word: _counts_by_method(performance, word if word == WARNED else f"share_{word}")
        for word in meanings
    }
    words = [word for word, count in counts.items() if count.sum() > 0]
    lines = [
        (method, str(totals[method]), *(str(round(counts[word].get(method, 0))) for word in words))
        for method in levels_of(ok, "method")
    ]
    notes = [f"{word}: {meanings[word]}" for word in words if word != Status.OK]
    return Block("How the fits ended", Grid(("method", "fits", *words), lines), notes)


def _shown(row: Mapping[Any, Any] | None) -> str:
    return number_with_error(*(row[name] for name in VALUES)) if row else ""


def _used(row: Mapping[Any, Any]) -> str:
    return f"{row['used']}/{row['replicates']}"
