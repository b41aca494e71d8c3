"""Published numbers in place of a second run: each row of a table to the cell that it is about.

The error of a published value is the one printed beside it (`mcse`). Where only the number of
replicates is known, it is ours for so many: if the two studies are the same, their errors differ
by the root of the numbers of replicates. A printed error of 0 is none, as of a share of 0. Rounding
to d digits adds 10^-d / sqrt(12), the standard deviation of a uniform distribution over one unit.
With none of these the value counts as exact. Our own error of a share is at least what it is if the
published one is right: that of the sample alone is too small where rare events are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mcstudy.analysis.precision import errors, shares
from mcstudy.analysis.query import Bare, listed, matching, written
from mcstudy.analysis.select import (
    FACTORS,
    Where,
    dimensions,
    is_missing,
    known_measures,
    levels_of,
    named,
    select,
    wheres,
)
from mcstudy.arguments import counted, suggestion
from mcstudy.arrays import Floats
from mcstudy.columns import NUMBERS, WORDS
from mcstudy.errors import ResultsError
from mcstudy.measure import Z

_OWN = (*NUMBERS, "digits")


@dataclass(frozen=True)
class Published:
    """A table of measures.

    Parameters
    ----------
    name : str
        Its file, for messages.
    frame : DataFrame
        measure, value, and where they are known method, estimand, interval, factors, mcse,
        replicates and digits, the decimals to which the value is rounded.
    """

    name: str
    frame: pd.DataFrame


def published_cells(
    published: Published, performance: pd.DataFrame, where: Where
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Return the numbers of the run and the published ones, as if another run had made these.

    Parameters
    ----------
    published : Published
        The table. An empty level, or a column that it lacks, stands for the only one there is.
    performance : DataFrame
        The measures of the run.
    where : mapping or str, optional
        Which cells of both.

    Returns
    -------
    ours, theirs : DataFrame
        Like `performance`, of the cells that both have; those of the table with its numbers.
    alone : DataFrame
        The rows of the table of which the run has no value.
    notes : tuple of str
        What the errors rest on, and which columns were not used.

    Raises
    ------
    ResultsError
        For a measure or level that the run lacks, a row that fits several cells, or two rows that
        fit one.
    """
    names = dimensions(performance)
    run = select(performance, where)
    table = _wanted(published.frame, where)
    if table.empty:
        raise ResultsError(f"{published.name}: where leaves none of its rows; loosen it")
    try:
        known_measures(performance, [str(name) for name in table["measure"].unique()])
    except ResultsError as reason:
        raise ResultsError(f"{published.name}: {reason}") from None
    levels = {name: _levels(published.name, table, performance, name) for name in names}
    place = _places(published.name, run[run["value"].notna()], levels, table)
    found = table[place.notna()]
    ours = run.loc[place.dropna().astype(int)]
    vague = _vague(found, ours)
    found, ours = found[~vague], ours[~vague]
    digits = np.full(len(found), np.nan)
    if "digits" in found and "digits" not in names:  # it may be a factor
        digits = _digits(published.name, found)
    ours, theirs, source = _with_errors(ours, found, digits)
    notes = [source, *_not_used(table, performance, names)]
    if vague.any():
        count = int(vague.sum())
        widths, verb = ("width rests", "is") if count == 1 else ("widths rest", "are")
        notes.insert(
            1, f"{count} mean {widths} on a few very wide intervals and {verb} not compared"
        )
    return ours, theirs, table[place.isna()], tuple(notes)


def _with_errors(
    ours: pd.DataFrame, found: pd.DataFrame, digits: Floats
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return the cells of both with their errors, and where those of the table come from."""
    missing = np.full(len(found), np.nan)
    numbers = {
        name: found[name].to_numpy(dtype=float) if name in found else missing
        for name in ("value", "mcse", "replicates")
    }
    value, printed, replicates = numbers.values()
    used = ours["used"].to_numpy(dtype=float)
    share = np.where(shares(ours), np.clip(value, 0, 1), 0)
    if_right = np.sqrt(share * (1 - share) / used)
    own = np.maximum(errors(ours, by_limits=True), if_right)
    for_so_many = own * np.sqrt(used / replicates)
    as_ours = (np.isnan(printed) | (printed == 0)) & ~np.isnan(for_so_many)
    error = np.where(as_ours, for_so_many, printed)
    rounding = 10.0**-digits / np.sqrt(12)
    total = np.hypot(np.nan_to_num(error), np.nan_to_num(rounding))
    replicates = np.where(np.isnan(replicates), used, replicates)
    theirs = ours.assign(value=value, mcse=total, used=replicates, replicates=replicates)
    source = _errors_in_words(as_ours, np.isnan(error))
    return _limited(ours, own), _limited(theirs, total), source


def _vague(found: pd.DataFrame, ours: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which mean widths rest on so few very wide intervals that they cannot be compared.

    Those whose error is half of the mean or more, or unknown, in the run or in a table of mcstudy.
    """
    vague = np.zeros(len(found), bool)
    for table in (ours, found):
        if {"mcse", "used"} <= set(table.columns):
            value, error = (table[name].to_numpy(dtype=float) for name in ("value", "mcse"))
            vague |= ~(error < value / 2)
    return vague & (ours["measure"] == "width").to_numpy()


def _digits(where: str, found: pd.DataFrame) -> Floats:
    """Return to how many decimals each value is rounded; NaN where that is not known."""
    made = pd.to_numeric(found["digits"], errors="coerce").astype(float)
    wrong = found["digits"].notna() & ~((made >= 0) & (made % 1 == 0))
    if wrong.any():
        row, value = int(found.index[wrong][0]) + 1, found["digits"][wrong].iloc[0]
        raise ResultsError(
            f"{where}: row {row} has digits {value}; give a whole number of 0 or more, or leave it "
            "empty"
        )
    return np.asarray(made, dtype=float)


def _limited(cells: pd.DataFrame, error: Floats) -> pd.DataFrame:
    """Return cells with limits that have this error."""
    made = cells.assign(lower=cells["value"] - Z * error, upper=cells["value"] + Z * error)
    made.attrs.update(cells.attrs)
    return made


def _wanted(table: pd.DataFrame, where: Where) -> pd.DataFrame:
    """Return the rows that `where` does not rule out."""
    for name, wanted in wheres(where).items():
        if name in table.columns:
            levels = [level for level in table[name].unique() if not is_missing(level)]
            kept = [level for one in wanted for level in matching(levels, one)]
            table = table[table[name].isin(kept) | table[name].isna()]
    return table


def _levels(
    where: str, table: pd.DataFrame, performance: pd.DataFrame, name: str
) -> dict[Any, Any]:
    """Return the level of the run that each level of a column of the table is."""
    if name not in table.columns:
        return {}
    here = [level for level in levels_of(performance, name) if not is_missing(level)]
    found: dict[Any, Any] = {}
    for level in table[name].unique():
        if is_missing(level):
            continue
        if level in here:
            found[level] = level
            continue
        try:  # a text may look like a number, and levels of mixed types stand as text
            meant = select(performance, {name: [Bare(level) if isinstance(level, str) else level]})
        except ResultsError:
            raise ResultsError(
                f"{where}: {name}={written(level)} is not in the run"
                f"{suggestion(level, [str(one) for one in here])}; it has "
                f"{listed(here) or 'none'}; fix it, or leave rows out with where"
            ) from None
        found[level] = meant[name].dropna().iloc[0]
    return found


def _places(
    where: str, run: pd.DataFrame, levels: dict[str, dict[Any, Any]], table: pd.DataFrame
) -> pd.Series[Any]:
    """Return for each row of the table the row of the run that it is about; NaN for none."""
    names = list(levels)
    cells = [
        {str(name): None if is_missing(level) else level for name, level in row.items()}
        for row in run[names].to_dict("records")
    ]
    by_levels: dict[tuple[str, ...], dict[tuple[Any, ...], list[int]]] = {}
    places: list[float] = []
    row_of: dict[int, int] = {}
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        said = {n: levels[n][row[n]] for n in names if n in row and not is_missing(row[n])}
        if tuple(said) not in by_levels:
            index = by_levels.setdefault(tuple(said), {})
            for i, cell in enumerate(cells):
                index.setdefault(tuple(cell[name] for name in said), []).append(i)
        fits = by_levels[tuple(said)].get(tuple(said.values()), [])
        if len(fits) > 1:  # without an interval, bias; without an estimand, a share of statuses
            open_ = [name for name in names if name not in said]
            fits = [i for i in fits if all(cells[i][name] is None for name in open_)] or fits
        if len(fits) > 1:
            first, second = (cells[i] for i in fits[:2])
            differ = [name for name in names if first[name] != second[name]]
            unused = [repr(name) for name in row if name not in (*names, *_OWN, *WORDS)]
            raise ResultsError(
                f"{where}: row {number + 1} fits {counted(len(fits), 'number')} of the run, of "
                f"{_listed(first, differ)} and of {_listed(second, differ)}; say which one in "
                f"{'a column' if differ[0] not in row else 'the column'} '{differ[0]}'"
                + (f" (not used: {', '.join(unused)})" if unused else "")
            )
        if fits and fits[0] in row_of:
            raise ResultsError(
                f"{where}: rows {row_of[fits[0]] + 1} and {number + 1} are about the same number, "
                f"{_listed(cells[fits[0]], names)}; keep one"
            )
        row_of.update(dict.fromkeys(fits, number))
        places.append(run.index[fits[0]] if fits else np.nan)
    return pd.Series(places, table.index, dtype=float)


def _listed(cell: dict[str, Any], names: list[str]) -> str:
    return ", ".join(named(name, cell[name]) for name in names)


def _errors_in_words(as_ours: NDArray[np.bool_], exact: NDArray[np.bool_]) -> str:
    """Say where the errors of the published numbers come from."""
    kinds = (
        (~(as_ours | exact), "the MCSE that is published"),
        (as_ours, "that of the run for as many replicates as were published"),
        (exact, "none but rounding: no MCSE and no number of replicates is published"),
    )
    return "errors of the published numbers: " + "; ".join(
        f"{kind.sum()} {how}" for kind, how in kinds if kind.any()
    )


def _not_used(table: pd.DataFrame, performance: pd.DataFrame, names: list[str]) -> Iterator[str]:
    """Name the columns that mean nothing here, lest a factor be misspelt."""
    factors = performance.attrs.get(FACTORS, names)
    extra = [str(n) for n in table.columns if n not in (*names, *_OWN, *WORDS)]
    if extra:
        words = ", ".join(repr(n) + suggestion(n, list(factors)) for n in extra)
        yield f"columns that were not used: {words}"
