"""Rows to measures: the table `performance`, every number with its MCSE."""

from __future__ import annotations

import functools
import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from mcstudy.analysis.custom import Custom, customs
from mcstudy.analysis.load import ConditionRows, EstimandRows, MethodRows, condition_rows
from mcstudy.analysis.mcse import wilson
from mcstudy.analysis.measures import (
    INTERVAL_MEASURES,
    MEASURES,
    NEED_STD_ERROR,
    NEED_TRUTH,
    Cell,
    share,
    share_of,
)
from mcstudy.analysis.normal_theory import NORMAL_MCSE
from mcstudy.analysis.simulated_truth import with_error_of_truth
from mcstudy.columns import COUNTS, VALUES, WARNED
from mcstudy.measure import (
    MISSING,
    REJECTION,
    WITHOUT_TRUTH,
    Measured,
    alphas_of,
    null_of,
    rejection_at,
)
from mcstudy.method import Status
from mcstudy.simulation.call import attempt, in_words
from mcstudy.simulation.validation import STATUSES, TEST
from mcstudy.storage.export import conditions_table
from mcstudy.storage.rows import StudyRows

Line = tuple[Any, ...]
_LINES = 2**12  # that are held as such at a time: 2 MB


def measured_rows(
    rows: StudyRows,
    *,
    measures: Mapping[str, Callable[..., Any]] | None = None,
    null: float | Mapping[str, float] | None = None,
    alphas: Sequence[float] = alphas_of(None, None),
    tell: Callable[[str], None] | None = None,
    also: Callable[[ConditionRows], None] | None = None,
) -> pa.Table:
    """Return the measures of every cell of the rows of a study.

    Shares of statuses have no estimand, measures of estimates no interval. `measures`, `null` and
    `alphas`, the levels of tests, are those of the study; `tell` hears in a line of each of the
    user's measures that raises, and its value is missing there; `also` gets the rows too, piece by
    piece, to be read once.
    """
    conditions = conditions_table(rows.conditions)
    meter = MeasureSet(customs(measures or {}), alphas)
    lines = Lines()
    for piece in condition_rows(rows):
        key, here = piece.condition, meter.at(piece.factors)
        if also is not None:
            also(piece)
        for method, fits in piece.methods.items():
            where = f"{piece.condition}, method {method}"
            count = len(fits.replicate)
            if piece.first:
                lines.add((key, method, *line, count) for line in _status_lines(fits))
            for estimand, of in fits.estimands.items():
                lines.add(
                    (key, method, estimand, *line, count)
                    for line in here.lines(of, null_of(null, estimand), estimand, where)
                )
    if tell is not None:
        for text in meter.failures():
            tell(text)
    return lines.table(conditions)


def measured(measure: str, cell: Cell, *, normal: bool = False) -> Measured:
    """Return a built-in measure of a cell; with `normal` its MCSE is the published formula's."""
    of = MEASURES.get(measure) or INTERVAL_MEASURES[measure]

    def measure_of(cell: Cell) -> Measured:
        answer = of(cell)
        if normal and measure in NORMAL_MCSE and answer.used:
            limits = wilson(answer.value, answer.used) if answer.limits else None
            return answer._replace(mcse=NORMAL_MCSE[measure](cell, answer), limits=limits)
        return answer

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if measure in NEED_TRUTH:
            return with_error_of_truth(measure_of, cell)
        return measure_of(cell)


@dataclass
class MeasureSet:
    """Measures cells, and remembers which of the user's measures raised."""

    own: list[Custom] = field(default_factory=list)
    alphas: Sequence[float] = alphas_of(None, None)
    normal: bool = False
    _failed: dict[str, list[str]] = field(default_factory=dict)

    def at(self, levels: Mapping[str, Any]) -> MeasureSet:
        """Return the same for a condition, whose levels the user's measures may ask for."""
        if not any(custom.factors for custom in self.own):
            return self
        return replace(self, own=[custom.at(levels) for custom in self.own])

    def lines(self, rows: EstimandRows, null: float, estimand: str, where: str) -> Iterator[Line]:
        """Yield (interval, measure, value, mcse, lower, upper, used) of a method's estimand."""
        where = f"{where}, {estimand}"
        for interval, cell in rows.cells(null):
            if interval is None:
                found = self.of_estimates(cell, where, estimand)
            else:
                found = self.of_intervals(cell, f"{where}, interval {interval}", estimand)
            for name, answer in found:
                yield interval, name, *numbers(answer)
        if rows.p_value is not None:
            for name, answer in self.of_tests(rows.test(), where, estimand):
                yield TEST, name, *numbers(answer)

    def of_estimates(
        self, cell: Cell, where: str = "", estimand: str | None = None
    ) -> Iterator[tuple[str, Measured]]:
        """Yield name and value of the measures that need no interval."""
        names = [name for name in MEASURES if name not in WITHOUT_TRUTH]
        if not cell.has_truth:
            absent = NEED_TRUTH | {measure.name for measure in self.own}
            absent |= set() if np.isfinite(cell.std_error).any() else NEED_STD_ERROR
            names = [name for name in (*WITHOUT_TRUTH, *names) if name not in absent]
        for name in names:
            yield name, measured(name, cell, normal=self.normal)
        yield from self._own(cell, where, estimand, kind="")

    def of_intervals(
        self, cell: Cell, where: str = "", estimand: str | None = None
    ) -> Iterator[tuple[str, Measured]]:
        """Yield name and value of the measures of an interval; `rejection` if there is a null."""
        absent = () if cell.has_truth else NEED_TRUTH
        for name in INTERVAL_MEASURES:
            if name not in absent and (name != "rejection" or not np.isnan(cell.null)):
                yield name, measured(name, cell, normal=self.normal)
        yield from self._own(cell, where, estimand, kind="interval")

    def of_tests(
        self, cell: Cell, where: str = "", estimand: str | None = None
    ) -> Iterator[tuple[str, Measured]]:
        """Yield name and value of the measures of a test: how often it rejects, at each level."""
        for name, alpha in rejection_at(self.alphas).items():
            yield name, measured(REJECTION, replace(cell, alpha=alpha), normal=self.normal)
        yield from self._own(cell, where, estimand, kind=TEST)

    def failures(self) -> list[str]:
        """Return in a line for each of the user's measures that raised where that was, and why."""
        return [
            f"measure '{name}' fails in {len(texts)} cell{'s' * (len(texts) > 1)} and is missing "
            f"there; first: {texts[0]}"
            for name, texts in self._failed.items()
        ]

    def _own(
        self, cell: Cell, where: str, estimand: str | None, *, kind: str
    ) -> Iterator[tuple[str, Measured]]:
        for measure in self.own:
            if measure.kind == kind and measure.estimand in (None, estimand):
                step = functools.partial(with_error_of_truth, measure, cell.as_given or cell)
                outcome = attempt(step, None)
                if outcome.exception is not None:
                    text = f"{where}: {in_words(outcome.exception)}"
                    self._failed.setdefault(measure.name, []).append(text)
                yield measure.name, outcome.value or MISSING


def numbers(answer: Measured) -> tuple[float, float, float, float, int]:
    """Return value, mcse, lower, upper and used."""
    return answer.value, answer.mcse, answer.lower, answer.upper, answer.used


def numbers_by_row(answer: Measured, count: int) -> Iterator[tuple[Any, ...]]:
    """Return the `numbers` of each of several cells that were measured at once."""
    return zip(*(np.broadcast_to(of, count).tolist() for of in numbers(answer)), strict=True)


def _status_lines(rows: MethodRows) -> Iterator[Line]:
    counts = np.bincount(rows.status_code, minlength=len(STATUSES))
    for word, count in zip(STATUSES, counts.tolist(), strict=True):
        if count or word != Status.SKIPPED:
            yield None, None, f"share_{word}", *numbers(share_of(count, len(rows.status_code)))
    yield None, None, WARNED, *numbers(share(rows.warned))


class Lines:
    """The lines of a table of measures, held in columns.

    Each begins with the key of its condition; `words` name the columns before the numbers.
    """

    def __init__(
        self, words: Sequence[str] = ("method", "estimand", "interval", "measure")
    ) -> None:
        self._words: dict[str, list[str | None]] = {name: [] for name in words}
        self._conditions: list[str] = []
        self._values = {name: array("d") for name in VALUES}
        self._counts = {name: array("q") for name in COUNTS}

    def add(self, lines: Iterable[Line]) -> None:
        """Add some lines."""
        into = (self._conditions, *(self._words | self._values | self._counts).values())
        lines = iter(lines)
        while some := list(itertools.islice(lines, _LINES)):
            for column, values in zip(into, zip(*some, strict=True), strict=True):
                column.extend(values)

    def table(self, conditions: pa.Table) -> pa.Table:
        """Return the table with the factors of the conditions, sorted by all words but the last."""
        import pyarrow.compute as pc  # not above: a run with nothing missing does without

        texts = {name: pa.array(texts, pa.string()) for name, texts in self._words.items()}
        places = {key: place for place, key in enumerate(conditions["condition"].to_pylist())}
        place = pa.array([places[key] for key in self._conditions], pa.int64())
        keys = {"": place} | {name: pc.fill_null(text, "") for name, text in texts.items()}
        wanted = [(name, "ascending") for name in list(keys)[:-1]]
        order = pc.sort_indices(pa.table(keys), sort_keys=wanted)  # stable: measures as they come
        table = conditions.take(place)
        for name, column in (texts | self._numbers()).items():
            table = table.append_column(name, column)
        return table.drop_columns(["condition"]).take(order)

    def _numbers(self) -> dict[str, pa.Array]:
        """Return the columns of numbers; NaN is missing."""
        made = {n: pa.array(np.array(of), from_pandas=True) for n, of in self._values.items()}
        return made | {n: pa.array(np.array(of, np.int64)) for n, of in self._counts.items()}
