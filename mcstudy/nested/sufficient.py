"""Cells to sums: what the likelihood needs, by group 1 and distinct cell size.

The columns are the intercept, the covariates and the response. A cell mean is written as the level
of its group 1 plus a deviation; the intercept's level is 1 and its deviations are 0, so they are
left out. The response is scaled, the covariates are made columns near 1 that can be told apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Floats, Integers
from mcstudy.nested.cells import CHUNK, Cells, cell_sums, deviations, layout_of, weight_sums
from mcstudy.nested.columns import columns_of
from mcstudy.nested.data import NestedBatch


@dataclass(frozen=True, eq=False)
class Sums:
    """The reduced data of R replicates: K distinct cell sizes, a groups, q columns.

    Where rows have weights, nearly all cells differ: there `sizes` are sums of weights, of shape
    (R, K, a) or (1, K, a), K is the place of a cell in its group 1, and `square` has K a of them.

    The response is reference + scale * its column. A covariate is its centre, and its spread times
    the columns times its column of the triangle.
    """

    sizes: Floats  # (K,): rows in a cell
    count: Floats  # (R, K, a) or (1, K, a): cells of each size in each group 1
    level: Floats  # (R, q, a): the level of each column in each group 1
    total: Floats  # (R, q - 1, K, a): sums of the deviations from it, without the intercept
    square: Floats  # (R, K, q - 1, q - 1): sums of their products, over all groups
    within: Floats  # (R, q - 1, q - 1): sums of products of rows about their cell's mean
    n_rows: Floats  # (R,)
    n_cells: Floats  # (R,): that have rows
    reference: Floats  # (R,)
    scale: Floats  # (R,): a power of 2
    centre: Floats  # (R, q - 2)
    spread: Floats  # (R, q - 2)
    triangle: Floats  # (R, q - 2, q - 2)
    fault: NDArray[np.str_]  # (R,): which covariate cannot be told from the others, if any
    log_weight: Floats  # (R,): the sum of the logarithms of the weights; 0 without

    def __len__(self) -> int:
        return len(self.level)

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""
        return int(self.level.shape[1]) - 1

    @property
    def coefficients_back(self) -> Floats:
        """What the coefficients of the columns are multiplied by for those as given, (R, p, p)."""
        lanes, p = len(self), self.n_fixed
        back = np.zeros((lanes, p, p))
        back[:, 0, 0] = 1
        if p > 1:
            apart = np.linalg.inv(self.triangle)
            back[:, 1:, 1:] = apart / self.spread[..., None]
            back[:, :1, 1:] = -(self.centre / self.spread)[:, None] @ apart
        back *= self.scale[:, None, None]
        return back

    def take(self, lanes: NDArray[np.intp]) -> Sums:
        """Return the sums of some of the replicates."""
        some: dict[str, Any] = {
            item.name: value[lanes]
            for item in fields(self)
            if len(value := getattr(self, item.name)) == len(self)
            and (item.name != "sizes" or value.ndim > 1)
        }
        return replace(self, **some)


def sums_of(cells: Cells, batch: NestedBatch | None = None) -> Sums:
    """Reduce cells to sums, for the model with an intercept and the covariates of their batch."""
    log_weight = np.zeros(len(cells))
    if batch is not None and batch.weights is not None:
        counted = np.log(batch.weights)
        counted = counted if batch.kept is None else counted * batch.kept
        log_weight += counted.sum(axis=-1)
    if batch is None or not batch.covariates:
        sums = _collapse(cells, cells.mean[:, None], cells.within[:, None, None])
        return replace(sums, log_weight=log_weight)
    names = tuple(batch.covariates)
    step = max(1, CHUNK // (batch.y.shape[1] * (len(names) + 1)))
    chunks = [_columns(batch[i : i + step], names) for i in range(0, len(batch), step)]
    means, within, *rest = (np.concatenate(part) for part in zip(*chunks, strict=True))
    centre, spread, triangle, fault = rest
    layout = layout_of(batch.design)
    flat = layout.padded(means.reshape(-1, len(layout.starts)))
    means = flat.reshape(*means.shape[:2], *flat.shape[1:])
    present = cells.count[:, None] > 0
    columns = np.concatenate([means[:, :-1] * present, cells.mean[:, None]], axis=1)
    sums = _collapse(cells, columns, within)
    back = {"centre": centre, "spread": spread, "triangle": triangle, "fault": fault}
    return replace(sums, log_weight=log_weight, **back)


def _columns(batch: NestedBatch, names: tuple[str, ...]) -> tuple[NDArray[Any], ...]:
    """Return cell means, products within cells, and what brings the covariates back.

    The columns are those made of the covariates, and the response.
    """
    layout, lanes = layout_of(batch.design), len(batch)
    columns = np.empty((lanes, len(names) + 1, batch.y.shape[1]))
    for place, name in enumerate(names):
        columns[:, place] = batch.covariates[name]
    columns[:, -1] = batch.y
    kept = np.ones((1, 1, 1)) if batch.kept is None else batch.kept[:, None].astype(np.float64)
    made = columns_of(columns[:, :-1], kept)

    rows = columns.reshape(-1, columns.shape[2])
    away = deviations(rows, None, layout).reshape(columns.shape) * kept
    count = cell_sums(np.broadcast_to(kept, away[:, :1].shape).reshape(lanes, -1), layout)
    heavy, size = away, np.maximum(count, 1)
    if batch.weights is not None:
        weights = np.atleast_2d(batch.weights)
        heavy, size = away * weights[:, None], weight_sums(weights, batch.kept, layout)
    sums = cell_sums(heavy.reshape(rows.shape), layout).reshape(lanes, -1, len(layout.starts))
    means = sums / size[:, None]
    products = heavy @ away.swapaxes(1, 2) - sums @ means.swapaxes(1, 2)
    firsts = rows[:, layout.starts].reshape(means.shape)
    within = (products + products.swapaxes(1, 2)) / 2
    back = made.centre, made.spread, made.triangle, made.faults(names)
    return means + firsts, within, *back


def _collapse(cells: Cells, columns: Floats, within: Floats) -> Sums:
    """Collapse the cells of a group 1 that have equal sizes; the last column is the response."""
    lanes, _, a, _ = columns.shape
    present = (cells.count > 0).astype(np.float64)
    per_group = present.sum(axis=2)
    level = columns.sum(axis=3) / np.maximum(per_group, 1)[:, None]
    away = (columns - level[..., None]) * present[:, None]
    n_cells = per_group.sum(axis=1)
    level *= (per_group > 0)[:, None]
    n_rows = cells.count.sum(axis=(1, 2)) * np.ones(lanes)
    largest = np.maximum(np.ptp(level[:, -1], axis=1), np.abs(away[:, -1]).max(axis=(1, 2)))
    largest = np.maximum(largest, np.sqrt(within[:, -1, -1] / np.maximum(n_rows, 1)))
    scale: Floats = np.ldexp(1.0, np.frexp(largest)[1])  # near the response's standard deviation
    level[:, -1] /= scale[:, None]
    away[:, -1] /= scale[:, None, None]
    within = within.copy()
    within[:, -1] /= scale[:, None]
    within[:, :, -1] /= scale[:, None]
    collapsed = _of_sizes(cells, away, present) if cells.weight is None else _of_cells(cells, away)
    sizes, count, total, square = collapsed
    return Sums(
        sizes=sizes,
        count=count,
        level=np.concatenate([np.ones((lanes, 1, a)), level], axis=1),
        total=total,
        square=square,
        within=within,
        n_rows=n_rows,
        n_cells=n_cells * np.ones(lanes),
        reference=cells.reference,
        scale=scale,
        centre=np.empty((lanes, 0)),
        spread=np.empty((lanes, 0)),
        triangle=np.empty((lanes, 0, 0)),
        fault=np.full(lanes, ""),
        log_weight=np.zeros(lanes),
    )


def _of_sizes(cells: Cells, away: Floats, present: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the sizes, and by them the number of cells, sums and products of deviations."""
    lanes, q = away.shape[:2]
    kinds = len(cells.sizes)
    size = np.searchsorted(cells.sizes, cells.count) + kinds * np.arange(lanes)[:, None, None]
    totals = [_by_size(away[:, j], size, kinds, by_group=True) for j in range(q)]
    products = (away[:, i] * away[:, j] for i in range(q) for j in range(q))
    squares = [_by_size(product, size, kinds, by_group=False) for product in products]
    return (
        cells.sizes,
        _by_size(present, size, kinds, by_group=True),
        np.stack(totals, axis=1),
        np.stack(squares, axis=-1).reshape(lanes, -1, q, q),
    )


def _of_cells(cells: Cells, away: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the same of weighted rows: each cell by itself, of shape (R, b, a)."""
    assert cells.weight is not None
    lanes, q = away.shape[:2]
    weight = np.where(cells.weight > 0, cells.weight, 1.0)  # 0 where there is no such cell
    turned = np.ascontiguousarray(away.swapaxes(2, 3))
    flat = turned.reshape(lanes, q, -1)
    square = (flat[:, :, None] * flat[:, None]).transpose(0, 3, 1, 2)
    return (
        np.ascontiguousarray(weight.swapaxes(1, 2)),
        np.ascontiguousarray((cells.count > 0).swapaxes(1, 2).astype(np.float64)),
        turned,
        np.ascontiguousarray(square),
    )


def _by_size(values: Floats, size: Integers, kinds: int, *, by_group: bool) -> Floats:
    """Add up (R, a, b) over the cells of equal size, to (R, K), or of each group 1, to (R, K, a).

    `size` has the place of each cell's size, plus K times the replicate's place.
    """
    lanes, groups, _ = values.shape
    if kinds == 1:
        summed: Floats = values.sum(axis=2)[:, None]
        return summed if by_group else values.reshape(lanes, -1).sum(axis=1, keepdims=True)
    place = size[:lanes]
    shape: tuple[int, ...] = (lanes, kinds)
    if by_group:
        place, shape = place * groups + np.arange(groups)[:, None], (lanes, kinds, groups)
    sums = np.bincount(place.ravel(), values.ravel(), minlength=math.prod(shape))
    return sums.astype(np.float64, copy=False).reshape(shape)
