"""Which factors drive a measure: an analysis of variance over the cells of a study.

The value of each cell, weighted by 1/error^2, is split into main effects and two-way interactions
(sums of squares of type II). In these units Monte Carlo error alone gives a term, on average, a sum
of squares of its degrees of freedom: that is the noise against which its share is to be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from mcstudy.analysis.limits import errors
from mcstudy.analysis.selection import (
    WORDS,
    Where,
    dimensions,
    in_words,
    known_measures,
    levels_of,
    select,
)
from mcstudy.errors import ResultsError
from mcstudy.printing.listing import aligned, wrapped
from mcstudy.terminal import printable

Floats = NDArray[np.float64]

_MOST_COLUMNS = 1000


@dataclass(frozen=True)
class Anova:
    """The analysis of variance of a measure; ``str`` shows it.

    Parameters
    ----------
    measure : str
        What was analysed.
    frame : DataFrame
        One row per term, then ``residual`` and ``total``: term, df, sum_of_squares (in units of
        the Monte Carlo variance), share (of the total), noise_share (what Monte Carlo error alone
        is expected to give), p_value (of a sum of squares as large by Monte Carlo error alone).
    notes : tuple of str
        Which cells went in and what varies in them.
    """

    measure: str
    frame: pd.DataFrame
    notes: tuple[str, ...]

    @printable
    def __str__(self) -> str:
        order = self.frame["share"].where(~self.frame["term"].isin(["residual", "total"]))
        shown = self.frame.iloc[np.argsort(-order.fillna(-1).to_numpy(), kind="stable")]
        lines = [
            (
                row["term"],
                str(row["df"]),
                f"{row['share']:.4f}",
                f"{row['noise_share']:.4f}",
                _p_text(row["p_value"]),
            )
            for row in shown.to_dict("records")
        ]
        listing = aligned(("term", "df", "share", "by noise", "p (noise alone)"), lines, texts=1)
        title = f"{self.measure}: share of the variance between cells, weighted by 1/error^2"
        return f"{title}\n\n{listing}\n\n{wrapped(self.notes)}"


def anova(performance: pd.DataFrame, measure: str, *, where: Where = None) -> Anova:
    """Split the variance of a measure between the cells of a study by what varies in it.

    Factors, and method, estimand and interval where they vary, are all taken as categories.
    Weighted least squares, weights 1/MCSE^2 (for shares from Wilson's limits, so that 0 and 1 have
    one); sums of squares of type II, each term after all others that do not contain it, so that on
    unbalanced grids the shares need not add up to 1. Two-way interactions go in as far as the cells
    can tell them apart.

    Parameters
    ----------
    performance : DataFrame
        A table of measures, like ``Results.performance``.
    measure : str
        Which one.
    where : mapping or str, optional
        Which cells; see `mcstudy.analysis.selection.select`.

    Raises
    ------
    ResultsError
        If fewer than two cells have a value and an error, or nothing varies between them.

    Notes
    -----
    The noise is that of independent cells. Methods, estimands and intervals rest on the same data
    and their errors go together: terms among them have less noise than the noise share says, other
    terms more, at most as many times as cells share the data. Within one method, estimand and
    interval the noise share is exact.
    """
    (name,) = known_measures(performance, [measure])
    cells = select(performance[performance["measure"] == name], where)
    error = errors(cells)
    usable = np.isfinite(cells["value"].to_numpy(dtype=float)) & np.isfinite(error)
    usable &= cells["replicates"].to_numpy() > 0
    left_out = int((~usable).sum())
    cells, error = cells[usable], error[usable]
    factors = [
        factor
        for factor in dimensions(cells)
        if factor != "measure" and cells[factor].nunique(dropna=False) > 1
    ]
    if not factors:
        raise ResultsError(
            f"anova: {len(cells)} cell{'s have' if len(cells) != 1 else ' has'} a {name} with an "
            "error and nothing varies; it needs a factor with several levels, or several methods"
        )
    value = cells["value"].to_numpy(dtype=float)
    notes = [_in_notes(cells, factors, left_out)]
    if (error <= 0).any():
        if (error <= 0).all():
            raise ResultsError(f"anova: no cell's {name} has an error above 0; nothing is random")
        notes.append("cells without Monte Carlo error are weighted as the most exact other one")
        error = np.where(error > 0, error, error[error > 0].min())
    model = _Model.of(cells, factors, value, error)
    frame = _table(model)
    if aliased := [term for term in model.columns if term not in set(frame["term"])]:
        notes.append(f"these cells cannot tell {', '.join(aliased)} apart from the other terms")
    if model.left_out:
        notes.append(f"too many levels for the interactions {', '.join(model.left_out)}")
    notes.append("type II sums of squares; by noise: the share that Monte Carlo error would give")
    if shared := [factor for factor in factors if factor in WORDS]:
        notes.append(
            f"{', '.join(shared)}: on the same data, so their errors go together; terms among them "
            "have less noise than shown and the others more: take one of them (where) to be exact"
        )
    return Anova(name, frame, tuple(notes))


def _in_notes(cells: pd.DataFrame, factors: Sequence[str], left_out: int) -> str:
    varying = "; ".join(
        f"{name}: {', '.join(in_words(level) for level in levels_of(cells, name))}"
        for name in factors
    )
    note = f"{len(cells)} cells; {varying}"
    return note + (f"; {left_out} cells without value or error left out" if left_out else "")


@dataclass(frozen=True)
class _Model:
    """Weighted cells and the columns of each term, turned so that they have few rows.

    X = QR keeps every sum of squares: a model's columns are those of R, the data Q'y, and what Q
    leaves over of y is in the residual of every model.
    """

    cells: int
    y: Floats
    over: float
    ones: Floats
    columns: Mapping[str, Floats]
    left_out: Sequence[str]

    @classmethod
    def of(
        cls, cells: pd.DataFrame, factors: Sequence[str], value: Floats, error: Floats
    ) -> _Model:
        terms, left_out = _terms(cells, factors)
        x = np.hstack([np.ones((len(cells), 1)), *terms.values()]) / error[:, None]
        q, r = np.linalg.qr(x / np.sqrt((x**2).sum(axis=0)))
        y = value / error
        turned = q.T @ y
        ends = np.cumsum([1, *(columns.shape[1] for columns in terms.values())])
        ones, *columns = np.split(r, ends[:-1], axis=1)
        over = float(((y - q @ turned) ** 2).sum())
        named = dict(zip(terms, columns, strict=True))
        return cls(len(cells), turned, over, ones, named, left_out)

    def fit(self, terms: Sequence[str]) -> tuple[float, int]:
        """Return the residual sum of squares and the rank of a model with these terms."""
        x = np.hstack([self.ones, *(self.columns[name] for name in terms)])
        left, size, _ = np.linalg.svd(x, full_matrices=False)
        rank = int((size > size[0] * 1e-9).sum())
        fitted = left[:, :rank] @ (left[:, :rank].T @ self.y)
        return float(((self.y - fitted) ** 2).sum()) + self.over, rank


def _terms(cells: pd.DataFrame, factors: Sequence[str]) -> tuple[dict[str, Floats], list[str]]:
    """Return the columns of main effects and interactions, and the interactions left out."""
    main = {name: _dummies(cells[name]) for name in factors}
    terms, left_out = dict(main), []
    count = 1 + sum(columns.shape[1] for columns in main.values())
    for a, b in itertools.combinations(factors, 2):
        both = (main[a][:, :, None] * main[b][:, None, :]).reshape(len(cells), -1)
        both = both[:, both.any(axis=0)]
        if count + both.shape[1] > _MOST_COLUMNS:
            left_out.append(f"{a}:{b}")
        else:
            count += both.shape[1]
            terms[f"{a}:{b}"] = both
    return terms, left_out


def _dummies(levels: pd.Series) -> Floats:
    codes, _ = pd.factorize(levels, use_na_sentinel=False)
    return np.eye(int(codes.max()) + 1)[codes][:, 1:]


def _table(model: _Model) -> pd.DataFrame:
    terms = list(model.columns)
    total, _ = model.fit([])
    residual, rank = model.fit(terms)
    lines = []
    for term in terms:
        others = [other for other in terms if other != term and not _contains(other, term)]
        without, smaller = model.fit(others)
        within, larger = model.fit([*others, term])
        if larger > smaller:
            lines.append((term, larger - smaller, max(without - within, 0.0)))
    cells = model.cells
    lines.append(("residual", cells - rank, residual if cells > rank else 0.0))
    lines.append(("total", cells - 1, total))
    frame = pd.DataFrame(lines, columns=["term", "df", "sum_of_squares"])
    frame["share"] = frame["sum_of_squares"] / total if total > 0 else np.nan
    frame["noise_share"] = frame["df"] / total if total > 0 else np.nan
    frame["p_value"] = special.chdtrc(frame["df"], frame["sum_of_squares"])
    return frame


def _contains(term: str, smaller: str) -> bool:
    """Return whether an interaction contains a main effect."""
    return smaller in term.split(":") and term != smaller


def _p_text(p: float) -> str:
    if np.isnan(p):
        return ""
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"
