"""Anybody's table of replicates to answers: by condition and method, as a run would have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import is_integer_dtype as is_integers

from mcstudy.analysis.select import is_missing
from mcstudy.arguments import short
from mcstudy.errors import TableError
from mcstudy.external.columns import (
    Truth,
    check_p_values,
    check_std_errors,
    given_truth,
    name_of,
    names_of_columns,
    only_truth,
)
from mcstudy.external.layouts import NUMBERS, PLACES, ROLES, Layout, layouts_of
from mcstudy.external.readers import open_source
from mcstudy.external.table_source import Source, no_numbers
from mcstudy.grid import RESERVED, Condition
from mcstudy.method import Status
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.validation import CODES, DEFAULT_INTERVAL, TEST, TRUTH, column_of

NO_ROW = "the table has no row of this replicate"
_WITHOUT_NUMBERS = (Status.ERROR, Status.TIMEOUT, Status.CRASHED, Status.SKIPPED)
"""Fits that ended so have no numbers, whatever the table says, as in a run."""
_TRUTH_VALUES = ("true", "false")
_USUAL = {"method": "method", "estimand": "estimate"}
"""What the only method and the only estimand are called where no word of the table does."""


@dataclass
class Imported:
    """What a table of replicates holds, in its order; notes are what a reader should know.

    Answers are by condition and method, of replicates numbered from 0; truths are those that all
    replicates of a condition share.
    """

    conditions: list[Condition] = field(default_factory=list)
    answers: dict[tuple[Condition, str], Answers] = field(default_factory=dict)
    truths: dict[Condition, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_replicates(
    data: Any,
    by: Sequence[str] | str,
    columns: Mapping[str, str] | None,
    truth: Truth,
    *,
    own_truths: bool = False,
) -> Imported:
    """Read a table of replicates; see `mcstudy.import_replicates` for arguments and errors."""
    source = open_source(data)
    factors = names_of_columns(by, source)
    for name in factors:
        source.check_column(name, "by")
        if name in RESERVED:
            raise TableError(f"{source.name}: '{name}' in by is a name of mcstudy's; rename it")
    layouts = layouts_of(source, columns, factors)
    if isinstance(truth, str):
        source.check_column(truth, TRUTH)
        layouts = [replace(of, columns={**of.columns, TRUTH: truth}) for of in layouts]
    rows = long_rows(_frame(source, factors, layouts), factors, layouts, source.name)
    imported = Imported()
    keys = [_key(name) for name in factors]
    for levels, own in rows.groupby(keys, dropna=False, sort=False) if keys else [((), rows)]:
        levels = levels if isinstance(levels, tuple) else (levels,)
        condition = Condition(dict(zip(factors, map(_level, levels), strict=True)))
        imported.conditions.append(condition)
        _add_condition(imported, condition, own, source.name, own_truths)
        if not isinstance(truth, str | None):
            names = sorted(set(own["estimand"]))
            imported.truths[condition] = {
                name: given_truth(truth, {**condition.factors, "estimand": name}, source.name)
                for name in names
            }
    return imported


def long_rows(
    frame: pd.DataFrame, factors: Sequence[str], layouts: Sequence[Layout], name: str
) -> pd.DataFrame:
    """Return a row for each replicate, method, estimand and interval, with a column for each role.

    Numbers that no column has are NaN. The index is that of the frame.
    """
    made = []
    for layout in layouts:
        own = frame[list(factors)].rename(columns=_key)
        for role in ROLES:
            column = layout.columns.get(role)
            own[role] = np.nan if column is None else frame[column].to_numpy()
        for role, word in (("method", layout.method), ("estimand", layout.estimand)):
            if word or role not in layout.columns:
                own[role] = word or _only(role, layout)
            own[role] = [_word(value, role, name) for value in own[role]]
        own["interval"] = layout.interval or DEFAULT_INTERVAL
        made.append(own)
    return pd.concat(made)


def _only(role: str, layout: Layout) -> str:
    """Return what the only method or estimand is called: an estimand as its column, theta."""
    has_own_column = role == "estimand" and not (layout.method or layout.interval)
    return layout.columns.get("estimate", _USUAL[role]) if has_own_column else _USUAL[role]


def _key(factor: str) -> str:
    """Return the column of a factor, which may be called like a role, as truth."""
    return f"by {factor}"


def _frame(source: Source, factors: Sequence[str], layouts: Sequence[Layout]) -> pd.DataFrame:
    """Return the columns that are needed, numbers as floats."""
    roles = [(role, name) for layout in layouts for role, name in layout.columns.items()]
    floats = list(dict.fromkeys(n for role, n in roles if role in (*NUMBERS, TRUTH, "seconds")))
    needed = list(dict.fromkeys([*factors, *(name for _, name in roles)]))
    batches = list(source.batches(needed, [n for n in floats if n not in factors]))
    frame = pa.Table.from_batches(batches).to_pandas() if batches else pd.DataFrame(columns=needed)
    if frame.empty:
        raise TableError(f"{source.name}: has no rows")
    frame = frame.reset_index(drop=True)
    for column in floats:
        try:
            frame[column] = frame[column].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            raise no_numbers(frame[column], source.name, counted=True) from None
    return frame


def _word(value: Any, role: str, name: str) -> str:
    if is_missing(value) or not str(value).strip():
        lacks = f"no {role}" if is_missing(value) else f"an empty {role}"
        raise TableError(f"{name}: a row has {lacks}; name it in each")
    return name_of(value)


def _level(value: Any) -> Any:
    """Return the level of a factor as plain Python has it; a missing one is None."""
    if is_missing(value):
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, bool | int | float | str) else str(value)


def _add_condition(
    imported: Imported, condition: Condition, rows: pd.DataFrame, name: str, own_truths: bool
) -> None:
    where = f"{name} at {condition.key}" if condition.factors else name
    numbers, note = _replicate_numbers(rows, where)
    _check_once(rows, numbers, where)
    if note and note not in imported.notes:
        imported.notes.append(note)
    rows, count = rows.set_axis(numbers), int(numbers.max()) + 1
    truths: dict[str, Any] = {}
    for estimand, of in rows.groupby("estimand", sort=True):
        given, here = of[TRUTH].to_numpy(dtype=float), _at(where, "", str(estimand))
        if not np.isfinite(given).any():
            continue
        if own_truths:
            at = of.index.to_numpy()
            truths[str(estimand)] = _truth_of_each(given, at, count, here)
        else:
            known = only_truth(given, here, "--by (by=)", "--own-truths (own_truths=True)")
            imported.truths.setdefault(condition, {})[str(estimand)] = known
    for method, own in rows.groupby("method", sort=True):
        answers = _answers(own, count, truths, where)
        absent = np.setdiff1d(np.arange(count), own.index).tolist()
        for row in absent:
            answers.end(row, Status.NOT_FINITE, NO_ROW)
        if absent:
            imported.notes.append(
                f"{where}: {len(absent)} of {count} replicates have no row of '{method}'; they "
                "count as failed fits"
            )
        imported.answers[condition, str(method)] = answers


def _answers(rows: pd.DataFrame, count: int, truths: Mapping[str, Any], where: str) -> Answers:
    """Return the answers of a method, whose rows have their replicates as index."""
    answers, places = Answers(count), rows.index.to_numpy()
    answers.status[places] = CODES[Status.OK]
    answers.seconds[:] = np.nan
    answers.seconds[places] = rows["seconds"].to_numpy(dtype=float)
    for estimand, of in rows.groupby("estimand", sort=True):
        here = _at(where, of["method"].iloc[0], str(estimand))
        _add_numbers(answers, str(estimand), of, here)
        if str(estimand) in truths:
            answers.numbers[column_of(TRUTH, estimand)][:] = truths[str(estimand)]
    _judge(answers, rows["status"].tolist(), places, where)
    return answers


def _truth_of_each(given: Any, at: Any, count: int, where: str) -> Any:
    """Return the true value of each replicate; all rows of one must have the same."""
    truths = np.full(count, np.nan)
    truths[at] = given
    differ = (truths[at] != given) & ~(np.isnan(truths[at]) & np.isnan(given))
    if differ.any():
        one, other = given[differ][0], truths[at][differ][0]
        raise TableError(
            f"replicate {int(at[differ][0])} has two true values in {where}, {one:.6g} and "
            f"{other:.6g}; methods see the same data"
        )
    return truths


def _replicate_numbers(rows: pd.DataFrame, where: str) -> tuple[Any, str]:
    """Return the number of each row's replicate, from 0, and a note if the table has others.

    A number that no row has is left out: it says nothing of any method. Without a column of them
    the rows of a method, estimand and interval are in order, and must be as many for each.
    """
    given = rows["replicate"]
    if given.isna().all():
        counts = rows.groupby(list(PLACES)).size()
        if counts.nunique() > 1:
            fewest: Any = counts.idxmin()
            most: Any = counts.idxmax()
            raise TableError(
                f"no column numbers the replicates, and {where} has {counts.max()} rows of "
                f"{_named(*most)} and {counts.min()} of {_named(*fewest)}; name the column with "
                "--columns replicate=... (columns={'replicate': ...}), so that they can be paired"
            )
        return rows.groupby(list(PLACES)).cumcount().to_numpy(), ""
    if given.isna().any():
        raise TableError(f"a replicate is missing in {where}; number them all")
    codes, numbers = pd.factorize(given, sort=True)
    if is_integers(numbers.dtype):
        first, last = int(numbers[0]), int(numbers[-1])
        if last - first + 1 == len(numbers):
            note = f"replicates are numbered from 0 here; the first is {first} in the table"
            return codes, note if first else ""
    return codes, "replicates are numbered anew here, from 0 in the order of the table's numbers"


def _check_once(rows: pd.DataFrame, numbers: Any, where: str) -> None:
    """Raise TableError for a replicate that an interval of an estimand has twice."""
    places = rows[list(PLACES)].assign(number=numbers)
    if not (twice := places.duplicated().to_numpy()).any():
        return
    again = int(np.argmax(twice))
    first = int(np.argmax((places == places.iloc[again]).all(axis=1)))
    here = _at(where, *places[["method", "estimand"]].iloc[again])
    raise TableError(
        f"rows {rows.index[first] + 1} and {rows.index[again] + 1} are both replicate "
        f"{rows['replicate'].iloc[again]} in {here}; name the column of the method or estimand "
        "with --columns (columns=), that of a factor with --by (by=), or drop the row that is "
        "there twice"
    )


def _at(where: str, method: str, estimand: str) -> str:
    return ", ".join(filter(None, (where, _named(method, estimand))))


def _named(method: str, estimand: str, *_: str) -> str:
    """Return the method and the estimand as far as the table names them."""
    given = {"method": method, "estimand": estimand}
    return ", ".join(
        f"{role} {name}" for role, name in given.items() if name not in ("", _USUAL[role])
    )


def _add_numbers(answers: Answers, estimand: str, rows: pd.DataFrame, where: str) -> None:
    """Fill the columns of an estimand that have a number at all."""
    for kind, interval in _kinds(rows):
        some = rows[rows["interval"] == interval] if interval else rows
        values = some[kind].to_numpy(dtype=float)
        if kind == TEST:
            check_p_values(values, where)
        if kind == "std_error":
            check_std_errors(values, where)
        if kind == "upper" and (some["lower"].to_numpy(dtype=float) > values).any():
            raise TableError(f"a lower limit is above its upper one in {where}; exchange the two")
        key = column_of(kind, estimand, TEST if kind == TEST else interval)
        answers.numbers[key][some.index.to_numpy()] = values


def _kinds(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield the kinds of numbers that there are, with the interval of limits."""
    has_test = rows[TEST].notna().any()
    if rows["estimate"].notna().any() or not has_test:
        yield "estimate", ""
    if rows["std_error"].notna().any():
        yield "std_error", ""
    for interval in sorted(set(rows["interval"])):
        own = rows[rows["interval"] == interval]
        if own["lower"].notna().any() or own["upper"].notna().any():
            yield from (("lower", interval), ("upper", interval))
    if has_test:
        yield TEST, ""


def _status(said: Any, where: str) -> Status:
    if isinstance(said, bool | np.bool_) or said in (0, 1) or str(said).lower() in _TRUTH_VALUES:
        return Status.NOT_CONVERGED if str(said).lower() in ("false", "0", "0.0") else Status.OK
    try:
        return Status(str(said))
    except ValueError:
        raise TableError(
            f"a status is {short(said)} in {where}; the statuses are {', '.join(Status)}, or true "
            "and false for fits that converged or not"
        ) from None


def _judge(answers: Answers, given: Sequence[Any], places: Any, where: str) -> None:
    """Give each fit its status: what the table says, or what its numbers show."""
    words: dict[int, Status] = {}
    for place, said in zip(places.tolist(), given, strict=True):
        if is_missing(said):
            continue
        word = _status(said, where)
        if words.setdefault(place, word) != word:
            raise TableError(
                f"replicate {place} has two statuses in {where}, {words[place]} and {word}; give "
                "one for all estimands of a fit"
            )
    for place, word in words.items():
        answers.status[place] = CODES[word]
        if word in _WITHOUT_NUMBERS:
            answers.end(place, word, "")
    main = [
        values
        for key, values in answers.numbers.items()
        if key.kind == "estimate"
        or (key.kind == TEST and column_of("estimate", key.estimand) not in answers.numbers)
    ]
    finite = np.all([np.isfinite(values) for values in main], axis=0)
    ok = answers.status == CODES[Status.OK]
    answers.status[ok & ~finite] = CODES[Status.NOT_FINITE]
