"""Two-level nested data, simulated: y = u1[group1] + u2[group1, group2] + e, and more."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Booleans, Floats
from mcstudy.method import batch_form
from mcstudy.nested.data import NestedBatch, NestedData, NestedDesign
from mcstudy.nested.distributions import shape

_CACHED = 2**16  # numbers at a time, half a MB: they stay in a core's cache
SLOPES = {"row_slope": "x_row", "cell_slope": "x_cell", "group_slope": "x_group"}


def variances(
    *, group1_sd: float, group2_sd: float, unexplained_sd: float, **_design: object
) -> dict[str, float]:
    """Return the true variances: the estimands of the nested family."""
    return {
        "group1_var": group1_sd**2,
        "group2_var": group2_sd**2,
        "unexplained_var": unexplained_sd**2,
    }


@dataclass(frozen=True)
class Recipe:
    """How nested data are made; the parameters are those of `generate_nested`."""

    n_group1: int
    n_group2: int
    n_rep: int
    group1_sd: float
    group2_sd: float
    unexplained_sd: float
    group1_shape: str = "normal"
    group2_shape: str = "normal"
    unexplained_shape: str = "normal"
    cell_sizes: str | None = None
    dropped_rows: float = 0.0
    dropped_cells: float = 0.0
    intercept: float = 0.0
    row_slope: float | None = None
    cell_slope: float | None = None
    group_slope: float | None = None

    def __post_init__(self) -> None:
        sizes, shares = ("n_group1", "n_group2", "n_rep"), ("dropped_rows", "dropped_cells")
        for name, value in vars(self).items():
            number = isinstance(value, Real) and math.isfinite(value)
            if name in sizes and not (number and value >= 1 and int(value) == value):
                raise ValueError(f"{name} is {value!r}; give an integer of 1 or more")
            if name.endswith("_sd") and not (number and value >= 0):
                raise ValueError(f"{name} is {value!r}; give a finite number of 0 or more")
            if name in shares and not (number and 0 <= value < 1):
                raise ValueError(f"{name} is {value!r}; give a share from 0 to below 1")
            free = name == "intercept" or (name in SLOPES and value is not None)
            if free and not number:
                raise ValueError(f"{name} is {value!r}; give a finite number")
        for name in sizes:
            object.__setattr__(self, name, int(getattr(self, name)))

    @property
    def design(self) -> NestedDesign:
        """The rows before any are dropped."""
        sizes = self.n_group1, self.n_group2, self.n_rep
        if self.cell_sizes is None:
            return _balanced(*sizes)
        return _of_cell_sizes(*sizes[:2], self.cell_sizes)


def _generate_batch(rngs: Sequence[np.random.Generator], **factors: object) -> NestedBatch:
    """Do what `generate_nested` does for each of the generators."""
    recipe = Recipe(**factors)  # type: ignore[arg-type]
    design = recipe.design
    rows, groups, cells = len(design.group1), recipe.n_group1, recipe.n_group1 * recipe.n_group2
    drawn = np.empty((len(rngs), groups + cells + rows))
    step = max(1, _CACHED // drawn.shape[1])
    for start in range(0, len(rngs), step):
        some = slice(start, start + step)
        _draw(rngs[some], recipe, drawn[some], (groups, cells, rows))
        _add_effects(recipe, design, drawn[some], groups, cells)
    y = drawn[:, groups + cells :]
    covariates = _add_covariates(rngs, recipe, design, y)
    return NestedBatch(y, design, _kept(rngs, recipe, design), covariates)


def _draw(
    rngs: Sequence[np.random.Generator], recipe: Recipe, drawn: Floats, counts: tuple[int, int, int]
) -> None:
    """Fill each row with standardised effects of group 1, of group 2, and errors."""
    shapes = recipe.group1_shape, recipe.group2_shape, recipe.unexplained_shape
    if shapes == ("normal",) * 3:
        for rng, row in zip(rngs, drawn, strict=True):
            rng.standard_normal(out=row)
        return
    draws = [shape(text) for text in shapes]
    for rng, row in zip(rngs, drawn, strict=True):
        row[:] = np.concatenate([draw(rng, n) for draw, n in zip(draws, counts, strict=True)])


def _add_effects(
    recipe: Recipe, design: NestedDesign, drawn: Floats, groups: int, cells: int
) -> None:
    """Turn the errors into responses."""
    group1 = drawn[:, :groups].reshape(-1, groups, 1)
    group2 = drawn[:, groups : groups + cells].reshape(-1, groups, recipe.n_group2)
    effects = recipe.group1_sd * group1 + recipe.group2_sd * group2
    if recipe.intercept:
        effects += recipe.intercept
    y = drawn[:, groups + cells :]
    y *= recipe.unexplained_sd
    if design.balanced is not None:
        y += np.repeat(effects, recipe.n_rep).reshape(y.shape)
    else:
        y += effects.reshape(len(y), -1)[:, _cell_of_row(design, recipe.n_group2)]


@batch_form(_generate_batch)
def generate_nested(rng: np.random.Generator, **factors: object) -> NestedData:
    """Simulate one data set of two-level nested data.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the effects of group 1, then those of group 2, then the errors, then covariates (row,
        cell, group), then what is dropped (rows, cells).
    n_group1, n_group2, n_rep : int
        Number of groups, of groups within each, of rows in each of these.
    group1_sd, group2_sd, unexplained_sd : float
        Standard deviations of the effects and of the error, in the units of y.
    group1_shape, group2_shape, unexplained_shape : str, default "normal"
        ``"t(5)"``, ``"chi_square(3)"`` or ``"contaminated(0.1, 5)"`` (share, ratio of standard
        deviations), scaled to the stated standard deviation.
    cell_sizes : str, optional
        Rows in each cell in place of `n_rep`, as ``"2 5 9"``: in turn, over all cells.
    dropped_rows, dropped_cells : float, default 0
        The probability with which each row, each cell, is missing.
    intercept : float, default 0
        The mean of y.
    row_slope, cell_slope, group_slope : float, optional
        Coefficients of the standard normal covariates x_row, x_cell and x_group, which vary with
        the row, the cell and group 1; without a coefficient there is no such covariate.

    Returns
    -------
    NestedData
        ``data.y`` is the array of rows, ``data.frame`` a DataFrame with y, group1 and group2.

    Raises
    ------
    ValueError
        For a size below 1, a negative standard deviation, a share outside [0, 1) or a shape that is
        not known.
    """
    data: NestedData = _generate_batch([rng], **factors)[0]
    return data


def _signature(first: str, kind: type) -> inspect.Signature:
    """Return the signature of a generator: its random part, then the recipe by keyword."""
    leading = inspect.Parameter(first, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
    rest = inspect.signature(Recipe).parameters.values()
    return inspect.Signature(
        [leading, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in rest)]
    )


generate_nested.__signature__ = _signature("rng", np.random.Generator)  # type: ignore[attr-defined]
_generate_batch.__signature__ = _signature("rngs", list)  # type: ignore[attr-defined]


def _add_covariates(
    rngs: Sequence[np.random.Generator], recipe: Recipe, design: NestedDesign, y: Floats
) -> dict[str, Floats]:
    """Draw the covariates that have a coefficient, and add their effects to y."""
    cell = _cell_of_row(design, recipe.n_group2)
    places = {"row_slope": None, "cell_slope": cell, "group_slope": cell // recipe.n_group2}
    covariates = {}
    for slope, place in places.items():
        coefficient = getattr(recipe, slope)
        if coefficient is not None:
            count = len(design.group1) if place is None else int(place.max()) + 1
            drawn = np.stack([rng.standard_normal(count) for rng in rngs])
            column = drawn if place is None else drawn[:, place]
            y += coefficient * column
            covariates[SLOPES[slope]] = column
    return covariates


def _kept(
    rngs: Sequence[np.random.Generator], recipe: Recipe, design: NestedDesign
) -> Booleans | None:
    """Draw which rows stay; at least one does."""
    if not recipe.dropped_rows and not recipe.dropped_cells:
        return None
    cell = _cell_of_row(design, recipe.n_group2)
    kept = np.ones((len(rngs), len(cell)), dtype=bool)
    for rng, row in zip(rngs, kept, strict=True):
        if recipe.dropped_rows:
            row &= rng.random(len(cell), dtype=np.float32) >= np.float32(recipe.dropped_rows)
        if recipe.dropped_cells:
            row &= (rng.random(recipe.n_group1 * recipe.n_group2) >= recipe.dropped_cells)[cell]
        row[0] |= not row.any()
    return kept


@lru_cache(maxsize=64)
def _balanced(n_group1: int, n_group2: int, n_rep: int) -> NestedDesign:
    return NestedDesign.of_sizes(n_group1, n_group2, n_rep)


@lru_cache(maxsize=64)
def _of_cell_sizes(n_group1: int, n_group2: int, text: str) -> NestedDesign:
    try:
        sizes = [int(size) for size in text.replace(",", " ").split()]
        if not sizes or min(sizes) < 1:
            raise ValueError
    except (AttributeError, ValueError):
        raise ValueError(f"cell_sizes is {text!r}; write numbers of rows, as '2 5 9'") from None
    cells = n_group1 * n_group2
    rows = np.resize(sizes, cells)
    return NestedDesign(
        group1=np.repeat(np.repeat(np.arange(n_group1), n_group2), rows),
        group2=np.repeat(np.tile(np.arange(n_group2), n_group1), rows),
    )


@lru_cache(maxsize=64)
def _cell_of_row(design: NestedDesign, n_group2: int) -> NDArray[np.int64]:
    """Return which cell each row is in, counted from 0."""
    return design.group1 * n_group2 + design.group2
