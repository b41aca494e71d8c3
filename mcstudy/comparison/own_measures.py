"""Measures of the user's own, of two methods on the same data: their difference and their ratio.

Both methods are measured on the replicates in which both have what the measure asks for. The error
comes from leaving out the same replicates of both: each one by itself where the measure says what
each contributes, else a group of them at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mcstudy.analysis.custom import Custom
from mcstudy.analysis.load import EstimandRows, MethodRows
from mcstudy.analysis.mcse import group_jackknife, mean
from mcstudy.analysis.measures import Cell
from mcstudy.analysis.simulated_truth import widened
from mcstudy.arrays import Booleans, Floats
from mcstudy.comparison.paired_measures import (
    interval_pairs,
    share_difference,
    with_log_limits,
)
from mcstudy.measure import MISSING, Measured, Z
from mcstudy.simulation.call import attempt
from mcstudy.simulation.validation import TEST
from mcstudy.truths import mcse_of

if TYPE_CHECKING:
    import pandas as pd

DIFFERENCE, RATIO = "_difference", "_ratio"


class LeftOut(NamedTuple):
    """A measure, the same without some replicates, and how many these are each time."""

    value: float
    left_out: Floats
    sizes: Floats
    hits: Booleans | None = None


@dataclass
class OwnMeasures:
    """Compares two methods by the user's measures; remembers what it has measured of each."""

    customs: Sequence[Custom]
    _known: dict[tuple[Any, ...], LeftOut | None] = field(default_factory=dict)

    def at(self, levels: Mapping[str, Any]) -> OwnMeasures:
        """Return the same for a condition, whose levels the measures may ask for."""
        return replace(self, customs=[custom.at(levels) for custom in self.customs])

    def forget(self) -> None:
        """Forget a condition."""
        self._known.clear()

    def lines(
        self,
        pair: tuple[str, str],
        sides: tuple[tuple[MethodRows, Any], tuple[MethodRows, Any]],
    ) -> Iterator[tuple[str, str | None, str, Measured]]:
        """Yield (estimand, interval, measure, comparison) of two methods under a condition.

        Parameters
        ----------
        pair : (str, str)
            The method and its reference.
        sides : two of (MethodRows, places)
            Their rows, and where the replicates that both have stand in these.
        """
        one, other = sides[0][0].estimands, sides[1][0].estimands
        for estimand in sorted(one.keys() & other.keys()):
            cells = [_cells(of[estimand]) for of in (one, other)]
            for custom in self.customs:
                if custom.estimand not in (None, estimand):
                    continue
                for first, second in _intervals_of_both(custom, cells):
                    both = [
                        _Side((estimand, custom.name, name, interval), of[interval], places)
                        for name, interval, of, (_, places) in zip(
                            pair, (first, second), cells, sides, strict=True
                        )
                    ]
                    label = first if first == second else f"{first} against {second}"
                    for ending, made in self._compared(custom, both):
                        yield estimand, label, f"{custom.name}{ending}", made

    def _compared(self, custom: Custom, sides: Sequence[_Side]) -> Iterator[tuple[str, Measured]]:
        columns = [side.columns(custom.columns) for side in sides]
        there = [of for own in columns for of in own.values() if np.ndim(of)]
        if not there:
            return
        complete: Booleans = ~np.isnan(np.stack(there)).any(axis=0)
        used = int(complete.sum())
        one, other = (
            self._measured(custom, side.key, own, complete)
            for side, own in zip(sides, columns, strict=True)
        )
        if one is None or other is None or len(one.sizes) != len(other.sizes):
            yield DIFFERENCE, MISSING
            yield RATIO, MISSING
            return
        value = one.value - other.value
        error = group_jackknife(value, one.left_out - other.left_out, one.sizes)
        limits = None
        if one.hits is not None and other.hits is not None:
            limits = share_difference(one.hits, other.hits).limits
        moved = _with_moved_truth(custom, columns, mcse_of(sides[0].cell.truth), complete)
        yield DIFFERENCE, widened(Measured(value, error, used, limits), *moved[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = float(np.float64(one.value) / other.value)
            error = group_jackknife(ratio, one.left_out / other.left_out, one.sizes)
        # A ratio of what may be 0, or of another sign, says nothing.
        if np.isfinite(ratio) and _differs_from_0(one) and _differs_from_0(other):
            yield RATIO, widened(with_log_limits(ratio, error, used), *moved[1])
        else:
            yield RATIO, MISSING._replace(used=used)

    def _measured(
        self, custom: Custom, key: tuple[Any, ...], columns: dict[str, Any], complete: Booleans
    ) -> LeftOut | None:
        """Return a measure of the complete replicates, as it was made before where it was."""
        known = (*key, complete.tobytes())
        if known not in self._known:
            some, count = _some(columns, complete), int(complete.sum())
            outcome = attempt(lambda: _left_out(custom, some, count), None)
            self._known[known] = None if outcome.exception is not None else outcome.value
        return self._known[known]


class _Side(NamedTuple):
    """One method's numbers in a comparison, known by estimand, measure, method and interval."""

    key: tuple[str, str, str, str | None]
    cell: Cell
    places: Any

    def columns(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the columns that a measure asks for, of the replicates that both methods have."""
        return _some({name: getattr(self.cell, name) for name in names}, self.places)


def _some(columns: Mapping[str, Any], places: Any) -> dict[str, Any]:
    """Return some replicates of each column that has them."""
    return {name: of[places] if np.ndim(of) else of for name, of in columns.items()}


def _intervals_of_both(
    custom: Custom, cells: Sequence[dict[str | None, Cell]]
) -> Sequence[tuple[str | None, str | None]]:
    """Return which intervals of two methods, or the test or the estimates, are compared."""
    if custom.kind == "interval":
        own, others = ([n for n in of if n not in (None, TEST)] for of in cells)
        return interval_pairs(own, others)
    wanted = TEST if custom.kind == TEST else None
    return [(wanted, wanted)] if all(wanted in of for of in cells) else []


def _with_moved_truth(
    custom: Custom, columns: Sequence[dict[str, Any]], error: float, complete: Booleans
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return difference and ratio with the true value one error up, and down."""
    if "truth" not in custom.columns or not error:
        return (0.0, 0.0), (0.0, 0.0)
    moved: list[tuple[float, float]] = []
    for side in (1, -1):
        values = []
        for own in columns:
            shifted = own | {"truth": float(own["truth"]) + side * error}
            answer = custom.function(**_some(shifted, complete))
            each = custom.each(answer, int(complete.sum()))
            values.append(custom.value(answer) if each is None else each[0])
        moved.append((values[0] - values[1], values[0] / values[1] if values[1] else np.nan))
    (up, up_ratio), (down, down_ratio) = moved
    return (up, down), (up_ratio, down_ratio)


def _cells(rows: EstimandRows) -> dict[str | None, Cell]:
    """Return the estimates, each interval by its name, and the test, as they were given."""
    cells = {interval: cell.as_given or cell for interval, cell in rows.cells()}
    return cells | ({TEST: rows.test()} if rows.p_value is not None else {})


def _left_out(custom: Custom, columns: dict[str, Any], count: int) -> LeftOut:
    """Return a measure of `count` replicates, and the same without each or a group of them."""
    answer = custom.function(**columns)
    each = custom.each(answer, count)
    if each is not None:
        value, influence = each
        away = influence - mean(influence)
        left_out = value - away / max(count - 1, 1)
        binary = np.isin(influence, (0, 1)).all() and value == mean(influence)
        return LeftOut(value, left_out, np.ones(count), influence == 1 if binary else None)
    value = custom.value(answer)
    left, sizes = custom.without_groups(columns, count)
    constant = value in (0.0, 1.0) and len(left) > 1 and (left == value).all()
    return LeftOut(value, left, sizes, np.full(count, value == 1) if constant else None)


def _differs_from_0(measured: LeftOut) -> bool:
    """Return whether the 95 % Monte Carlo limits of a measure exclude 0."""
    error = group_jackknife(measured.value, measured.left_out, measured.sizes)
    return bool(abs(measured.value) > Z * error)


def of_pair(
    comparisons: pd.DataFrame, measures: Sequence[str], method: str, reference: str
) -> pd.DataFrame:
    """Return the stored comparisons of two methods by some measures, whichever way round."""
    names = {f"{name}{ending}" for name in measures for ending in (DIFFERENCE, RATIO)}
    some = comparisons[comparisons["measure"].isin(names)]
    here = some[(some["method"] == method) & (some["reference"] == reference)]
    turned = some[(some["method"] == reference) & (some["reference"] == method)]
    if len(here) or turned.empty:
        return here
    turned = turned.assign(method=method, reference=reference)
    value, lower, upper = (turned[n].to_numpy(dtype=float) for n in ("value", "lower", "upper"))
    is_ratio = turned["measure"].str.endswith(RATIO).to_numpy()
    with np.errstate(divide="ignore"):
        error = turned["mcse"].to_numpy(dtype=float) / np.where(is_ratio, value**2, 1.0)
        new = [np.where(is_ratio, 1 / of, -of) for of in (value, upper, lower)]
    return turned.assign(value=new[0], mcse=error, lower=new[1], upper=new[2])
