"""Whether data given as nested look crossed: the same labels of group 2 in many groups."""

from __future__ import annotations

import numpy as np

from mcstudy.nested.data import NestedDesign

# Labels that are reused on purpose, as class 1, 2 and 3 of each school, are as few as the cells of
# a group, and stand for many rows each; those of crossed raters or items are many, or have a row or
# two per cell.
_MANY_GROUPS = 3
_FEW_ROWS = 3
_MORE_LABELS = 2


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
