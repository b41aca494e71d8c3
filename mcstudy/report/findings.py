"""Measures to sentences: what a study found, in plain words, each number with its error.

What is said to be off is so beyond Monte Carlo error by limits that hold for all cells at once
(Bonferroni): with 5 % for each cell, a study of a thousand cells would find fifty things.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.select import columns_of, factor_columns, levels_by_row, varying
from mcstudy.arrays import Booleans
from mcstudy.figures.style import label, labelled
from mcstudy.measure import BUILT_IN, LEVEL, is_share
from mcstudy.method import Status
from mcstudy.report.reported import Reported
from mcstudy.storage.export import true_nulls
from mcstudy.tables.numbers import FEW_MISSING, coverage_bounds, number_with_error

SOUND = (Status.OK, Status.BOUNDARY, Status.SKIPPED)
"""How a fit may end that is no failure."""
MOST = 5
"""Sentences of each kind: what is behind them stands in the tables."""
_BOUNDED = ("measure", "value", "used", "replicates")
_ENOUGH, _HALF = 20, 0.5
"""Intervals, and the error as a share of the mean, from which on a few of them make it.

One that is far wider than all others makes the error as large as the mean; an error of half of it
from 20 intervals is a standard deviation of more than twice the mean.
"""
_COMPARED = {"mse_difference": "mean squared errors", "mean_difference": "means"}
"""What is held against each other of two methods, in words."""
MUCH = 0.1
"""A bias of this share of the RMSE, or an error of the standard errors, that is worth a sign."""


@dataclass(frozen=True)
class Finding:
    """One sentence, and whether it tells of something that is not as it should be."""

    text: str
    warns: bool = False


def findings(results: Reported) -> list[Finding]:
    """Return what a study found: coverage, bias, standard errors, methods compared, failures."""
    study = _Study(results)
    return [
        *_coverage(study),
        *_rejection(study),
        *_bias(study),
        *_standard_errors(study),
        *_widths(study),
        *_means(study),
        *_own_measures(study),
        *_comparisons(study),
        *_failures(study),
    ]


class _Study:
    """The measures of a study, and its words for names and places."""

    def __init__(self, results: Reported) -> None:
        self.results = results
        self.performance = results.performance
        self.level = float(results.study.get("level") or LEVEL)
        self.factors = factor_columns(self.performance)
        self.varying = varying(self.performance, self.factors)

    def cells(self, measure: str) -> pd.DataFrame:
        """Return the cells in which a measure has a number."""
        frame = self.performance
        return frame[(frame["measure"] == measure) & frame["value"].notna()].reset_index(drop=True)

    def word(self, row: Mapping[Any, Any] | pd.Series[Any], kind: str) -> str:
        return label(self.results, str(row[kind]), kind)

    def place(self, row: Mapping[Any, Any] | pd.Series[Any]) -> str:
        """Return "at n = 10, sigma = 1", empty where there is one condition."""
        at = ", ".join(labelled(self.results, name, row[name]) for name in self.varying)
        return f" at {at}" if at else ""

    def interval(self, row: Mapping[Any, Any] | pd.Series[Any]) -> str:
        return f"interval “{self.word(row, 'interval')}” of {self.word(row, 'method')}"

    @cached_property
    def _true_nulls(self) -> set[tuple[Any, ...]]:
        return true_nulls(self.results.study, self.factors)

    def null_is_true(self, rows: pd.DataFrame) -> list[bool]:
        """Return by row whether the null value of its estimand is the true one."""
        columns = columns_of(rows)
        keys = zip(levels_by_row(columns, self.factors), columns["estimand"], strict=True)
        return [key in self._true_nulls for key in keys]


def _beyond(cells: pd.DataFrame) -> Booleans:
    """Return which values differ from 0 by more than Monte Carlo error, all cells at once."""
    away = cells["value"].abs().to_numpy(dtype=float)
    found: Booleans = away > _quantile(len(cells)) * cells["mcse"].to_numpy(dtype=float)
    return found


def _quantile(cells: int) -> float:
    """Return the normal quantile of two-sided 95 % limits for so many cells at once."""
    return NormalDist().inv_cdf(1 - 0.025 / max(cells, 1))


def percent(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    """Return a share as "44 % (5)", to the digits that its error allows."""
    value, mcse = 100 * float(row["value"]), 100 * float(row["mcse"])
    if not mcse > 0:
        # The limit on the other side, to a tenth of a percent, away from the value.
        lower, upper = (10 * 100 * row[name] for name in ("lower", "upper"))
        if not math.isfinite(lower):
            return f"{value:.3g} % (0)"
        limit = f"<{math.ceil(upper) / 10:g}" if not value else f">{math.floor(lower) / 10:g}"
        return f"{value:.3g} % ({limit})"
    places = max(0, min(4, -math.floor(math.log10(mcse * 1.05))))
    return f"{value:.{places}f} % ({mcse:.{places}f})"


def _range(rows: pd.DataFrame) -> str:
    """Return "42 % (8)", or "42 % (8) to 45 % (8)" of several."""
    ends = (rows.iloc[rows["value"].argmin()], rows.iloc[rows["value"].argmax()])
    return " to ".join(dict.fromkeys(map(percent, ends)))


def _coverage(study: _Study) -> Iterator[Finding]:
    cells, level = study.cells("coverage"), study.level
    if cells.empty:
        return
    # The score test: its limits are Wilson's.
    error = np.sqrt(level * (1 - level) / cells["used"].to_numpy(dtype=float))
    z = (cells["value"].to_numpy(dtype=float) - level) / error
    gaps = cells["replicates"] - cells["used"] > FEW_MISSING * cells["replicates"]
    low, high = z < -_quantile(len(cells)), z > _quantile(len(cells))
    cells = cells.assign(low=low, lacks=gaps, high=high & ~gaps)
    groups = [rows for _, rows in cells.groupby(["method", "interval", "estimand"], sort=False)]
    below = sorted((g for g in groups if g["low"].any()), key=lambda rows: rows["value"].min())
    yield from _told(below, lambda rows: _low(study, rows), f"below {100 * level:g} %")
    lacking = [rows for rows in groups if rows["lacks"].any() and not rows["low"].any()]
    lacking.sort(key=_least)
    yield from _told(lacking, lambda rows: _lacking(study, rows), "missing in more than 1 %")
    rest = [rows for rows in groups if not (rows["low"] | rows["lacks"]).any()]
    if len(groups) == len(cells) == len(rest) == 1:
        (row,) = cells.to_dict("records")
        if not row["high"]:
            yield Finding(
                f"The {study.interval(row)} contains {study.word(row, 'estimand')} in "
                f"{percent(row)} of the data sets: {100 * level:g} % within Monte Carlo error."
            )
    elif rest:
        whole = pd.concat(rest, ignore_index=True)
        lowest = whole.iloc[whole["value"].argmin()]
        some = len(rest) < len(groups)
        which = f"{len(rest)} of {len(groups)} intervals" if some else "All intervals"
        reach = "reaches" if some and len(rest) == 1 else "reach"
        yield Finding(
            f"{which}, counted by method and estimand, {reach} {100 * level:g} % in every "
            f"condition within Monte Carlo error; the lowest coverage among them is "
            f"{percent(lowest)}, of {study.word(lowest, 'estimand')} by the "
            f"{study.interval(lowest)}{study.place(lowest)}."
        )
    if len(over := cells[cells["high"]]):
        most = over.iloc[over["value"].argmax()]
        yield Finding(
            f"{_where(len(over), len(cells))} the coverage is above {100 * level:g} %: most of "
            f"{study.word(most, 'estimand')} by the {study.interval(most)}, "
            f"{percent(most)}{study.place(most)}."
        )


def _told(
    groups: Sequence[pd.DataFrame], sentence: Callable[[pd.DataFrame], str], what: str
) -> Iterator[Finding]:
    """Yield a sentence on each of the first groups, with a sign, and one on how many more."""
    for rows in groups[:MOST]:
        yield Finding(sentence(rows), warns=True)
    if (more := len(groups) - MOST) > 0:
        are = "intervals are" if more > 1 else "interval is"
        yield Finding(f"{more} more {are} {what} in some condition.", warns=True)


def _low(study: _Study, rows: pd.DataFrame) -> str:
    """Return the sentence on an interval that covers too little somewhere."""
    first = rows.iloc[rows["value"].argmin()]
    low = int(rows["low"].sum())
    text = (
        f"The {study.interval(first)} contains {study.word(first, 'estimand')} in {_range(rows)} "
        f"of the data sets{' in which it exists' * bool(rows['lacks'].any())}"
        f"{study.place(first) if len(rows) == 1 else ''}; nominal {100 * study.level:g} %"
    )
    if low < len(rows):
        text += f"; below it in {low} of {len(rows)} conditions"
    return f"{text}. Some are missing{_bounds(study, rows)}." if _least(rows) < 1 else f"{text}."


def _lacking(study: _Study, rows: pd.DataFrame) -> str:
    """Return the sentence on an interval that covers enough where it exists, but is missing."""
    row = rows.iloc[min(_bounded(rows))[1]]
    lost = 1 - row["used"] / row["replicates"]
    text = (
        f"The {study.interval(row)} for {study.word(row, 'estimand')} is missing in "
        f"{100 * lost:.0f} % of the data sets{_bounds(study, rows)}"
    )
    if len(rows) > 1:
        text += (
            f"; it is missing in more than 1 % in {rows['lacks'].sum()} of {len(rows)} conditions"
        )
    return f"{text}."


def _bounded(rows: pd.DataFrame) -> list[tuple[tuple[float, float], int]]:
    """Return the bounds of the coverages that lack intervals, and where they stand."""
    cells = enumerate(rows.to_dict("records"))
    found = ((coverage_bounds(*(cell[name] for name in _BOUNDED)), i) for i, cell in cells)
    return [(bounds, i) for bounds, i in found if bounds]


def _least(rows: pd.DataFrame) -> float:
    """Return the least lower bound of the coverages that lack intervals; infinite without one."""
    return min((least for (least, _), _ in _bounded(rows)), default=math.inf)


def _bounds(study: _Study, rows: pd.DataFrame) -> str:
    """Return what the missing intervals of the worst condition mean for all of its data sets."""
    (least, most), i = min(_bounded(rows))
    return (
        f"{study.place(rows.iloc[i])}: {100 * least:.0f} % of all data sets have one that contains "
        f"it, or {100 * most:.0f} % if each missing one did"
    )


def _rejection(study: _Study) -> Iterator[Finding]:
    cells = study.cells("rejection")
    if cells.empty:
        return
    cells = cells.assign(true=study.null_is_true(cells))
    size = 1 - study.level
    error = np.sqrt(size * study.level / cells["used"].to_numpy(dtype=float))
    z = (cells["value"].to_numpy(dtype=float) - size) / error
    cells = cells.assign(high=cells["true"] & (z > _quantile(len(cells))))
    groups = cells.groupby(["method", "interval", "estimand", "true"], sort=False, dropna=False)
    told = list[Finding]()
    for _, rows in groups:
        first = rows.iloc[0]
        kind = f"true (nominal {100 * size:g} %)" if first["true"] else "false (its power)"
        text = (
            f"The {study.interval(first)} rejects the null value of "
            f"{study.word(first, 'estimand')} in {_range(rows)} of the data sets where it is "
            f"{kind}."
        )
        told.append(Finding(text, warns=bool(rows["high"].any())))
    told.sort(key=lambda finding: not finding.warns)
    yield from told[:MOST]
    yield from _left_out(told, "rejection rate")


def _left_out(told: Sequence[object], noun: str) -> Iterator[Finding]:
    if (more := len(told) - MOST) > 0:
        yield Finding(f"{more} more {noun}{'s' * (more > 1)}: see the table.")


def _bias(study: _Study) -> Iterator[Finding]:
    cells = study.cells("bias")
    if cells.empty:
        return
    keys = [*study.factors, "method", "estimand"]
    sizes = study.cells("rmse")[[*keys, "value"]].rename(columns={"value": "rmse"})
    cells = cells.merge(sizes, on=keys, how="left")
    cells["share"] = (cells["value"].abs() / cells["rmse"]).fillna(0.0)
    seen = cells[_beyond(cells)]
    worst = seen.sort_values("share", ascending=False, kind="stable")
    for row in worst.drop_duplicates(["method", "estimand"]).head(MOST).to_dict("records"):
        side = "overestimates" if row["value"] > 0 else "underestimates"
        of_rmse = f", {100 * row['share']:.0f} % of the RMSE" if row["share"] > 0 else ""
        yield Finding(
            f"{study.word(row, 'method')} {side} {study.word(row, 'estimand')} by "
            f"{number_with_error(abs(row['value']), row['mcse'])} on average{study.place(row)}"
            f"{of_rmse}{', its largest share' if study.varying and of_rmse else ''}.",
            warns=row["share"] > MUCH,
        )
    if rest := len(cells) - len(seen):
        yield Finding(f"{_where(rest, len(cells))} no bias is seen beyond Monte Carlo error.")


def _where(count: int, total: int) -> str:
    """Return "In all 6 cells", "In 2 of 6 cells", "In its one cell"."""
    if total == 1:
        return "In its one cell"
    return f"In all {total} cells" if count == total else f"In {count} of {total} cells"


def _standard_errors(study: _Study) -> Iterator[Finding]:
    cells = study.cells("relative_error_model_se")
    seen = cells[_beyond(cells)]
    order = seen["value"].abs().sort_values(ascending=False, kind="stable").index
    for row in (
        seen.loc[order].drop_duplicates(["method", "estimand"]).head(MOST).to_dict("records")
    ):
        side = "larger" if row["value"] > 0 else "smaller"
        yield Finding(
            f"The standard errors that {study.word(row, 'method')} reports for "
            f"{study.word(row, 'estimand')} are {percent(row | {'value': abs(row['value'])})} "
            f"{side} than the spread of its estimates{study.place(row)}.",
            warns=abs(row["value"]) > MUCH,
        )
    if len(cells) and seen.empty:
        yield Finding(
            f"{_where(len(cells), len(cells))} the standard errors differ from the spread of the "
            "estimates by no more than Monte Carlo error."
        )


def _widths(study: _Study) -> Iterator[Finding]:
    """Yield the intervals whose mean width is that of a few extreme ones."""
    cells = study.cells("width")
    error, width = (cells[name].to_numpy(dtype=float) for name in ("mcse", "value"))
    few = (cells["used"] >= _ENOUGH) & (error > _HALF * width)
    found = cells[few].sort_values("value", ascending=False, kind="stable")
    rows = found.drop_duplicates(["method", "interval", "estimand"]).to_dict("records")
    for row in rows[:MOST]:
        yield Finding(
            f"The mean width of the {study.interval(row)} for {study.word(row, 'estimand')} is "
            f"{number_with_error(row['value'], row['mcse'])}{study.place(row)}: a few very wide "
            "intervals dominate it.",
            warns=True,
        )
    yield from _left_out(rows, "mean width")


def _means(study: _Study) -> Iterator[Finding]:
    """Yield the range of the mean of each estimand that has no true value."""
    if "mean" in study.results.study.get("measures", {}):
        return  # one of the study's own
    cells = study.cells("mean")
    told = []
    for _, rows in cells.groupby(["estimand", "method"], sort=False):
        ends = (rows.iloc[rows["value"].argmin()], rows.iloc[rows["value"].argmax()])
        shown = (number_with_error(*row[["value", "mcse", "lower", "upper"]]) for row in ends)
        first = rows.iloc[0]
        told.append(
            f"The mean {study.word(first, 'estimand')} of {study.word(first, 'method')} is "
            f"{' to '.join(dict.fromkeys(shown))}."
        )
    yield from map(Finding, told[:MOST])
    yield from _left_out(told, "mean")


def _own_measures(study: _Study) -> Iterator[Finding]:
    """Yield the range of each measure of the study's own."""
    frame = study.performance[study.performance["value"].notna()]
    known = {*BUILT_IN} - {*study.results.study.get("measures", {})}
    own = frame[~frame["measure"].isin(known) & ~frame["measure"].str.startswith("share_")]
    told = []
    for _, rows in own[own["measure"] != "warned"].groupby(["measure", "method"], sort=False):
        ends = (rows.iloc[rows["value"].argmin()], rows.iloc[rows["value"].argmax()])
        shown = (number_with_error(*row[["value", "mcse", "lower", "upper"]]) for row in ends)
        first = rows.iloc[0]
        numbers = _range(rows) if is_share(first["measure"]) else " to ".join(dict.fromkeys(shown))
        told.append(f"{study.word(first, 'measure')} of {study.word(first, 'method')}: {numbers}.")
    yield from map(Finding, told[:MOST])
    yield from _left_out(told, "measure")


def _comparisons(study: _Study) -> Iterator[Finding]:
    if study.results.study.get("keep", "rows") != "rows":
        return
    frame = study.results.comparisons
    if frame.empty:
        return
    frame = frame[frame["measure"].isin(_COMPARED) & frame["value"].notna()]
    frame = frame.assign(differs=_beyond(frame))
    equal: dict[tuple[str, str, str, bool], list[str]] = {}
    told = []
    for _, rows in frame.groupby(["method", "reference", "estimand", "measure"], sort=False):
        first = rows.iloc[0]
        one, what = study.word(first, "method"), study.word(first, "estimand")
        other = label(study.results, first["reference"], "method")
        better = int((rows["differs"] & (rows["value"] < 0)).sum())
        worse = int((rows["differs"] & (rows["value"] > 0)).sum())
        if not better and not worse:
            key = one, other, _COMPARED[first["measure"]], bool((rows["value"] == 0).all())
            equal.setdefault(key, []).append(what)
            continue
        said = [f"below that of {other} in {better}"] if better else []
        said += [f"above {'it' if better else f'that of {other}'} in {worse}"] if worse else []
        of = f" of {len(rows)} conditions" if len(rows) > 1 else " condition"
        squared = first["measure"] == "mse_difference"
        subject = f"mean squared error of {one} for {what}" if squared else f"mean {what} of {one}"
        told.append(f"On the same data sets, the {subject} is {' and '.join(said)}{of}.")
    yield from map(Finding, told[:MOST])
    yield from _left_out(told, "difference between two methods")
    for (one, other, measures, same), names in list(equal.items())[:MOST]:
        differ = "are the same" if same else "do not differ beyond Monte Carlo error"
        yield Finding(f"The {measures} of {one} and {other} for {', '.join(names)} {differ}.")


def _failures(study: _Study) -> Iterator[Finding]:
    frame = study.performance
    shares = frame[frame["measure"].str.startswith("share_")]
    failed = shares[~shares["measure"].isin([f"share_{status}" for status in SOUND])]
    some = False
    for _, rows in failed.groupby("method", sort=False):
        fits = int(rows["replicates"][rows["measure"] == rows["measure"].iloc[0]].sum())
        count = round((rows["value"] * rows["used"]).sum())
        if count:
            some, share = True, count / fits
            error = math.sqrt(share * (1 - share) / fits)
            cell = {"value": share, "mcse": error, "lower": math.nan, "upper": math.nan}
            kinds = rows[rows["value"] > 0]["measure"].unique()
            shown = f" ({percent(cell)}{_most_failed(study, rows)})" if count < fits else ""
            yield Finding(
                f"{'All' if count == fits else count} {'' if count == fits else f'of {fits} '}"
                f"fits of {study.word(rows.iloc[0], 'method')}{shown} failed: "
                f"{', '.join(kind.removeprefix('share_') for kind in kinds)}.",
                warns=True,
            )
    if len(failed) and not some:
        yield Finding("No fit failed.")


def _most_failed(study: _Study, rows: pd.DataFrame) -> str:
    """Return the largest share of failures in a condition, where there are several."""
    sums: dict[tuple[Any, ...], float] = {}
    keys = levels_by_row(columns_of(rows), study.factors)
    for key, share in zip(keys, rows["value"], strict=True):
        sums[key] = sums.get(key, 0.0) + share
    if len(sums) < 2:
        return ""
    worst = max(sums, key=lambda key: sums[key])
    place = study.place(dict(zip(study.factors, worst, strict=True)))
    return f"; at most {100 * sums[worst]:.0f} %,{place}"
