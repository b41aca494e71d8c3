"""Measures to a table: which dimension runs down, which across, and what stays fixed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from mcstudy.analysis.precision import target, with_limits
from mcstudy.analysis.query import names_of
from mcstudy.analysis.select import (
    Where,
    dimensions,
    known_column,
    known_measures,
    labelled,
    labels_of,
    levels_of,
    named,
    own_intervals,
    select,
    varying,
    wheres,
)
from mcstudy.arguments import is_proportion, short
from mcstudy.columns import COUNTS, VALUES, WORDS
from mcstudy.errors import ResultsError
from mcstudy.labels import Labels, label, measure_words
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed, checked_format
from mcstudy.tables.numbers import (
    BOUNDS_MEANING,
    ROUNDING,
    bounds_in_words,
    coverage_bounds,
    number_with_error,
)

Names: TypeAlias = str | Sequence[str] | None
Orders: TypeAlias = Mapping[str, Sequence[Any]]
"""The levels that were asked for, by dimension, in their order."""

_NUMBERS = ("value", "mcse", *COUNTS)


@dataclass(frozen=True)
class Layout:
    """What a table shows and where: dimensions that run down and across, and their levels.

    An entry, by row and column, has value, mcse, lower, upper, used, replicates, whether it is
    `marked` as off its target by more than its error, and the `bounds` of a coverage, in words. A
    cell that does not exist is not there.
    """

    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    columns: tuple[tuple[Any, ...], ...]
    entries: Mapping[tuple[int, int], Any]


@dataclass(frozen=True)
class Table(Printed):
    """A table of measures; ``str`` gives it in its format, a notebook shows it as HTML.

    Parameters
    ----------
    title : str
        What its entries are.
    layout : Layout
        What it shows and where.
    notes : tuple of str
        What a reader must know to read it.
    frame : DataFrame
        The cells it was made of.
    format : {"text", "markdown", "latex", "csv", "html"}
        What ``str`` gives.
    """

    title: str
    layout: Layout
    notes: tuple[str, ...]
    frame: pd.DataFrame
    format: str = "text"

    def __str__(self) -> str:
        return self.to(self.format)

    def document(self) -> Document:
        """Return the table as text cells, and its numbers as a frame."""
        of, words = self.layout, labels_of(self.frame)
        labels, heads = self._labels(words), self._heads(words)
        lines = [[of.entries.get((i, j)) for j in range(len(heads))] for i in range(len(labels))]
        # On how many replicates a number rests is left out where all have the same.
        whole = self.frame["replicates"].nunique() == 1
        columns = [_column_in_words(column, whole) for column in zip(*lines, strict=True)]
        rows = [[*a, *b] for a, b in zip(labels, zip(*columns, strict=True), strict=True)]
        count = len(of.row_names)
        names = [label(words, name, "factor") for name in of.row_names]
        names += ["\n".join(head) or "value" for head in heads]
        grid = Grid(names, rows, labels=count, repeated=count, folds=True)
        numbers = [
            [*levels, *(getattr(entry, kind, None) for entry in line for kind in _NUMBERS)]
            for levels, line in zip(self._labels({}), lines, strict=True)
        ]
        kinds = [" ".join([*head, kind]) for head in self._heads({}) for kind in _NUMBERS]
        frame = pd.DataFrame(numbers, columns=[*of.row_names, *kinds], dtype=object)
        measures = list(dict.fromkeys(self.frame["measure"]))
        return Document(
            self.title,
            [Block(grid=grid)],
            self.notes,
            [frame],
            caption=_caption(measures, words),
            label="tab:" + "-".join(re.sub(r"[^A-Za-z0-9]+", "-", name) for name in measures),
        )

    def _labels(self, words: Labels) -> list[list[str]]:
        """Return what names each row: blank what a measure does not have, as bias no interval."""
        names = self.layout.row_names
        return [
            [
                "" if n in WORDS and pd.isna(x) else _one_line(labelled(n, x, words))
                for n, x in zip(names, row, strict=True)
            ]
            for row in self.layout.rows
        ]

    def _heads(self, words: Labels) -> list[list[str]]:
        """Return what names each column, a text for each dimension."""
        names = self.layout.column_names
        return [
            [_one_line(named(n, x, words)) for n, x in zip(names, column, strict=True)]
            for column in self.layout.columns
        ]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _column_in_words(entries: Sequence[Any], whole: bool) -> list[str]:
    """Return the entries of a column: value and mark, error, used/of, bounds, each in line."""
    parts = []
    for entry in entries:
        if entry is None:
            parts.append(("",) * 5)
            continue
        shown = number_with_error(entry.value, entry.mcse, entry.lower, entry.upper)
        value, _, error = shown.partition(" ")
        all_used = whole and entry.used == entry.replicates
        used = "" if all_used else f"{entry.used}/{entry.replicates}"
        parts.append((value, "*" if entry.marked else "", error, used, entry.bounds))
    widths = [max(map(len, part)) for part in zip(*parts, strict=True)]
    return [
        f"{value:>{widths[0]}}{mark:<{widths[1]}} {error:>{widths[2]}}"
        + (f" {used:>{widths[3]}}" if widths[3] else "")
        + (f" {bounds:>{widths[4]}}" if widths[4] else "")
        for value, mark, error, used, bounds in parts
    ]


def _caption(measures: Sequence[str], labels: Labels) -> str:
    """Return measures in the words of the study or the usual ones: ``Bias and RMSE: value ...``."""
    words: list[str] = []
    for name in measures:
        own = label(labels, name, "measure")
        text = measure_words(name) if own == name else own
        is_word = own == name and text[1:2].islower() and words
        words.append(text[:1].lower() + text[1:] if is_word else text)
    *first, last = words
    shown = f"{', '.join(first)} and {last}" if first else last
    return f"{shown}: value (Monte Carlo standard error)"


def table(
    performance: pd.DataFrame,
    measure: str | Sequence[str],
    *,
    rows: Names = None,
    columns: Names = None,
    where: Where = None,
    level: float = 0.95,
    format: str = "text",  # noqa: A002 - the command line's word
) -> Table:
    """Lay out measures as a table of value (Monte Carlo standard error).

    Parameters
    ----------
    performance : DataFrame
        A table of measures: ``Results.performance``, ``Results.comparisons``, or any like them.
    measure : str or sequence of str
        One or several, as a list or with commas.
    rows, columns : str or sequence of str, optional
        The dimensions that run down and across: factors, method, estimand, interval, measure; in
        a text with commas a name that has one stands in double quotes, ``'"a,b", n'``. By
        default the methods run across. All else that varies runs down, after `rows`; nothing is
        averaged.
    where : mapping or str, optional
        What is kept, ``{"estimand": "group1_var", "n": [10, 30]}`` or ``"n=10|30"``.
    level : float, default 0.95
        Nominal coverage. An asterisk marks coverage whose Monte Carlo limits exclude it, and bias
        (or another measure with a target) whose limits exclude the target.
    format : {"text", "markdown", "latex", "csv", "html"}
        What ``str`` of the table gives.

    Raises
    ------
    ResultsError
        For unknown names, and where two numbers have the same place.
    """
    checked_format(format)
    if not is_proportion(level):
        raise ResultsError(f"level is {short(level)}; give a share like 0.95")
    if not isinstance(performance, pd.DataFrame) or not {"measure", *_NUMBERS} <= set(performance):
        raise ResultsError(
            f"performance is {short(performance)}; give a table of measures, as "
            "Results.performance is"
        )
    measures = known_measures(performance, measure)
    chosen = performance[performance["measure"].isin(measures)]
    frame = with_limits(select(chosen, where))
    # Measures without an estimand or interval join the only one that there is.
    for name in frame.columns.intersection(["estimand", "interval"]):
        if len(levels := frame[name].dropna().unique()) == 1:
            frame = frame.assign(**{name: frame[name].fillna(levels[0])})
    down, across = _places(frame, rows, columns, measures)
    # A measure without a target has NaN for one, which no limit excludes.
    goals = pd.Series([target(str(name), level) for name in frame["measure"]], frame.index)
    off = (frame["lower"] > goals) | (frame["upper"] < goals)
    off &= (frame["value"] - goals).abs() > ROUNDING * goals.abs()
    orders = wheres(where) | {"measure": measures}
    layout = _lay_out(frame, (down, across), orders, off)
    asked = {name: levels for name, levels in wheres(where).items() if name == "method"}
    notes = [
        *_notes(frame, [*down, *across]),
        *([BOUNDS_MEANING] if any(entry.bounds for entry in layout.entries.values()) else []),
        *_marks(set(zip(goals[off], frame["measure"][off], strict=True)), labels_of(frame)),
        *_lacking(select(performance, asked), frame, measures),
    ]
    words = labels_of(frame)
    shown = (label(words, name, "measure") for name in _levels(frame, "measure", orders))
    title = f"{', '.join(shown)}: value (Monte Carlo standard error)"
    return Table(title, layout, tuple(notes), frame.reset_index(drop=True), format)


def _places(
    frame: pd.DataFrame, rows: Names, columns: Names, measures: list[str]
) -> tuple[list[str], list[str]]:
    """Return the dimensions that run down, all that varies and has no place, and across.

    Raises
    ------
    ResultsError
        For an unknown one, one that is in both, where two numbers share a place, and where there
        is no number.
    """
    # An empty list is no name at all; an empty text is refused.
    down, across = (
        []
        if names is None or (isinstance(names, list | tuple) and not names)
        else names_of(names, which)
        for names, which in ((rows, "rows"), (columns, "columns"))
    )
    for name in [*down, *across]:
        known_column(frame, name)
    if both := set(down) & set(across):
        raise ResultsError(f"{min(both)} is in rows and in columns; give it one place")
    beside = ["interval"] if own_intervals(frame) else []  # the method tells it
    vary = [name for name in varying(frame, dimensions(frame)) if name not in beside]
    if columns is None and "method" in vary and "method" not in down:
        across = ["method"]
    if len(measures) > 1 and "measure" not in [*down, *across]:
        across = [*across, "measure"]
    down = [*down, *(name for name in vary if name not in [*down, *across])]
    if frame.empty:
        raise ResultsError("no cell meets every condition of where; drop one")
    places = [*down, *across]
    if len(frame) > 1 and (not places or frame.duplicated(places).any()):
        raise ResultsError("several numbers for one cell; give each row of the table its own key")
    return down, across


def _lay_out(
    frame: pd.DataFrame, places: tuple[list[str], list[str]], orders: Orders, off: pd.Series[bool]
) -> Layout:
    """Return the table of which some numbers are `off` their targets."""
    found, labels = [], []
    for names in places:
        levels = [_levels(frame, name, orders) for name in names]
        order = [{_hashable(level): i for i, level in enumerate(some)} for some in levels]
        keys = list(zip(*(map(_hashable, frame[name]) for name in names), strict=True))
        keys = keys or [()] * len(frame)
        found.append(keys)
        labels.append(
            sorted(set(keys), key=lambda k: [at[x] for at, x in zip(order, k, strict=True)])
        )
    rows, columns = ({key: i for i, key in enumerate(some)} for some in labels)
    numbers = (
        frame[[*VALUES, *COUNTS]]
        .astype(dict.fromkeys(COUNTS, int))
        .assign(
            marked=off,
            bounds=[
                bounds_in_words(coverage_bounds(*cell))
                for cell in zip(*(frame[n] for n in ("measure", "value", *COUNTS)), strict=True)
            ],
        )
    )
    entries = {
        (rows[row], columns[column]): entry
        for row, column, entry in zip(
            *found, numbers.itertuples(index=False, name="Entry"), strict=True
        )
    }
    down, across = places
    return Layout(tuple(down), tuple(across), tuple(rows), tuple(columns), entries)


def _hashable(level: Any) -> Any:
    return None if level is None or pd.isna(level) else level


def _levels(frame: pd.DataFrame, name: str, orders: Orders) -> list[Any]:
    """Return the levels of a dimension, those that were asked for by name in that order."""
    levels = levels_of(frame, name)
    if name not in ("measure", "method", "estimand", "interval") or name not in orders:
        return levels
    wanted = [str(level) for level in orders[name]]
    return sorted(levels, key=lambda v: wanted.index(v) if v in wanted else len(wanted))


def _notes(frame: pd.DataFrame, placed: list[str]) -> Iterator[str]:
    """Yield what is fixed, and how many replicates there are."""
    words = labels_of(frame)
    own = {} if "interval" in placed else own_intervals(frame)
    if own:
        pairs = (
            f"{labelled('interval', interval, words)} of {labelled('method', method, words)}"
            for method, interval in own.items()
        )
        yield "intervals: " + ", ".join(pairs)
    throughout = [
        f"{label(words, name, 'factor')}={labelled(name, levels_of(frame, name)[0], words)}"
        for name in dimensions(frame)
        if name not in (*placed, "measure")
        and not (name == "interval" and own)
        and not (name in ("estimand", "interval") and frame[name].isna().all())
    ]
    if throughout:
        yield "throughout: " + ", ".join(throughout)
    fewest, most = int(frame["replicates"].min()), int(frame["replicates"].max())
    replicates = f"{most} replicate{'s' * (most != 1)}"
    count = replicates if fewest == most else f"{fewest} to {replicates}"
    some_used = (frame["used"] != frame["replicates"]).any() or fewest != most
    yield count + ("; a/b: the number rests on a of b" if some_used else "")
    if frame["value"].isna().any():
        yield "-: no number"


def _marks(marked: set[tuple[float, str]], words: Labels) -> Iterator[str]:
    """Yield what an asterisk means."""
    for goal, pairs in itertools.groupby(sorted(marked), lambda pair: pair[0]):
        names = ", ".join(label(words, name, "measure") for _, name in pairs)
        yield f"* the 95 % Monte Carlo limits of {names} exclude {goal:g}"


def _lacking(asked: pd.DataFrame, frame: pd.DataFrame, measures: list[str]) -> Iterator[str]:
    """Say which methods, of those that were asked for, have no cell of a measure."""
    words = labels_of(frame)
    for measure in measures if "method" in asked.columns else ():
        have = set(frame["method"][frame["measure"] == measure])
        lacking = [name for name in levels_of(asked, "method") if name not in have]
        if names := [labelled("method", name, words) for name in lacking]:
            yield f"no {label(words, measure, 'measure')} of {', '.join(names)}"
