"""Anybody's data frame to an exact fit: `fit`, outside of any study."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.errors import TableError
from mcstudy.method import Status
from mcstudy.nested.data import NestedData
from mcstudy.nested.frames import CONSTANT, as_frame, names_of, nested_data, shared_labels
from mcstudy.nested.reml import ml, reml
from mcstudy.nested.solution import COMPONENTS
from mcstudy.nested.solve import as_batch, solve

_reml, _ml = reml, ml


@dataclass(frozen=True, eq=False, repr=False)
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
    notes : tuple of str
        What in the data may not be as meant.
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
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={_number(x)}" for name, x in self.variances.items())
        kind, rows = "REML" if self.restricted else "ML", len(self.data.y)
        return f"<NestedFit {kind} of {rows} rows: {numbers}, status {self.status}>"

    def __str__(self) -> str:
        return self.summary()

    @property
    def aic(self) -> float:
        """Akaike's information criterion; under REML only of models with the same fixed effects."""
        return -2 * self.llf + 2 * self._parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, by the number of rows, as lme4 has it; under REML likewise."""
        return float(-2 * self.llf + np.log(len(self.data.y)) * self._parameters)

    @property
    def _parameters(self) -> int:
        known = sum(not np.isnan(variance) for variance in self.variances.values())
        return known + len(self.fixed_effects)

    @property
    def icc(self) -> dict[str, float]:
        """The correlation of two rows of the same group 1, ``group1``, and of the same group 2.

        They are group1_var, and group1_var + group2_var, over the sum of the variances.
        """
        first, second, rest = self.variances.values()
        total = first + second + rest
        return {"group1": first / total, "group2": (first + second) / total}

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
        intervals = {name: of.intervals or {} for name, of in answer.estimates.items()}
        return {name: limits[kind] for name, limits in intervals.items() if kind in limits}

    def summary(self, level: float = 0.95) -> str:
        """Return the fit as a text table, with log-scale Wald intervals for the variances."""
        groups, cells = (int(place[-1]) + 1 for place in self.data.design.places)
        limits = self.interval("log", level)
        width = max(18, *(len(name) + 1 for name in self.fixed_effects))
        lines = [
            f"Two-level nested data, {'REML' if self.restricted else 'ML'}",
            f"{len(self.data.y)} rows, {groups} groups, {cells} groups within groups",
            f"log-likelihood {self.llf:.6f}   status {self.status}"
            + (f" ({self.message})" if self.message else ""),
            "",
            f"{'':<{width}}{'estimate':>14}{'std. error':>14}{f'{100 * level:g} % interval':>30}",
        ]
        for name, (lower, upper) in limits.items():
            numbers = f"{_number(self.variances[name]):>14}{_number(self.std_errors[name]):>14}"
            lines += [f"{name:<{width}}{numbers}  {_number(lower):>12} to {_number(upper):>12}"]
        lines += [""]
        for name, value in self.fixed_effects.items():
            error = self.fixed_effects_std_errors[name]
            lines += [f"{name:<{width}}{_number(value):>14}{_number(error):>14}"]
        for note in self.notes:
            lines += ["", textwrap.fill(f"note: {note}", 88, subsequent_indent="  ")]
        return "\n".join(lines)


def fit(
    frame: Any,
    *,
    response: Hashable = "y",
    group1: Hashable = "group1",
    group2: Hashable = "group2",
    exog: Any = None,
    reml: bool = True,
) -> NestedFit:
    """Fit variances of two-level nested data exactly.

    Parameters
    ----------
    frame : data frame
        One row an observation, in any order: of pandas, Polars or Arrow, or of any library whose
        frames have the Arrow stream interface or `to_pandas`.
    response, group1, group2 : str
        Names of columns. Labels of group 2 may repeat within group 1, or not.
    exog : str or sequence of str, optional
        Names of columns with fixed effects: a list, tuple, array or index, or a single one; an
        intercept is always there. Categories, texts and truth values are treatment coded, their
        first level being the reference: ``sex[T.male]``.
    reml : bool
        Restricted maximum likelihood, or maximum likelihood.

    Returns
    -------
    NestedFit
        Estimates, standard errors, intervals and a summary.

    Raises
    ------
    TableError
        For what is no frame, columns that are not there, not numeric or not finite, rows without a
        group, labels that differ in type only, and fixed effects that cannot be told apart.
    """
    groups = (group1, group2)
    data = nested_data(as_frame(frame), response, groups, names_of(exog))
    solution = solve(as_batch(data), reml=reml)
    if not solution.identified.any() and solution.fault[0]:
        raise TableError(f"exog: {solution.fault[0]}")
    [status] = statuses = solution.statuses()
    names = (CONSTANT, *data.covariates)

    def named(names: Sequence[str], values: Floats) -> dict[str, float]:
        return dict(zip(names, values[0].tolist(), strict=True))

    return NestedFit(
        variances=named(COMPONENTS, solution.variances),
        std_errors=named(COMPONENTS, solution.std_errors),
        fixed_effects=named(names, solution.fixed_effects),
        fixed_effects_std_errors=named(names, solution.fixed_effects_std_errors),
        llf=float(solution.llf[0]),
        status=status,
        message=solution.messages(statuses)[0],
        iterations=int(solution.iterations[0]),
        restricted=reml,
        data=data,
        notes=tuple(filter(None, [shared_labels(data.design, *map(str, groups))])),
    )


def _number(value: float) -> str:
    return "-" if np.isnan(value) else format(value, ".6g")
