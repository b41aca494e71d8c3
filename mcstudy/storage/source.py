"""A function to what a reader may know of it: where it is from, what it says, its text."""

from __future__ import annotations

import functools
import inspect
import textwrap
import tokenize
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NotRequired, TypedDict

from mcstudy.arguments import short
from mcstudy.measure import functions_of
from mcstudy.method import function_of
from mcstudy.study import Study

_OF_STUDY = ("mcstudy_study_", "__main__")  # modules that are a study file, or a session


class Source(TypedDict):
    """What can be read of a function; each text may be empty.

    Parameters
    ----------
    home : str
        Module and name.
    said : str
        The first paragraph of its docstring.
    options : str
        What `functools.partial` gives it.
    text : str
        Its code, of a function of the study file.
    """

    home: str
    said: str
    options: str
    text: NotRequired[str]


def source_of(function: Callable[..., Any]) -> Source:
    """Return what can be read of a function, or of an object that can be called."""
    inner: Any = function_of(function)
    options: dict[str, str] = {}
    while isinstance(inner, functools.partial):
        given = {str(place): value for place, value in enumerate(inner.args)} | inner.keywords
        options = {name: short(value) for name, value in given.items()} | options
        inner = inner.func
    inner = inspect.unwrap(inner)
    called = getattr(inner, "__qualname__", None)
    if (
        called is None
    ):  # an object that can be called: what its class calls it, as ``Fit(level=0.9)``
        inner, shown = type(inner), short(inner)
        called = shown if shown.startswith(inner.__name__) else inner.__qualname__
    home = f"{getattr(inner, '__module__', '')}.{called}"
    of_study = home.startswith(_OF_STUDY)
    made = Source(
        home="" if of_study else home,
        said=" ".join((inspect.getdoc(inner) or "").split("\n\n")[0].split()),
        options=", ".join(f"{name}={value}" for name, value in options.items()),
    )
    if of_study:
        # Made by exec, also under the name of a file that holds something else; a called object.
        with suppress(OSError, TypeError, SyntaxError, tokenize.TokenError):
            made["text"] = textwrap.dedent(inspect.getsource(inner)).rstrip()
    return made


def _first(measure: Any) -> Callable[..., Any]:
    """Return the function of a measure, the first where there is one for each estimand."""
    return next(iter(functions_of(measure).values()))


def sources_of(study: Study) -> dict[str, Mapping[str, Source]]:
    """Return the sources of all functions of a study, by kind and name."""
    return {
        "study": {
            name: source_of(function)
            for name in ("simulate", "estimands", "prepare")
            if (function := getattr(study, name)) is not None
        },
        "method": {name: source_of(method) for name, method in study.methods.items()},
        "measure": {name: source_of(_first(measure)) for name, measure in study.measures.items()},
    }
