"""Which cells of the measures a figure shows, and where: axis, colour, panels, order within."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mcstudy.analysis.precision import errors, target, with_limits
from mcstudy.analysis.select import (
    Where,
    dimensions,
    first_measure,
    is_missing,
    known_measures,
    levels_of,
    method_order,
    select,
    varying,
)
from mcstudy.columns import WORDS
from mcstudy.errors import ResultsError
from mcstudy.figures.style import label, labelled, level_label, method_labels, unlike
from mcstudy.measure import LEVEL, REJECTION, alphas_of
from mcstudy.tables.numbers import bounds_in_words, coverage_bounds, number_with_error

MOST_PANELS = 24  # what a page still shows legibly
MOST_ESTIMANDS = 12  # each has a block of its own, where nobody has chosen some
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

    `facets` are what has panels of its own, `measure` is of a figure that can show several, `level`
    is the nominal one of the intervals, and `note` says what was left out, as nobody has chosen.
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
        if measure == REJECTION:
            return alphas_of(self.record.get("alpha"), self.level)[0]
        if measure.startswith(f"{REJECTION}_") and "difference" not in measure:
            return float(measure.removeprefix(f"{REJECTION}_"))
        wanted = target(measure, self.level)
        return None if math.isnan(wanted) else wanted

    def first_measure(self) -> str:
        """Return the measure that was asked for, or else the one to look at first."""
        return self.measure or first_measure(self.results.performance)

    def say(self, name: str) -> str:
        """Return a name in the words of the study."""
        return label(self.record, name)

    def say_measure(self, name: str) -> str:
        """Return what a measure is called, in the words of the study or the usual ones."""
        return label(self.record, name, "measure")

    def levels(self, name: str, levels: Sequence[Any]) -> list[str]:
        """Return levels that explain themselves, ``n = 10``, each its own."""
        words = self.levels_alone(name, levels)
        return (
            words
            if name in WORDS
            else [f"{label(self.record, name, 'factor')} = {text}" for text in words]
        )

    def levels_alone(self, name: str, levels: Sequence[Any]) -> list[str]:
        """Return the same levels where the factor is named beside them: ``10``."""
        if name == "method":
            return [self.method_labels.get(level, str(level)) for level in levels]
        return unlike([level_label(self.record, name, level) for level in levels])

    def at(self, levels: Mapping[str, Any]) -> str:
        """Return a place in words: ``districts = 10, log``."""
        return ", ".join(
            labelled(self.record, name, level)
            for name, level in levels.items()
            if not (is_missing(level) and name in WORDS)
        )


@dataclass(frozen=True)
class Cells:
    """The numbers of a figure and how they vary.

    `frame` has the rows of `performance` with a value, and limits. Of `factors`, which vary, the
    one that drives the measure most comes first. `fixed` are the others, and estimand and interval
    where there is one. So many cells as `lost` have no value of the first measure.
    """

    frame: pd.DataFrame
    factors: list[str]
    fixed: Mapping[str, Any]
    lost: int

    def varying(self, *names: str) -> list[str]:
        """Return those of the columns that have several levels."""
        return varying(self.frame, [name for name in names if name in self.frame])


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


def check_axes(*names: str | None) -> None:
    """Raise ResultsError if the measure itself is asked for where a factor is wanted."""
    if "measure" in names:
        raise ResultsError("the measure is on the other axis; give a factor")


def level_codes(frame: pd.DataFrame, name: str) -> np.ndarray[Any, Any]:
    """Return the place of each row's level among those of a column, in their order."""
    order = {level: i for i, level in enumerate(levels_of(frame, name))}
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


def short_places(
    request: Request, frame: pd.DataFrame, names: Sequence[str]
) -> tuple[list[str], list[str], str]:
    """Return labels of levels alone, ``8 / 3``, all of them in order, and the title ``n / k``."""
    own, known = places(request, frame, names)
    alone = [
        " / ".join(request.levels_alone(name, [row[name]])[0] for name in names)
        for row in frame[list(names)].to_dict("records")
    ]
    texts = dict(zip(own, alone, strict=True)) if names else {"": ""}
    if len(set(texts.values())) < len(texts):
        texts = {text: text for text in known}
    title = " / ".join(request.say(name) for name in names)
    return [texts[text] for text in own], [texts[text] for text in known], title


def thinned(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return at most `MOST_CELLS` rows, of conditions drawn once and for all; a note if fewer."""
    if len(frame) <= MOST_CELLS:
        return frame, ""
    factors = [n for n in dimensions(frame) if n not in WORDS]
    if not factors:
        return frame.iloc[:MOST_CELLS], f"the first {MOST_CELLS} of {len(frame)} cells"
    condition = frame.groupby(factors, sort=False, dropna=False).ngroup().to_numpy()
    total = int(condition.max()) + 1
    count = max(1, total * MOST_CELLS // len(frame))
    drawn = np.random.default_rng(0).permutation(total)[:count]  # the same ones each time
    kept = frame[np.isin(condition, drawn)].iloc[:MOST_CELLS]
    return kept, f"{count} of {total} conditions, drawn at random"


def with_error(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    """Return value and error as the tables show them."""
    return number_with_error(row["value"], row["mcse"], row["lower"], row["upper"])


def records(
    request: Request, frame: pd.DataFrame, names: Sequence[str], **more: Sequence[Any]
) -> list[dict[str, Any]]:
    """Return what a mark says of each cell: value, limits, method, words for the tooltip, and more.

    A coverage that lacks intervals has its bounds, too. `names` tell where a cell is; `more` are
    columns of the marks.
    """
    found = []
    for i, row in enumerate(frame.to_dict("records")):
        bounds = bounds_of(row)
        one: dict[str, Any] = {
            "v": rounded(row["value"]),
            "l": rounded(row["lower"]),
            "u": rounded(row["upper"]),
            "m": request.method_labels[row["method"]],
            "t": f"{with_error(row)} {bounds_in_words(bounds)}".strip(),
            "n": f"{row['used']}/{row['replicates']}",
            "c": request.at({name: row[name] for name in names}),
        }
        if bounds:
            one |= {"b": rounded(bounds[0]), "d": rounded(bounds[1])}
        found.append(one | {name: column[i] for name, column in more.items()})
    return found


def bounds_of(row: Mapping[Any, Any]) -> tuple[float, float] | None:
    """Return the bounds of a coverage that lacks intervals."""
    return coverage_bounds(row["measure"], row["value"], row["used"], row["replicates"])


def rounded(number: float) -> float | None:
    """Return a number to six digits, None where there is none: more no picture shows."""
    return float(f"{number:.6g}") if math.isfinite(number) else None
