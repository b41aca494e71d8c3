"""What a function refers to: globals, modules that it imports, what its formulas name."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.util import resolve_name
from itertools import chain, pairwise
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

from mcstudy.loader import is_installed, is_installed_package
from mcstudy.storage.bytecode import LABELS, Step, all_code, steps_of
from mcstudy.study import Study

T = TypeVar("T")

# What Python itself puts into a module.
_OF_MODULES = LABELS | {
    *("__file__", "__path__", "__cached__", "__spec__", "__loader__", "__package__"),
    *("__builtins__", "__warningregistry__", "__all__"),
}
_PREFIX_OF_LABELS = "__annot"
_LOOKS_AT_GLOBALS = {"globals", "eval", "exec"}
_IMPORTS_BY_NAME = {"import_module", "__import__"}
_MOST, _LONGEST = 1000, 10_000  # formulas in a container, and letters of one
_WORD = re.compile(r"[^\W\d]\w*")


class InstalledName(str):
    """The name of an installed module that is perhaps not imported yet."""


def texts_of(function: FunctionType, held: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that a function works with, since a formula may name a variable.

    They are its own, those of its defaults, of what it holds and of the globals that it uses.
    """
    every = all_code(function.__code__)
    constants = [step.argument for c in every for step in steps_of(c) if step.kind == "constant"]
    used = {name for code in every for name in code.co_names} & function.__globals__.keys()
    of_globals = [function.__globals__[name] for name in sorted(used)]
    given = (function.__defaults__, function.__kwdefaults__)
    yield from _texts_in([*constants, *given, *held.values(), *of_globals])


def _texts_in(things: Iterable[Any], depth: int = 3) -> Iterator[str]:
    """Yield the texts among some things and in the containers there, of what formulas have."""
    for thing in things:
        kind = type(thing)
        if kind is str and len(thing) <= _LONGEST:
            yield thing
        elif depth and kind in (tuple, list, set, frozenset, dict) and len(thing) <= _MOST:
            inner = chain.from_iterable(thing.items()) if kind is dict else thing
            yield from _texts_in(inner, depth - 1)


def words_in(texts: Iterable[str]) -> frozenset[str]:
    """Return the words of some texts, which may be names of variables."""
    return frozenset(word for text in texts for word in _WORD.findall(text))


def named_in(function: FunctionType, texts: Iterable[str]) -> Iterator[Any]:
    """Yield what texts name of a function's module: ``"y ~ center(x)"`` its function `center`.

    Functions and classes only in a session, where a variable may be called as a column of the data
    is, and all of these of the module where a name may be put together.
    """
    own = own_names(function.__globals__)
    code_of = {name: held for name, held in own.items() if isinstance(held, FunctionType | type)}
    steps = [step for code in all_code(function.__code__) for step in steps_of(code)]
    if any(map(_looks_at_globals, steps)):
        yield from named(code_of)
    own = own if "__file__" in function.__globals__ else code_of
    names = {name for text in set(texts) for name in _names_in_formula(text)}
    yield from named({name: own[name] for name in names & own.keys()})
    package = function.__globals__.get("__package__") or ""
    # Python 3.13 has a PUSH_NULL between a function and its arguments.
    for step, following in pairwise(step for step in steps if step.opname != "PUSH_NULL"):
        text = following.argument
        if step.argument in _IMPORTS_BY_NAME and type(text) is str:
            yield from (text.encode(), _module(text, package))


def _looks_at_globals(step: Step) -> bool:
    if step.kind == "global":
        return step.argument in _LOOKS_AT_GLOBALS
    return step.opname in ("LOAD_ATTR", "LOAD_METHOD") and step.argument == "modules"


def _names_in_formula(text: str) -> Iterator[str]:
    """Yield the names in a formula or an expression; a word alone is none, and prose has none."""
    if text.strip().isidentifier():
        return
    for side in text.replace("@", "").split("~"):
        with (
            suppress(SyntaxError, ValueError, RecursionError, MemoryError),
            warnings.catch_warnings(action="ignore"),  # of escapes in a text within it
        ):
            tree = ast.parse(side.strip(), mode="eval")
            yield from (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def referred(function: FunctionType) -> Iterator[Any]:
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
                    found = attribute(found, left.popleft(), object)
                yield found


def _chains(code: CodeType, kind: str, known: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield each use of a known name, with the attributes that are taken from it at once.

    ``np.linalg.norm(x)`` gives ``("np", "linalg", "norm")``; a module that is passed on whole gives
    its name alone.
    """
    for each in all_code(code):
        names: tuple[str, ...] = ()
        for step in steps_of(each):
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
    for steps in map(steps_of, all_code(function.__code__)):
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
                found = attribute(module, argument, object) if several else module
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
            return InstalledName(name)
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - the function's own import will say what is wrong
        return b"absent"


def own_names(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a module defines; the study itself has marks of its own."""
    return {
        name: held
        for name, held in namespace.items()
        if name not in _OF_MODULES and not isinstance(held, Study)
    }


def named(members: Mapping[Any, Any]) -> Iterator[Any]:
    """Yield names and values in the order of the names, without what is only a label."""
    for name, member in sorted(((str(k), v) for k, v in members.items()), key=lambda pair: pair[0]):
        if name not in LABELS and not name.startswith(_PREFIX_OF_LABELS):
            yield from (name.encode(errors="backslashreplace"), member)


def attribute(thing: Any, name: str, kind: type[T]) -> T:
    """Return an attribute if it is of this kind, else an empty one: objects may answer anything."""
    try:
        found = getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a user's __getattr__ may raise anything
        found = None
    return found if isinstance(found, kind) else kind()
