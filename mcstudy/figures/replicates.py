"""Single replicates: which conditions and rows a figure shows, and panels of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias

import altair as alt
import numpy as np
import pandas as pd

from mcstudy.analysis.query import matching
from mcstudy.analysis.select import (
    columns_of,
    factor_columns,
    in_order,
    levels_by_row,
    select,
    varying,
    with_record,
)
from mcstudy.arrays import Floats, Integers
from mcstudy.columns import WORDS
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import Request
from mcstudy.figures.drawing import clauses, stacked
from mcstudy.measure import REJECTION
from mcstudy.simulation.validation import TEST

_MOST_ROWS = 4000  # in a figure, of some 100 bytes each
_MOST_SHOWN = 3  # conditions, where nobody has chosen some
_LEAST_SHOWN = 40  # rows of a panel, however many panels there are
_MOST_PANELS = 36  # what a page still shows legibly
_PER_ROW = 6  # panels: with more of them each is too narrow for its title
_PAGE = 800  # pixels that the panels of a row share


@dataclass(frozen=True)
class Replicates:
    """What a method says of an estimand under a condition, in the order of the replicates.

    The condition is in words, the interval empty where limits are not asked for; all arrays have a
    place for each replicate, and NaN is missing.
    """

    condition: str
    method: str
    estimand: str
    interval: str
    truth: float
    replicate: Integers
    estimate: Floats
    std_error: Floats
    lower: Floats
    upper: Floats
    p_value: Floats


Panel: TypeAlias = tuple[Replicates, Any]
"""A panel and the rows that it is of, or the first of these."""


def chosen_conditions(
    request: Request, most: int = _MOST_SHOWN, *, cells: pd.DataFrame | None = None
) -> tuple[dict[str, str], str]:
    """Return the conditions to show, their words by key, and a note on how they were chosen.

    All that `where` leaves, if these are few; else the one whose coverage (bias, where there is no
    interval) is furthest from its target, and the median one. `cells` of the measures, where given,
    are looked at in place of those that `where` leaves.
    """
    performance = select(request.results.performance, request.where) if cells is None else cells
    factors = factor_columns(performance)
    conditions = with_record(request.results.conditions.copy(), request.record)
    kept = conditions
    if factors:  # no condition without a cell that `where` leaves
        alive = set(_levels(performance[factors].drop_duplicates(), factors))
        kept = conditions[[one in alive for one in _levels(conditions, factors)]]
    vary = varying(kept if len(kept) > 1 else conditions, factors)
    words = {
        row["condition"]: request.at({name: row[name] for name in vary})
        for row in kept.to_dict("records")
    }
    if len(words) <= most:
        return words, ""
    badness, what = _badness(request, performance)
    if badness:
        pairs = zip(_levels(kept, factors), words, strict=True)
        ranked = sorted((-badness[one], key) for one, key in pairs if one in badness)
        picked = [ranked[0][1], ranked[len(ranked) // 2][1]]
        note = f"of {len(words)} conditions the one with {what}, and the median one"
    else:
        picked = [*words][:: len(words) // 2][:2]
        note = f"of {len(words)} conditions the first and the middle one"
    return {key: words[key] for key in picked}, note


def _levels(frame: pd.DataFrame, factors: Sequence[str]) -> list[tuple[Any, ...]]:
    return levels_by_row(columns_of(frame), factors)


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
            for levels, one in zip(_levels(cells, factors), away, strict=True):
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
    answers = [one.estimate for one in found] + [one.p_value for one in found if tests]
    if not any(np.isfinite(numbers).any() for numbers in answers):
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
        condition, estimand, method, interval = key
        rows = groups[key].sort_values("replicate", kind="stable")
        numbers = {
            name: rows[name].to_numpy(dtype=float) if name in rows else np.full(len(rows), np.nan)
            for name in ("estimate", "std_error", "lower", "upper", TEST)
        }
        truths = rows["truth"].to_numpy(dtype=float)
        truth, known = float(truths[0]), truths[np.isfinite(truths)]
        if len(known) and (known != known[0]).any():
            # Each data set has its own true value: numbers are shown less that, about 0.
            truth = 0.0
            numbers |= {name: numbers[name] - truths for name in ("estimate", "lower", "upper")}
        own = rows["replicate"].to_numpy()
        yield Replicates(conditions[condition], method, estimand, interval, truth, own, **numbers)


def evenly(count: int, most: int) -> Integers:
    """Return at most so many places of `count` ranks, evenly, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def budget(panels: int, most: int) -> int:
    """Return how many rows each panel may show."""
    return max(_LEAST_SHOWN, min(most, _MOST_ROWS // max(panels, 1)))


def titled(chart: Any, lines: Sequence[str]) -> Any:
    """Return a panel under a small title of several lines, each cut to its width."""
    texts = [line if len(line) <= 62 else line[:61] + "…" for line in lines if line]
    head, *rest = texts or [""]
    title = alt.TitleParams(head, subtitle=rest, fontSize=11, subtitleFontSize=10, offset=5)
    return chart.properties(title=title)


def check_panels(rows: Sequence[Replicates]) -> None:
    """Raise ResultsError where there is nothing to draw, or too much."""
    if not rows:
        raise ResultsError("there is nothing to draw here: no estimate with a true value")
    if len(rows) > _MOST_PANELS:
        raise ResultsError(
            f"{len(rows)} panels are too many for a figure ({_MOST_PANELS}); choose with where, "
            "estimand, method or interval"
        )


def rows_of_panels(request: Request, panels: Sequence[Panel], *, height: int = 170) -> Any:
    """Return panels, those of an estimand and condition in a row under their names."""
    blocks: dict[str, list[Any]] = {}
    conditions = {one.condition for one, _ in panels}
    estimands = {one.estimand for one, _ in panels}
    for one, panel in panels:
        names = [request.say(one.estimand)] if len(estimands) > 1 else []
        names += [one.condition] if len(conditions) > 1 else []
        blocks.setdefault(", ".join(names), []).append(panel)
    most = max(map(len, blocks.values()))
    width = round(max(105, min(320, _PAGE / min(most, _PER_ROW) - 45)))
    rows = [
        alt.concat(
            *(panel.properties(width=width, height=height) for panel in own),
            columns=_PER_ROW,
            spacing=18,
        )
        for own in blocks.values()
    ]
    return stacked(rows, list(blocks))


def by_panel(rows: Sequence[Replicates]) -> dict[tuple[str, str], list[Replicates]]:
    """Return the rows of each condition and estimand, all methods together."""
    return {key: list(own) for key, own in groupby(rows, attrgetter("condition", "estimand"))}


def one_grid(request: Request, panels: Sequence[Panel], *, height: int) -> Any:
    """Return panels side by side: conditions across, an estimand in each row."""
    across = len({one.condition for one, _ in panels})
    width = round(max(150, min(430, _PAGE / across - 60)))
    rows: dict[str, list[Any]] = {}
    for one, panel in panels:
        sized = panel.properties(width=width, height=height)
        if across > 1:
            lines = textwrap.wrap(one.condition, max(34, width // 7))[:3]
            sized = sized.properties(title=alt.TitleParams(lines, fontSize=11, offset=5))
        rows.setdefault(one.estimand, []).append(sized)
    drawn = [alt.hconcat(*row, spacing=24) for row in rows.values()]
    return stacked(drawn, [request.say(name) for name in rows])


def named(request: Request, one: Replicates) -> str:
    """Return whose rows they are: estimand, condition, method."""
    names = [request.say(one.estimand), one.condition, request.method_labels[one.method]]
    return ", ".join(filter(None, names))


def methods_of(rows: Sequence[Replicates]) -> list[str]:
    """Return the methods of some rows, each once."""
    return list(dict.fromkeys(one.method for one in rows))


def shown_methods(
    request: Request, rows: Sequence[Replicates], drawn: Sequence[str], lacks: str
) -> str:
    """Return the only method that is drawn, and those that are not, since they have no `lacks`."""
    left = [name for name in methods_of(rows) if name not in drawn]
    words = request.method_labels
    said = [f"method {words[drawn[0]]}"] if len(drawn) == 1 else []
    said += [f"not shown, as without {lacks}: {', '.join(words[m] for m in left)}"] if left else []
    return clauses(*said)


def only(request: Request, conditions: Mapping[str, str], rows: Sequence[Replicates]) -> str:
    """Return what all panels share: the condition, the estimand, how many replicates there are."""
    estimands = {one.estimand for one in rows}
    counts = {len(one.replicate) for one in rows}
    shared = [*conditions.values()] if len(conditions) == 1 else []
    shared += [request.say(name) for name in estimands] if len(estimands) == 1 else []
    most = f"{max(counts):,} replicates"
    count = most if len(counts) == 1 else f"up to {most}"
    return clauses(*shared, count, request.note)
