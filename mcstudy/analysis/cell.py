"""Rows to a cell: what the measures of one estimand are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mcstudy.analysis.mcse import Floats, finite, mean


@dataclass(frozen=True)
class Cell:
    """What one method said of one estimand under one condition, by replicate; NaN is missing.

    Parameters
    ----------
    truth : float
        The true value.
    estimate, std_error : arrays of shape (R,)
        In the estimand's units.
    lower, upper : arrays of shape (R,), optional
        The limits of one interval.
    null : float, optional
        The value that a test rejects when the interval does not contain it.
    """

    truth: float
    estimate: Floats
    std_error: Floats
    lower: Floats | None = None
    upper: Floats | None = None
    null: float = np.nan

    @cached_property
    def finite_estimate(self) -> Floats:
        """The finite estimates."""
        return finite(self.estimate)

    @cached_property
    def mean(self) -> float:
        """Their mean, NaN without any."""
        return mean(self.finite_estimate) if len(self.finite_estimate) else np.nan

    @cached_property
    def deviation(self) -> Floats:
        """The finite estimates minus their mean."""
        return self.finite_estimate - self.mean

    @cached_property
    def error(self) -> Floats:
        """The finite estimates minus the truth; none where there is no truth."""
        return self.finite_estimate - self.truth if np.isfinite(self.truth) else np.empty(0)

    @cached_property
    def squared_std_error(self) -> Floats:
        """Squares of the finite standard errors."""
        return finite(self.std_error) ** 2

    @cached_property
    def with_both(self) -> Cell:
        """The replicates that have an estimate and a standard error, without intervals."""
        both = np.isfinite(self.estimate) & np.isfinite(self.std_error)
        return Cell(self.truth, self.estimate[both], self.std_error[both])

    @cached_property
    def limits(self) -> tuple[Floats, Floats]:
        """Limits of the intervals that exist."""
        assert self.lower is not None
        assert self.upper is not None
        exist = ~(np.isnan(self.lower) | np.isnan(self.upper))
        return (self.lower, self.upper) if exist.all() else (self.lower[exist], self.upper[exist])

    def hits(self, value: float) -> NDArray[np.bool_]:
        """Return which of the intervals that exist contain `value`; none for a missing value."""
        lower, upper = self.limits
        return (lower <= value) & (value <= upper) if np.isfinite(value) else np.empty(0, bool)
