"""Two methods on the same data: how many seconds they take, and how their diagnostics differ."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mcstudy.analysis.fit_measures import FIT_COLUMNS, FIT_KEY, SECONDS, floats
from mcstudy.analysis.measure_table import numbers
from mcstudy.comparison.paired_measures import Pair, mean_estimate_difference, mean_estimate_ratio


def fit_comparisons(
    made: pd.DataFrame, conditions: pd.DataFrame, method: str, reference: str
) -> pd.DataFrame:
    """Return what lies between two methods on the same data: a ratio of seconds, differences."""
    names = [name for name in made.columns if name not in FIT_KEY]
    lines = []
    for condition, rows in made.groupby("condition", sort=False):
        for name in names:
            wide = rows.pivot(index="replicate", columns="method", values=name)
            if not {method, reference} <= set(wide.columns):
                continue
            one, other = (floats(wide[column]) for column in (method, reference))
            if not (np.isfinite(one) & np.isfinite(other)).any():
                continue
            ratio = name == SECONDS
            compare = mean_estimate_ratio if ratio else mean_estimate_difference
            measure = f"{name}_{'ratio' if ratio else 'difference'}"
            answer = compare(Pair(0.0, one, other))
            found = (*map(float, numbers(answer)[:4]), answer.used, len(wide))
            lines.append((condition, method, reference, None, None, measure, *found))
    frame = pd.DataFrame(lines, columns=["condition", "method", "reference", *FIT_COLUMNS])
    return conditions.merge(frame, on="condition").drop(columns="condition")
