r"""Sums to likelihood: -2 log-likelihood of the variances, its gradient and its curvatures.

With v = s2 + se / n for a cell of n rows, u = 1 / n, and columns of cell means z = level + e, the
sums over the cells of one group 1 are

    A = sum 1/v        E = sum e/v         H = 1 / (1 + s1 A)         h = s1 H
    eta = 1'V^-1 z = (level A + E) H       rho = level H - h E        (V^-1 z)_cell = (e + rho) / v

    z'V^-1 z = sum_groups (level eta' + E rho') + sum e e'/v + within/se
    log|V| = sum log(n v) - sum_groups log H + (rows - cells) log se

With prior weights n is the sum of a cell's weights, and log|V| less by that of their logarithms.
The matrices V_i of the derivatives are 1 1' for s1, diagonals of 1 for s2 and of u for se. Columns
are first combined into whitened fixed effects and the residual, for which the second derivatives
are needed on the diagonal only. Levels and deviations are kept apart so that nothing cancels where
group 1 varies much more than the cells.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Booleans, Floats
from mcstudy.nested.sufficient import Sums

_SINGULAR = 1e-10  # of a column's square left by those before it: a combination of them
_PAIRS = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


class Evaluation(NamedTuple):
    """The likelihood at one point, in the units of the sums; R replicates, p fixed effects."""

    value: Floats  # (R,): -2 log-likelihood, without multiples of log 2 pi
    gradient: Floats  # (R, 3): its derivatives with respect to s1, s2 and se
    expected: Floats  # (R, 3, 3): expectation of its second derivatives
    observed: Floats  # (R, 3, 3): their value
    fixed: Floats  # (R, p): the generalised least squares estimates
    root: Floats  # (R, p, p): root' root is their covariance
    full_rank: Booleans  # (R,): whether the fixed effects can be told apart
    among: Floats  # (R, 3, p, p): root' among root are the derivatives of their covariance, negated

    def along(self, shape: Floats) -> Evaluation:
        """Return it as a function of x where the variances are `shape`, (R, 3, 3), times x."""
        back = _t(shape)
        return self._replace(
            gradient=(back @ self.gradient[:, :, None])[..., 0],
            expected=back @ self.expected @ shape,
            observed=back @ self.observed @ shape,
        )


class _Moments(NamedTuple):
    """Weighted sums of the cells at one point; weights 1/v, 1/v2, u/v2, 1/v3, u/v3, u2/v3."""

    number: Floats
    total: Floats
    square: Floats
    h_group: Floats
    shrunk: Floats

    @classmethod
    def at(cls, sums: Sums, variances: Floats) -> _Moments:
        """Weigh the sums."""
        lanes, q, a = sums.level.shape
        s1, s2, se = variances.T[..., None]
        u = 1 / sums.sizes
        single = u.ndim > 1  # each cell by itself, as rows with weights have it
        w = 1 / (s2[..., None] + se[..., None] * u) if single else 1 / (s2 + se * u)
        weights = np.stack([w, w**2, u * w**2, w**3, u * w**3, u**2 * w**3], axis=1)
        total = np.zeros((lanes, q, 6, a))
        if single:
            count = (weights * sums.count[:, None]).sum(axis=2)
            for j in range(q - 1):
                total[:, j + 1] = (weights * sums.total[:, j, None]).sum(axis=2)
            weights = weights.reshape(lanes, 6, -1)
        else:
            count = weights @ sums.count
            np.matmul(weights[:, None], sums.total, out=total[:, 1:])
        square = np.zeros((lanes, 6, q, q))
        pooled = weights @ sums.square.reshape(lanes, sums.square.shape[1], -1)
        square[:, :, 1:, 1:] = pooled.reshape(lanes, 6, q - 1, q - 1)
        for moment, power in ((0, 1), (2, 2), (5, 3)):
            square[:, moment, 1:, 1:] += sums.within / se[..., None] ** power
        h_group = 1 / (1 + s1 * count[:, 0])
        return cls(count, total, square, h_group, s1 * h_group)

    def inverse_applied(self, level: Floats) -> tuple[Floats, Floats]:
        """Return eta and rho of each column and group."""
        total, h_group = self.total[:, :, 0], self.h_group[:, None]
        eta = (level * self.number[:, None, 0] + total) * h_group
        return eta, level * h_group - total * self.shrunk[:, None]

    def combined(self, whitener: Floats) -> _Moments:
        """Return those of combinations of the columns."""
        lanes, q, _, a = self.total.shape
        total = (whitener @ self.total.reshape(lanes, q, -1)).reshape(lanes, q, 6, a)
        square = whitener @ self.square.swapaxes(1, 2).reshape(lanes, q, -1)
        square = (square.reshape(lanes, -1, q) @ _t(whitener)).reshape(lanes, q, 6, q)
        return self._replace(total=total, square=square.swapaxes(1, 2))


def evaluate(sums: Sums, variances: Floats, *, reml: bool) -> Evaluation:
    """Evaluate the likelihood at variances (s1, s2, se) of shape (R, 3), se above 0."""
    moments = _Moments.at(sums, variances)
    eta, rho = moments.inverse_applied(sums.level)
    products = sums.level @ _t(eta) + moments.total[:, :, 0] @ _t(rho) + moments.square[:, 0]
    whitener, log_det, residual, full_rank = _whitening(products)
    first, second = _quadratic(moments.combined(whitener), whitener @ sums.level)
    value, slope, curve = _determinant(sums, moments, variances)

    p = sums.n_fixed
    across = first[:, :, :p, p]
    diagonal = np.diagonal(first, axis1=2, axis2=3)
    value = value + residual
    slope = slope + diagonal[..., p]
    if reml:
        value = value + log_det
        slope = slope + diagonal[..., :p].sum(axis=2)
        curve = curve + second[..., :p].sum(axis=2)
    curve = curve[:, _PAIRS]
    if reml:
        flat = first[:, :, :p, :p].reshape(len(sums), 3, -1)
        curve = curve - flat @ _t(flat)
    fit = second[..., p][:, _PAIRS] - 2 * (across @ _t(across))
    fixed, root = -whitener[:, p, :p], whitener[:, :p, :p]
    among = first[:, :, :p, :p]
    return Evaluation(value, slope, -curve, curve + fit, fixed, root, full_rank, among)


def _whitening(products: Floats) -> tuple[Floats, Floats, Floats, Booleans]:
    """Factorise the products of all columns, fixed effects first, the response last.

    Returns the matrix whose rows combine columns into whitened fixed effects and the residual, the
    log-determinant of the fixed effects' products, the residual's square, and the rank's verdict.
    """
    lanes, q, _ = products.shape
    left = products.copy()
    whitener = np.zeros_like(products)
    whitener[:, np.arange(q), np.arange(q)] = 1.0
    log_det = np.zeros(lanes)
    full_rank = np.ones(lanes, dtype=bool)
    for j in range(q - 1):
        pivot = left[:, j, j]
        good = pivot > _SINGULAR * products[:, j, j]
        full_rank &= good
        pivot = np.where(good, pivot, 1.0)
        for i in range(j + 1, q):
            factor = (left[:, i, j] / pivot)[:, None]
            left[:, i] -= factor * left[:, j]
            whitener[:, i] -= factor * whitener[:, j]
        log_det += np.log(pivot)
        whitener[:, j] /= np.sqrt(pivot)[:, None]
    return whitener, log_det, left[:, -1, -1], full_rank


def _quadratic(moments: _Moments, level: Floats) -> tuple[Floats, Floats]:
    """Return derivatives of z'V^-1 z: first (R, 3, q, q), and second's diagonals (R, 6, q)."""
    count, total, square = moments.number[:, None], moments.total, moments.square
    h_group, shrunk = moments.h_group[:, None], moments.shrunk[:, None]
    eta, rho = moments.inverse_applied(level)
    tau_2, tau_e = (total[:, :, i] + count[:, :, i] * rho for i in (1, 2))
    first = np.stack(
        [
            eta @ _t(eta),
            square[:, 1] + total[:, :, 1] @ _t(rho) + rho @ _t(tau_2),
            square[:, 2] + total[:, :, 2] @ _t(rho) + rho @ _t(tau_e),
        ],
        axis=1,
    )
    h_eta = h_group * eta
    second = np.stack(
        [
            (count[:, :, 0] * eta * h_eta).sum(axis=2),
            (h_eta * tau_2).sum(axis=2),
            (h_eta * tau_e).sum(axis=2),
            *(
                np.diagonal(square[:, i], axis1=1, axis2=2)
                + (rho * (2 * total[:, :, i] + count[:, :, i] * rho) - shrunk * pair).sum(axis=2)
                for i, pair in ((3, tau_2 * tau_2), (4, tau_2 * tau_e), (5, tau_e * tau_e))
            ),
        ],
        axis=1,
    )
    return -first, 2 * second


def _determinant(sums: Sums, moments: _Moments, variances: Floats) -> tuple[Floats, Floats, Floats]:
    """Return log|V|, its three first and six second derivatives."""
    s2, se = variances[:, 1, None], variances[:, 2]
    u = 1 / sums.sizes
    number = sums.count.sum(axis=2)
    if u.ndim > 1:
        u, number = u.reshape(len(u), -1), sums.count.reshape(len(sums.count), -1)
    v = s2 + se[:, None] * u
    spare = sums.n_rows - sums.n_cells
    count, h_group, shrunk = moments.number, moments.h_group, moments.shrunk
    a_h = count[:, 0] * h_group
    slopes = count[:, 1:3] * shrunk[:, None]
    value = (number * np.log(v / u)).sum(axis=1) - np.log(h_group).sum(axis=1) + spare * np.log(se)
    first = [
        a_h.sum(axis=1),
        (number / v).sum(axis=1) - slopes[:, 0].sum(axis=1),
        (number * u / v).sum(axis=1) - slopes[:, 1].sum(axis=1) + spare / se,
    ]
    bends = 2 * shrunk[:, None] * count[:, 3:]
    second = [
        -(a_h * a_h).sum(axis=1),
        -(count[:, 1] * h_group**2).sum(axis=1),
        -(count[:, 2] * h_group**2).sum(axis=1),
        (bends[:, 0] - slopes[:, 0] ** 2).sum(axis=1) - (number / v**2).sum(axis=1),
        (bends[:, 1] - slopes[:, 0] * slopes[:, 1]).sum(axis=1) - (number * u / v**2).sum(axis=1),
        (bends[:, 2] - slopes[:, 1] ** 2).sum(axis=1)
        - (number * u**2 / v**2).sum(axis=1)
        - spare / se**2,
    ]
    return value, np.stack(first, axis=1), np.stack(second, axis=1)


def _t(matrices: NDArray[np.float64]) -> Floats:
    return matrices.swapaxes(-1, -2)
