"""Measures to the table that ends a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from mcstudy.analysis.precision import with_limits
from mcstudy.analysis.select import at, by_method, levels_of, varying
from mcstudy.columns import WARNED, WARNED_MEANING
from mcstudy.method import Status
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.numbers import number_with_error

MOST_CONDITIONS = 24


def performance_summary(name: str, performance: pd.DataFrame) -> Document:
    """Return bias, RMSE and coverage of every cell of a study, and how its fits ended."""
    performance = by_method(with_limits(performance))
    names = performance.columns[: performance.columns.get_loc("method")].tolist()
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


def ends_in_words(performance: pd.DataFrame) -> str:
    """Return how many fits ended how, in one line: ``61 ok, 7 boundary``."""
    shares = performance[performance["measure"].str.startswith("share_")]
    counts = (shares["value"] * shares["replicates"]).groupby(shares["measure"]).sum()
    said = [
        f"{round(counts[f'share_{word}'])} {word}" for word in Status if counts.get(f"share_{word}")
    ]
    if warned := round(_counts_of(performance, WARNED).sum()):
        said.append(f"{warned} of them with a warning")
    return ", ".join(said)


def _counts_of(performance: pd.DataFrame, measure: str) -> pd.Series[float]:
    """Return how many fits a share counts, by method, over all conditions."""
    shares = performance[performance["measure"] == measure]
    return (shares["value"] * shares["replicates"]).groupby(shares["method"], sort=False).sum()


def endings(performance: pd.DataFrame) -> Block:
    """Return how many fits ended how, by method, over all conditions."""
    ok = performance[performance["measure"] == f"share_{Status.OK}"]
    totals = ok.groupby("method", sort=False)["replicates"].sum()
    counts = {str(word): _counts_of(performance, f"share_{word}") for word in Status}
    counts[WARNED] = _counts_of(performance, WARNED)
    words = [word for word, count in counts.items() if count.sum() > 0]
    lines = [
        (method, str(totals[method]), *(str(round(counts[word].get(method, 0))) for word in words))
        for method in levels_of(ok, "method")
    ]
    meanings = [f"{word}: {word.meaning}" for word in Status if word in words and word != Status.OK]
    meanings += [f"{WARNED}: {WARNED_MEANING}"] if WARNED in words else []
    return Block("How the fits ended", Grid(("method", "fits", *words), lines), meanings)


def _shown(row: Mapping[Any, Any] | None) -> str:
    names = ("value", "mcse", "lower", "upper")
    return number_with_error(*(row[name] for name in names)) if row else ""


def _used(row: Mapping[Any, Any]) -> str:
    return f"{row['used']}/{row['replicates']}"
