"""Two-level nested data, simulated: y = u1[group1] + u2[group1, group2] + e."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mcstudy.method import batch_form
from mcstudy.nested.data import NestedBatch, NestedData, NestedDesign


def variances(
    *, group1_sd: float, group2_sd: float, unexplained_sd: float, **_design: object
) -> dict[str, float]:
    """Return the true variances: the estimands of the nested family."""
    return {
        "group1_var": group1_sd**2,
        "group2_var": group2_sd**2,
        "unexplained_var": unexplained_sd**2,
    }


def _generate_batch(
    rngs: Sequence[np.random.Generator],
    *,
    n_group1: int,
    n_group2: int,
    n_rep: int,
    group1_sd: float,
    group2_sd: float,
    unexplained_sd: float,
) -> NestedBatch:
    """Do what `generate_nested` does for each of the generators."""
    design = _design(n_group1, n_group2, n_rep)
    deviations = {
        "group1_sd": group1_sd,
        "group2_sd": group2_sd,
        "unexplained_sd": unexplained_sd,
    }
    for name, value in deviations.items():
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} is {value!r}; give a finite number of 0 or more")
    cells = n_group1 * n_group2
    normals = np.empty((len(rngs), n_group1 + cells + cells * n_rep))
    for rng, row in zip(rngs, normals, strict=True):
        rng.standard_normal(out=row)
    first = normals[:, :n_group1, None]
    second = normals[:, n_group1 : n_group1 + cells].reshape(-1, n_group1, n_group2)
    effects = group1_sd * first + group2_sd * second
    y = normals[:, n_group1 + cells :]
    y *= unexplained_sd
    y.reshape(-1, n_group1, n_group2, n_rep)[...] += effects[..., None]
    return NestedBatch(y, design)


@batch_form(_generate_batch)
def generate_nested(
    rng: np.random.Generator,
    *,
    n_group1: int,
    n_group2: int,
    n_rep: int,
    group1_sd: float,
    group2_sd: float,
    unexplained_sd: float,
) -> NestedData:
    """Simulate one balanced data set of two-level nested data.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the effects of group 1, then those of group 2, then the errors, all normal.
    n_group1 : int
        Number of groups.
    n_group2 : int
        Number of groups within each group.
    n_rep : int
        Number of rows in each group within a group.
    group1_sd, group2_sd, unexplained_sd : float
        Standard deviations of the effects and of the error, in the units of y.

    Returns
    -------
    NestedData
        ``data.y`` is the array of rows, ``data.frame`` a DataFrame with y, group1 and group2.

    Raises
    ------
    ValueError
        For a size below 1 or a negative standard deviation.
    """
    batch = _generate_batch(
        [rng],
        n_group1=n_group1,
        n_group2=n_group2,
        n_rep=n_rep,
        group1_sd=group1_sd,
        group2_sd=group2_sd,
        unexplained_sd=unexplained_sd,
    )
    data: NestedData = batch[0]
    return data


@lru_cache(maxsize=64)
def _design(n_group1: int, n_group2: int, n_rep: int) -> NestedDesign:
    for name, size in {"n_group1": n_group1, "n_group2": n_group2, "n_rep": n_rep}.items():
        if int(size) != size or size < 1:
            raise ValueError(f"{name} is {size!r}; give an integer of 1 or more")
    return NestedDesign.of_sizes(int(n_group1), int(n_group2), int(n_rep))
