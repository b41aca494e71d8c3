"""Covariates to columns that can be told apart: near 1, centred, without what those before say.

A raw cubic in year is as good as a centred one: the columns that the likelihood sees are the same,
and the coefficients are brought back to the covariates as they were given.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Booleans, Floats
from mcstudy.nested.cells import inner
from mcstudy.nested.data import NestedData

# Columns closer than this many roundings of their numbers cannot be told apart. A sum over a
# million rows, by pairs, errs by some 30.
_ROUNDINGS = 64 * float(np.finfo(float).eps)
_DEPENDENT = "is a linear combination of those before it"


class Columns(NamedTuple):
    """Covariates of R replicates, c of them over N rows.

    Covariate j, less its centre and over its spread, is the sum over i of column i times
    ``triangle[i, j]``, which is 0 where i > j and positive where i = j.
    """

    values: Floats  # (R, c, N): of mean 0 and mean square 1 over the rows kept; 0 where at fault
    centre: Floats  # (R, c): of the covariates
    spread: Floats  # (R, c)
    triangle: Floats  # (R, c, c)
    infinite: Booleans  # (R, c): which are not finite
    constant: Booleans  # (R, c)
    dependent: Booleans  # (R, c): linear combinations of those before them

    def faults(self, names: tuple[str, ...]) -> NDArray[np.str_]:
        """Return for each replicate which covariate is at fault and why, empty where none is."""
        words = ("has missing or infinite values", "is constant", _DEPENDENT)
        texts = [f"the covariate {name!r} {word}" for name in names for word in words]
        wrong = np.stack([self.infinite, self.constant, self.dependent], axis=2)
        wrong = wrong.reshape(len(wrong), -1)
        return np.where(wrong.any(axis=1), np.array(texts)[wrong.argmax(axis=1)], "")


def columns_of(given: Floats, kept: Floats) -> Columns:
    """Return the columns of covariates of shape (R, c, N), which are overwritten.

    `kept`, of shape (R, 1, N) or (1, 1, 1), is 1 for the rows that count, 0 for the others.
    """
    lanes, _, rows = given.shape
    n_rows = np.maximum(np.broadcast_to(kept, (lanes, 1, rows)).sum(axis=2), 1)
    largest = np.maximum(given.max(axis=2), -given.min(axis=2))
    infinite = ~np.isfinite(largest)
    given[infinite], largest[infinite] = 0, 1
    unit = np.ldexp(1.0, np.frexp(largest)[1] - 1)
    given /= unit[..., None]
    centre = (given * kept).sum(axis=2) / n_rows
    given -= centre[..., None]
    spread = np.sqrt((given**2 * kept).sum(axis=2) / n_rows)
    rounding = _ROUNDINGS * largest / unit
    constant = spread <= rounding
    spread[constant] = 1.0
    given /= spread[..., None]
    given[constant] = 0
    triangle, dependent = _untangled(given, kept, n_rows[:, 0], rounding / spread)
    faults = infinite, constant & ~infinite, dependent & ~constant
    return Columns(given, centre * unit, spread * unit, triangle, *faults)


def columns_of_data(data: NestedData) -> Columns:
    """Return the columns of a data set, for one replicate."""
    given = np.stack([np.array(column, dtype=np.float64) for column in data.covariates.values()])
    return columns_of(given[None], np.ones((1, 1, 1)))


def _untangled(
    columns: Floats, kept: Floats, n_rows: Floats, noise: Floats
) -> tuple[Floats, Booleans]:
    """Take from each column those before it, in place: Gram and Schmidt, each twice.

    Returns the triangle, and which columns have no more left than the roundings of all that made
    them; `noise`, shape (R, c), has those of the columns themselves.
    """
    lanes, number, _ = columns.shape
    triangle = np.tile(np.eye(number), (lanes, 1, 1))
    dependent = np.zeros((lanes, number), dtype=bool)
    noise = noise.copy()
    for j in range(1, number):
        column = columns[:, j]
        for i in (*range(j), *range(j)):
            share = inner(columns[:, i] * kept[:, 0], column) / n_rows
            column -= share[:, None] * columns[:, i]
            triangle[:, i, j] += share
        left = np.sqrt(inner(column * kept[:, 0], column) / n_rows)
        noise[:, j] += (np.abs(triangle[:, :j, j]) * noise[:, :j]).sum(axis=1)
        dependent[:, j] = left <= noise[:, j]
        left[dependent[:, j]] = 1.0
        column /= left[:, None]
        column[dependent[:, j]] = 0
        noise[:, j] /= left
        triangle[:, j, j] = left
    return triangle, dependent
