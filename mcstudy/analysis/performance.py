"""Rows to measures: bias, coverage and the rest, each with its Monte Carlo standard error (MCSE).

A measure is a pure function of a `Cell` that returns a `Measured`. Where estimates are skewed, as
variance estimates are, the normal-theory MCSE of an empirical SE or an RMSE is wrong; these use
the jackknife, in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mcstudy.method import Status

Floats = NDArray[np.float64]


class Measured(NamedTuple):
    """A measure's value, its MCSE, and how many replicates it rests on. NaN: does not exist."""

    value: float
    mcse: float
    used: int


@dataclass(frozen=True)
class Cell:
    """What one method said of one estimand under one condition, by replicate; NaN is missing.

    Parameters
    ----------
    truth : float
        The true value.
    estimate, std_error : arrays of shape (R,)
        In the estimand's units.
    lower, upper : arrays of shape (R,), optional
        The limits of one interval.
    """

    truth: float
    estimate: Floats
    std_error: Floats
    lower: Floats | None = None
    upper: Floats | None = None


def bias(cell: Cell) -> Measured:
    """Mean error; MCSE sd/sqrt(n) (Morris, White & Crowther 2019, Table 6)."""
    return _mean(_finite(cell.estimate) - cell.truth)


def relative_bias(cell: Cell) -> Measured:
    """Mean error over the truth; MCSE sd/sqrt(n). Does not exist where the truth is 0."""
    if cell.truth == 0:
        return Measured(np.nan, np.nan, 0)
    return _mean((_finite(cell.estimate) - cell.truth) / cell.truth)


def empirical_se(cell: Cell) -> Measured:
    """Spread of the estimates, their standard deviation; jackknife MCSE."""
    x = _finite(cell.estimate)
    n = len(x)
    if n < 2:
        return Measured(np.nan, np.nan, n)
    square = (x - x.mean()) ** 2
    value = np.sqrt(square.sum() / (n - 1))
    if n < 3:
        return Measured(value, np.nan, n)
    left_out = (square.sum() - n / (n - 1) * square) / (n - 2)
    return Measured(value, _jackknife(np.sqrt(np.maximum(left_out, 0))), n)


def mse(cell: Cell) -> Measured:
    """Mean squared error; MCSE sd/sqrt(n) of the squared errors."""
    return _mean((_finite(cell.estimate) - cell.truth) ** 2)


def rmse(cell: Cell) -> Measured:
    """Root of the mean squared error; jackknife MCSE."""
    return _root_mean((_finite(cell.estimate) - cell.truth) ** 2)


def model_se(cell: Cell) -> Measured:
    """Root of the mean squared standard error; jackknife MCSE."""
    return _root_mean(_finite(cell.std_error) ** 2)


def coverage(cell: Cell) -> Measured:
    """Share of intervals that contain the truth; binomial MCSE."""
    lower, upper = _limits(cell)
    return share((lower <= cell.truth) & (cell.truth <= upper))


def width(cell: Cell) -> Measured:
    """Mean width of the finite intervals; MCSE sd/sqrt(n)."""
    lower, upper = _limits(cell)
    finite = np.isfinite(lower) & np.isfinite(upper)
    return _mean(upper[finite] - lower[finite])


MEASURES: Mapping[str, Callable[[Cell], Measured]] = {
    "bias": bias,
    "relative_bias": relative_bias,
    "empirical_se": empirical_se,
    "mse": mse,
    "rmse": rmse,
    "model_se": model_se,
}
INTERVAL_MEASURES: Mapping[str, Callable[[Cell], Measured]] = {
    "coverage": coverage,
    "width": width,
}


def performance_table(folder: Path) -> pa.Table:
    """Return the measures of every cell of the tables in `folder`.

    Returns
    -------
    pyarrow.Table
        One column per factor, then method, estimand, interval, measure, value, mcse, used and
        replicates. Shares of statuses have no estimand, measures of estimates no interval.
    """
    conditions = pq.read_table(folder / "conditions.parquet")
    order = {key: i for i, key in enumerate(conditions["condition"].to_pylist())}
    lines = [
        (order[condition], *line)
        for condition, tables in _by_condition(folder)
        for line in _condition_lines(tables)
    ]
    return assembled(conditions, lines)


def assembled(conditions: pa.Table, lines: list[tuple[Any, ...]]) -> pa.Table:
    """Return the table of measures, sorted, from lines that begin with the place of a condition."""
    lines.sort(key=lambda line: (line[0], line[1], line[2] or "", line[3] or ""))
    columns = list(zip(*lines, strict=True)) or [()] * 9
    factors = conditions.drop_columns(["condition"]).take(pa.array(columns[0], pa.int64()))
    texts = ("method", "estimand", "interval", "measure")
    for name, column in zip(texts, columns[1:5], strict=True):
        factors = factors.append_column(name, pa.array(column, pa.string()))
    for name, column in zip(("value", "mcse"), columns[5:7], strict=True):
        factors = factors.append_column(name, pa.array(column, pa.float64(), from_pandas=True))
    for name, column in zip(("used", "replicates"), columns[7:], strict=True):
        factors = factors.append_column(name, pa.array(column, pa.int64()))
    return factors


def _condition_lines(tables: Mapping[str, pa.Table]) -> Iterator[tuple[Any, ...]]:
    """Yield (method, estimand, interval, measure, value, mcse, used, replicates)."""
    replicates: dict[str, int] = {}
    for (method,), rows in _split(tables["fits"], "method"):
        replicates[method] = rows.num_rows
        status = rows["status"].to_numpy(zero_copy_only=False)
        for word in Status:
            measured = share(status == str(word))
            yield method, None, None, f"share_{word}", *measured, rows.num_rows
    cells: dict[tuple[str, ...], Cell] = {}
    for key, rows in _split(tables["estimates"], "method", "estimand"):
        truth = rows["truth"][0].as_py()
        cell = Cell(
            np.nan if truth is None else truth,
            _floats(rows["estimate"]),
            _floats(rows["std_error"]),
        )
        cells[key] = cell
        for name, measure in MEASURES.items():
            yield *key, None, name, *measure(cell), replicates[key[0]]
    for key, rows in _split(tables["intervals"], "method", "estimand", "interval"):
        cell = cells[key[:2]]
        limits = Cell(
            cell.truth,
            cell.estimate,
            cell.std_error,
            _floats(rows["lower"]),
            _floats(rows["upper"]),
        )
        for name, measure in INTERVAL_MEASURES.items():
            yield *key, name, *measure(limits), replicates[key[0]]


def _by_condition(folder: Path) -> Iterator[tuple[str, dict[str, pa.Table]]]:
    """Yield each condition's rows of fits, estimates and intervals, one condition at a time."""
    names = ("fits", "estimates", "intervals")
    streams = {name: _row_groups(folder / f"{name}.parquet") for name in names}
    heads = {name: next(stream, None) for name, stream in streams.items()}
    while (head := heads["fits"]) is not None:
        found: dict[str, list[pa.Table]] = {name: [] for name in names}
        for name, stream in streams.items():
            while (ahead := heads[name]) is not None and ahead[0] == head[0]:
                found[name].append(ahead[1])
                heads[name] = next(stream, None)
        yield head[0], {name: pa.concat_tables(t) if t else None for name, t in found.items()}


def _row_groups(path: Path) -> Iterator[tuple[str, pa.Table]]:
    """Yield (condition, rows); no row group of ours crosses conditions."""
    unused = {"message", "condition", "replicate"}
    with pq.ParquetFile(path) as file:
        columns = [name for name in file.schema_arrow.names if name not in unused]
        for index in range(file.num_row_groups):
            condition = file.read_row_group(index, columns=["condition"])["condition"][0].as_py()
            yield condition, file.read_row_group(index, columns=columns)


def _split(table: pa.Table | None, *by: str) -> Iterator[tuple[tuple[str, ...], pa.Table]]:
    """Yield the rows of each combination, in their order."""
    if table is None:
        return
    code = np.zeros(table.num_rows, dtype=np.int64)
    words = []
    for name in by:
        column = table[name].combine_chunks().dictionary_encode()
        words.append(column.dictionary.to_pylist())
        code = code * len(words[-1]) + column.indices.to_numpy()
    order = np.argsort(code, kind="stable")
    values, starts = np.unique(code[order], return_index=True)
    for value, rows in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
        key = []
        for known in reversed(words):
            value, index = divmod(value, len(known))
            key.append(known[index])
        yield tuple(reversed(key)), table.take(pa.array(rows))


def _floats(column: Any) -> Floats:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _limits(cell: Cell) -> tuple[Floats, Floats]:
    """Return the limits of the intervals that exist."""
    assert cell.lower is not None
    assert cell.upper is not None
    exist = ~(np.isnan(cell.lower) | np.isnan(cell.upper))
    return cell.lower[exist], cell.upper[exist]


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _mean(x: Floats) -> Measured:
    n = len(x)
    if n == 0:
        return Measured(np.nan, np.nan, 0)
    with np.errstate(over="ignore"):
        return Measured(x.mean(), x.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan, n)


def _root_mean(squares: Floats) -> Measured:
    """Root of a mean of squares, with its jackknife MCSE."""
    n = len(squares)
    if n == 0:
        return Measured(np.nan, np.nan, 0)
    total = squares.sum()
    value = np.sqrt(total / n)
    if n < 2:
        return Measured(value, np.nan, n)
    return Measured(value, _jackknife(np.sqrt(np.maximum(total - squares, 0) / (n - 1))), n)


def share(hit: NDArray[np.bool_]) -> Measured:
    """Share of true values; binomial MCSE."""
    n = len(hit)
    if n == 0:
        return Measured(np.nan, np.nan, 0)
    p = hit.mean()
    return Measured(p, np.sqrt(p * (1 - p) / n), n)


def _jackknife(left_out: Floats) -> float:
    """Jackknife standard error from the statistics with one replicate left out (Efron 1982)."""
    n = len(left_out)
    return float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
