"""The methods `reml` and `ml`: exact fits for studies, single or a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcstudy.arguments import is_proportion
from mcstudy.arrays import Floats
from mcstudy.method import Estimate, Fit, batch_form
from mcstudy.nested.bootstrap import balanced_bootstrap, bootstrap
from mcstudy.nested.cells import MeanSquares, mean_squares
from mcstudy.nested.data import NestedBatch
from mcstudy.nested.frames import as_nested
from mcstudy.nested.intervals import FORMULAS, WITHOUT_SQUARES, Basis, unweighted_mean_squares
from mcstudy.nested.profile import balanced_profile, profile
from mcstudy.nested.solution import COMPONENTS, Solution
from mcstudy.nested.solve import as_batch, solve_working
from mcstudy.nested.units import Working

Limits = dict[str, tuple[Floats, Floats]]

CHEAP = ("exact", "wald", "log", "satterthwaite", "mls")
KINDS = (*FORMULAS, "profile", "bootstrap")


@dataclass(frozen=True)
class ExactMethod:
    """Exact maximum likelihood for nested data, variances constrained to be 0 or more.

    The covariates that the data carries, and an intercept, are the fixed effects. A data frame
    (of pandas, Polars or Arrow) is as good as nested data: it has the columns y, group1 and group2,
    and all its further columns are covariates.

    Parameters
    ----------
    restricted : bool
        REML, or ML.
    intervals : tuple of str
        Which intervals to compute: exact, wald, log, satterthwaite, mls, generalized, profile or
        bootstrap. Those of `wald`, `log`, `satterthwaite`, `profile` and `bootstrap` are of the
        likelihood that is maximised; exact, mls and generalized ones rest on the mean squares
        alone, and are the same under REML and ML. With covariates there are no mean squares, and
        so none of these three.
    level : float
        Their nominal coverage.

    Raises
    ------
    ValueError
        For an interval of another name, or a level that is no probability.
    """

    restricted: bool = True
    intervals: tuple[str, ...] = CHEAP
    level: float = 0.95

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.intervals if kind not in KINDS]:
            raise ValueError(f"no interval is called {unknown[0]!r}; there are {', '.join(KINDS)}")
        if not is_proportion(self.level):
            raise ValueError(f"level is {self.level!r}; give a number between 0 and 1, as 0.95")

    def with_intervals(self, *kinds: str, level: float = 0.95) -> ExactMethod:
        """Return the method with other intervals."""
        return replace(self, intervals=kinds, level=level)

    def batch(
        self,
        batch: NestedBatch | Sequence[Any],
        rngs: Sequence[np.random.Generator],
    ) -> Fit:
        """Fit each data set of a batch, or of a list of nested data or data frames."""
        batches = (
            [batch]
            if isinstance(batch, NestedBatch)
            else [as_batch(as_nested(data)) for data in batch]
        )
        solutions, limits, begin = [], [], 0
        for part in batches:
            working = Working(part)
            solution = solve_working(working, reml=self.restricted)
            found = self._limits(working, solution, rngs[begin : begin + len(part)])
            solutions.append(working.given(solution, reml=self.restricted))
            limits.append(_given(found, working, solutions[-1]))
            begin += len(part)
        solution = Solution.joined(solutions)
        statuses = solution.statuses()
        return Fit(
            _estimates(solution, limits),
            statuses,
            solution.messages(statuses),
            {"llf": solution.llf, "iterations": solution.iterations},
        )

    @batch_form(batch)
    def __call__(self, data: Any, rng: np.random.Generator) -> Fit:
        """Fit one data set: nested data, or a data frame with y, group1 and group2."""
        fit = self.batch([data], [rng])
        estimates = {
            name: Estimate(
                value=float(estimate.value[0]),
                std_error=float(estimate.std_error[0]),
                intervals={
                    kind: (float(lower[0]), float(upper[0]))
                    for kind, (lower, upper) in (estimate.intervals or {}).items()
                },
            )
            for name, estimate in fit.estimates.items()
        }
        diagnostics = {name: column[0].item() for name, column in (fit.diagnostics or {}).items()}
        status: Any = fit.status
        return Fit(estimates, status[0], fit.message[0], diagnostics)

    @property
    def draws(self) -> bool:
        """Whether some of the intervals draw random numbers."""
        return "bootstrap" in self.intervals

    def _limits(
        self,
        working: Working,
        solution: Solution,
        rngs: Sequence[np.random.Generator],
    ) -> dict[str, Limits]:
        """Return the limits of each kind of interval and variance, arrays of shape (R,)."""
        batch, cells = working.batch, None if working.batch.covariates else working.cells
        if cells is not None and cells.balanced:
            return self.balanced_limits(mean_squares(cells), solution, rngs)
        squares = None if cells is None else unweighted_mean_squares(cells)
        basis = Basis(solution.variances, solution.std_errors, squares)
        found: dict[str, Limits] = {}
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for kind in self.intervals:
                if kind == "profile":
                    found[kind] = profile(batch, solution, self.level, reml=self.restricted)
                elif kind == "bootstrap":
                    found[kind] = bootstrap(batch, solution, rngs, self.level, reml=self.restricted)
                elif squares is not None or kind in WITHOUT_SQUARES:
                    found[kind] = FORMULAS[kind](basis, self.level)
        return _identified(found, solution)

    def balanced_limits(
        self, squares: MeanSquares, solution: Solution, rngs: Sequence[np.random.Generator]
    ) -> dict[str, Limits]:
        """Return the limits for balanced data, from their mean squares and their fits."""
        basis = Basis(solution.variances, solution.std_errors, squares)
        found: dict[str, Limits] = {}
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for kind in self.intervals:
                if kind == "profile":
                    found[kind] = balanced_profile(squares, self.level, reml=self.restricted)
                elif kind == "bootstrap":
                    found[kind] = balanced_bootstrap(
                        squares, solution, rngs, self.level, reml=self.restricted
                    )
                else:
                    found[kind] = FORMULAS[kind](basis, self.level)
        return _identified(found, solution)


def _given(found: dict[str, Limits], working: Working, solution: Solution) -> dict[str, Limits]:
    """Return the limits in the units of the response as it was given, as the solution is."""
    if working.scale is None:
        return found
    given = {
        kind: {name: working.limits(pair) for name, pair in limits.items()}
        for kind, limits in found.items()
    }
    return _identified(given, solution)


def _identified(found: dict[str, Limits], solution: Solution) -> dict[str, Limits]:
    """Take away the limits of variances that have no estimate."""
    if not np.isnan(solution.variances).any():
        return found
    known = {name: ~np.isnan(solution.variances[:, i]) for i, name in enumerate(COMPONENTS)}
    return {
        kind: {
            name: (np.where(known[name], lower, np.nan), np.where(known[name], upper, np.nan))
            for name, (lower, upper) in limits.items()
        }
        for kind, limits in found.items()
    }


def _estimates(solution: Solution, parts: list[dict[str, Limits]]) -> dict[str, Estimate]:
    std_errors = solution.std_errors

    def side(kind: str, name: str, index: int) -> Floats:
        missing = (np.array([np.nan]), np.array([np.nan]))
        return np.concatenate([part.get(kind, {}).get(name, missing)[index] for part in parts])

    kinds = {kind: limits.keys() for part in parts for kind, limits in part.items()}
    return {
        name: Estimate(
            value=solution.variances[:, i],
            std_error=std_errors[:, i],
            intervals={
                kind: (side(kind, name, 0), side(kind, name, 1))
                for kind, names in kinds.items()
                if name in names
            },
        )
        for i, name in enumerate(COMPONENTS)
    }


reml = ExactMethod()
ml = ExactMethod(restricted=False)
