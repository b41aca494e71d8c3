"""What each measure is, and the formula of its Monte Carlo standard error, in a line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mcstudy.columns import WARNED
from mcstudy.measure import REJECTION
from mcstudy.method import Status


class Definition(NamedTuple):
    """What a measure is, and its Monte Carlo standard error; e is estimate minus truth."""

    meaning: str
    mcse: str


_BINOMIAL = "sqrt(p(1 - p)/n) of the share p; limits of Wilson (1927)"
_JACKKNIFE = "jackknife over replicates"
_PAIRED = "sd/sqrt(n) of the differences on the same data sets"
_BY_PAIRS = "jackknife over replicates, both methods at once"

DEFINITIONS: Mapping[str, Definition] = {
    "bias": Definition("mean of e", "sd(e)/sqrt(n)"),
    "relative_bias": Definition(
        "bias/truth; missing where the truth is 0", "sd(e)/(sqrt(n) truth)"
    ),
    "standardized_bias": Definition("bias/empirical SE", _JACKKNIFE),
    "empirical_se": Definition("standard deviation of the estimates", _JACKKNIFE),
    "mse": Definition("mean of e^2", "sd(e^2)/sqrt(n)"),
    "rmse": Definition("sqrt(mean of e^2)", _JACKKNIFE),
    "median_bias": Definition("median of e", "from order statistics (Maritz & Jarrett 1978)"),
    "mad": Definition(
        "1.4826 x the median distance of the estimates from their median", "influence function"
    ),
    "model_se": Definition("sqrt(mean of the squared standard errors)", _JACKKNIFE),
    "relative_error_model_se": Definition(
        "model SE/empirical SE - 1, of the replicates that have both",
        f"{_JACKKNIFE}, of the two together",
    ),
    "mean": Definition(
        "mean of the estimates, where the estimand has no true value",
        "sd/sqrt(n); binomial where all are 0 or 1",
    ),
    "median": Definition(
        "median of the estimates, likewise", "from order statistics (Maritz & Jarrett 1978)"
    ),
    "quantile_05": Definition("5 % of the estimates lie below it, likewise", "the same"),
    "quantile_95": Definition("95 % of the estimates lie below it, likewise", "the same"),
    "coverage": Definition("share of the intervals that contain the truth", _BINOMIAL),
    "coverage_of_all": Definition(
        "share of all replicates with an interval that contains the truth: a missing interval is "
        "a miss",
        _BINOMIAL,
    ),
    "bias_eliminated_coverage": Definition(
        "share of the intervals that contain the mean of the estimates",
        "binomial, with the error of that mean",
    ),
    "miss_below": Definition("share of the intervals that lie below the truth", _BINOMIAL),
    "miss_above": Definition("share of the intervals that lie above the truth", _BINOMIAL),
    "width": Definition("mean width of the finite intervals", "sd/sqrt(n)"),
    "rejection": Definition(
        "share of the intervals without the null value, or of the p-values of at most alpha",
        _BINOMIAL,
    ),
    **{
        f"share_{status}": Definition(
            f"share of the fits that ended so: {status.meaning}", _BINOMIAL
        )
        for status in Status
    },
    "bias_difference": Definition("bias of the method less that of the reference", _PAIRED),
    "mean_difference": Definition(
        "mean of the method less that of the reference, of an estimand without a true value",
        _PAIRED,
    ),
    "mean_ratio": Definition("mean of the method over that of the reference, likewise", _BY_PAIRS),
    "mse_difference": Definition("MSE of the method less that of the reference", _PAIRED),
    "coverage_difference": Definition(
        "coverage of the method less that of the reference, where both have an interval", _PAIRED
    ),
    "coverage_of_all_difference": Definition(
        "the same of all replicates: a missing interval is a miss", _PAIRED
    ),
    "rejection_difference": Definition(
        "rejection rate of the method less that of the reference", _PAIRED
    ),
    "width_difference": Definition("mean width less that of the reference", _PAIRED),
    "empirical_se_ratio": Definition(
        "empirical SE of the method over that of the reference", _BY_PAIRS
    ),
    "relative_precision": Definition(
        "(empirical SE of the reference/that of the method)^2 - 1", _BY_PAIRS
    ),
    "relative_efficiency": Definition("MSE of the reference over that of the method", _BY_PAIRS),
    WARNED: Definition("share of the fits that gave a warning, however they ended", _BINOMIAL),
}
"""The measures of a method, and of two on the same data sets; docs/measures.md says more."""


def definition_of(measure: str, *, of_fits: bool = False) -> Definition | None:
    """Return what a measure is; None of one of the study's own.

    With `of_fits` it is one of the seconds or diagnostics of the fits.
    """
    if measure in DEFINITIONS:
        return DEFINITIONS[measure]
    for beginning in (f"{REJECTION}_difference", REJECTION):
        if measure.startswith(f"{beginning}_"):
            alpha = measure.removeprefix(f"{beginning}_")
            made = DEFINITIONS[beginning]
            return Definition(f"{made.meaning}, at the level {alpha}", made.mcse)
    if of_fits:
        for end, (words, mcse) in _OF_FITS.items():
            if measure.endswith(end):
                name = measure.removesuffix(end)
                what = "seconds" if name == "seconds" else f"diagnostic {name}"
                return Definition(f"{words} of the {what} of the fits", mcse)
    return None


_ORDER = "from order statistics (Maritz & Jarrett 1978)"
_OF_FITS = {
    "_quantile_95": ("95 % quantile", _ORDER),
    "_median": ("median", _ORDER),
    "": ("mean", "sd/sqrt(n); binomial of what is true or false"),
}

OWN_MCSE = (
    "as its function gives it; else binomial for a share, and a jackknife over 40 groups of "
    "replicates for another number"
)
"""The error of a measure of the study's own."""
