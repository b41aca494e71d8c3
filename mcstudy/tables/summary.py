"""Measures to text: the table that ends a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from mcstudy.analysis.precision import with_limits
from mcstudy.analysis.select import by_method, factors_in_words, levels_of
from mcstudy.columns import WARNED, WARNED_MEANING
from mcstudy.method import Status
from mcstudy.tables.numbers import number_with_error
from mcstudy.tables.text import aligned

MOST_CONDITIONS = 24


def summary_text(name: str, performance: pd.DataFrame) -> str:
    """Return bias, RMSE and coverage of every cell of a study, and how its fits ended."""
    performance = by_method(with_limits(performance))
    names = performance.columns[: performance.columns.get_loc("method")].tolist()
    varying = [factor for factor in names if performance[factor].nunique(dropna=False) > 1]
    fixed = {name: performance[name].iloc[0] for name in names if name not in varying}
    conditions = list(_by(performance, varying)) if len(performance) else []
    title = f"{name}: value (Monte Carlo standard error)"
    if fixed:
        title += "\nthroughout: " + factors_in_words(fixed)
    lines: list[Sequence[str] | str] = []
    for factors, cells in conditions[:MOST_CONDITIONS]:
        lines += [factors_in_words(factors)] if factors else []
        lines += _condition_lines(cells)
    head = ("method", "estimand", "interval", "bias", "RMSE", "coverage", "used/of")
    text = f"{title}\n\n{aligned(head, lines, texts=3)}"
    left = len(conditions) - MOST_CONDITIONS
    if left > 0:
        text += f"\n... and {left} more conditions in performance.parquet"
    if (performance["used"] < performance["replicates"]).any():
        text += (
            "\nused/of: intervals that exist (estimates, where a method gives none) of replicates"
        )
    return f"{text}\n\n{endings_text(performance)}"


def _condition_lines(cells: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield the lines of one condition; what repeats the line above is left out."""
    above = ""
    for (method, estimand), cell in cells.groupby(["method", "estimand"], sort=False):
        own = cell[cell["interval"].isna()]
        intervals = [name for name in cell["interval"].unique() if isinstance(name, str)]
        for i, interval in enumerate(intervals or [""]):
            limits = cell[cell["interval"] == interval]
            shown = [_shown(own, "bias") + _some(own), _shown(own, "rmse")] if i == 0 else ["", ""]
            used = _used(limits, "coverage") if interval else _used(own, "bias")
            names = ("" if method == above else str(method), str(estimand) if i == 0 else "")
            above = str(method)
            yield (*names, interval, *shown, _shown(limits, "coverage"), used)


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


def endings_text(performance: pd.DataFrame) -> str:
    """Return how many fits ended how, by method, over all conditions."""
    ok = performance[performance["measure"] == f"share_{Status.OK}"]
    totals = ok.groupby("method", sort=False)["replicates"].sum()
    counts = {str(word): _counts_of(performance, f"share_{word}") for word in Status}
    counts[WARNED] = _counts_of(performance, WARNED)
    words = [word for word, count in counts.items() if count.sum() > 0]
    head = ("method", "fits", *words)
    lines = [
        (method, str(totals[method]), *(str(round(counts[word].get(method, 0))) for word in words))
        for method in levels_of(ok, "method")
    ]
    meanings = [f"{word}: {word.meaning}" for word in Status if word in words and word != Status.OK]
    meanings += [f"{WARNED}: {WARNED_MEANING}"] if WARNED in words else []
    return "\n".join(["How the fits ended", aligned(head, lines, texts=1), *meanings])


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
