"""The methods `reml` and `ml`: exact fits for studies, single or a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcstudy.arguments import is_proportion
from mcstudy.method import Estimate, Fit, batch_form
from mcstudy.nested.bootstrap import balanced_bootstrap, bootstrap
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.data import NestedBatch
from mcstudy.nested.frames import as_nested
from mcstudy.nested.intervals import formula_limits, unweighted_mean_squares
from mcstudy.nested.profile import balanced_profile, profile
from mcstudy.nested.solution import COMPONENTS, Limits, Solution
from mcstudy.nested.solve import Working, as_batch

KINDS = (
    *("exact", "wald", "log", "satterthwaite", "mls"),
    *("generalized", "profile", "bootstrap"),
)
CHEAP = KINDS[:5]


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

    def batch(self, batch: NestedBatch | Sequence[Any], rngs: Sequence[np.random.Generator]) -> Fit:
        """Fit each data set of a batch, or of a list of nested data or data frames."""
        single = [batch] if isinstance(batch, NestedBatch) else batch
        solutions, limits, begin = [], [], 0
        for given in single:
            part = given if isinstance(given, NestedBatch) else as_batch(as_nested(given))
            working = Working(part)
            solution, squares = working.solution(reml=self.restricted), working.squares
            data = None if squares is not None else working.batch
            if data is not None and not data.covariates and data.weights is None:
                squares = unweighted_mean_squares(working.cells)
            found = self.limits(solution, squares, rngs[begin : begin + len(part)], data)
            solutions.append(working.given(solution, reml=self.restricted))
            limits.append({kind: working.given_limits(of) for kind, of in found.items()})
            begin += len(part)
        solution = Solution.joined(solutions)
        statuses = solution.statuses()
        return Fit(
            estimates_of(solution, limits),
            statuses,
            solution.messages(statuses),
            {"llf": solution.llf, "iterations": solution.iterations},
        )

    @batch_form(batch)
    def __call__(self, data: Any, rng: np.random.Generator) -> Fit:
        """Fit one data set: nested data, or a data frame with y, group1 and group2."""
        fit = self.batch([data], [rng])
        estimates = {}
        for name, of in fit.estimates.items():
            intervals = (of.intervals or {}).items()
            limits = {kind: (low.item(), high.item()) for kind, (low, high) in intervals}
            estimates[name] = Estimate(of.value.item(), of.std_error.item(), intervals=limits)
        diagnostics = {name: column[0].item() for name, column in (fit.diagnostics or {}).items()}
        status: Any = fit.status
        return Fit(estimates, status[0], fit.message[0], diagnostics)

    def limits(
        self,
        solution: Solution,
        squares: MeanSquares | None,
        rngs: Sequence[np.random.Generator],
        batch: NestedBatch | None = None,
    ) -> dict[str, Limits]:
        """Return the limits of each kind of interval that exists.

        The mean squares are of unweighted means where the data are unbalanced; the batch is given
        where the mean squares are not all that the data say.
        """
        level, reml, found = self.level, self.restricted, {}
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for kind in self.intervals:
                if kind not in ("profile", "bootstrap"):
                    found[kind] = formula_limits(kind, solution, squares, level)
                elif batch is not None and kind == "profile":
                    found[kind] = profile(batch, solution, level, reml=reml)
                elif batch is not None:
                    found[kind] = bootstrap(batch, solution, rngs, level, reml=reml)
                elif squares is not None and kind == "profile":
                    found[kind] = balanced_profile(squares, level, reml=reml)
                elif squares is not None:
                    found[kind] = balanced_bootstrap(squares, solution, rngs, level, reml=reml)
        return {kind: limits for kind, limits in found.items() if limits}


def estimates_of(solution: Solution, parts: list[dict[str, Limits]]) -> dict[str, Estimate]:
    """Return estimates with their intervals, whose limits follow one another in parts.

    A variance that has no value has no limits, nor has one in a part without this interval.
    """
    kinds = {kind: limits.keys() for part in parts for kind, limits in part.items()}
    none = (np.array([np.nan]), np.array([np.nan]))
    found = {}
    for i, name in enumerate(COMPONENTS):
        value, intervals = solution.variances[:, i], {}
        for kind in (kind for kind, names in kinds.items() if name in names):
            sides = zip(*(part.get(kind, {}).get(name, none) for part in parts), strict=True)
            lower, upper = (np.where(np.isnan(value), np.nan, np.concatenate(x)) for x in sides)
            intervals[kind] = (lower, upper)
        found[name] = Estimate(value, solution.std_errors[:, i], intervals=intervals)
    return found


reml = ExactMethod()
ml = ExactMethod(restricted=False)
