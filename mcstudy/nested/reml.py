"""The methods `reml` and `ml`: exact fits for studies, single or a whole batch at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from mcstudy.arguments import is_proportion
from mcstudy.arrays import Floats, joined
from mcstudy.errors import StudyError
from mcstudy.method import Estimate, Fit, batch_form
from mcstudy.nested.bootstrap import balanced_bootstrap, bootstrap
from mcstudy.nested.cells import MeanSquares
from mcstudy.nested.correlations import CORRELATIONS, ICC_KINDS, icc_estimates
from mcstudy.nested.data import NestedBatch
from mcstudy.nested.frames import CONSTANT, as_nested
from mcstudy.nested.intervals import formula_limits, unweighted_mean_squares
from mcstudy.nested.maximum import degrees_of_freedom, fixed_effect_estimates, maxima
from mcstudy.nested.profile import balanced_profile, profile
from mcstudy.nested.solution import COMPONENTS, Limits, Solution
from mcstudy.nested.solve import Working, as_batch, reduced
from mcstudy.nested.variance_test import (
    TESTED,
    balanced_statistics,
    mixture_p_value,
    variance_statistics,
)

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
        Their nominal coverage, and that of all other intervals.
    icc : tuple of str, optional
        Answer for the intraclass correlations too, ``group1_icc`` and ``group2_icc``, with these
        intervals: logit or profile.
    fixed_effects : bool
        Answer for the fixed effects too, ``intercept`` and the covariates by name, with p-values of
        t tests, by Satterthwaite's degrees of freedom; the study forms their t intervals, called
        ``wald``, at its own level.
    tests : tuple of str
        The variances, of group1_var and group2_var, that have a p-value: of the likelihood-ratio
        test that they are zero.

    Raises
    ------
    ValueError
        For an interval or a variance of another name, or a level that is no probability.
    """

    restricted: bool = True
    intervals: tuple[str, ...] = CHEAP
    level: float = 0.95
    icc: tuple[str, ...] | None = None
    fixed_effects: bool = False
    tests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = ((self.intervals, KINDS), (self.icc or (), ICC_KINDS))
        for given, there in names:
            if unknown := [kind for kind in given if kind not in there]:
                raise ValueError(
                    f"no interval is called {unknown[0]!r}; there are {', '.join(there)}"
                )
        if unknown := [name for name in self.tests if name not in TESTED]:
            raise ValueError(f"no test is of {unknown[0]!r}; there are {', '.join(TESTED)}")
        if not is_proportion(self.level):
            raise ValueError(f"level is {self.level!r}; give a number between 0 and 1, as 0.95")

    def with_intervals(self, *kinds: str, level: float = 0.95) -> ExactMethod:
        """Return the method with other intervals."""
        return replace(self, intervals=kinds, level=level)

    def with_icc(self, *kinds: str) -> ExactMethod:
        """Return the method with intraclass correlations, and their intervals of these kinds."""
        return replace(self, icc=kinds)

    def with_fixed_effects(self) -> ExactMethod:
        """Return the method with fixed effects, their degrees of freedom and p-values."""
        return replace(self, fixed_effects=True)

    def with_tests(self, *variances: str) -> ExactMethod:
        """Return the method with p-values of the hypotheses that these variances are zero."""
        return replace(self, tests=variances)

    def batch(self, batch: NestedBatch | Sequence[Any], rngs: Sequence[np.random.Generator]) -> Fit:
        """Fit each data set of a batch, or of a list of nested data or data frames."""
        single = [batch] if isinstance(batch, NestedBatch) else batch
        solutions, parts, statistics, begin = [], [], [], 0
        for given in single:
            part = given if isinstance(given, NestedBatch) else as_batch(as_nested(given))
            working = Working(part)
            solution, squares = working.solution(reml=self.restricted), working.squares
            data = None if squares is not None else working.batch
            if data is not None and not data.covariates and data.weights is None:
                squares = unweighted_mean_squares(working.cells)
            own = rngs[begin : begin + len(part)] if "bootstrap" in self.intervals else ()
            found = self.limits(solution, squares, own, data)
            solutions.append(working.given(solution, reml=self.restricted))
            limits = {kind: working.given_limits(of) for kind, of in found.items()}
            tested, others = self._others(working, solution, solutions[-1])
            parts.append(variance_estimates(solutions[-1], limits, tested) | others)
            statistics.append(tested)
            begin += len(part)
        endings = [part.statuses() for part in solutions]
        messages = map(Solution.messages, solutions, endings)
        diagnostics = {
            "llf": joined([part.llf for part in solutions]),
            "iterations": joined([part.iterations for part in solutions]),
        }
        for name in self.tests:
            diagnostics[f"{name}_lrt"] = joined([tested[name] for tested in statistics])
        estimates = joined_estimates(parts, [len(part) for part in solutions])
        return Fit(estimates, [*chain(*endings)], [*chain(*messages)], diagnostics)

    @batch_form(batch)
    def __call__(self, data: Any, rng: np.random.Generator) -> Fit:
        """Fit one data set: nested data, or a data frame with y, group1 and group2."""
        fit = self.batch([data], [rng])
        estimates = {}
        for name, of in fit.estimates.items():
            intervals = (of.intervals or {}).items()
            limits = {kind: (low.item(), high.item()) for kind, (low, high) in intervals}
            df, p_value = (x if x is None else x.item() for x in (of.df, of.p_value))
            estimates[name] = Estimate(
                of.value.item(), of.std_error.item(), intervals=limits, df=df, p_value=p_value
            )
        diagnostics = {name: column[0].item() for name, column in (fit.diagnostics or {}).items()}
        status: Any = fit.status
        return Fit(estimates, status[0], fit.message[0], diagnostics)

    def _others(
        self, working: Working, solution: Solution, given: Solution
    ) -> tuple[dict[str, Floats], dict[str, Estimate]]:
        """Return the statistics of tests, and estimates beside those of the variances.

        The solution is in the units of `working`, and as `given` in those of the data.
        """
        reml, squares = self.restricted, working.squares
        statistics: dict[str, Floats] = {}
        found: dict[str, Estimate] = {}
        if squares is not None:
            for name in self.tests:
                statistics[name] = balanced_statistics(squares, solution, name, reml=reml)
        if self.icc is None and not self.fixed_effects and len(statistics) == len(self.tests):
            return statistics, {}
        sums, unit = reduced(working.batch, working.cells), working.weight_unit
        parts = maxima(sums, solution.variances, unit, reml=reml)
        for name in self.tests[len(statistics) :]:
            statistics[name] = np.concatenate(
                [variance_statistics(part, name, reml=reml) for part in parts]
            )
        if self.icc is not None:
            found |= icc_estimates(parts, given.variances, self.icc, level=self.level, reml=reml)
        if self.fixed_effects:
            names = (CONSTANT, *working.batch.covariates)
            if taken := [name for name in names if name in (*COMPONENTS, *CORRELATIONS)]:
                raise StudyError(
                    f"a covariate is called {taken[0]!r}, as an estimand is; rename it"
                )
            degrees = np.concatenate([degrees_of_freedom(part) for part in parts])
            found |= fixed_effect_estimates(names, given, degrees)
        return statistics, found

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


def variance_estimates(
    solution: Solution, limits: Mapping[str, Limits], statistics: Mapping[str, Floats]
) -> dict[str, Estimate]:
    """Return the variances with their intervals and the p-values of their tests.

    A variance that has no value has no limits.
    """
    found = {}
    for name, value, error in zip(
        COMPONENTS, solution.variances.T, solution.std_errors.T, strict=True
    ):
        lost = np.isnan(value)
        found[name] = Estimate(
            value,
            error,
            intervals={
                kind: (np.where(lost, np.nan, of[name][0]), np.where(lost, np.nan, of[name][1]))
                for kind, of in limits.items()
                if name in of
            },
            p_value=mixture_p_value(statistics[name]) if name in statistics else None,
        )
    return found


def joined_estimates(
    parts: Sequence[dict[str, Estimate]], lengths: Sequence[int]
) -> dict[str, Estimate]:
    """Return the estimates of parts that follow one another; NaN where a part has none."""
    if len(parts) == 1:
        return parts[0]
    nothing = [np.full(length, np.nan) for length in lengths]

    def column(values: Iterable[Any]) -> Floats:
        pairs = zip(values, nothing, strict=True)
        return np.concatenate([lost if value is None else value for value, lost in pairs])

    found = {}
    for name, first in {name: of for part in parts for name, of in part.items()}.items():
        of = [part.get(name, Estimate(None)) for part in parts]
        limits, intervals = [each.intervals or {} for each in of], {}
        for kind in dict.fromkeys(chain(*limits)):
            pairs = [given.get(kind, (None, None)) for given in limits]
            intervals[kind] = column(low for low, _ in pairs), column(high for _, high in pairs)
        found[name] = Estimate(
            column(each.value for each in of),
            column(each.std_error for each in of),
            intervals=intervals,
            df=None if first.df is None else column(each.df for each in of),
            p_value=None if first.p_value is None else column(each.p_value for each in of),
        )
    return found


reml = ExactMethod()
ml = ExactMethod(restricted=False)
