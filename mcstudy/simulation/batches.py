"""What stands for all replicates of a batch: one thing for each of them, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np


def misfit(batch: Any, count: int) -> str:
    """Return why ``batch[i]`` is not what belongs to replicate i of `count`; empty if it is.

    Lists, tuples, arrays by their first axis, and objects with ``len(batch)`` and ``batch[i]`` are
    taken. A frame is none: there ``batch[i]`` is a column, or what has the label i.
    """
    kind = type(batch).__name__
    named = isinstance(batch, Mapping | Set | str | bytes | bytearray)
    if named or not hasattr(batch, "__getitem__") or is_frame(batch):
        return f"an object of type {kind}"
    try:
        found = len(batch)
    except TypeError:  # no length, as of an array of no dimension
        return f"an object of type {kind} without a length"
    if found != count:
        return f"{found} {'item' if found == 1 else 'items'}"
    if _labels(batch) not in (None, list(range(count))):
        return f"an object of type {kind} whose index is not 0 to {count - 1}"
    return ""


def is_frame(thing: Any) -> bool:
    """Return whether a thing is a table, whose items are columns: of pandas, Polars, Arrow."""
    if isinstance(thing, np.ndarray):
        return False
    return hasattr(type(thing), "columns") or hasattr(type(thing), "column_names")


def is_shuffled(thing: Any) -> bool:
    """Return whether a thing has labels, as a pandas Series, that are 0 to R - 1 in other order."""
    labels = _labels(thing)
    if labels is None:
        return False
    numbers = list(range(len(labels)))
    return labels != numbers and set(labels) == set(numbers)


def _labels(thing: Any) -> list[Any] | None:
    """Return the labels of a pandas Series; None for what has none."""
    return list(thing.index) if hasattr(type(thing), "iloc") else None
