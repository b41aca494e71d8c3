"""A formula, as ``"score ~ age + C(sex)"``, to the columns of a frame, by patsy."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.errors import TableError
from mcstudy.nested.frames import CONSTANT

if TYPE_CHECKING:
    import pandas as pd

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

    if not isinstance(formula, str):
        raise TableError(f"the formula is {formula!r}; write a text, as 'score ~ age + C(sex)'")
    if "|" in formula:
        raise TableError(f"formula {formula!r}: {_BARS}")
    if "~" not in formula or not formula.split("~")[0].strip():
        raise TableError(
            f"formula {formula!r} has no response; write 'score ~ {formula.strip(' ~')}'"
        )
    if not len(frame):
        raise TableError("the frame has no rows")
    environment = patsy.EvalEnvironment.capture(depth + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of patsy's own, on new pythons
            left, right = patsy.dmatrices(formula, frame, environment, NA_action="raise")
    except patsy.PatsyError as error:
        words = str(error.args[0] if error.args else error).splitlines()[0]
        raise TableError(f"formula {formula!r}: {words}") from None
    except (NameError, KeyError, TypeError, ValueError) as error:
        raise TableError(f"formula {formula!r}: {str(error).splitlines()[0]}") from None
    names = left.design_info.column_names
    if len(names) != 1:
        raise TableError(
            f"formula {formula!r}: the response is the columns {', '.join(names)}; it must be one "
            "column of numbers"
        )
    columns = dict(zip(right.design_info.column_names, np.asarray(right).T, strict=True))
    if columns.pop("Intercept", None) is None:
        raise TableError(f"formula {formula!r}: the intercept is always there; take out 0 or -1")
    if CONSTANT in columns:
        raise TableError(
            f"formula {formula!r}: {CONSTANT!r} is the name of the constant; rename the column"
        )
    for name, column in ((names[0], np.asarray(left)[:, 0]), *columns.items()):
        if not np.isfinite(column).all():
            raise TableError(f"formula {formula!r}: {name!r} has missing or infinite values")
    return np.asarray(left)[:, 0].copy(), {name: column.copy() for name, column in columns.items()}
