"""Data to cells: the mean and size of each group-2 cell, and the variation within cells.

For the model with an intercept they are sufficient. Where the design is balanced, the three mean
squares are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Floats
from mcstudy.nested.data import NestedBatch, NestedDesign

CHUNK = 65_536  # numbers at a time, half a MB: they stay in a core's cache


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of R replicates: a groups, at most b cells in each."""

    count: Floats  # (R, a, b) or (1, a, b): rows in each cell; 0 where there is no such cell
    mean: Floats  # (R, a, b): of each cell, less the reference; 0 where the cell is empty
    within: Floats  # (R,): sum of squares of the rows about their cell's mean
    reference: Floats  # (R,): near the data, and subtracted so that squares keep their digits
    sizes: Floats  # (K,): that a cell can have, rising; by the design, not by what was dropped
    balanced: tuple[int, int, int] | None = None  # a, b and r, where all are equal
    weight: Floats | None = None  # (R, a, b) or (1, a, b): sums of weights, where there are any

    def __len__(self) -> int:
        return len(self.mean)

    def of_one(self, i: int) -> Cells:
        """Return the cells of one replicate whose rows are its own, with its own sizes only."""
        some = slice(i, i + 1)
        count = self.count[some]
        sizes = np.unique(count[count > 0])
        return Cells(count, self.mean[some], self.within[some], self.reference[some], sizes)


class MeanSquares(NamedTuple):
    """The mean squares of balanced data: of group 1, of group 2 and the unexplained one.

    They are independent, and l chi-square(df) / df with l = b r s1 + r s2 + se for group 1,
    r s2 + se for group 2, se for the unexplained. Without degrees of freedom they are 0. Degrees
    and sizes are arrays of shape (R,) where replicates differ.
    """

    values: tuple[Floats, Floats, Floats]  # each (R,)
    degrees: tuple[Any, Any, Any]  # a - 1, a (b - 1) and a b (r - 1)
    n_group2: Any  # b
    n_rep: Any  # r


def cells_of(batch: NestedBatch) -> Cells:
    """Reduce each data set of a batch to its cells; covariates are left aside.

    The first row of a cell is taken from the others, the reference from it: no digit is lost.
    Where rows have weights, means and squares are weighted.
    """
    layout, kept = layout_of(batch.design), batch.kept
    weights = None if batch.weights is None else np.atleast_2d(batch.weights)
    first = 0 if kept is None else kept.argmax(axis=1)
    reference = batch.y[np.arange(len(batch)), first]
    means = np.empty((len(batch), len(layout.starts)))
    within = np.empty(len(batch))
    count = layout.sizes[None] if kept is None else np.empty_like(means)
    weight = None if weights is None else weight_sums(weights, kept, layout)
    step = max(1, CHUNK // batch.y.shape[1])
    for start in range(0, len(batch), step):
        some = slice(start, start + step)
        y, here, rows = batch.y[some], None, count
        if kept is not None:
            here = kept[some].astype(np.float64)
            rows = count[some] = cell_sums(here, layout)
        away = deviations(y, here, layout)
        if weights is None or weight is None:
            total = cell_sums(away, layout)
            mean = total / np.maximum(rows, 1)
            square = inner(away, away)
        else:
            heavy = away * np.broadcast_to(weights, batch.y.shape)[some]
            total = cell_sums(heavy, layout)
            mean = total / np.broadcast_to(weight, means.shape)[some]
            square = inner(heavy, away)
        within[some] = square - inner(total, mean)
        means[some] = mean + (y[:, layout.starts] - reference[some, None])
    means *= count > 0
    return Cells(
        count=layout.padded(count),
        mean=layout.padded(means),
        within=np.maximum(within, 0),
        reference=reference,
        sizes=np.unique(layout.sizes) if kept is None else np.arange(1, layout.sizes.max() + 1),
        balanced=batch.design.balanced if kept is None and weights is None else None,
        weight=None if weight is None else layout.padded(weight),
    )


def weight_sums(weights: Floats, kept: NDArray[Any] | None, layout: Layout) -> Floats:
    """Return the sum of weights of each cell, (R, cells) or (1, cells); 1 for an empty cell."""
    sums = cell_sums(weights if kept is None else weights * kept, layout)
    return np.where(sums > 0, sums, 1.0)


def mean_squares(cells: Cells) -> MeanSquares:
    """Return the mean squares of balanced cells."""
    assert cells.balanced is not None
    a, b, r = cells.balanced
    group = (cells.mean @ np.full((b, 1), 1 / b))[..., 0]
    grand = group.mean(axis=1)
    degrees = (a - 1, a * (b - 1), a * b * (r - 1))
    among = group - grand[:, None]
    between = (cells.mean - group[..., None]).reshape(len(cells), -1)
    squares = (b * r * inner(among, among), r * inner(between, between), cells.within)
    pairs = zip(squares, degrees, strict=True)
    values = [square / df if df else np.zeros(len(cells)) for square, df in pairs]
    return MeanSquares((values[0], values[1], values[2]), degrees, b, r)


class Layout(NamedTuple):
    """Where the rows of each cell begin, and where a cell stands among those of its group 1.

    `equal` is the size of all cells, 0 where they differ; `position` is None where none is absent.
    """

    starts: NDArray[np.intp]
    sizes: Floats
    equal: int
    n_group1: int
    n_group2: int
    position: NDArray[np.intp] | None

    def padded(self, values: Floats) -> Floats:
        """Spread values of cells, shape (R, cells), over (R, a, b), with 0 for the absent."""
        shape = (len(values), self.n_group1, self.n_group2)
        if self.position is None:
            return values.reshape(shape)
        spread = np.zeros((len(values), self.n_group1 * self.n_group2))
        spread[:, self.position] = values
        return spread.reshape(shape)


@lru_cache(maxsize=64)
def layout_of(design: NestedDesign) -> Layout:
    """Find the cells of a design, whose rows must be sorted."""
    starts = design.firsts
    group = design.places[0][starts]
    first_cell = np.searchsorted(group, np.arange(group[-1] + 1))
    place = np.arange(len(starts)) - first_cell[group]
    count = np.diff(starts, append=len(design.group1))
    a, b = int(group[-1]) + 1, int(place.max()) + 1
    equal = int(count[0]) if (count == count[0]).all() else 0
    position = None if a * b == len(starts) else group * b + place
    return Layout(starts, count.astype(np.float64), equal, a, b, position)


def cell_sums(values: Floats, layout: Layout) -> Floats:
    """Add the rows of each cell: (R, N) to (R, cells)."""
    if layout.equal:
        rows = values.reshape(len(values), len(layout.starts), layout.equal)
        return (rows @ np.ones((layout.equal, 1)))[..., 0]
    return np.add.reduceat(values, layout.starts, axis=1)


def inner(left: Floats, right: Floats) -> Floats:
    """Return the inner product of each row of one with that of the other: (R, N) to (R,)."""
    return (left[:, None, :] @ right[:, :, None])[:, 0, 0]


def deviations(values: Floats, kept: Floats | None, layout: Layout) -> Floats:
    """Return rows less the first of their cell, so that no digit is lost; 0 where not kept."""
    rows = layout.equal or layout.sizes.astype(int)
    away = np.repeat(values[:, layout.starts], rows, axis=1)
    np.subtract(values, away, out=away)  # in place: new pages cost more than the subtraction
    if kept is not None:
        away *= kept
    return away
