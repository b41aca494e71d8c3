"""Measured numbers at a few levels of a factor to the level at which a target is reached."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from mcstudy.arrays import Floats
from mcstudy.measure import Z, is_share

_NEAR = 0.2  # of a share: a probit line is straight so near to its target
_FACTOR = 2.0  # levels at most so many times the root, or below it, for a measure that is no share
_MUCH = 6.0
"""Of deviance, by which another scale must fit better than the first.

To take the best one however little better would make the limits too narrow: of 95 % ones 92 % held
the exact sample size of a power, with this 95 %.
"""
_REACH = 2.0  # widths of the limits, from the root to the levels that count, of such a measure
_FEWEST = 3  # levels of a line: two would have no room for another one to tell against them


class Point(NamedTuple):
    """A measure at a level: its value, its Monte Carlo error, on how many replicates it rests."""

    level: float
    value: float
    mcse: float
    used: int


class Root(NamedTuple):
    """The level that a curve gives the target, with its 95 % confidence limits."""

    level: float
    lower: float
    upper: float
    slope: float
    """Of the measure at the root, by level."""


class _Scale(NamedTuple):
    """A scale of the levels on which a curve may be a line: there, back, and the slope there."""

    there: Callable[[Any], Any]
    back: Callable[[float], float]
    slope: Callable[[float], float]


_SCALES = {
    "root": _Scale(np.sqrt, lambda x: max(x, 0.0) ** 2, lambda level: 0.5 / math.sqrt(level)),
    "inverse root": _Scale(
        lambda level: 1 / np.sqrt(level),
        lambda x: x**-2 if x > 0 else math.inf,
        lambda level: -0.5 * level**-1.5,
    ),
    "log": _Scale(np.log, math.exp, lambda level: 1 / level),
    "plain": _Scale(lambda level: level, float, lambda level: 1.0),
}
_FIRST = {True: "root", False: "inverse root"}
"""The scale of a share and of another measure, unless another one fits much better.

The power of a test is a probit line in the root of the sample size, near enough; standard errors,
an RMSE and a width are lines in its inverse.
"""


class _Fit(NamedTuple):
    """A line, with the covariance of its two numbers and how badly it fits."""

    line: Floats
    covariance: Floats
    badness: float


@dataclass(frozen=True)
class Curve:
    """What is fitted: a share by probit, another measure by a line.

    It is a line in the root of the level, its logarithm or itself, whichever fits best. The name of
    the measure says whether it is a share.
    """

    measure: str
    target: float

    def root(self, points: Sequence[Point]) -> Root | None:
        """Return the level that reaches the target, by the points near it; None where none does."""
        found = self._root_of(points)
        if found is None:  # where all points show what is near, there is none
            return None
        near = [point for point in points if self._is_near(point, found)]
        if len({point.level for point in near}) < _FEWEST or len(near) == len(points):
            return found
        found = self._root_of(near) or found
        if is_share(self.measure):
            return found
        # Another measure has no curve of its own: by the levels as near as the limits allow.
        reach = _REACH * (found.upper - found.lower)
        near = [point for point in near if abs(point.level - found.level) <= reach]
        return (self._root_of(near) if len({p.level for p in near}) > 1 else None) or found

    def _is_near(self, point: Point, root: Root) -> bool:
        if is_share(self.measure):
            return abs(point.value - self.target) <= _NEAR
        if root.level > 0 and point.level > 0:
            return 1 / _FACTOR <= point.level / root.level <= _FACTOR
        return True

    def _root_of(self, points: Sequence[Point]) -> Root | None:
        levels = np.array([point.level for point in points])
        if len(np.unique(levels)) < 2:
            return None
        names = ["plain"] if (levels <= 0).any() else [*_SCALES]
        first = _FIRST[is_share(self.measure)] if names[1:] else "plain"
        fit_of = _probit if is_share(self.measure) else _line
        fits = {name: fit_of(_SCALES[name].there(levels), points) for name in names}
        known = {name: fit for name, fit in fits.items() if fit is not None and fit.line[1]}
        if not known:
            return None
        name = min(known, key=lambda name: known[name].badness + _MUCH * (name != first))
        (a, b), covariance, _ = known[name]
        goal = float(stats.norm.ppf(self.target)) if is_share(self.measure) else self.target
        at = float((goal - a) / b)
        gradient = np.array([1.0, at]) / b
        error = math.sqrt(float(gradient @ covariance @ gradient))
        try:
            level, *ends = (_SCALES[name].back(at + z * error) for z in (0.0, -Z, Z))
        except OverflowError:
            return None
        if not level or not math.isfinite(level):
            return None
        steep = float(b) * (float(stats.norm.pdf(goal)) if is_share(self.measure) else 1.0)
        lower, upper = sorted(ends)
        return Root(level, lower, upper, steep * _SCALES[name].slope(level))


def _probit(x: Floats, points: Sequence[Point]) -> _Fit | None:
    """Fit a binomial model with probit link, by statsmodels."""
    import statsmodels.api as sm

    hits = np.array([round(point.value * point.used) for point in points], float)
    counts = np.array([point.used for point in points], float)
    family = sm.families.Binomial(sm.families.links.Probit())
    model = sm.GLM(np.column_stack([hits, counts - hits]), sm.add_constant(x), family=family)
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            fit = model.fit()
    except (ValueError, np.linalg.LinAlgError):
        return None
    made = _Fit(np.asarray(fit.params), np.asarray(fit.cov_params()), float(fit.deviance))
    return made if all(np.isfinite(part).all() for part in made) else None


def _line(x: Floats, points: Sequence[Point]) -> _Fit | None:
    """Fit a line by weighted least squares; the errors of the points are known."""
    error = np.array([point.mcse for point in points])
    if not (np.isfinite(error) & (error > 0)).all():
        return None
    design = np.column_stack([np.ones(len(x)), x]) / error[:, None]
    y = np.array([point.value for point in points]) / error
    try:
        covariance: Any = np.linalg.inv(design.T @ design)
    except np.linalg.LinAlgError:
        return None
    line = covariance @ design.T @ y
    return _Fit(line, covariance, float(((y - design @ line) ** 2).sum()))
