"""Two levels of a factor: by how much a measure differs between them, with its error.

With common random numbers (``streams="common"``) the replicates of two conditions are pairs, and
the error of a difference is that of the pairs, from what each replicate contributes to both
numbers. Otherwise the conditions are independent, and the squares of their errors add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.load import ConditionRows, EstimandRows, rows_by_condition
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
    OF_LIMITS,
    contributions,
    error_of_difference,
    error_of_truths,
    test_contributions,
)
from mcstudy.errors import ResultsError
from mcstudy.measure import LEVEL, REJECTION, Z, alphas_of, null_of, rejection_at
from mcstudy.simulation.validation import TEST
from mcstudy.tables.document import Document
from mcstudy.tables.formats import Printed
from mcstudy.truths import mcse_of

_SHOWN = ("bias", "rmse", "coverage", "mean", REJECTION)
"""Measures that are compared where none is named: those of these that there are."""
_WHOLE = 2**62  # bytes: a condition is read in one piece, so that its replicates can be paired
_PLACE = ("estimand", "interval", "measure")


@dataclass(frozen=True)
class Contrast(Printed):
    """A measure at one level of a factor less that at another one; ``str`` shows it.

    Parameters
    ----------
    factor : str
        Whose levels are compared.
    level, reference : object
        A difference is the measure at the level less that at the reference.
    frame : DataFrame
        The other factors, method, estimand, interval and measure, then ``value`` (the difference),
        ``mcse``, ``lower``, ``upper``, ``used`` and ``replicates`` (the smaller of the two), and
        ``paired``: whether the error is that of pairs.
    """

    factor: str
    level: Any
    reference: Any
    frame: pd.DataFrame

    def document(self) -> Document:
        """Return a table of the differences."""
        from mcstudy.tables.table import table  # it imports much that a run does without

        measures = levels_of(self.frame, "measure")
        names = [*factor_columns(self.frame), "estimand", "interval"]
        # As differences, whose target is 0.
        shown = self.frame.assign(measure=self.frame["measure"] + "_difference")
        shown = shown.drop(columns="paired")
        shown.attrs |= self.frame.attrs
        measures = [f"{name}_difference" for name in measures]
        block = table(
            shown, measures, rows=varying(shown, names), columns=["measure", "method"]
        ).document()
        one, other = (
            labelled(self.factor, level, labels_of(self.frame))
            for level in (self.level, self.reference)
        )
        title = f"{self.factor}: {one} less {other}"
        paired = self.frame["paired"]
        note = (
            "paired by replicate: the conditions have common random numbers"
            if paired.all()
            else 'the conditions are independent; streams="common" in the study would pair them'
        )
        if paired.any() and not paired.all():
            left = ", ".join(dict.fromkeys(self.frame["measure"][~paired]))
            note = f"paired by replicate, but for {left}: as if the conditions were independent"
        return Document(title, [block], [note], [self.frame])


def contrast(
    folder: Path,
    performance: pd.DataFrame,
    levels: tuple[str, Any, Any],
    *,
    measure: str | Sequence[str] | None = None,
    where: Where = None,
    record: Mapping[str, Any],
) -> Contrast:
    """Compare two levels of a factor, at each combination of the others.

    Parameters
    ----------
    folder : Path
        With the rows, which are read where they are pairs.
    performance : DataFrame
        The measures.
    levels : (str, level, level)
        The factor, a level and the reference.
    measure : str or sequence of str, optional
        Which measures; bias, RMSE, coverage, mean and rejection by default.
    where : mapping or str, optional
        Which cells; see `mcstudy.analysis.select.select`.
    record : mapping
        The study's.

    Raises
    ------
    ResultsError
        For a factor or level that is not there, or if nothing is left to compare.
    """
    factor, *wanted = levels
    known_column(performance, factor)
    if factor in WORDS:
        raise ResultsError(f"contrast: {factor} is no factor; compare methods with compare")
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
    paired_errors = _paired_errors(folder, factor, (level, reference), names, record)
    frame = _differences(both, paired_errors, paired=record.get("streams") == "common")
    frame.attrs |= performance.attrs
    return Contrast(factor, level, reference, frame)


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
    names = [*(n for n in factor_columns(some) if n != factor), "method", *_PLACE]
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
    both: pd.DataFrame, found: Mapping[tuple[Any, ...], float], *, paired: bool
) -> pd.DataFrame:
    """Return the differences with their errors and limits."""
    columns = ("value", "mcse", "lower", "upper", "used", "replicates", "measure")
    one, other = (
        both[[f"{name}_{side}" for name in columns]].set_axis(columns, axis=1) for side in "ab"
    )
    independent = np.hypot(errors(one, by_limits=True), errors(other, by_limits=True))
    used, replicates = (
        np.minimum(one[name].to_numpy(dtype=float), other[name].to_numpy(dtype=float))
        for name in ("used", "replicates")
    )
    of_pairs = np.array([found.get(key, np.nan) for key in both.index], dtype=float)
    known = np.isfinite(of_pairs)
    # Of a share never below that of half a replicate, so that 0 and 1 have an error.
    of_pairs = np.where(shares(one), np.maximum(of_pairs, 1 / (used + 2)), of_pairs)
    error = np.where(known, of_pairs, independent)
    value = one["value"].to_numpy(dtype=float) - other["value"].to_numpy(dtype=float)
    names = list(both.columns[: list(both.columns).index("value_a")])
    frame = both[names].reset_index(drop=True)
    return frame.assign(
        value=value,
        mcse=error,
        lower=value - Z * error,
        upper=value + Z * error,
        used=used.astype(int),
        replicates=replicates.astype(int),
        paired=known & paired,
    )


def _paired_errors(
    folder: Path,
    factor: str,
    levels: tuple[Any, Any],
    measures: Sequence[str],
    record: Mapping[str, Any],
) -> dict[tuple[Any, ...], float]:
    """Return the errors of the differences by cell that are not those of independent numbers.

    They are of pairs, or of measures that rest on simulated true values.
    """
    is_needed = record.get("streams") == "common" or record.get("truth_errors")
    if not is_needed or record.get("keep", "rows") != "rows":
        return {}
    waiting: dict[tuple[Any, ...], tuple[Any, ConditionRows]] = {}
    found: dict[tuple[Any, ...], float] = {}
    for rows in rows_by_condition(folder, budget=_WHOLE):
        here = rows.factors[factor]
        if here not in levels:
            continue
        others = tuple(value for name, value in rows.factors.items() if name != factor)
        if others not in waiting:
            waiting[others] = (here, rows)
            continue
        _, before = waiting.pop(others)
        for key, error in _errors_between(before, rows, measures, record):
            found[(*others, *key)] = error
    return found


def _errors_between(
    one: ConditionRows, other: ConditionRows, measures: Sequence[str], record: Mapping[str, Any]
) -> Iterator[tuple[tuple[Any, ...], float]]:
    """Yield the error of the difference of each measure between two conditions."""
    for method in one.methods.keys() & other.methods.keys():
        rows, others = one.methods[method], other.methods[method]
        for estimand in rows.estimands.keys() & others.estimands.keys():
            sides = [
                dict(_parts(of, estimand, measures, record))
                for of in (rows.estimands[estimand], others.estimands[estimand])
            ]
            cells = [
                dict(of.cells()) for of in (rows.estimands[estimand], others.estimands[estimand])
            ]
            for key in sides[0].keys() & sides[1].keys():
                interval, measure = key
                further = (
                    error_of_truths(measure, *(of[interval] for of in cells))
                    if all(interval in of for of in cells)
                    else 0.0
                )
                if record.get("streams") != "common":
                    if not further and not mcse_of(rows.estimands[estimand].truth):
                        continue  # the errors of the two numbers are known
                    error = float(np.hypot(*(np.sqrt((of[key] ** 2).sum()) for of in sides)))
                else:
                    error = error_of_difference(
                        sides[0][key], sides[1][key], rows.replicate, others.replicate
                    )
                yield (method, estimand, *key), float(np.hypot(error, further))


def _parts(
    of: EstimandRows, estimand: str, measures: Sequence[str], record: Mapping[str, Any]
) -> Iterator[tuple[tuple[str | None, str], Floats]]:
    """Yield what each replicate contributes to each measure, by interval and measure."""
    null = null_of(record.get("null"), estimand)
    for interval, cell in of.cells(null):
        for measure in measures:
            if measure == REJECTION and interval is not None and not np.isnan(null):
                yield (interval, measure), test_contributions(cell)
            elif measure in KNOWN and (measure in OF_LIMITS) == (interval is not None):
                yield (interval, measure), contributions(measure, cell)
    if of.p_value is not None:
        alphas = rejection_at(alphas_of(record.get("alpha"), record.get("level", LEVEL)))
        for measure in alphas.keys() & {*measures}:
            cell = replace(of.test(), alpha=alphas[measure])
            yield (TEST, measure), test_contributions(cell)
