"""The functions of a study, checked before any is called: whether they take what they will get."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mcstudy.errors import StudyError
from mcstudy.grid import is_plain
from mcstudy.method import SharedMethod, batch_of, function_of, wraps_batched

PREPARED = "prepared"
"""The argument of `simulate` and of methods that gets what `prepare` returns."""


def methods_by_name(methods: Any, where: str, has_prepared: bool) -> dict[str, Callable[..., Any]]:
    """Return the methods each under its own name; raise StudyError for what cannot be one."""
    if not isinstance(methods, Mapping) or not methods:
        raise StudyError(f"{where}: methods is {methods!r}; write {{'name': function}}")
    found: dict[str, Callable[..., Any]] = {}
    for key, method in methods.items():
        names = key if isinstance(key, tuple) and key else (key,)
        for name in names:
            named = isinstance(name, str) and name and name == name.strip() and is_plain(name)
            if not named or "," in name:
                raise StudyError(
                    f"{where}: {name!r} cannot name a method; use a text without commas"
                )
            if name in found:
                raise StudyError(f"{where}: two methods are called {name!r}; rename one")
            found[name] = SharedMethod(method, name, key) if isinstance(key, tuple) else method
        check_method(", ".join(names), function_of(method), where, has_prepared)
    return found


def check_method(name: str, method: Callable[..., Any], where: str, has_prepared: bool) -> None:
    """Raise StudyError unless a method takes a data set, and else what it asks for by name."""
    check_function(f"method '{name}'", method, where)
    form = batch_of(method)
    own, other = ("rngs", "rng") if form else ("rng", "rngs")
    known = {own, "condition", *([PREPARED] if has_prepared else [])}
    try:
        signature = inspect.signature(form or method)
        callable_as = inspect.signature(form or method, follow_wrapped=False)
    except (TypeError, ValueError):
        return
    parameters = list(signature.parameters.values())[1:]
    asked = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    if PREPARED in asked and not has_prepared:
        raise StudyError(
            f"{where}: method '{name}' asks for {PREPARED!r}, and the study has no prepare=...; "
            "add it, or rename the argument"
        )
    if other in asked:
        raise StudyError(
            f"{where}: method '{name}' asks for {other!r}; a method that is "
            f"{'' if form else 'not '}batched asks for {own!r}"
        )
    try:
        callable_as.bind(None, **dict.fromkeys(known & asked))
    except TypeError as error:
        raise StudyError(
            f"{where}: method '{name}' cannot be called with a data set"
            f"{''.join(f' and {each}' for each in sorted(known & asked))}: {error}"
        ) from None


def check_takes(
    factors: Collection[str],
    role: str,
    function: Callable[..., Any],
    where: str,
    *,
    leading: int = 0,
    optional: Collection[str] = (),
) -> None:
    """Raise StudyError unless a function takes `leading` arguments and the factors by name.

    It may take those of `optional` too.
    """
    check_function(role, function, where)
    try:
        signature = inspect.signature(batch_of(function) or function)
    except (TypeError, ValueError):
        return
    asked = {name for name in optional if name in signature.parameters}
    try:
        signature.bind(*[None] * leading, **dict.fromkeys([*factors, *asked]))
    except TypeError as error:
        first = next(iter(signature.parameters), None)
        if leading and first in factors:
            what = "rngs" if batch_of(function) else "rng"
            raise StudyError(
                f"{where}: {role} gets {what} first, and then the factors; write "
                f"def {role}({what}, {', '.join(signature.parameters)})"
            ) from None
        raise StudyError(
            f"{where}: {role} does not take the factors "
            f"{', '.join(sorted(factors)) or '(none)'}: {error}"
        ) from None


def check_function(role: str, function: Any, where: str) -> None:
    """Raise unless `function` can be called, and is what its batch form does a batch of."""
    if not callable(function):
        raise StudyError(f"{where}: {role} is {function!r}, not a function")
    if inspect.iscoroutinefunction(function):
        raise StudyError(f"{where}: {role} is an async function; write it with a plain def")
    if wraps_batched(function):
        raise StudyError(
            f"{where}: {role} wraps a batched function and is not batched itself; put "
            "@batched on top of the other decorator"
        )
