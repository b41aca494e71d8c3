"""Two levels of a factor, or two methods: how a measure differs between them, with its error.

Methods see the same data sets, and with common random numbers (``streams="common"``) so do
conditions: replicates are pairs, and the error of a difference is that of the pairs, from what each
replicate contributes to both numbers. Otherwise conditions are independent, and the squares of
their errors add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.load import ConditionRows, MethodRows, rows_by_condition
from mcstudy.analysis.measure_set import measured
from mcstudy.analysis.measures import INTERVAL_MEASURES, MEASURES, Cell
from mcstudy.analysis.precision import errors
from mcstudy.analysis.query import matching, parsed
from mcstudy.analysis.select import (
    Where,
    columns_of,
    factor_columns,
    in_words,
    known_column,
    known_measures,
    labelled,
    labels_of,
    levels_by_row,
    levels_of,
    select,
    varying,
)
from mcstudy.arguments import suggestion
from mcstudy.arrays import Floats
from mcstudy.columns import COUNTS, VALUES, WORDS
from mcstudy.comparison.influence import (
    KNOWN,
    Replicates,
    contributions,
    error_of_difference,
    error_of_truths,
    in_both,
    paired_or_independent,
    test_contributions,
)
from mcstudy.comparison.own_measures import DIFFERENCE, RATIO
from mcstudy.comparison.paired_measures import with_log_limits
from mcstudy.errors import ResultsError
from mcstudy.measure import LEVEL, REJECTION, Z, alphas_of, null_of, rejection_at
from mcstudy.simulation.validation import TEST
from mcstudy.tables.document import Document
from mcstudy.tables.formats import Printed
from mcstudy.truths import mcse_of

_SHOWN = ("bias", "rmse", "coverage", "mean", REJECTION)
"""Measures that are compared where none is named: those of these that there are."""
_WHOLE = 2**62  # bytes: a condition is read in one piece, so that its replicates can be paired
_METHOD = "method"
_PLACE = ("estimand", "interval", "measure")
_GROUPS = 40  # left out one by one of a measure without an influence, as of one's own measures


@dataclass(frozen=True)
class Contrast(Printed):
    """A measure at one level of a factor less that at another one, or over it; ``str`` shows it.

    Parameters
    ----------
    factor : str
        Whose levels are compared; ``"method"`` for methods.
    level, reference : object
        A difference is the measure at the level less that at the reference, a ratio over it.
    frame : DataFrame
        The other factors, method, estimand, interval and measure, then ``value`` (the difference),
        ``mcse``, ``lower``, ``upper``, ``used`` and ``replicates`` (the smaller of the two), and
        ``paired``: whether the error is that of pairs.
    """

    factor: str
    level: Any
    reference: Any
    frame: pd.DataFrame
    ratio: bool = False

    def document(self) -> Document:
        """Return a table of the differences."""
        from mcstudy.tables.table import table  # it imports much that a run does without

        names = [*factor_columns(self.frame), "estimand", "interval"]
        # By their names, which tell the target: 0 of differences, 1 of ratios.
        ending = RATIO if self.ratio else DIFFERENCE
        shown = self.frame.assign(measure=self.frame["measure"] + ending).drop(columns="paired")
        shown.attrs |= self.frame.attrs
        measures = levels_of(shown, "measure")
        across = ["measure"] if self.factor == _METHOD else ["measure", _METHOD]
        block = table(shown, measures, rows=varying(shown, names), columns=across).document()
        one, other = (
            labelled(self.factor, level, labels_of(self.frame))
            for level in (self.level, self.reference)
        )
        title = f"{self.factor}: {one} {'over' if self.ratio else 'less'} {other}"
        return Document(title, [block], [self._note()], [self.frame])

    def _note(self) -> str:
        """Say whether the errors are those of pairs."""
        paired = self.frame["paired"]
        if not paired.any():
            return 'the conditions are independent; streams="common" in the study would pair them'
        if not paired.all():
            left = ", ".join(dict.fromkeys(self.frame["measure"][~paired]))
            return f"paired by replicate, but for {left}: as if the two were independent"
        if self.factor == _METHOD:
            return "paired by replicate: both methods see the same data"
        return "paired by replicate: the conditions have common random numbers"


def contrast(
    folder: Path,
    performance: pd.DataFrame,
    levels: tuple[str, Any, Any],
    *,
    measure: str | Sequence[str] | None = None,
    where: Where = None,
    ratio: bool = False,
    record: Mapping[str, Any],
) -> Contrast:
    """Compare two levels of a factor, or two methods, at each combination of the others.

    Parameters
    ----------
    folder : Path
        With the rows, which are read where they are pairs.
    performance : DataFrame
        The measures.
    levels : (str, level, level)
        The factor, or ``"method"``, a level and the reference.
    measure : str or sequence of str, optional
        Which measures; bias, RMSE, coverage, mean and rejection by default.
    where : mapping or str, optional
        Which cells; see `mcstudy.analysis.select.select`.
    ratio : bool, default False
        The measure at the level over that at the reference, in place of the difference; missing
        where the Monte Carlo limits of one of the two contain 0.
    record : mapping
        The study's.

    Raises
    ------
    ResultsError
        For a factor or level that is not there, or if nothing is left to compare.
    """
    factor, level, reference = asked = _known_levels(performance, levels)
    names = known_measures(performance, measure) if measure is not None else None
    names = names or [name for name in _SHOWN if (performance["measure"] == name).any()]
    some = select(performance, where)
    some = some[some["measure"].isin(names)]
    places = [name for name in (*factor_columns(some), _METHOD, *_PLACE) if name != factor]
    both = in_both(*(_keyed(some, factor, one, places) for one in (level, reference)))
    if both[0].empty:
        raise ResultsError(
            f"contrast: no cell has {', '.join(names)} at both levels of {factor} here"
        )
    paired = factor == _METHOD or record.get("streams") == "common"
    found: dict[tuple[Any, ...], float] = {}
    # Rows are read for pairs, and for measures that rest on simulated true values.
    if (paired or record.get("truth_errors")) and record.get("keep", "rows") == "rows":
        found = {
            (*place, *key): error
            for place, one, other in _fits_of_both(folder, asked)
            for key, error in _errors_between(
                one, other, measures=names, record=record, paired=paired, ratio=ratio
            )
        }
    numbers = _differences(*both, found, ratio=ratio)
    numbers["paired"] &= paired
    frame = both[0][places].reset_index(drop=True).assign(**numbers)
    if factor == _METHOD:
        frame.insert(list(frame.columns).index("estimand"), _METHOD, level)
    frame.attrs |= performance.attrs
    return Contrast(factor, level, reference, frame, ratio)


def _known_levels(performance: pd.DataFrame, levels: tuple[str, Any, Any]) -> tuple[str, Any, Any]:
    """Return the factor and its two levels as the table has them; ResultsError if it has not."""
    factor, *wanted = levels
    known_column(performance, factor)
    if factor in WORDS and factor != _METHOD:
        raise ResultsError(f"contrast: {factor} is no factor; name a factor, or method")
    there = levels_of(performance, factor)
    found = []
    for level in wanted:
        meant = matching(there, level)
        if len(meant) != 1:
            known = [in_words(one) for one in there]
            raise ResultsError(
                f"contrast: no {factor}={level}{suggestion(level, known)} here; it has "
                f"{', '.join(known)}"
            )
        found += meant
    level, reference = found
    if level == reference:
        raise ResultsError(f"contrast: {factor}={in_words(level)} is given twice; name two levels")
    return factor, level, reference


def one_factor(text: str) -> tuple[str, list[str]]:
    """Return the factor and the two levels in ``n=40|10``."""
    pairs = parsed(text, several=True)
    if len(pairs) != 1 or len(next(iter(pairs.values()))) != 2:
        raise ResultsError(
            f"--contrast is {text!r}; write a factor and two levels, the reference last: 'n=40|10'"
        )
    return next(iter(pairs.items()))


def _keyed(some: pd.DataFrame, factor: str, level: Any, places: Sequence[str]) -> pd.DataFrame:
    """Return the cells at a level, known by their levels of the others."""
    kept = some[some[factor].isna() if level is None else some[factor] == level]
    keys = levels_by_row(columns_of(kept), places)
    return kept.set_axis(pd.Index(keys, dtype=object, tupleize_cols=False), axis=0)


def _differences(
    one: pd.DataFrame, other: pd.DataFrame, found: Mapping[tuple[Any, ...], float], *, ratio: bool
) -> dict[str, Any]:
    """Return the differences, or ratios, with their errors and limits, by column."""
    first, second = (of["value"].to_numpy(dtype=float) for of in (one, other))
    own_errors = [errors(of, by_limits=True) for of in (one, other)]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = first / second if ratio else first - second
        weights = (value / first, value / second) if ratio else (1.0, 1.0)
        independent = np.hypot(*(w * e for w, e in zip(weights, own_errors, strict=True)))
    error, known = paired_or_independent(one, other, found, independent, ratio=ratio)
    if not ratio:
        lower, upper = value - Z * error, value + Z * error
    else:
        # A ratio of what may be 0, or of another sign, says nothing.
        told = (abs(first) > Z * own_errors[0]) & (abs(second) > Z * own_errors[1])
        value, error = np.where(told, value, np.nan), np.where(told, error, np.nan)
        made = with_log_limits(value, error, 0)
        lower, upper = made.lower, made.upper
    counts = (np.minimum(*(of[n].to_numpy(dtype=int) for of in (one, other))) for n in COUNTS)
    names = (*VALUES, *COUNTS, "paired")
    return dict(zip(names, (value, error, lower, upper, *counts, known), strict=True))


def _fits_of_both(
    folder: Path, levels: tuple[str, Any, Any]
) -> Iterator[tuple[tuple[Any, ...], MethodRows, MethodRows]]:
    """Yield the fits at both levels, with the others that tell where: methods under a condition.

    Of a factor they are those of each method under two conditions that differ in nothing else.
    """
    factor, level, reference = levels
    waiting: dict[tuple[Any, ...], ConditionRows] = {}
    for rows in rows_by_condition(folder, budget=_WHOLE):
        if factor == _METHOD:
            if level in rows.methods and reference in rows.methods:
                here = tuple(rows.factors.values())
                yield here, rows.methods[level], rows.methods[reference]
        elif rows.factors[factor] in (level, reference):
            others = tuple(value for name, value in rows.factors.items() if name != factor)
            if others not in waiting:
                waiting[others] = rows
                continue
            before = waiting.pop(others)
            one, other = (before, rows) if before.factors[factor] == level else (rows, before)
            for method in one.methods.keys() & other.methods.keys():
                yield (*others, method), one.methods[method], other.methods[method]


def _errors_between(
    one: MethodRows,
    other: MethodRows,
    *,
    measures: Sequence[str],
    record: Mapping[str, Any],
    paired: bool,
    ratio: bool,
) -> Iterator[tuple[tuple[Any, ...], float]]:
    """Yield the error of the difference, or ratio, of each measure between two sets of fits.

    It is not that of two independent numbers, whose errors are known.
    """
    bins = np.linspace(0, max(one.replicate.max(), other.replicate.max()) + 1, _GROUPS + 1)
    for estimand in one.estimands.keys() & other.estimands.keys():
        cells, cells_other = (dict(_cells(of, estimand, measures, record)) for of in (one, other))
        for interval, measure in cells.keys() & cells_other.keys():
            cell, cell_other = cells[interval, measure], cells_other[interval, measure]
            if not paired and not (mcse_of(cell.truth) or mcse_of(cell_other.truth)):
                continue
            value, parts = _contributed(measure, cell, one.replicate, bins)
            value_other, parts_other = _contributed(measure, cell_other, other.replicate, bins)
            weights = (1.0, 1.0)
            if ratio:
                if not (value and value_other):
                    continue
                weights = (1 / value_other, value / value_other**2)
            parts, parts_other = weights[0] * parts, weights[1] * parts_other
            if paired:
                error = error_of_difference(parts, parts_other, one.replicate, other.replicate)
            else:
                error = float(np.sqrt((parts**2).sum() + (parts_other**2).sum()))
            further = error_of_truths(measure, cell, cell_other, weights)
            yield (estimand, interval, measure), float(np.hypot(error, further))


def _cells(
    rows: MethodRows, estimand: str, measures: Sequence[str], record: Mapping[str, Any]
) -> Iterator[tuple[tuple[str | None, str], Cell]]:
    """Yield (interval, measure) and the cell of which it is made."""
    of, null = rows.estimands[estimand], null_of(record.get("null"), estimand)
    for interval, cell in of.cells(null):
        for measure in measures:
            of_this = INTERVAL_MEASURES if interval is not None else MEASURES
            if measure in of_this and (measure != REJECTION or not np.isnan(null)):
                yield (interval, measure), cell
    if of.p_value is not None:
        alphas = rejection_at(alphas_of(record.get("alpha"), record.get("level", LEVEL)))
        for measure in alphas.keys() & {*measures}:
            yield (TEST, measure), replace(of.test(), alpha=alphas[measure])


def _contributed(
    measure: str, cell: Cell, replicate: Replicates, bins: Floats
) -> tuple[float, Floats]:
    """Return a measure of a cell, and what each replicate contributes to it.

    Of one without an influence, such as a median, groups are left out by their numbers, and the
    first replicate of a group stands for all of it. That tells how two of them go together; how
    large the error is the measure itself knows better.
    """
    if cell.p_value is not None or measure == REJECTION:
        return measured(REJECTION, cell).value, test_contributions(cell)
    value, mcse, *_ = measured(measure, cell)
    if measure in KNOWN:
        return value, contributions(measure, cell)
    group = np.digitize(replicate, bins)
    there, first = np.unique(group, return_index=True)
    moved = [measured(measure, cell.at(group != number)).value - value for number in there]
    away = np.array(moved) - np.mean(moved)
    size = float(np.sqrt((away**2).sum()))
    made = np.zeros(len(replicate))
    made[first] = away * (mcse / size if size > 0 else 0.0)
    return value, made
