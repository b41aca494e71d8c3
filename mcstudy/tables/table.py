"""Measures to a table: which dimension runs down, which across, and what stays fixed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import pandas as pd

from mcstudy.analysis.precision import target, with_limits
from mcstudy.analysis.query import names_of
from mcstudy.analysis.select import (
    Where,
    dimensions,
    in_words,
    known_column,
    known_measures,
    levels_of,
    select,
    wheres,
)
from mcstudy.arguments import is_proportion, short
from mcstudy.errors import ResultsError
from mcstudy.tables.document import Document
from mcstudy.tables.formats import Printed, checked_format
from mcstudy.tables.layout import Entry, Layout

Names: TypeAlias = str | Sequence[str] | None


@dataclass(frozen=True)
class Table(Printed):
    """A table of measures; ``str`` gives it in its format, a notebook shows it as HTML.

    Parameters
    ----------
    layout : Layout
        What it shows and where.
    frame : DataFrame
        The cells it was made of.
    format : {"text", "markdown", "latex", "csv", "html"}
        What ``str`` gives.
    """

    layout: Layout
    frame: pd.DataFrame
    format: str = "text"

    def document(self) -> Document:
        """Return title, table and notes."""
        return self.layout.document()

    def __str__(self) -> str:
        return self.to(self.format)


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
    if not isinstance(performance, pd.DataFrame) or not {
        "measure",
        "value",
        "mcse",
        "used",
        "replicates",
    } <= set(performance):
        raise ResultsError(
            f"performance is {short(performance)}; give a table of measures, as "
            "Results.performance is"
        )
    measures = known_measures(performance, measure)
    chosen = performance[performance["measure"].isin(measures)]
    frame = _joined(with_limits(select(chosen, where)))
    down, across = _places(frame, _listed(rows, "rows"), _listed(columns, "columns"), measures)
    _check_places(frame, down, across)
    orders = wheres(where) | {"measure": measures}
    layout = _lay_out(frame, (down, across), orders, level)
    asked = {name: levels for name, levels in wheres(where).items() if name == "method"}
    lacking = _lacking(select(performance, asked), frame, measures)
    layout = replace(layout, notes=(*layout.notes, *lacking))
    return Table(layout, frame.reset_index(drop=True), format)


def _listed(names: Names, which: str) -> list[str] | None:
    empty = isinstance(names, list | tuple) and not names
    return None if names is None else [] if empty else names_of(names, which)


def _joined(frame: pd.DataFrame) -> pd.DataFrame:
    """Let measures without an estimand or interval join the only one that there is."""
    for name in ("estimand", "interval"):
        if name in frame.columns:
            levels = frame[name].dropna().unique()
            if len(levels) == 1:
                frame = frame.assign(**{name: frame[name].fillna(levels[0])})
    return frame


def _lacking(asked: pd.DataFrame, frame: pd.DataFrame, measures: list[str]) -> list[str]:
    """Say which methods, of those that were asked for, have no cell of a measure."""
    lines = []
    for measure in measures if "method" in asked.columns else ():
        have = set(frame["method"][frame["measure"] == measure])
        if names := [in_words(name) for name in levels_of(asked, "method") if name not in have]:
            lines.append(f"no {measure} of {', '.join(names)}")
    return lines


def _places(
    frame: pd.DataFrame, rows: list[str] | None, columns: list[str] | None, measures: list[str]
) -> tuple[list[str], list[str]]:
    """Return the dimensions that run down, all that varies and has no place, and across."""
    for name in [*(rows or ()), *(columns or ())]:
        known_column(frame, name)
    if both := set(rows or ()) & set(columns or ()):
        raise ResultsError(f"{min(both)} is in rows and in columns; give it one place")
    varying = _varying(frame)
    across = [name for name in ("method",) if name in varying] if columns is None else columns
    across = [name for name in across if name not in (rows or ())]
    if len(measures) > 1 and "measure" not in [*(rows or ()), *across]:
        across = [*across, "measure"]
    down = rows or []
    return [*down, *(name for name in varying if name not in [*down, *across])], across


def _varying(frame: pd.DataFrame) -> list[str]:
    return [name for name in dimensions(frame) if frame[name].nunique(dropna=False) > 1]


def _check_places(frame: pd.DataFrame, rows: list[str], columns: list[str]) -> None:
    """Raise ResultsError where two numbers share a place, or nothing is left."""
    if frame.empty:
        raise ResultsError("no cell meets every condition of where; drop one")
    places = [*rows, *columns]
    if len(frame) > 1 and (not places or frame.duplicated(places).any()):
        raise ResultsError("several numbers for one cell; give each row of the table its own key")


def _lay_out(
    frame: pd.DataFrame,
    places: tuple[list[str], list[str]],
    orders: dict[str, list[Any]],
    level: float,
) -> Layout:
    down, across = places
    rows, columns = _labels(frame, down, orders), _labels(frame, across, orders)
    entries: dict[tuple[int, int], Entry] = {}
    marked_targets = set()
    for record in frame.to_dict("records"):
        goal = target(str(record["measure"]), level)
        # A measure without a target has NaN for one, which no limit excludes.
        off = bool(record["lower"] > goal or record["upper"] < goal)
        if off:
            marked_targets.add((str(record["measure"]), goal))
        row, column = (tuple(_hashable(record[name]) for name in names) for names in places)
        numbers = {name: record[name] for name in ("value", "mcse", "lower", "upper")}
        counts = {name: int(record[name]) for name in ("used", "replicates")}
        entries[rows[row], columns[column]] = Entry(**numbers, **counts, marked=off)
    return Layout(
        title=f"{', '.join(_levels(frame, 'measure', orders))}: value (Monte Carlo standard error)",
        row_names=tuple(down),
        column_names=tuple(across),
        rows=tuple(rows),
        columns=tuple(columns),
        entries=entries,
        notes=tuple(_notes(frame, [*down, *across], entries, marked_targets)),
        same_replicates=frame["replicates"].nunique() == 1,
    )


def _levels(frame: pd.DataFrame, name: str, orders: dict[str, list[Any]]) -> list[Any]:
    """Return the levels of a dimension, those that were asked for by name in that order."""
    levels = levels_of(frame, name)
    if name not in ("measure", "method", "estimand", "interval") or name not in orders:
        return levels
    wanted = [str(level) for level in orders[name]]
    return sorted(levels, key=lambda v: wanted.index(v) if v in wanted else len(wanted))


def _hashable(level: Any) -> Any:
    return None if level is None or pd.isna(level) else level


def _labels(
    frame: pd.DataFrame, names: list[str], orders: dict[str, list[Any]]
) -> dict[tuple[Any, ...], int]:
    """Return the combinations of levels that occur, in order, and the place of each."""
    places = [
        {_hashable(level): i for i, level in enumerate(_levels(frame, name, orders))}
        for name in names
    ]
    found = set(zip(*(map(_hashable, frame[name]) for name in names), strict=True)) or {()}
    labels = sorted(found, key=lambda label: [at[x] for at, x in zip(places, label, strict=True)])
    return {label: i for i, label in enumerate(labels)}


def _notes(
    frame: pd.DataFrame,
    placed: list[str],
    entries: dict[tuple[int, int], Entry],
    marked: set[tuple[str, float]],
) -> list[str]:
    """Return what is fixed, how many replicates there are, and what an asterisk means."""
    fixed = [name for name in dimensions(frame) if name not in (*placed, "measure")]
    throughout = [
        f"{name}={in_words(levels_of(frame, name)[0])}"
        for name in fixed
        if not (name in ("estimand", "interval") and frame[name].isna().all())
    ]
    notes = ["throughout: " + ", ".join(throughout)] if throughout else []
    fewest, most = int(frame["replicates"].min()), int(frame["replicates"].max())
    count = f"{most} replicates" if fewest == most else f"{fewest} to {most} replicates"
    if any(entry.used != entry.replicates for entry in entries.values()) or fewest != most:
        count += "; a/b: the number rests on a of b"
    notes.append(count)
    if any(math.isnan(entry.value) for entry in entries.values()):
        notes.append("-: no number")
    for goal, pairs in itertools.groupby(sorted(marked, key=lambda m: m[::-1]), lambda m: m[1]):
        names = ", ".join(name for name, _ in pairs)
        notes.append(f"* the 95 % Monte Carlo limits of {names} exclude {goal:g}")
    return notes
