"""Replicates to what functions are called with: data of their own, and what each asks for."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

from mcstudy.grid import Condition
from mcstudy.method import batch_of
from mcstudy.simulation.call import Timed
from mcstudy.simulation.validation import Answer, AnswerError, checked, is_frame, labels_of
from mcstudy.streams import streams
from mcstudy.study import Study


class Extras:
    """The arguments that a method asks for by name: its own generators, the factor values.

    Parameters
    ----------
    study : Study
        Has the method.
    condition : Condition
        Whose factor values it gets.
    name : str
        The method's.
    """

    def __init__(self, study: Study, condition: Condition, name: str) -> None:
        self._seed = study.seed
        self._condition = condition
        self._name = name
        self._asked = _asked_for(study.methods[name])

    def each(self, replicates: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield the arguments of a one-at-a-time method, replicate by replicate."""
        asked = self._asked
        rngs = self._streams(replicates) if "rng" in asked else []
        for i in range(len(replicates)):
            extras: dict[str, Any] = {}
            if "rng" in asked:
                extras["rng"] = rngs[i]
            if "condition" in asked:
                extras["condition"] = dict(self._condition.factors)
            yield extras

    def together(self, replicates: Sequence[int]) -> dict[str, Any]:
        """Return the arguments of a batched method."""
        extras: dict[str, Any] = {}
        if "rngs" in self._asked:
            extras["rngs"] = self._streams(replicates)
        if "condition" in self._asked:
            extras["condition"] = dict(self._condition.factors)
        return extras

    def _streams(self, replicates: Sequence[int]) -> list[np.random.Generator]:
        return streams(self._seed, self._condition.key, replicates, self._name)


def answer_of(
    timed: Timed, method: Callable[..., Any], data: Any, extras: dict[str, Any], count: int | None
) -> Answer:
    """Return what a method says of a copy of the data, the same copy whoever else gets one."""
    return checked(timed(method, _copy(data), **extras), count)


def answer_to_item(
    timed: Timed, method: Callable[..., Any], batch: Any, place: int, extras: dict[str, Any]
) -> Answer:
    """Return what a one-at-a-time method says of one data set of a batch."""
    try:
        data = batch[place]
    except Exception as error:  # whatever the user's own class raises
        raise AnswerError(  # without the place, which differs with the size of the batch
            f"gets no data set: batch[i] of what simulate returned raises {type(error).__name__}; "
            "return a list, or an array, with one data set for each generator"
        ) from error
    return answer_of(timed, method, data, extras, None)


def drawn(
    timed: Timed,
    simulate: Callable[..., Any],
    rng: np.random.Generator,
    factors: Mapping[str, Any],
) -> Any:
    """Return a data set that nothing else holds, such as a simulate that fills one array anew."""
    return _copy(timed(simulate, rng, **factors))


def drawn_together(
    timed: Timed,
    form: Callable[..., Any],
    rngs: list[np.random.Generator],
    factors: Mapping[str, Any],
) -> Any:
    """Return the data sets of a batch; raise AnswerError unless one for each generator."""
    data = timed(form, rngs, **factors)
    if wrong := misfit(data, len(rngs)):
        raise AnswerError(
            f"returned {wrong} for a batch of {len(rngs)}; return a list, or an array, with one "
            "data set for each generator"
        )
    return data


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


def _asked_for(method: Callable[..., Any]) -> set[str]:
    """Return which of rng, rngs and condition a method names, beside its first argument."""
    try:
        parameters = inspect.signature(batch_of(method) or method).parameters
    except (TypeError, ValueError):
        return set()
    return {"rng", "rngs", "condition"} & set(list(parameters)[1:])
