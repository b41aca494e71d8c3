"""A thing that has no words of its own to the pieces that say all of it."""

from __future__ import annotations

import functools
import hashlib
import types
from pathlib import Path
from typing import Any

from mcstudy.installed import file_of, is_installed


def content_of(cell: types.CellType) -> Any:
    """Return what a variable of an enclosing function holds, `"empty"` before it is set."""
    try:
        return cell.cell_contents
    except ValueError:
        return "empty"


def as_pickled(thing: Any) -> Any:
    """Return what an object is pickled or copied by, None where it cannot be."""
    try:
        return thing.__reduce_ex__(4)
    except Exception:  # noqa: BLE001 - what cannot be pickled is known by its class and attributes
        return None


def has_no_state(thing: Any) -> bool:
    """Return whether a thing is no more than one of its installed kind: a sentinel."""
    kind = type(thing)
    if isinstance(thing, type) or not is_installed(kind.__module__):
        return False
    reduced = as_pickled(thing)
    if not isinstance(reduced, tuple) or len(reduced[1]) != 1 or reduced[1][0] is not kind:
        return False
    return all(part is None for part in reduced[2:])


def function_of(method: types.MethodType) -> Any:
    """Return the name that the object knows its method by, or the function where it knows none."""
    name = getattr(method.__func__, "__name__", "")
    holder = method.__self__ if isinstance(method.__self__, type) else type(method.__self__)
    return name if hasattr(holder, name) else method.__func__


def attributes_of(state: Any) -> tuple[dict[str, Any], list[Any]]:
    """Return the attributes in the state of an object, those in slots too, and the rest."""
    attributes: dict[str, Any] = {}
    other = []
    for part in state if type(state) is tuple else (state,):
        if type(part) is dict:
            attributes |= part
        elif part is not None:
            other.append(part)
    return attributes, other


def compiled_file(thing: Any) -> list[str]:
    """Return the digest of the compiled file that a thing of the user's comes from, if any."""
    import sys

    name = getattr(thing, "__module__", None)
    file = file_of(sys.modules.get(name)) if isinstance(name, str) else None
    if not file or is_installed(str(name)) or Path(file).suffix not in (".so", ".pyd"):
        return []
    return [_digest_of_file(file, Path(file).stat().st_mtime_ns)]


@functools.lru_cache
def _digest_of_file(file: str, changed: int) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
