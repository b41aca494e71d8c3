"""Anybody's frame to nested data, for `fit` and for studies whose `simulate` returns a frame."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.arrays import Floats, Integers
from mcstudy.errors import TableError
from mcstudy.nested.coding import codes_of, covariates_of, numbers_of
from mcstudy.nested.data import NestedData, NestedDesign

if TYPE_CHECKING:
    import pandas as pd

CONSTANT = "intercept"
_COLUMNS = ("y", "group1", "group2")

# Labels that are reused on purpose, as class 1, 2 and 3 of each school, are as few as the cells of
# a group, and stand for many rows each; those of crossed raters or items are many, or have a row or
# two per cell.
_MANY_GROUPS = 3
_FEW_ROWS = 3
_MORE_LABELS = 2


def as_nested(data: Any) -> NestedData:
    """Return nested data as they are, and a frame as nested data.

    A frame has the columns y, group1 and group2; all further columns are covariates with fixed
    effects, as in `NestedData.frame`.

    Raises
    ------
    TableError
        For anything else.
    """
    if isinstance(data, NestedData):
        return data
    frame = as_frame(data)
    _check_there(frame, _COLUMNS)
    return nested_data(frame, "y", _COLUMNS[1:], [x for x in frame.columns if x not in _COLUMNS])


def as_frame(data: Any) -> pd.DataFrame:
    """Return any kind of data frame as a pandas one; raise TableError for what is none."""
    from mcstudy.external.frames import as_pandas, is_frame, no_frame

    if not is_frame(data):
        raise no_frame(data, "a data frame of pandas, Polars or Arrow")
    return as_pandas(data)


def names_of(exog: Any) -> list[Hashable]:
    """Return the names of columns: of a sequence, an array or an index, or a single one."""
    if exog is None:
        return []
    if isinstance(exog, str) or not isinstance(exog, Iterable):
        return [exog]
    if hasattr(exog, "columns") or getattr(exog, "ndim", 1) > 1:
        raise TableError("exog has columns of its own; give their names, and them in the frame")
    return [name.item() if isinstance(name, np.generic) else name for name in exog]


def nested_data(
    frame: pd.DataFrame, response: Hashable, groups: tuple[Hashable, ...], exog: list[Hashable]
) -> NestedData:
    """Return the nested data of a frame, rows sorted by groups.

    Raises
    ------
    TableError
        For columns that are not there or cannot be used.
    """
    wanted = [response, *groups, *exog]
    _check_there(frame, wanted)
    for name in wanted:
        if wanted.count(name) > 1:
            raise TableError(f"column {name!r} is asked for twice")
        if frame[name].ndim > 1:
            raise TableError(f"the frame has more than one column {name!r}")
    if not len(frame):
        raise TableError("the frame has no rows")
    first, second = (codes_of(frame[name], str(name)) for name in groups)
    order = np.lexsort((second, first))
    design = _design(first[order], second[order])
    y = numbers_of(frame[response], str(response))[order]
    return NestedData(y, design, _covariates(frame, exog, order))


def _check_there(frame: pd.DataFrame, names: Iterable[Hashable]) -> None:
    there = set(frame.columns)
    if missing := [name for name in names if not isinstance(name, Hashable) or name not in there]:
        have = ", ".join(map(str, list(frame.columns)[:30])) or "none"
        more = ", ..." if len(frame.columns) > 30 else ""
        kind = "column" if len(missing) == 1 else "columns"
        names_missing = ", ".join(map(repr, missing))
        raise TableError(f"the frame has no {kind} {names_missing}; it has {have}{more}")


def _covariates(frame: pd.DataFrame, exog: list[Hashable], order: Integers) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for name in exog:
        for label, column in covariates_of(frame[name], str(name)).items():
            if label == CONSTANT:
                raise TableError(
                    f"exog: {label!r} is the name of the constant, which is always there; rename "
                    "the column, or leave it out"
                )
            if label in found:
                raise TableError(f"exog: two columns are called {label!r}; rename one")
            found[label] = column[order]
    return found


def _design(group1: Integers, group2: Integers) -> NestedDesign:
    """Return the design of sorted rows, balanced where it is."""
    cells, count = np.unique(np.stack([group1, group2]), axis=1, return_counts=True)
    in_group = np.unique(cells[0], return_counts=True)[1]
    if (count == count[0]).all() and (in_group == in_group[0]).all():
        return NestedDesign(group1, group2, (len(in_group), int(in_group[0]), int(count[0])))
    return NestedDesign(group1, group2)


def shared_labels(design: NestedDesign, group1: str, group2: str) -> str:
    """Return a note on labels of group 2 that may be one thing in many groups, else nothing.

    Parameters
    ----------
    design : NestedDesign
        Its integers stand for the labels as they were given.
    group1, group2 : str
        Names of the columns.
    """
    cells = np.unique(np.stack([design.group1, design.group2]), axis=1)
    under = np.unique(cells[1], return_counts=True)[1]
    in_group = np.unique(cells[0], return_counts=True)[1]
    rows, groups = len(design.group1) / cells.shape[1], len(in_group)
    many = float(np.median(under))
    if many < _MANY_GROUPS:
        return ""
    if rows > _FEW_ROWS and len(under) < _MORE_LABELS * in_group.max():
        return ""
    return (
        f"a label of {group2!r} occurs under {many:g} of the {groups} labels of {group1!r} (median "
        f"of {len(under)} labels), with {rows:.3g} rows each time. Each time counts as a group of "
        "its own. If a label means the same everywhere, the data are crossed, not nested: fit them "
        "with lme4, or with statsmodels MixedLM and a variance component for each."
    )
