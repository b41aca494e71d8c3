"""Anybody's table of replicates to answers: by condition and method, as a run would have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mcstudy.arguments import as_texts, short, suggestion
from mcstudy.errors import TableError
from mcstudy.external.columns import Truth, check_p_values, given_truth, only_truth
from mcstudy.external.readers import Source, open_source
from mcstudy.grid import RESERVED, Condition
from mcstudy.method import Status
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.validation import CODES, DEFAULT_INTERVAL, TEST, TRUTH, column_of

NUMBERS = ("estimate", "std_error", "lower", "upper", TEST)
ROLES = ("method", "estimand", "replicate", *NUMBERS, TRUTH, "status", "seconds")
"""What a column can be: its own name says so, or `columns`."""
NO_ROW = "the table has no row of this replicate"
_PLACES = ("method", "estimand", "interval")
_PLACE = re.compile(r"\{(" + "|".join(_PLACES) + r")\}")
_SPARSE = 4  # times as many numbers as replicates: those are no numbers in a row


@dataclass(frozen=True)
class Layout:
    """The columns that hold one interval of one estimand by one method, by role.

    A name that is empty stands in a column, or nowhere.
    """

    method: str
    estimand: str
    interval: str
    columns: Mapping[str, str]


@dataclass
class Imported:
    """What a table of replicates holds.

    Parameters
    ----------
    conditions : list of Condition
        In the order of the table.
    answers : dict of (Condition, str) to Answers
        By condition and method; replicates are numbered from 0.
    truths : dict of Condition to dict of str to float
        True values that all replicates of a condition share.
    notes : list of str
        What a reader should know.
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
    """Read a table of replicates; see `mcstudy.import_replicates` for the arguments.

    Raises
    ------
    TableError
        For what cannot be used.
    """
    source = open_source(data)
    factors = list(dict.fromkeys(as_texts([by] if isinstance(by, str) else by, "by", TableError)))
    for name in factors:
        source.check_column(name, "by")
        if name in RESERVED:
            raise TableError(f"{source.name}: '{name}' in by is a name of mcstudy's; rename it")
    layouts = layouts_of(source, columns, factors)
    if isinstance(truth, str):
        source.check_column(truth, TRUTH)
        layouts = [_with_truth(layout, truth) for layout in layouts]
    rows = long_rows(_frame(source, factors, layouts), factors, layouts, source.name)
    imported = Imported()
    for levels, own in rows.groupby(factors, dropna=False, sort=False) if factors else [((), rows)]:
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


def layouts_of(
    source: Source, columns: Mapping[str, str] | None, factors: Sequence[str]
) -> list[Layout]:
    """Return where numbers stand: once, or of a wide table once for each set of its columns."""
    given = {} if columns is None else columns
    if not isinstance(given, Mapping):
        raise TableError(f"columns is {short(columns)}; write {{'estimate': 'column', ...}}")
    if unknown := [role for role in given if role not in ROLES]:
        raise TableError(
            f"columns names {short(unknown[0])}{suggestion(unknown[0], ROLES)}; a column can be "
            f"{', '.join(ROLES)}"
        )
    if odd := [role for role, name in given.items() if not isinstance(name, str) or not name]:
        raise TableError(f"columns has {short(given[odd[0]])} for {odd[0]}; name a column")
    roles = {role: role for role in ROLES if role in source.columns and role not in factors}
    roles |= given
    plain, wide = {}, {}
    for role, name in roles.items():
        if _PLACE.search(name):
            wide[role] = _matches(source, role, name)
        else:
            source.check_column(name, role)
            plain[role] = name
    if not {"estimate", TEST} & roles.keys():
        raise TableError(
            f"{source.name}: has no column 'estimate'; name it with columns={{'estimate': ...}}, "
            "or one of p-values with 'p_value'"
        )
    if ("lower" in roles) != ("upper" in roles):
        there = "lower" if "lower" in roles else "upper"
        raise TableError(f"{source.name}: has '{roles[there]}' and not both limits; name the other")
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for of in wide.values():
        for place in of:
            found.setdefault(place, dict(plain))
    for role, of in wide.items():
        for place, column in of.items():
            for other in found:
                if all(not name or name == there for name, there in zip(place, other, strict=True)):
                    found[other][role] = column
    # A set of columns that says less than another is part of it.
    return [Layout(*place, own) for place, own in found.items() if not _within(place, found)] or [
        Layout("", "", "", plain)
    ]


def long_rows(
    frame: pd.DataFrame, factors: Sequence[str], layouts: Sequence[Layout], name: str
) -> pd.DataFrame:
    """Return a row for each replicate, method, estimand and interval, with a column for each role.

    Numbers that no column has are NaN.
    """
    made = []
    for layout in layouts:
        own = frame[list(factors)].copy()
        for role in ROLES:
            column = layout.columns.get(role)
            missing: Any = "" if role in ("method", "estimand") else np.nan
            own[role] = missing if column is None else frame[column].to_numpy()
        for role, word in (("method", layout.method), ("estimand", layout.estimand)):
            if word:
                own[role] = word
            elif role not in layout.columns:
                own[role] = role if role == "method" else "estimate"
            own[role] = [_word(value, role, name) for value in own[role]]
        own["interval"] = layout.interval or DEFAULT_INTERVAL
        made.append(own)
    return pd.concat(made, ignore_index=True)


def _frame(source: Source, factors: Sequence[str], layouts: Sequence[Layout]) -> pd.DataFrame:
    """Return the columns that are needed, numbers as floats."""
    roles = [(role, name) for layout in layouts for role, name in layout.columns.items()]
    floats = list(dict.fromkeys(n for role, n in roles if role in (*NUMBERS, TRUTH, "seconds")))
    needed = list(dict.fromkeys([*factors, *(name for _, name in roles)]))
    batches = list(source.batches(needed, [n for n in floats if n not in factors]))
    frame = pa.Table.from_batches(batches).to_pandas() if batches else pd.DataFrame(columns=needed)
    if frame.empty:
        raise TableError(f"{source.name}: has no rows")
    for column in floats:
        try:
            frame[column] = frame[column].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            raise TableError(f"{source.name}: column '{column}' is to have numbers") from None
    return frame


def _matches(source: Source, role: str, pattern: str) -> dict[tuple[str, str, str], str]:
    """Return the columns that a pattern like ``b_{method}`` fits, by the three places."""
    pieces = _PLACE.split(pattern)
    if len({*pieces[1::2]}) < len(pieces[1::2]):
        raise TableError(f"columns: '{pattern}' names a place twice; name each once")
    if role not in (*NUMBERS, TRUTH, "status", "seconds"):
        raise TableError(f"columns: '{pattern}' is for numbers, not for {role}; name one column")
    texts = [
        f"(?P<{piece}>.+)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)
    ]
    fits = [(re.fullmatch("".join(texts), name), name) for name in source.columns]
    found = {tuple(m.groupdict().get(place, "") for place in _PLACES): n for m, n in fits if m}
    if not found:
        raise TableError(
            f"{source.name}: no column is called like '{pattern}' ({role}); it has "
            f"{', '.join(map(repr, source.columns[:30]))}"
        )
    return found  # type: ignore[return-value]  # three places each


def _within(place: tuple[str, ...], places: Mapping[tuple[str, str, str], Any]) -> bool:
    """Return whether another place says the same as this one, and more."""
    return any(
        other != place and all(not a or a == b for a, b in zip(place, other, strict=True))
        for other in places
    )


def _with_truth(layout: Layout, column: str) -> Layout:
    return Layout(
        layout.method, layout.estimand, layout.interval, {**layout.columns, TRUTH: column}
    )


def _word(value: Any, role: str, name: str) -> str:
    if value is None or value is pd.NA or value != value:
        raise TableError(f"{name}: a {role} is missing; name each row's")
    return str(value)


def _level(value: Any) -> Any:
    """Return the level of a factor as plain Python has it; a missing one is None."""
    if value is None or value is pd.NA or value != value:
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, bool | int | float | str) else str(value)


def _add_condition(
    imported: Imported, condition: Condition, rows: pd.DataFrame, name: str, own_truths: bool
) -> None:
    where, rows = f"{name} at {condition.key}", rows.reset_index(drop=True)
    numbers, note = _replicate_numbers(rows, where)
    if note and note not in imported.notes:
        imported.notes.append(note)
    count = int(numbers.max()) + 1
    for method, own in rows.groupby("method", sort=True):
        answers = Answers(count)
        places = numbers[own.index.to_numpy()]
        _check_once(own, places, where)
        present = np.unique(places)
        answers.status[present] = CODES[Status.OK]
        seconds = own["seconds"].to_numpy(dtype=float)
        answers.seconds[:] = np.nan
        answers.seconds[places] = seconds
        for estimand, of in own.groupby("estimand", sort=True):
            at = numbers[of.index.to_numpy()]
            _add_numbers(answers, str(estimand), of, at, f"{where}, {method}, {estimand}")
            truths = of[TRUTH].to_numpy(dtype=float)
            if np.isfinite(truths).any() and own_truths:
                answers.numbers[column_of(TRUTH, estimand)][at] = truths
            elif np.isfinite(truths).any():
                known = only_truth(truths, f"{where}, {estimand}")
                imported.truths.setdefault(condition, {})[str(estimand)] = known
        _judge(answers, own["status"].tolist(), places, where)
        absent = np.setdiff1d(np.arange(count), present)
        for row in absent.tolist():
            answers.fail(row, NO_ROW)
        if len(absent):
            imported.notes.append(
                f"{where}: {len(absent)} of {count} replicates have no row of '{method}'; they "
                "count as failed fits"
            )
        imported.answers[condition, str(method)] = answers


def _replicate_numbers(rows: pd.DataFrame, where: str) -> tuple[Any, str]:
    """Return the number of each row's replicate, from 0, and a note if the table has others.

    Without a column of them the rows of a method, estimand and interval are in order.
    """
    given = rows["replicate"]
    if given.isna().all():
        return rows.groupby(list(_PLACES)).cumcount().to_numpy(), ""
    if given.isna().any():
        raise TableError(f"a replicate is missing in {where}; number them all")
    codes = pd.factorize(given, sort=True)[0]
    anew = "replicates are numbered anew here, from 0 in the order of the table's numbers"
    try:
        whole = given.to_numpy(dtype=float)
    except (TypeError, ValueError):
        return codes, anew
    first, extent = whole.min(), whole.max() - whole.min()
    if (whole != np.floor(whole)).any() or not extent < _SPARSE * (codes.max() + 1):
        return codes, anew
    note = f"replicates are numbered from 0 here; the first is {first:.0f} in the table"
    return (whole - first).astype(np.int64), note if first else ""


def _check_once(rows: pd.DataFrame, places: Any, where: str) -> None:
    """Raise TableError for a replicate that an interval of an estimand has twice."""
    twice = rows[["estimand", "interval"]].assign(place=places).duplicated()
    if twice.any():
        raise TableError(
            f"replicate {rows['replicate'][twice].iloc[0]} occurs more than once in {where}, "
            f"{rows['method'].iloc[0]}; add to by the column that tells its rows apart"
        )


def _add_numbers(answers: Answers, estimand: str, rows: pd.DataFrame, at: Any, where: str) -> None:
    """Fill the columns of an estimand that have a number at all."""
    for kind, interval in _kinds(rows):
        own = rows["interval"].to_numpy() == interval
        some = own if kind in ("lower", "upper") else np.ones(len(rows), bool)
        values = rows[kind].to_numpy(dtype=float)[some]
        if kind == TEST:
            check_p_values(values, where)
        if kind == "std_error" and (values < 0).any():
            worst = np.nanmin(values)
            raise TableError(f"a standard error is {worst:.6g} in {where}; none is below 0")
        if kind == "upper" and (rows["lower"].to_numpy(dtype=float)[some] > values).any():
            raise TableError(f"a lower limit is above its upper one in {where}; exchange the two")
        place = TEST if kind == TEST else interval
        key = column_of(kind, estimand, place) if place else column_of(kind, estimand)
        answers.numbers[key][at[some]] = values


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


def _judge(answers: Answers, given: Sequence[Any], places: Any, where: str) -> None:
    """Give each fit its status: what the table says, or what its numbers show."""
    for place, said in zip(places.tolist(), given, strict=True):
        if said is None or said is pd.NA or said != said:
            continue
        if isinstance(said, bool | np.bool_) or said in (0, 1):
            word = Status.OK if said else Status.NOT_CONVERGED
        else:
            try:
                word = Status(str(said))
            except ValueError:
                raise TableError(
                    f"a status is {short(said)} in {where}; the statuses are {', '.join(Status)}, "
                    "or true and false for fits that converged or not"
                ) from None
        answers.status[place] = CODES[word]
    main = [
        values
        for key, values in answers.numbers.items()
        if key.kind == "estimate"
        or (key.kind == TEST and column_of("estimate", key.estimand) not in answers.numbers)
    ]
    finite = np.all([np.isfinite(values) for values in main], axis=0)
    ok = answers.status == CODES[Status.OK]
    answers.status[ok & ~finite] = CODES[Status.NOT_FINITE]
