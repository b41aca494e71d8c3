"""A code object taken apart: what it does, what it looks up, and what it imports."""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

from mcstudy.storage.renaming import PROLOGUE, VARIABLE, arguments

Chain = tuple[str, ...]

_FLAGS = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_ITERABLE_COROUTINE
)
_NAMED = frozenset(dis.hasname + dis.hascompare)
_CONSTANT = frozenset(dis.hasconst)
_LABELS = frozenset({"__doc__", "__qualname__", "__firstlineno__", "__static_attributes__"})


@dataclass(frozen=True)
class Import:
    """An import statement inside a function, for one of the names that it binds.

    Parameters
    ----------
    module : str
        As it is written, without the dots of a relative import.
    level : int
        How many dots.
    member : str
        What is taken from it; empty where the name is the module's own, ``"*"`` for its package.
    """

    module: str
    level: int
    member: str = ""


@dataclass(frozen=True)
class Anatomy:
    """What a code object consists of, without its name, docstring and line numbers.

    Parameters
    ----------
    steps : tuple of (str, object)
        Its instructions by name, each with its argument: a tuple of names where it is of variables.
    constants : tuple
        In the order of their use, code objects among them.
    chains : frozenset of tuple of str
        Every name that it looks up outside, with the attributes taken from it there and then:
        ``np.linalg.norm(x)`` gives ``("np", "linalg", "norm")``.
    local_chains : frozenset of tuple of str
        The same of its variables, here ``("x",)``.
    imports : mapping of str to Import
        By the name that is bound.
    """

    steps: tuple[tuple[str, Any], ...]
    constants: tuple[Any, ...]
    chains: frozenset[Chain]
    local_chains: frozenset[Chain]
    imports: Mapping[str, Import]


@functools.lru_cache(maxsize=10_000)
def anatomy(code: CodeType) -> Anatomy:
    """Take a code object apart; the code objects in it are only named among its constants."""
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    words: list[tuple[str, Any]] = []
    constants = []
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if step.opcode in _CONSTANT:
            labels = following and following.opname == "STORE_NAME" and following.argval in _LABELS
            constants.append(None if labels else step.argval)
            words.append((step.opname, None))
        elif step.opcode in VARIABLE:
            names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            words.append((step.opname, names))
        else:
            words.append((step.opname, step.argval if step.opcode in _NAMED else step.arg))
    return Anatomy(
        tuple(words),
        tuple(constants),
        frozenset(_chains(steps, _looks_outside)),
        frozenset(_chains(steps, _looks_inside)),
        dict(_imports(steps)),
    )


def words_of(code: CodeType, names: Mapping[str, str]) -> list[str]:
    """Return a code object in words, its constants apart, with these names of its variables."""
    words = [str(code.co_flags & _FLAGS), code.co_exceptiontable.hex()]
    words += [f"{code.co_argcount} {code.co_posonlyargcount} {code.co_kwonlyargcount}"]
    words += [names[name] for name in arguments(code)]
    handed: list[str] = []
    for opname, argument in anatomy(code).steps:
        if isinstance(argument, tuple):
            argument = " ".join(names.get(name, name) for name in argument)
        if opname == "LOAD_CLOSURE":
            handed.append(f"{opname} {argument}")
            continue
        # What is handed to an inner function comes in the order of its names.
        words += sorted(handed)
        handed = []
        if opname not in PROLOGUE:
            words.append(opname if argument is None else f"{opname} {argument}")
    return words


def whole(code: CodeType) -> tuple[frozenset[Chain], dict[str, Import]]:
    """Return the chains and the imports of a code object and of all in it.

    Of the chains that begin with a variable of the function's own only those of imported modules.
    """
    parts = list(_all_parts(code))
    imports = {name: found for part in parts for name, found in part.imports.items()}
    local = {chain for part in parts for chain in part.local_chains if chain[0] in imports}
    return frozenset(local.union(*(part.chains for part in parts))), imports


def _all_parts(code: CodeType) -> Iterator[Anatomy]:
    parts = anatomy(code)
    yield parts
    for constant in parts.constants:
        if isinstance(constant, CodeType):
            yield from _all_parts(constant)


def _chains(steps: list[dis.Instruction], begins: Callable[[dis.Instruction], bool]) -> set[Chain]:
    found: set[Chain] = set()
    chain: Chain = ()
    for step in steps:
        if chain and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            chain = (*chain, step.argval)
            continue
        found.add(chain)
        names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        chain = ()
        if begins(step):
            found |= {(name,) for name in names[:-1]}
            chain = names[-1:]
    return (found | {chain}) - {()}


def _looks_outside(step: dis.Instruction) -> bool:
    return step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def _looks_inside(step: dis.Instruction) -> bool:
    return step.opname.startswith("LOAD_") and step.opcode in VARIABLE


def _imports(steps: list[dis.Instruction]) -> Iterator[tuple[str, Import]]:
    """Yield the names that import statements bind."""
    found, member, several = None, "", False
    for place, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            level, members = (s.argval for s in steps[place - 2 : place])
            found, several, member = Import(step.argval, level), bool(members), "*"
        elif found and step.opname == "IMPORT_FROM":
            member = step.argval if several else ""
        elif found and step.opname.startswith("STORE_"):
            yield step.argval, Import(found.module, found.level, member)
            if not several:
                found = None
        elif found and step.opname == "POP_TOP" and several:
            found = None
