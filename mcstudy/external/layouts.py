"""Where numbers stand in anybody's table: in which columns, for which method and estimand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mcstudy.arguments import short, suggestion
from mcstudy.errors import TableError
from mcstudy.external.table_source import Source
from mcstudy.simulation.validation import TEST, TRUTH

NUMBERS = ("estimate", "std_error", "lower", "upper", TEST)
ROLES = ("method", "estimand", "replicate", *NUMBERS, TRUTH, "status", "seconds")
"""What a column can be: its own name says so, or `columns`."""
PLACES = ("method", "estimand", "interval")
Place: TypeAlias = tuple[str, str, str]
"""A method, an estimand and an interval, each empty where a name does not say it."""
_PLACE = re.compile(r"\{(" + "|".join(PLACES) + r")\}")


@dataclass(frozen=True)
class Layout:
    """The columns that hold one interval of one estimand by one method, by role.

    A name that is empty stands in a column, or nowhere.
    """

    method: str
    estimand: str
    interval: str
    columns: Mapping[str, str]


def _roles(
    source: Source, columns: Mapping[str, str] | None, factors: Sequence[str]
) -> dict[str, str]:
    """Return the column of each role, or its pattern: as given, or one that has its own name."""
    given = {} if columns is None else columns
    if not isinstance(given, Mapping):
        raise TableError(f"columns is {short(columns)}; write {{'estimate': 'column', ...}}")
    if unknown := [role for role in given if role not in ROLES]:
        raise TableError(
            f"--columns (columns=) names {short(unknown[0])}{suggestion(unknown[0], ROLES)}; a "
            f"column can be {', '.join(ROLES)}"
        )
    if odd := [role for role, name in given.items() if not isinstance(name, str) or not name]:
        raise TableError(f"columns has {short(given[odd[0]])} for {odd[0]}; name a column")
    named = {role: role for role in ROLES if role in source.columns and role not in factors}
    return named | dict(given)


def layouts_of(
    source: Source, columns: Mapping[str, str] | None, factors: Sequence[str]
) -> list[Layout]:
    """Return where numbers stand: once, or of a wide table once for each set of its columns."""
    roles = _roles(source, columns, factors)
    plain = {role: name for role, name in roles.items() if not _PLACE.search(name)}
    for role, name in plain.items():
        source.check_column(name, role)
    free = [name for name in source.columns if name not in {*plain.values(), *factors}]
    patterns = {role: name for role, name in roles.items() if role not in plain}
    wide = _matches(source.name, free, patterns)
    if not {"estimate", TEST} & roles.keys():
        raise TableError(
            f"{source.name}: has no column 'estimate'; name it, or one of p-values, with --columns "
            "estimate=... or p_value=... (columns={'estimate': ...})"
        )
    if ("lower" in roles) != ("upper" in roles):
        there = "lower" if "lower" in roles else "upper"
        raise TableError(f"{source.name}: has '{roles[there]}' and not both limits; name the other")
    found = {place: dict(plain) for of in wide.values() for place in of}
    for role, of in wide.items():
        for place, column in of.items():
            for other, own in found.items():
                if _within(place, other):
                    own[role] = column
    # A set of columns that says less than another is part of it.
    return [
        Layout(*place, own)
        for place, own in found.items()
        if not any(other != place and _within(place, other) for other in found)
    ] or [Layout("", "", "", plain)]


def _matches(
    where: str, columns: Sequence[str], patterns: Mapping[str, str]
) -> dict[str, dict[Place, str]]:
    """Return by role the columns that fit its pattern, like ``b_{method}``, by the three places.

    A column that fits several patterns belongs to the one that says most of its name.
    """
    found: dict[str, dict[Place, str]] = {role: {} for role in patterns}
    pieces = {role: _PLACE.split(pattern) for role, pattern in patterns.items()}
    for role, pattern in patterns.items():
        if len({*pieces[role][1::2]}) < len(pieces[role][1::2]):
            raise TableError(
                f"--columns (columns=): '{pattern}' names a place twice; name each once"
            )
        if role not in (*NUMBERS, TRUTH, "status", "seconds"):
            raise TableError(
                f"--columns (columns=): '{pattern}' is for numbers, not for {role}; name a column"
            )
    for name in columns:
        fits = {role: place for role, of in pieces.items() if (place := _fit(of, name, where))}
        if fits:
            role = max(fits, key=lambda role: len("".join(pieces[role][::2])))
            found[role][fits[role]] = name
    for role, of in found.items():
        if not of:
            raise TableError(
                f"{where}: no column is called like '{patterns[role]}' ({role}); it has "
                f"{', '.join(map(repr, columns[:30]))}"
            )
    _check_belongs(where, found)
    return found


def _fit(pieces: Sequence[str], name: str, where: str) -> Place | None:
    """Return method, estimand and interval of a column whose name fits a pattern.

    TableError if it does so in more than one way.
    """
    ways = []
    for times in (".+", ".+?"):
        texts = [
            f"(?P<{piece}>{times})" if place % 2 else re.escape(piece)
            for place, piece in enumerate(pieces)
        ]
        if (fits := re.fullmatch("".join(texts), name)) is None:
            return None
        ways.append(fits.groupdict())
    if ways[0] != ways[1]:
        pattern = "".join(f"{{{piece}}}" if i % 2 else piece for i, piece in enumerate(pieces))
        raise TableError(
            f"{where}: column '{name}' fits '{pattern}' in more than one way; rename the columns, "
            "so that what stands between the places is in none of the names"
        )
    return ways[0].get("method", ""), ways[0].get("estimand", ""), ways[0].get("interval", "")


def _goes_with(place: Place, other: Place) -> bool:
    """Return whether two places are of the same method, estimand and interval, as far as known."""
    return all(not a or not b or a == b for a, b in zip(place, other, strict=True))


def _check_belongs(where: str, found: Mapping[str, Mapping[Place, str]]) -> None:
    """Raise TableError for a column of a method or estimand that has no estimate."""
    main = [place for role in ("estimate", TEST) for place in found.get(role, ())]
    for role, of in found.items():
        for place, name in of.items():
            if main and not any(_goes_with(place, other) for other in main):
                said = ", ".join(filter(None, place))
                raise TableError(
                    f"{where}: column '{name}' ({role}) is of {said}, which has no estimate; "
                    "rename it, or add the column of estimates"
                )


def _within(place: Place, other: Place) -> bool:
    """Return whether another place says all that this one says."""
    return all(not a or a == b for a, b in zip(place, other, strict=True))
