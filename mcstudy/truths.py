"""True values of estimands: known beforehand, found by simulation, or those of each data set.

``estimands(**factors)`` knows them. One that asks for ``rng`` simulates them, once for each set of
the factors that it names. One that asks for ``data`` reads them off each data set.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mcstudy.arguments import short
from mcstudy.errors import StudyError
from mcstudy.grid import Condition, is_plain
from mcstudy.measure import Measured
from mcstudy.method import argument_names

DATA, RNG = "data", "rng"
_STREAM = "\0estimands"  # no method can be called so


class SimulatedTruth(float):
    """A true value that was found by simulation, with its Monte Carlo standard error `mcse`."""

    mcse: float

    def __new__(cls, value: float, mcse: float) -> SimulatedTruth:
        """Make one of a value and its error."""
        made = super().__new__(cls, value)
        made.mcse = float(mcse)
        return made

    def __getnewargs__(self) -> tuple[float, float]:  # type: ignore[override]  # of two arguments
        """Return what makes it anew, for pickle."""
        return float(self), self.mcse


def mcse_of(truth: Any) -> float:
    """Return the Monte Carlo standard error of a true value, 0 of one that is known."""
    return truth.mcse if isinstance(truth, SimulatedTruth) else 0.0


def asks_for(estimands: Callable[..., Any] | None, factors: Collection[str]) -> str:
    """Return `DATA` or `RNG` if `estimands` has such an argument that is no factor, else nothing.

    Raise ValueError if it asks for both.
    """
    names = [] if estimands is None else argument_names(estimands)
    asked = {DATA, RNG}.intersection(names) - set(factors)
    if len(asked) > 1:
        raise ValueError(
            "estimands asks for data and for rng; let it ask for data if each data set has its own "
            "true values, for rng if they are found by simulation"
        )
    return next(iter(asked), "")


def factors_used(estimands: Callable[..., Any], condition: Condition) -> Condition:
    """Return the levels of the factors that `estimands` names, which alone it gets with ``rng``."""
    names = inspect.signature(estimands).parameters
    return Condition({n: level for n, level in condition.factors.items() if n in names})


def simulated_truths(
    estimands: Callable[..., Any], seed: int, used: Condition
) -> dict[str, float | None]:
    """Return the true values that `estimands` simulates from a stream of its own."""
    from mcstudy.streams import stream  # not above: a study file is read without numpy

    rng = stream(seed, used.key, 0, _STREAM)
    return as_truths(estimands(rng=rng, **used.factors))


def as_truths(answer: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what `estimands` says, by estimand: a number, one with its error, or None.

    Raise StudyError, ValueError or TypeError for anything else.
    """
    if not isinstance(answer, Mapping) or not all(map(_is_name, answer)):
        raise StudyError(
            f"it returns {short(answer)}; return {{'name': number}}, with None for one that has no "
            "true value"
        )
    return {name: _truth(value) for name, value in answer.items()}


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name) and is_plain(name)


def _truth(value: Any) -> float | None:
    if isinstance(value, str | bytes):
        raise StudyError(f"{value!r} is a text, not a number")
    if isinstance(value, tuple):
        if len(value) != 2 and not isinstance(value, Measured):
            raise StudyError(f"{short(value)} is no true value; give a number, or (value, mcse)")
        number, mcse = float(value[0]), float(value[1])
        if not 0 <= mcse < math.inf:
            raise StudyError(f"the MCSE of a true value is {mcse!r}; give 0 or more")
        return SimulatedTruth(number, mcse) if mcse else number
    return None if value is None else float(value)
