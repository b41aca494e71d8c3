"""The interval that a standard error stands for where a method gives no limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcstudy.arrays import Floats

WALD = "wald"


def wald_limits(
    estimate: Any, std_error: Any, level: float, df: Any = None
) -> tuple[Floats, Floats]:
    """Return the limits of a Wald interval, of shape (R,); an estimate not finite has none.

    With degrees of freedom `df`, a number or of shape (R,), they are those of t; normal where it is
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
