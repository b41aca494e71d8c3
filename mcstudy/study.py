"""Functions, a grid and a seed to a study: declared once, and checked before anything is run."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from mcstudy.arguments import is_number, short, suggestion
from mcstudy.errors import StudyError
from mcstudy.grid import Condition, Grid, check_levels, is_plain
from mcstudy.labels import check_labelled, check_labels
from mcstudy.measure import (
    LEVEL,
    alphas_of,
    check_alpha,
    check_measures,
    check_null,
    check_targets,
    rejection_at,
)
from mcstudy.study_functions import PREPARED, check_takes, methods_by_name
from mcstudy.truths import DATA, RNG, as_truths, asks_for, factors_used, simulated_truths

MAX_REPLICATES = 2**32  # the spawn key of a stream is one word of 32 bits (mcstudy.streams)
MAX_SECONDS = 1e9
"""Of a time limit: the timer of a process counts nanoseconds in 63 bits."""
SIMULATE = "simulate"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
T = TypeVar("T")


def _names_wrong_arguments(cls: type[T]) -> type[T]:
    """Make a dataclass say in one line what is no argument of it, or lacks one it must have."""
    made: Any = cls
    plain = made.__init__
    arguments = {of.name: of for of in fields(made) if of.init}
    needed = [n for n, of in arguments.items() if of.default is of.default_factory is MISSING]

    @functools.wraps(plain)
    def checked(self: Any, /, *given: Any, **named: Any) -> None:
        if odd := [name for name in named if name not in arguments]:
            raise StudyError(
                f"{cls.__name__} has no argument {short(odd[0])}"
                f"{suggestion(odd[0], list(arguments))}; it has {', '.join(arguments)}"
            )
        if lacking := [name for name in needed[len(given) :] if name not in named]:
            none = "; estimands=None says that there are no true values" * ("estimands" in lacking)
            raise StudyError(f"{cls.__name__} lacks {', '.join(lacking)}{none}")
        plain(self, *given, **named)

    made.__init__ = checked
    return cls


@_names_wrong_arguments
@dataclass(frozen=True)
class Study:
    """A simulation study: what is simulated, what is estimated, how, and under which conditions.

    Parameters
    ----------
    name : str
        Names the folder of the results: letters, digits, ``.``, ``_`` and ``-``.
    simulate : callable
        ``simulate(rng, **factors)`` returns a data set, any object.
    estimands : callable or None
        ``estimands(**factors)`` returns the true value of each estimand, a dict of floats; None
        is the value of one that has none, such as a test error. What a method returns beyond
        them has none either. ``estimands=None``: nothing has a true value. ``(value, mcse)`` is a
        true value with a Monte Carlo error, which the errors of bias and coverage then contain.
        If it asks for ``rng`` it is called once for each set of the factors that it names, and
        gets these alone; what it returns is stored with the results. If it asks for ``data`` each
        data set has its own true values: ``estimands(data, **factors)`` is called for each.
    methods : mapping of str, or tuple of str, to callable
        ``method(data)`` returns ``{estimand: Estimate}``, with plain numbers where there is nothing
        but a value, or a `Fit`. A method with an argument
        named ``rng`` or ``condition`` gets its own generator, or the dict of factor values.
        Methods that share their work are one function: under several names,
        ``{("hc0", "hc3"): least_squares}``, it returns an answer for each, by name. Their ``rng``
        is that of the alphabetically first.
    conditions : Grid
        Made by `grid`.
    replicates : int
        How many data sets to simulate under each condition.
    seed : int
        Not negative. Rows of two seeds are never mixed.
    keep : {"rows", "measures"}, default "rows"
        What is stored: every answer, or only the sums that measures are made of. With "measures"
        any number of replicates fits in megabytes, and there are no medians, no comparisons and
        no measures of one's own.
    time_limit : float or mapping of str to float, optional
        Seconds after which a call of `simulate` or of a method is ended: one number for all, or
        by name of method, with ``"simulate"`` for `simulate`. A batch may take as many times that
        as it has replicates.
    precision : mapping of str to float, optional
        The largest Monte Carlo standard error wanted, by measure, e.g. ``{"coverage": 0.005}``.
        Each condition starts with `replicates` and goes on until all its cells have it.
    max_replicates : int, optional
        Where a condition stops in any case; required with `precision`.
    oracle : callable, optional
        ``oracle(**factors)`` returns what is known of the performance beforehand: a DataFrame with
        the columns method, estimand, interval, measure, value and mcse, or None. `check` compares.
    measures : mapping of str to callable, optional
        Measures of your own, computed beside the built-in ones; ``{"loss": {"slope": function}}``
        is one of an estimand only. The names of a function's arguments say which columns of a cell
        it gets, of truth, estimate, std_error, lower and
        upper, or p_value: arrays of shape (R,) sorted by replicate with NaN for missing, truth a
        float. An argument without a default that is called like a factor is its level. It returns a
        value, one for each replicate, ``(value, mcse)``, ``(value, influence)`` or a `Measured`.
    null : float or mapping of str to float, optional
        The value, or that of each estimand, whose absence from an interval counts as `rejection`.
        Where it is the true value, a `rejection`, of p-values too, is the size of a test.
    reference : str, optional
        The method that `comparisons` has every other one against; without it, each two methods are
        compared once.
    level : float, default 0.95
        Of the interval ``"wald"``, which is formed where a method gives a standard error and no
        interval of an estimand. None: no interval is formed.
    aims : str, optional
        What the study is to find out, for its report and protocol. The docstring of the study
        file where it is not given.
    labels : mapping of str to str, optional
        The words that tables, figures and the report show for a name: of a factor, method,
        estimand or measure, or of a level, ``{"n": "districts", "n=10": "few"}``. Before the name
        its kind may stand, as it must for an interval and a diagnostic: ``"interval=wald"``.
    alpha : float or sequence of float, optional
        The level at which tests by p-values reject; by default what intervals leave out, 0.05. Of
        several the first is that of `rejection`, another that of ``rejection_0.01``, say.

    streams : {"independent", "common"}, default "independent"
        With "common" a replicate has the same random stream under every condition (common random
        numbers), so that differences between conditions are paired: `Results.contrast`.

    prepare : callable, optional
        ``prepare(**factors)`` returns what all replicates of a condition share, such as a matrix
        read from a file or a compiled model. Each worker calls it when it begins work on a
        condition, keeps the result for the last two conditions, and gives it to `simulate` and
        to methods that have an argument named ``prepared``; none of them may change it. If it
        names ``rng`` it gets a generator of its own, the same everywhere.

    Raises
    ------
    StudyError
        With one line that says what does not fit.
    """

    name: str
    simulate: Callable[..., Any]
    estimands: Callable[..., Mapping[str, float | None]] | None
    methods: Mapping[str, Callable[..., Any]]
    conditions: Grid
    replicates: int
    seed: int
    keep: str = "rows"
    time_limit: float | Mapping[str, float] | None = None
    precision: Mapping[str, float] | None = None
    max_replicates: int | None = None
    oracle: Callable[..., Any] | None = None
    measures: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    null: float | Mapping[str, float] | None = None
    reference: str | None = None
    level: float | None = LEVEL
    aims: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    alpha: float | Sequence[float] | None = None
    streams: str = "independent"
    prepare: Callable[..., Any] | None = None
    prepared_by_condition: dict[Any, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    simulated: dict[str, dict[str, float | None]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    source: Path | None = field(default=None, init=False, repr=False, compare=False)
    source_digest: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise StudyError(
                f"study name {self.name!r} cannot name a folder; "
                "use letters, digits, '.', '_' and '-'"
            )
        self._check_conditions()
        self._check_values()
        methods = methods_by_name(self.methods, self.name, self.prepare is not None)
        object.__setattr__(self, "methods", MappingProxyType(methods))
        if self.reference is not None and self.reference not in list(methods):
            raise StudyError(
                f"{self.name}: reference {self.reference!r} is no method; "
                f"choose from {', '.join(methods)}"
            )
        self._check_time_limit()
        check_measures(self.measures, self.name, self.conditions.factors)
        check_null(self.null, self.name)
        check_alpha(self.alpha, self.name)
        check_labels(self.labels, self.name)
        object.__setattr__(self, "labels", dict(self.labels))
        self.check_labelled()
        self._check_kept()
        self._check_functions()
        self._check_precision()

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, with a dict of the methods: what cannot be changed is not pickled."""
        return {**vars(self), "methods": dict(self.methods), "prepared_by_condition": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, methods=MappingProxyType(state["methods"]))

    def _check_conditions(self) -> None:
        if not isinstance(self.conditions, Grid):
            raise StudyError(
                f"{self.name}: conditions is a {type(self.conditions).__name__}; write grid(...)"
            )
        if not self.conditions.conditions:
            raise StudyError(f"{self.name}: the grid keeps no condition; loosen its where(...)")
        check_levels(self.conditions)

    def _check_values(self) -> None:
        for name in ("replicates", "seed", "max_replicates"):
            object.__setattr__(self, name, as_integer(getattr(self, name)))
        check_replicates(self.replicates, self.name)
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise StudyError(f"{self.name}: seed is {self.seed!r}; give an integer of 0 or more")
        if self.keep not in ("rows", "measures"):
            raise StudyError(f"{self.name}: keep is {self.keep!r}; say 'rows' or 'measures'")
        if self.streams not in ("independent", "common"):
            raise StudyError(
                f"{self.name}: streams is {self.streams!r}; say 'independent' or 'common'"
            )
        if self.level is not None and not (is_number(self.level) and 0 < self.level < 1):
            raise StudyError(
                f"{self.name}: level is {self.level!r}; give a number between 0 and 1, or None "
                "to form no intervals"
            )
        if not isinstance(self.aims, str) or not is_plain(self.aims):
            raise StudyError(f"{self.name}: aims is {short(self.aims)}; give a text")

    def _check_kept(self) -> None:
        """Raise StudyError for what needs the rows where none are kept."""
        need_rows = {
            "several levels of alpha need the rows, and keep='measures' has none; give one": (
                len(self.alphas) > 1
            ),
            "measures of your own need the rows, and keep='measures' has none; leave one of the "
            "two out": self.measures,
            "precision is judged by rows, and keep='measures' has none; give a number of "
            "replicates in place of precision": self.precision is not None,
        }
        for message, applies in need_rows.items():
            if applies and self.keep == "measures":
                raise StudyError(f"{self.name}: {message}")

    def _check_functions(self) -> None:
        factors = self.conditions.factors
        if self.prepare is not None:
            if PREPARED in factors:
                raise StudyError(
                    f"{self.name}: a factor is called {PREPARED!r}, as what prepare returns; "
                    "rename it"
                )
            check_takes(factors, "prepare", self.prepare, self.name, optional={"rng"})
        shared = {PREPARED} if self.prepare is not None else set()
        check_takes(factors, "simulate", self.simulate, self.name, leading=1, optional=shared)
        if self.estimands is not None:
            try:
                asked = self.truth_from
            except ValueError as error:
                raise StudyError(f"{self.name}: {error}") from None
            check_takes(factors, "estimands", self.estimands, self.name, optional={asked})
            if asked == DATA and self.keep == "measures":
                raise StudyError(
                    f"{self.name}: estimands asks for data, and keep='measures' keeps sums about "
                    "true values that all replicates share; keep the rows"
                )
        if self.oracle is not None:
            check_takes(factors, "oracle", self.oracle, self.name)

    def _check_precision(self) -> None:
        if self.precision is None:
            if self.max_replicates is not None:
                raise StudyError(
                    f"{self.name}: max_replicates is given without precision; "
                    "say precision={'coverage': 0.005}, or leave it out"
                )
            return
        listed, each = f"{self.name}: precision", f"{self.name}: the precision"
        check_targets(self.precision, listed, each, (*self.measures, *rejection_at(self.alphas)))
        if self.null is None and self.alpha is None and "rejection" in self.precision:
            raise StudyError(
                f"{listed} names 'rejection', but there is no null; give null=..., or for tests by "
                "p-values alpha=..."
            )
        if self.max_replicates is None:
            raise StudyError(
                f"{self.name}: precision needs max_replicates, the number at which a condition "
                "stops in any case"
            )
        check_replicates(self.max_replicates, self.name, "max_replicates")
        if self.max_replicates < self.replicates:
            raise StudyError(
                f"{self.name}: max_replicates is {self.max_replicates}, below replicates "
                f"{self.replicates}; give a larger one"
            )

    def check_labelled(self, estimands: Collection[str] | None = None) -> None:
        """Raise StudyError for a label of what is not there; see `mcstudy.labels`."""
        names = {"method": list(self.methods), "measure": list(self.measures)}
        check_labelled(self.labels, self.name, self.conditions, names, estimands)

    def _check_time_limit(self) -> None:
        limits = self.time_limit
        for name, limit in limits.items() if isinstance(limits, Mapping) else [("", limits)]:
            if name and name not in self.methods and name != SIMULATE:
                raise StudyError(
                    f"{self.name}: time_limit names {name!r}; name {SIMULATE} or a method: "
                    f"{', '.join(self.methods)}"
                )
            if limit is None and not name:
                continue
            if not is_number(limit) or not 0 < (limit or 0) <= MAX_SECONDS:
                of = f" of '{name}'" if name else ""
                raise StudyError(
                    f"{self.name}: time_limit{of} is {limit!r}; give seconds, a number above 0 and "
                    f"at most {MAX_SECONDS:.0e}, or leave it out"
                )

    def __repr__(self) -> str:
        size = f"{len(self.conditions)} conditions x {len(self.methods)} methods x "
        size += f"{self.replicates} replicates, seed {self.seed}"
        return (
            f"<Study {self.name!r}: {size}; methods {', '.join(self.methods)}; {self.conditions!r}>"
        )

    @property
    def alphas(self) -> tuple[float, ...]:
        """The levels of tests by p-values."""
        return alphas_of(self.alpha, self.level)

    @cached_property
    def truth_from(self) -> str:
        """From what `estimands` has the true values: "data", "rng", or empty (it knows them)."""
        return asks_for(self.estimands, self.conditions.factors)

    def stream_key(self, condition: Condition) -> str:
        """Return what stands for a condition in the address of a random stream."""
        return condition.key if self.streams == "independent" else ""

    def limit_of(self, method: str) -> float | None:
        """Return the seconds that a call of a method may take, of simulate if `method` is empty."""
        if isinstance(self.time_limit, Mapping):
            return self.time_limit.get(method or SIMULATE)
        return self.time_limit

    def truths(self, condition: Condition) -> dict[str, float]:
        """Return the true value of each estimand that has one, the same in all its replicates.

        Raises
        ------
        StudyError
            Where `estimands` raises or returns anything but a dict of numbers.
        """
        known = self.estimands_of(condition)
        return {name: value for name, value in known.items() if value is not None}

    def estimands_of(self, condition: Condition) -> dict[str, float | None]:
        """Return what `estimands` says under a condition; None is no true value.

        Nothing where each data set has its own true values. Those found by simulation are
        simulated once, and kept.

        Raises
        ------
        StudyError
            Where `estimands` raises or returns anything but a dict of numbers.
        """
        if self.estimands is None or self.truth_from == DATA:
            return {}
        try:
            if self.truth_from != RNG:
                return as_truths(self.estimands(**condition.factors))
            used = factors_used(self.estimands, condition)
            if used.key not in self.simulated:
                self.simulated[used.key] = simulated_truths(self.estimands, self.seed, used)
            return self.simulated[used.key]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            kind = "" if isinstance(error, StudyError) else f"{type(error).__name__}: "
            reason = " ".join(f"{kind}{error}".split())
            raise StudyError(
                f"{self.name}: estimands fails at {condition.key}: {reason}"
            ) from error


def as_integer(value: Any) -> Any:
    """Return an integer of whatever kind as Python's own, and anything else as it is."""
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value


def check_replicates(replicates: object, name: str, what: str = "replicates") -> None:
    """Raise StudyError unless `replicates` is a usable number of replicates."""
    whole = as_integer(replicates)
    if not isinstance(whole, int) or isinstance(whole, bool):
        raise StudyError(f"{name}: {what} is {replicates!r}; give an integer of 1 or more")
    if not 0 < whole < MAX_REPLICATES:
        raise StudyError(
            f"{name}: {what} is {replicates}; give an integer of 1 or more, below 2**32"
        )
