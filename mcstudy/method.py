"""What a method answers, `Estimate`, `Fit`, `Status` or `Skip`; batch forms of functions."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
_FORM = "_mcstudy_batch_form"


class Status(StrEnum):
    """How a fit ended. Each word carries its meaning in `meaning`."""

    OK = "ok"
    BOUNDARY = "boundary"
    NOT_CONVERGED = "not_converged"
    NOT_IDENTIFIABLE = "not_identifiable"
    NOT_FINITE = "not_finite"
    ERROR = "error"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    SKIPPED = "skipped"

    @property
    def meaning(self) -> str:
        """One sentence for tables and reports."""
        return _MEANINGS[self]


_MEANINGS = {
    Status.OK: "the fit ended as its method promises",
    Status.BOUNDARY: "an estimate lies at the edge of its range, as a variance of zero does",
    Status.NOT_CONVERGED: "the optimiser stopped short of the optimum",
    Status.NOT_IDENTIFIABLE: "the data cannot tell the estimands apart",
    Status.NOT_FINITE: "an estimate is missing or infinite",
    Status.ERROR: "the method or the simulation raised an exception",
    Status.TIMEOUT: "the fit took longer than its time limit and was ended",
    Status.CRASHED: "the fit ended its worker process: a crash in compiled code, or out of memory",
    Status.SKIPPED: "the method says that it does not apply; no failure",
}


SOUND = frozenset({Status.OK, Status.BOUNDARY, Status.SKIPPED})
"""How a fit may end that is no failure."""


class Skip(Exception):  # noqa: N818 - no error: what a method says where it does not apply
    """Raised by a method that does not apply: ``raise Skip("needs n > p")``.

    The fit becomes a row with status `skipped` and this text; it has no numbers and is no failure.
    """


class Estimate(NamedTuple):
    """What a method says of one estimand.

    Parameters
    ----------
    value : float, optional
        The estimate, in the estimand's units. In a batch: one number per replicate, shape (R,).
        A test may have none: ``Estimate(p_value=0.03)``.
    std_error : float, optional
        Its standard error, in the same units.
    lower, upper : float, optional
        Limits of the method's only interval; it is stored under the name ``"default"``.
    intervals : mapping of str to (lower, upper), optional
        Any number of further intervals by name.
    df : float, optional
        Degrees of freedom of the standard error, for the interval that is formed from it.
    p_value : float, optional
        Of the method's test of the estimand's null hypothesis, between 0 and 1; the study's `alpha`
        says at which levels it rejects.

    Notes
    -----
    ``None`` and NaN both mean "missing". A missing standard error or limit costs only itself.

    Where a method gives no interval of an estimand, one called ``"wald"`` is formed from the
    standard error: by quantiles of t with `df` degrees of freedom, of the normal distribution
    without, and at the study's `level`.
    """

    value: Any = None
    std_error: Any = None
    lower: Any = None
    upper: Any = None
    intervals: Mapping[str, tuple[Any, Any]] | None = None
    df: Any = None
    p_value: Any = None


class Fit(NamedTuple):
    """A method's whole answer, when the estimates alone do not say enough.

    Parameters
    ----------
    estimates : mapping of str to Estimate or number
        By estimand. A plain number is an `Estimate` with a value only; True counts as 1.
    status : Status, optional
        How the fit ended; judged from the estimates (`ok` or `not_finite`) when not given.
        In a batch: a sequence of R.
    message : str, optional
        In words, stored beside warnings. In a batch: a sequence of R.
    diagnostics : mapping of str to bool, int, float or str, optional
        The method's own columns of `fits`. In a batch: arrays of shape (R,).
    """

    estimates: Mapping[str, Any]
    status: Status | str | Sequence[Status | str] | None = None
    message: str | Sequence[str] = ""
    diagnostics: Mapping[str, Any] | None = None


class SharedMethod:
    """One of the methods, all of `names`, that a function answers for together, by name."""

    def __init__(self, function: Callable[..., Any], name: str, names: tuple[str, ...]) -> None:
        self.function = function
        self.name = name
        self.names = names

    @property
    def first(self) -> str:
        """The alphabetically first of the names, whose random stream is that of all."""
        return min(self.names)

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the function."""
        return inspect.signature(self.function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the answer of this method."""
        return self.function(*args, **kwargs)[self.name]

    def __repr__(self) -> str:
        return f"{self.name} of {self.function!r}"


def function_of(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that does the work of a method, which others may share."""
    return method.function if isinstance(method, SharedMethod) else method


def batched(function: Function) -> Function:
    """Mark a simulate or a method that takes all replicates of a batch at once.

    A batched simulate takes a list of generators, one per replicate, and returns a batch of data
    sets: a list, an array (by its first axis), anything with ``len(batch)`` and ``batch[i]``; a
    DataFrame is refused, since its items are its columns. A batched method takes such a batch and
    answers as a single one does, with arrays of shape (R,) in place of numbers; one that asks for
    ``rngs`` gets a list of generators. Replicates must not influence one another. Put it on top of
    other decorators: what wraps a batched function is not batched itself.

    Notes
    -----
    How many replicates are in a batch depends on time and on memory. So the tables are the same bit
    for bit only where the numbers of a replicate do not depend on who else is in the batch. That
    holds of arithmetic by element and of sums along the last axis of an array in C order. It does
    not hold of a matrix product over the whole batch, ``batch @ weights``: there the library of
    linear algebra chooses its order of summation by size, and the last bits follow.
    """
    return batch_form(function)(function)


def batch_form(batch_function: Callable[..., Any]) -> Callable[[Function], Function]:
    """Attach to a one-at-a-time function the form that does a whole batch at once.

    On the ``__call__`` of a class it gives one to every object of it.
    """

    def attach(function: Function) -> Function:
        function.batch = batch_function  # type: ignore[attr-defined]  # for whoever calls it
        setattr(function, _FORM, (function, batch_function))
        return function

    return attach


def batch_of(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the form of a function that does a whole batch at once, None where it has none."""
    form: Callable[..., Any] | None
    if isinstance(function, SharedMethod):
        form = batch_of(function.function)
        return form and SharedMethod(form, function.name, function.names)
    if isinstance(function, types.MethodType):
        form = batch_of(function.__func__)
        return form and types.MethodType(form, function.__self__)
    owner, form = _attached(function)
    if owner is function:
        return form
    if isinstance(function, functools.partial):
        form = batch_of(function.func)
        return form and functools.partial(form, *function.args, **function.keywords)
    call = inspect.getattr_static(type(function), "__call__", None)
    form = batch_of(call) if isinstance(call, types.FunctionType) else None
    return form and types.MethodType(form, function)


def wraps_batched(function: Callable[..., Any]) -> bool:
    """Return whether a function wraps a batched one, and has no batch form itself."""
    function = getattr(function, "__func__", function)
    owner, form = _attached(function)
    return owner is not None and owner is not function and owner is form


def argument_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's arguments, or of its batch form's; none of a builtin."""
    function = batch_of(function) or function
    try:
        return list(_names(function))
    except TypeError:  # it cannot be hashed
        return list(_names.__wrapped__(function))


@functools.lru_cache(maxsize=2**8)  # the functions of a study, which each job asks about
def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    with suppress(TypeError, ValueError):
        return tuple(inspect.signature(function).parameters)
    return ()


def _attached(function: Callable[..., Any]) -> tuple[Any, Any]:
    """Return a batch form and whose it is: `functools.wraps` copies the attribute to others."""
    attached: tuple[Any, Any] = getattr(function, "__dict__", {}).get(_FORM, (None, None))
    return attached
