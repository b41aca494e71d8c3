"""Where the levels of a factor stand on an axis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.select import levels_of
from mcstudy.columns import WORDS
from mcstudy.figures.cells import Request
from mcstudy.figures.style import level_label, unlike


@dataclass(frozen=True)
class Axis:
    """Where the levels of a dimension stand on an axis of so many pixels.

    Parameters
    ----------
    name, title : str
        The dimension, and its words.
    places : sequence of float
        Of the levels.
    labels : sequence of str
        Of the levels.
    step : float
        The smallest distance of two of them.
    width : float
        Of the panel.
    numeric : bool
        Whether a line may join the levels.
    scale : str
        ``"log"`` or ``"equal"`` where the distances are not those of the numbers; else empty.
    """

    name: str
    title: str
    places: Sequence[float]
    labels: Sequence[str]
    step: float
    width: float
    numeric: bool
    scale: str = ""

    @property
    def label_expression(self) -> str:
        """The Vega expression from a place to its label."""
        labels, places = json.dumps(list(self.labels)), json.dumps(list(self.places))
        return f"{labels}[indexof({places}, datum.value)]"


_LEAST_GAP = 0.3  # of an equal distance: levels closer than that are hard to tell apart


def axis_of(
    request: Request, frame: pd.DataFrame, name: str | None, width: float, *, equal: bool = False
) -> Axis:
    """Return the axis of a dimension; without one there is one place, in the middle.

    With `equal` the levels of a number have equal distances too, which leaves room beside them.
    """
    if name is None:
        return Axis("", "", [width / 2], [""], width * 0.6, width, False)
    levels = levels_of(frame, name)
    numbers = [x for x in levels if isinstance(x, int | float | np.number) and x == x]
    numeric = name not in WORDS and len(numbers) == len(levels) > 1
    numeric = numeric and not any(isinstance(x, bool | np.bool_) for x in levels)
    scale, spots = ("", np.arange(len(levels), dtype=float))
    if numeric and equal:
        scale = "equal"
    elif numeric:
        scale, spots = _spread(np.array(levels, dtype=float))
    labels = request.levels(name, levels)
    if name not in WORDS:
        labels = unlike([level_label(request.record, name, level) for level in levels])
    share = np.diff(spots).min() / (spots[-1] - spots[0]) if len(spots) > 1 else 1.0
    # A margin of half a step on both sides, within which the dodged marks stand.
    step = width * share / (1 + share) if len(spots) > 1 else width * 0.6
    unit = (width - step) / (spots[-1] - spots[0]) if len(spots) > 1 else 0.0
    at = step / 2 + (spots - spots[0]) * unit if len(spots) > 1 else np.array([width / 2])
    title = request.say(name)
    return Axis(name, title, [round(float(x), 2) for x in at], labels, step, width, numeric, scale)


def _spread(levels: np.ndarray[Any, Any]) -> tuple[str, np.ndarray[Any, Any]]:
    """Return where numbers stand: as they are, by their logarithms, or at equal distances."""

    def even(spots: np.ndarray[Any, Any]) -> bool:
        gaps = np.diff(spots)
        return bool(np.isfinite(spots).all() and gaps.min() >= _LEAST_GAP * gaps.mean())

    if even(levels):
        return "", levels
    if levels.min() > 0 and even(np.log(levels)):
        return "log", np.log(levels)
    return "equal", np.arange(len(levels), dtype=float)
