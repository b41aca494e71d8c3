"""Values read from JSON, held against types: what does not fit is named, and where it is."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, Literal, NotRequired, TypeAlias, Union


def misfit(value: object, kind: Any) -> str:
    """Return where a value read from JSON is not of a type, in words; empty where it is.

    The type is one that JSON has, a union or `Literal`, a list or dict of such types, or a class
    whose annotations say what is under each key; there may be further keys.
    """
    found = _check(kind)(value)
    return f"{found[0] or 'it'} {found[1]}" if found else ""


_Misfit: TypeAlias = tuple[str, str] | None  # where it is in a value, and what is wrong there


@functools.cache
def _check(kind: Any) -> Callable[[Any], _Misfit]:
    """Return the function that holds a value against a type."""
    outer, inner = typing.get_origin(kind), typing.get_args(kind)
    if outer in (Union, UnionType, NotRequired):
        return functools.partial(_in_union, frozenset(inner), [_check(each) for each in inner])
    if outer is list:
        return functools.partial(_in_list, _check(inner[0]))
    if outer in (dict, Mapping):
        return functools.partial(_in_dict, _check(inner[1]))
    if outer is Literal:
        return lambda value: None if value in inner else _wrong(value)
    if typing.is_typeddict(kind) or is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        needed = [key for key, own in hints.items() if typing.get_origin(own) is not NotRequired]
        checks = {key: _check(own) for key, own in hints.items()}
        return functools.partial(_in_object, needed, checks)
    # A number without a fraction is whole in JSON; True and False are no numbers.
    types = (int, float) if kind is float else (kind,)
    return lambda value: None if type(value) in types else _wrong(value)


def _in_union(types: Set[Any], checks: Sequence[Callable[[Any], _Misfit]], value: Any) -> _Misfit:
    if type(value) in types:
        return None
    tried = [found for check in checks if (found := check(value))]
    # Of several the one that looked furthest into it.
    return max(tried, key=lambda found: len("".join(found))) if len(tried) == len(checks) else None


def _in_list(check: Callable[[Any], _Misfit], value: Any) -> _Misfit:
    if not isinstance(value, list):
        return _wrong(value)
    for i, item in enumerate(value):
        if found := check(item):
            return f"[{i}]{found[0]}", found[1]
    return None


def _in_dict(check: Callable[[Any], _Misfit], value: Any) -> _Misfit:
    if not isinstance(value, dict):
        return _wrong(value)
    for key, item in value.items():
        if found := check(item):
            return f"[{key!r}]{found[0]}", found[1]
    return None


def _in_object(
    needed: Sequence[str], checks: Mapping[str, Callable[[Any], _Misfit]], value: Any
) -> _Misfit:
    if not isinstance(value, dict):
        return _wrong(value)
    for key in needed:
        if key not in value:
            return f"'{key}'", "is missing"
    for key, check in checks.items():
        if key in value and (found := check(value[key])):
            return f"'{key}'{found[0]}", found[1]
    return None


def _wrong(value: Any) -> tuple[str, str]:
    words = type(value).__name__ if isinstance(value, dict | list) else repr(value)
    return "", f"is {words if len(words) <= 40 else words[:37] + '...'}"
