"""Rows to comparisons: every two methods, on the replicates that both have."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcstudy.analysis.load import ConditionRows, EstimandRows, MethodRows, rows_by_condition
from mcstudy.analysis.measure_table import MeasureTable, numbers
from mcstudy.analysis.select import (
    Where,
    factor_columns,
    labels_of,
    levels_of,
    select,
    varying,
    with_record,
)
from mcstudy.analysis.simulated_truth import widened
from mcstudy.arguments import suggestion
from mcstudy.arrays import Floats
from mcstudy.columns import WORDS
from mcstudy.comparison.own_measures import DIFFERENCE, RATIO, OwnMeasures
from mcstudy.comparison.paired_measures import (
    COMPARISONS,
    COMPARISONS_WITHOUT_TRUTH,
    INTERVAL_COMPARISONS,
    Pair,
    interval_pairs,
    rejection_difference,
    test_difference,
    width_difference,
)
from mcstudy.errors import ResultsError
from mcstudy.labels import Labels, label
from mcstudy.measure import LEVEL, REJECTION, Measured, alphas_of, null_of, rejection_at
from mcstudy.simulation.validation import TEST
from mcstudy.storage.table_set import read_table
from mcstudy.tables.document import Document
from mcstudy.tables.formats import Printed
from mcstudy.tables.numbers import FEW_MISSING
from mcstudy.truths import mcse_of

if TYPE_CHECKING:
    import pandas as pd

Places: TypeAlias = slice | NDArray[np.intp]
Names: TypeAlias = tuple[str, ...]
Null: TypeAlias = float | Mapping[str, float] | None

_NUMBERS = 2**16  # of estimates that are compared at a time: with what is made of them, some MB
_STACKS = 8  # that a method keeps for the next pair: estimates, two limits, truths; 4 MB at most
_OF_ALL = {"width_difference": width_difference}
_OF_TRUTH = {name: of for name, of in INTERVAL_COMPARISONS.items() if name not in _OF_ALL}
_OF_NULL = {"rejection_difference": rejection_difference}
_SHOWN = (
    (
        *("bias_difference", "mean_difference", "mean_ratio"),
        *("empirical_se_ratio", "relative_efficiency"),
    ),
    (
        *("coverage_difference", "coverage_of_all_difference"),
        *("rejection_difference", "width_difference"),
    ),
)


class Compared(NamedTuple):
    """A comparison of two methods by some estimands, of which `made` has an array of numbers."""

    method: str
    reference: str
    estimands: Names
    interval: str | None
    measure: str
    made: Measured
    replicates: int


class Side:
    """What a method says of the estimands, on the replicates that both of a pair have.

    Parameters
    ----------
    estimands : mapping of str to EstimandRows
        Of the method.
    places : slice or array of int, optional
        Where the replicates of both stand in it; all of its own by default.
    """

    def __init__(self, estimands: Mapping[str, EstimandRows], places: Places | None = None) -> None:
        self.estimands, self.places = estimands, slice(None) if places is None else places
        self._kept: dict[tuple[str, Names], Floats] = {}

    def at(self, places: Places) -> Side:
        """Return the same on some of the replicates."""
        return self if isinstance(places, slice) else Side(self.estimands, places)

    @cached_property
    def about_truth(self) -> Side:
        """The same about 0, where each data set has a true value of its own."""
        if not any(isinstance(of.truth, np.ndarray) for of in self.estimands.values()):
            return self
        return Side({name: of.about_truth() for name, of in self.estimands.items()}, self.places)

    def estimates(self, names: Names) -> Floats:
        """Return the estimates of each estimand in a row."""
        return self._rows("estimate", names, lambda of: of.estimate[self.places])

    def limits(self, names: Names, interval: str) -> tuple[Floats, Floats]:
        """Return the lower and the upper limits of an interval, each estimand in a row."""

        def limit(end: int) -> Floats:
            key = f"limit {end} {interval}"
            return self._rows(key, names, lambda of: of.intervals[interval][end][self.places])

        return limit(0), limit(1)

    def truth(self, names: Names) -> Floats:
        """Return the true values, of errors 0, and NaN in the data sets that have none."""

        def own(of: EstimandRows) -> Any:
            if of.own_truth is not None:
                return np.where(np.isnan(of.own_truth[self.places]), np.nan, 0.0)
            return of.truth[self.places] if isinstance(of.truth, np.ndarray) else float(of.truth)

        return self._rows("truth", names, own)

    def truth_errors(self, names: Names) -> Floats:
        """Return the errors of the true values, of shape (K, 1)."""
        return self._rows("error", names, lambda of: mcse_of(of.truth))

    def _rows(self, what: str, names: Names, row: Callable[[EstimandRows], Any]) -> Floats:
        """Return a row for each estimand, made once; of one number where none has more."""
        if (what, names) not in self._kept:
            if len(self._kept) >= _STACKS:
                self._kept.clear()
            rows = (np.atleast_1d(row(self.estimands[name])) for name in names)
            self._kept[what, names] = np.stack(np.broadcast_arrays(*rows))
        return self._kept[what, names]


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
    rows: ConditionRows,
    pairs: Sequence[tuple[str, str]],
    null: Null = None,
    intervals: tuple[str, str] | None = None,
    alphas: Sequence[float] = alphas_of(None, None),
) -> Iterator[Compared]:
    """Yield the comparisons of pairs of methods, several estimands at a time.

    A pair of which one has no rows here is passed over. `null` is the value, or that of each
    estimand, whose rejection is compared; `intervals` are the method's and the reference's to hold
    against each other, in place of those that `interval_pairs` finds; `alphas` the levels of tests.
    """
    sides = {name: Side(of.estimands) for name, of in rows.methods.items()}
    for method, reference in _here(pairs, rows):
        places, other_places, count = matched(rows.methods[method], rows.methods[reference])
        one, other = sides[method].at(places), sides[reference].at(other_places)
        estimands = sorted(one.estimands.keys() & other.estimands.keys())
        step = max(1, _NUMBERS // max(count, 1))
        for begin in range(0, len(estimands), step):
            names = tuple(estimands[begin : begin + step])
            # Numbers whose squares are beyond the floats give infinite ones.
            with np.errstate(over="ignore", invalid="ignore"):
                found = [
                    *_measures((one, other), names, null, intervals),
                    *_of_tests((one, other), names, alphas),
                ]
            for some, interval, name, made in found:
                yield Compared(method, reference, some, interval, name, made, count)


def _here(pairs: Sequence[tuple[str, str]], rows: ConditionRows) -> list[tuple[str, str]]:
    """Return the pairs of which both methods have rows."""
    return [pair for pair in pairs if rows.methods.keys() >= set(pair)]


def matched(one: MethodRows, other: MethodRows) -> tuple[Places, Places, int]:
    """Return where the replicates that both have stand in each, and how many they are."""
    if np.array_equal(one.replicate, other.replicate):
        return slice(None), slice(None), len(one.replicate)
    _, places, other_places = np.intersect1d(
        one.replicate, other.replicate, assume_unique=True, return_indices=True
    )
    return places, other_places, len(places)


def _measures(
    given: tuple[Side, Side], names: Names, null: Null, intervals: tuple[str, str] | None
) -> Iterator[tuple[Names, str | None, str, Measured]]:
    """Yield the comparisons of estimates, then those of each two intervals, by some estimands."""
    sides = given[0].about_truth, given[1].about_truth
    one, other = (side.estimands for side in sides)
    both = [name for name in names if one[name].estimated and other[name].estimated]
    true = [name for name in both if one[name].has_truth]
    yield from _compared(COMPARISONS, sides, true)
    untrue = [name for name in both if not one[name].has_truth]
    yield from _compared(COMPARISONS_WITHOUT_TRUTH, sides, untrue)
    paired: dict[tuple[str, str], list[str]] = {}
    for name in names:
        own, others = one[name].intervals, other[name].intervals
        for first, second in [intervals] if intervals else interval_pairs(own, others):
            if first in own and second in others:
                paired.setdefault((first, second), []).append(name)
    for interval_pair, having in sorted(paired.items()):
        with_truth = [name for name in having if one[name].has_truth]
        yield from _compared(_OF_TRUTH, sides, with_truth, interval_pair)
        yield from _compared(_OF_ALL, given, having, interval_pair)
        tested = [name for name in having if not np.isnan(null_of(null, name))]
        yield from _compared(_OF_NULL, given, tested, interval_pair, null)


def _compared(
    measures: Mapping[str, Callable[[Pair], Measured]],
    sides: tuple[Side, Side],
    estimands: Sequence[str],
    intervals: tuple[str, str] | None = None,
    null: Null = None,
) -> Iterator[tuple[Names, str | None, str, Measured]]:
    """Yield comparisons of the estimates of some estimands, or of an interval of each method."""
    if not estimands:
        return
    (one, other), names = sides, tuple(estimands)
    pair, label = Pair(one.truth(names), one.estimates(names), other.estimates(names)), None
    if intervals is not None:
        first, second = intervals
        label = first if first == second else f"{first} against {second}"
        tested = np.array([[null_of(null, name)] for name in names])
        limits, others = one.limits(names, first), other.limits(names, second)
        pair = replace(pair, limits=limits, reference_limits=others, null=tested)
    errors = one.truth_errors(names)
    for name, measure in measures.items():
        yield names, label, name, _with_error_of_truth(measure, pair, errors)


def _own_lines(
    own: OwnMeasures, rows: ConditionRows, pairs: Sequence[tuple[str, str]]
) -> Iterator[tuple[Any, ...]]:
    """Yield the comparisons of each pair by the user's measures, as `condition_comparisons`."""
    for pair in _here(pairs, rows):
        one, other = (rows.methods[name] for name in pair)
        places, other_places, count = matched(one, other)
        found = own.at(rows.factors).lines(pair, ((one, places), (other, other_places)))
        for estimand, interval, measure, made in found:
            yield *pair, estimand, interval, measure, *numbers(made), count


def _with_error_of_truth(
    measure: Callable[[Pair], Measured], pair: Pair, errors: Floats
) -> Measured:
    """Return a measure of a pair; in its error are those of the true values that it rests on."""
    made = measure(pair)
    if not errors.any():
        return made
    above, below = (measure(replace(pair, truth=pair.truth + side * errors)) for side in (1, -1))
    return widened(made, above.value, below.value)


def _of_tests(
    sides: tuple[Side, Side], names: Names, alphas: Sequence[float]
) -> Iterator[tuple[Names, str | None, str, Measured]]:
    """Yield the comparisons of tests by p-values, of the estimands of which both give one."""
    one, other = sides
    own = {name: (one.estimands[name].p_value, other.estimands[name].p_value) for name in names}
    both = {name: (p, q) for name, (p, q) in own.items() if p is not None and q is not None}
    if both:
        p_values = np.stack([p[one.places] for p, _ in both.values()])
        reference = np.stack([q[other.places] for _, q in both.values()])
        for name, alpha in rejection_at(alphas).items():
            measure = name.replace(REJECTION, f"{REJECTION}_difference", 1)
            yield tuple(both), TEST, measure, test_difference(p_values, reference, alpha)


@dataclass
class Comparer:
    """Compares methods as their rows come by, and makes the table `comparisons` of it.

    Each two of them, or each with the `reference`, unless `pairs` names some; for `null`,
    `intervals` and `alphas` see `condition_comparisons`. `own` compares by the user's measures.
    """

    pairs: Sequence[tuple[str, str]] | None = None
    reference: str | None = None
    null: Null = None
    intervals: tuple[str, str] | None = None
    alphas: Sequence[float] = alphas_of(None, None)
    own: OwnMeasures | None = None
    _lines: MeasureTable = field(default_factory=lambda: MeasureTable(WORDS))

    def add(self, rows: ConditionRows) -> None:
        """Compare the methods of a condition, or of a piece of it."""
        pairs = pairs_of(rows.methods, self.reference) if self.pairs is None else self.pairs
        for of in condition_comparisons(rows, pairs, self.null, self.intervals, self.alphas):
            self._lines.add_stack((rows.condition, *of[:5]), of.made, of.replicates)
        if self.own is not None:
            self._lines.add((rows.condition, *line) for line in _own_lines(self.own, rows, pairs))
            self.own.forget()

    def table(self, conditions: pa.Table) -> pa.Table:
        """Return the table `comparisons` of all rows seen; `replicates` are those of both."""
        return self._lines.table(conditions)


@dataclass(frozen=True)
class Comparison(Printed):
    """A method against a reference on the same data; ``str`` shows it.

    Parameters
    ----------
    method, reference : str
        A difference is the method's number less the reference's, a ratio over it.
    frame : DataFrame
        As the table `comparisons`.
    notes : tuple of str
        Which intervals only one of the two has.
    fits : DataFrame, optional
        The same of the numbers of the fits: the ratio of their seconds, and differences of
        diagnostics.
    """

    method: str
    reference: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    fits: pd.DataFrame | None = None

    def with_rows(self, further: pd.DataFrame) -> Comparison:
        """Return the comparison with further rows of the table `comparisons`."""
        import pandas as pd

        if further.empty:
            return self
        frame = pd.concat([self.frame, further], ignore_index=True)
        frame.attrs |= self.frame.attrs
        return replace(self, frame=frame)

    def document(self) -> Document:
        """Return a table of the comparisons of estimates and one of those of intervals."""
        from mcstudy.tables.table import table  # not above: it needs pandas, and a run does not

        shown = [
            (self.frame[self.frame["measure"].isin(measures)], measures)
            for measures in self._shown()
        ]
        if self.fits is not None:
            shown.append((self.fits, levels_of(self.fits, "measure")))
        blocks = []
        for cells, measures in shown:
            if len(cells):
                rows = varying(cells, [*factor_columns(cells), "estimand", "interval"])
                blocks.append(table(cells, measures, rows=rows, columns=["measure"]).document())
        words = labels_of(self.frame)
        one, other = (label(words, name, "method") for name in (self.method, self.reference))
        title = f"{one} against {other}, paired by replicate"
        return Document(title, blocks, [*self.notes, self._direction(one, other)], [self.frame])

    def _shown(self) -> Iterator[list[str]]:
        """Yield the measures of each table: of estimates, of intervals, and of each of one's own.

        The user's own alone have both comparisons, a difference and a ratio.
        """
        there = levels_of(self.frame, "measure")
        for kind in _SHOWN:
            measures = [name for name in kind if name in there]
            if "rejection_difference" in measures:  # at further levels of alpha
                measures += [m for m in there if m.startswith("rejection_difference_")]
            if not self._lacks_intervals and "coverage_of_all_difference" in measures:
                measures.remove("coverage_of_all_difference")
            yield measures
        for measure in (name.removesuffix(RATIO) for name in there if name.endswith(RATIO)):
            both = [f"{measure}{DIFFERENCE}", f"{measure}{RATIO}"]
            if both[0] in there and measure != "mean":
                yield both

    def _direction(self, one: str, other: str) -> str:
        """Say which way round the comparisons are."""
        there = set(self.frame["measure"])
        said = [f"a difference is {one} less {other}"]
        said += [f"a ratio {one} over {other}"] if any(m.endswith("_ratio") for m in there) else []
        text = ", ".join(said)
        if "relative_efficiency" in there:
            text += f"; relative efficiency: MSE of {other} over that of {one}, above 1 if {one}'s "
            text += "is smaller"
        return text

    @property
    def _lacks_intervals(self) -> bool:
        """Whether more intervals are missing than can be passed over."""
        cells = self.frame[self.frame["measure"] == "coverage_difference"]
        return bool((cells["used"] < (1 - FEW_MISSING) * cells["replicates"]).any())


def compare(
    folder: Path,
    method: str,
    reference: str,
    *,
    where: Where = None,
    null: Null = None,
    intervals: Sequence[str] | None = None,
    record: Mapping[str, Any],
) -> Comparison:
    """Compare a method with a reference on the replicates that both have.

    Parameters
    ----------
    folder : Path
        With the tables of a run.
    method, reference : str
        A difference is the method's number less the reference's, a ratio over it.
    where : mapping or str, optional
        Which cells; see `mcstudy.analysis.select.select`.
    null : float or mapping of str to float, optional
        The value, or that of each estimand, whose rejection is compared.
    intervals : (str, str), optional
        The method's interval and the reference's to hold against each other; by default those that
        have the same name, or the only one of each.
    record : mapping
        The study's, so that factors are known as such.

    Raises
    ------
    ResultsError
        If they share no replicate or estimand, or lack the intervals.
    """
    listed = isinstance(intervals, list | tuple) and len(intervals) == 2
    if intervals is not None and not listed:
        raise ResultsError(f"intervals is {intervals!r}; give two names, the reference's last")
    chosen = None if intervals is None else (intervals[0], intervals[1])
    alphas = alphas_of(record.get("alpha"), record.get("level", LEVEL))
    comparer = Comparer(pairs=[(method, reference)], null=null, intervals=chosen, alphas=alphas)
    own: dict[str, set[str]] = {method: set(), reference: set()}
    for rows in rows_by_condition(folder):
        comparer.add(rows)
        for name in own.keys() & rows.methods.keys():
            own[name].update(*(of.intervals for of in rows.methods[name].estimands.values()))
    for name, interval in zip(own, chosen or (), strict=False):
        if interval not in own[name]:
            there = ", ".join(sorted(own[name])) or "none"
            raise ResultsError(f"{name} has no interval {interval!r}; it has {there}")
    made = comparer.table(read_table(folder, "conditions"))
    frame = select(with_record(made.to_pandas(), record), where)
    if frame.empty:
        raise ResultsError(f"{method} and {reference} have no replicate or estimand in common here")
    notes = () if chosen else tuple(_alone(method, reference, own))
    return Comparison(method, reference, frame, notes)


def _alone(method: str, reference: str, own: Mapping[str, set[str]]) -> Iterator[str]:
    """Say which intervals have no partner, and how they get one."""
    if interval_pairs(own[method], own[reference]) and not own[method] & own[reference]:
        return
    first, second = own[method] - own[reference], own[reference] - own[method]
    for name, some in ((method, first), (reference, second)):
        if some:
            yield f"only {name} has the interval{'s' * (len(some) > 1)} {', '.join(sorted(some))}"
    if own[method] and own[reference] and (first or second):
        one, other = min(first or own[method]), min(second or own[reference])
        yield (
            f"two of different names go together by --intervals {one},{other}, "
            f'in Python intervals=("{one}", "{other}")'
        )


def check_pair(known: Sequence[str], method: str, reference: str, labels: Labels) -> None:
    """Raise ResultsError unless both are methods of the results, and two of them."""
    of_label = {label(labels, name, "method"): name for name in known}
    for name in (method, reference):
        if name not in known:
            if name in of_label:
                raise ResultsError(f"{name!r} is a label; write {of_label[name]}")
            meant = suggestion(name, known)
            raise ResultsError(f"no method {name!r}{meant} here; there are {', '.join(known)}")
    if method == reference:
        raise ResultsError(f"{method!r} is given twice; name two methods")
