"""What fitting the variances of a batch comes to, and how each fit ended."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Booleans, Floats, Integers, joined
from mcstudy.method import Status

Pair: TypeAlias = tuple[Floats, Floats]
"""Lower and upper limits, arrays of shape (R,)."""
Limits: TypeAlias = dict[str, Pair]
"""Those of the variances for which an interval exists."""

COMPONENTS = ("group1_var", "group2_var", "unexplained_var")
_FLOATS = np.finfo(np.float64)  # between its tiny and its max they have all their digits


@dataclass(frozen=True, eq=False)
class Solution:
    """Fitted variances of R replicates, in the order of `COMPONENTS`; p fixed effects."""

    variances: Floats  # (R, 3): NaN where the design cannot tell a variance
    std_errors: Floats  # (R, 3): from the observed information, given those at zero: they have none
    llf: Floats  # (R,): log-likelihood at the estimates, restricted under REML
    fixed_effects: Floats  # (R, p): intercept first
    fixed_effects_cov: Floats  # (R, p, p): given the variances
    iterations: Integers  # (R,): evaluations of the likelihood; 0 for a closed form
    identified: Booleans  # (R, 3): which of the variances the design can tell
    converged: Booleans  # (R,): whether the maximum was found
    fault: NDArray[np.str_]  # (R,): what is wrong with the data, in words, where that is known

    def __len__(self) -> int:
        return len(self.llf)

    @classmethod
    def joined(cls, parts: list[Solution]) -> Solution:
        """Return the solutions of several batches with the same fixed effects as one."""
        names = [item.name for item in fields(cls)]
        return cls(**{name: joined([getattr(part, name) for part in parts]) for name in names})

    def times(self, scale: Floats, used: Floats) -> Solution:
        """Return the solution for the response times `scale`, powers of 2 of shape (R,).

        Of each replicate, `used` rows count in its likelihood: under REML, less the fixed effects.
        Variances that no floating-point number can hold are a fault.
        """
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            square = scale[:, None] ** 2
            variances = self.variances * square
            held = (variances >= _FLOATS.tiny) & (variances <= _FLOATS.max)
            lost: Booleans = np.logical_or.reduce((self.variances > 0) & ~held, axis=1)
            variances = np.where(lost[:, None], np.nan, variances)
            words = "the variances are beyond floating-point numbers; change the response's units"
            return replace(
                self,
                variances=variances,
                std_errors=np.where(lost[:, None], np.nan, self.std_errors * square),
                llf=np.where(lost, np.nan, self.llf - used * np.log(scale)),
                fixed_effects=self.fixed_effects * scale[:, None],
                fixed_effects_cov=self.fixed_effects_cov * square[..., None],
                fault=np.where(lost & (self.fault == ""), words, self.fault),
            )

    @property
    def fixed_effects_std_errors(self) -> Floats:
        """Standard errors of the fixed effects, shape (R, p)."""
        return np.sqrt(np.diagonal(self.fixed_effects_cov, axis1=1, axis2=2))

    @property
    def at_zero(self) -> Booleans:
        """Which variances are estimated as zero, shape (R, 3)."""
        zero: Booleans = self.variances == 0
        return zero

    def statuses(self) -> list[Status]:
        """Return how each fit ended."""
        cases = {  # the first that holds counts
            Status.NOT_IDENTIFIABLE: ~self.identified.all(axis=1),
            Status.NOT_FINITE: ~np.isfinite(self.llf),
            Status.NOT_CONVERGED: ~self.converged,
            Status.BOUNDARY: self.at_zero.any(axis=1),
        }
        kinds = [*cases, Status.OK]
        place = np.select(list(cases.values()), list(range(len(cases))), len(cases))
        return [kinds[i] for i in place.tolist()]

    def messages(self, statuses: list[Status]) -> list[str]:
        """Return the reasons in words, empty where all is well."""

        def named(which: list[bool]) -> str:
            return " and ".join(itertools.compress(COMPONENTS, which))

        found = [""] * len(statuses)
        zero, unidentified = self.at_zero.tolist(), (~self.identified).tolist()
        for lane, status in enumerate(statuses):
            if status is Status.OK:
                continue
            if status is Status.BOUNDARY:
                found[lane] = f"zero: {named(zero[lane])}"
            elif status is Status.NOT_CONVERGED:
                found[lane] = "the likelihood can still rise"
            elif self.fault[lane]:
                found[lane] = str(self.fault[lane])
            elif status is Status.NOT_IDENTIFIABLE:
                found[lane] = f"the design cannot tell: {named(unidentified[lane])}"
            elif status is Status.NOT_FINITE:
                found[lane] = "the likelihood has no finite maximum"
        return found
