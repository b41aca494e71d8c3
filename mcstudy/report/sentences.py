"""A finding, and how its sentence is made: names, places, and numbers with their errors.

What is said to be off is so beyond Monte Carlo error by limits that hold for all cells at once
(Bonferroni): with 5 % for each cell, a study of a thousand cells would find fifty things.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import pandas as pd

from mcstudy.analysis.select import columns_of, factor_columns, levels_by_row, varying
from mcstudy.arrays import Booleans
from mcstudy.figures.style import label, labelled
from mcstudy.measure import LEVEL, alphas_of
from mcstudy.report.reported import Reported
from mcstudy.simulation.validation import TEST
from mcstudy.storage.export import null_hypotheses

MOST = 5
"""Sentences of each kind: what is behind them stands in the tables."""
_TWO_DIGITS = 2.0  # an error that begins with 1 is shown to two digits: 1.4 may not read 1


@dataclass(frozen=True)
class Finding:
    """One sentence, and whether it tells of something that is not as it should be."""

    text: str
    warns: bool = False


class StudyWords:
    """The measures of a study, and its words for names and places."""

    def __init__(self, results: Reported, without: Sequence[str] = ()) -> None:
        self.results = results
        frame = results.performance
        self.performance = frame[~frame["method"].isin(without)] if without else frame
        self.level = float(results.study.get("level") or LEVEL)
        alpha = results.study.get("alpha")
        self.alphas = alphas_of(alpha, results.study.get("level", LEVEL))
        self.factors = factor_columns(self.performance)
        self.varying = varying(self.performance, self.factors)

    def rows(self, measure: str) -> pd.DataFrame:
        """Return all cells of a measure."""
        return self.performance[self.performance["measure"] == measure].reset_index(drop=True)

    def cells(self, measure: str) -> pd.DataFrame:
        """Return the cells in which a measure has a number."""
        frame = self.rows(measure)
        return frame[frame["value"].notna()].reset_index(drop=True)

    def word(self, row: Mapping[Any, Any] | pd.Series[Any], kind: str) -> str:
        """Return a name as the study calls it."""
        return label(self.results, str(row[kind]), kind)

    def place(self, row: Mapping[Any, Any] | pd.Series[Any]) -> str:
        """Return "at n = 10, sigma = 1", empty where there is one condition."""
        at = ", ".join(labelled(self.results, name, row[name]) for name in self.varying)
        return f" at {at}" if at else ""

    def interval(self, row: Mapping[Any, Any] | pd.Series[Any]) -> str:
        """Return an interval, or a test by p-values, and whose it is."""
        if row["interval"] == TEST:
            return f"test by {self.word(row, 'method')}"
        return f"interval “{self.word(row, 'interval')}” of {self.word(row, 'method')}"

    @cached_property
    def _nulls(self) -> Mapping[tuple[Any, ...], bool]:
        return null_hypotheses(self.results.study, self.factors)

    def null_is(self, rows: pd.DataFrame) -> list[str]:
        """Return by row whether the null value of its estimand is the true one.

        It is "true", "false", or "unknown" where one of the two is not known.
        """
        columns = columns_of(rows)
        keys = zip(levels_by_row(columns, self.factors), columns["estimand"], strict=True)
        words = {True: "true", False: "false", None: "unknown"}
        return [words[self._nulls.get(key)] for key in keys]


def beyond(cells: pd.DataFrame) -> Booleans:
    """Return which values differ from 0 by more than Monte Carlo error, all cells at once."""
    away = cells["value"].abs().to_numpy(dtype=float)
    found: Booleans = away > quantile(len(cells)) * cells["mcse"].to_numpy(dtype=float)
    return found


def quantile(cells: int) -> float:
    """Return the normal quantile of two-sided 95 % limits for so many cells at once."""
    return NormalDist().inv_cdf(1 - 0.025 / max(cells, 1))


def percent(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    """Return a share as "44 % (5)", to the digits that its error allows."""
    value, mcse = 100 * float(row["value"]), 100 * float(row["mcse"])
    if not mcse > 0:
        # The limit on the other side, to a tenth of a percent, away from the value.
        lower, upper = (10 * 100 * row[name] for name in ("lower", "upper"))
        if not math.isfinite(lower):
            return f"{value:.3g} % (0)"
        limit = f"<{math.ceil(upper) / 10:g}" if not value else f">{math.floor(lower) / 10:g}"
        return f"{value:.3g} % ({limit})"
    digit = math.floor(math.log10(mcse * 1.05))
    places = max(0, min(4, -digit + (mcse < _TWO_DIGITS * 10**digit)))
    return f"{value:.{places}f} % ({mcse:.{places}f})"


def share(value: float, of: float) -> str:
    """Return a share of `of` data sets as "65 % (8)"; without an error where that is 0."""
    error = math.sqrt(value * (1 - value) / of)
    if not error:
        return f"{100 * value:.0f} %"
    return percent({"value": value, "mcse": error})


def range_of(rows: pd.DataFrame, said: Callable[[pd.Series[Any]], str] = percent) -> str:
    """Return "42 % (8)", or "42 % (8) to 45 % (8)" of several."""
    ends = (rows.iloc[rows["value"].argmin()], rows.iloc[rows["value"].argmax()])
    return " to ".join(dict.fromkeys(map(said, ends)))


def left_out(told: Sequence[object], noun: str, what: str = "") -> Iterator[Finding]:
    """Say how many sentences of a kind there would be beyond `MOST`."""
    if (more := len(told) - MOST) > 0:
        yield Finding(f"{more} more {noun}{'s' * (more > 1)}{what}: see the table.")


def cells_in_words(count: int, total: int) -> str:
    """Return "In all 6 cells", "In 2 of 6 cells", "In its one cell"."""
    if total == 1:
        return "In its one cell"
    return f"In all {total} cells" if count == total else f"In {count} of {total} cells"
