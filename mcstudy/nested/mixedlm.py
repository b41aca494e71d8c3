"""The statsmodels side: MixedLM by a formula and by design matrices, as it is and repaired.

A method takes nested data, or a data frame as `reml` does. The model is y ~ 1, with the covariates
that the data carries, a random intercept for group 1 and a variance component for group 2 within
group 1. A method returns, for each variance, the estimate with its standard error on the natural
scale and the intervals

- ``reported``: Wald, from the standard error that statsmodels prints (there is none for the
  unexplained variance);
- ``wald``: Wald, from the standard error on the natural scale;
- ``log``: Wald for the logarithm of the variance, from the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal

import numpy as np
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams, VCSpec

from mcstudy.arrays import Floats
from mcstudy.errors import StudyError
from mcstudy.method import Estimate, Fit, Status
from mcstudy.nested.columns import columns_of_data
from mcstudy.nested.data import NestedData, NestedDesign
from mcstudy.nested.frames import as_nested
from mcstudy.nested.intervals import log_wald
from mcstudy.nested.mixedlm_diagnostics import can_rise, identifiable, judge
from mcstudy.nested.solution import COMPONENTS
from mcstudy.wald import wald_limits

_LEVEL = 0.95  # of the intervals, as statsmodels prints them


def formula(data: Any) -> Fit:
    """Fit MixedLM by its formula interface, with its defaults."""
    return _answer(data, _formula_model, {})


def matrices(data: Any) -> Fit:
    """Fit MixedLM by design matrices built by hand, with its defaults; bitwise like `formula`."""
    return _answer(data, _matrices_model, {})


def matrices_tight(data: Any) -> Fit:
    """Fit as `matrices` does, to a gradient of 1e-8 in place of 1e-5."""
    return _answer(data, _matrices_model, {"gtol": 1e-8})


def matrices_signed(data: Any) -> Fit:
    """Fit as `matrices_tight` does, with the gradient's sign corrected."""
    model = partial(_matrices_model, kind=SignedMixedLM)
    return _answer(data, model, {"gtol": 1e-8})


class SignedMixedLM(MixedLM):  # type: ignore[misc]
    """MixedLM whose score has the right sign where a square-root parameter is negative.

    The optimiser works on p with variance ratio p**2. MixedLM evaluates the score at abs(p), whose
    derivative with respect to p differs in sign where p < 0. (One random effect only: its packed
    Cholesky factor is a single number.)
    """

    def score(self, params: Any, profile_fe: bool = True) -> Any:
        """Return the score of the profile log-likelihood, with respect to p."""
        score = super().score(params, profile_fe)
        if type(params) is MixedLMParams or not profile_fe:
            return score
        return score * np.where(np.asarray(params) < 0, -1.0, 1.0)


def _formula_model(data: NestedData) -> MixedLM:
    """Return the model by its formula, in which covariates have names that mean nothing there."""
    columns = {f"x{i}": column for i, column in enumerate(data.covariates.values())}
    return MixedLM.from_formula(
        " + ".join(["y ~ 1", *columns]),
        re_formula="1",
        vc_formula={"group2": "0 + C(group2)"},
        groups="group1",
        data=NestedData(data.y, data.design, columns).frame,
    )


def _matrices_model(data: NestedData, kind: type[MixedLM] = MixedLM) -> MixedLM:
    ones = np.ones((len(data.y), 1))
    fixed = np.column_stack([ones, *data.covariates.values()])
    cells = cell_matrices(data.design)
    names = [[f"group2[{level}]" for level in range(cell.shape[1])] for cell in cells]
    return kind(
        data.y,
        np.asarray(fixed, order=_formula_order()),
        exog_re=ones,
        groups=data.design.group1,
        exog_vc=VCSpec(["group2"], [names], [cells]),
    )


def cell_matrices(design: NestedDesign) -> list[Floats]:
    """Return for each group 1, in sorted order, which row is in which group 2, shape (n, cells).

    In memory they lie as the formula's do, so that the same sums are done in the same order.
    """
    order = _formula_order()
    if design.balanced is not None:
        n_group1, n_group2, n_rep = design.balanced
        return [np.asarray(np.repeat(np.eye(n_group2), n_rep, axis=0), order=order)] * n_group1
    starts = np.flatnonzero(np.diff(design.places[0]))
    return [
        np.asarray(labels[:, None] == np.unique(labels), dtype=np.float64, order=order)
        for labels in np.split(design.group2, starts + 1)
    ]


@cache
def _formula_order() -> Literal["C", "F"]:
    """Return in which order the installed statsmodels lays out a formula's design matrices."""
    design = NestedDesign.of_sizes(2, 2, 2)
    model = _formula_model(NestedData(np.arange(8.0), design))
    return "F" if model.exog_vc.mats[0][0].flags.f_contiguous else "C"


def _answer(given: Any, build: Callable[[NestedData], MixedLM], options: dict[str, Any]) -> Fit:
    """Fit the model and say what came out, as far as the design can tell it."""
    data = as_nested(given)
    if data.weights is not None:
        raise StudyError("MixedLM takes no weights; leave them out, or fit by reml or ml")
    nothing = dict.fromkeys(COMPONENTS, Estimate(None))
    names = tuple(data.covariates)
    if names and (fault := columns_of_data(data).faults(names)[0]):
        return Fit(nothing, Status.NOT_IDENTIFIABLE, str(fault))
    told = identifiable(data)
    if not told:
        reason = "the design identifies none of the variances"
        return Fit(nothing, Status.NOT_IDENTIFIABLE, reason)
    lost = [name for name in COMPONENTS if name not in told]
    reason = f"the design does not identify {' and '.join(lost)}"
    try:
        result = build(data).fit(full_output=True, **options)._results
    except np.linalg.LinAlgError:
        if not lost:
            raise
        return Fit(nothing, Status.NOT_IDENTIFIABLE, reason)
    return _answer_of(result, lost, reason)


def _answer_of(result: Any, lost: list[str], reason: str) -> Fit:
    """Say what came out of a fit; the reason is why the variances that are lost are so."""
    values = np.array([result.cov_re[0, 0], result.vcomp[0], result.scale])
    reported = np.append(np.sqrt(result.scale) * result.bse[result.k_fe :], np.nan)
    steps = result.hist[-1].get("allvecs") if result.hist else None  # not every optimiser has them
    diagnostics = {
        "llf": float(result.llf),
        "converged": bool(result.converged),
        "iterations": len(steps) - 1 if steps else None,
        "group1_var_reported_se": float(reported[0]),
        "group2_var_reported_se": float(reported[1]),
    }
    if not lost:
        status, reason, std_errors = judge(result)
        return Fit(_estimates(values, std_errors, reported), status, reason, diagnostics)
    if can_rise(result):
        reason += "; the likelihood can still rise"
    kept = {
        name: Estimate(None if name in lost else value)
        for name, value in zip(COMPONENTS, values, strict=True)
    }
    return Fit(kept, Status.NOT_IDENTIFIABLE, reason, diagnostics)


def _estimates(values: Floats, std_errors: Floats, reported: Floats) -> dict[str, Estimate]:
    intervals = {
        "reported": wald_limits(values, reported, _LEVEL),
        "wald": wald_limits(values, std_errors, _LEVEL),
        "log": log_wald(values, std_errors, _LEVEL),
    }
    found = {}
    for i, name in enumerate(COMPONENTS):
        limits = {kind: (low[i], high[i]) for kind, (low, high) in intervals.items()}
        found[name] = Estimate(values[i], std_errors[i], intervals=limits)
    return found
