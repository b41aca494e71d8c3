"""Columns of anybody's table to a cell: which column plays which role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mcstudy.analysis.measures import Cell
from mcstudy.analysis.query import names_in
from mcstudy.arguments import as_texts, is_number, short
from mcstudy.arrays import Floats
from mcstudy.columns import COUNTS, NUMBERS, VALUES
from mcstudy.errors import TableError
from mcstudy.external.group import Columns
from mcstudy.external.table_source import Source
from mcstudy.grid import level_text
from mcstudy.measure import columns_asked_for, functions_of
from mcstudy.simulation.validation import TEST
from mcstudy.wald import wald_limits

Truth: TypeAlias = float | str | Mapping[str, Mapping[Any, float]] | None
MADE = ("measure", *VALUES, *COUNTS)
_TAKEN = ("measure", *NUMBERS)


@dataclass(frozen=True)
class ColumnMap:
    """Which columns play which role, and how they make a cell.

    `by` tells cells apart. `columns` has the column of each role, of those that exist, `constants`
    truth and df where they are numbers. `level` is of the limits formed from standard errors.
    """

    by: list[str]
    columns: Mapping[str, str]
    constants: Mapping[str, float]
    level: float
    own_truths: bool

    @classmethod
    def of(
        cls,
        source: Source,
        by: list[str],
        roles: Mapping[str, Any],
        *,
        level: float,
        own_truths: bool,
    ) -> ColumnMap:
        """Return the roles that the columns of a table can play; truth and df may be numbers."""
        columns, constants = _columns_and_constants(source, roles)
        if not constants.get("df", 1) > 0:
            raise TableError(f"df is {roles['df']!r}; give a number above 0")
        for name in by:
            source.check_column(name, "by")
            if name in _TAKEN:
                raise TableError(
                    f"{source.name}: by has '{name}', a column of the result; rename it"
                )
        if ("lower" in columns) != ("upper" in columns):
            there, lacking = ("lower", "upper") if "lower" in columns else ("upper", "lower")
            raise TableError(
                f"{source.name}: has the limit '{columns[there]}' and no {lacking} one; name it "
                f"with {lacking}=..., or say {there}=None to form both from the standard error"
            )
        if roles["df"] is not None and "lower" in columns:
            raise TableError(
                f"{source.name}: has limits in '{columns['lower']}' and '{columns['upper']}', so "
                "df is not used; say lower=None, upper=None to form limits"
            )
        if not isinstance(level, float) or not 0 < level < 1:
            raise TableError(f"level is {level!r}; give a number between 0 and 1")
        return cls(by, columns, constants, level, own_truths)

    @property
    def numbers(self) -> list[str]:
        """The columns of numbers to read, each once."""
        return list(dict.fromkeys(self.columns.values()))

    @property
    def has_limits(self) -> bool:
        """Whether there are intervals, given or formed."""
        return self.has_estimates and not {"lower", "std_error"}.isdisjoint(self.columns)

    @property
    def has_estimates(self) -> bool:
        """Whether there are estimates; tests alone have none."""
        return "estimate" in self.columns

    def cell(self, numbers: Columns, where: str) -> Cell:
        """Return the cell of these columns, sorted by replicate."""
        found = dict(zip(self.numbers, numbers, strict=True))
        of = {role: found[name] for role, name in self.columns.items()}
        if "replicate" in of:
            order = order_of_replicates(of.pop("replicate"), where)
            of = of if order is None else {role: column[order] for role, column in of.items()}
        truth: Any = self.constants.get("truth", np.nan)
        if "truth" in of:
            truth = of["truth"] if self.own_truths else only_truth(of["truth"], where)
        p_value = of.get(TEST)
        if p_value is not None:
            check_p_values(p_value, where)
        if "estimate" not in of:
            missing = np.full(len(of[TEST]), np.nan)
            return Cell(truth, missing, missing, p_value=p_value)
        estimate = of["estimate"]
        std_error = of["std_error"] if "std_error" in of else np.full(len(estimate), np.nan)
        check_std_errors(std_error, where)
        lower, upper = of.get("lower"), of.get("upper")
        if lower is not None and upper is not None:
            _check_limits(lower, upper, where)
        elif self.has_limits:
            df = of.get("df", self.constants.get("df"))
            lower, upper = wald_limits(estimate, std_error, self.level, df)
        has_truth = "truth" in of or "truth" in self.constants
        return Cell(truth, estimate, std_error, lower, upper, has_truth=has_truth, p_value=p_value)

    def check_measures(self, measures: Mapping[str, Callable[..., Any]]) -> None:
        """Raise TableError for a measure that asks for a column that is not there."""
        there = {"truth", *self.columns}
        there |= {"lower", "upper"} if self.has_limits else set()
        for name, of in measures.items():
            for function in functions_of(of).values():
                if lacking := [c for c in columns_asked_for(function) if c not in there]:
                    raise TableError(
                        f"measure '{name}' asks for {', '.join(lacking)}, which the table does "
                        "not have"
                    )


def _columns_and_constants(
    source: Source, roles: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, float]]:
    """Return the column, or else the number, of each role.

    A role whose column has the role's own name is left out where there is no such column.
    """
    columns, constants = {}, {}
    estimate, p_value = roles["estimate"], roles[TEST]
    no_estimate = estimate is None or (estimate == "estimate" and "estimate" not in source.columns)
    tests_alone = no_estimate and isinstance(p_value, str) and p_value in source.columns
    if not (isinstance(estimate, str) or tests_alone):
        raise TableError(f"estimate is {short(estimate)}; name the column of estimates")
    # Tests alone need neither estimates nor a truth.
    needed = () if tests_alone else ("estimate", "truth")
    for role, name in roles.items():
        if isinstance(name, str):
            if name in source.columns or name != role or role in needed:
                source.check_column(name, role)
                columns[role] = name
        elif isinstance(name, bool) or not isinstance(name, int | float | np.number | None):
            raise TableError(f"{role} is {name!r}; give a number or the name of a column")
        elif name is not None:
            constants[role] = float(name)
    return columns, constants


def names_of_columns(by: Sequence[str] | str, source: Source) -> list[str]:
    """Return names of columns given as a list, or as a text: of one column, or with commas."""
    if isinstance(by, str):
        by = [by] if by in source.columns else names_in(by)
    return list(dict.fromkeys(as_texts(by, "by", TableError)))


def name_of(value: Any) -> str:
    """Return the name that a value of a column is; 1.0 is "1", as R may write an integer."""
    return level_text(value) if isinstance(value, float) else str(value)


def given_truth(truth: Any, levels: Mapping[str, Any], name: str) -> float:
    """Return a true value that is a number, or one by the levels of a column."""
    if is_number(truth):
        return float(truth)
    one = isinstance(truth, Mapping) and len(truth) == 1
    if not one or not all(isinstance(of, Mapping) for of in truth.values()):
        raise TableError(
            f"truth is {short(truth)}; give a number, the name of a column, or by the values of "
            "one {'estimand': {'slope': 1.0}}"
        )
    ((column, of),) = truth.items()
    if column not in levels:
        raise TableError(f"truth is by {short(column)}; it can be by {' or '.join(levels)}")
    level = levels[column]
    for key, value in of.items():
        # On the command line a level is a text: 0 is the level 0.0.
        if (key == level or name_of(key) in (str(level), level_text(level))) and is_number(value):
            return float(value)
    raise TableError(f"{name}: truth has no number for {column}={level!r}; add it")


def check_p_values(p_value: Floats, where: str) -> None:
    """Raise TableError for a p-value that is none."""
    if (odd := (p_value < 0) | (p_value > 1)).any():
        raise TableError(
            f"a p-value is {p_value[odd][0]:.6g} in {where}; give numbers between 0 and 1"
        )


def check_std_errors(std_error: Floats, where: str) -> None:
    """Raise TableError for a standard error below 0."""
    if (std_error < 0).any():
        worst = np.nanmin(std_error)
        raise TableError(f"a standard error is {worst:.6g} in {where}; none is below 0")


def _check_limits(lower: Floats, upper: Floats, where: str) -> None:
    if (crossed := lower > upper).any():
        first = int(np.argmax(crossed))
        raise TableError(
            f"a lower limit is {lower[first]:.6g} and its upper one {upper[first]:.6g} in "
            f"{where}; are the two columns exchanged?"
        )


def order_of_replicates(replicate: Floats, where: str) -> NDArray[np.intp] | None:
    """Return the order of the replicates, None if they rise; raise if one occurs twice."""
    if (replicate[1:] > replicate[:-1]).all() and not np.isnan(replicate[:1]).any():
        return None
    order = np.argsort(replicate, kind="stable")
    ordered = replicate[order]
    if np.isnan(ordered[-1]):
        raise TableError(f"a replicate is missing in {where}; number them, or say replicate=None")
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice) and twice[0] >= 2**53:
        raise TableError(f"replicates of 2^53 or more in {where} run together; number them from 0")
    if len(twice):
        raise TableError(
            f"replicate {twice[0]:.0f} occurs more than once in {where}; add to by the column of "
            "the method, estimand or factor that tells its rows apart, drop the row that is there "
            "twice, or say replicate=None"
        )
    return order


def only_truth(
    truth: Floats, where: str, by: str = "by", own_truths: str = "own_truths=True"
) -> float:
    """Return the truth of a cell; raise if there are two, in words for the two arguments."""
    other = truth[~((truth == truth[0]) | (np.isnan(truth) & np.isnan(truth[0])))]
    if len(other):
        raise TableError(
            f"the truth varies in {where}: {truth[0]:.6g} and {other[0]:.6g}; add to {by} the "
            f"column that it depends on, or say {own_truths} if each replicate has its own"
        )
    return float(truth[0])
