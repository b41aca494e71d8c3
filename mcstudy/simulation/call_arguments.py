"""Replicates to what functions are called with: data of their own, and what each asks for."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from mcstudy.arguments import short, suggestion
from mcstudy.errors import StudyError
from mcstudy.grid import Condition
from mcstudy.method import SharedMethod, argument_names
from mcstudy.simulation.prepare import given
from mcstudy.simulation.validation import Answer, AnswerError, checked, is_frame, labels_of
from mcstudy.streams import LazyStreams, streams
from mcstudy.study import Study
from mcstudy.truths import as_truths, mcse_of


class Extras:
    """The arguments that a method asks for by name: its own generators, the factor values."""

    def __init__(self, study: Study, condition: Condition, name: str) -> None:
        self._address = study.seed, study.stream_key(condition)
        self._factors = condition.factors
        method = study.methods[name]
        self._name = method.first if isinstance(method, SharedMethod) else name
        self._asked = {"rng", "rngs", "condition"}.intersection(argument_names(method)[1:])
        self._given = given(study, condition, method)

    def each(self, replicates: Sequence[int]) -> list[dict[str, Any]]:
        """Return the arguments of a one-at-a-time method for each replicate."""
        if not self._asked:
            return [self._given] * len(replicates)
        if "rng" not in self._asked:
            return [self._extras() for _ in replicates]
        return [self._extras(rng=rng) for rng in streams(*self._address, replicates, self._name)]

    def together(self, replicates: Sequence[int]) -> dict[str, Any]:
        """Return the arguments of a batched method."""
        if "rngs" not in self._asked:
            return self._extras()
        return self._extras(rngs=LazyStreams.of(*self._address, replicates, self._name))

    def _extras(self, **extras: Any) -> dict[str, Any]:
        if "condition" in self._asked:
            extras |= {"condition": dict(self._factors)}
        return self._given | extras


Run = Callable[..., Any]
"""Calls a user's function by what it is given, as `Caller.run` does."""


def answers_of(
    run: Run,
    methods: Mapping[str, Callable[..., Any]],
    data: Any,
    extras: dict[str, Any],
    count: int | None,
) -> dict[str, Answer | AnswerError]:
    """Return by name what methods that share a function say of a copy of the data, or one alone.

    It is the same copy whoever else gets one. What is wrong with the answer of one of several is
    its own error: the others' do not depend on which are asked.
    """
    name, method = next(iter(methods.items()))
    if not isinstance(method, SharedMethod):
        return {name: checked(run(method, _copy(data), **extras), count)}
    answers = run(method.function, _copy(data), **extras)
    found: dict[str, Answer | AnswerError] = {}
    if isinstance(answers, Mapping) and (odd := [n for n in answers if n not in method.names]):
        raise AnswerError(
            f"returned an answer for {short(odd[0])}{suggestion(odd[0], method.names)}, which is "
            f"none of its methods; they are {', '.join(method.names)}"
        )
    for name in methods:
        try:
            if not isinstance(answers, Mapping) or name not in answers:
                raise AnswerError(
                    f"returned {short(answers, most=60)} without an answer for {name}; return "
                    "{method: {estimand: Estimate(...)}}, an answer for each of its methods"
                )
            found[name] = checked(answers[name], count)
        except AnswerError as error:
            found[name] = error
    return found


def answers_to_item(
    run: Run,
    methods: Mapping[str, Callable[..., Any]],
    batch: Any,
    place: int,
    extras: dict[str, Any],
) -> dict[str, Answer | AnswerError]:
    """Return what one-at-a-time methods that share a function say of one data set of a batch."""
    try:
        data = batch[place]
    except Exception as error:  # whatever the user's own class raises
        raise AnswerError(  # without the place, which differs with the size of the batch
            f"gets no data set: batch[i] of what simulate returned raises {type(error).__name__}; "
            "return a list, or an array, with one data set for each generator"
        ) from error
    return answers_of(run, methods, data, extras, None)


def drawn(
    run: Run,
    simulate: Callable[..., Any],
    rng: np.random.Generator,
    factors: Mapping[str, Any],
) -> Any:
    """Return a data set that nothing else holds, such as a simulate that fills one array anew."""
    return _copy(run(simulate, rng, **factors))


def drawn_together(
    run: Run,
    form: Callable[..., Any],
    rngs: list[np.random.Generator],
    factors: Mapping[str, Any],
) -> Any:
    """Return the data sets of a batch; raise AnswerError unless one for each generator."""
    data = run(form, rngs, **factors)
    if wrong := misfit(data, len(rngs)):
        raise AnswerError(
            f"returned {wrong} for a batch of {len(rngs)}; return a list, or an array, with one "
            "data set for each generator"
        )
    return data


def truths_of_each(
    run: Run, estimands: Callable[..., Any], batch: Any, factors: Mapping[str, Any], count: int
) -> dict[str, list[float]]:
    """Return the true values of each data set of a batch, by estimand; none is no true value."""
    each = []
    for place in range(count):
        answer = run(estimands, data=_copy(batch[place]), **factors)
        try:
            each.append(as_truths(answer))
        except StudyError as error:
            raise AnswerError(f"gets no true values: of estimands, {error}") from None
    if odd := [name for of in each for name, value in of.items() if mcse_of(value)]:
        raise AnswerError(
            f"returned an MCSE of {odd[0]!r}; the true value of a data set is known: give a number"
        )
    names = dict.fromkeys(name for of in each for name, value in of.items() if value is not None)
    return {name: [math.nan if (x := of.get(name)) is None else x for of in each] for name in names}


def truths_of_batch(
    run: Run, form: Callable[..., Any], batch: Any, factors: Mapping[str, Any], count: int
) -> dict[str, Any]:
    """Return the same as a batched function has them, arrays of shape (count,)."""
    answer = run(form, data=_copy(batch), **factors)
    found = {name: _numbers_of(name, of) for name, of in answer.items() if of is not None}
    for name, values in found.items():
        if values.shape not in ((), (count,)):
            raise AnswerError(
                f"returned true values of {name!r} of shape {values.shape} for a batch of {count}; "
                "return one number for each data set"
            )
    return found


def _numbers_of(name: str, given: Any) -> Any:
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise AnswerError(f"returned {short(given)} as true values of {name!r}; give numbers")
    return array.astype(float)


def misfit(batch: Any, count: int) -> str:
    """Return why ``batch[i]`` is not what belongs to replicate i of `count`; empty if it is.

    Lists, tuples, arrays by their first axis, and objects with ``len(batch)`` and ``batch[i]`` are
    taken. A frame is none: there ``batch[i]`` is a column, or what has the label i.
    """
    kind = type(batch).__name__
    named = isinstance(batch, Mapping | Set | str | bytes | bytearray)
    if named or not hasattr(batch, "__getitem__") or is_frame(batch):
        return f"an object of type {kind}"
    try:
        found = len(batch)
    except TypeError:  # no length, as of an array of no dimension
        return f"an object of type {kind} without a length"
    if found != count:
        return f"{found} {'item' if found == 1 else 'items'}"
    if labels_of(batch) not in (None, list(range(count))):
        return f"an object of type {kind} whose index is not 0 to {count - 1}"
    return ""


def _copy(data: Any) -> Any:
    """Return a deep copy; of a plain array without the detour, in the same layout."""
    if type(data) is np.ndarray and not data.dtype.hasobject:
        return data.copy(order="K")
    return copy.deepcopy(data)
