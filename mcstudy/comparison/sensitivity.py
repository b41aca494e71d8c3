"""Does the ranking of the methods survive the failures? Three answers to how they count.

``available``: each method by all estimates that exist, as in the table `performance`; ``common``:
only replicates in which no method failed; ``worst``: each failed fit in the worst way for its
method that the cell allows. What that is: estimates as far from the truth as any method was in any
replicate of the cell, to whichever side or half to each makes the measure worst; for coverage,
intervals that all miss the truth, or all contain it, whichever is farther from the nominal level;
for width, the widest interval of the cell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mcstudy.analysis.load import ConditionRows, rows_by_condition, without_skipped
from mcstudy.analysis.measure_set import measured
from mcstudy.analysis.measure_table import numbers
from mcstudy.analysis.measures import INTERVAL_MEASURES
from mcstudy.analysis.select import (
    METHODS_IN_ORDER,
    Where,
    at,
    beside,
    factor_columns,
    in_order,
    labelled,
    labels_of,
    select,
    varying,
    with_labels,
    with_record,
)
from mcstudy.arguments import suggestion
from mcstudy.columns import VALUES
from mcstudy.comparison.failure_rules import FAILED, RANKED, VIEWS, Fits, RankingRule
from mcstudy.comparison.failures import checked_statuses, failed_fits, rule_in_words
from mcstudy.errors import ResultsError
from mcstudy.labels import label
from mcstudy.measure import Measured
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed
from mcstudy.tables.numbers import number_with_error

_MOST_CELLS = 24  # a screen or two, with a line for each view of a cell; the frame has all


@dataclass(frozen=True)
class Sensitivity(Printed):
    """How methods rank on a measure when failures are counted in three ways; ``str`` shows it.

    Parameters
    ----------
    measure : str
        On which they are ranked.
    frame : DataFrame
        By condition (the factors), estimand, interval, method and view (available, common, worst):
        value, mcse, used, failed, replicates, rank (1 + how many are better by more than the
        error of the difference, paired by replicate; 0 if there is no value) and, of the cell, the
        ``ranking``: "same" (each two methods stand to each other as in the available cases, or
        cannot be told apart either), "reversed" (some two are told apart both times, and the other
        way round),
        "depends" (some two are told apart in one view and not in another);
        ``differs_in`` has the views in which that is so.
    failed : tuple of str
        Statuses that count as failed beside fits without an estimate.
    alone : tuple of str
        Intervals that one method only has, so that nothing is ranked by them.
    """

    measure: str
    frame: pd.DataFrame
    failed: tuple[str, ...]
    alone: tuple[str, ...] = ()

    def document(self) -> Document:
        """Return the rankings of the cells that have failures, or else of the first ones."""
        names = factor_columns(self.frame)  # and the estimand and interval behind them
        shared = varying(self.frame, names[:-2])
        labels = varying(self.frame, names[-2:-1])
        labels += ["interval"] if self.measure in INTERVAL_MEASURES else []
        cells = self.frame.groupby(names, sort=False, dropna=False)
        touched = self.frame[cells["failed"].transform("max") > 0]
        shown = touched if len(touched) else self.frame[cells.ngroup() < _MOST_CELLS]
        rows = shown.to_dict("records")
        lines, above, words = [], "", labels_of(self.frame)
        for views in zip(*(rows[i :: len(VIEWS)] for i in range(len(VIEWS))), strict=True):
            row, cell = views[0], at(views[0], names)
            named = [labelled(name, row[name], words) for name in labels]
            named.append(label(words, row["method"], "method"))
            differs = f" ({row['differs_in']})" if row["differs_in"] else ""
            ranking = "" if cell == above else f"{row['ranking']}{differs}"
            failed = f"{row['failed']}/{row['replicates']}"
            ranks = (
                f"{number_with_error(*(of[name] for name in VALUES))} {of['rank'] or '-'}"
                for of in views
            )
            lines.append((at(row, shared, words), *named, failed, *ranks, ranking))
            above = cell
        head = ("condition", *labels, "method", "failed", *VIEWS, "ranking")
        count = 1 + len(labels)
        grid = Grid(head, lines, labels=count + 1, repeated=count, grouped=True)
        measure = label(words, self.measure, "measure")
        return Document(
            f"Ranking of the methods by {measure}: value (Monte Carlo standard error) rank",
            [Block(grid=grid)],
            list(self._notes(cells.ngroups, touched, names)),
            [self.frame],
        )

    def _notes(self, count: int, touched: pd.DataFrame, names: list[str]) -> Iterator[str]:
        if len(touched) < len(self.frame):
            whole = count - len(touched.drop_duplicates(names))
            more = (
                "" if len(touched) or count <= _MOST_CELLS else f"; the first {_MOST_CELLS} shown"
            )
            yield f"{whole} of {count} cells have no failure: the ranking there is as it is{more}"
        if len(touched):
            words = touched.drop_duplicates(names)["ranking"].value_counts()
            yield (
                f"with failures: {', '.join(f'{word} in {n}' for word, n in words.items())}"
                f" of {int(words.sum())} cells (same: the same methods are told apart in all three;"
                " depends: some only in one or two; reversed: some the other way round)"
            )
            by_interval = self.measure in INTERVAL_MEASURES
            lacking = "no estimate or interval" if by_interval else "no estimate"
            yield (
                f"failed: {rule_in_words(self.failed, lacking)}; available: all there is; common:"
                " replicates in which no method failed, of those that have an estimate at all;"
                " worst: a failed fit counts as the worst that its cell allows; rank: 1 + how many"
                " methods are better by more than 1.96 standard errors of the paired difference"
            )
        if self.alone:
            yield f"not ranked, as one method only has the interval: {', '.join(self.alone)}"


def sensitivity(
    folder: Path,
    measure: str,
    *,
    where: Where = None,
    failed: Collection[str] = FAILED,
    level: float = 0.95,
    record: Mapping[str, Any],
) -> Sensitivity:
    """Rank the methods on a measure with failures counted in three ways.

    Parameters
    ----------
    folder : Path
        With the tables of a run.
    measure : str
        Bias and its kind are ranked by their size, coverage by its distance from `level`, empirical
        SE, MSE, RMSE and width by their value.
    where : mapping or str, optional
        Which cells; see `mcstudy.analysis.select.select`.
    failed : collection of str, default ("not_converged",)
        Statuses that count as failed beside fits without an estimate.
    level : float, default 0.95
        Nominal coverage.
    record : mapping
        The study's, so that factors and the order of methods are known.

    Raises
    ------
    ResultsError
        For a measure that does not rank methods, an unknown status, or if nothing is left.
    """
    if measure not in RANKED:
        raise ResultsError(
            f"{measure!r} does not rank methods{suggestion(measure, RANKED)}; "
            f"choose from {', '.join(RANKED)}"
        )
    words = checked_statuses(failed)
    judge = RankingRule(measure, level)
    labels, numbers_of, alone = list[dict[str, object]](), list[dict[str, object]](), set[str]()
    methods = record.get(METHODS_IN_ORDER, ())
    formed = measure in INTERVAL_MEASURES
    for rows in map(without_skipped, rows_by_condition(folder, formed=formed)):
        for estimand, interval, fits in _cells(rows, measure, words):
            if len(fits) > 1:
                cell = {"estimand": estimand, "interval": interval}
                for method, line in _lines(fits, judge, methods):
                    labels.append({**rows.factors, **cell, "method": method})
                    numbers_of.append(line)
            elif interval is not None:
                alone.add(f"{interval} ({', '.join(fits)})")
    frame = pd.DataFrame(labels)
    if labels:
        frame = select(with_record(frame, record), where)
    if frame.empty:
        names_of = f"; of one method only: {', '.join(sorted(alone))}" if alone else ""
        raise ResultsError(f"no cell has {measure} of two methods or more here{names_of}")
    made = pd.DataFrame(numbers_of).loc[frame.index]
    frame = frame.set_axis(list(beside(dict.fromkeys(frame.columns), tuple(made.columns))), axis=1)
    ranked = with_labels(pd.concat([frame, made], axis=1), record.get("labels", {}))
    return Sensitivity(measure, ranked, words, tuple(sorted(alone)))


def _cells(
    rows: ConditionRows, measure: str, failed: Collection[str]
) -> Iterator[tuple[str, str | None, dict[str, Fits]]]:
    """Yield by estimand, and for a measure of intervals by interval, the fits of each method.

    A method without any estimate is there too, and failed; one whose fits lack the interval is not.
    Where each method has one interval, these are ranked together (``default / wald``).
    """
    found: dict[str, dict[str | None, dict[str, Fits]]] = {}
    for name, method in rows.methods.items():
        ended = failed_fits(method, failed, ())
        for estimand, of in method.estimands.items():
            lost = ended | ~np.isfinite(of.estimate)
            for interval, cell in of.cells():
                if (interval is None) == (measure in INTERVAL_MEASURES):
                    continue
                missing = np.isnan(of.intervals[interval]).any(axis=0) if interval else lost
                if interval and missing.all() and np.isfinite(of.estimate).any():
                    continue
                fits = Fits(method.replicate, cell, lost | missing)
                found.setdefault(estimand, {}).setdefault(interval, {})[name] = fits
    for estimand, by_interval in sorted(found.items()):
        joined = {method: of for each in by_interval.values() for method, of in each.items()}
        if len(joined) == sum(map(len, by_interval.values())):
            yield estimand, " / ".join(sorted(filter(None, by_interval))) or None, joined
        else:
            for interval in sorted(filter(None, by_interval)):
                yield estimand, interval, by_interval[interval]


def _lines(
    fits: Mapping[str, Fits], judge: RankingRule, methods: Sequence[str]
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the lines of a cell: each method in each view, methods in the order of the study."""
    made: dict[str, dict[str, Measured]] = {}
    orders: dict[str, NDArray[np.int64]] = {}
    names = sorted(fits)
    for view, counted in VIEWS.items():
        some = counted(fits, judge)
        if some is fits and made:  # where nothing failed the views are one
            made[view], orders[view] = made["available"], orders["available"]
            continue
        made[view] = {name: measured(judge.measure, of.cell) for name, of in some.items()}
        scored = [judge.scored(some[name], made[view][name].value) for name in names]
        orders[view] = judge.order(scored)
    first = orders["available"]
    turned = [view for view in VIEWS if (first * orders[view] < 0).any()]
    other = [view for view in VIEWS if (orders[view] != first).any()]
    better = {
        view: dict(zip(names, (of == 1).sum(axis=1).tolist(), strict=True))
        for view, of in orders.items()
    }
    for name in in_order(fits, methods):
        for view in VIEWS:
            one = made[view][name]
            yield (
                name,
                {
                    "view": view,
                    **dict(zip((*VALUES, "used"), numbers(one), strict=True)),
                    "failed": int(fits[name].failed.sum()),
                    "replicates": len(fits[name].replicate),
                    "rank": 0 if np.isnan(one.value) else 1 + better[view][name],
                    "ranking": "reversed" if turned else "depends" if other else "same",
                    "differs_in": ", ".join(turned or other),
                },
            )
