"""Anybody's frame to nested data, for `fit` and for studies whose `simulate` returns a frame."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mcstudy.arrays import Floats, Integers
from mcstudy.errors import TableError
from mcstudy.nested.data import NestedData, NestedDesign

if TYPE_CHECKING:
    import pandas as pd

CONSTANT = "intercept"
_COLUMNS = ("y", "group1", "group2")
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")  # as pandas infers them

# Labels that are reused on purpose, as class 1, 2 and 3 of each school, are as few as the cells of
# a group, and stand for many rows each; those of crossed raters or items are many, or have a row or
# two per cell.
_MANY_GROUPS = 3
_MOST_LEVELS = 20  # of a factor with a level for every other row: of few rows it may have so many
_FEW_ROWS = 3
_MORE_LABELS = 2


def as_nested(data: Any) -> NestedData:
    """Return nested data as they are, and a frame as nested data; raise TableError for others.

    A frame has the columns y, group1 and group2; all further columns are covariates with fixed
    effects, as in `NestedData.frame`.
    """
    if isinstance(data, NestedData):
        return data
    frame = as_frame(data)
    _check_there(frame, _COLUMNS)
    response, *groups = _COLUMNS
    others = [name for name in frame.columns if name not in _COLUMNS]
    return frame_data(frame, groups, *named_columns(frame, response, groups, others)).data


def as_frame(data: Any) -> pd.DataFrame:
    """Return any kind of data frame as a pandas one; raise TableError for what is none."""
    from mcstudy.external.frames import as_pandas, is_frame, no_frame

    if not is_frame(data):
        raise no_frame(data, "a data frame of pandas, Polars or Arrow")
    return as_pandas(data)


def names_of(exog: Any) -> list[Hashable]:
    """Return the names of columns: of a sequence, an array or an index, or a single one."""
    if exog is None:
        return []
    if isinstance(exog, str) or not isinstance(exog, Iterable):
        return [exog]
    if hasattr(exog, "columns") or getattr(exog, "ndim", 1) > 1:
        raise TableError("exog has columns of its own; give their names, and them in the frame")
    return [name.item() if isinstance(name, np.generic) else name for name in exog]


class FrameData(NamedTuple):
    """The nested data of a frame, and where its rows stand there."""

    data: NestedData
    order: Integers  # (N,): the place in the frame of each row of the data
    cells: pd.DataFrame  # the labels of group 1 and group 2 of each cell, in the data's order


def named_columns(
    frame: pd.DataFrame, response: Hashable, groups: Sequence[Hashable], exog: Sequence[Hashable]
) -> tuple[Floats, dict[str, Floats]]:
    """Return the response and the covariates by name; raise TableError for bad columns."""
    check_columns(frame, [response, *groups, *exog])
    y = numbers_of(frame[response], str(response))
    covariates: dict[str, Floats] = {}
    for name in exog:
        for label, column in covariates_of(frame[name], str(name)).items():
            if label == CONSTANT:
                raise TableError(
                    f"exog: {label!r} is the name of the constant, which is always there; rename "
                    "the column, or leave it out"
                )
            if label in covariates:
                raise TableError(f"exog: two columns are called {label!r}; rename one")
            covariates[label] = column
    return y, covariates


def frame_data(
    frame: pd.DataFrame,
    groups: Sequence[Hashable],
    y: Floats,
    covariates: Mapping[str, Floats],
    weights: Hashable = None,
) -> FrameData:
    """Return the data of columns in the frame's order, and of its groups and weights by name."""
    first, second = (codes_of(frame[name], str(name)) for name in groups)
    heavy = None if weights is None else weights_of(frame, weights)
    order = np.lexsort((second, first))
    design = NestedDesign.of_rows(first[order], second[order])
    columns = {name: column[order] for name, column in covariates.items()}
    data = NestedData(y[order], design, columns, None if heavy is None else heavy[order])
    return FrameData(data, order, frame[list(groups)].iloc[order[design.firsts]])


def weights_of(frame: pd.DataFrame, name: Hashable) -> Floats:
    """Return a column of weights; raise TableError for those that are not above 0."""
    _check_there(frame, [name])
    values = numbers_of(frame[name], str(name))
    if len(wrong := values[values <= 0]):
        raise TableError(
            f"column {name!r} has the weight {wrong[0]:g}; give numbers above 0, and drop rows "
            "that are not to count"
        )
    return values


def check_columns(frame: pd.DataFrame, wanted: list[Hashable]) -> None:
    """Raise TableError for columns that are not there, or there twice, and for no rows."""
    _check_there(frame, wanted)
    for name in wanted:
        if wanted.count(name) > 1:
            raise TableError(f"column {name!r} is asked for twice")
        if frame[name].ndim > 1:
            raise TableError(f"the frame has more than one column {name!r}")
    if not len(frame):
        raise TableError("the frame has no rows")


def _check_there(frame: pd.DataFrame, names: Iterable[Hashable]) -> None:
    there = set(frame.columns)
    if missing := [name for name in names if not isinstance(name, Hashable) or name not in there]:
        have = ", ".join(map(str, list(frame.columns)[:30])) or "none"
        more = ", ..." if len(frame.columns) > 30 else ""
        kind = "column" if len(missing) == 1 else "columns"
        names_missing = ", ".join(map(repr, missing))
        raise TableError(f"the frame has no {kind} {names_missing}; it has {have}{more}")


def shared_labels(design: NestedDesign, group1: str, group2: str) -> str:
    """Return a note on labels of group 2 that may be one thing in many groups, else nothing.

    The integers of the design stand for the labels of the columns `group1` and `group2`.
    """
    firsts = design.firsts
    under = np.unique(design.group2[firsts], return_counts=True)[1]
    in_group = np.unique(design.group1[firsts], return_counts=True)[1]
    rows, groups = len(design.group1) / len(firsts), len(in_group)
    many = float(np.median(under))
    reused = rows > _FEW_ROWS and len(under) < _MORE_LABELS * in_group.max()
    if many < _MANY_GROUPS or reused:
        return ""
    return (
        f"a label of {group2!r} occurs under {many:g} of the {groups} labels of {group1!r} (median "
        f"of {len(under)} labels), with {rows:.3g} rows each time. Each time counts as a group of "
        "its own. If a label means the same everywhere, the data are crossed, not nested: fit them "
        "with lme4, or with statsmodels MixedLM and a variance component for each."
    )


def codes_of(column: pd.Series[Any], name: str) -> Integers:
    """Return the labels of groups as integers from 0, in the order of meeting.

    Missing labels are an error, and labels of which it is not clear whether they are the same, as
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
        try:
            number = float(label) if isinstance(label, str) else label
        except ValueError:
            number = label
        other = of.setdefault(number, label)
        if isinstance(other, str) != isinstance(label, str):
            raise TableError(
                f"column {name!r} has the labels {other!r} and {label!r}; make them one type, as "
                "by astype(str)"
            )


def numbers_of(column: pd.Series[Any], name: str) -> Floats:
    """Return a column of finite numbers; raise TableError for any other."""
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


def check_levels(name: str, levels: Sequence[Any], rows: int) -> None:
    """Raise TableError for texts that are so many that they can be no levels of a factor."""
    if 2 * len(levels) > rows and len(levels) > _MOST_LEVELS:
        raise TableError(
            f"{name!r} has {len(levels)} levels in {rows} rows, such as {levels[0]!r}; if they are "
            "numbers stored as texts, convert them by pandas.to_numeric"
        )


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
    check_levels(name, levels, len(column))
    if len(levels) == 1:
        raise TableError(f"exog: {name!r} is constant; the intercept is always there")
    return {
        f"{name}[T.{level}]": (codes == place).astype(np.float64)
        for place, level in enumerate(levels)
        if place
    }
