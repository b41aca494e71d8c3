"""What `study.json` and the head of a part must look like: the one schema all are read through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMAT = 2
"""The number of the format of a results folder, in `study.json` and in each part."""

Shape = Any
_TEXT = (str,)
_WHOLE = (int,)
_NUMBER = (int, float)
_NONE = (type(None),)
_LEVEL = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Each:
    """A mapping of texts, each to a value of this shape."""

    shape: Shape


@dataclass(frozen=True)
class AnyOf:
    """One of these shapes."""

    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Optional:
    """A key that may be missing."""

    shape: Shape


_ASKED = {
    "replicates": Optional(_WHOLE),
    "methods": Optional([_TEXT]),
    "goals": Optional(Each(_WHOLE)),
}
RECORD = {
    "name": _TEXT,
    "seed": _WHOLE,
    "factors": Each([_LEVEL]),
    "estimands": [_TEXT],
    "methods": [_TEXT],
    "keep": ("rows", "measures"),
    "versions": Each(_TEXT),
    "precision": Optional(Each(_NUMBER)),
    "max_replicates": Optional(_WHOLE + _NONE),
    "aims": Optional(_TEXT),
    "labels": Optional(Each(_TEXT)),
    "facts": [_TEXT],
    "conditions": Each(Each(_LEVEL)),
    "study_file": _TEXT + _NONE,
    "asked": _ASKED,
    "replicates": _WHOLE + _NONE,
    "marks": Each(Each(_TEXT)),
    "kept": [_TEXT],
    "older_rows": [_TEXT],
    "discarded": [_TEXT],
    "truths": Each(Each(_NUMBER + _NONE)),
    "made_of": _TEXT + _NONE,
    "measured_of": _TEXT + _NONE,
    "tables": Each(_TEXT),
    "counts": Each(Each(_WHOLE)),
    "measures": Each(_TEXT),
    "null": AnyOf((_NUMBER + _NONE, Each(_NUMBER))),
    "reference": _TEXT + _NONE,
    "level": Optional(_NUMBER + _NONE),
    "runs": [Each(_LEVEL)],
}
HEAD = {
    "condition": _TEXT,
    "method": _TEXT,
    "start": _WHOLE,
    "stop": _WHOLE,
    "provenance": Each(_TEXT),
    "references": Optional(AnyOf((_NONE, Each(_NUMBER + _NONE)))),
}


def misfit(value: object, shape: Shape, where: str = "") -> str:
    """Return where a value read from JSON is not of a shape, in words; empty where it is.

    Parameters
    ----------
    value : object
        What was read.
    shape : shape
        A tuple of types, or of the texts that are allowed; a list with the shape of each item; a
        mapping with the shape of each key, of which further ones may be there; `Each`, `AnyOf`.
    where : str
        What the value is called.
    """
    if isinstance(shape, tuple):
        right = value in shape if isinstance(shape[0], str) else _is_one_of(value, shape)
        return "" if right else f"{where or 'it'} is {_short(value)}"
    if isinstance(shape, AnyOf):
        tried = [misfit(value, each, where) for each in shape.shapes]
        return "" if "" in tried else tried[-1]
    if isinstance(shape, list):
        if not isinstance(value, Sequence) or isinstance(value, str):
            return f"{where} is {_short(value)}"
        items = (misfit(item, shape[0], f"{where}[{i}]") for i, item in enumerate(value))
        return next(filter(None, items), "")
    if not isinstance(value, Mapping):
        return f"{where or 'it'} is {_short(value)}"
    if isinstance(shape, Each):
        items = (misfit(item, shape.shape, f"{where}[{key!r}]") for key, item in value.items())
        return next(filter(None, items), "")
    for key, own in shape.items():
        needed = not isinstance(own, Optional)
        if key in value:
            if found := misfit(value[key], own if needed else own.shape, f"{where}'{key}'"):
                return found
        elif needed:
            return f"{where}'{key}' is missing"
    return ""


def _is_one_of(value: object, types: tuple[type, ...]) -> bool:
    """Return whether a value is of one of these types; True and False are no numbers here."""
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)


def _short(value: object) -> str:
    words = repr(value) if not isinstance(value, Mapping | list) else type(value).__name__
    return words if len(words) <= 40 else words[:37] + "..."
