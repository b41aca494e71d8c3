"""The methods `reml` and `ml`: exact fits for studies, single or a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcstudy.method import Estimate, Fit
from mcstudy.nested.data import NestedBatch, NestedData
from mcstudy.nested.engine import as_batch, solve
from mcstudy.nested.solution import COMPONENTS, Solution
from mcstudy.nested.wald import log_wald, wald

_KINDS = {"wald": wald, "log": log_wald}


@dataclass(frozen=True)
class ExactMethod:
    """Exact maximum likelihood for nested data, variances constrained to be 0 or more.

    The covariates that the data carries, and an intercept, are the fixed effects.

    Parameters
    ----------
    restricted : bool
        REML, or ML.
    intervals : tuple of str
        Which intervals to compute.
    level : float
        Their nominal coverage.
    """

    restricted: bool = True
    intervals: tuple[str, ...] = ("wald", "log")
    level: float = 0.95

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.intervals if kind not in _KINDS]:
            raise ValueError(f"no interval is called {unknown[0]!r}; there are {', '.join(_KINDS)}")
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level!r}; give a number between 0 and 1, as 0.95")

    def with_intervals(self, *kinds: str, level: float = 0.95) -> ExactMethod:
        """Return the method with other intervals."""
        return replace(self, intervals=kinds, level=level)

    def __call__(self, data: NestedData, rng: np.random.Generator) -> Fit:
        """Fit one data set."""
        fit = self.batch(as_batch(data), [rng])
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

    def batch(self, batch: NestedBatch, rngs: Sequence[np.random.Generator]) -> Fit:
        """Fit each data set of a batch."""
        solution = solve(batch, reml=self.restricted)
        statuses = solution.statuses()
        return Fit(
            self._estimates(solution),
            statuses,
            solution.messages(statuses),
            {"llf": solution.llf, "iterations": solution.iterations},
        )

    def _estimates(self, solution: Solution) -> dict[str, Estimate]:
        std_errors = solution.std_errors
        return {
            name: Estimate(
                value=solution.variances[:, i],
                std_error=std_errors[:, i],
                intervals={
                    kind: _KINDS[kind](solution.variances[:, i], std_errors[:, i], self.level)
                    for kind in self.intervals
                },
            )
            for i, name in enumerate(COMPONENTS)
        }


reml = ExactMethod()
ml = ExactMethod(restricted=False)
