"""Names to the words that a reader sees: the `labels` of a study, checked and looked up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mcstudy.arguments import short, suggestion
from mcstudy.errors import StudyError
from mcstudy.grid import Grid, is_plain, level_text
from mcstudy.measure import REJECTION, known_measures

Labels = Mapping[str, str]
_KNOWN_LATER = ("interval", "diagnostic")  # by what the methods return

MEASURE_WORDS = {
    "bias": "Bias",
    "relative_bias": "Relative bias",
    "standardized_bias": "Standardized bias",
    "empirical_se": "Empirical SE",
    "mse": "MSE",
    "rmse": "RMSE",
    "median_bias": "Median bias",
    "mad": "MAD",
    "model_se": "Model SE",
    "relative_error_model_se": "Relative error of the model SE",
    "mean": "Mean",
    "median": "Median",
    "quantile_05": "5 % quantile",
    "quantile_95": "95 % quantile",
    "coverage": "Coverage",
    "coverage_of_all": "Coverage of all data sets",
    "bias_eliminated_coverage": "Bias-eliminated coverage",
    "miss_below": "Share of intervals below the truth",
    "miss_above": "Share of intervals above the truth",
    "width": "Width of the interval",
    "rejection": "Rejection rate",
    "warned": "Share of fits with a warning",
    "bias_difference": "Difference of bias",
    "mse_difference": "Difference of MSE",
    "mean_difference": "Difference of means",
    "mean_ratio": "Ratio of means",
    "empirical_se_ratio": "Ratio of the empirical SEs",
    "relative_precision": "Relative precision",
    "relative_efficiency": "Relative efficiency",
    "coverage_difference": "Difference of coverage",
    "coverage_of_all_difference": "Difference of coverage of all data sets",
    "rejection_difference": "Difference of rejection rate",
    "seconds": "Mean seconds of a fit",
    "seconds_median": "Median seconds of a fit",
    "seconds_quantile_95": "95 % quantile of the seconds of a fit",
    "seconds_ratio": "Ratio of mean seconds",
    "width_difference": "Difference of width",
}
_BEGINNINGS = {
    f"{REJECTION}_difference_": "Difference of rejection rate at {}",
    f"{REJECTION}_": "Rejection rate at {}",
    "share_": "Share of fits: {}",
}
"""Words for measures of which there is one for each level, or each status."""


def label(labels: Labels, name: str, kind: str = "") -> str:
    """Return the words for a name, or the name itself; ``interval=wald`` comes before ``wald``."""
    return labels.get(f"{kind}={name}", labels.get(name, name))


def level_label(labels: Labels, factor: str, level: Any) -> str | None:
    """Return the words for the level of a factor, None where it has no label."""
    if not labels:
        return None
    return labels.get(f"{factor}={level}", labels.get(f"{factor}={level_text(level)}"))


def check_labels(labels: object, where: str) -> None:
    """Raise StudyError unless `labels` maps texts to texts of one line; `where` begins it."""
    if not isinstance(labels, Mapping):
        raise StudyError(f"{where}: labels is {short(labels)}; write {{'name': 'words'}}")
    for name, words in labels.items():
        if not isinstance(name, str) or not name or not is_plain(name):
            raise StudyError(f"{where}: labels names {short(name)}; give a name as text")
        usable = isinstance(words, str) and words.strip() and is_plain(words)
        if not usable or len(words.splitlines()) > 1:
            raise StudyError(
                f"{where}: the label of {short(name)} is {short(words)}; give a text of one line"
            )


def check_labelled(
    labels: Labels,
    where: str,
    conditions: Grid,
    names: Mapping[str, Collection[str]],
    estimands: Collection[str] | None = None,
) -> None:
    """Raise StudyError for the label of what a study does not have.

    `names` are its methods and its own measures, by kind. Without `estimands`, which may be known
    by the true values only, a name that may be one passes.
    """
    if not labels:
        return
    factors = list(conditions.factors)
    known = {
        "factor": factors,
        "method": names["method"],
        "estimand": estimands or (),
        "measure": known_measures(names["measure"]),
    }
    levels = {
        f"{factor}={text}"
        for condition in conditions
        for factor, level in condition.factors.items()
        for text in (level, level_text(level))
    }
    every = [name for of in known.values() for name in of]
    for name in labels:
        kind, _, rest = name.partition("=")
        is_known = name in every or name in levels or rest in known.get(kind, ())
        is_known_later = (rest and kind in _KNOWN_LATER) or (
            estimands is None and kind not in (*factors, "factor", "method", "measure")
        )
        if is_known or is_known_later:
            continue
        raise StudyError(
            f"{where}: labels names {short(name)}{suggestion(name, [*every, *sorted(levels)])}, "
            "which is no factor, method, estimand or measure, and no level like 'n=10'; an "
            "interval and a diagnostic are named as 'interval=NAME', 'diagnostic=NAME'"
        )


def measure_words(name: str) -> str:
    """Return what a measure is called in figures and captions; an own one by its name."""
    if name in MEASURE_WORDS:
        return MEASURE_WORDS[name]
    for beginning, words in _BEGINNINGS.items():
        if name.startswith(beginning):
            return words.format(name.removeprefix(beginning).replace("_", " "))
    return name
