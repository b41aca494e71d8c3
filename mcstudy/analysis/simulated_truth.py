"""The Monte Carlo error of a true value that was simulated, in the measures that rest on it.

The measure is taken again with the true value one standard error up and down. Half the difference
is its share of the error, by the delta method; it is independent of the replicates, so that the
squares add up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mcstudy.analysis.measures import Cell
from mcstudy.measure import Measured
from mcstudy.truths import mcse_of


def with_error_of_truth(measure: Callable[[Cell], Measured], cell: Cell) -> Measured:
    """Return a measure of a cell, with the error of the cell's true value in its own."""
    made, error = measure(cell), mcse_of(cell.truth)
    if not (error > 0 and made.used):
        return made
    sides = (measure(replace(cell, truth=cell.truth + side * error)).value for side in (1, -1))
    return widened(made, *sides)


def widened(made: Measured, above: Any, below: Any) -> Measured:
    """Return a measure whose error also has half the difference of two values.

    Limits of its own are widened by as much as the error is. What it holds may be arrays.
    """
    further = np.abs(np.subtract(above, below)) / 2
    further = np.where(np.isfinite(further), further, 0.0)
    mcse: Any = np.hypot(made.mcse, further)
    if made.limits is None:
        return Measured(made.value, _plain(mcse), made.used)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.where(np.asarray(made.mcse) > 0, mcse / np.asarray(made.mcse), 1.0)
    # Where the error of the replicates is none, as that of a share of 1, the limits are not.
    limits = [made.value + (np.asarray(limit) - made.value) * times for limit in made.limits]
    return Measured(made.value, _plain(mcse), made.used, (_plain(limits[0]), _plain(limits[1])))


def _plain(number: Any) -> Any:
    """Return an array of no dimension as a float."""
    return float(number) if np.ndim(number) == 0 else number
