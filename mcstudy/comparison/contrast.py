"""Two levels of a factor, or two methods: how a measure differs between them, with its error.

Methods see the same data sets, and with common random numbers (``streams="common"``) so do
conditions: replicates are pairs, and the error of a difference is that of the pairs, from what each
replicate contributes to both numbers. Otherwise conditions are independent, and the squares of
their errors add up.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.load import ConditionRows, MethodRows, rows_by_condition
from mcstudy.analysis.measure_set import measured
from mcstudy.analysis.measures import INTERVAL_MEASURES, MEASURES, Cell
from mcstudy.analysis.precision import errors, shares
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
from mcstudy.arrays import Floats
from mcstudy.columns import WORDS
from mcstudy.comparison.influence import (
    KNOWN,
    Replicates,
    contributions,
    error_of_difference,
    error_of_truths,
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

        measures = levels_of(self.frame, "measure")
        names = [*factor_columns(self.frame), "estimand", "interval"]
        # By their names, which tell the target: 0 of differences, 1 of ratios.
        ending = RATIO if self.ratio else DIFFERENCE
        shown = self.frame.assign(measure=self.frame["measure"] + ending).drop(columns="paired")
        shown.attrs |= self.frame.attrs
        measures = [f"{name}{ending}" for name in measures]
        across = ["measure"] if self.factor == _METHOD else ["measure", _METHOD]
        block = table(shown, measures, rows=varying(shown, names), columns=across).document()
        one, other = (
            labelled(self.factor, level, labels_of(self.frame))
            for level in (self.level, self.reference)
        )
        title = f"{self.factor}: {one} {'over' if self.ratio else 'less'} {other}"
        paired = self.frame["paired"]
        note = (
            "paired by replicate: "
            + (
                "both methods see the same data"
                if self.factor == _METHOD
                else "the conditions have common random numbers"
            )
            if paired.all()
            else 'the conditions are independent; streams="common" in the study would pair them'
        )
        if paired.any() and not paired.all():
            left = ", ".join(dict.fromkeys(self.frame["measure"][~paired]))
            note = f"paired by replicate, but for {left}: as if the two were independent"
        return Document(title, [block], [note], [self.frame])


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
    factor, *wanted = levels
    known_column(performance, factor)
    if factor in WORDS and factor != _METHOD:
        raise ResultsError(f"contrast: {factor} is no factor; name a factor, or method")
    there = levels_of(performance, factor)
    found = []
    for level in wanted:
        meant = matching(there, level)
        if len(meant) != 1:
            known = ", ".join(in_words(one) for one in there)
            raise ResultsError(f"contrast: no {factor}={level} here; it has {known}")
        found += meant
    level, reference = found
    if level == reference:
        raise ResultsError(f"contrast: {factor}={in_words(level)} is given twice; name two levels")
    names = known_measures(performance, measure) if measure is not None else None
    names = names or [name for name in _SHOWN if (performance["measure"] == name).any()]
    some = select(performance, where)
    some = some[some["measure"].isin(names) & some["value"].notna()]
    both = _joined(some, factor, level, reference)
    if both.empty:
        raise ResultsError(
            f"contrast: no cell has {', '.join(names)} at both levels of {factor} here"
        )
    asked = (factor, level, reference)
    paired_errors = _paired_errors(folder, asked, names, record, ratio=ratio)
    paired = factor == _METHOD or record.get("streams") == "common"
    frame = _differences(both, paired_errors, paired=paired, ratio=ratio)
    if factor == _METHOD:
        frame.insert(list(frame.columns).index("estimand"), _METHOD, level)
    frame.attrs |= performance.attrs
    return Contrast(factor, level, reference, frame, ratio)


def one_factor(text: str) -> tuple[str, list[str]]:
    """Return the factor and the two levels in ``n=40|10``."""
    pairs = parsed(text, several=True)
    if len(pairs) != 1 or len(next(iter(pairs.values()))) != 2:
        raise ResultsError(
            f"--contrast is {text!r}; write a factor and two levels, the reference last: 'n=40|10'"
        )
    return next(iter(pairs.items()))


def _joined(some: pd.DataFrame, factor: str, level: Any, reference: Any) -> pd.DataFrame:
    """Return the cells at both levels beside one another, in columns _a and _b, by their names."""
    names = [*factor_columns(some), _METHOD, *_PLACE]
    names.remove(factor)
    sides = []
    for one in (level, reference):
        kept = some[some[factor].isna() if one is None else some[factor] == one]
        keys = levels_by_row(columns_of(kept), names)
        sides.append(kept.set_axis(pd.Index(keys, dtype=object, tupleize_cols=False), axis=0))
    numbers = ["value", "mcse", "lower", "upper", "used", "replicates", "measure"]
    both = sides[0][numbers].add_suffix("_a").join(sides[1][numbers].add_suffix("_b"), how="inner")
    labels = sides[0].loc[both.index, names]
    return pd.concat([labels, both], axis=1)


def _differences(
    both: pd.DataFrame, found: Mapping[tuple[Any, ...], float], *, paired: bool, ratio: bool
) -> pd.DataFrame:
    """Return the differences, or ratios, with their errors and limits."""
    columns = ("value", "mcse", "lower", "upper", "used", "replicates", "measure")
    one, other = (
        both[[f"{name}_{side}" for name in columns]].set_axis(columns, axis=1) for side in "ab"
    )
    first, second = (of["value"].to_numpy(dtype=float) for of in (one, other))
    own_errors = [errors(of, by_limits=True) for of in (one, other)]
    used, replicates = (
        np.minimum(one[name].to_numpy(dtype=float), other[name].to_numpy(dtype=float))
        for name in ("used", "replicates")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        value = first / second if ratio else first - second
        weights = (value / first, value / second) if ratio else (1.0, 1.0)
        independent = np.hypot(*(w * e for w, e in zip(weights, own_errors, strict=True)))
    of_pairs = np.array([found.get(key, np.nan) for key in both.index], dtype=float)
    known = np.isfinite(of_pairs)
    if not ratio:
        # Of a share never below that of half a replicate, so that 0 and 1 have an error.
        of_pairs = np.where(shares(one), np.maximum(of_pairs, 1 / (used + 2)), of_pairs)
    error = np.where(known, of_pairs, independent)
    lower, upper = value - Z * error, value + Z * error
    if ratio:
        # A ratio of what may be 0, or of another sign, says nothing.
        told = (abs(first) > Z * own_errors[0]) & (abs(second) > Z * own_errors[1])
        value, error = np.where(told, value, np.nan), np.where(told, error, np.nan)
        lower, upper = with_log_limits(value, error, 0).limits or (lower, upper)
    names = list(both.columns[: list(both.columns).index("value_a")])
    frame = both[names].reset_index(drop=True)
    return frame.assign(
        value=value,
        mcse=error,
        lower=lower,
        upper=upper,
        used=used.astype(int),
        replicates=replicates.astype(int),
        paired=known & paired,
    )


def _paired_errors(
    folder: Path,
    levels: tuple[str, Any, Any],
    measures: Sequence[str],
    record: Mapping[str, Any],
    *,
    ratio: bool,
) -> dict[tuple[Any, ...], float]:
    """Return the errors by cell that are not those of independent numbers.

    They are of pairs, or of measures that rest on simulated true values.
    """
    factor, level, reference = levels
    of_methods, common = factor == _METHOD, record.get("streams") == "common"
    is_needed = of_methods or common or record.get("truth_errors")
    if not is_needed or record.get("keep", "rows") != "rows":
        return {}
    errors_of = functools.partial(
        _errors_between, measures=measures, record=record, paired=of_methods or common, ratio=ratio
    )
    waiting: dict[tuple[Any, ...], tuple[Any, ConditionRows]] = {}
    found: dict[tuple[Any, ...], float] = {}
    for rows in rows_by_condition(folder, budget=_WHOLE):
        here = tuple(rows.factors.values())
        if of_methods:
            if level in rows.methods and reference in rows.methods:
                for key, error in errors_of(rows.methods[level], rows.methods[reference]):
                    found[(*here, *key)] = error
            continue
        if rows.factors[factor] not in (level, reference):
            continue
        others = tuple(value for name, value in rows.factors.items() if name != factor)
        if others not in waiting:
            waiting[others] = (rows.factors[factor], rows)
            continue
        before, earlier = waiting.pop(others)
        one, other = (earlier, rows) if before == level else (rows, earlier)
        for method in one.methods.keys() & other.methods.keys():
            for key, error in errors_of(one.methods[method], other.methods[method]):
                found[(*others, method, *key)] = error
    return found


def _errors_between(
    one: MethodRows,
    other: MethodRows,
    *,
    measures: Sequence[str],
    record: Mapping[str, Any],
    paired: bool,
    ratio: bool,
) -> Iterator[tuple[tuple[Any, ...], float]]:
    """Yield the error of the difference, or ratio, of each measure between two sets of fits."""
    bins = np.linspace(0, max(one.replicate.max(), other.replicate.max()) + 1, _GROUPS + 1)
    for estimand in one.estimands.keys() & other.estimands.keys():
        sides = [
            {
                (interval, measure): (
                    cell,
                    measure,
                    *_contributed(measure, cell, of.replicate, bins),
                )
                for interval, measure, cell in _cells(of, estimand, measures, record)
            }
            for of in (one, other)
        ]
        for key in sides[0].keys() & sides[1].keys():
            (cell, measure, value, parts), (cell_other, _, value_other, parts_other) = (
                side[key] for side in sides
            )
            if not paired and not (mcse_of(cell.truth) or mcse_of(cell_other.truth)):
                continue  # the errors of the two numbers are known
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
            yield (estimand, *key), float(np.hypot(error, further))


def _cells(
    rows: MethodRows, estimand: str, measures: Sequence[str], record: Mapping[str, Any]
) -> Iterator[tuple[str | None, str, Cell]]:
    """Yield interval, measure and the cell of which it is made."""
    of, null = rows.estimands[estimand], null_of(record.get("null"), estimand)
    for interval, cell in of.cells(null):
        for measure in measures:
            of_this = INTERVAL_MEASURES if interval is not None else MEASURES
            if measure in of_this and (measure != REJECTION or not np.isnan(null)):
                yield interval, measure, cell
    if of.p_value is not None:
        alphas = rejection_at(alphas_of(record.get("alpha"), record.get("level", LEVEL)))
        for measure in alphas.keys() & {*measures}:
            yield TEST, measure, replace(of.test(), alpha=alphas[measure])


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
