"""Which factors drive a measure: an analysis of variance over the cells of a study.

The variance of the values between cells is split into main effects and two-way interactions (sums
of squares of type II, all cells alike). Monte Carlo error alone gives a term y'Ay, on average, the
sum of A_ii error_i^2; that is taken off. Whether a term is more than noise is told by sums of
squares weighted by 1/error^2, which are chi-square if it is none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy import special

from mcstudy.analysis.precision import errors
from mcstudy.analysis.select import (
    Where,
    dimensions,
    known_measures,
    labelled,
    labels_of,
    levels_of,
    select,
    varying,
    with_labels,
)
from mcstudy.arrays import Floats
from mcstudy.columns import WORDS
from mcstudy.errors import ResultsError
from mcstudy.grid import level_text
from mcstudy.labels import Labels, label
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed

Term: TypeAlias = tuple[str, ...]
"""The factors of a main effect or an interaction."""

_MOST_COLUMNS = 1000  # of the design: the time of least squares grows with their square
_ROUNDING = 1e-9  # of the largest: more than the arithmetic of a balanced grid leaves


@dataclass(frozen=True)
class Anova(Printed):
    """The analysis of variance of a measure; ``str`` shows it.

    Parameters
    ----------
    measure : str
        What was analysed.
    frame : DataFrame
        One row per term, then ``residual`` and ``total``: term, df, sum_of_squares, noise (what of
        it Monte Carlo error is expected to give), share (of the variance between cells, noise taken
        off both; below 0 where there is less than the noise expected), noise_share (noise over the
        same variance) and p_value (of a difference as large by Monte Carlo error alone). A factor
        with a ":" in its name, or called as one of these rows, stands in double quotes.
    notes : tuple of str
        Which cells went in and what varies in them.
    """

    measure: str
    frame: pd.DataFrame
    notes: tuple[str, ...]

    def document(self) -> Document:
        """Return the terms, the largest share first."""
        order = self.frame["share"].where(~self.frame["term"].isin(["residual", "total"]))
        shown = self.frame.iloc[np.argsort(-order.to_numpy(), kind="stable")]
        words, lines = labels_of(self.frame), []
        for row in shown.to_dict("records"):
            p = row["p_value"]
            shares = (
                "-" if np.isnan(x) else f"{x:.4f}" for x in (row["share"], row["noise_share"])
            )
            chance = "" if np.isnan(p) else "<0.0001" if p < 1e-4 else f"{p:.4f}"
            term = ":".join(label(words, name, "factor") for name in row["term"].split(":"))
            lines.append((term, str(row["df"]), *shares, chance))
        grid = Grid(("term", "df", "share", "noise", "p (noise alone)"), lines)
        measure = label(words, self.measure, "measure")
        title = f"{measure}: share of the variance between cells, Monte Carlo error taken off"
        return Document(title, [Block(grid=grid)], self.notes, [self.frame])


def anova(
    performance: pd.DataFrame, measure: str, *, where: Where = None, common: bool = False
) -> Anova:
    """Split the variance of a measure between the cells of a study by what varies in it.

    Factors, and method, estimand and interval where they vary, are all taken as categories. Sums
    of squares are of type II, each term after all others that do not contain it: on a balanced grid
    the shares add up to 1, else a note says what they add up to. Two-way interactions go in as far
    as the cells can tell them apart; what they leave over is the residual. The error of a cell is
    its MCSE, for shares that from Wilson's limits, so that 0 and 1 have one.

    Parameters
    ----------
    performance : DataFrame
        A table of measures, like ``Results.performance``.
    measure : str
        Which one.
    where : mapping or str, optional
        Which cells; see `mcstudy.analysis.select.select`.
    common : bool, default False
        Whether the conditions have common random numbers, which a note tells of.

    Raises
    ------
    ResultsError
        If fewer than two cells have a value and an error, or nothing varies between them.

    Notes
    -----
    The noise is that of independent cells. Methods, estimands and intervals rest on the same data
    and their errors go together: terms among them have less noise than the column says, other
    terms more, at most as many times as cells share the data. Within one method, estimand and
    interval the noise is right.
    """
    (name,) = known_measures(performance, [measure])
    cells = select(performance[performance["measure"] == name], where)
    error = errors(cells, by_limits=True)
    usable = np.isfinite(cells["value"].to_numpy(dtype=float)) & np.isfinite(error)
    usable &= cells["replicates"].to_numpy() > 0
    left_out = int((~usable).sum())
    cells, error = cells[usable], error[usable]
    factors = varying(cells, [factor for factor in dimensions(cells) if factor != "measure"])
    if not factors:
        raise ResultsError(
            f"anova: {len(cells)} cell{'s have' if len(cells) != 1 else ' has'} a {name} with an "
            "error and nothing varies; it needs a factor with several levels, or several methods"
        )
    value, words = cells["value"].to_numpy(dtype=float), labels_of(performance)
    lost = f"; {left_out} cells without value or error left out" if left_out else ""
    notes = [f"{len(cells)} cells; {varied_in_words(cells, factors, words)}{lost}"]
    weighting = error
    if (error <= 0).any():
        if (error <= 0).all():
            raise ResultsError(f"anova: no cell's {name} has an error above 0; nothing is random")
        notes.append("cells without Monte Carlo error are tested as the most exact other one")
        weighting = np.where(error > 0, error, error[error > 0].min())
    terms, too_many = terms_of(cells, factors)
    model = _Model.of(terms, value, error)
    frame = table_of(model, _Model.of(terms, value / weighting, error, scale=weighting))
    if aliased := [term for term in map(term_in_words, terms) if term not in set(frame["term"])]:
        notes.append(f"these cells cannot tell {', '.join(aliased)} apart from the other terms")
    if too_many:
        notes.append(
            f"too many levels for the interactions {', '.join(map(term_in_words, too_many))}"
        )
    notes += [*about_shares(frame), *about_noise(factors, common=common)]
    return Anova(name, with_labels(frame, words), tuple(notes))


def varied_in_words(cells: pd.DataFrame, factors: Sequence[str], words: Labels) -> str:
    """Return what varies between the cells, and its levels."""
    levels = (
        f"{label(words, factor, 'factor')}: "
        f"{', '.join(labelled(factor, level, words) for level in levels_of(cells, factor))}"
        for factor in factors
    )
    return "; ".join(levels)


def about_noise(factors: Sequence[str], *, common: bool) -> Iterator[str]:
    """Say where the errors of cells go together, so that a noise is not what is shown."""
    if common:
        yield (
            "the conditions have common random numbers, so their errors go together: main effects "
            "have other noise than shown"
        )
    if shared := [factor for factor in factors if factor in WORDS]:
        yield (
            f"{', '.join(shared)}: on the same data, so their errors go together; terms among them "
            "have less noise than shown and the others more: take one of them (where) to be exact"
        )


def about_shares(frame: pd.DataFrame) -> Iterator[str]:
    """Say what the shares are of, and what they add up to where that is not 1."""
    parts = frame[frame["term"] != "total"]
    total = frame.iloc[-1]
    if np.isnan(total["share"]):
        yield "the cells differ by no more than Monte Carlo error would make them: no shares"
        return
    yield "noise: what Monte Carlo error adds to the share of a term; a share below 0 is noise"
    added = float(parts["share"].sum())
    if abs(float(parts["sum_of_squares"].sum()) / total["sum_of_squares"] - 1) > _ROUNDING:
        yield (
            "not every combination of the levels has a value, so terms overlap: the shares add up "
            f"to {added:.4f}, not to 1"
        )


@dataclass(frozen=True)
class _Model:
    """Values and the columns of each term, turned so that they have few rows.

    X = QR keeps every sum of squares: a model's columns are those of R, the data Q'y, the variances
    of the errors Q'VQ, and what Q leaves over of y and V is in the residual of every model.
    """

    cells: int
    y: Floats
    variances: Floats
    over: tuple[float, float]
    ones: Floats
    columns: Mapping[Term, Floats]

    @classmethod
    def of(
        cls, terms: Mapping[Term, Floats], y: Floats, error: Floats, scale: Floats | float = 1.0
    ) -> _Model:
        """Return the model of values that, like their errors, have been divided by `scale`."""
        count = len(y)
        x = np.hstack([np.ones((count, 1)), *terms.values()])
        x /= np.broadcast_to(scale, count)[:, None]
        variance = (error / scale) ** 2
        q, r = np.linalg.qr(x / np.sqrt((x**2).sum(axis=0)))
        turned, variances = q.T @ y, (q * variance[:, None]).T @ q
        ends = np.cumsum([1, *(columns.shape[1] for columns in terms.values())])
        ones, *columns = np.split(r, ends[:-1], axis=1)
        over = float(((y - q @ turned) ** 2).sum()), float(variance.sum() - np.trace(variances))
        named = dict(zip(terms, columns, strict=True))
        return cls(count, turned, variances, over, ones, named)

    def fit(self, terms: Sequence[Term]) -> tuple[float, float, int]:
        """Return the residual sum of squares, what of it is noise, and the rank of a model."""
        x = np.hstack([self.ones, *(self.columns[name] for name in terms)])
        left, size, _ = np.linalg.svd(x, full_matrices=False)
        rank = int((size > size[0] * _ROUNDING).sum())
        basis = left[:, :rank]
        fitted = basis @ (basis.T @ self.y)
        noise = np.trace(self.variances) - float((basis * (self.variances @ basis)).sum())
        return float(((self.y - fitted) ** 2).sum()) + self.over[0], noise + self.over[1], rank


def terms_of(cells: pd.DataFrame, factors: Sequence[str]) -> tuple[dict[Term, Floats], list[Term]]:
    """Return the columns of main effects and interactions, and the interactions left out."""
    main: dict[str, Floats] = {}
    for name in factors:
        codes, _ = pd.factorize(cells[name], use_na_sentinel=False)
        main[name] = np.eye(int(codes.max()) + 1)[codes][:, 1:]
    terms: dict[Term, Floats] = {(name,): columns for name, columns in main.items()}
    left_out: list[Term] = []
    count = 1 + sum(columns.shape[1] for columns in main.values())
    for a, b in itertools.combinations(factors, 2):
        both = (main[a][:, :, None] * main[b][:, None, :]).reshape(len(cells), -1)
        both = both[:, both.any(axis=0)]
        if count + both.shape[1] > _MOST_COLUMNS:
            left_out.append((a, b))
        else:
            count += both.shape[1]
            terms[a, b] = both
    return terms, left_out


def term_in_words(term: Term) -> str:
    """Return a term in words; a factor that looks like another term stands in quotes."""
    odd = [":" in name or name in ("residual", "total") for name in term]
    return ":".join(level_text(n) if quoted else n for n, quoted in zip(term, odd, strict=True))


def table_of(model: _Model, weighted: _Model) -> pd.DataFrame:
    """Return the sums of squares of each term, the share and noise of it, and how likely it is."""
    terms = list(model.columns)
    total, total_noise, _ = model.fit([])
    residual, residual_noise, rank = model.fit(terms)
    lines = []
    for term in terms:
        others = [other for other in terms if not set(term) <= set(other)]
        without, without_noise, smaller = model.fit(others)
        within, within_noise, larger = model.fit([*others, term])
        if larger > smaller:
            test = weighted.fit(others)[0] - weighted.fit([*others, term])[0]
            noise = without_noise - within_noise
            line = (larger - smaller, max(without - within, 0.0), noise, max(test, 0.0))
            lines.append((term_in_words(term), *line))
    left = model.cells - rank
    some = (residual, residual_noise, weighted.fit(terms)[0]) if left else (0.0, 0.0, 0.0)
    lines.append(("residual", left, *some))
    lines.append(("total", model.cells - 1, total, total_noise, weighted.fit([])[0]))
    frame = pd.DataFrame(lines, columns=["term", "df", "sum_of_squares", "noise", "test"])
    beyond = total - total_noise if total > total_noise else np.nan
    frame["share"] = (frame["sum_of_squares"] - frame["noise"]) / beyond
    frame["noise_share"] = frame["noise"] / beyond
    frame["p_value"] = special.chdtrc(frame["df"], frame.pop("test"))
    return frame
