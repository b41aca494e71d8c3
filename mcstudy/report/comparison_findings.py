"""What a study found of its methods on the same data, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.figures.style import label
from mcstudy.report.reported import keeps_rows
from mcstudy.report.sentences import MOST, Finding, StudyWords, beyond, left_out
from mcstudy.tables.numbers import FEW_MISSING, number_with_error

_COMPARED = {"mse_difference": "mean squared errors", "mean_difference": "means"}
"""What is said of two methods that do not differ, too."""
_COVERAGE = "coverage_difference"
_GROUP = ["method", "reference", "estimand", "interval", "measure"]


def comparisons(study: StudyWords) -> Iterator[Finding]:
    """Yield where two methods differ, and which do not."""
    if not keeps_rows(study.results) or study.results.comparisons.empty:
        return
    frame, methods = study.results.comparisons, list(study.performance["method"].unique())
    frame = frame[frame["method"].isin(methods) & frame["reference"].isin(methods)]
    frame = frame[frame["measure"].isin([*_COMPARED, _COVERAGE]) & frame["value"].notna()]
    of_errors, of_coverage, equal = list[Any](), list[Any](), dict[Any, list[Any]]()
    for group in _counts(frame):
        if group.better or group.worse:
            (of_coverage if group.measure == _COVERAGE else of_errors).append(group)
        elif group.measure != _COVERAGE:
            key = group.method, group.reference, group.measure, group.unequal
            equal.setdefault(key, []).append(group)
    for some in (of_errors, of_coverage):
        yield from (Finding(_difference(study, frame, group)) for group in some[:MOST])
        yield from left_out(some, "difference", " between two methods")
    yield from (Finding(_equality(study, alike)) for alike in list(equal.values())[:MOST])


def _counts(frame: pd.DataFrame) -> list[Any]:
    """Return for each pair of methods and measure in how many conditions which one is smaller.

    All at once: a study of many methods and estimands has 100,000 of them.
    """
    differs, value = beyond(frame), frame["value"]
    frame = frame.assign(
        better=differs & (value < 0), worse=differs & (value > 0), unequal=value != 0
    )
    summed = frame.groupby(_GROUP, sort=False, observed=True, dropna=False).agg(
        better=("better", "sum"),
        worse=("worse", "sum"),
        unequal=("unequal", "any"),
        size=("value", "size"),
        few=("used", "min"),
        most=("used", "max"),
        whole=("replicates", "max"),
    )
    return list(summed.reset_index().itertuples(index=False))


def _difference(study: StudyWords, frame: pd.DataFrame, group: Any) -> str:
    """Return the sentence of two methods that differ."""
    one, other = (label(study.results, n, "method") for n in (group.method, group.reference))
    what = label(study.results, group.estimand, "estimand")
    said = [f"below that of {other} in {group.better}"] if group.better else []
    above = "it" if group.better else f"that of {other}"
    said += [f"above {above} in {group.worse}"] if group.worse else []
    of = f" of {group.size} conditions" if group.size > 1 else " condition"
    few, most, whole = int(group.few), int(group.most), int(group.whole)
    on = f" ({f'{few}' if few == most else f'{few} to {most}'} of {whole}, where both have one)"
    on = on if few < (1 - FEW_MISSING) * whole else ""
    subject, largest = f"mean {what} of {one}", ""
    if group.measure == "mse_difference":
        subject = f"mean squared error of {one} for {what}"
    elif group.measure == _COVERAGE:
        name = label(study.results, group.interval, "interval")
        subject = f"coverage of the interval “{name}” of {one} for {what}"
        largest = _largest(study, frame, group)
    return f"On the same data sets{on}, the {subject} is {' and '.join(said)}{of}{largest}."


def _largest(study: StudyWords, frame: pd.DataFrame, group: Any) -> str:
    """Return the largest difference of a pair, and where it is."""
    ours = np.logical_and.reduce([frame[name] == getattr(group, name) for name in _GROUP])
    row = frame[ours].iloc[frame[ours]["value"].abs().argmax()]
    size = number_with_error(row["value"], row["mcse"])
    return f"; the largest difference is {size}{study.place(row)}"


def _equality(study: StudyWords, alike: Sequence[Any]) -> str:
    """Return the sentence of two methods that do not differ for some estimands."""
    first, more = alike[0], len(alike) - MOST
    one, other = (label(study.results, n, "method") for n in (first.method, first.reference))
    names = [label(study.results, group.estimand, "estimand") for group in alike[:MOST]]
    shown = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    differ = "do not differ beyond Monte Carlo error" if first.unequal else "are the same"
    few, whole = min(group.few for group in alike), max(group.whole for group in alike)
    on = f", on the data sets in which both have one (at least {few} of {whole})"
    on = on if few < (1 - FEW_MISSING) * whole else ""
    return f"The {_COMPARED[first.measure]} of {one} and {other} for {shown} {differ}{on}."
