"""A study's functions to whether they can be called as it will call them, before it does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

from mcstudy.errors import StudyError
from mcstudy.method import batch_of, wraps_batched


def check_method(name: str, method: Callable[..., Any], where: str) -> None:
    """Raise StudyError unless a method takes a data set, and else what it asks for by name.

    Parameters
    ----------
    name : str
        The method's.
    method : callable
        One replicate at a time, or batched.
    where : str
        Begins the message.
    """
    _check_function(f"method '{name}'", method, where)
    form = batch_of(method)
    known = {"rngs" if form else "rng", "condition"}
    try:
        signature = inspect.signature(form or method)
        callable_as = inspect.signature(form or method, follow_wrapped=False)
    except (TypeError, ValueError):
        return
    parameters = list(signature.parameters.values())[1:]
    asked = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    other = "rng" if form else "rngs"
    if other in asked:
        raise StudyError(
            f"{where}: method '{name}' asks for {other!r}; a method that is "
            f"{'' if form else 'not '}batched asks for {'rngs' if form else 'rng'!r}"
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
    *,
    leading: int,
    where: str,
) -> None:
    """Raise StudyError unless a function takes `leading` arguments and the factors by name.

    Parameters
    ----------
    factors : collection of str
        Their names.
    role : str
        What the study calls the function.
    function : callable
        One replicate at a time, or batched.
    leading : int
        How many arguments come before the factors.
    where : str
        Begins the message.
    """
    _check_function(role, function, where)
    try:
        signature = inspect.signature(batch_of(function) or function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*[None] * leading, **dict.fromkeys(factors))
    except TypeError as error:
        raise StudyError(
            f"{where}: {role} does not take the factors "
            f"{', '.join(sorted(factors)) or '(none)'}: {error}"
        ) from None


def _check_function(role: str, function: Any, where: str) -> None:
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
