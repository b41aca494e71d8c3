"""Which cells of the measures a figure shows, and where: axis, colour, panels, order within."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mcstudy.analysis.precision import errors, target, with_limits
from mcstudy.analysis.query import names_of
from mcstudy.analysis.select import (
    Where,
    dimensions,
    is_missing,
    known_column,
    known_measures,
    levels_of,
    method_order,
    own_intervals,
    select,
    varying,
    wheres,
)
from mcstudy.columns import WORDS
from mcstudy.errors import ResultsError
from mcstudy.figures.style import (
    label,
    labelled,
    method_labels,
    unlike,
)
from mcstudy.measure import LEVEL, REJECTION, alphas_of
from mcstudy.tables.numbers import bounds_in_words, coverage_bounds, number_with_error

MOST_PANELS = 24  # what a page still shows legibly
MOST_COLUMNS = 5
MOST_ESTIMANDS = 12  # each has a block of its own, where nobody has chosen some
OTHERS = "choose others with where"
MOST_CELLS = 4000  # of 200 bytes each, so that a figure stays below a megabyte


class StudyTables(Protocol):
    """What a figure reads of a study: `mcstudy.results.Results` has it."""

    @property
    def study(self) -> dict[str, Any]:
        """The record, with labels."""

    @property
    def performance(self) -> pd.DataFrame:
        """The measures."""

    @property
    def conditions(self) -> pd.DataFrame:
        """The conditions: key and factors."""

    def rows(self, table: str, conditions: Sequence[str]) -> pd.DataFrame:
        """Return the rows of a table under some conditions."""


@dataclass(frozen=True)
class Request:
    """What is asked of a figure.

    Parameters
    ----------
    results : Results
        Of the study.
    x, y : str, optional
        The factors on the axes.
    facets : sequence of str, optional
        What has panels of its own.
    measure : str, optional
        Of a figure that can show several.
    where : mapping
        Levels by column.
    level : float
        The nominal level of the intervals.
    note : str
        What was left out, as nobody has chosen.
    """

    results: StudyTables
    x: str | None = None
    y: str | None = None
    facets: Sequence[str] | None = None
    measure: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    level: float = LEVEL
    note: str = ""

    @property
    def record(self) -> Mapping[str, Any]:
        """The study's, with its labels."""
        return self.results.study

    @cached_property
    def methods(self) -> list[str]:
        """All methods of the study, in its order, whatever is shown."""
        known = method_order(self.record)
        there = levels_of(self.results.performance, "method")
        return [*known, *(name for name in there if name not in known)]

    @cached_property
    def method_labels(self) -> dict[str, str]:
        """Their labels."""
        return method_labels(self.record, self.methods)

    def goal(self, measure: str) -> float | None:
        """Return what a measure should be, None where there is no such thing.

        That of a rejection is the level of the test: where the null hypothesis is true.
        """
        if measure == "coverage_of_all":
            return self.level
        if measure == REJECTION:
            return alphas_of(self.record.get("alpha"), self.level)[0]
        if measure.startswith(f"{REJECTION}_") and "difference" not in measure:
            return float(measure.removeprefix(f"{REJECTION}_"))
        wanted = target(measure, self.level)
        return None if math.isnan(wanted) else wanted

    def say(self, name: str) -> str:
        """Return a name in the words of the study."""
        return label(self.record, name)

    def say_measure(self, name: str) -> str:
        """Return what a measure is called, in the words of the study or the usual ones."""
        return label(self.record, name, "measure")

    def levels(self, name: str, levels: Sequence[Any]) -> list[str]:
        """Return levels as they are shown, each its own."""
        if name == "method":
            return [self.method_labels.get(level, str(level)) for level in levels]
        return unlike([labelled(self.record, name, level) for level in levels])

    def at(self, levels: Mapping[str, Any]) -> str:
        """Return a place in words: ``districts = 10, log``."""
        shown = [
            labelled(self.record, name, level)
            for name, level in levels.items()
            if not (is_missing(level) and name in WORDS)
        ]
        return ", ".join(shown)


@dataclass(frozen=True)
class Cells:
    """The numbers of a figure and how they vary.

    Parameters
    ----------
    frame : DataFrame
        Rows of `performance` that have a value, with limits.
    factors : list of str
        The factors that vary, the one that drives the measure most first.
    fixed : mapping of str to level
        The factors that do not, and estimand and interval where there is one.
    lost : int
        How many cells have no value of the first measure.
    """

    frame: pd.DataFrame
    factors: list[str]
    fixed: Mapping[str, Any]
    lost: int

    def varies(self, name: str) -> bool:
        """Return whether a column has several levels."""
        return name in self.frame and self.frame[name].nunique(dropna=False) > 1


def cells_of(request: Request, measures: Sequence[str], driven: str | None = None) -> Cells:
    """Return the cells of some measures; factors by their influence on the first, or on `driven`.

    Raises
    ------
    ResultsError
        If none of them has a value.
    """
    performance = request.results.performance
    names = known_measures(performance, measures)
    chosen = select(performance[performance["measure"].isin(names)], request.where)
    frame = with_limits(chosen)
    if frame.empty:
        raise ResultsError(f"no cell of {', '.join(names)} meets every condition of where")
    there = np.isfinite(frame["value"].to_numpy(dtype=float, na_value=np.nan))
    if not there.any():
        raise ResultsError(
            f"no cell has a value of {', '.join(names)}: {len(frame)} cells, none with "
            "replicates to measure; see mcstudy failures"
        )
    # Of several measures the first counts: others, as the mean SE, may be of some methods only.
    lost = int((~there & (frame["measure"] == names[0]).to_numpy()).sum())
    frame = frame[there]
    places = [name for name in dimensions(frame) if name != "measure"]
    vary = varying(frame, places)
    factors = by_influence(performance, driven or names[0], request.where, vary)
    fixed = {
        name: levels_of(frame, name)[0]
        for name in places
        if name not in vary and not (name in WORDS and frame[name].isna().all())
    }
    return Cells(frame, factors, fixed, lost)


def by_influence(
    performance: pd.DataFrame, measure: str, where: Where, vary: Sequence[str]
) -> list[str]:
    """Return the factors that vary, by their share in the variance of a measure between cells.

    The share is the sum of squares of a main effect, as in `mcstudy.comparison.anova`, less what
    Monte Carlo error alone would make it.
    """
    factors = [name for name in vary if name not in WORDS]
    cells = select(performance[performance["measure"] == measure], where)
    value = cells["value"].to_numpy(dtype=float, na_value=np.nan)
    there = np.isfinite(value)
    if len(factors) < 2 or not there.any():
        return factors
    value, cells = value[there], cells[there]
    noise = float(np.nan_to_num(errors(cells, by_limits=True) ** 2).mean())
    shares = {}
    for name in factors:
        level, levels = pd.factorize(cells[name], use_na_sentinel=False)
        count = np.bincount(level)
        away = np.bincount(level, value) / count - value.mean()
        shares[name] = float((count * away**2).sum()) - (len(levels) - 1) * noise
    return sorted(factors, key=lambda name: -shares[name])


@dataclass(frozen=True)
class Panels:
    """Which dimensions have rows and columns of panels, and which stand beside one another.

    Parameters
    ----------
    rows, columns, within : list of str
        Dimensions.
    """

    rows: list[str]
    columns: list[str]
    within: list[str]


def panels_of(request: Request, cells: Cells, taken: Sequence[str]) -> Panels:
    """Lay out what varies and is not `taken` by axis or colour; the estimand has blocks of its own.

    Raises
    ------
    ResultsError
        If the panels that were asked for are too many.
    """
    count = {n: cells.frame[n].nunique(dropna=False) for n in cells.frame}
    blocks = count["estimand"] if "estimand" not in taken else 1
    kinds = () if own_intervals(cells.frame) else ("interval",)
    free = [n for n in (*kinds, *cells.factors) if cells.varies(n) and n not in taken]
    if request.facets is not None:
        wanted = [name for name in request.facets if name in free]
        panels = math.prod(count[name] for name in wanted) * blocks
        if panels > MOST_PANELS:
            raise ResultsError(
                f"facets {', '.join(wanted)}: {panels} panels are too many for a figure "
                f"({MOST_PANELS}); give fewer, or choose levels with where"
            )
        rest = [name for name in free if name not in wanted]
        return Panels(wanted[1:], wanted[:1], rest)
    rows, columns, within = list[str](), list[str](), list[str]()
    across, down = 1, blocks
    for name in free:
        if across * count[name] <= MOST_COLUMNS and across * count[name] * down <= MOST_PANELS:
            columns.append(name)
            across *= count[name]
        elif down * count[name] * across <= MOST_PANELS and not rows:
            rows.append(name)
            down *= count[name]
        else:
            within.append(name)
    return Panels(rows, columns, within)


def checked_factor(request: Request, name: str | None, cells: Cells) -> str | None:
    """Return a factor that was asked for; ResultsError if there is none of this name."""
    if name is not None:
        known_column(cells.frame, name)
        if name == "measure":
            raise ResultsError("the measure is on the other axis; give a factor")
    return name


def level_codes(frame: pd.DataFrame, name: str) -> np.ndarray[Any, Any]:
    """Return the place of each row's level among those of a column, in their order."""
    levels = levels_of(frame, name)
    order = {None if is_missing(level) else level: i for i, level in enumerate(levels)}
    return np.array([order[None if is_missing(level) else level] for level in frame[name]], int)


def places(
    request: Request, frame: pd.DataFrame, names: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the place of each row in words by some dimensions, and all places in order."""
    if not names:
        return [""] * len(frame), [""]
    shown = [request.levels(name, levels_of(frame, name)) for name in names]
    keys = list(zip(*(level_codes(frame, name).tolist() for name in names), strict=True))
    texts = {
        key: ", ".join(words[i] for words, i in zip(shown, key, strict=True))
        for key in sorted(set(keys))
    }
    texts = dict(zip(texts, unlike(list(texts.values())), strict=True))
    return [texts[key] for key in keys], list(texts.values())


def thinned(frame: pd.DataFrame, most: int = MOST_CELLS) -> tuple[pd.DataFrame, str]:
    """Return at most so many rows, of conditions drawn once and for all; and a note if fewer."""
    if len(frame) <= most:
        return frame, ""
    factors = [n for n in dimensions(frame) if n not in WORDS]
    if not factors:
        return frame.iloc[:most], f"the first {most} of {len(frame)} cells"
    condition = frame.groupby(factors, sort=False, dropna=False).ngroup().to_numpy()
    total = int(condition.max()) + 1
    count = max(1, total * most // len(frame))
    drawn = np.random.default_rng(0).permutation(total)[:count]  # the same ones each time
    kept = frame[np.isin(condition, drawn)].iloc[:most]
    return kept, f"{count} of {total} conditions, drawn at random; {OTHERS}"


def shown(row: Mapping[Any, Any]) -> str:
    """Return value and error as the tables show them."""
    return number_with_error(row["value"], row["mcse"], row["lower"], row["upper"])


def records(
    request: Request, frame: pd.DataFrame, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield what a mark says of each cell: value, limits, method, and words for the tooltip.

    A coverage that lacks intervals has its bounds, too.
    """
    labels = request.method_labels
    for row in frame.to_dict("records"):
        bounds = bounds_of(row)
        ends = {"b": rounded(bounds[0]), "d": rounded(bounds[1])} if bounds else {}
        yield {
            "v": rounded(row["value"]),
            "l": rounded(row["lower"]),
            "u": rounded(row["upper"]),
            "m": labels[row["method"]],
            "t": f"{shown(row)} {bounds_in_words(bounds)}".strip(),
            "n": f"{row['used']}/{row['replicates']}",
            "c": request.at({name: row[name] for name in names}),
            **ends,
        }


def bounds_of(row: Mapping[Any, Any]) -> tuple[float, float] | None:
    """Return the bounds of a coverage that lacks intervals."""
    return coverage_bounds(row["measure"], row["value"], row["used"], row["replicates"])


def rounded(number: float) -> float | None:
    """Return a number to six digits, None where there is none: more no picture shows."""
    return float(f"{number:.6g}") if math.isfinite(number) else None


def where_of(where: Where, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `where` and what is given by name as one.

    Raises
    ------
    ResultsError
        If a name stands in both.
    """
    found: dict[str, Any] = wheres(where)
    for name, value in given.items():
        if value is None:
            continue
        if name in found:
            raise ResultsError(f"{name} is given, and stands in where; give it once")
        found[name] = names_of(value, name)
    return found
