"""What a value computes with, as a digest that is the same wherever the same numbers come from it.

A pickler writes the value into a hash, after `joblib.hashing.Hasher`. Each thing with an identity
is put off: a number stands for it, and later it is written as a tuple of its parts. So cycles end,
a long chain of functions needs no deep recursion, and nothing is met that cannot be pickled. The
digest does not depend on a path, an address in memory, the hash seed, or how the code was cut into
files and cells. Of what is installed it has the names; the versions stand in the marks.
"""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import gc
import hashlib
import inspect
import pickle
import sys
import types
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path, PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

import numpy as np

from mcstudy.arrays import has_own_layout, layout_of
from mcstudy.loader import OURS, file_of, is_installed
from mcstudy.storage.bytecode import Scope, code_parts
from mcstudy.storage.code_references import (
    InstalledName,
    attribute,
    named,
    named_in,
    own_names,
    referred,
    texts_of,
    words_in,
)

# The pickler writes these by itself: they are values, and say all of themselves.
_VALUES = frozenset(
    {int, float, bool, complex, bytes, tuple, range, slice}
    | {types.NoneType, types.EllipsisType, types.NotImplementedType}
)
_OF_FIELDS = ("name", "default", "default_factory", "init", "compare", "kw_only", "metadata")
_VIEWS = {type({}.keys()), type({}.values()), type({}.items())}
# What np.vectorize and numba's compilers are told.
_OPTIONS = {"otypes", "signature", "excluded", "targetoptions"}
# Where a decorated function of wrapt has them, though not in its dict.
_OF_PROXIES = {"__wrapped__", "_self_wrapper"}
# These cannot be pickled, and their functions are not in their dict.
_HELD = {
    property: ("fget", "fset", "fdel"),
    classmethod: ("__func__",),
    staticmethod: ("__func__",),
}


class Fingerprint(pickle.Pickler):
    """The digest of a value and of all that it refers to.

    Of a function that is called by us, `by_position` says how many arguments it gets without their
    names. `within` is the fingerprint of a set of which this is an element: what was met there is
    known.

    Attributes
    ----------
    digest : str
        16 hexadecimal digits.
    packages : set of str
        The installed packages that it met; their versions stand for them.
    references : dict
        The functions and classes of modules of the user's that it met, by module and name. Where
        the value is pickled, these are found again by their names.
    """

    def __init__(
        self,
        thing: Any,
        *,
        by_position: int = 0,
        within: Fingerprint | None = None,
    ) -> None:
        digest = hashlib.sha256()
        super().__init__(cast(Any, types.SimpleNamespace(write=digest.update)), protocol=4)
        # Without the pickler's memo: whether two equal constants are one object says nothing.
        self.fast = True
        self.packages: set[str] = within.packages if within else set()
        self.references: dict[str, Any] = within.references if within else {}
        self._numbers: dict[int, tuple[int, Any]] = dict(within._numbers) if within else {}
        self._place: tuple[str, str] = within._place if within else ("", "")
        self._called, self._by_position = thing, by_position
        self._ahead: deque[tuple[Any, tuple[str, str]]] = deque()
        self.dump(thing)
        while self._ahead:
            later, self._place = self._ahead.popleft()
            self.dump(self._parts(later))
        self.digest = digest.hexdigest()[:16]

    def persistent_id(self, thing: Any) -> Any:
        """Return what stands for a thing; None lets the pickler write it."""
        kind = type(thing)
        if kind in _VALUES:
            return None
        if kind is str:
            # Where code stands is no content of it: "another folder" is no change.
            folder, module = self._place
            text = thing.replace(folder, "<folder>") if folder else thing
            return text.replace(module, "<module>") if module else text
        if kind is frozenset:
            return b"set", *self._elements(thing)
        if kind is np.ndarray and not thing.dtype.hasobject:
            return _array(thing)
        if kind is bytearray:
            return b"bytearray", bytes(thing)
        if kind is memoryview:
            with suppress(ValueError):  # it was released
                return b"bytearray", bytes(thing)
        if kind is CodeType:
            return code_parts(thing, Scope(thing))
        if kind is object:  # a sentinel; pickled by itself it is another one than its module's
            return b"object"
        if issubclass(kind, PurePath):
            return b"path", str(thing)
        if id(thing) in self._numbers:
            return self._numbers[id(thing)][0]
        if name := _installed_name(thing):
            return self._installed(name)
        number = len(self._numbers)
        self._numbers[id(thing)] = number, thing
        self._ahead.append((thing, self._place))
        return number

    def _installed(self, name: str) -> tuple[bytes, bytes]:
        self.packages.add(name.partition(".")[0])
        return b"installed", name.encode()

    def _elements(self, things: Iterable[Any]) -> list[str]:
        """Return the elements of a set by texts or digests, in an order that is always the same."""
        short = {str: self.persistent_id, int: hex, float: repr, bool: repr}
        return sorted(
            f"{kind.__name__} {short[kind](thing)}"
            if (kind := type(thing)) in short
            else Fingerprint(thing, within=self).digest
            for thing in things
        )

    def _parts(self, thing: Any) -> tuple[Any, ...]:
        """Return what a thing with an identity consists of."""
        kind = type(thing)
        if (kind is FunctionType or issubclass(kind, type)) and (name := _own_name(thing)):
            self.references[name] = thing
        if kind is dict or kind is types.MappingProxyType:
            return b"dict", *chain.from_iterable(thing.items())
        if kind is list:
            return b"list", *thing
        if kind is set:
            return b"set", *self._elements(thing)
        if kind is FunctionType:
            return self._function(thing)
        if issubclass(kind, type):
            return b"class", kind, thing.__bases__, _compiled(thing), *named(vars(thing))
        if issubclass(kind, ModuleType):
            self._place = _place(vars(thing))
            return b"module", *named(own_names(vars(thing)))
        if kind is types.MethodType:
            holder, name = thing.__self__, attribute(thing.__func__, "__name__", str)
            kind_of = holder if isinstance(holder, type) else type(holder)
            known = inspect.getattr_static(kind_of, name, None)
            functions = known, attribute(known, "__func__", object)
            is_its_own = any(function is thing.__func__ for function in functions)
            return b"method", name if is_its_own else thing.__func__, holder
        if kind is dataclasses.Field:
            return b"field", *(getattr(thing, name) for name in _OF_FIELDS)
        if kind in _VIEWS:
            return b"view", *thing
        if kind is np.ufunc:  # made by np.frompyfunc
            return b"ufunc", *gc.get_referents(thing)
        return _object(thing)

    def _function(self, function: FunctionType) -> tuple[Any, ...]:
        """Return a function's code and all it works with; an installed one's code has a version."""
        code, place = function.__code__, _place(function.__globals__)
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        # An empty cell, of a variable that is not set yet, equals empty ones only.
        held = {n: b"empty" if c == types.CellType() else c.cell_contents for n, c in cells}
        attributes = tuple(named(vars(function)))
        if is_installed(place[1]):
            name = self._installed(f"{place[1]}.{code.co_qualname}")
            return b"function", name, tuple(held.values()), attributes
        self._place = place
        texts = list(texts_of(function, held))
        by_position = self._by_position if function is self._called else 0
        scope = Scope(code, by_position=by_position, spoken=words_in(texts))
        does = code_parts(code, scope)
        known = tuple(held[name] for name in scope.names if name in held)
        defaults = function.__defaults__, *sorted((function.__kwdefaults__ or {}).items())
        used = *referred(function), *named_in(function, texts)
        return b"function", does, known, defaults, attributes, used


def _object(thing: Any) -> tuple[Any, ...]:
    """Return the class of an object and its state, as it would be copied or pickled."""
    kind, attributes = type(thing), attribute(thing, "__dict__", dict)
    if kind is functools.partial:
        return b"partial", thing.func, thing.args, thing.keywords, *named(attributes)
    if "__wrapped__" in attributes and is_installed(kind.__module__):
        options = {name: attributes[name] for name in _OPTIONS & attributes.keys()}
        return b"wrapper", kind, attributes["__wrapped__"], *named(options)
    names = [name for base in kind.__mro__ for name in _HELD.get(base, ())]
    if held := [attribute(thing, name, object) for name in names]:
        return b"holder", kind, *held, *named(attributes)
    name = None
    try:
        reduce = copyreg.dispatch_table.get(kind)
        reduced = reduce(thing) if reduce else thing.__reduce_ex__(4)
        if not isinstance(reduced, str):
            return b"object", kind, *_state(*reduced)
        name = reduced
    except Exception:  # noqa: BLE001 - what cannot be pickled is known by its class and attributes
        pass
    there = {name for base in kind.__mro__ for name in vars(base)}
    held = [attribute(thing, name, object) for name in sorted(_OF_PROXIES & there)]
    return b"opaque", kind, name, _compiled(thing), *held, *named(attributes)


def _state(
    make: Any, arguments: Any, state: Any = None, items: Any = None, pairs: Any = None, *_: Any
) -> tuple[Any, ...]:
    """Return what an object is made again from, its attributes in the order of their names."""
    states = state if type(state) is tuple else (state,)
    own = dict(chain.from_iterable(part.items() for part in states if type(part) is dict))
    other = tuple(part for part in states if type(part) is not dict)
    return make, arguments, other, tuple(items or ()), tuple(pairs or ()), *named(own)


def _array(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    order: Any = "F" if array.flags.fnc else "C"
    content = array.ravel(order).view(np.uint8).data if array.nbytes else b""
    digest = hashlib.sha256(content).digest()
    layout = layout_of(array) if has_own_layout(array) else order.encode()
    return b"array", array.shape, str(array.dtype).encode(), layout, digest


def _place(namespace: Mapping[str, Any]) -> tuple[str, str]:
    """Return the folder and the name of a module, by what it holds."""
    file, name = namespace.get("__file__"), namespace.get("__name__")
    return str(Path(file).parent) if isinstance(file, str) else "", str(name or "")


def _compiled(thing: Any) -> bytes | None:
    """Return the digest of the compiled file that a thing of the user's comes from, if any."""
    name = attribute(thing, "__module__", str)
    file = file_of(sys.modules.get(name))
    if not file or is_installed(name) or Path(file).suffix not in (".so", ".pyd"):
        return None
    return hashlib.sha256(Path(file).read_bytes()).digest()


def _installed_name(thing: Any) -> str | None:
    """Return the name under which an installed module holds a thing, None where none does."""
    if isinstance(thing, InstalledName):
        return thing
    if isinstance(thing, ModuleType):
        return thing.__name__ if is_installed(thing.__name__) else None
    home = attribute(thing, "__module__", str)
    path = attribute(thing, "__qualname__", str) or attribute(thing, "__name__", str)
    if home and path and is_installed(home) and _is_held(thing, home, path):
        return f"{home}.{path}"
    ufunc = ("numpy", "scipy.special") if isinstance(thing, np.ufunc) else ()
    for holder in (type(thing).__module__, home, *ufunc):
        if holder in sys.modules and is_installed(holder):
            for name, held in vars(sys.modules[holder]).items():
                if held is thing:
                    return f"{holder}.{name}"
    return None


def _own_name(thing: Any) -> str | None:
    """Return the name under which a module of the user's, that others can import, holds a thing."""
    home, path = attribute(thing, "__module__", str), attribute(thing, "__qualname__", str)
    if home == "__main__" or home.startswith(OURS) or is_installed(home):
        return None
    return f"{home}.{path}" if _is_held(thing, home, path) else None


def _is_held(thing: Any, home: str, path: str) -> bool:
    found: Any = sys.modules.get(home)
    for name in path.split("."):
        found = attribute(found, name, object)
    return found is thing
