"""A condition in words to the condition: the text of its key, or as much of it as is needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mcstudy.analysis.query import (
    level_of,
    matching,
    parsed,
    written_name,
)
from mcstudy.analysis.select import suggestion
from mcstudy.arguments import short
from mcstudy.errors import ResultsError
from mcstudy.grid import Condition, level_text

MOST_CANDIDATES = 8
_OF_KEY = re.compile(
    r'(?P<name>.+?)=(?P<level>None|True|False|-?(?:inf|\d[\d.]*(?:e[-+]?\d+)?)|"(?:[^"\\]|\\.)*")'
    r"(?:, |$)",
    re.DOTALL,
)


def find_condition(
    wanted: str | Mapping[str, Any] | Condition | None, conditions: Iterable[Condition]
) -> Condition:
    """Return the one condition that has the given factor values.

    Parameters
    ----------
    wanted : str, mapping or Condition, optional
        As in the tables, ``n=5, mean=0``; in any order, and without the factors that are not
        needed to tell the conditions apart. Not needed where there is one condition only. See
        `mcstudy.analysis.query` for names and levels that need quotes.
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


def _named(factors: Iterable[str]) -> str:
    names = sorted(factors)
    return f"the factors are {', '.join(names)}" if names else "the study has no factors"


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
