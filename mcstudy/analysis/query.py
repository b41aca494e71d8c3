"""Text to names and levels: ``n=10|30, "a,b"="x"`` is how ``where`` and a condition are written.

A name or level stands as it is, or in double quotes with the escapes of JSON. In quotes it is this
text and nothing else. Without quotes a level is None, True, False or a number if it can be read as
one, and the text itself otherwise, or where there is no such level.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mcstudy.arguments import as_texts, short, suggestion
from mcstudy.errors import ResultsError
from mcstudy.grid import Condition, level_text

_WORDS = {"True": True, "False": False, "None": None}
_SPECIAL = frozenset(',|="')
MOST_CANDIDATES = 8  # in a message of one line
_OF_KEY = re.compile(
    r'(?P<name>.+?)=(?P<level>None|True|False|-?(?:inf|\d[\d.]*(?:e[-+]?\d+)?)|"(?:[^"\\]|\\.)*")'
    r"(?:, |$)",
    re.DOTALL,
)


class Bare(str):
    """A level written without quotes: ``10`` may be the number or the text."""

    __slots__ = ()


def parsed(text: str, *, several: bool) -> dict[str, list[str]]:
    """Return the levels by name, each a `Bare` or, where it stood in quotes, a plain text.

    Parameters
    ----------
    text : str
        ``name=level`` with commas between them. A comma that no ``name=`` follows belongs to the
        level before it.
    several : bool
        Whether ``|`` separates several levels of a name; it is a letter like any other if not.

    Raises
    ------
    ResultsError
        For a text that cannot be read so.
    """
    found: dict[str, list[str]] = {}
    place, last = 0, ""
    while place <= len(text):
        begun = place
        name, place = _token(text, place, ",=")
        if text[place : place + 1] != "=":
            before = found.get(last)
            if not before or not isinstance(before[-1], Bare):
                raise _no_condition(text[begun:place])
            before[-1] = Bare(f"{before[-1]},{text[begun:place].rstrip()}")
            place += 1
            continue
        levels: list[str] = []
        place, sign = place + 1, "|"
        while sign == "|":
            level, place = _token(text, place, ",|" if several else ",")
            levels.append(level)
            sign, place = text[place : place + 1], place + 1
        if not name or any(isinstance(level, Bare) and not level for level in levels):
            raise _no_condition(text[begun : place - 1])
        last = str(name)
        found.setdefault(last, []).extend(levels)
    return found


def names_in(text: str) -> list[str]:
    """Return the names in a list with commas; one that has a comma stands in double quotes.

    Raises
    ------
    ResultsError
        For quotes that are not closed, or text after them.
    """
    found, place = [], 0
    while place <= len(text):
        name, place = _token(text, place, ",")
        found.append(str(name))
        place += 1
    return found


def names_of(value: object, name: str) -> list[str]:
    """Return names given as a list, or as a text with commas; each once, none of them empty.

    Raises
    ------
    ResultsError
        For anything else.
    """
    given = names_in(value) if isinstance(value, str) and value else value
    texts = as_texts(given, name, ResultsError)
    if not texts:
        raise ResultsError(f"{name} is {short(value)}; give at least one name")
    return list(dict.fromkeys(text.strip() for text in texts))


def _no_condition(piece: str) -> ResultsError:
    return ResultsError(
        f"{piece.strip()!r} is no condition; write name=level, and in double quotes a text that "
        'is empty or has , = | or " in it'
    )


def _token(text: str, place: int, stops: str) -> tuple[str, int]:
    """Return what stands at a place, and where the next of the stops is (the end if none is)."""
    while text[place : place + 1].isspace():
        place += 1
    if text[place : place + 1] == '"':
        try:
            token, place = json.JSONDecoder(strict=False).raw_decode(text, place)
        except ValueError:
            raise ResultsError(f"{text[place:]!r} has a double quote that is not closed") from None
        while text[place : place + 1].isspace():
            place += 1
        if place < len(text) and text[place] not in stops:
            raise ResultsError(
                f"{text[place:]!r} follows a text in double quotes; put a comma between them, or "
                'write a quote that is part of the text as \\"'
            )
        return token, place
    end = min((at for sign in stops if (at := text.find(sign, place)) >= 0), default=len(text))
    return Bare(text[place:end].strip()), end


def value_of(text: str) -> Any:
    """Return what a level without quotes stands for: None, True, False, a number, or the text."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return str(text)


def level_of(text: str) -> Any:
    """Return the level that `mcstudy.grid.level_text` has put into a text."""
    if text.startswith('"'):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return value_of(text)


def matching(levels: Sequence[Any], wanted: Any) -> list[Any]:
    """Return which of the levels are meant: those that are equal, or else those that look alike.

    Parameters
    ----------
    levels : sequence of bool, int, float, str or None
        Those there are.
    wanted : Bare, or a level
        What is asked for. Of a text that Python gives, 10 is meant where there is no text "10".
    """
    if isinstance(wanted, Bare):
        tries: list[Any] = [value_of(wanted), str(wanted)]
    elif isinstance(wanted, str):
        tries = [wanted]
    else:
        wanted = wanted.item() if isinstance(wanted, np.generic) else wanted
        tries = [None if wanted is None or wanted != wanted else wanted, level_text(wanted)]
    for value in tries:
        if found := [level for level in levels if _known_as(level) == level_text(value)]:
            return found
    alike = str(wanted).lower() if isinstance(wanted, Bare) else None
    return [one for one in levels if isinstance(one, bool | np.bool_) and str(one).lower() == alike]


def _known_as(level: Any) -> str:
    if isinstance(level, np.generic):
        level = level.item()
    return level_text(None if not isinstance(level, str) and level != level else level)


def written(level: Any) -> str:
    """Return a level as `parsed` and `matching` read it: text in quotes where it needs them."""
    if not isinstance(level, str):
        return _known_as(level)
    return written_name(level) if isinstance(value_of(level), str) else level_text(level)


def written_name(name: str) -> str:
    """Return a name as `parsed` and `names_in` read it."""
    plain = name and name == name.strip() and not _SPECIAL & set(name) and name.isprintable()
    return name if plain else level_text(name)


def listed(levels: Iterable[Any]) -> str:
    """Return levels with commas between them."""
    return ", ".join(written(level) for level in levels)


def find_condition(
    wanted: str | Mapping[str, Any] | Condition | None, conditions: Iterable[Condition]
) -> Condition:
    """Return the one condition that has the given factor values.

    Parameters
    ----------
    wanted : str, mapping or Condition, optional
        As in the tables, ``n=5, mean=0``; in any order, and without the factors that are not
        needed to tell the conditions apart. Not needed where there is one condition only. The
        head of this module says which names and levels need quotes.
    conditions : iterable of Condition
        Those there are.

    Raises
    ------
    ResultsError
        If none fits or several do; it lists the candidates.
    """
    known = list(dict.fromkeys(conditions))
    if isinstance(wanted, Condition):
        wanted = wanted.key
    if exact := [condition for condition in known if condition.key == wanted]:
        return exact[0]
    wanted = {} if wanted is None else wanted
    if not isinstance(wanted, str | Mapping):
        raise ResultsError(f"condition is {short(wanted)}; write it as 'n=5, mean=0'")
    pairs = _pairs(wanted) if isinstance(wanted, str) else wanted
    names = {name for condition in known for name in condition.factors}
    if unknown := [name for name in pairs if name not in names]:
        said = ", ".join(f"{name!r}{suggestion(name, sorted(names))}" for name in unknown)
        there = f"the factors are {', '.join(sorted(names))}"
        raise ResultsError(f"no factor {said}; {there if names else 'the study has no factors'}")
    fitting = known
    for name, level in pairs.items():
        meant = matching([c.factors.get(name) for c in known], level)
        texts = {level_text(one) for one in meant}
        fitting = [c for c in fitting if name in c.factors and level_text(c.factors[name]) in texts]
    if len(fitting) == 1:
        return fitting[0]
    if not pairs:
        raise ResultsError(f"no condition is given; there are: {_listed(fitting)}")
    text = wanted if isinstance(wanted, str) else Condition(pairs).key
    if not fitting:
        raise ResultsError(f"no condition {text!r}; there are: {_listed(known)}")
    raise ResultsError(f"{text!r} fits {len(fitting)} conditions: {_listed(fitting)}")


def factors_of(key: str) -> dict[str, Any]:
    """Return the factor values that the key of a condition stands for."""
    return {m["name"]: level_of(m["level"]) for m in _OF_KEY.finditer(key)}


def written_condition(factors: Mapping[str, Any]) -> str:
    """Return factor values as `find_condition` reads them."""
    return ", ".join(f"{written_name(name)}={level_text(v)}" for name, v in sorted(factors.items()))


def _pairs(text: str) -> dict[str, str]:
    """Return the levels by factor, as they are written."""
    levels = parsed(text, several=False)
    if twice := [name for name, some in levels.items() if len(some) > 1]:
        raise ResultsError(f"{text!r} says twice what {twice[0]!r} is; say it once")
    return {name: level for name, (level,) in levels.items()}


def _listed(conditions: Sequence[Condition]) -> str:
    keys = [condition.key for condition in conditions[:MOST_CANDIDATES]]
    more = len(conditions) - len(keys)
    return " | ".join(keys) + (f" | ... {more} more" if more else "")
