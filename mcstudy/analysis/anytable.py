"""Anybody's replicates to measures: `performance` of a table, from mcstudy or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy import special

from mcstudy.analysis.cell import Cell
from mcstudy.analysis.custom import customs
from mcstudy.analysis.gathered import CellIndex, Columns, gathered
from mcstudy.analysis.mcse import Floats
from mcstudy.analysis.performance import NUMBERS, Meter, numbers
from mcstudy.analysis.sources import Source, open_source
from mcstudy.errors import StudyError, TableError
from mcstudy.measure import check_measures, check_null, columns_asked_for, null_of

AnyTable: TypeAlias = "pd.DataFrame | pa.Table | pa.dataset.Dataset | str | Path"
_MADE = ("measure", *NUMBERS, "used", "replicates")


def performance(
    data: AnyTable,
    *,
    truth: float | str = "truth",
    by: Sequence[str] | str = (),
    estimate: str = "estimate",
    std_error: str | None = "std_error",
    lower: str | None = "lower",
    upper: str | None = "upper",
    replicate: str | None = "replicate",
    level: float = 0.95,
    df: float | str | None = None,
    null: float | Mapping[str, float] | None = None,
    mcse: str = "jackknife",
    measures: Mapping[str, Callable[..., Any]] | None = None,
) -> pd.DataFrame:
    """Return the performance measures of any table with a row per replicate.

    Parameters
    ----------
    data : DataFrame, Arrow table, Arrow dataset, or path
        The replicates. A path names a Parquet file, a folder of them, or a CSV or TSV file, also
        compressed by gzip; NA is missing there.
    truth : float or str, default "truth"
        The true value, or the column that has it.
    by : sequence of str, optional
        The columns whose values tell the cells apart: factors, method, estimand. A missing value
        is a value of its own.
    estimate, std_error, lower, upper : str, optional
        Columns of numbers. Where a default does not exist its measures are left out; None leaves
        them out though it exists. Without limits these are formed from the standard error.
    replicate : str, optional
        The number of the replicate. Where it exists, rows are sorted by it, so that their order
        in the table does not matter to the last bit, and none may occur twice in a cell.
    level : float, default 0.95
        Of the limits that are formed.
    df : float or str, optional
        Degrees of freedom of these, or their column; normal limits without.
    null : float or mapping of str to float, optional
        The value whose absence from an interval is a `rejection`; a mapping is by the value of
        the column "estimand", which must be among `by`.
    mcse : {"jackknife", "normal"}
        "normal" gives the published formulas, as rsimsum and Stata's simsum do.
    measures : mapping of str to callable, optional
        Measures of your own, as in a `Study`.

    Returns
    -------
    pandas.DataFrame
        The columns of `by`, then measure, value, mcse, lower and upper (its 95 % Monte Carlo
        limits), used and replicates: one row per cell and measure, sorted by `by`.

    Raises
    ------
    TableError
        For a column that is missing or has no numbers, an empty table, a truth that varies within
        a cell, or a replicate that occurs twice in one.
    StudyError
        For measures, a null or options that cannot be used, or a measure that raises.
    """
    names = [by] if isinstance(by, str) else list(dict.fromkeys(by))
    if mcse not in ("jackknife", "normal"):
        raise StudyError(f"performance: mcse is {mcse!r}; say 'jackknife' or 'normal'")
    own = dict(measures or {})
    check_measures(own, "performance")
    check_null(null, "performance", names)
    source = open_source(data)
    roles: dict[str, Any] = {
        "estimate": estimate,
        "std_error": std_error,
        "lower": lower,
        "upper": upper,
    }
    roles |= {"replicate": replicate, "truth": truth, "df": df}
    reader = _Reader.of(source, names, roles, level=level)
    _check_asked(own, reader)
    return _measured(source, reader, Meter(customs(own), normal=mcse == "normal"), null)


@dataclass(frozen=True)
class _Reader:
    """Which columns play which role, and how they make a cell.

    Parameters
    ----------
    by : list of str
        The columns that tell cells apart.
    columns : mapping of str to str
        The column of each role, of those that exist.
    constants : mapping of str to float
        Truth and df where they are numbers.
    level : float
        Of the limits formed from standard errors.
    """

    by: list[str]
    columns: Mapping[str, str]
    constants: Mapping[str, float]
    level: float

    @classmethod
    def of(
        cls, source: Source, by: list[str], roles: Mapping[str, Any], *, level: float
    ) -> _Reader:
        constants, columns = {}, {}
        for role, name in roles.items():
            if isinstance(name, str):
                if name in source.columns:
                    columns[role] = name
                elif name != role or role in ("estimate", "truth"):
                    raise TableError(_no_column(source, name, role))
            elif name is not None:
                constants[role] = _constant(name, role)
        _check_columns(source, by, columns)
        if "df" in roles and roles["df"] is not None and "lower" in columns:
            raise TableError(
                f"{source.name}: has limits in '{columns['lower']}' and '{columns['upper']}', so "
                "df is not used; say lower=None, upper=None to form limits"
            )
        if not isinstance(level, float) or not 0 < level < 1:
            raise TableError(f"level is {level!r}; give a number between 0 and 1")
        return cls(by, columns, constants, level)

    @property
    def numbers(self) -> list[str]:
        """The columns of numbers to read, each once."""
        return list(dict.fromkeys(self.columns.values()))

    @property
    def has_limits(self) -> bool:
        """Whether there are intervals, given or formed."""
        return "lower" in self.columns or "std_error" in self.columns

    def cell(self, numbers: Columns, where: str) -> Cell:
        """Return the cell of these columns, sorted by replicate."""
        found = dict(zip(self.numbers, numbers, strict=True))
        of = {role: found[name] for role, name in self.columns.items()}
        if "replicate" in of:
            order = _order(of.pop("replicate"), where)
            of = of if order is None else {role: column[order] for role, column in of.items()}
        truth = _only(of["truth"], where) if "truth" in of else self.constants.get("truth", np.nan)
        std_error = of.get("std_error")
        if std_error is None:
            std_error = np.full(len(of["estimate"]), np.nan)
        if not self.has_limits:
            return Cell(truth, of["estimate"], std_error)
        lower, upper = of.get("lower"), of.get("upper")
        if lower is None:
            half = self._quantile(of.get("df")) * std_error
            lower, upper = of["estimate"] - half, of["estimate"] + half
        return Cell(truth, of["estimate"], std_error, lower, upper)

    def _quantile(self, df: Floats | None) -> Any:
        """Return the quantile of t for the degrees of freedom, or of the normal without."""
        upper = (1 + self.level) / 2
        degrees = self.constants.get("df") if df is None else df
        return special.ndtri(upper) if degrees is None else special.stdtrit(degrees, upper)


def _measured(
    source: Source, reader: _Reader, meter: Meter, null: float | Mapping[str, float] | None
) -> pd.DataFrame:
    """Return the measures of every cell."""
    index = CellIndex(reader.by)
    lines: list[tuple[Any, ...]] = []
    without = () if "std_error" in reader.columns else ("model_se", "relative_error_model_se")
    for number, columns in gathered(source, index, reader.numbers):
        factors = index.values(number)
        where = ", ".join(f"{name}={value}" for name, value in factors.items()) or source.name
        cell = reader.cell(columns, where)
        cell = dataclasses.replace(cell, null=null_of(null, str(factors.get("estimand"))))
        answers = [*meter.of_estimates(cell, where)]
        answers += meter.of_intervals(cell, where) if reader.has_limits else ()
        lines += [
            (number, name, *numbers(answer), len(cell.estimate))
            for name, answer in answers
            if name not in without
        ]
        for failure in meter.failures():
            raise StudyError(f"performance: {failure}")
    if not lines:
        raise TableError(f"{source.name}: has no rows")
    return _frame(index, lines)


def _frame(index: CellIndex, lines: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Return the lines with the values of their cells, sorted by these."""
    if not index.by:
        return pd.DataFrame([line[1:] for line in lines], columns=list(_MADE))
    cells = index.table().to_pandas()
    cells = cells.sort_values(list(index.by), kind="stable", na_position="last")
    place = np.empty(len(index), dtype=np.int64)
    place[cells.index.to_numpy()] = np.arange(len(index))
    made = pd.DataFrame(lines, columns=["cell", *_MADE])
    order = np.argsort(place[made["cell"].to_numpy()], kind="stable")
    made = made.iloc[order].reset_index(drop=True)
    by = cells.loc[made.pop("cell").to_numpy(), list(index.by)].reset_index(drop=True)
    table: pd.DataFrame = pd.concat([by, made], axis=1)
    return table


def _check_columns(source: Source, by: Sequence[str], columns: Mapping[str, str]) -> None:
    """Raise unless the columns can be read and the result's names are free."""
    for name in by:
        if name not in source.columns:
            raise TableError(_no_column(source, name, "by"))
        if name in _MADE:
            raise TableError(f"{source.name}: by has '{name}', a column of the result; rename it")
    for name in {*by, *columns.values()}:
        if list(source.columns).count(name) > 1:
            raise TableError(f"{source.name}: has two columns '{name}'; rename one")
    if ("lower" in columns) != ("upper" in columns):
        there, lacking = ("lower", "upper") if "lower" in columns else ("upper", "lower")
        raise TableError(
            f"{source.name}: has the limit '{columns[there]}' and no {lacking} one; name it with "
            f"{lacking}=..., or say {there}=None to form both from the standard error"
        )


def _check_asked(measures: Mapping[str, Callable[..., Any]], reader: _Reader) -> None:
    there = {"truth", "estimate", *reader.columns}
    there |= {"lower", "upper"} if reader.has_limits else set()
    for name, function in measures.items():
        lacking = [column for column in columns_asked_for(function) if column not in there]
        if lacking:
            raise TableError(f"measure '{name}' asks for {', '.join(lacking)}, which is not there")


def _constant(value: Any, role: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TableError(f"{role} is {value!r}; give a number or the name of a column")
    if role == "df" and not value > 0:
        raise TableError(f"df is {value!r}; give a number above 0")
    return float(value)


def _no_column(source: Source, name: str, role: str) -> str:
    columns = ", ".join(f"'{column}'" for column in source.columns[:30])
    more = ", ..." if len(source.columns) > 30 else ""
    also = "a number or " if role == "truth" else ""
    return (
        f"{source.name}: has no column '{name}' ({role}); it has {columns or 'none'}{more}; "
        f"give {role}={also}one of them"
    )


def _order(replicate: Floats, where: str) -> NDArray[np.intp] | None:
    """Return the order of the replicates, None if they rise; raise if one occurs twice."""
    if (replicate[1:] > replicate[:-1]).all() and not np.isnan(replicate[:1]).any():
        return None
    order = np.argsort(replicate, kind="stable")
    ordered = replicate[order]
    if np.isnan(ordered[-1]):
        raise TableError(f"a replicate is missing in {where}; number them, or say replicate=None")
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise TableError(
            f"replicate {twice[0]:.0f} occurs more than once in {where}; add to by the column that "
            "tells its rows apart, or say replicate=None"
        )
    return order


def _only(truth: Floats, where: str) -> float:
    """Return the truth of a cell; raise if there are two."""
    other = truth[~((truth == truth[0]) | (np.isnan(truth) & np.isnan(truth[0])))]
    if len(other):
        raise TableError(
            f"the truth varies in {where}: {truth[0]:.6g} and {other[0]:.6g}; add to by the column "
            "that it depends on"
        )
    return float(truth[0])
