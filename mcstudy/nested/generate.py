"""Two-level nested data, simulated: y = u1[group1] + u2[group1, group2] + e, and more."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from numbers import Real
from typing import Any

import numpy as np

from mcstudy.arrays import Booleans, Floats, Integers
from mcstudy.method import batch_form
from mcstudy.nested.cells import CHUNK
from mcstudy.nested.data import NestedBatch, NestedData, NestedDesign

_CALL = re.compile(r"(\w+)\s*(?:\(([^()]*)\))?")  # a shape in words


def variances(
    *, group1_sd: float, group2_sd: float, unexplained_sd: float, **_design: object
) -> dict[str, float]:
    """Return the true variances: the estimands of the nested family."""
    return {
        "group1_var": group1_sd**2,
        "group2_var": group2_sd**2,
        "unexplained_var": unexplained_sd**2,
    }


def correlations(
    *, group1_sd: float, group2_sd: float, unexplained_sd: float, **_design: object
) -> dict[str, float]:
    """Return the true intraclass correlations, estimands of `reml.with_icc`."""
    first, both = group1_sd**2, group1_sd**2 + group2_sd**2
    total = both + unexplained_sd**2
    return {"group1_icc": first / total, "group2_icc": both / total}


def coefficients(
    *,
    intercept: float = 0.0,
    row_slope: float | None = None,
    cell_slope: float | None = None,
    group_slope: float | None = None,
    **_design: object,
) -> dict[str, float]:
    """Return the true fixed effects, estimands of `reml.with_fixed_effects`."""
    slopes = {"x_row": row_slope, "x_cell": cell_slope, "x_group": group_slope}
    known = {name: slope for name, slope in slopes.items() if slope is not None}
    return {"intercept": intercept} | known


@lru_cache(maxsize=256)
def shape(text: str) -> Callable[[np.random.Generator, int], Floats]:
    """Return what draws from a shape given in words, with mean 0 and standard deviation 1.

    Parameters
    ----------
    text : str
        ``"normal"``, ``"t(df)"`` with df above 2, ``"chi_square(df)"``, or
        ``"contaminated(share, ratio)"``: normal, a share of it with `ratio` times the standard
        deviation of the rest.

    Raises
    ------
    ValueError
        For any other text.
    """
    found = _CALL.fullmatch(text.strip()) if isinstance(text, str) else None
    try:
        words = (found[2] or "").split(",") if found else []
        match found and found[1], [float(word) for word in words if word.strip()]:
            case "normal", []:
                return lambda rng, size: rng.standard_normal(size)
            case "t", [df] if 2 < df < np.inf:
                return lambda rng, size: rng.standard_t(df, size) * np.sqrt((df - 2) / df)
            case "chi_square", [df] if 0 < df < np.inf:
                return lambda rng, size: (rng.chisquare(df, size) - df) / np.sqrt(2 * df)
            case "contaminated", [share, ratio] if 0 <= share <= 1 and 0 < ratio < np.inf:
                return partial(_contaminated, share, ratio)
    except ValueError:
        pass
    raise ValueError(
        f"the shape {text!r} is not known; write normal, t(5), chi_square(3) or "
        "contaminated(0.1, 5)"
    )


def _contaminated(share: float, ratio: float, rng: np.random.Generator, size: int) -> Floats:
    values = rng.standard_normal(size)
    values[rng.random(size) < share] *= ratio
    standardised: Floats = values / np.sqrt(1 - share + share * ratio**2)
    return standardised


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
        for name, value in vars(self).items():
            number = isinstance(value, Real) and math.isfinite(value)
            if name in ("n_group1", "n_group2", "n_rep"):
                if not (number and value >= 1 and int(value) == value):
                    raise ValueError(f"{name} is {value!r}; give an integer of 1 or more")
                object.__setattr__(self, name, int(value))
            if name.endswith("_sd") and not (number and value >= 0):
                raise ValueError(f"{name} is {value!r}; give a finite number of 0 or more")
            if name.startswith("dropped") and not (number and 0 <= value < 1):
                raise ValueError(f"{name} is {value!r}; give a share from 0 to below 1")
            free = name == "intercept" or (name.endswith("_slope") and value is not None)
            if free and not number:
                raise ValueError(f"{name} is {value!r}; give a finite number")


@lru_cache(maxsize=64)
def _layout(
    n_group1: int, n_group2: int, n_rep: int, cell_sizes: str | None
) -> tuple[NestedDesign, Integers]:
    """Return the design before any rows are dropped, and which cell each row is in, from 0."""
    if cell_sizes is None:
        design = NestedDesign.of_sizes(n_group1, n_group2, n_rep)
    else:
        try:
            sizes = [int(size) for size in cell_sizes.replace(",", " ").split()]
            if not sizes or min(sizes) < 1:
                raise ValueError
        except (AttributeError, ValueError):
            raise ValueError(
                f"cell_sizes is {cell_sizes!r}; write numbers of rows, as '2 5 9'"
            ) from None
        rows = np.resize(sizes, n_group1 * n_group2)
        design = NestedDesign(
            group1=np.repeat(np.repeat(np.arange(n_group1), n_group2), rows),
            group2=np.repeat(np.tile(np.arange(n_group2), n_group1), rows),
        )
    return design, design.group1 * n_group2 + design.group2


def _generate_batch(rngs: Sequence[np.random.Generator], **factors: object) -> NestedBatch:
    """Do what `generate_nested` does for each of the generators."""
    recipe = Recipe(**factors)  # type: ignore[arg-type]
    groups, n_group2 = recipe.n_group1, recipe.n_group2
    design, cell = _layout(groups, n_group2, recipe.n_rep, recipe.cell_sizes)
    counts = (groups, groups * n_group2, len(cell))
    drawn = np.empty((len(rngs), sum(counts)))
    step = max(1, CHUNK // drawn.shape[1])
    for start in range(0, len(rngs), step):
        some = drawn[start : start + step]
        _draw(rngs[start : start + step], recipe, counts, some)
        group1, group2, y = np.split(some, np.cumsum(counts[:2]), axis=1)
        effects = recipe.group1_sd * group1[..., None]
        effects = effects + recipe.group2_sd * group2.reshape(-1, groups, n_group2)
        if recipe.intercept:
            effects += recipe.intercept
        y *= recipe.unexplained_sd
        if design.balanced is not None:
            y += np.repeat(effects, recipe.n_rep).reshape(y.shape)
        else:
            y += effects.reshape(len(y), -1)[:, cell]
    y = drawn[:, -len(cell) :]
    covariates = _add_covariates(rngs, recipe, cell, y)
    return NestedBatch(y, design, _kept(rngs, recipe, cell), covariates)


def _draw(
    rngs: Sequence[np.random.Generator], recipe: Recipe, counts: tuple[int, ...], drawn: Floats
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


def _add_covariates(
    rngs: Sequence[np.random.Generator], recipe: Recipe, cell: Integers, y: Floats
) -> dict[str, Floats]:
    """Draw the covariates that have a coefficient, and add their effects to y."""
    covariates = {}
    for name, place in {"row": None, "cell": cell, "group": cell // recipe.n_group2}.items():
        coefficient = getattr(recipe, f"{name}_slope")
        if coefficient is not None:
            count = len(cell) if place is None else int(place[-1]) + 1
            drawn = np.stack([rng.standard_normal(count) for rng in rngs])
            covariates[f"x_{name}"] = column = drawn if place is None else drawn[:, place]
            y += coefficient * column
    return covariates


def _kept(rngs: Sequence[np.random.Generator], recipe: Recipe, cell: Integers) -> Booleans | None:
    """Draw which rows stay; at least one does."""
    if not recipe.dropped_rows and not recipe.dropped_cells:
        return None
    kept = np.ones((len(rngs), len(cell)), dtype=bool)
    for rng, row in zip(rngs, kept, strict=True):
        if recipe.dropped_rows:
            row &= rng.random(len(cell), dtype=np.float32) >= np.float32(recipe.dropped_rows)
        if recipe.dropped_cells:
            row &= (rng.random(recipe.n_group1 * recipe.n_group2) >= recipe.dropped_cells)[cell]
        row[0] |= not row.any()
    return kept


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


_function: Any
for _function in (generate_nested, _generate_batch):  # the fields of the recipe, by keyword
    _random = next(iter(inspect.signature(_function).parameters.values()))
    _fields = inspect.signature(Recipe).parameters.values()
    _function.__signature__ = inspect.Signature(
        [_random, *(field.replace(kind=inspect.Parameter.KEYWORD_ONLY) for field in _fields)]
    )
