"""Monte Carlo limits of measures: how far a cell may lie from what it shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z = 1.959963984540054
_SHARES = ("coverage", "bias_eliminated_coverage", "miss_below", "miss_above", "rejection")
_ZERO = ("bias", "relative_bias", "standardized_bias", "median_bias", "relative_error_model_se")
_ONE = ("empirical_se_ratio", "relative_efficiency")


def is_share(measure: str) -> bool:
    """Return whether a measure is the share of replicates in which something holds."""
    return measure in _SHARES or measure.startswith("share_")


def target(measure: str, level: float) -> float:
    """Return what a measure should be: `level` for coverage, 0 for bias; NaN if there is none."""
    if measure in ("coverage", "bias_eliminated_coverage"):
        return level
    if measure in ("miss_below", "miss_above"):
        return (1 - level) / 2
    if measure in _ZERO or measure.endswith("_difference") or measure == "relative_precision":
        return 0.0
    return 1.0 if measure in _ONE else float("nan")


def wilson(share: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Return Wilson's 95 % limits of shares of `count` replicates (Wilson 1927)."""
    share, count = np.asarray(share, dtype=float), np.asarray(count, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
        half = Z * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
        half = half / (1 + Z**2 / count)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def with_limits(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of measures that has `lower` and `upper`: its own, or else made here."""
    if {"lower", "upper"} <= set(frame.columns):
        return frame
    value, mcse = frame["value"].to_numpy(dtype=float), frame["mcse"].to_numpy(dtype=float)
    share = frame["measure"].map(is_share).to_numpy(dtype=bool)
    limits = wilson(np.where(share, value, np.nan), frame["used"].to_numpy(dtype=float))
    lower = np.where(share, limits[0], value - Z * mcse)
    upper = np.where(share, limits[1], value + Z * mcse)
    return frame.assign(lower=lower, upper=upper)


def errors(frame: pd.DataFrame) -> Floats:
    """Return a standard error of each cell that is above 0 for shares of 0 and 1 too.

    It is the MCSE, and for a share half the width of Wilson's limits over 1.96.
    """
    frame = with_limits(frame)
    mcse: Floats = frame["mcse"].to_numpy(dtype=float)
    share = frame["measure"].map(is_share).to_numpy(dtype=bool)
    lower, upper = wilson(
        np.where(share, frame["value"].to_numpy(dtype=float), np.nan),
        frame["used"].to_numpy(dtype=float),
    )
    return np.where(share, (upper - lower) / (2 * Z), mcse)
