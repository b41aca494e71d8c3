r"""Predicted random effects of one data set, their errors, and fitted values.

With v = s2 + se / W for a cell of total weight W, and over the cells of one group 1

    h = s1 / (1 + s1 sum 1/v)        u1 = h sum z/v        u2 = s2 (z - u1) / v

are the predictions from cell means z, and V^-1 z = weight (z - u1 - u2) / se by row. Given the
fixed effects, u1 has the variance h, u2 the variance s2 (1 - s2/v) + (s2/v)^2 h.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.nested.columns import columns_of_data
from mcstudy.nested.data import NestedData


class Predicted(NamedTuple):
    """Predictions of the effects of one kind of groups."""

    values: Floats
    std_errors: Floats  # of prediction minus effect; with the error of the fixed effects
    conditional_sds: Floats  # of the effect, given the data and the fixed effects

    @property
    def missing(self) -> Predicted:
        """As many that nothing is known of."""
        return Predicted(*np.full((3, len(self.values)), np.nan))


class Predictions(NamedTuple):
    """Predictions of a data set; groups in the order of the rows."""

    group1: Predicted
    group2: Predicted
    fitted: Floats  # (N,): fixed effects and predictions


def predictions(data: NestedData, variances: Floats) -> Predictions:
    """Predict the random effects of one data set, given its variances, shape (3,).

    They are best linear unbiased predictions: Henderson (1975), Biometrics 31:423. Where a variance
    is NaN, all is.
    """
    s1, s2, se = variances
    group, cell = data.design.places
    firsts = data.design.firsts
    group_of_cell = group[firsts]
    weights = np.ones(len(cell)) if data.weights is None else data.weights
    total = np.bincount(cell, weights)
    w = 1 / (s2 + se / total)
    h = s1 / (1 + s1 * np.bincount(group_of_cell, w))

    def predicted(columns: Floats) -> tuple[Floats, Floats]:
        """Return u1 and u2 of each column, were it the response without its fixed effects."""
        means = np.add.reduceat(weights[:, None] * columns, firsts) / total[:, None]
        sums = np.stack([np.bincount(group_of_cell, w * column) for column in means.T], axis=1)
        u1 = h[:, None] * sums
        return u1, s2 * w[:, None] * (means - u1[group_of_cell])

    middle = data.y.mean()
    fixed = np.ones((len(cell), 1))
    if data.covariates:
        fixed = np.column_stack([fixed, columns_of_data(data).values[0].T])
    u1, u2 = predicted(fixed)
    applied = weights[:, None] * (fixed - u1[group] - u2[cell]) / se
    information = fixed.T @ applied
    coefficients = np.linalg.solve(information, applied.T @ (data.y - middle))
    explained = fixed @ coefficients
    b1, b2 = (part[:, 0] for part in predicted((data.y - middle - explained)[:, None]))
    spread1, spread2 = h, s2 * w * se / total + (s2 * w) ** 2 * h[group_of_cell]
    return Predictions(
        Predicted(b1, *_errors(spread1, u1, information)),
        Predicted(b2, *_errors(spread2, u2, information)),
        middle + explained + b1[group] + b2[cell],
    )


def _errors(conditional: Floats, away: Floats, information: Floats) -> tuple[Floats, Floats]:
    """Return the standard errors, and those without that of the fixed effects."""
    added = (away * np.linalg.solve(information, away.T).T).sum(axis=1)
    return np.sqrt(conditional + added), np.sqrt(conditional)
