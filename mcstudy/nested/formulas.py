"""A formula, as ``"score ~ age + C(sex)"``, to the columns of a frame, by patsy."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.errors import TableError
from mcstudy.nested.frames import CONSTANT, check_levels

if TYPE_CHECKING:
    import pandas as pd

_MOST_NAMES = 5  # of columns that a line shows
_BARS = "the groups stand apart: groups=['school', 'class'] in place of (1 | school/class)"


def formula_columns(
    formula: Any, frame: pd.DataFrame, depth: int
) -> tuple[Floats, dict[str, Floats]]:
    """Return the response and the covariates by name, in the order of the frame.

    Functions in the formula are those of the caller `depth` frames up, and patsy's own.

    Raises
    ------
    TableError
        For what is no formula, names that are not there, missing values, and no intercept.
    """
    import patsy  # what statsmodels has its formulas from

    _check_text(formula)
    if not len(frame):
        raise TableError("the frame has no rows")
    unused = frame.select_dtypes("category")
    frame = frame.assign(**{str(n): unused[n].cat.remove_unused_categories() for n in unused})
    where, environment = f"formula {formula!r}", patsy.EvalEnvironment.capture(depth + 1)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # numbers are looked at below
            warnings.simplefilter("ignore", DeprecationWarning)  # of patsy's own, on new pythons
            left, right = patsy.dmatrices(formula, frame, environment, NA_action="raise")
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
