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
from collections.abc import Iterable, Mapping, Sequence, Set
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
    description = _Description()
    description.add(function)
    return description.digest()


class _Description:
    """Walks a value and all it refers to, once each, and digests what it meets on the way."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._met: dict[int, tuple[int, Any]] = {}

    def digest(self) -> str:
        return self._hash.hexdigest()[:16]

    def add(self, thing: Any) -> None:
        """Add a value, function, class or object."""
        if thing is None or isinstance(thing, bool | int | float | complex | str | bytes):
            self._say(type(thing).__name__, repr(thing))
        elif id(thing) in self._met:
            self._say("met", str(self._met[id(thing)][0]))
        else:
            self._met[id(thing)] = (len(self._met), thing)
            self._add_new(thing)

    def _add_new(self, thing: Any) -> None:
        name = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
        if isinstance(thing, np.ndarray) and thing.dtype != object:
            digest = hashlib.sha256(np.ascontiguousarray(thing).tobytes()).hexdigest()
            self._say("array", str(thing.shape), str(thing.dtype), digest)
        elif isinstance(thing, Mapping):
            self._say("mapping", str(len(thing)))
            for key, value in thing.items():
                self.add(key)
                self.add(value)
        elif isinstance(thing, Set):
            self._say("set", *sorted(code_digest(item) for item in thing))
        elif isinstance(thing, list | tuple | range):
            self._add_all("sequence", thing)
        elif isinstance(thing, functools.partial):
            self._add_all("partial", [thing.func, thing.args, thing.keywords])
        elif isinstance(thing, types.ModuleType):
            self._say(_describe_module(thing))
        elif isinstance(thing, types.CodeType):
            self._add_code(thing)
        elif isinstance(thing, types.MethodType):
            self._add_all("bound", [thing.__func__, thing.__self__])
        elif isinstance(thing, types.FunctionType | type) and _is_installed(thing):
            self._say("installed", name)
        elif isinstance(thing, types.FunctionType):
            self._add_function(thing)
        elif isinstance(thing, type):
            self._add_class(thing)
        elif isinstance(thing, types.BuiltinFunctionType | np.ufunc):
            self._say("builtin", name, getattr(thing, "__name__", ""))
        else:
            self._add_object(thing)

    def _say(self, *words: str) -> None:
        self._hash.update("\x1f".join(words).encode(errors="backslashreplace") + b"\x1e")

    def _add_all(self, kind: str, things: Sequence[Any]) -> None:
        self._say(kind, str(len(things)))
        for thing in things:
            self.add(thing)

    def _add_function(self, function: types.FunctionType) -> None:
        cells = [_cell(cell) for cell in function.__closure__ or ()]
        attributes = dict(sorted(vars(function).items()))
        parts = [function.__code__, function.__defaults__, function.__kwdefaults__]
        self._add_all("function", [*parts, cells, _referred(function), attributes])

    def _add_code(self, code: types.CodeType) -> None:
        """Add instructions and constants; the docstring and the line numbers do not count."""
        constants = list(code.co_consts)
        if constants and isinstance(constants[0], str) and code.co_flags & inspect.CO_NEWLOCALS:
            constants[0] = None
        names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
        self._add_all("code", [code.co_code, *names, constants])

    def _add_class(self, kind: type) -> None:
        ignored = {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__"}
        ignored |= {"__firstlineno__", "__static_attributes__"}
        members = {
            name: member
            for name, member in sorted(vars(kind).items())
            if name not in ignored and not name.startswith(("_abc_", "__annot", "__dataclass"))
        }
        self._add_all("class", [kind.__bases__, members])

    def _add_object(self, thing: Any) -> None:
        """Add the type of an object and its state: its attributes, or else its pickle."""
        kind = type(thing)
        self._say("object", kind.__qualname__)
        self.add(kind)
        if not _is_installed(kind):
            slots = {s for base in kind.__mro__ for s in getattr(base, "__slots__", ())}
            state = {slot: getattr(thing, slot) for slot in slots if hasattr(thing, slot)}
            self.add(dict(sorted({**state, **getattr(thing, "__dict__", {})}.items())))
            return
        for wrapped in ("__wrapped__", "__func__", "fget", "func"):
            if hasattr(thing, wrapped):
                self.add(getattr(thing, wrapped))
                return
        try:
            self._say(hashlib.sha256(cloudpickle.dumps(thing)).hexdigest())
        except Exception:  # noqa: BLE001 - an object that cannot be pickled is known by its type
            self._say("no pickle")


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
