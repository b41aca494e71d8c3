"""What fitting the variances of a batch comes to, and how each fit ended."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mcstudy.method import Status
from mcstudy.nested.data import Booleans, Floats, Integers

COMPONENTS = ("group1_var", "group2_var", "unexplained_var")
_VERDICTS = (
    Status.OK,
    Status.BOUNDARY,
    Status.NOT_CONVERGED,
    Status.NOT_FINITE,
    Status.NOT_IDENTIFIABLE,
)


@dataclass(frozen=True, eq=False)
class Solution:
    """Fitted variances of R replicates, in the order of `COMPONENTS`; p fixed effects.

    Parameters
    ----------
    variances : array of shape (R, 3)
        The estimates; NaN where the design cannot tell a variance.
    covariance : array of shape (R, 3, 3)
        Inverse of the observed information, given the variances at zero; NaN for those.
    llf : array of shape (R,)
        Log-likelihood at the estimates, restricted under REML.
    fixed_effects : array of shape (R, p)
        Intercept first.
    fixed_effects_cov : array of shape (R, p, p)
        Their covariance, given the variances.
    iterations : int array of shape (R,)
        Evaluations of the likelihood; 0 for a closed form.
    identified : bool array of shape (R, 3)
        Which of the variances the design can tell.
    converged : bool array of shape (R,)
        Whether the maximum was found.
    """

    variances: Floats
    covariance: Floats
    llf: Floats
    fixed_effects: Floats
    fixed_effects_cov: Floats
    iterations: Integers
    identified: Booleans
    converged: Booleans

    def __len__(self) -> int:
        return len(self.llf)

    @classmethod
    def joined(cls, parts: list[Solution]) -> Solution:
        """Return the solutions of several batches as one."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            **{
                item.name: np.concatenate([getattr(part, item.name) for part in parts])
                for item in fields(cls)
            }
        )

    @property
    def std_errors(self) -> Floats:
        """Standard errors of the variances, shape (R, 3)."""
        squares = np.diagonal(self.covariance, axis1=1, axis2=2)
        return np.sqrt(np.where(squares > 0, squares, np.nan))

    @property
    def at_zero(self) -> Booleans:
        """Which variances are estimated as zero, shape (R, 3)."""
        zero: Booleans = self.variances == 0
        return zero

    def statuses(self) -> list[Status]:
        """Return how each fit ended."""
        verdict = np.zeros(len(self), dtype=np.int64)
        verdict[self.at_zero.any(axis=1)] = _VERDICTS.index(Status.BOUNDARY)
        verdict[~self.converged] = _VERDICTS.index(Status.NOT_CONVERGED)
        verdict[~np.isfinite(self.llf)] = _VERDICTS.index(Status.NOT_FINITE)
        verdict[~self.identified.all(axis=1)] = _VERDICTS.index(Status.NOT_IDENTIFIABLE)
        return [_VERDICTS[i] for i in verdict]

    def messages(self, statuses: list[Status]) -> list[str]:
        """Return the reasons in words, empty where all is well."""
        return [
            "" if status is Status.OK else self._reason(lane, status)
            for lane, status in enumerate(statuses)
        ]

    def _reason(self, lane: int, status: Status) -> str:
        if status is Status.BOUNDARY:
            return f"zero: {_names(self.at_zero[lane])}"
        if status is Status.NOT_IDENTIFIABLE:
            return f"the design cannot tell: {_names(~self.identified[lane])}"
        if status is Status.NOT_FINITE:
            return "the likelihood has no finite maximum"
        return "the likelihood can still rise"


def _names(which: Booleans) -> str:
    return " and ".join(name for name, yes in zip(COMPONENTS, which, strict=True) if yes)
