"""Intraclass correlations of fitted variances, with their errors and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from scipy.special import chdtri, ndtri

from mcstudy.arrays import Booleans, Floats
from mcstudy.method import Estimate
from mcstudy.nested.maximum import Maximum
from mcstudy.nested.optimizer import least_deviance
from mcstudy.nested.profile import (
    AWAY,
    FARTHEST,
    WIDEN,
    Beyond,
    Lanes,
    search_above_zero,
    search_outwards,
)
from mcstudy.nested.solution import Pair

CORRELATIONS = ("group1_icc", "group2_icc")
ICC_KINDS = ("logit", "profile")

_Held: TypeAlias = tuple[Floats, Floats, Booleans]


def correlations(variances: Floats) -> Floats:
    """Return the correlations of two rows of one group 1, and of one group 2, shape (R, 2).

    They are group1_var, and group1_var + group2_var, over the sum of the variances.
    """
    first = variances[:, 0]
    both = first + variances[:, 1]
    return np.stack([first, both], axis=1) / (both + variances[:, 2])[:, None]


def correlation_std_errors(maximum: Maximum) -> Floats:
    """Return the standard errors of the correlations by the delta method, shape (R, 2).

    NaN for a correlation of 0.
    """
    share = correlations(_in_common_units(maximum))
    return _logit_std_errors(maximum) * share * (1 - share)


def correlation_limits(kind: str, maximum: Maximum, level: float, *, reml: bool) -> list[Pair]:
    """Return the limits of both correlations by one of `ICC_KINDS`, missing where it has none."""
    if kind == "profile":
        return _profile_limits(maximum, level, reml=reml)
    odds = _odds(maximum)
    errors = _logit_std_errors(maximum)
    with np.errstate(over="ignore", invalid="ignore"):
        factor = np.exp(ndtri((1 + level) / 2) * errors)
        low, high = odds / factor, odds * factor
        return [(x / (1 + x), 1 / (1 + 1 / y)) for x, y in zip(low.T, high.T, strict=True)]


def icc_estimates(
    parts: Sequence[Maximum], variances: Floats, kinds: Sequence[str], *, level: float, reml: bool
) -> dict[str, Estimate]:
    """Return both correlations, with errors and intervals, of parts that follow one another."""
    values = correlations(variances)
    errors = np.concatenate([correlation_std_errors(part) for part in parts])
    found = {}
    for kind in kinds:
        sides = [correlation_limits(kind, part, level, reml=reml) for part in parts]
        found[kind] = np.concatenate([np.array(side) for side in sides], axis=2)
    return {
        name: Estimate(
            values[:, i],
            np.where(np.isnan(values[:, i]), np.nan, errors[:, i]),
            intervals={kind: (limits[i, 0], limits[i, 1]) for kind, limits in found.items()},
        )
        for i, name in enumerate(CORRELATIONS)
    }


def _in_common_units(maximum: Maximum) -> Floats:
    variances = maximum.variances
    return np.column_stack([variances[:, :2], maximum.unit * variances[:, 2]])


def _odds(maximum: Maximum) -> Floats:
    """Return group1_var over the rest, and both groups' over the unexplained, shape (R, 2)."""
    first, second, rest = _in_common_units(maximum).T
    return np.stack([first / (second + rest), (first + second) / rest], axis=1)


def _logit_std_errors(maximum: Maximum) -> Floats:
    """Return the standard errors of the logarithms of the odds, shape (R, 2)."""
    first, second, rest = _in_common_units(maximum).T
    with np.errstate(divide="ignore", invalid="ignore"):
        below, above = 1 / (second + rest), 1 / (first + second)
        slopes = np.stack(
            [
                np.stack([1 / first, -below, -maximum.unit * below], axis=1),
                np.stack([above, above, -maximum.unit / rest], axis=1),
            ],
            axis=1,
        )
        square = (slopes * (slopes @ maximum.cov)).sum(axis=2)
    known = np.isfinite(square) & (square > 0) & maximum.told[:, None]
    return np.sqrt(np.where(known, square, np.nan))


def _profile_limits(maximum: Maximum, level: float, *, reml: bool) -> list[Pair]:
    """Return where the deviance, least for given odds, rises by the quantile of chi-square."""
    reach = float(np.sqrt(chdtri(1, 1 - level)))
    odds, errors = _odds(maximum), _logit_std_errors(maximum)
    value, error = odds.T.ravel(), errors.T.ravel()  # both at once: a search has a cost of its own
    lanes = np.flatnonzero(np.tile(maximum.told & np.isfinite(maximum.here.value), 2))
    width = np.minimum(AWAY * np.where(np.isfinite(error), error, np.inf), FARTHEST)
    step = np.where(value > 0, value * (np.exp(width) - 1), 1.0)
    top = (value, np.full(len(value), -reach))
    steps = [value + 2.0**turn * step for turn in range(WIDEN)]
    upper = search_outwards(_beyond(maximum, reach, reml=reml), top, lanes, steps)
    lower = search_above_zero(_beyond(maximum, reach, reml=reml), top, lanes)
    sides = (np.split(side / (1 + side), 2) for side in (lower, upper))
    return list(zip(*sides, strict=True))


def _beyond(maximum: Maximum, reach: float, *, reml: bool) -> Beyond:
    """Return the root of the deviance's rise at given odds, less `reach`.

    Lanes are the replicates for the odds of group 1, then those for the odds of both groups. Each
    search starts where the last one of its replicate ended, so that it is short.
    """
    latest, count = np.tile(maximum.variances, (2, 1)), len(maximum)

    def beyond(odds: Floats, lanes: Lanes) -> Floats:
        replicates = lanes % count
        given = odds, latest[lanes], maximum.unit[replicates]
        first = lanes < count
        shape, start, used = (
            np.where(first.reshape(-1, *[1] * (one.ndim - 1)), one, both)
            for one, both in zip(_group1_held(*given), _groups_held(*given), strict=True)
        )
        free = maximum.free[replicates] & used
        lowest, point = least_deviance(
            maximum.sums.take(replicates), start, free, reml=reml, shape=shape
        )
        latest[lanes] = (shape @ point[:, :, None])[..., 0]
        rise: Floats = np.sqrt(np.maximum(lowest - maximum.here.value[replicates], 0)) - reach
        return rise

    return beyond


def _group1_held(odds: Floats, variances: Floats, unit: Floats) -> _Held:
    """Return shape, start and which are free for group1_var = odds (group2_var + the rest)."""
    shape = np.tile(np.diag([0.0, 1.0, 1.0]), (len(odds), 1, 1))
    shape[:, 0, 1], shape[:, 0, 2] = odds, odds * unit
    start = variances.copy()
    start[:, 0] = 0.0
    return shape, start, np.tile([False, True, True], (len(odds), 1))


def _groups_held(odds: Floats, variances: Floats, unit: Floats) -> _Held:
    """Return the same for group1_var + group2_var = odds times the unexplained variance.

    The free ones are those of the groups; at odds of 0 it is the unexplained one alone.
    """
    positive = odds > 0
    share = 1 / np.where(positive, odds * unit, 1.0)
    shape = np.tile(np.diag([1.0, 1.0, 0.0]), (len(odds), 1, 1))
    shape[:, 2, :2] = share[:, None]
    shape[~positive] = np.diag([0.0, 0.0, 1.0])
    groups, rest = variances[:, :2], variances[:, 2]
    known = groups.sum(axis=1) > 0
    groups = np.where(known[:, None], groups, 1.0)
    groups = groups / groups.sum(axis=1, keepdims=True) * (odds * unit * rest)[:, None]
    start = np.column_stack([groups, np.where(positive, 0.0, rest)])
    used = np.column_stack([positive, positive, ~positive])
    return shape, start, used
