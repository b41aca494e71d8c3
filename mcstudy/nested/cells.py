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
    """The cells of each replicate.

    Parameters
    ----------
    count : array of shape (R, a, b) or (1, a, b)
        Rows in each cell, as floats; 0 where a group 1 has no such cell.
    mean : array of shape (R, a, b)
        Mean of each cell, less the reference; 0 where the cell is empty.
    within : array of shape (R,)
        Sum of squares of the rows about their cell's mean.
    reference : array of shape (R,)
        A value near the data, subtracted so that squares keep their digits.
    sizes : array of shape (K,)
        The sizes that a cell can have, rising; fixed by the design, not by what was dropped.
    balanced : (a, b, r), optional
        Numbers of group 1, of group 2 in each, of rows in each cell, where all are equal.
    """

    count: Floats
    mean: Floats
    within: Floats
    reference: Floats
    sizes: Floats
    balanced: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        return len(self.mean)


@dataclass(frozen=True, eq=False)
class MeanSquares:
    """The mean squares of balanced data, each with its degrees of freedom.

    They are independent, and l chi-square(df) / df with l = b r s1 + r s2 + se for group 1,
    r s2 + se for group 2, se for the unexplained. Without degrees of freedom they are 0.

    Parameters
    ----------
    group1, group2, unexplained : arrays of shape (R,)
        The mean squares.
    group1_df, group2_df, unexplained_df : int
        a - 1, a (b - 1) and a b (r - 1); arrays of shape (R,) where replicates differ.
    n_group2, n_rep : int
        b and r; arrays likewise.
    """

    group1: Floats
    group2: Floats
    unexplained: Floats
    group1_df: Any
    group2_df: Any
    unexplained_df: Any
    n_group2: Any
    n_rep: Any


def cells_of(batch: NestedBatch) -> Cells:
    """Reduce each data set of a batch to its cells; covariates are left aside."""
    layout = layout_of(batch.design)
    reference = _reference(batch)
    columns = np.empty((len(batch), layout.n_cells))
    within = np.empty(len(batch))
    count = layout.sizes[None] if batch.kept is None else np.empty_like(columns)
    step = max(1, CHUNK // max(1, batch.y.shape[1]))
    for start in range(0, len(batch), step):
        some = slice(start, start + step)
        kept = None if batch.kept is None else batch.kept[some].astype(np.float64)
        if kept is not None:
            count[some] = cell_sums(kept, layout)
        columns[some], within[some] = _means_and_within(
            batch.y[some],
            kept,
            count if kept is None else count[some],
            layout,
            reference[some],
        )
    columns *= count > 0
    balanced = batch.design.balanced if batch.kept is None else None
    return Cells(
        count=layout.padded(count),
        mean=layout.padded(columns),
        within=np.maximum(within, 0),
        reference=reference,
        sizes=_possible_sizes(batch, layout),
        balanced=balanced,
    )


def mean_squares(cells: Cells) -> MeanSquares:
    """Return the mean squares of balanced cells."""
    if cells.balanced is None:
        raise ValueError("mean squares need a balanced design")
    a, b, r = cells.balanced
    group = (cells.mean @ np.full((b, 1), 1 / b))[..., 0]
    grand = group.mean(axis=1)
    degrees = (a - 1, a * (b - 1), a * b * (r - 1))
    squares = (
        b * r * squared(group - grand[:, None]),
        r * squared((cells.mean - group[..., None]).reshape(len(cells), -1)),
        cells.within,
    )
    group1, group2, unexplained = (
        square / df if df else np.zeros(len(cells))
        for square, df in zip(squares, degrees, strict=True)
    )
    return MeanSquares(group1, group2, unexplained, *degrees, n_group2=b, n_rep=r)


class Layout(NamedTuple):
    """Where the rows of each cell begin, and where a cell stands among those of its group 1."""

    starts: NDArray[np.intp]
    sizes: Floats
    equal: int
    n_group1: int
    n_group2: int
    position: NDArray[np.intp] | None

    @property
    def n_cells(self) -> int:
        """The number of cells that have rows."""
        return len(self.starts)

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
    if design.balanced is not None:
        a, b, r = design.balanced
        starts = np.arange(0, a * b * r, r)
        return Layout(starts, np.full(a * b, float(r)), r, a, b, None)
    new_group = np.diff(design.group1, prepend=design.group1[:1] - 1) != 0
    new_cell = new_group | (np.diff(design.group2, prepend=design.group2[:1] - 1) != 0)
    starts = np.flatnonzero(new_cell)
    group = np.cumsum(new_group)[starts] - 1
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
        rows = values.reshape(len(values), layout.n_cells, layout.equal)
        return (rows @ np.ones((layout.equal, 1)))[..., 0]
    return np.add.reduceat(values, layout.starts, axis=1)


def squared(values: Floats) -> Floats:
    """Return the sum of squares of each row."""
    return (values[:, None, :] @ values[:, :, None])[:, 0, 0]


def deviations(values: Floats, kept: Floats | None, layout: Layout) -> Floats:
    """Return rows less the first of their cell, so that no digit is lost; 0 where not kept."""
    shape = (len(values), layout.n_cells, layout.equal)
    if layout.equal:
        rows = values.reshape(shape)
        away = (rows - rows[..., :1]).reshape(values.shape)
    else:
        away = values - np.repeat(values[:, layout.starts], layout.sizes.astype(int), axis=1)
    if kept is not None:
        away *= kept
    return away


def _means_and_within(
    values: Floats, kept: Floats | None, count: Floats, layout: Layout, reference: Floats
) -> tuple[Floats, Floats]:
    """Return the mean of each cell, less the reference, and the squares within cells.

    The first row of a cell is taken from the others, the reference from it: no digit is lost.
    """
    away = deviations(values, kept, layout)
    total = cell_sums(away, layout)
    mean = total / np.maximum(count, 1)
    within = squared(away) - (total[:, None, :] @ mean[:, :, None])[:, 0, 0]
    mean += values[:, layout.starts] - reference[:, None]
    return mean, within


def _possible_sizes(batch: NestedBatch, layout: Layout) -> Floats:
    if batch.kept is None:
        return np.unique(layout.sizes)
    return np.arange(1, layout.sizes.max() + 1)


def _reference(batch: NestedBatch) -> Floats:
    if batch.kept is None:
        return batch.y[:, 0].copy()
    return np.take_along_axis(batch.y, batch.kept.argmax(axis=1)[:, None], axis=1)[:, 0]
