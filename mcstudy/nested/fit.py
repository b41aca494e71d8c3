"""Anybody's data frame to an exact fit: `fit`, outside of any study; formulas by patsy."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.errors import TableError
from mcstudy.nested.frames import (
    CONSTANT,
    as_frame,
    check_columns,
    check_levels,
    frame_data,
    named_columns,
    names_of,
    shared_labels,
)
from mcstudy.nested.nested_fit import NestedFit
from mcstudy.nested.solution import COMPONENTS
from mcstudy.nested.solve import as_batch, solve

if TYPE_CHECKING:
    import pandas as pd

_MOST_NAMES = 5  # of columns that a line shows
_BARS = "the groups stand apart: groups=['school', 'class'] in place of (1 | school/class)"


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
        y, covariates = _formula_columns(formula, table)
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
    return names[0], names[1]


def _formula_columns(formula: Any, frame: pd.DataFrame) -> tuple[Floats, dict[str, Floats]]:
    """Return the response and the covariates by name, in the order of the frame.

    Raises
    ------
    TableError
        For what is no formula, names that are not there, missing values, and no intercept.
    """
    _check_text(formula)
    if not len(frame):
        raise TableError("the frame has no rows")
    where = f"formula {formula!r}"
    left, right = _patsy_matrices(formula, frame, where)
    for factor, info in right.design_info.factor_infos.items():
        if info.type == "categorical":
            check_levels(factor.name(), info.categories, len(frame))
    response = _by_name(left)
    if len(response) != 1:
        some = ", ".join([*response][:_MOST_NAMES]) + ", ..." * (len(response) > _MOST_NAMES)
        raise TableError(
            f"{where}: the response is the columns {some}; it must be one column of numbers, which "
            "texts are not"
        )
    for term, place in right.design_info.term_name_slices.items():
        if place.start == place.stop:
            raise TableError(f"{where}: {term!r} has a single level; leave it out")
    covariates = _by_name(right)
    for name, column in {**response, **covariates}.items():
        if not np.isfinite(column).all():
            raise TableError(f"{where}: {name!r} has missing or infinite values; drop these rows")
    if covariates.pop("Intercept", None) is None:
        raise TableError(f"{where}: the intercept is always there; take out 0 or -1")
    if CONSTANT in covariates:
        raise TableError(f"{where}: {CONSTANT!r} is the name of the constant; rename the column")
    [y] = response.values()
    return y, covariates


def _patsy_matrices(formula: str, frame: pd.DataFrame, where: str) -> tuple[Any, Any]:
    """Return the matrices of the response and of the fixed effects.

    Functions in the formula are those of the caller of `fit`, and patsy's own.
    """
    import patsy  # what statsmodels has its formulas from

    unused = frame.select_dtypes("category")
    frame = frame.assign(**{str(n): unused[n].cat.remove_unused_categories() for n in unused})
    environment = patsy.EvalEnvironment.capture(3)  # frames up: the caller of `fit`
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # numbers are looked at below
            warnings.simplefilter("ignore", DeprecationWarning)  # of patsy's own, on new pythons
            left, right = patsy.dmatrices(formula, frame, environment, NA_action="raise")
            return left, right
    except patsy.PatsyError as error:
        words = str(error.args[0] if error.args else error).splitlines()[0]
        if error.origin is not None:
            words = f"at {error.origin.relevant_code()!r}: {words}"
        if "missing values" in words:
            words += "; drop these rows"
        if "is not defined" in words:
            words += f"; the frame has {', '.join(map(str, frame.columns[:30]))}"
        raise TableError(f"{where}: {words}") from None
    except (NameError, KeyError, TypeError, ValueError) as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        raise TableError(f"{where}: {words}") from None


def _check_text(formula: Any) -> None:
    if not isinstance(formula, str):
        raise TableError(f"the formula is {formula!r}; write a text, as 'score ~ age + C(sex)'")
    if "|" in formula:
        raise TableError(f"formula {formula!r}: {_BARS}")
    if "~" not in formula or not formula.split("~")[0].strip():
        right = formula.strip(" ~")
        raise TableError(f"formula {formula!r} has no response; write 'score ~ {right}'")


def _by_name(matrix: Any) -> dict[str, Floats]:
    """Return the columns of a design matrix of patsy."""
    columns = np.array(matrix, dtype=np.float64).T.copy()
    return dict(zip(matrix.design_info.column_names, columns, strict=True))
