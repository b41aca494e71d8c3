"""Anybody's replicates to measures: `performance` of a table, from mcstudy or not."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from mcstudy.analysis.custom import customs
from mcstudy.analysis.measure_set import MeasureSet
from mcstudy.analysis.measure_table import numbers
from mcstudy.arguments import short
from mcstudy.errors import StudyError, TableError
from mcstudy.external.cell_index import CellIndex
from mcstudy.external.columns import MADE, ColumnMap, Truth, given_truth, name_of, names_of_columns
from mcstudy.external.group import Columns, gathered
from mcstudy.external.readers import open_source
from mcstudy.external.table_source import Source
from mcstudy.measure import alphas_of, check_alpha, check_measures, check_null, null_of
from mcstudy.simulation.validation import TEST

LONG = 2**14  # rows: threads that measure shorter cells only wait for each other, as was measured
AHEAD = 2**19  # rows of cells that wait for a thread, 4 MB a column
THREADS = 2  # that measure: more would wait for the one that reads
Gathered: TypeAlias = tuple[int, Columns]
B = TypeVar("B")


def performance(
    data: Any,
    *,
    truth: Truth = "truth",
    by: Sequence[str] | str = (),
    estimate: str = "estimate",
    std_error: str | None = "std_error",
    lower: str | None = "lower",
    upper: str | None = "upper",
    replicate: str | None = "replicate",
    level: float = 0.95,
    df: float | str | None = None,
    null: float | Mapping[str, float] | None = None,
    p_value: str | None = "p_value",
    alpha: float | Sequence[float] | None = None,
    mcse: str = "jackknife",
    measures: Mapping[str, Callable[..., Any]] | None = None,
    own_truths: bool = False,
) -> pd.DataFrame:
    """Return the performance measures of any table with a row per replicate.

    Parameters
    ----------
    data : data frame, Arrow dataset, or path
        The replicates. A frame is one of pandas, Polars or Arrow, or of any library whose frames
        have the Arrow stream interface or `to_pandas`. A path names a Parquet file, a folder of
        them, or a CSV or TSV file, also compressed by gzip; NA is missing there.
    truth : float, str or mapping, default "truth"
        The true value, or the column that has it; None where there is none, as of a test error.
        True values by the levels of a column of `by` are ``{"estimand": {"slope": 1.0}}``.
    by : sequence of str, or str, optional
        The columns whose values tell the cells apart: factors, method, estimand; a text has commas
        between them. A missing value is a value of its own.
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
    p_value : str, optional
        The column of the p-values of a test; `rejection` is that of the test then. A table of tests
        alone needs no estimates and no truth.
    alpha : float or sequence of float, optional
        The levels at which p-values reject, as in a `Study`; what intervals leave out by default.
    mcse : {"jackknife", "normal"}
        "normal" gives the published formulas, as rsimsum and Stata's simsum do.
    measures : mapping of str to callable, optional
        Measures of your own, as in a `Study`.
    own_truths : bool, default False
        Whether each replicate has a true value of its own, as that of a sample or of a random
        parameter. Measures are those of the errors then; a truth that varies is refused otherwise.

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
    source = open_source(data)
    names = names_of_columns(by, source)
    if mcse not in ("jackknife", "normal"):
        raise StudyError(f"performance: mcse is {mcse!r}; say 'jackknife' or 'normal'")
    check_measures({} if measures is None else measures, "performance", names)
    own = dict(measures or {})
    check_null(null, "performance", names)
    check_alpha(alpha, "performance")
    names_of: dict[str, Any] = {
        "estimate": estimate,
        "std_error": std_error,
        "lower": lower,
        "upper": upper,
    }
    by_level = truth if isinstance(truth, Mapping) else None
    if by_level is not None and not (len(by_level) == 1 and {*by_level} <= {*names}):
        raise TableError(
            f"truth is {short(truth)}; give a number, a column, or true values by the levels of a "
            "column of by, {'estimand': {'slope': 1.0}}"
        )
    single = None if by_level is not None else truth
    names_of |= {"replicate": replicate, "truth": single, "df": df, TEST: p_value}
    roles = ColumnMap.of(source, names, names_of, level=level, own_truths=own_truths)
    roles.check_measures(own)
    try:
        meter = MeasureSet(customs(own), alphas_of(alpha, level), normal=mcse == "normal")
        return _measured(source, roles, meter, null, by_level)
    except pa.ArrowNotImplementedError as error:  # of lists and the like, which are no levels
        reason = " ".join(str(error).split())
        raise TableError(
            f"{source.name}: by has values that tell no cells apart: {reason}"
        ) from None


def _measured(
    source: Source,
    roles: ColumnMap,
    meter: MeasureSet,
    null: float | Mapping[str, float] | None,
    truth: Mapping[str, Mapping[Any, float]] | None,
) -> pd.DataFrame:
    """Return the measures of every cell."""
    index = CellIndex(roles.by)
    without = () if "std_error" in roles.columns else ("model_se", "relative_error_model_se")

    def measured(gathered_cell: Gathered) -> list[tuple[Any, ...]]:
        number, columns = gathered_cell
        factors = index.values(number)
        where = ", ".join(f"{name}={value}" for name, value in factors.items()) or source.name
        cell = roles.cell(columns, where)
        if truth is not None:
            known = given_truth(truth, factors, source.name)
            cell = dataclasses.replace(cell, truth=known, has_truth=True)
        tested = cell.p_value is not None
        # One rejection rate to a cell: that of the test where there is one.
        null_value = np.nan if tested else null_of(null, name_of(factors.get("estimand")))
        plain = dataclasses.replace(cell, null=null_value, p_value=None).about_truth()
        of = factors.get("estimand"), where
        here = meter.at(factors)
        answers = [*here.of(plain, "", *of)] if roles.has_estimates else []
        answers += here.of(plain, "interval", *of) if roles.has_limits else ()
        answers += here.of(cell, TEST, *of) if tested else ()
        return [
            (number, name, *numbers(answer), len(cell.estimate))
            for name, answer in answers
            if name not in without
        ]

    # A measure of the user's own is called where the user calls: it may know of no threads.
    threads = 0 if meter.own else THREADS
    lines: list[tuple[Any, ...]] = []
    for some in _ahead(measured, gathered(source, index, roles.numbers), threads):
        lines += some
        for failure in meter.failures():
            raise StudyError(f"performance: {failure}")
    if not lines:
        raise TableError(f"{source.name}: has no rows")
    seen = {name_of(index.values(number).get("estimand")) for number in range(len(index))}
    if isinstance(null, Mapping) and (unknown := [name for name in null if name not in seen]):
        raise TableError(
            f"null names {unknown[0]!r}, which is no estimand here; there are "
            f"{', '.join(sorted(seen))}"
        )
    made = pd.DataFrame(lines, columns=["cell", *MADE]).set_index("cell")
    if index.by:
        cells = index.table().to_pandas()
        made = cells.sort_values(list(index.by), kind="stable", na_position="last").join(made)
    return made.reset_index(drop=True)


def _ahead(
    function: Callable[[Gathered], B], cells: Iterable[Gathered], threads: int
) -> Iterator[B]:
    """Yield what a function makes of each cell, in order; long ones are left to other threads.

    Reading and numpy's loops over long arrays let other threads work meanwhile.
    """
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        waiting: deque[tuple[int, Future[B]]] = deque()
        rows = 0
        for cell in cells:
            length = len(cell[1][0])
            if threads and length >= LONG:
                future = pool.submit(function, cell)
            else:
                future = Future()
                future.set_result(function(cell))
            waiting.append((length, future))
            rows += length
            while rows > (AHEAD if threads else 0):
                length, future = waiting.popleft()
                yield future.result()
                rows -= length
        for _, future in waiting:
            yield future.result()
