"""Rows to comparisons: every two methods, on the replicates that both have."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mcstudy.analysis.rows import ConditionRows, EstimandRows, MethodRows, rows_by_condition
from mcstudy.analysis.selection import Where, select
from mcstudy.comparing.pairs import (
    COMPARISONS,
    INTERVAL_COMPARISONS,
    Compared,
    Pair,
    rejection_difference,
)
from mcstudy.errors import ResultsError
from mcstudy.measure import null_of
from mcstudy.printing.table import table

Places: TypeAlias = slice | NDArray[np.intp]
Null: TypeAlias = float | Mapping[str, float] | None

TEXTS = ("method", "reference", "estimand", "interval", "measure")
NUMBERS = ("value", "mcse", "lower", "upper")
COUNTS = ("used", "replicates")
_SHOWN = (
    ("bias_difference", "empirical_se_ratio", "relative_efficiency"),
    ("coverage_difference", "rejection_difference", "width_difference"),
)


def pairs_of(methods: Iterable[str], reference: str | None = None) -> list[tuple[str, str]]:
    """Return (method, reference) pairs: each against `reference`, or else each two of them once.

    Without a reference the alphabetically first of two is the reference, so that the pairs do not
    depend on the order of the methods, nor on which others there are.
    """
    names = sorted(methods)
    if reference is not None:
        return [(name, reference) for name in names if name != reference and reference in names]
    return [(second, first) for first, second in itertools.combinations(names, 2)]


def condition_comparisons(
    rows: ConditionRows, pairs: Sequence[tuple[str, str]], null: Null = None
) -> Iterator[tuple[Any, ...]]:
    """Yield (method, reference, estimand, interval, measure, value, ..., used, replicates).

    Parameters
    ----------
    rows : ConditionRows
        The rows of one condition.
    pairs : sequence of (method, reference)
        Which two to compare; a pair of which one has no rows here is passed over.
    null : float or mapping of str to float, optional
        The value, or that of each estimand, whose rejection is compared.
    """
    for method, reference in pairs:
        if method in rows.methods and reference in rows.methods:
            one, other = rows.methods[method], rows.methods[reference]
            places, other_places, count = matched(one, other)
            for estimand in sorted(one.estimands.keys() & other.estimands.keys()):
                both = (one.estimands[estimand], other.estimands[estimand])
                value = null_of(null, estimand)
                for interval, name, made in _measures(both, places, other_places, value):
                    yield method, reference, estimand, interval, name, *made, count


def matched(one: MethodRows, other: MethodRows) -> tuple[Places, Places, int]:
    """Return where the replicates that both have stand in each, and how many they are."""
    if np.array_equal(one.replicate, other.replicate):
        return slice(None), slice(None), len(one.replicate)
    _, places, other_places = np.intersect1d(
        one.replicate, other.replicate, assume_unique=True, return_indices=True
    )
    return places, other_places, len(places)


def _measures(
    both: tuple[EstimandRows, EstimandRows], places: Places, other: Places, null: float
) -> Iterator[tuple[str | None, str, Compared]]:
    """Yield the comparisons of the estimates, then those of each interval that both give."""
    method, reference = both
    estimates = (method.truth, method.estimate[places], reference.estimate[other])
    for name, measure in COMPARISONS.items():
        yield None, name, _compared(measure, Pair(*estimates))
    measures: dict[str, Callable[[Pair], Compared]] = dict(INTERVAL_COMPARISONS)
    if not np.isnan(null):
        measures["rejection_difference"] = rejection_difference
    for interval in sorted(method.intervals.keys() & reference.intervals.keys()):
        limits = _chosen(method.intervals[interval], places)
        pair = Pair(*estimates, limits, _chosen(reference.intervals[interval], other), null)
        for name, measure in measures.items():
            yield interval, name, _compared(measure, pair)


def _compared(measure: Callable[[Pair], Compared], pair: Pair) -> Compared:
    """Return a comparison; numbers whose squares are beyond the floats give infinite ones."""
    with np.errstate(over="ignore", invalid="ignore"):
        return measure(pair)


def _chosen(
    limits: tuple[NDArray[np.float64], NDArray[np.float64]], places: Places
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return limits[0][places], limits[1][places]


@dataclass
class Comparer:
    """Compares methods as their rows come by, and makes the table `comparisons` of it.

    Parameters
    ----------
    pairs : sequence of (method, reference), optional
        In place of those that `pairs_of` gives.
    reference : str, optional
        Against which every method is compared.
    null : float or mapping of str to float, optional
        The value, or that of each estimand, whose rejection is compared.
    """

    pairs: Sequence[tuple[str, str]] | None = None
    reference: str | None = None
    null: Null = None
    _lines: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, rows: ConditionRows) -> None:
        """Compare the methods of a condition, or of a piece of it."""
        pairs = pairs_of(rows.methods, self.reference) if self.pairs is None else self.pairs
        lines = condition_comparisons(rows, pairs, self.null)
        self._lines += [(rows.condition, *line) for line in lines]

    def table(self, folder: Path) -> pa.Table:
        """Return the comparisons of all rows seen, which are those of the tables in `folder`.

        Returns
        -------
        pyarrow.Table
            Factors, method, reference, estimand, interval, measure, value, mcse, lower, upper, used
            and replicates: those that both methods have.
        """
        conditions = pq.read_table(folder / "conditions.parquet")
        order = {key: place for place, key in enumerate(conditions["condition"].to_pylist())}
        lines = [(order[condition], *line) for condition, *line in self._lines]
        lines.sort(key=lambda line: (*line[:4], line[4] or ""))
        columns = list(zip(*lines, strict=True)) or [()] * (1 + len(TEXTS + NUMBERS + COUNTS))
        made = conditions.drop_columns(["condition"]).take(pa.array(columns[0], pa.int64()))
        for name, column in zip(TEXTS + NUMBERS + COUNTS, columns[1:], strict=True):
            kind = pa.string() if name in TEXTS else pa.float64() if name in NUMBERS else pa.int64()
            made = made.append_column(name, pa.array(column, kind, from_pandas=name in NUMBERS))
        return made


@dataclass(frozen=True)
class Comparison:
    """A method against a reference on the same data; ``str`` shows it.

    Parameters
    ----------
    method, reference : str
        A difference is the method's number less the reference's, a ratio over it.
    frame : DataFrame
        As the table `comparisons`.
    """

    method: str
    reference: str
    frame: pd.DataFrame

    def __str__(self) -> str:
        texts = []
        for kind in _SHOWN:
            measures = [name for name in kind if (self.frame["measure"] == name).any()]
            cells = self.frame[self.frame["measure"].isin(measures)]
            if len(cells):
                rows = [n for n in _splits(cells) if cells[n].nunique(dropna=False) > 1]
                laid = table(cells, measures, rows=rows, columns=["measure"])
                texts.append(str(laid))
        title = f"{self.method} against {self.reference}, paired by replicate"
        return "\n\n".join([title, *texts])


def _splits(frame: pd.DataFrame) -> list[str]:
    """Return the factors, the estimand and the interval of a table of comparisons."""
    factors = [str(name) for name in frame.columns[: frame.columns.get_loc("method")]]
    return [*factors, "estimand", "interval"]


def compare(
    folder: Path, method: str, reference: str, *, where: Where = None, null: Null = None
) -> Comparison:
    """Compare a method with a reference on the replicates that both have.

    Raises
    ------
    ResultsError
        If there is no such method, or they share no replicate.
    """
    comparer = Comparer(pairs=[(method, reference)], null=null)
    for rows in rows_by_condition(folder):
        comparer.add(rows)
    frame = select(comparer.table(folder).to_pandas(), where)
    if frame.empty:
        raise ResultsError(f"{method} and {reference} have no replicate or estimand in common here")
    return Comparison(method, reference, frame)


def check_pair(known: Sequence[str], method: str, reference: str) -> None:
    """Raise ResultsError unless both are methods of the results, and two of them."""
    for name in (method, reference):
        if name not in known:
            raise ResultsError(f"no method {name!r} here; there are {', '.join(known)}")
    if method == reference:
        raise ResultsError(f"{method!r} is given twice; name two methods")
