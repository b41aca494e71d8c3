"""Anybody's data frame to an exact fit: `fit`, outside of any study."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from mcstudy.arrays import Floats
from mcstudy.errors import TableError
from mcstudy.nested.formulas import formula_columns
from mcstudy.nested.frames import (
    CONSTANT,
    as_frame,
    check_columns,
    frame_data,
    named_columns,
    names_of,
    shared_labels,
)
from mcstudy.nested.nested_fit import NestedFit
from mcstudy.nested.solution import COMPONENTS
from mcstudy.nested.solve import as_batch, solve


def fit(
    frame: Any,
    formula: str | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    response: Hashable = None,
    group1: Hashable = None,
    group2: Hashable = None,
    exog: Any = None,
    weights: Hashable = None,
    reml: bool = True,
) -> NestedFit:
    """Fit variances of two-level nested data exactly.

    Parameters
    ----------
    frame : data frame
        One row an observation, in any order: of pandas, Polars or Arrow, or of any library whose
        frames have the Arrow stream interface or `to_pandas`.
    formula : str, optional
        Response and fixed effects, as ``"score ~ age + C(sex)"``, in the language of patsy; an
        intercept is always there.
    groups : sequence of two str, optional
        The columns of group 1 and of group 2 within it: ``["school", "class"]``. Labels of group 2
        may repeat within group 1, or not.
    response, group1, group2 : str, optional
        Columns, in place of the formula and the groups; those called ``y``, ``group1`` and
        ``group2`` where not given.
    exog : str or sequence of str, optional
        Names of columns with fixed effects, in place of a formula: a list, tuple, array or index,
        or a single one. Categories, texts and truth values are treatment coded, their first level
        being the reference: ``sex[T.male]``.
    weights : str, optional
        A column of prior weights above 0, as of lme4: the unexplained variance of a row is
        ``unexplained_var / weight``, as where a row is the mean of that many observations.
    reml : bool
        Restricted maximum likelihood, or maximum likelihood.

    Returns
    -------
    NestedFit
        Estimates, standard errors, intervals, tests, predictions and a summary.

    Raises
    ------
    TableError
        For what is no frame or no formula, columns that are not there, not numeric or not finite,
        rows without a group, labels that differ in type only, weights that are not above 0, and
        fixed effects that cannot be told apart.
    """
    names = _two_groups(groups, group1, group2)
    table = as_frame(frame)
    if formula is None:
        name = "y" if response is None else response
        y, covariates = named_columns(table, name, names, names_of(exog))
    else:
        for word, value in (("response", response), ("exog", exog)):
            if value is not None:
                raise TableError(f"{word}={value!r} stands beside a formula; leave it out")
        check_columns(table, list(names))
        y, covariates = formula_columns(formula, table, depth=1)
    rows = frame_data(table, names, y, covariates, weights)
    data = rows.data
    solution = solve(as_batch(data), reml=reml)
    if not solution.identified.any() and solution.fault[0]:
        raise TableError(f"{'exog' if formula is None else 'formula'}: {solution.fault[0]}")
    [status] = statuses = solution.statuses()

    def named(names: Sequence[str], values: Floats) -> dict[str, float]:
        return dict(zip(names, values[0].tolist(), strict=True))

    fixed = (CONSTANT, *data.covariates)
    return NestedFit(
        variances=named(COMPONENTS, solution.variances),
        std_errors=named(COMPONENTS, solution.std_errors),
        fixed_effects=named(fixed, solution.fixed_effects),
        fixed_effects_std_errors=named(fixed, solution.fixed_effects_std_errors),
        llf=float(solution.llf[0]),
        status=status,
        message=solution.messages(statuses)[0],
        iterations=int(solution.iterations[0]),
        restricted=reml,
        data=data,
        rows=rows,
        index=table.index,
        notes=tuple(filter(None, [shared_labels(data.design, *map(str, names))])),
    )


def _two_groups(groups: Any, group1: Hashable, group2: Hashable) -> tuple[Hashable, Hashable]:
    """Return the names of the columns of groups."""
    if groups is None:
        return (
            "group1" if group1 is None else group1,
            "group2" if group2 is None else group2,
        )
    if group1 is not None or group2 is not None:
        raise TableError("groups stands beside group1 or group2; give one of both")
    names = names_of(groups)
    if isinstance(groups, str) or len(names) != 2:
        raise TableError(
            f"groups is {groups!r}; name two columns, of group 1 and of group 2 within it, as "
            "['school', 'class']"
        )
    first, second = names
    return first, second
