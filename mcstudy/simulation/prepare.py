"""What `prepare` makes of a condition: once per worker, for all replicates and methods of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from mcstudy.grid import Condition
from mcstudy.method import argument_names
from mcstudy.simulation.call import Outcome, attempt
from mcstudy.streams import stream
from mcstudy.study import Study
from mcstudy.study_functions import PREPARED

_KEPT = 2  # conditions: a worker goes from one to the next, and what is prepared may be large
_STREAM = "\0prepare"  # no method can be called so


def prepared(study: Study, condition: Condition) -> Outcome | None:
    """Return what came of `prepare` under a condition; None where a study has none.

    It is called once in a process as long as the condition is at work. Arrays that it returns, also
    in a dict, list or tuple, cannot be written to: all replicates share them.
    """
    if study.prepare is None:
        return None
    kept: dict[Condition, Outcome] = study.prepared_by_condition
    if condition not in kept:
        arguments: dict[str, Any] = dict(condition.factors)
        if "rng" in argument_names(study.prepare):
            arguments["rng"] = stream(study.seed, study.stream_key(condition), 0, _STREAM)
        outcome = attempt(functools.partial(study.prepare, **arguments), None)
        _protect(outcome.value)
        while len(kept) >= _KEPT:
            del kept[next(iter(kept))]
        kept[condition] = outcome
    return kept[condition]


def given(study: Study, condition: Condition, function: Callable[..., Any]) -> dict[str, Any]:
    """Return what is prepared as an argument, if the function asks; raise what `prepare` raised."""
    if PREPARED not in argument_names(function) or (outcome := prepared(study, condition)) is None:
        return {}
    if outcome.exception is not None:
        raise outcome.exception
    return {PREPARED: outcome.value}


def _protect(value: Any) -> None:
    """Make arrays read-only."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, dict):
        for each in value.values():
            _protect(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _protect(each)
