"""What a measure is: a name, a value with its Monte Carlo error, and how a user adds one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mcstudy.arguments import is_number, suggestion
from mcstudy.columns import WARNED
from mcstudy.errors import StudyError
from mcstudy.method import Status

Z = 1.959963984540054  # the 0.975 quantile of the normal distribution
LEVEL = 0.95
"""Of the intervals that are formed from standard errors, where a study sets no other."""
COLUMNS = ("truth", "estimate", "std_error", "lower", "upper", "p_value")
WITHOUT_TRUTH = ("mean", "median", "quantile_05", "quantile_95")
"""Measures of an estimand that has no true value, in place of bias and the like."""
BUILT_IN = (
    *("bias", "relative_bias", "standardized_bias", "empirical_se", "mse", "rmse"),
    *("median_bias", "mad", "model_se", "relative_error_model_se"),
    *WITHOUT_TRUTH,
    *("coverage", "coverage_of_all", "bias_eliminated_coverage"),
    *("miss_below", "miss_above", "width", "rejection"),
)

REJECTION = "rejection"
"""The share of tests that reject: of intervals without the null value, of p-values up to alpha."""
OF_INTERVALS = BUILT_IN[BUILT_IN.index("coverage") :]
_SHARES = (*(name for name in OF_INTERVALS if name != "width"), WARNED)


class Measured(NamedTuple):
    """A measure's value with its Monte Carlo error. NaN: does not exist.

    Parameters
    ----------
    value : float
        The measure.
    mcse : float
        Its Monte Carlo standard error.
    used : int
        How many replicates it rests on.
    limits : (float, float), optional
        95 % Monte Carlo limits; value +- 1.96 mcse where they are not given.
    """

    value: float
    mcse: float
    used: int
    limits: tuple[float, float] | None = None

    @property
    def lower(self) -> float:
        """The lower 95 % Monte Carlo limit."""
        return self.value - Z * self.mcse if self.limits is None else self.limits[0]

    @property
    def upper(self) -> float:
        """The upper 95 % Monte Carlo limit."""
        return self.value + Z * self.mcse if self.limits is None else self.limits[1]


MISSING = Measured(math.nan, math.nan, 0)


def known_measures(own: Iterable[str] = ()) -> list[str]:
    """Return the measures that there may be of a study with some of its own."""
    return list(dict.fromkeys([*BUILT_IN, *(f"share_{of}" for of in Status), WARNED, *own]))


def is_share(measure: str) -> bool:
    """Return whether a measure is the share of replicates in which something holds."""
    return measure in _SHARES or measure.startswith(("share_", f"{REJECTION}_"))


def alphas_of(alpha: float | Sequence[float] | None, level: float | None) -> tuple[float, ...]:
    """Return the levels of the tests by p-values: those given, or what intervals leave out."""
    if alpha is None:
        return (round(1 - (LEVEL if level is None else level), 12),)
    return tuple(map(float, alpha)) if isinstance(alpha, Sequence) else (float(alpha),)


def rejection_at(alphas: Sequence[float]) -> dict[str, float]:
    """Return the measures of a test and their levels: the first is `rejection`, without a number.

    The others are called ``rejection_0.01`` and so on.
    """
    first, *others = alphas
    return {REJECTION: first} | {f"{REJECTION}_{alpha:g}": alpha for alpha in others}


def check_alpha(alpha: object, where: str) -> None:
    """Raise StudyError unless `alpha` is None, a number between 0 and 1, or some of them."""
    if alpha is None:
        return
    values: list[Any] = list(alpha) if isinstance(alpha, list | tuple) else [alpha]
    if not values or not all(is_number(one) and 0 < one < 1 for one in values):
        raise StudyError(f"{where}: alpha is {alpha!r}; give a number between 0 and 1, or a list")
    if len({f"{one:g}" for one in values}) < len(values):
        raise StudyError(f"{where}: alpha is {alpha!r}; give each level once")


def why_absent(measure: str) -> str:
    """Say why a built-in measure may exist nowhere, and what to do."""
    if measure == "rejection":
        return "it needs p-values (Estimate(p_value=...)), or intervals and null=... in the study"
    if measure in WITHOUT_TRUTH and measure != "mean":
        return "it needs an estimand without a true value, and rows"
    if measure == "mean":
        return "every estimand has a true value: bias, rmse and the like say how far it is off"
    if measure in ("median_bias", "mad"):
        return "it needs the rows, and the study keeps measures"
    if measure in OF_INTERVALS:
        return (
            "no method gives an interval; let one return lower and upper, or a std_error, from "
            "which an interval is formed unless the study says level=None"
        )
    if measure in ("model_se", "relative_error_model_se"):
        return "no method gives a standard error; let one return a std_error"
    return "no replicate has what it needs"


def check_measures(measures: object, where: str, factors: Collection[str] = ()) -> None:
    """Raise StudyError unless `measures` maps new names to functions of a cell's columns.

    A measure is a function, or functions by estimand. Their arguments are among `COLUMNS` and the
    factors; others need a default.
    """
    if not isinstance(measures, Mapping):
        raise StudyError(f"{where}: measures is {measures!r}; write {{'name': function}}")
    for name, function in measures.items():
        if not isinstance(name, str) or not name or name != name.strip():
            raise StudyError(f"{where}: {name!r} cannot name a measure; use a text")
        # An older study may have a measure called mean; it stands in place of the built-in one.
        taken = name in BUILT_IN and name not in WITHOUT_TRUTH
        if taken or name == WARNED:
            raise StudyError(f"{where}: mcstudy has a measure '{name}'; choose another name")
        if name.startswith(("share_", f"{REJECTION}_")):
            begin = f"{name.partition('_')[0]}_"
            raise StudyError(
                f"{where}: measure '{name}' begins with {begin}, as measures of mcstudy do; choose "
                "another name"
            )
        if isinstance(function, Mapping) and not all(isinstance(of, str) for of in function):
            raise StudyError(
                f"{where}: measure '{name}' is {function!r}; write {{'estimand': function}}"
            )
        for each in functions_of(function).values() or (None,):
            if not callable(each):
                raise StudyError(f"{where}: measure '{name}' is {each!r}, not a function")
            _check_arguments(each, name, where, factors)


def functions_of(measure: Any) -> dict[str | None, Callable[..., Any]]:
    """Return the functions of a measure by the estimand that each is for; None is all of them."""
    return dict(measure) if isinstance(measure, Mapping) else {None: measure}


def check_targets(targets: object, listed: str, each: str, own: Iterable[str] = ()) -> None:
    """Raise StudyError unless `targets` gives measures, built in or a study's own, a number.

    `listed` and `each` say what they are all together, and one of them: they begin the messages.
    """
    if not isinstance(targets, Mapping) or not targets:
        raise StudyError(f"{listed} is {targets!r}; write {{'coverage': 0.005}}")
    known = known_measures(own)
    for measure, target in targets.items():
        if measure not in known:
            raise StudyError(
                f"{listed} names {measure!r}{suggestion(measure, known)}, "
                f"which is no measure; the measures are {', '.join(known)}"
            )
        if not is_number(target) or not 0 < target < math.inf:
            shown = f"{target:g}" if is_number(target) else repr(target)
            raise StudyError(f"{each} of {measure} is {shown}; give a number above 0")


def columns_asked_for(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return which of `COLUMNS` a measure names among its arguments."""
    return tuple(name for name in inspect.signature(function).parameters if name in COLUMNS)


def factors_asked_for(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the factors that a measure names: arguments without a default that are no columns."""
    arguments = inspect.signature(function).parameters.values()
    return tuple(a.name for a in arguments if a.name not in COLUMNS and a.default is a.empty)


def _check_arguments(
    function: Callable[..., Any], name: str, where: str, factors: Collection[str]
) -> None:
    try:
        arguments = inspect.signature(function).parameters.values()
    except ValueError:
        raise StudyError(
            f"{where}: the arguments of measure '{name}' cannot be read; wrap it in a function"
        ) from None
    odd = [
        argument.name
        for argument in arguments
        if argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
        or argument.kind is argument.POSITIONAL_ONLY
        or (argument.name not in {*COLUMNS, *factors} and argument.default is argument.empty)
    ]
    if odd or not columns_asked_for(function):
        asks = ", ".join(odd) or "none of them"
        raise StudyError(
            f"{where}: measure '{name}' asks for {asks}; "
            f"its arguments must be among {', '.join([*COLUMNS, *factors])}"
        )
    asked = columns_asked_for(function)
    if "p_value" in asked and {"lower", "upper"} & {*asked}:
        raise StudyError(
            f"{where}: measure '{name}' asks for p_value and for limits; it is of a test or of an "
            "interval: ask for one of the two"
        )


def check_null(null: object, where: str, by: Sequence[str] = ("estimand",)) -> None:
    """Raise StudyError unless `null` is None, a number, or numbers by estimand."""
    if isinstance(null, Mapping) and "estimand" not in by:
        raise StudyError(f"{where}: null is by estimand, and by lacks 'estimand'; give a number")
    values = null.values() if isinstance(null, Mapping) else (null,)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise StudyError(
                f"{where}: null is {value!r}; give a number, or {{'estimand': number}}"
            )


def null_of(null: float | Mapping[str, float] | None, estimand: str) -> float:
    """Return the null value of an estimand; NaN where there is none."""
    value = null.get(estimand) if isinstance(null, Mapping) else null
    return math.nan if value is None else float(value)
