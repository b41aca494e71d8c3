"""The columns of a frame to labels of groups, numbers, and covariates with coded levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.arrays import Floats, Integers
from mcstudy.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")


def codes_of(column: pd.Series[Any], name: str) -> Integers:
    """Return the labels of groups as integers from 0, in the order of meeting.

    Raises
    ------
    TableError
        For missing labels, and for labels of which it is not clear whether they are the same, as
        1 and "1".
    """
    import pandas as pd

    try:
        codes, labels = pd.factorize(column)
    except TypeError as error:
        raise TableError(f"column {name!r} has values that are no labels ({error})") from None
    if (codes < 0).any():
        raise TableError(f"column {name!r} has {int((codes < 0).sum())} missing labels; drop them")
    _check_labels(column, labels, name)
    return codes.astype(np.int64)


def _check_labels(column: pd.Series[Any], labels: Any, name: str) -> None:
    """Raise for labels that differ in type only, which are one group or two."""
    import pandas as pd

    categories = getattr(column, "cat", None)
    kind = labels.dtype if categories is None else categories.categories.dtype
    if not pd.api.types.is_object_dtype(kind):
        return
    if categories is None and len(types := set(map(type, column))) > 1 and bool in types:
        raise TableError(
            f"column {name!r} mixes truth values and other labels; make them one type, as by "
            "astype(str)"
        )
    of: dict[Any, Any] = {}
    for label in labels:
        other = of.setdefault(_as_number(label), label)
        if isinstance(other, str) != isinstance(label, str):
            raise TableError(
                f"column {name!r} has the labels {other!r} and {label!r}; make them one type, as "
                "by astype(str)"
            )


def _as_number(label: Any) -> Any:
    """Return the number that a label is or writes down, else the label itself."""
    if not isinstance(label, str):
        return label
    try:
        return float(label)
    except ValueError:
        return label


def numbers_of(column: pd.Series[Any], name: str) -> Floats:
    """Return a column of finite numbers."""
    import pandas as pd

    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column)
    if not numeric and not (
        pd.api.types.is_object_dtype(column) and pd.api.types.infer_dtype(column) in _NUMBERS
    ):
        raise TableError(f"column {name!r} is {column.dtype}, not numbers")
    try:
        values: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError) as error:
        raise TableError(f"column {name!r} has values that are no numbers ({error})") from None
    if missing := int(np.isnan(values).sum()):
        raise TableError(f"column {name!r} has {missing} missing values; drop these rows")
    if not np.isfinite(values).all():
        raise TableError(f"column {name!r} has infinite values")
    return values


def covariates_of(column: pd.Series[Any], name: str) -> dict[str, Floats]:
    """Return a covariate as the columns that have a fixed effect each, by name.

    Numbers are one column. Categories, texts and truth values are treatment coded: a column of 0
    and 1 for each level that occurs but the first, named ``name[T.level]``. Levels are in the order
    of the categories, others are sorted.
    """
    import pandas as pd

    named = pd.api.types.is_bool_dtype(column) or pd.api.types.is_string_dtype(column)
    if pd.api.types.is_object_dtype(column):
        named = pd.api.types.infer_dtype(column) in ("string", "boolean")
    if isinstance(column.dtype, pd.CategoricalDtype):
        present = column.cat.remove_unused_categories()
        levels, codes = present.cat.categories.tolist(), present.cat.codes.to_numpy()
    elif named:
        codes, found = pd.factorize(column, sort=True)
        levels = found.tolist()
    else:
        return {name: numbers_of(column, name)}
    if missing := int((codes < 0).sum()):
        raise TableError(f"column {name!r} has {missing} missing values; drop these rows")
    if len(levels) == 1:
        raise TableError(f"exog: {name!r} is constant; the intercept is always there")
    return {
        f"{name}[T.{level}]": (codes == place).astype(np.float64)
        for place, level in enumerate(levels)
        if place
    }
