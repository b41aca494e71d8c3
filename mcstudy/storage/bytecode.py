"""What the bytecode of a function does, in words that do not depend on what is called how."""

from __future__ import annotations

import dis
import functools
import re
from itertools import chain, pairwise
from types import CodeType
from typing import Any, NamedTuple

# What a class, a function or a module is called, not what it does.
LABELS = frozenset(
    {"__module__", "__name__", "__qualname__", "__doc__", "__dict__", "__weakref__"}
    | {"__annotations__", "__orig_bases__", "__parameters__"}
    | {"__firstlineno__", "__static_attributes__", "__slotnames__"}
    | {"__dataclass_params__", "_abc_impl"}
)
_VARIABLE = frozenset(dis.haslocal + dis.hasfree)
_CONSTANT = frozenset(dis.hasconst)
_NAMED = frozenset(dis.hasname + dis.hascompare)
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_PREPARES = frozenset({"EXTENDED_ARG", "MAKE_CELL", "COPY_FREE_VARS"})
_FLAGS = 0x3AC  # *args, **kwargs, generators, coroutines: those of inspect.CO_* that callers notice
# Whoever calls one of these can see what the variables are called.
_LOOKS_AT_NAMES = {"locals", "vars", "dir", "eval", "exec", "globals", "_getframe", "currentframe"}


class Step(NamedTuple):
    """An instruction of a code object; its argument is a name, a constant or a number."""

    opname: str
    kind: str
    argument: Any


@functools.lru_cache(maxsize=10_000)
def steps_of(code: CodeType) -> tuple[Step, ...]:
    """Return what a code object does, without labels and what only prepares its variables.

    What hands variables to an inner function is left out too: it stands in the order of their
    names, and the inner function says which of them it uses.
    """
    cells = {*code.co_cellvars, *code.co_freevars}
    raw = [step for step in dis.get_instructions(code) if step.opname not in _PREPARES]
    found: list[Step] = []
    for step, following in pairwise([*raw, raw[-1]]):
        if step.opcode in _CONSTANT:
            label = following.opname == "STORE_NAME" and following.argval in LABELS
            is_names = step.opname == "KW_NAMES" or following.opname == "CALL_KW"
            kind = "names of arguments" if is_names else "constant"
            # Of these names `argval` says nothing; Python 3.13 gives them as a constant.
            value = code.co_consts[step.arg or 0] if step.opname == "KW_NAMES" else step.argval
            found.append(Step(step.opname, kind, None if label else value))
        elif step.opcode in _VARIABLE:
            # Since Python 3.13 one instruction may be of two variables: LOAD_FAST_LOAD_FAST.
            names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            for opname, name in zip(re.split("_(?=LOAD|STORE)", step.opname), names, strict=True):
                if name not in cells or opname.startswith("STORE") or "DEREF" in opname:
                    found.append(Step(opname, "variable", name))
        else:
            kind = "global" if step.opname in _GLOBAL else ""
            argument = step.argval if step.opcode in _NAMED else step.arg
            found.append(Step(step.opname, kind, argument))
    return tuple(found)


def all_code(code: CodeType) -> list[CodeType]:
    """Return a code object and each that is defined in it."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return [code, *chain.from_iterable(map(all_code, inner))]


class Scope:
    """The variables of a code object by names that do not depend on what they are called.

    Its `names` are in the order of first use. Arguments keep theirs where a call may use them, and
    so do variables that are spoken of.
    """

    def __init__(
        self,
        code: CodeType,
        outer: Scope | None = None,
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
    every = all_code(code)
    if all(_LOOKS_AT_NAMES.isdisjoint(each.co_names) for each in every):
        return frozenset()
    return frozenset(n for c in every for n in (*c.co_varnames, *c.co_cellvars, *c.co_freevars))


def code_parts(code: CodeType, scope: Scope) -> tuple[Any, ...]:
    """Return a code object as its steps, in words, and its constants in the order of their use."""
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    words = [str(code.co_flags & _FLAGS), code.co_exceptiontable.hex(), str(counts)]
    words += [scope.names[name] for name in scope.arguments]
    constants: list[Any] = []
    for opname, kind, argument in steps_of(code):
        words.append(opname)
        if isinstance(argument, CodeType):
            constants.append(code_parts(argument, Scope(argument, scope)))
        elif kind in ("constant", "names of arguments"):
            constants.append(argument)
        else:
            words.append(scope.name_of(argument) if kind == "variable" else str(argument))
    return b"code", "\x1f".join(words).encode(), *constants
