"""Two-level nested data: the design, one data set, a batch of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.arrays import Booleans, Floats, Integers
from mcstudy.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd


class _Unchanging:
    """Its arrays are read-only, so that a copy for each method is itself."""

    def __post_init__(self) -> None:
        for value in vars(self).values():
            for array in value.values() if isinstance(value, Mapping) else [value]:
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False

    def __deepcopy__(self, memo: Any) -> Any:
        return self


@dataclass(frozen=True, eq=False, repr=False)
class NestedDesign(_Unchanging):
    """Which row belongs to which groups; rows are sorted by group 1, then group 2.

    Parameters
    ----------
    group1, group2 : integer arrays of shape (N,)
        Labels of each row; group 2 labels repeat within group 1.
    balanced : (a, b, r), optional
        Numbers of group 1, of group 2 in each, of rows in each cell, where all are equal.
    """

    group1: Integers
    group2: Integers
    balanced: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        first, second = self.group1, self.group2
        if first.shape != second.shape or first.ndim != 1:
            raise StudyError(
                f"the labels of groups have the shapes {first.shape} and {second.shape}; give one "
                "of each for every row"
            )
        if {first.dtype.kind, second.dtype.kind} - {"i", "u"}:
            raise StudyError(
                f"the labels of groups are {first.dtype} and {second.dtype}; give integers, as "
                "numpy.unique(labels, return_inverse=True)[1]"
            )
        here, after = first[:-1], first[1:]
        if ((here > after) | ((here == after) & (second[:-1] > second[1:]))).any():
            raise StudyError(
                "the rows are not sorted by group 1, then group 2; sort them by "
                "numpy.lexsort((group2, group1)), or return a data frame"
            )

    def __repr__(self) -> str:
        groups, rows = len(np.unique(self.group1)), len(self.group1)
        if self.balanced is not None:
            a, b, r = self.balanced
            return f"<NestedDesign of {rows} rows, balanced: {a} x {b} x {r}>"
        return f"<NestedDesign of {rows} rows in {groups} groups, not balanced>"

    @classmethod
    def of_sizes(cls, n_group1: int, n_group2: int, n_rep: int) -> NestedDesign:
        """Return the balanced design; labels count from 0."""
        return cls(
            group1=np.repeat(np.arange(n_group1), n_group2 * n_rep),
            group2=np.tile(np.repeat(np.arange(n_group2), n_rep), n_group1),
            balanced=(n_group1, n_group2, n_rep),
        )

    @classmethod
    def of_rows(cls, group1: Integers, group2: Integers) -> NestedDesign:
        """Return the design of sorted rows, balanced where it is."""
        design = cls(group1, group2)
        firsts = design.firsts
        rows = np.diff(firsts, append=len(group1))
        cells = np.unique(group1[firsts], return_counts=True)[1]
        if np.ptp(rows) or np.ptp(cells):
            return design
        return cls(group1, group2, (len(cells), int(cells[0]), int(rows[0])))

    @property
    def firsts(self) -> Integers:
        """The first row of each cell."""
        return np.flatnonzero(np.diff(self.places[1], prepend=-1))

    @property
    def places(self) -> tuple[Integers, Integers]:
        """Which group 1 and which cell each row is in, both counted from 0, shape (N,)."""
        new_group = np.diff(self.group1, prepend=self.group1[:1] - 1) != 0
        new_cell = new_group | (np.diff(self.group2, prepend=self.group2[:1] - 1) != 0)
        return np.cumsum(new_group) - 1, np.cumsum(new_cell) - 1

    def rows(self, kept: Booleans) -> NestedDesign:
        """Return the design of some of the rows."""
        return NestedDesign(self.group1[kept], self.group2[kept])


@dataclass(frozen=True, eq=False, repr=False)
class NestedData(_Unchanging):
    """One data set of two-level nested data.

    Parameters
    ----------
    y : array of shape (N,)
        The response, in the order of the design's rows.
    design : NestedDesign
        Which row belongs to which groups.
    covariates : mapping of str to arrays of shape (N,), optional
        Known columns with fixed effects, by name.
    weights : array of shape (N,), optional
        Prior weights: the unexplained variance of a row is ``unexplained_var / weight``.
    """

    y: Floats
    design: NestedDesign
    covariates: Mapping[str, Floats] = field(default_factory=dict)
    weights: Floats | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        rows = len(self.design.group1)
        for name, column in (("y", self.y), *self.covariates.items()):
            if np.shape(column) != (rows,):
                raise StudyError(
                    f"{name!r} has the shape {np.shape(column)} and the design {rows} rows; give a "
                    "number for each row"
                )
        if self.weights is not None:
            _check_weights(self.weights, (rows,))

    def __repr__(self) -> str:
        return f"<NestedData of {_in_words(self.y, self.design, self.covariates)}>"

    @property
    def frame(self) -> pd.DataFrame:
        """The data as a new frame with the columns y, group1, group2 and the covariates.

        Where there are weights, the last column is called weights.

        Raises
        ------
        ValueError
            For a covariate that has the name of another column.
        """
        import pandas as pd

        first = {"y": self.y, "group1": self.design.group1, "group2": self.design.group2}
        last = {} if self.weights is None else {"weights": self.weights}
        if taken := [name for name in self.covariates if name in first | last]:
            raise ValueError(f"a covariate is called {taken[0]!r}, as another column is; rename it")
        return pd.DataFrame({**first, **self.covariates, **last})


@dataclass(frozen=True, eq=False, repr=False)
class NestedBatch(_Unchanging):
    """Data sets of one design: ``batch[i]`` is the i-th as `NestedData`.

    Parameters
    ----------
    y : array of shape (R, N)
        The response of each replicate.
    design : NestedDesign
        Shared by all.
    kept : bool array of shape (R, N), optional
        Which rows of the design each replicate has; the others hold numbers that mean nothing, but
        are finite and of the data's own size. All of them where not given.
    covariates : mapping of str to arrays of shape (N,) or (R, N), optional
        Known columns with fixed effects, by name.
    weights : array of shape (N,) or (R, N), optional
        Prior weights of the rows.
    """

    y: Floats
    design: NestedDesign
    kept: Booleans | None = None
    covariates: Mapping[str, Floats] = field(default_factory=dict)
    weights: Floats | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None:
            _check_weights(self.weights, self.y.shape[1:], self.y.shape)

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        words = _in_words(self.y, self.design, self.covariates)
        dropped = "" if self.kept is None else ", some dropped"
        return f"<NestedBatch of {len(self)} data sets of {words}{dropped}>"

    @property
    def nbytes(self) -> int:
        """Bytes of what differs between replicates: responses, rows kept, covariates."""
        kept = 0 if self.kept is None else self.kept.nbytes
        columns = [*self.covariates.values(), *([] if self.weights is None else [self.weights])]
        return self.y.nbytes + kept + sum(x.nbytes for x in columns if x.ndim == 2)

    def __getitem__(self, index: Any) -> Any:
        def part(column: Floats) -> Floats:
            return column if column.ndim == 1 else column[index]

        kept = None if self.kept is None else self.kept[index]
        columns = {name: part(column) for name, column in self.covariates.items()}
        weights = None if self.weights is None else part(self.weights)
        if isinstance(index, slice):
            return NestedBatch(self.y[index], self.design, kept, columns, weights)
        if kept is None:
            return NestedData(self.y[index], self.design, columns, weights)
        return NestedData(
            self.y[index][kept],
            self.design.rows(kept),
            {name: column[kept] for name, column in columns.items()},
            None if weights is None else weights[kept],
        )


def _check_weights(weights: Floats, *shapes: tuple[int, ...]) -> None:
    if np.shape(weights) not in shapes:
        raise StudyError(
            f"'weights' has the shape {np.shape(weights)} and the data {shapes[0]}; give a number "
            "for each row"
        )
    if len(wrong := weights[~((weights > 0) & np.isfinite(weights))]):
        raise StudyError(
            f"weights: {wrong.flat[0]} is no weight; give finite numbers above 0, and drop rows "
            "that are not to count"
        )


def _in_words(y: Floats, design: NestedDesign, covariates: Mapping[str, Floats]) -> str:
    groups = len(np.unique(design.group1))
    carried = f", covariates {', '.join(covariates)}" if covariates else ""
    return f"{y.shape[-1]} rows in {groups} groups{carried}"
