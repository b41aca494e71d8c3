"""The interval that a standard error stands for where a method gives no limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcstudy.arrays import Floats

WALD = "wald"


def wald_limits(
    estimate: Floats, std_error: Floats, level: float, df: Any = None
) -> tuple[Floats, Floats]:
    """Return the limits of a Wald interval; an estimate that is not finite has none.

    Parameters
    ----------
    estimate, std_error : arrays of shape (R,)
        NaN is missing.
    level : float
        Of the interval, between 0 and 1.
    df : float or array of shape (R,), optional
        Degrees of freedom of the standard error: the limits are those of t; normal where it is
        missing or infinite.
    """
    from scipy import special  # not above: it is half of the time in which a worker starts

    upper = (1 + level) / 2
    quantile = special.ndtri(upper)
    if df is not None and (known := np.isfinite(df)).any():
        quantile = np.where(known, special.stdtrit(np.where(known, df, 1.0), upper), quantile)
    with np.errstate(invalid="ignore", over="ignore"):
        half = np.where(np.isfinite(estimate), quantile * std_error, np.nan)
        return estimate - half, estimate + half
