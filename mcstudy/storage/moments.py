"""Moments of aligned blocks of replicates: a function of the replicates, not of how they came.

A block is the replicates from ``k * 2**j`` up to ``(k + 1) * 2**j``. Its moments come from those of
its two halves, down to single replicates, so every run that has all of its replicates has the same
bits for it. Any other replicates are the blocks they consist of, none of which can be joined.

The formulas are those of P. Pebay, "Formulas for robust, one-pass parallel computation of
covariances and arbitrary-order statistical moments" (Sandia report SAND2008-6212, 2008). All are
operations on one element at a time, which round alike on every machine.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from mcstudy.arrays import Booleans, Floats, Integers
from mcstudy.simulation.validation import TEST, Column
from mcstudy.wald import wald_limits


class Moments(NamedTuple):
    """Moments of numbers x and y: numbers, or arrays with a row for each block.

    Parameters
    ----------
    n : int
        How many replicates have x and y.
    intervals, covered, below, above, with_null : int
        How many intervals there are, how many of them contain the truth, lie below it, lie above
        it, and contain the null value.
    x, y : float
        Means.
    x_low, y_low : float
        What to add to the means, which are known to more digits than a float has: a spread far
        below the mean would be lost otherwise.
    xx, xxx, xxxx, yy, xy, xxy : float
        Sums of products of deviations from the means.
    """

    n: Any = 0
    intervals: Any = 0
    covered: Any = 0
    below: Any = 0
    above: Any = 0
    with_null: Any = 0
    x: Any = 0.0
    x_low: Any = 0.0
    xx: Any = 0.0
    xxx: Any = 0.0
    xxxx: Any = 0.0
    y: Any = 0.0
    y_low: Any = 0.0
    yy: Any = 0.0
    xy: Any = 0.0
    xxy: Any = 0.0

    def rows(self, places: Any) -> Moments:
        """Return the moments of some blocks."""
        return Moments(*(values.take(places, axis=0) for values in self))


FORMED = "\0wald"
"""The name of the interval formed from a standard error, which no interval of a method has."""

Key: TypeAlias = tuple[str, str, str]
"""(quantity, estimand, interval). The quantities: "error" has the error of an estimate as x and its
square as y, "variance" the squared standard error as x, "both" the error as x and the squared
standard error as y where both are there, "width" the width of an interval as x. Only the last has
an interval; of a test, which has no width, it counts the p-values, those above alpha as with_null.
Where there is no truth, the estimate is its error."""


class Blocks(NamedTuple):
    """Blocks that share no replicate, by their first replicate, their size, and their moments."""

    start: Integers
    size: Integers
    moments: Moments


def disjoint(start: Integers, size: Integers) -> Integers:
    """Return the places of the blocks that are in no other, in order; of equal ones the first.

    Two blocks share no replicate, or one holds the other: so these have all replicates once.
    """
    order = np.lexsort((-size, start))
    stop = np.maximum.accumulate(start[order] + size[order])
    counts = np.concatenate([[True], start[order][1:] >= stop[:-1]])
    return np.asarray(order[counts])


def folded(blocks: Blocks) -> Blocks:
    """Return the fewest blocks of the same replicates: each two that are halves of one, joined."""
    start, size, moments = blocks
    while True:
        adjoin = (size[1:] == size[:-1]) & (start[1:] == start[:-1] + size[:-1])
        left = np.flatnonzero(adjoin & (start[:-1] % (2 * size[:-1]) == 0))
        if not len(left):
            return Blocks(start, size, moments)
        joined = merged(moments.rows(left), moments.rows(left + 1))
        kept = np.delete(np.arange(len(start)), left + 1)
        start, size, moments = start[kept], size[kept], moments.rows(kept)
        place = left - np.arange(len(left))
        size[place] *= 2
        for values, new in zip(moments, joined, strict=True):
            values[place] = new


def total(blocks: Blocks) -> Moments:
    """Return the moments of all replicates of folded blocks."""
    return functools.reduce(merged, (blocks.moments.rows(i) for i in range(len(blocks.start))))


def stacked(columns: Sequence[Moments], count: int) -> Moments:
    """Return the moments of several things of `count` blocks as arrays with a column for each."""
    whole = {}
    for name, zero in Moments._field_defaults.items():
        whole[name] = np.zeros((count, len(columns)), np.int64 if type(zero) is int else float)
        for place, column in enumerate(columns):
            if (values := getattr(column, name)) is not zero:
                whole[name][:, place] = values
    return Moments(**whole)


@np.errstate(all="ignore")  # beyond the floats they are infinite or NaN, and said to be missing
def merged(a: Moments, b: Moments) -> Moments:
    """Return the moments of two together: those of each about the means of both, added."""
    n = a.n + b.n
    share_a, share_b = a.n / np.maximum(n, 1), b.n / np.maximum(n, 1)
    x, x_low, dx = _mean(a.x, a.x_low, share_a, b.x, b.x_low, share_b)
    y, y_low, dy = _mean(a.y, a.y_low, share_a, b.y, b.y_low, share_b)
    of_a, of_b = _about(a, -dx * share_b, -dy * share_b), _about(b, dx * share_a, dy * share_a)
    own = {name: getattr(of_a, name) + getattr(of_b, name) for name in Moments._fields}
    return Moments(**{**own, "x": x, "x_low": x_low, "y": y, "y_low": y_low})


def _mean(
    a: Floats, a_low: Floats, share_a: Floats, b: Floats, b_low: Floats, share_b: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return a mean, what to add to it, and by how much that of b is above that of a.

    What the sum rounds off is added to what is to be added (D. E. Knuth, "The art of computer
    programming", volume 2, section 4.2.2, theorem B).
    """
    delta = np.where((share_a > 0) & (share_b > 0), (b - a) + (b_low - a_low), 0.0)
    first, step = np.where(share_a > 0, a, b), delta * share_b
    rough = first + step
    added = rough - first
    low = np.where(share_a > 0, a_low, b_low) + ((first - (rough - added)) + (step - added))
    mean = rough + low
    is_known = np.isfinite(delta) & np.isfinite(mean)
    plain = np.where(share_a > 0, a * share_a, 0.0) + np.where(share_b > 0, b * share_b, 0.0)
    return np.where(is_known, mean, plain), np.where(is_known, low - (mean - rough), 0.0), delta


def _about(m: Moments, s: Floats, t: Floats) -> Moments:
    """Return the moments about means that lie `s` and `t` below those of x and y."""
    n_ss = m.n * s * s
    return m._replace(
        xx=m.xx + n_ss,
        xxx=m.xxx + s * (3 * m.xx + n_ss),
        xxxx=m.xxxx + s * (4 * m.xxx + s * (6 * m.xx + n_ss)),
        yy=m.yy + m.n * t * t,
        xy=m.xy + m.n * s * t,
        xxy=m.xxy + 2 * s * m.xy + t * (m.xx + n_ss),
    )


def single_moments(
    numbers: Mapping[Column, Floats],
    count: int,
    truths: Mapping[str, float],
    nulls: Mapping[str, float],
    level: float | None,
    alpha: float,
) -> Iterator[tuple[Key, Moments]]:
    """Yield the quantities that a method gave, each with the moments of the single replicates."""
    own = {column.estimand for column in numbers if column.kind == "lower"}
    for column, values in numbers.items():
        kind, name, interval = column
        truth, null = truths.get(name, np.nan), nulls.get(name, np.nan)
        if kind == "estimate":
            with np.errstate(over="ignore"):
                error = values - (truth if np.isfinite(truth) else 0.0)
                square = error * error
            exists = np.isfinite(values)
            yield ("error", name, ""), _moments(exists, error, square)
            if (std_error := numbers.get(Column("std_error", name))) is not None:
                with np.errstate(over="ignore"):
                    variance = std_error * std_error
                known = np.isfinite(std_error)
                yield ("variance", name, ""), _moments(known, variance)
                yield ("both", name, ""), _moments(exists & known, error, variance)
        elif kind == "lower":
            missing = np.full(count, np.nan)
            upper = numbers.get(Column("upper", name, interval), missing)
            yield ("width", name, interval), _of_interval(values, upper, truth, null)
        elif kind == TEST:
            exist = ~np.isnan(values)
            yield (
                ("width", name, TEST),
                Moments(intervals=exist, with_null=exist & (values > alpha)),
            )
        elif kind == "std_error" and level is not None and name not in own:
            estimate, df = numbers[Column("estimate", name)], numbers.get(Column("df", name))
            limits = wald_limits(estimate, values, level, df)
            yield ("width", name, FORMED), _of_interval(*limits, truth, null)


def _moments(exists: Booleans, x: Floats, y: Floats | float = 0.0) -> Moments:
    """Return the moments of single replicates."""
    return Moments(n=exists, x=np.where(exists, x, 0.0), y=np.where(exists, y, 0.0))


def _of_interval(lower: Floats, upper: Floats, truth: float, null: float) -> Moments:
    exist = ~(np.isnan(lower) | np.isnan(upper))
    with np.errstate(invalid="ignore", over="ignore"):
        width = upper - lower
    of_width = _moments(np.isfinite(lower) & np.isfinite(upper), width)
    return of_width._replace(
        intervals=exist,
        covered=exist & (lower <= truth) & (truth <= upper),
        below=exist & (upper < truth),
        above=exist & (lower > truth),
        with_null=exist & (lower <= null) & (null <= upper),
    )
