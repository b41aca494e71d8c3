"""Monte Carlo limits of measures: how far a cell may lie from what it shows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mcstudy.analysis.mcse import wilson
from mcstudy.arrays import Floats
from mcstudy.columns import WARNED
from mcstudy.measure import Z

_COLUMNS = ("measure", "value", "mcse", "used")
_SHARES = ("coverage", "bias_eliminated_coverage", "miss_below", "miss_above", "rejection", WARNED)
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


def with_limits(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of measures that has `lower` and `upper`: its own, or else made here."""
    if {"lower", "upper"} <= set(frame.columns):
        return frame
    limits = [_limits(*row) for row in zip(*(frame[name] for name in _COLUMNS), strict=True)]
    lower, upper = np.array(limits, dtype=float).reshape(-1, 2).T
    return frame.assign(lower=lower, upper=upper)


def _limits(measure: str, value: float, mcse: float, used: int) -> tuple[float, float]:
    if is_share(measure) and used:
        return wilson(value, used)
    return value - Z * mcse, value + Z * mcse


def errors(frame: pd.DataFrame) -> Floats:
    """Return a standard error of each cell that is above 0 for shares of 0 and 1 too.

    It is the MCSE, and for a share half the width of Wilson's limits over 1.96, as for all that
    has an MCSE of 0 and limits that say more, like a share among one's own measures.
    """
    frame = with_limits(frame)
    share = frame["measure"].map(is_share).to_numpy(dtype=bool)
    width = frame["upper"].to_numpy(dtype=float) - frame["lower"].to_numpy(dtype=float)
    mcse = frame["mcse"].to_numpy(dtype=float)
    return np.where(share | ((mcse == 0) & (width > 0)), width / (2 * Z), mcse)
