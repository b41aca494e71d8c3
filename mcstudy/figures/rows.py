"""Rows for the figures that show single replicates: which conditions, and which of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.query import matching
from mcstudy.analysis.select import (
    factor_columns,
    in_order,
    levels_by_row,
    select,
    varying,
    with_record,
)
from mcstudy.arrays import Floats
from mcstudy.columns import WORDS
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import OTHERS, Request
from mcstudy.measure import REJECTION
from mcstudy.simulation.validation import TEST

MOST_ROWS = 4000  # in a figure, of some 100 bytes each
MOST_SHOWN = 3  # conditions, where nobody has chosen some
LEAST_SHOWN = 40  # rows of a panel, however many panels there are


@dataclass(frozen=True)
class Replicates:
    """What a method says of an estimand under a condition, in the order of the replicates.

    Parameters
    ----------
    condition, method, estimand, interval : str
        Whose they are; the condition in words, the interval empty where limits are not asked for.
    truth : float
        The true value.
    replicate : array of int, shape (R,)
        Their numbers.
    estimate, std_error, lower, upper, p_value : arrays of shape (R,)
        NaN is missing.
    """

    condition: str
    method: str
    estimand: str
    interval: str
    truth: float
    replicate: Any
    estimate: Floats
    std_error: Floats
    lower: Floats
    upper: Floats
    p_value: Floats


def chosen_conditions(
    request: Request, most: int = MOST_SHOWN, *, cells: pd.DataFrame | None = None
) -> tuple[dict[str, str], str]:
    """Return the conditions to show, their words by key, and a note on how they were chosen.

    All that `where` leaves, if these are few; else the one whose coverage (bias, where there is no
    interval) is furthest from its target, and the median one. `cells` of the measures, where given,
    are looked at in place of those that `where` leaves.
    """
    results = request.results
    performance = select(results.performance, request.where) if cells is None else cells
    factors = factor_columns(performance)
    conditions = with_record(results.conditions.copy(), request.record)
    # No condition without a cell that `where` leaves.
    there = performance[factors].drop_duplicates() if factors else None
    kept = conditions
    if there is not None:
        alive = set(levels_by_row(_columns(there), factors))
        own = levels_by_row(_columns(conditions), factors)
        kept = conditions[[levels in alive for levels in own]]
    vary = varying(kept if len(kept) > 1 else conditions, factors)
    words = {
        row["condition"]: request.at({name: row[name] for name in vary})
        for row in kept.to_dict("records")
    }
    if len(words) <= most:
        return words, ""
    badness, what = _badness(request, performance)
    if not badness:
        picked = [*words][:: len(words) // 2][:2]
        note = f"of {len(words)} conditions the first and the middle one; {OTHERS}"
        return {key: words[key] for key in picked}, note
    ranked = sorted(
        zip(levels_by_row(_columns(kept), factors), words, strict=True),
        key=lambda pair: (-badness.get(pair[0], -1.0), pair[1]),
    )
    known = [key for levels, key in ranked if badness.get(levels, -1.0) >= 0] or [
        key for _, key in ranked
    ]
    picked = list(dict.fromkeys([known[0], known[len(known) // 2]]))
    note = f"of {len(words)} conditions the one with {what}, and the median one; {OTHERS}"
    return {key: words[key] for key in picked}, note


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    return {str(name): frame[name] for name in frame}


def _badness(
    request: Request, performance: pd.DataFrame
) -> tuple[dict[tuple[Any, ...], float], str]:
    """Return how far the worst cell of each condition is off its target, and what that is."""
    factors = factor_columns(performance)
    for measure, aim, what in (
        ("coverage", request.level, "the coverage furthest from nominal"),
        ("standardized_bias", 0.0, "the largest bias for its standard error"),
        (REJECTION, request.goal(REJECTION) or 0.0, "the rejection rate furthest from its level"),
    ):
        cells = performance[(performance["measure"] == measure) & performance["value"].notna()]
        if len(cells):
            away = (cells["value"].astype(float) - aim).abs()
            worst: dict[tuple[Any, ...], float] = {}
            for levels, one in zip(levels_by_row(_columns(cells), factors), away, strict=True):
                worst[levels] = max(worst.get(levels, 0.0), float(one))
            return worst, what
    return {}, ""


def replicates_of(
    request: Request, conditions: dict[str, str], *, intervals: bool = False, tests: bool = False
) -> list[Replicates]:
    """Return the rows of some conditions, methods in the order of the study.

    Raises
    ------
    ResultsError
        If there are no rows, or with `intervals` none of those; with `tests` p-values will do.
    """
    results = request.results
    estimates = _wanted(request, results.rows("estimates", list(conditions)))
    keys = ["condition", "replicate", "method", "estimand"]
    if intervals:
        limits = _wanted(request, results.rows("intervals", list(conditions)))
        if limits.empty:
            raise ResultsError(
                "there are no intervals here; let a method return lower and upper, or a std_error"
            )
        estimates = estimates.merge(limits, on=keys, how="inner")
    else:
        estimates = estimates.assign(interval="", lower=np.nan, upper=np.nan)
    found = list(_grouped(request, estimates, conditions))
    if not any(
        np.isfinite(rows.estimate).any() or (tests and np.isfinite(rows.p_value).any())
        for rows in found
    ):
        raise ResultsError("no fit here has an estimate; see mcstudy failures")
    return found


def _wanted(request: Request, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the methods, estimands and intervals that were asked for."""
    for name in WORDS:
        if name in request.where and name in frame:
            levels = list(frame[name].unique())
            meant = {level for one in request.where[name] for level in matching(levels, one)}
            frame = frame[frame[name].isin(meant)]
    return frame


def _grouped(
    request: Request, frame: pd.DataFrame, conditions: dict[str, str]
) -> Iterator[Replicates]:
    by = frame.groupby(["condition", "estimand", "method", "interval"], sort=False)
    groups = {tuple(map(str, key)): rows for key, rows in by}
    methods = in_order(dict.fromkeys(key[2] for key in groups), request.methods)
    places = {key: i for i, key in enumerate(conditions)}
    for key in sorted(groups, key=lambda k: (places[k[0]], k[1], methods.index(k[2]), k[3])):
        rows = groups[key].sort_values("replicate", kind="stable")
        numbers = [
            rows[name].to_numpy(dtype=float) if name in rows else np.full(len(rows), np.nan)
            for name in ("estimate", "std_error", "lower", "upper", TEST)
        ]
        truths = rows["truth"].to_numpy(dtype=float)
        truth, known = float(truths[0]), truths[np.isfinite(truths)]
        if len(known) and (known != known[0]).any():
            # Each data set has its own true value: numbers are shown less that, about 0.
            truth, estimate, lower, upper = 0.0, *(numbers[i] - truths for i in (0, 2, 3))
            numbers = [estimate, numbers[1], lower, upper, numbers[4]]
        yield Replicates(
            conditions[key[0]],
            key[2],
            key[1],
            key[3],
            truth,
            rows["replicate"].to_numpy(),
            *numbers,
        )


def evenly(count: int, most: int) -> Any:
    """Return at most so many places of `count` ranks, evenly, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def budget(panels: int, most: int) -> int:
    """Return how many rows each panel may show."""
    return max(LEAST_SHOWN, min(most, MOST_ROWS // max(panels, 1)))


def labels_in_order(texts: Sequence[str]) -> list[str]:
    """Return texts, each once."""
    return list(dict.fromkeys(texts))
