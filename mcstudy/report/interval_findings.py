"""What a study found of its intervals, in sentences: coverage, rejection, width."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.measure import rejection_at
from mcstudy.report.sentences import (
    MOST,
    Finding,
    StudyWords,
    cells_in_words,
    left_out,
    percent,
    quantile,
    range_of,
    share,
)
from mcstudy.simulation.validation import TEST
from mcstudy.tables.numbers import FEW_MISSING, number_with_error

_CELL = ["method", "interval", "estimand"]
# Columns beside the factors, none of which can be called so.
_LEAST, _MOST, _LOW, _HIGH = "\0least", "\0most", "\0low", "\0high"
_LACKS, _NULL, _SIZE = "\0lacks", "\0null", "\0size"
_ENOUGH, _HALF = 20, 0.5
"""Intervals, and the error as a share of the mean, from which on a few of them make it.

One that is far wider than all others makes the error as large as the mean; an error of half of it
from 20 intervals is a standard deviation of more than twice the mean.
"""


def coverage(study: StudyWords) -> Iterator[Finding]:
    """Yield what is said of the coverage of each interval, the lowest first."""
    cells, level = study.rows("coverage"), study.level
    # An interval that exists somewhere is missing where it has no coverage.
    exists = cells.groupby(_CELL)["value"].transform("count") > 0
    cells = cells[exists].reset_index(drop=True)
    if cells.empty:
        return
    # The score test: its limits are Wilson's.
    used = cells["used"].to_numpy(dtype=float)
    error = np.sqrt(level * (1 - level) / np.maximum(used, 1))
    z = (cells["value"].to_numpy(dtype=float) - level) / error
    away = quantile(int(cells["value"].notna().sum()))
    hits, of = cells["value"] * cells["used"], cells["replicates"]
    missing = of - cells["used"]
    gaps = missing > FEW_MISSING * of
    cells[_LOW], cells[_LACKS], cells[_HIGH] = z < -away, gaps, (z > away) & ~gaps
    # The share if missing intervals count as 0, and as 1: all are missing where it is NaN.
    cells[_LEAST], cells[_MOST] = (hits / of).fillna(0.0), ((hits + missing) / of).fillna(1.0)
    groups = [rows for _, rows in cells.groupby(_CELL, sort=False)]
    below = sorted((g for g in groups if g[_LOW].any()), key=lambda rows: rows["value"].min())
    yield from _told(below, lambda rows: _low(study, rows), f"below {100 * level:g} %")
    lacking = [rows for rows in groups if rows[_LACKS].any() and not rows[_LOW].any()]
    lacking.sort(key=lambda rows: _worst(rows)[_LEAST])
    yield from _told(lacking, lambda rows: _lacking(study, rows), "missing in more than 1 %")
    rest = [rows for rows in groups if not (rows[_LOW] | rows[_LACKS]).any()]
    if len(groups) == len(cells) == len(rest) == 1:
        (row,) = cells.to_dict("records")
        if not row[_HIGH]:
            yield Finding(
                f"The {study.interval(row)} contains {study.word(row, 'estimand')} in "
                f"{percent(row)} of the data sets: {100 * level:g} % within Monte Carlo error."
            )
    elif rest:
        yield _enough(study, pd.concat(rest, ignore_index=True), len(rest), len(groups))
    if len(over := cells[cells[_HIGH]]):
        yield _above(study, over, len(cells))


def _enough(study: StudyWords, cells: pd.DataFrame, count: int, of: int) -> Finding:
    """Return the sentence on the intervals that cover enough, `count` of them `of` all."""
    lowest = cells.iloc[cells["value"].argmin()]
    subject = "No coverage is"
    if count < of:
        others = "interval" if count == 1 else f"{count} of {of} intervals"
        which = f"coverage of the other {others}, counted by method and estimand, is"
        subject = f"The {which} not" if count == 1 else f"No {which}"
    return Finding(
        f"{subject} below {100 * study.level:g} % by more than Monte Carlo error; the lowest is "
        f"{percent(lowest)}, of {study.word(lowest, 'estimand')} by the {study.interval(lowest)}"
        f"{study.place(lowest)}."
    )


def _above(study: StudyWords, over: pd.DataFrame, total: int) -> Finding:
    """Return the sentence on the cells whose coverage is above the level."""
    most = over.iloc[over["value"].argmax()]
    return Finding(
        f"{cells_in_words(len(over), total)} the coverage is above {100 * study.level:g} %: most "
        f"of {study.word(most, 'estimand')} by the {study.interval(most)}, {percent(most)}"
        f"{study.place(most)}."
    )


def _told(
    groups: Sequence[pd.DataFrame], sentence: Callable[[pd.DataFrame], str], what: str
) -> Iterator[Finding]:
    """Yield a sentence on each of the first groups, with a sign, and one on how many more."""
    for rows in groups[:MOST]:
        yield Finding(sentence(rows), warns=True)
    if (more := len(groups) - MOST) > 0:
        are = "intervals are" if more > 1 else "interval is"
        yield Finding(f"{more} more {are} {what} in some condition.", warns=True)


def _low(study: StudyWords, rows: pd.DataFrame) -> str:
    """Return the sentence on an interval that covers too little somewhere."""
    first = rows.iloc[rows["value"].argmin()]
    low = int(rows[_LOW].sum())
    lowest = f"{', lowest' if len(rows) > 1 else ''}{study.place(first)}"
    text = (
        f"The {study.interval(first)} contains {study.word(first, 'estimand')} in {range_of(rows)} "
        f"of the data sets{' in which it exists' * bool(rows[_LACKS].any())}{lowest}; "
        f"nominal {100 * study.level:g} %"
    )
    if low < len(rows):
        text += f"; below it in {low} of {len(rows)} conditions"
    lacks = f" Some are missing{_bounds(study, _worst(rows))}." if rows[_LACKS].any() else ""
    return f"{text}.{lacks}"


def _lacking(study: StudyWords, rows: pd.DataFrame) -> str:
    """Return the sentence on an interval that covers enough where it exists, but is missing."""
    row = _worst(rows)
    lost = 1 - row["used"] / row["replicates"]
    text = (
        f"The {study.interval(row)} for {study.word(row, 'estimand')} is missing in "
        f"{share(lost, row['replicates'])} of the data sets{_bounds(study, row)}"
    )
    if len(rows) > 1:
        text += (
            f"; it is missing in more than 1 % in {rows[_LACKS].sum()} of {len(rows)} conditions"
        )
    return f"{text}."


def _worst(rows: pd.DataFrame) -> pd.Series[Any]:
    """Return the cell with the lowest bound of a coverage that lacks intervals."""
    worst: pd.Series[Any] = rows[rows[_LACKS]].sort_values([_LEAST, _MOST]).iloc[0]
    return worst


def _bounds(study: StudyWords, cell: pd.Series[Any]) -> str:
    """Return what the missing intervals of a cell mean for all of its data sets."""
    if not cell["used"]:
        return f"{study.place(cell)}: there is none"
    of = cell["replicates"]
    return (
        f"{study.place(cell)}: {share(cell[_LEAST], of)} of all data sets have one that contains "
        f"it, or {share(cell[_MOST], of)} if each missing one did"
    )


def rejection(study: StudyWords) -> Iterator[Finding]:
    """Yield how often each interval or test rejects a true null hypothesis, and a false one."""
    for measure, alpha in rejection_at(study.alphas).items():
        yield from _rejection(study, measure, alpha)


def _rejection(study: StudyWords, measure: str, alpha: float) -> Iterator[Finding]:
    """Yield the same at one level of the tests."""
    cells = study.cells(measure)
    if cells.empty:
        return
    # An interval rejects as often as it misses, a test by p-values at the study's alpha.
    sizes = np.where(cells["interval"] == TEST, alpha, 1 - study.level)
    error = np.sqrt(sizes * (1 - sizes) / cells["used"].to_numpy(dtype=float))
    z = (cells["value"].to_numpy(dtype=float) - sizes) / error
    cells = cells.assign(**{_NULL: study.null_is(cells)})
    cells[_SIZE] = sizes
    cells[_HIGH] = (cells[_NULL] == "true") & (z > quantile(len(cells)))
    groups = cells.groupby(["method", "interval", "estimand", _NULL], sort=False)
    told = list[Finding]()
    for _, rows in groups:
        gaps = (rows["used"] < (1 - FEW_MISSING) * rows["replicates"]).any()
        text = _rejects(study, rows, alpha, in_which=" in which it exists" if gaps else "")
        if gaps:  # a missing interval or p-value rejects nothing
            counts = rows["replicates"].tolist()
            parts = (rows["value"] * rows["used"] / rows["replicates"]).tolist()
            ends = sorted(zip(parts, counts, strict=True))
            shown = " to ".join(dict.fromkeys(share(*end) for end in (ends[0], ends[-1])))
            text += f"; in {shown} of all data sets"
        told.append(Finding(f"{text}.", warns=bool(rows[_HIGH].any())))
    told.sort(key=lambda finding: not finding.warns)
    yield from told[: 2 * MOST]  # size and power
    yield from left_out(told[MOST:], "rejection rate")


def _rejects(study: StudyWords, rows: pd.DataFrame, alpha: float, in_which: str) -> str:
    """Return how often an interval or test rejects, and whether it should."""
    first = rows.iloc[0]
    at = f" at {100 * alpha:g} %" if len(study.alphas) > 1 else ""
    where = {
        "true": f" where it is true (nominal {100 * first[_SIZE]:g} %){_most(study, rows)}",
        "false": f" where it is false (its power{at})",
        "unknown": f", at the level {100 * alpha:g} %" if at else "",
    }[first[_NULL]]
    what = "hypothesis" if first["interval"] == TEST else "value"
    return (
        f"The {study.interval(first)} rejects the null {what} of {study.word(first, 'estimand')} "
        f"in {range_of(rows)} of the data sets{in_which}{where}"
    )


def _most(study: StudyWords, rows: pd.DataFrame) -> str:
    """Return where the largest of several sizes of a test is, if any is too large."""
    if len(rows) < 2 or not rows[_HIGH].any():
        return ""
    return f", most{study.place(rows.iloc[rows['value'].argmax()])}"


def widths(study: StudyWords) -> Iterator[Finding]:
    """Yield the intervals whose mean width is that of a few extreme ones."""
    cells = study.cells("width")
    error, width = (cells[name].to_numpy(dtype=float) for name in ("mcse", "value"))
    few = (cells["used"] >= _ENOUGH) & (error > _HALF * width)
    found = cells[few].sort_values("value", ascending=False, kind="stable")
    rows = found.drop_duplicates(["method", "interval", "estimand"]).to_dict("records")
    for row in rows[:MOST]:
        yield Finding(
            f"The mean width of the {study.interval(row)} for {study.word(row, 'estimand')} is "
            f"{number_with_error(row['value'], row['mcse'])}{study.place(row)}: a few very wide "
            "intervals dominate it.",
            warns=True,
        )
    yield from left_out(rows, "mean width")
