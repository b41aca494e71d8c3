"""The variables of a code object to names that do not depend on what they are called."""

from __future__ import annotations

import dis
import re
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import NamedTuple

VARIABLE = frozenset(dis.haslocal + dis.hasfree)
PROLOGUE = ("MAKE_CELL", "COPY_FREE_VARS")
# Whoever calls one of these can see what the variables are called.
_LOOKS_AT_NAMES = {"locals", "vars", "dir", "eval", "exec", "globals", "_getframe", "currentframe"}
_CONSTANT = frozenset(dis.hasconst)
_WORD = re.compile(r"[^\W\d]\w*")


class Scope(NamedTuple):
    """What a code object is described with: new names of the variables around it.

    Parameters
    ----------
    names : mapping of str to str
        The new names of the variables of the functions around it.
    spoken : frozenset of str
        Variables that keep their names, as these may matter to what is computed: the words in its
        texts, since a formula may name a variable, and all where something looks at the names.
    depth : int
        How many functions are around it.
    by_position : int
        How many of its arguments are never given by name, beside those that cannot be.
    """

    names: Mapping[str, str]
    spoken: frozenset[str]
    depth: int = 0
    by_position: int = 0

    @classmethod
    def of(cls, code: CodeType, by_position: int = 0) -> Scope:
        """Return the scope of a function that stands by itself."""
        every = list(_all_code(code))
        spoken = {word for each in every for text in _texts(each) for word in _WORD.findall(text)}
        if any(_LOOKS_AT_NAMES & set(each.co_names) for each in every):
            spoken = {n for c in every for n in (*c.co_varnames, *c.co_cellvars, *c.co_freevars)}
        return cls({}, frozenset(spoken), 0, by_position)

    def within(self, names: Mapping[str, str]) -> Scope:
        """Return the scope of what is in a code object with these new names."""
        return Scope(names, self.spoken, self.depth + 1)


def renamed(code: CodeType, scope: Scope) -> dict[str, str]:
    """Return a name for each variable of a code object: its number in the order of first use."""
    names = {name: new for name, new in scope.names.items() if name in code.co_freevars}
    nameless = max(scope.by_position, code.co_posonlyargcount)
    for place, name in enumerate(arguments(code)):
        hidden = place < min(nameless, code.co_argcount) and name not in scope.spoken
        names[name] = f"argument {place}" if hidden else name
    number = 0
    for name in first_uses(code):
        if name not in names:
            keeps = name in scope.spoken or name.startswith("__")
            names[name] = name if keeps else f"variable {scope.depth}.{number}"
            number += 1
    return names


def _texts(code: CodeType) -> Iterator[str]:
    """Yield the texts that a code object uses: no docstrings, and no names of arguments."""
    for step in dis.get_instructions(code):
        if step.opcode in _CONSTANT and step.opname != "KW_NAMES":
            several = isinstance(step.argval, tuple | frozenset)
            for constant in step.argval if several else (step.argval,):
                if isinstance(constant, str):
                    yield constant


def _all_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_code(constant)


def arguments(code: CodeType) -> tuple[str, ...]:
    """Return the names of the arguments, without those that collect the others."""
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def first_uses(code: CodeType) -> list[str]:
    """Return the variables of a code object in the order of their first use.

    Those that are handed to an inner function at once come in the order of their use there: the
    compiler hands them over in the order of their names.
    """
    found: dict[str, None] = {}
    handed: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_CLOSURE":
            handed.add(step.argval)
        elif step.opcode in VARIABLE and step.opname not in PROLOGUE:
            names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            found |= dict.fromkeys(names)
        elif handed and isinstance(step.argval, CodeType):
            found |= {name: None for name in first_uses(step.argval) if name in handed}
            found |= dict.fromkeys(sorted(handed))
            handed = set()
    return [*found, *sorted(handed - found.keys())]
