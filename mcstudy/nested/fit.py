"""Anybody's data frame to an exact fit: `fit`, outside of any study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.method import Status
from mcstudy.nested.data import Floats, Integers, NestedData, NestedDesign
from mcstudy.nested.engine import as_batch, solve
from mcstudy.nested.reml import ml, reml
from mcstudy.nested.solution import COMPONENTS

if TYPE_CHECKING:
    import pandas as pd

_reml, _ml = reml, ml


@dataclass(frozen=True, eq=False)
class NestedFit:
    """An exact fit of two-level nested data.

    Parameters
    ----------
    variances, std_errors : dict of str to float
        By estimand: ``group1_var``, ``group2_var``, ``unexplained_var``. Standard errors are from
        the observed information, in the units of the variances; NaN for a variance at zero.
    fixed_effects, fixed_effects_std_errors : dict of str to float
        By name, ``intercept`` first.
    llf : float
        Log-likelihood in the convention of statsmodels; restricted under REML.
    status : Status
        How the fit ended.
    message : str
        Why it is not ok, in words.
    iterations : int
        Evaluations of the likelihood; 0 for a closed form.
    restricted : bool
        REML, or ML.
    data : NestedData
        What was fitted, rows sorted.
    """

    variances: dict[str, float]
    std_errors: dict[str, float]
    fixed_effects: dict[str, float]
    fixed_effects_std_errors: dict[str, float]
    llf: float
    status: Status
    message: str
    iterations: int
    restricted: bool
    data: NestedData

    def interval(
        self, kind: str, level: float = 0.95, *, rng: np.random.Generator | None = None
    ) -> dict[str, tuple[float, float]]:
        """Return limits for each variance for which the interval exists.

        Parameters
        ----------
        kind : str
            A name that `reml.with_intervals` takes.
        level : float
            Nominal coverage.
        rng : numpy.random.Generator, optional
            For the kinds that simulate; made from seed 0 where not given.

        Raises
        ------
        ValueError
            For a name that is no interval's, or a level outside of 0 to 1.
        """
        method = (_reml if self.restricted else _ml).with_intervals(kind, level=level)
        answer = method(self.data, rng or np.random.default_rng(0))
        return {
            name: (estimate.intervals or {})[kind]
            for name, estimate in answer.estimates.items()
            if kind in (estimate.intervals or {})
        }

    def summary(self, level: float = 0.95) -> str:
        """Return the fit as a text table, with log-scale Wald intervals for the variances."""
        design = self.data.design
        cells = len(np.unique(np.stack([design.group1, design.group2]), axis=1).T)
        groups = len(np.unique(design.group1))
        limits = self.interval("log", level)
        lines = [
            f"Two-level nested data, {'REML' if self.restricted else 'ML'}",
            f"{len(self.data.y)} rows, {groups} groups, {cells} groups within groups",
            f"log-likelihood {self.llf:.6f}   status {self.status}"
            + (f" ({self.message})" if self.message else ""),
            "",
            f"{'':<18}{'estimate':>14}{'std. error':>14}{f'{100 * level:g} % interval':>30}",
        ]
        lines += [
            _row(name, self.variances, self.std_errors) + _pair(limits[name]) for name in COMPONENTS
        ]
        fixed = (self.fixed_effects, self.fixed_effects_std_errors)
        lines += ["", *(_row(name, *fixed) for name in self.fixed_effects)]
        return "\n".join(lines)


def fit(
    frame: pd.DataFrame,
    *,
    response: str = "y",
    group1: str = "group1",
    group2: str = "group2",
    exog: Sequence[str] | None = None,
    reml: bool = True,
) -> NestedFit:
    """Fit variances of two-level nested data exactly.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row an observation, in any order.
    response, group1, group2 : str
        Names of columns. Labels of group 2 may repeat within group 1, or not.
    exog : sequence of str, optional
        Names of columns with fixed effects; an intercept is always there.
    reml : bool
        Restricted maximum likelihood, or maximum likelihood.

    Returns
    -------
    NestedFit
        Estimates, standard errors, intervals and a summary.

    Raises
    ------
    ValueError
        For columns that are not there, not numeric or not finite, rows without a group, and fixed
        effects that cannot be told apart.
    """
    if isinstance(exog, str):
        raise ValueError(f"exog is {exog!r}; give a list of column names, as [{exog!r}]")
    data = _data(frame, response, (group1, group2), tuple(exog or ()))
    solution = solve(as_batch(data), reml=reml)
    [status] = statuses = solution.statuses()
    names = ("intercept", *data.covariates)
    fixed_se = np.sqrt(np.diagonal(solution.fixed_effects_cov[0]))
    return NestedFit(
        variances=_named(COMPONENTS, solution.variances[0]),
        std_errors=_named(COMPONENTS, solution.std_errors[0]),
        fixed_effects=_named(names, solution.fixed_effects[0]),
        fixed_effects_std_errors=_named(names, fixed_se),
        llf=float(solution.llf[0]),
        status=status,
        message=solution.messages(statuses)[0],
        iterations=int(solution.iterations[0]),
        restricted=reml,
        data=data,
    )


def _data(
    frame: pd.DataFrame, response: str, groups: tuple[str, str], exog: tuple[str, ...]
) -> NestedData:
    wanted = (response, *groups, *exog)
    for name in wanted:
        if name not in frame.columns:
            have = ", ".join(map(str, frame.columns))
            raise ValueError(f"the frame has no column {name!r}; it has {have}")
        if wanted.count(name) > 1:
            raise ValueError(f"column {name!r} is asked for twice")
        if frame[name].ndim > 1:
            raise ValueError(f"the frame has more than one column {name!r}")
    if not len(frame):
        raise ValueError("the frame has no rows")
    first, second = (_codes(frame[name], name) for name in groups)
    order = np.lexsort((second, first))
    columns = {name: _numbers(frame[name], name)[order] for name in exog}
    _check_rank(columns)
    design = _design(first[order], second[order])
    return NestedData(_numbers(frame[response], response)[order], design, columns)


def _codes(column: pd.Series[Any], name: str) -> Integers:
    import pandas as pd

    codes, _ = pd.factorize(column)
    if (codes < 0).any():
        raise ValueError(f"column {name!r} has {int((codes < 0).sum())} missing labels; drop them")
    return codes.astype(np.int64)


def _numbers(column: pd.Series[Any], name: str) -> Floats:
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
        raise ValueError(f"column {name!r} is {column.dtype}, not numbers")
    values: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if missing := int(np.isnan(values).sum()):
        raise ValueError(f"column {name!r} has {missing} missing values; drop these rows")
    if not np.isfinite(values).all():
        raise ValueError(f"column {name!r} has infinite values")
    return values


def _design(group1: Integers, group2: Integers) -> NestedDesign:
    """Return the design of sorted rows, balanced where it is."""
    _, count = np.unique(np.stack([group1, group2]), axis=1, return_counts=True)
    cells = np.unique(np.unique(np.stack([group1, group2]), axis=1)[0], return_counts=True)[1]
    if (count == count[0]).all() and (cells == cells[0]).all():
        return NestedDesign(group1, group2, (len(cells), int(cells[0]), int(count[0])))
    return NestedDesign(group1, group2)


def _check_rank(columns: dict[str, Floats]) -> None:
    """Say which covariate is a combination of those before it."""
    rows = len(next(iter(columns.values()), []))
    rest = np.empty((0, rows))
    for name, column in columns.items():
        centred = column - column.mean()
        if not np.abs(centred).max() > 1e-12 * np.abs(column).max():
            raise ValueError(f"exog: {name!r} is constant; the intercept is always there")
        centred = centred / np.linalg.norm(centred)
        left = centred - rest.T @ (rest @ centred)
        left -= rest.T @ (rest @ left)
        if np.linalg.norm(left) < 1e-7:
            raise ValueError(f"exog: {name!r} is a linear combination of the columns before it")
        rest = np.vstack([rest, left / np.linalg.norm(left)])


def _named(names: Sequence[str], values: Floats) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _row(name: str, values: dict[str, float], std_errors: dict[str, float]) -> str:
    return f"{name:<18}{_number(values[name]):>14}{_number(std_errors[name]):>14}"


def _pair(limits: Sequence[float]) -> str:
    lower, upper = limits
    return f"  {_number(lower):>12} to {_number(upper):>12}"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else format(value, ".6g")
