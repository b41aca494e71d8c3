"""Factors to conditions: `grid` makes them, a condition is known by its factor values."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from mcstudy.columns import BESIDE_FACTORS
from mcstudy.errors import StudyError

Level: TypeAlias = bool | int | float | str | None

RESERVED = BESIDE_FACTORS | {"rng", "rngs"}
"""What a factor cannot be called: columns of tables that have factors, arguments of functions."""
_MOST_LEVELS = 8  # of a factor that a line shows


@dataclass(frozen=True, eq=False)
class Condition:
    """One combination of factor values, equal to any other with the same values.

    Parameters
    ----------
    factors : mapping of str to bool, int, float, str or None
        As the study file writes them, and as the study's functions get them.
    """

    factors: Mapping[str, Level]

    @cached_property
    def key(self) -> str:
        """Return the text that stands for the condition in every table, ``a=1, b="x"``."""
        return (
            ", ".join(f"{name}={level_text(level)}" for name, level in sorted(self.factors.items()))
            or "only"
        )

    @cached_property
    def digest(self) -> str:
        """Return 16 hexadecimal digits of the key, for file names."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:16]

    @cached_property
    def sort_key(self) -> tuple[tuple[int, Any], ...]:
        """Return what orders conditions: by factor name, numbers as numbers."""
        return tuple(_rank(level) for _, level in sorted(self.factors.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class Grid:
    """A set of conditions, all with the same factors. Order carries no meaning.

    ``a + b`` is the union (a condition given twice counts once), ``a * b`` is every condition of
    `a` with every one of `b`; `where` keeps some.
    """

    conditions: tuple[Condition, ...]

    def __iter__(self) -> Iterator[Condition]:
        return iter(self.conditions)

    def __len__(self) -> int:
        return len(self.conditions)

    def __repr__(self) -> str:
        return f"<Grid of {len(self)} conditions{''.join(f'; {line}' for line in self._lines())}>"

    def _lines(self) -> Iterator[str]:
        """Yield each factor with its levels, ``n = 10, 30``; of many the first."""
        for name in self.factors:
            levels = dict.fromkeys(level_text(c.factors[name]) for c in self.conditions)
            shown = ", ".join([*levels][:_MOST_LEVELS])
            more = f" ... ({len(levels)} levels)" if len(levels) > _MOST_LEVELS else ""
            yield f"{name} = {shown}{more}"

    @property
    def factors(self) -> list[str]:
        """The names of the factors, sorted."""
        return sorted(self.conditions[0].factors) if self.conditions else []

    def __add__(self, other: Grid) -> Grid:
        if not isinstance(other, Grid):
            return NotImplemented
        if self.conditions and other.conditions and self.factors != other.factors:
            odd = sorted(set(self.factors) ^ set(other.factors))
            raise StudyError(
                f"grid: {_names(odd)} on one side of a '+' only; give both sides the same factors"
            )
        return Grid(_distinct(self.conditions + other.conditions))

    def __mul__(self, other: Grid) -> Grid:
        if not isinstance(other, Grid):
            return NotImplemented
        both = sorted(set(self.factors) & set(other.factors))
        if both:
            raise StudyError(f"grid: {_names(both)} on both sides of a '*'; name each factor once")
        return Grid(
            tuple(Condition({**left.factors, **right.factors}) for left in self for right in other)
        )

    def where(self, keep: Callable[..., bool]) -> Grid:
        """Return the conditions for which `keep`, called with the factors it names, is true."""
        if not callable(keep):
            raise StudyError(f"where: {keep!r} is no function; write where(lambda n: n > 5)")
        wanted, needed = _argument_names(keep)
        unknown = sorted(needed - set(self.factors))
        if unknown:
            raise StudyError(
                f"where: the function asks for {_names(unknown)}; "
                f"the factors are {_names(self.factors)}"
            )
        kept = []
        for condition in self:
            named = {k: v for k, v in condition.factors.items() if wanted is None or k in wanted}
            try:
                if keep(**named):
                    kept.append(condition)
            except Exception as error:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise StudyError(f"where: fails at {condition.key}: {reason}") from error
        return Grid(tuple(kept))


def grid(**factors: Iterable[Level]) -> Grid:
    """Return every combination of the given levels.

    Parameters
    ----------
    **factors : iterable of bool, int, float, str or None
        The levels of each factor. 1 and 1.0 are one level; True is not 1.

    Returns
    -------
    Grid
        ``grid()`` without factors has one condition.

    Raises
    ------
    StudyError
        For a level of another kind, a NaN, a factor without levels or a name that tables use.
    """
    levels = [_levels(name, values) for name, values in factors.items()]
    return Grid(
        _distinct(
            Condition(dict(zip(factors, row, strict=True))) for row in itertools.product(*levels)
        )
    )


def level_text(level: Level) -> str:
    """Return the text by which a level is known; equal levels have equal texts."""
    if isinstance(level, str):
        return json.dumps(level, ensure_ascii=False)
    # A class of its own, such as an enum, may show another text than the number that it is.
    if isinstance(level, float):
        return str(int(level) if level.is_integer() else float(level))
    if isinstance(level, int) and not isinstance(level, bool):
        return str(int(level))
    return str(level)


def _levels(name: str, values: Iterable[Level]) -> list[Level]:
    if name in RESERVED:
        raise StudyError(
            f"grid: a factor cannot be called '{name}', a name that mcstudy uses itself; "
            "choose another name"
        )
    if not is_plain(name) or "\0" in name:  # columns of ours beside the factors begin so
        raise StudyError(f"grid: {name!r} cannot name a factor, it is no valid text; fix it")
    one = isinstance(values, str | bytes | Mapping) or getattr(values, "ndim", 1) == 0
    if one or not isinstance(values, Iterable):
        raise StudyError(f"grid: {name}={values!r} is not a list of levels; write {name}=[...]")
    levels = [_level(name, value) for value in values]
    if not levels:
        raise StudyError(f"grid: the factor '{name}' has no levels; give it at least one")
    return levels


def _level(name: str, value: Any) -> Level:
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if not isinstance(value, bool | int | float | str | None):
        raise StudyError(
            f"grid: {name} has the level {value!r} of type {type(value).__name__}; "
            "levels are bool, int, float, str or None"
        )
    if isinstance(value, float) and math.isnan(value):
        raise StudyError(f"grid: {name} has the level NaN, which equals nothing; use None instead")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise StudyError(
            f"grid: {name} has a level of {value.bit_length()} bits; tables hold integers of 64, "
            "write it as a float or a text"
        )
    if isinstance(value, str) and not is_plain(value):
        raise StudyError(f"grid: {name} has the level {value!r}, which is no valid text; fix it")
    return value + 0.0 if isinstance(value, float) else value


def check_levels(conditions: Grid) -> None:
    """Raise StudyError where a level is not the same in the tables.

    A column of numbers is one of floats where one of them is no whole number, or is missing, and
    not every integer above 2**53 is a float.
    """
    for name in conditions.factors:
        levels = [condition.factors[name] for condition in conditions]
        if any(isinstance(level, bool | str) for level in levels):
            continue  # text, or truth values
        others = [  # that a column of 64-bit integers cannot hold
            level
            for level in levels
            if level is None
            or (isinstance(level, float) and not (level.is_integer() and -(2**63) <= level < 2**63))
        ]
        for level in levels:
            if others and isinstance(level, int) and int(float(level)) != level:
                raise StudyError(
                    f"grid: {name} has the levels {level} and {others[0]}; in one column of a "
                    f"table the first would be {int(float(level))}: write it as a text, or leave "
                    "one out"
                )


def is_plain(text: str) -> bool:
    """Return whether a text can be written to a file: it has no half of a character."""
    return text.isascii() or text == text.encode(errors="replace").decode()


def _distinct(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Keep one of each; where 1 meets 1.0 the integer stays, so that order does not matter."""
    kept: dict[str, Condition] = {}
    for condition in conditions:
        known = kept.setdefault(condition.key, condition)
        if known is not condition:
            kept[condition.key] = Condition(
                {
                    name: level if isinstance(level, int) else condition.factors[name]
                    for name, level in known.factors.items()
                }
            )
    return tuple(kept.values())


def _rank(level: Level) -> tuple[int, Any]:
    if level is None:
        return (0, 0)
    if isinstance(level, bool):
        return (1, level)
    return (3, level) if isinstance(level, str) else (2, level)


def _argument_names(function: Callable[..., Any]) -> tuple[set[str] | None, set[str]]:
    """Return the names of a function's arguments, None if it takes any, and those it must get."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise StudyError(
            f"where: the arguments of {function!r} cannot be read; write where(lambda n: n > 5)"
        ) from None
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    needed = {p.name for p in named if p.default is p.empty}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return None if takes_any else {p.name for p in named}, needed


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
