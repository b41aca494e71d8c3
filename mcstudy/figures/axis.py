"""Where the levels of a factor stand on an axis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from mcstudy.analysis.select import levels_of
from mcstudy.arrays import Floats
from mcstudy.columns import WORDS
from mcstudy.figures.cells import Request


@dataclass(frozen=True)
class Axis:
    """Where the levels of a dimension stand on an axis, in pixels of a panel `width` wide.

    `step` is the smallest distance of two levels; a line may join them if they are `numeric`.
    `scale` is "log" or "equal" where the distances are not those of the numbers.
    """

    name: str
    title: str
    places: Sequence[float]
    labels: Sequence[str]
    step: float
    width: float
    numeric: bool
    scale: str

    def x(self) -> alt.X:
        """Return the place on the axis as a channel."""
        labels, places = json.dumps(list(self.labels)), json.dumps(list(self.places))
        crowded = not self.numeric and max(map(len, self.labels)) * _LETTER > self.step
        return alt.X(
            "x:Q",
            scale=alt.Scale(domain=[0, self.width], nice=False, zero=False),
            title=self.title,
            axis=alt.Axis(
                values=list(self.places),
                labelExpr=f"{labels}[indexof({places}, datum.value)]",
                grid=False,
                ticks=True,
                labelAngle=-35 if crowded else 0,
                labelLimit=160 if crowded else max(int(self.step * 1.1), 60),
                labelOverlap="greedy" if self.numeric else False,
            ),
        )

    def note(self) -> str:
        """Return how the distances of the levels are to be read, where it is not plain."""
        how = {"log": "on a log scale", "equal": "at equal distances"}.get(self.scale, "")
        return f"{self.title} {how}" if how and self.numeric else ""


_LETTER = 6  # pixels of a letter of a label
_LEAST_GAP = 0.3  # of an equal distance: levels closer than that are hard to tell apart


def axis_of(
    request: Request, frame: pd.DataFrame, name: str, width: float, *, equal: bool = False
) -> Axis:
    """Return the axis of a dimension.

    With `equal` the levels of a number have equal distances too, which leaves room beside them.
    """
    levels = levels_of(frame, name)
    numbers = [x for x in levels if isinstance(x, int | float | np.number) and x == x]
    numeric = name not in WORDS and len(numbers) == len(levels) > 1
    numeric = numeric and not any(isinstance(x, bool | np.bool_) for x in levels)
    scale, spots = ("", np.arange(len(levels), dtype=float))
    if numeric and equal:
        scale = "equal"
    elif numeric:
        scale, spots = _spread(np.array(levels, dtype=float))
    # A margin of half a step on both sides, within which the dodged marks stand.
    step, places = width * 0.6, np.array([width / 2])
    if len(spots) > 1:
        share = np.diff(spots).min() / (spots[-1] - spots[0])
        step = width * share / (1 + share)
        places = step / 2 + (spots - spots[0]) * ((width - step) / (spots[-1] - spots[0]))
    labels, at = request.levels_alone(name, levels), [round(float(x), 2) for x in places]
    return Axis(name, request.say(name), at, labels, step, width, numeric, scale)


def _spread(levels: Floats) -> tuple[str, Floats]:
    """Return where numbers stand: as they are, by their logarithms, or at equal distances."""

    def even(spots: Floats) -> bool:
        gaps = np.diff(spots)
        return bool(np.isfinite(spots).all() and gaps.min() >= _LEAST_GAP * gaps.mean())

    if even(levels):
        return "", levels
    if levels.min() > 0 and even(np.log(levels)):
        return "log", np.log(levels)
    return "equal", np.arange(len(levels), dtype=float)
