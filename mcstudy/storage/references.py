"""What a function refers to outside itself, and the names that installed things go by."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from mcstudy.installed import OURS, is_installed, is_installed_package
from mcstudy.storage.code_objects import Import, whole

_OF_UFUNCS = ("numpy", "scipy.special")
ABSENT = "absent"


def referred(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield what a function looks up outside itself, by the names it uses.

    Of a module of the user's own only what is used: the attributes, followed to the first that is
    no such module. A module that is used in any other way is yielded itself. Of an installed module
    that only a statement in the function imports, its name is yielded: it is not imported for that.
    """
    chains, imports = whole(function.__code__)
    outside = function.__globals__
    for chain in sorted(chains):
        name, *attributes = chain
        if name in imports:
            found, attributes = _imported(imports[name], attributes, function)
        elif name in outside and not (name.startswith("__") and name.endswith("__")):
            found = outside[name]
        else:
            continue
        yield ".".join(chain), _followed(found, attributes)


def _followed(found: Any, attributes: list[str]) -> Any:
    while attributes and isinstance(found, ModuleType) and not is_installed(found.__name__):
        found = getattr(found, attributes.pop(0), ABSENT)
    return found


def _imported(
    statement: Import, attributes: list[str], function: FunctionType
) -> tuple[Any, list[str]]:
    """Return the module that an import statement finds, and the attributes taken from it."""
    package = function.__globals__.get("__package__") or ""
    try:
        name = resolve_name("." * statement.level + statement.module, package)
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or is_installed_package(top):
            return InstalledName(name), attributes
        found = importlib.import_module(name)
    except Exception:  # noqa: BLE001 - the function's own import will say what is wrong
        return ABSENT, attributes
    if statement.member == "*":
        return sys.modules[top], attributes
    return found, [statement.member, *attributes] if statement.member else attributes


class InstalledName(str):
    """The name of an installed module that is perhaps not imported yet."""


def installed_name(thing: Any) -> str | None:
    """Return the name under which an installed module holds a thing, None where none does."""
    home, path = _label(thing, "__module__"), _label(thing, "__qualname__", "__name__")
    if home and path and is_installed(home) and _found(home, path) is thing:
        return f"{home}.{path}"
    holders = (type(thing).__module__, home, *(_OF_UFUNCS if isinstance(thing, np.ufunc) else ()))
    for holder in holders:
        module = sys.modules.get(holder)
        if module is not None and is_installed(holder):
            for name, held in vars(module).items():
                if held is thing:
                    return f"{holder}.{name}"
    return None


def own_name(thing: Any) -> str | None:
    """Return the name under which a module of the user's, that others can import, holds a thing."""
    home, path = _label(thing, "__module__"), _label(thing, "__qualname__")
    if home == "__main__" or home.startswith(OURS) or is_installed(home):
        return None
    return f"{home}.{path}" if _found(home, path) is thing else None


def _found(home: str, path: str) -> Any:
    found: Any = sys.modules.get(home)
    for step in path.split("."):
        found = getattr(found, step, None)
    return found


def _label(thing: Any, *names: str) -> str:
    """Return the first of these attributes that is a text; an object may answer anything."""
    for name in names:
        try:
            label = getattr(thing, name, None)
        except Exception:  # noqa: BLE001 - a user's __getattr__ may raise anything
            continue
        if isinstance(label, str):
            return label
    return ""
