"""Measures to the table that ends a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mcstudy.analysis.limits import with_limits
from mcstudy.analysis.select import by_method, factors_in_words, levels_of
from mcstudy.columns import WARNED, WARNED_MEANING
from mcstudy.method import Status
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.numbers import number_with_error

MOST_CONDITIONS = 24


def performance_summary(name: str, performance: pd.DataFrame) -> Document:
    """Return bias, RMSE and coverage of every cell of a study, and how its fits ended."""
    performance = by_method(with_limits(performance))
    names = performance.columns[: performance.columns.get_loc("method")].tolist()
    varying = [factor for factor in names if performance[factor].nunique(dropna=False) > 1]
    fixed = {name: performance[name].iloc[0] for name in names if name not in varying}
    conditions = list(_by(performance, varying)) if len(performance) else []
    title = f"{name}: value (Monte Carlo standard error)"
    if fixed:
        title += "\nthroughout: " + factors_in_words(fixed)
    lines = [
        (factors_in_words(factors), *line)
        for factors, cells in conditions[:MOST_CONDITIONS]
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
        own = cell[cell["interval"].isna()]
        intervals = [name for name in cell["interval"].unique() if isinstance(name, str)]
        for i, interval in enumerate(intervals or [""]):
            limits = cell[cell["interval"] == interval]
            shown = [_shown(own, "bias") + _some(own), _shown(own, "rmse")] if i == 0 else ["", ""]
            used = _used(limits, "coverage") if interval else _used(own, "bias")
            names = (str(method), str(estimand), interval)
            yield (*names, *shown, _shown(limits, "coverage"), used)


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


def _by(frame: pd.DataFrame, names: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    if not names:
        yield {}, frame
        return
    for key, rows in frame.groupby(names, sort=False, dropna=False):
        yield dict(zip(names, key, strict=True)), rows


def _shown(cell: pd.DataFrame, measure: str) -> str:
    row = cell[cell["measure"] == measure]
    if row.empty:
        return ""
    numbers = row.iloc[0][["value", "mcse", "lower", "upper"]].astype(float)
    return number_with_error(*numbers)


def _some(cell: pd.DataFrame) -> str:
    """Return on how many replicates the bias rests, where these are not all."""
    row = cell[cell["measure"] == "bias"].iloc[0]
    return "" if row["used"] == row["replicates"] else f" {_used(cell, 'bias')}"


def _used(cell: pd.DataFrame, measure: str) -> str:
    row = cell[cell["measure"] == measure].iloc[0]
    return f"{row['used']}/{row['replicates']}"
