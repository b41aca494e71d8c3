"""What made a row: the seed, the code of its functions, the versions of the packages.

Two marks are equal where nothing changed that could change a number. Code is read from the
compiled functions, through everything they refer to, so that comments, formatting and the rest
of the study file do not matter.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import platform
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping, Set
from importlib import metadata
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from mcstudy.study import Study

PACKAGES = ("mcstudy", "numpy", "scipy", "pandas", "statsmodels")
_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))

Mark = dict[str, str]


def method_marks(study: Study) -> dict[str, Mark]:
    """Return the mark of each method's rows: seed, simulate, method and versions by name."""
    common = {"seed": str(study.seed), "simulate": code_digest(study.simulate)} | versions()
    return {
        name: {"method": code_digest(method)} | common for name, method in study.methods.items()
    }


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Say in words what differs between two marks."""
    said = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, "nothing"), new.get(name, "nothing")
        if before != after:
            code = name in ("simulate", "method")
            said.append(f"the code of {name}" if code else f"{name} {before} -> {after}")
    return said


def code_digest(function: Any) -> str:
    """Return 16 hexadecimal digits that change when what `function` computes may change."""
    return hashlib.sha256(_describe(function, []).encode()).hexdigest()[:16]


def _describe(thing: Any, seen: list[Any]) -> str:
    """Return a text for a value, function, class or object and all it refers to."""
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes):
        return f"{type(thing).__name__}:{thing!r}"
    known = next((i for i, other in enumerate(seen) if other is thing), None)
    if known is not None:
        return f"seen:{known}"
    seen.append(thing)
    if isinstance(thing, np.ndarray) and thing.dtype != object:
        digest = hashlib.sha256(np.ascontiguousarray(thing).tobytes()).hexdigest()
        return f"array:{thing.shape}:{thing.dtype}:{digest}"
    if isinstance(thing, Mapping):
        items = [(_describe(key, seen), _describe(value, seen)) for key, value in thing.items()]
        return f"mapping:{items}"
    if isinstance(thing, Set):
        return f"set:{sorted(_describe(item, []) for item in thing)}"
    if isinstance(thing, list | tuple | range):
        return f"sequence:{[_describe(item, seen) for item in thing]}"
    if isinstance(thing, functools.partial):
        return f"partial:{_describe([thing.func, thing.args, thing.keywords], seen)}"
    if isinstance(thing, types.ModuleType):
        return _describe_module(thing)
    if isinstance(thing, types.CodeType):
        return _describe_code(thing, seen)
    if isinstance(thing, types.MethodType):
        return f"bound:{_describe([thing.__func__, thing.__self__], seen)}"
    name = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
    if isinstance(thing, types.FunctionType):
        return f"installed:{name}" if _is_installed(thing) else _describe_function(thing, seen)
    if isinstance(thing, type):
        return f"installed:{name}" if _is_installed(thing) else _describe_class(thing, seen)
    if isinstance(thing, types.BuiltinFunctionType | np.ufunc):
        return f"builtin:{name}"
    return _describe_object(thing, seen)


def _describe_function(function: types.FunctionType, seen: list[Any]) -> str:
    code = function.__code__
    cells = [_cell(cell) for cell in function.__closure__ or ()]
    parts = [code, function.__defaults__, function.__kwdefaults__, cells, _referred(function)]
    parts += [value for key, value in sorted(vars(function).items()) if key != "__wrapped__"]
    wrapped = getattr(function, "__wrapped__", None)
    return f"function:{_describe([*parts, wrapped], seen)}"


def _describe_code(code: types.CodeType, seen: list[Any]) -> str:
    """Return the instructions and constants; the docstring and the line numbers do not count."""
    constants = list(code.co_consts)
    if constants and isinstance(constants[0], str) and code.co_flags & inspect.CO_NEWLOCALS:
        constants[0] = None
    names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
    return f"code:{code.co_code.hex()}:{names}:{[_describe(c, seen) for c in constants]}"


def _describe_class(kind: type, seen: list[Any]) -> str:
    ignored = {
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__firstlineno__",
    }
    members = {
        name: member
        for name, member in sorted(vars(kind).items())
        if name not in ignored and not name.startswith("_abc_")
    }
    return f"class:{_describe([list(kind.__bases__), members], seen)}"


def _describe_object(thing: Any, seen: list[Any]) -> str:
    """Return the type of an object and its state, by its attributes or else by its pickle."""
    kind = _describe(type(thing), seen)
    state = getattr(thing, "__dict__", None)
    if state:
        return f"object:{kind}:{_describe(dict(sorted(state.items())), seen)}"
    for wrapper in ("__func__", "fget", "func"):
        if hasattr(thing, wrapper):
            return f"object:{kind}:{_describe(getattr(thing, wrapper), seen)}"
    try:
        return f"object:{kind}:{hashlib.sha256(cloudpickle.dumps(thing)).hexdigest()}"
    except Exception:  # noqa: BLE001 - an object that cannot be pickled is known by its type
        return f"object:{kind}"


def _describe_module(module: types.ModuleType) -> str:
    """Return a module's name, and the digest of its file where it is the user's own."""
    if _is_installed(module) or module.__name__.split(".")[0] == "mcstudy":
        return f"module:{module.__name__}"
    path = getattr(module, "__file__", None)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
    return f"module:{module.__name__}:{digest}"


def _referred(function: types.FunctionType) -> dict[str, Any]:
    """Return the globals that a function's code names, and what it uses of mcstudy's modules."""
    referred: dict[str, Any] = {}
    names = sorted(_names(function.__code__))
    for name in names:
        if name in function.__globals__:
            value = function.__globals__[name]
            referred[name] = value
            if isinstance(value, types.ModuleType) and value.__name__.startswith("mcstudy"):
                members = {member: getattr(value, member, None) for member in names}
                referred[f"{name}."] = {k: v for k, v in members.items() if callable(v)}
    return referred


def _names(code: types.CodeType) -> Iterable[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= set(_names(constant))
    return names


def _cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return "empty"


def _is_installed(thing: Any) -> bool:
    """Return whether a version stands for it: it belongs to Python or to an installed package."""
    if isinstance(thing, types.ModuleType):
        name, path = thing.__name__, getattr(thing, "__file__", None)
    else:
        name = getattr(thing, "__module__", None) or ""
        path = getattr(sys.modules.get(name), "__file__", None)
    if name.split(".")[0] == "mcstudy":
        return False
    if path is None:
        return name.split(".")[0] in sys.builtin_module_names
    return str(Path(path)).startswith(_INSTALLED)
