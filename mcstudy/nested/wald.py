"""Wald intervals for variances, from an estimate and its standard error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]


def wald(value: Floats, std_error: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return value -/+ z std_error. The lower limit may be negative; nothing is cut.

    Parameters
    ----------
    value, std_error : arrays of one shape
        In the units of the variance; where one is missing, so are the limits.
    level : float
        Nominal coverage.
    """
    half = ndtri((1 + level) / 2) * std_error
    return value - half, value + half


def log_wald(value: Floats, std_error: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return value * exp(-/+ z std_error / value); missing where the value is not positive."""
    positive = np.where(value > 0, value, np.nan)
    with np.errstate(over="ignore"):
        factor = np.exp(ndtri((1 + level) / 2) * std_error / positive)
        return positive / factor, positive * factor
