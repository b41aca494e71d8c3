"""A value in words that are the same wherever the same numbers come from it.

The words do not depend on a path, an address in memory, the hash seed of the process or how the
code was cut into files and cells. What has an identity is described once, and called by its number
from then on; what cannot change is described wherever it is met.
"""

from __future__ import annotations

import gc
import hashlib
import types
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from mcstudy.installed import is_installed
from mcstudy.storage.code_objects import anatomy, words_of
from mcstudy.storage.pieces import (
    as_pickled,
    attributes_of,
    compiled_file,
    content_of,
    function_of,
    has_no_state,
)
from mcstudy.storage.references import InstalledName, installed_name, own_name, referred
from mcstudy.storage.renaming import Scope, first_uses, renamed

_PLAIN = (bool, float, complex, range, slice, types.NoneType, types.EllipsisType)
_BOUND = (types.BuiltinFunctionType, types.MethodWrapperType)
_DESCRIPTORS = (
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)
_LABELS = frozenset(
    {"__module__", "__name__", "__qualname__", "__doc__", "__dict__", "__weakref__"}
    | {"__annotations__", "__orig_bases__", "__parameters__"}
    | {"__firstlineno__", "__static_attributes__", "__slotnames__"}
)
_LABELLED = ("_abc_", "__annot", "__dataclass")


@dataclass(frozen=True)
class Place:
    """Where a function stands: the folder and the name of its module, which are no content."""

    folder: str = ""
    module: str = ""

    def without(self, text: str) -> str:
        """Return a text in which neither of them occurs."""
        for own, word in ((self.folder, "<folder>"), (self.module, "<module>")):
            text = text.replace(own, word) if own else text
        return text


class Description:
    """Walks a value and all that it refers to, and digests what it meets on the way.

    Parameters
    ----------
    thing : object
        The value.
    by_position : int, default 0
        Of a function that is called by us: how many arguments it gets without their names.

    Attributes
    ----------
    packages : set of str
        The installed packages that it met; their versions stand for them.
    references : dict
        The functions and classes of modules of the user's that it met, by module and name. Where
        the value is pickled, these are found again by their names.
    """

    def __init__(self, thing: Any, *, by_position: int = 0) -> None:
        self.packages: set[str] = set()
        self.references: dict[str, Any] = {}
        self._hash = hashlib.sha256()
        self._met: dict[int, tuple[int, Any]] = {}
        self._ahead: deque[tuple[Any, Place]] = deque()
        self._place = Place()
        self._whole, self._by_position = thing, by_position
        self._add(thing)
        self._finish()

    @property
    def digest(self) -> str:
        """16 hexadecimal digits."""
        return self._hash.hexdigest()[:16]

    def _finish(self) -> None:
        while self._ahead:
            thing, self._place = self._ahead.popleft()
            self._describe(thing)

    def _say(self, *words: str) -> None:
        self._hash.update("\x1f".join(words).encode(errors="backslashreplace") + b"\x1e")

    def _add(self, thing: Any) -> None:
        """Add what cannot change at once, and put off what has an identity."""
        kind = type(thing)
        if kind is str:
            self._say("str", self._place.without(thing))
        elif kind is int:
            self._say("int", hex(thing))
        elif kind in _PLAIN:
            self._say(kind.__name__, repr(thing))
        elif kind is bytes or kind is bytearray:
            self._say(kind.__name__, hashlib.sha256(thing).hexdigest())
        elif kind is tuple:
            self._add_all("tuple", thing)
        elif kind is frozenset:
            self._add_set(thing)
        elif kind is types.CodeType:
            self._add_code(thing)
        elif kind is np.ndarray and not thing.dtype.hasobject:
            self._add_array(thing)
        elif isinstance(thing, PurePath):
            self._say("path", self._place.without(str(thing)))
        elif kind is InstalledName:
            self._say_installed(thing)
        elif id(thing) in self._met:
            self._say("met", str(self._met[id(thing)][0]))
        elif has_no_state(thing):
            self._say_installed(f"{kind.__module__}.{kind.__qualname__}")
        elif (name := _name(thing)) is not None:
            self._say_installed(name)
        else:
            self._met[id(thing)] = (len(self._met), thing)
            self._say("new", str(self._met[id(thing)][0]))
            self._ahead.append((thing, self._place))

    def _say_installed(self, name: str) -> None:
        self._say("installed", name)
        self.packages.add(name.partition(".")[0])

    def _add_all(self, kind: str, things: Iterable[Any]) -> None:
        things = list(things)
        self._say(kind, str(len(things)))
        for thing in things:
            self._add(thing)

    def _add_pairs(self, kind: str, pairs: Iterable[tuple[Any, Any]]) -> None:
        self._add_all(kind, [part for pair in pairs for part in pair])

    def _add_named(self, kind: str, members: Mapping[str, Any]) -> None:
        """Add attributes, in the order of their names, without what is only a label."""
        known = {
            str(name): member
            for name, member in members.items()
            if name not in _LABELS and not str(name).startswith(_LABELLED)
        }
        self._add_pairs(kind, sorted(known.items(), key=lambda pair: pair[0]))

    def _add_set(self, things: Iterable[Any]) -> None:
        self._say("set", *sorted(self._alone(thing) for thing in things))

    def _alone(self, thing: Any) -> str:
        """Return the digest of an element of a set, whatever was met among the other elements."""
        other = object.__new__(Description)
        other.packages, other.references = self.packages, self.references
        other._hash = hashlib.sha256()
        other._met, other._ahead, other._place = dict(self._met), deque(), self._place
        other._whole, other._by_position = self._whole, self._by_position
        other._add(thing)
        other._finish()
        return other.digest

    def _add_array(self, array: np.ndarray) -> None:
        order = "F" if array.flags.fnc else "C"
        content = hashlib.sha256(array.tobytes(order="A" if order == "F" else "C")).hexdigest()
        self._say("array", str(array.shape), str(array.dtype), order, content)

    def _add_code(self, code: types.CodeType, scope: Scope | None = None) -> None:
        scope = scope or Scope.of(code)
        names = renamed(code, scope)
        constants = anatomy(code).constants
        self._say("code", *words_of(code, names))
        self._say("constants", str(len(constants)))
        for constant in constants:
            if isinstance(constant, types.CodeType):
                self._add_code(constant, scope.within(names))
            else:
                self._add(constant)

    def _describe(self, thing: Any) -> None:
        """Say what a thing with an identity consists of."""
        kind = type(thing)
        if isinstance(thing, types.FunctionType | type) and (name := own_name(thing)):
            self.references[name] = thing
        if kind in (dict, types.MappingProxyType):
            self._add_pairs("mapping", thing.items())
        elif kind is list:
            self._add_all("list", thing)
        elif kind is set:
            self._add_set(thing)
        elif kind is types.FunctionType:
            self._describe_function(thing)
        elif isinstance(thing, type):
            self._add_all("class", [type(thing), thing.__bases__, *compiled_file(thing)])
            own = {k: v for k, v in vars(thing).items() if not isinstance(v, _DESCRIPTORS)}
            self._add_named("members", own)
        elif isinstance(thing, types.ModuleType):
            self._describe_module(thing)
        elif kind is types.MethodType:
            self._add_all("bound", [function_of(thing), thing.__self__])
        elif kind in _BOUND:
            whose = None if isinstance(thing.__self__, types.ModuleType) else thing.__self__
            self._add_all("builtin", [thing.__name__, whose, *compiled_file(thing)])
        elif kind in _DESCRIPTORS:
            self._say("descriptor", thing.__name__)
        elif kind is property:
            self._add_all("property", [thing.fget, thing.fset, thing.fdel])
        elif kind is np.ufunc:
            self._add_all("ufunc", gc.get_referents(thing))
        else:
            self._describe_object(thing)

    def _describe_function(self, function: types.FunctionType) -> None:
        """Say a function's code and all it works with; an installed one's code has a version."""
        code = function.__code__
        held = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        cells = [content_of(held[name]) for name in first_uses(code) if name in held]
        if is_installed(_home(function)):
            self._say_installed(f"{_home(function)}.{function.__code__.co_qualname}")
            self._add_all("cells", cells)
            self._add_named("attributes", vars(function))
            return
        self._place = _place(function)
        defaults = [function.__defaults__, *sorted((function.__kwdefaults__ or {}).items())]
        self._say("function")
        by_position = self._by_position if function is self._whole else 0
        self._add_code(code, Scope.of(code, by_position))
        self._add_all("defaults", defaults)
        self._add_all("cells", cells)
        self._add_named("attributes", vars(function))
        self._add_pairs("referred", referred(function))

    def _describe_module(self, module: types.ModuleType) -> None:
        """Say all that a module of the user's holds."""
        self._place = Place(_folder(getattr(module, "__file__", None)), module.__name__)
        members = {name: thing for name, thing in vars(module).items() if not name.startswith("__")}
        self._add_named("module", members)

    def _describe_object(self, thing: Any) -> None:
        """Say the class of an object and its state, as it would be copied or pickled."""
        kind = type(thing)
        self._add(kind)
        for inner in ("__wrapped__", "__func__") if is_installed(kind.__module__) else ():
            if hasattr(thing, inner):
                self._add_all(inner, [getattr(thing, inner)])
                return
        reduced = as_pickled(thing)
        if not isinstance(reduced, tuple):
            self._say("opaque", reduced or "")
            self._add_named("attributes", getattr(thing, "__dict__", {}))
            return
        make, arguments, state, items, pairs = (*reduced, None, None, None, None)[:5]
        self._add_all("made by", [make, arguments])
        attributes, other = attributes_of(state)
        self._add_named("attributes", attributes)
        self._add_all("state", other)
        self._add_all("items", items or ())
        self._add_pairs("pairs", pairs or ())


def _name(thing: Any) -> str | None:
    """Return the name that says all of a thing: it is installed, or a whole module of ours."""
    if isinstance(thing, types.ModuleType):
        name = thing.__name__
        return name if is_installed(name) else None
    return installed_name(thing)


def _home(function: types.FunctionType) -> str:
    """Return the name of the module that a function's code stands in."""
    return str(function.__globals__.get("__name__", function.__module__))


def _place(function: types.FunctionType) -> Place:
    return Place(_folder(function.__globals__.get("__file__")), _home(function))


def _folder(file: Any) -> str:
    return str(Path(file).parent) if isinstance(file, str) else ""
