"""A condition in words to the condition: the text of its key, or as much of it as is needed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mcstudy.analysis.selection import suggestion
from mcstudy.arguments import short
from mcstudy.errors import ResultsError
from mcstudy.grid import Condition, level_text

MOST_CANDIDATES = 8
_PIECE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_WORDS = {"True": True, "False": False, "None": None}


def find_condition(
    wanted: str | Mapping[str, Any] | Condition | None, conditions: Iterable[Condition]
) -> Condition:
    """Return the one condition that has the given factor values.

    Parameters
    ----------
    wanted : str, mapping or Condition, optional
        As in the tables, ``n=5, mean=0``; in any order, and without the factors that are not
        needed to tell the conditions apart. Not needed where there is one condition only.
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
    exact = [condition for condition in known if condition.key == wanted]
    if exact:
        return exact[0]
    if wanted is None:
        wanted = {}
    if not isinstance(wanted, str | Mapping):
        raise ResultsError(f"condition is {short(wanted)}; write it as 'n=5, mean=0'")
    pairs = dict(wanted) if isinstance(wanted, Mapping) else _pairs(wanted)
    names = {name for condition in known for name in condition.factors}
    if unknown := [name for name in pairs if name not in names]:
        said = ", ".join(f"{name!r}{suggestion(name, sorted(names))}" for name in unknown)
        raise ResultsError(f"no factor {said}; {_named(names)}")
    fitting = [
        condition
        for condition in known
        if all(
            name in condition.factors and _same(condition.factors[name], value)
            for name, value in pairs.items()
        )
    ]
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
    return {} if key == Condition({}).key else {n: _level(t) for n, t in _pairs(key).items()}


def _named(factors: Iterable[str]) -> str:
    names = sorted(factors)
    return f"the factors are {', '.join(names)}" if names else "the study has no factors"


def _pairs(text: str) -> dict[str, str]:
    """Return the texts of the values by factor; a comma without a '=' after it is of a value."""
    pieces: list[str] = []
    for piece in _PIECE.findall(text):
        if "=" in piece:
            pieces.append(piece)
        elif pieces:
            pieces[-1] += f",{piece}"
        else:
            raise ResultsError(f"{text!r} is no condition; write it as 'n=5, mean=0'")
    pairs = [piece.partition("=") for piece in pieces]
    names = [name.strip() for name, _, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ResultsError(f"{text!r} says twice what {twice[0]!r} is; say it once")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _same(level: Any, wanted: Any) -> bool:
    if not isinstance(wanted, str):
        return level_text(level) == level_text(wanted)
    return level == wanted or level_text(level) == level_text(_level(wanted))


def _level(text: str) -> Any:
    """Return what a text stands for: a word of Python, a number, or itself."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    if text.startswith('"'):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text


def _listed(conditions: Sequence[Condition]) -> str:
    keys = [condition.key for condition in conditions[:MOST_CANDIDATES]]
    more = len(conditions) - len(keys)
    return " | ".join(keys) + (f" | ... {more} more" if more else "")
