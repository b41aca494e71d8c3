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
import dis
import functools
import gc
import hashlib
import importlib
import pickle
import re
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import resolve_name
from itertools import chain, pairwise
from pathlib import Path, PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from mcstudy.loader import OURS, file_of, is_installed, is_installed_package
from mcstudy.study import Study

T = TypeVar("T")

# The pickler writes these by itself: they are values, and say all of themselves.
_VALUES = frozenset(
    {int, float, bool, complex, bytes, tuple, range, slice}
    | {types.NoneType, types.EllipsisType, types.NotImplementedType}
)
# What a class, a function or a module is called, not what it does.
_LABELS = frozenset(
    {"__module__", "__name__", "__qualname__", "__doc__", "__dict__", "__weakref__"}
    | {"__annotations__", "__orig_bases__", "__parameters__"}
    | {"__firstlineno__", "__static_attributes__", "__slotnames__"}
    | {"__dataclass_params__", "_abc_impl"}
)
_PREFIX_OF_LABELS = "__annot"
# What Python itself puts into a module.
_OF_MODULES = _LABELS | {
    *("__file__", "__path__", "__cached__", "__spec__", "__loader__", "__package__"),
    *("__builtins__", "__warningregistry__", "__all__"),
}
_OF_FIELDS = ("name", "default", "default_factory", "init", "compare", "kw_only", "metadata")
_VIEWS = {type({}.keys()), type({}.values()), type({}.items())}
# These cannot be pickled, and their functions are not in their dict.
_HELD = {
    property: ("fget", "fset", "fdel"),
    classmethod: ("__func__",),
    staticmethod: ("__func__",),
}

_VARIABLE = frozenset(dis.haslocal + dis.hasfree)
_CONSTANT = frozenset(dis.hasconst)
_NAMED = frozenset(dis.hasname + dis.hascompare)
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_PREPARES = frozenset({"EXTENDED_ARG", "MAKE_CELL", "COPY_FREE_VARS"})
_FLAGS = 0x3AC  # *args, **kwargs, generators, coroutines: those of inspect.CO_* that callers notice
# Whoever calls one of these can see what the variables are called.
_LOOKS_AT_NAMES = {"locals", "vars", "dir", "eval", "exec", "globals", "_getframe", "currentframe"}
_LOOKS_AT_GLOBALS = {"globals", "eval", "exec"}
_IMPORTS_BY_NAME = {"import_module", "__import__"}
_WORD = re.compile(r"[^\W\d]\w*")


class _InstalledName(str):
    """The name of an installed module that is perhaps not imported yet."""


class Fingerprint(pickle.Pickler):
    """The digest of a value and of all that it refers to.

    Of a function that is called by us, `by_position` says how many arguments it gets without their
    names. With `reads_texts` what a text names counts: a function of the module in a formula. A
    study that is sent to its workers as a pickle has not all of that there. `within` is the
    fingerprint of a set of which this is an element: what was met there is known.

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
        reads_texts: bool = False,
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
        self._reads_texts: bool = within._reads_texts if within else reads_texts
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
        if kind is bytearray or kind is memoryview:
            return b"bytearray", bytes(thing)
        if kind is CodeType:
            return _code(thing, _Scope(thing))
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
            return b"class", kind, thing.__bases__, _compiled(thing), *_named(vars(thing))
        if issubclass(kind, ModuleType):
            self._place = _place(vars(thing))
            return b"module", *_named(_own(vars(thing)))
        if kind is types.MethodType:
            holder, name = thing.__self__, _get(thing.__func__, "__name__", str)
            known: Any = _get(holder if isinstance(holder, type) else type(holder), name, object)
            is_its_own = getattr(known, "__func__", known) is thing.__func__
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
        attributes = tuple(_named(vars(function)))
        if is_installed(place[1]):
            name = self._installed(f"{place[1]}.{code.co_qualname}")
            return b"function", name, tuple(held.values()), attributes
        self._place = place
        texts = list(_texts(function, held))
        spoken = frozenset(word for text in texts for word in _WORD.findall(text))
        scope = _Scope(
            code, by_position=self._by_position if function is self._called else 0, spoken=spoken
        )
        does = _code(code, scope)
        known = tuple(held[name] for name in scope.names if name in held)
        defaults = function.__defaults__, *sorted((function.__kwdefaults__ or {}).items())
        referred = [
            *_referred(function),
            *(_named_in(function, texts) if self._reads_texts else ()),
        ]
        return b"function", does, known, defaults, attributes, tuple(referred)


def _object(thing: Any) -> tuple[Any, ...]:
    """Return the class of an object and its state, as it would be copied or pickled."""
    kind, attributes = type(thing), _get(thing, "__dict__", dict)
    if kind is functools.partial:
        return b"partial", thing.func, thing.args, thing.keywords, *_named(attributes)
    if "__wrapped__" in attributes and is_installed(kind.__module__):
        options = {key: value for key, value in attributes.items() if _is_option(value)}
        return b"wrapper", kind, attributes["__wrapped__"], *_named(options)
    if held := [getattr(thing, name) for base in kind.__mro__ for name in _HELD.get(base, ())]:
        return b"holder", kind, *held, *_named(attributes)
    name = None
    try:
        reduce = copyreg.dispatch_table.get(kind)
        reduced = reduce(thing) if reduce else thing.__reduce_ex__(4)
        if not isinstance(reduced, str):
            return b"object", kind, *_state(*reduced)
        name = reduced
    except Exception:  # noqa: BLE001 - what cannot be pickled is known by its class and attributes
        pass
    # A decorated function of wrapt has them, though not in its dict.
    held = [_get(thing, name, object) for name in ("__wrapped__", "_self_wrapper")]
    return b"opaque", kind, name, _compiled(thing), *held, *_named(attributes)


def _is_option(value: Any) -> bool:
    """Return whether a value is a setting, such as a compiler's, and no memo of calls."""
    held = value.values() if type(value) is dict else value
    if type(value) in (dict, list, tuple):
        return bool(held) and all(map(_is_option, held))
    return type(value) in (str, bool, int, float) or isinstance(value, np.dtype)


def _state(
    make: Any, arguments: Any, state: Any = None, items: Any = None, pairs: Any = None, *_: Any
) -> tuple[Any, ...]:
    """Return what an object is made again from, its attributes in the order of their names."""
    states = state if type(state) is tuple else (state,)
    named = dict(chain.from_iterable(part.items() for part in states if type(part) is dict))
    other = tuple(part for part in states if type(part) is not dict)
    return make, arguments, other, tuple(items or ()), tuple(pairs or ()), *_named(named)


def _array(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    order: Any = "F" if array.flags.fnc else "C"
    content = array.ravel(order).view(np.uint8).data if array.nbytes else b""
    digest = hashlib.sha256(content).digest()
    return b"array", array.shape, str(array.dtype).encode(), order.encode(), digest


def _named(members: Mapping[Any, Any]) -> Iterator[Any]:
    """Yield names and values in the order of the names, without what is only a label."""
    for name, member in sorted(((str(k), v) for k, v in members.items()), key=lambda pair: pair[0]):
        if name not in _LABELS and not name.startswith(_PREFIX_OF_LABELS):
            yield from (name.encode(errors="backslashreplace"), member)


def _own(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a module defines; the study itself has marks of its own."""
    return {
        name: held
        for name, held in namespace.items()
        if name not in _OF_MODULES and not isinstance(held, Study)
    }


def _place(namespace: Mapping[str, Any]) -> tuple[str, str]:
    """Return the folder and the name of a module, by what it holds."""
    file, name = namespace.get("__file__"), namespace.get("__name__")
    return str(Path(file).parent) if isinstance(file, str) else "", str(name or "")


def _compiled(thing: Any) -> bytes | None:
    """Return the digest of the compiled file that a thing of the user's comes from, if any."""
    name = _get(thing, "__module__", str)
    file = file_of(sys.modules.get(name))
    if not file or is_installed(name) or Path(file).suffix not in (".so", ".pyd"):
        return None
    return hashlib.sha256(Path(file).read_bytes()).digest()


def _get(thing: Any, name: str, kind: type[T]) -> T:
    """Return an attribute if it is of this kind, else an empty one: objects may answer anything."""
    try:
        found = getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a user's __getattr__ may raise anything
        found = None
    return found if isinstance(found, kind) else kind()


def _installed_name(thing: Any) -> str | None:
    """Return the name under which an installed module holds a thing, None where none does."""
    if isinstance(thing, _InstalledName):
        return thing
    if isinstance(thing, ModuleType):
        return thing.__name__ if is_installed(thing.__name__) else None
    home = _get(thing, "__module__", str)
    path = _get(thing, "__qualname__", str) or _get(thing, "__name__", str)
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
    home, path = _get(thing, "__module__", str), _get(thing, "__qualname__", str)
    if home == "__main__" or home.startswith(OURS) or is_installed(home):
        return None
    return f"{home}.{path}" if _is_held(thing, home, path) else None


def _is_held(thing: Any, home: str, path: str) -> bool:
    found: Any = sys.modules.get(home)
    for name in path.split("."):
        found = _get(found, name, object)
    return found is thing


class _Step(NamedTuple):
    """An instruction of a code object; its argument is a name, a constant or a number."""

    opname: str
    kind: str
    argument: Any


@functools.lru_cache(maxsize=10_000)
def _steps(code: CodeType) -> tuple[_Step, ...]:
    """Return what a code object does, without labels and what only prepares its variables.

    What hands variables to an inner function is left out too: it stands in the order of their
    names, and the inner function says which of them it uses.
    """
    cells = {*code.co_cellvars, *code.co_freevars}
    raw = [step for step in dis.get_instructions(code) if step.opname not in _PREPARES]
    found: list[_Step] = []
    for step, following in pairwise([*raw, raw[-1]]):
        if step.opcode in _CONSTANT:
            label = following.opname == "STORE_NAME" and following.argval in _LABELS
            is_names = step.opname == "KW_NAMES" or following.opname == "CALL_KW"
            kind = "names of arguments" if is_names else "constant"
            # Of these names `argval` says nothing; Python 3.13 gives them as a constant.
            value = code.co_consts[step.arg or 0] if step.opname == "KW_NAMES" else step.argval
            found.append(_Step(step.opname, kind, None if label else value))
        elif step.opcode in _VARIABLE:
            # Since Python 3.13 one instruction may be of two variables: LOAD_FAST_LOAD_FAST.
            names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            for opname, name in zip(re.split("_(?=LOAD|STORE)", step.opname), names, strict=True):
                if name not in cells or opname.startswith("STORE") or "DEREF" in opname:
                    found.append(_Step(opname, "variable", name))
        else:
            kind = "global" if step.opname in _GLOBAL else ""
            argument = step.argval if step.opcode in _NAMED else step.arg
            found.append(_Step(step.opname, kind, argument))
    return tuple(found)


def _all_code(code: CodeType) -> list[CodeType]:
    """Return a code object and each that is defined in it."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return [code, *chain.from_iterable(map(_all_code, inner))]


class _Scope:
    """The variables of a code object by names that do not depend on what they are called.

    Its `names` are in the order of first use. Arguments keep theirs where a call may use them, and
    so do variables that are spoken of.
    """

    def __init__(
        self,
        code: CodeType,
        outer: _Scope | None = None,
        by_position: int = 0,
        spoken: frozenset[str] = frozenset(),
    ) -> None:
        self.free, self.outer = code.co_freevars, outer
        self.depth: int = outer.depth + 1 if outer else 0
        self.spoken: frozenset[str] = outer.spoken if outer else spoken | _looked_at(code)
        nameless = min(max(by_position, code.co_posonlyargcount), code.co_argcount)
        self.arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        self.names: dict[str, str] = {}
        for place, name in enumerate(self.arguments):
            hidden = place < nameless and name not in self.spoken
            self.names[name] = f"argument {self.depth}.{place}" if hidden else name

    def name_of(self, name: str) -> str:
        """Return the new name of a variable; from now on it has one."""
        if self.outer and name in self.free:
            return self.outer.name_of(name)
        keeps = name in self.spoken or name.startswith("__")
        number = f"variable {self.depth}.{len(self.names)}"
        return self.names.setdefault(name, name if keeps else number)


def _looked_at(code: CodeType) -> frozenset[str]:
    """Return all variables of a function where something looks at their names, else none."""
    every = _all_code(code)
    if all(_LOOKS_AT_NAMES.isdisjoint(each.co_names) for each in every):
        return frozenset()
    return frozenset(n for c in every for n in (*c.co_varnames, *c.co_cellvars, *c.co_freevars))


def _texts(function: FunctionType, held: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that a function works with, since a formula may name a variable.

    They are its own, those of its defaults, of what it holds and of the globals that it uses.
    """
    every = _all_code(function.__code__)
    constants = [step.argument for c in every for step in _steps(c) if step.kind == "constant"]
    used = {name for code in every for name in code.co_names} & function.__globals__.keys()
    of_globals = [function.__globals__[name] for name in sorted(used)]
    given = (function.__defaults__, function.__kwdefaults__)
    yield from _texts_in([*constants, *given, *held.values(), *of_globals])


def _texts_in(things: Iterable[Any], depth: int = 3) -> Iterator[str]:
    """Yield the texts among some things and in the containers there, down to a depth."""
    for thing in things:
        if type(thing) is str:
            yield thing
        elif depth and type(thing) in (tuple, list, set, frozenset):
            yield from _texts_in(thing, depth - 1)
        elif depth and type(thing) is dict:
            yield from _texts_in(chain.from_iterable(thing.items()), depth - 1)


def _named_in(function: FunctionType, texts: Iterable[str]) -> Iterator[Any]:
    """Yield what texts name of a function's module: ``"y ~ center(x)"`` its function `center`.

    A text that is one word is no formula. All of the module where a name may be put together.
    """
    own, every = _own(function.__globals__), _all_code(function.__code__)
    steps = [step for code in every for step in _steps(code)]
    if any(
        step.argument in _LOOKS_AT_GLOBALS if step.kind == "global" else step.argument == "modules"
        for step in steps
        if step.opname.startswith("LOAD")
    ):
        yield from _named(own)
    words = {word for text in texts if not text.isidentifier() for word in _WORD.findall(text)}
    yield from _named({name: own[name] for name in words & own.keys()})
    if any(not _IMPORTS_BY_NAME.isdisjoint(code.co_names) for code in every):
        package = function.__globals__.get("__package__") or ""
        dotted = {text for text in texts if all(part.isidentifier() for part in text.split("."))}
        modules = {text: _module(text, package) for text in dotted}
        yield from _named({k: m for k, m in modules.items() if isinstance(m, ModuleType)})


def _code(code: CodeType, scope: _Scope) -> tuple[Any, ...]:
    """Return a code object as its steps, in words, and its constants in the order of their use."""
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    words = [str(code.co_flags & _FLAGS), code.co_exceptiontable.hex(), str(counts)]
    words += [scope.names[name] for name in scope.arguments]
    constants: list[Any] = []
    for opname, kind, argument in _steps(code):
        words.append(opname)
        if isinstance(argument, CodeType):
            constants.append(_code(argument, _Scope(argument, scope)))
        elif kind in ("constant", "names of arguments"):
            constants.append(argument)
        else:
            words.append(scope.name_of(argument) if kind == "variable" else str(argument))
    return b"code", "\x1f".join(words).encode(), *constants


def _referred(function: FunctionType) -> Iterator[Any]:
    """Yield what a function looks up outside itself, in the order of the names it uses.

    Of a module of the user's own only what is used: the attributes, followed to the first that is
    no such module. A module that is used in any other way, too, is yielded itself.
    """
    imports = dict(_imports(function))
    for kind, known in (("global", imports | function.__globals__), ("variable", imports)):
        for name, *attributes in sorted(set(_chains(function.__code__, kind, known))):
            if name not in _OF_MODULES:
                yield ".".join([name, *attributes]).encode()
                found, left = known[name], deque(attributes)
                while left and isinstance(found, ModuleType) and not is_installed(found.__name__):
                    found = _get(found, left.popleft(), object)
                yield found


def _chains(code: CodeType, kind: str, known: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield each use of a known name, with the attributes that are taken from it at once.

    ``np.linalg.norm(x)`` gives ``("np", "linalg", "norm")``; a module that is passed on whole gives
    its name alone.
    """
    for each in _all_code(code):
        names: tuple[str, ...] = ()
        for step in _steps(each):
            if names and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                names = (*names, step.argument)
                continue
            if names:
                yield names
            begins = step.kind == kind and step.opname.startswith("LOAD") and step.argument in known
            names = (step.argument,) if begins else ()


def _imports(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the names that import statements in a function bind, and what they bind to them."""
    package = function.__globals__.get("__package__") or ""
    for steps in map(_steps, _all_code(function.__code__)):
        module, found, several = None, None, False
        for place, (opname, _, argument) in enumerate(steps):
            if opname == "IMPORT_NAME":
                level, members = (step.argument for step in steps[place - 2 : place])
                module, several = _module("." * level + argument, package), bool(members)
                # `import a.b` binds a, save where an `as` has it take b from a.
                found = module if several else _module(argument.partition(".")[0], "")
            elif opname == "IMPORT_FROM" and isinstance(module, ModuleType):
                if several and argument not in vars(module):  # a module that nobody imported yet
                    _module(f"{module.__name__}.{argument}", "")
                found = _get(module, argument, object) if several else module
            elif opname.startswith("STORE") and module is not None:
                yield argument, found
                module = module if several else None
            elif opname == "POP_TOP" and several:
                module = None


def _module(name: str, package: str) -> Any:
    """Return the module of an import statement; of an installed one its name, not imported."""
    try:
        name = resolve_name(name, package)
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or is_installed_package(top):
            return _InstalledName(name)
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - the function's own import will say what is wrong
        return b"absent"
