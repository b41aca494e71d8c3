"""Measures to sentences: what a study found, in plain words, each number with its error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from mcstudy.analysis.select import factor_columns, varying
from mcstudy.figures.style import label, labelled
from mcstudy.measure import LEVEL
from mcstudy.method import Status
from mcstudy.tables.numbers import number_with_error

if TYPE_CHECKING:
    from mcstudy.report.reported import Reported

SOUND = (Status.OK, Status.BOUNDARY, Status.SKIPPED)
"""How a fit may end that is no failure."""
ERRORS = ("value", "mcse", "lower", "upper")
MOST = 5
"""Sentences of each kind: what is behind them stands in the tables."""


@dataclass(frozen=True)
class Finding:
    """One sentence, and whether it tells of something that is not as it should be."""

    text: str
    warns: bool = False


def findings(results: Reported) -> list[Finding]:
    """Return what a study found: coverage, bias, standard errors, methods compared, failures."""
    words = _Words(results)
    frame = results.performance
    return [
        *_coverage(frame, words, float(results.study.get("level") or LEVEL)),
        *_rejection(frame, words),
        *_bias(frame, words),
        *_standard_errors(frame, words),
        *_comparisons(results, words),
        *_failures(frame, words),
    ]


class _Words:
    """The words of a study for names and places."""

    def __init__(self, results: Reported) -> None:
        self.study = results
        frame = results.performance
        self.factors = varying(frame, factor_columns(frame))

    def of(self, name: Any, kind: str) -> str:
        return label(self.study, str(name), kind)

    def place(self, row: Mapping[Any, Any] | pd.Series[Any]) -> str:
        """Return "at n = 10, sigma = 1", empty where there is one condition."""
        at = ", ".join(labelled(self.study, name, row[name]) for name in self.factors)
        return f" at {at}" if at else ""

    def interval(self, row: Mapping[Any, Any] | pd.Series[Any]) -> str:
        interval = self.of(row["interval"], "interval")
        return f"the interval {interval} of {self.of(row['method'], 'method')}"


def percent(value: float, mcse: float, lower: float = math.nan, upper: float = math.nan) -> str:
    """Return a share as "44 % (5)", to the digits that its error allows."""
    if not mcse:
        shown = number_with_error(100 * value, 0.0, 100 * lower, 100 * upper)
        return shown.replace(" ", " % ", 1)
    places = max(0, min(4, -math.floor(math.log10(100 * mcse * 1.05))))
    return f"{100 * value:.{places}f} % ({100 * mcse:.{places}f})"


def _range(rows: pd.DataFrame) -> str:
    """Return "42 % (8)", or "42 % (8) to 45 % (8)" of several."""
    low, high = rows.iloc[rows["value"].argmin()], rows.iloc[rows["value"].argmax()]
    first = percent(*low[[*ERRORS]])
    return first if len(rows) == 1 else f"{first} to {percent(*high[[*ERRORS]])}"


def _of(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    chosen = frame[(frame["measure"] == measure) & frame["value"].notna()]
    return chosen.reset_index(drop=True)


def _coverage(frame: pd.DataFrame, words: _Words, level: float) -> Iterator[Finding]:
    cells = _of(frame, "coverage")
    if cells.empty:
        return
    groups = [rows for _, rows in cells.groupby(["method", "interval", "estimand"], sort=False)]
    off = [rows for rows in groups if (rows["upper"] < level).any()]
    off.sort(key=lambda rows: rows["value"].min())
    for rows in off[:MOST]:
        first = rows.iloc[rows["value"].argmin()]
        low = int((rows["upper"] < level).sum())
        where = words.place(first) if len(rows) == 1 else ""
        exists = (rows["used"] < 0.99 * rows["replicates"]).any()
        in_some = f"; below it in {low} of {len(rows)} conditions" if low < len(rows) else ""
        yield Finding(
            f"{_capital(words.interval(first))} contains {words.of(first['estimand'], 'estimand')} "
            f"in {_range(rows)} of the data sets{' in which it exists' * bool(exists)}{where}; "
            f"nominal {100 * level:g} %{in_some}.",
            warns=True,
        )
    if len(off) > MOST:
        yield Finding(
            f"{len(off) - MOST} more intervals are below {100 * level:g} % in some condition.", True
        )
    kept = [rows for rows in groups if not (rows["upper"] < level).any()]
    if kept:
        whole = pd.concat(kept, ignore_index=True)
        lowest = whole.iloc[whole["value"].argmin()]
        cells_in_words = f"{len(kept)} of {len(groups)} intervals" if off else "every interval"
        yield Finding(
            f"{_capital(cells_in_words)}, counted by method and estimand, "
            f"{'reach' if off else 'reaches'} {100 * level:g} % everywhere within the Monte Carlo "
            f"error; the lowest coverage among them is {percent(*lowest[[*ERRORS]])}."
        )


def _rejection(frame: pd.DataFrame, words: _Words) -> Iterator[Finding]:
    cells = _of(frame, "rejection")
    groups = cells.groupby(["method", "interval", "estimand"], sort=False, dropna=False)
    for _, rows in list(groups)[:MOST]:
        first = rows.iloc[0]
        yield Finding(
            f"{words.of(first['method'], 'method')} rejects the null value of "
            f"{words.of(first['estimand'], 'estimand')} by the interval "
            f"{words.of(first['interval'], 'interval')} in {_range(rows)} of the data sets."
        )


def _bias(frame: pd.DataFrame, words: _Words) -> Iterator[Finding]:
    cells = _of(frame, "bias")
    if cells.empty:
        return
    keys = [*factor_columns(frame), "method", "estimand"]
    sizes = _of(frame, "rmse")[[*keys, "value"]].rename(columns={"value": "rmse"})
    cells = cells.merge(sizes, on=keys, how="left")
    cells["share"] = (cells["value"].abs() / cells["rmse"]).fillna(0.0)
    seen = cells[(cells["lower"] > 0) | (cells["upper"] < 0)]
    worst = seen.sort_values("share", ascending=False, kind="stable")
    worst = worst.drop_duplicates(["method", "estimand"]).head(MOST)
    for row in worst.to_dict("records"):
        side = "overestimates" if row["value"] > 0 else "underestimates"
        size = number_with_error(abs(row["value"]), row["mcse"])
        of_rmse = f", {100 * row['share']:.0f} % of the RMSE" if row["share"] > 0 else ""
        yield Finding(
            f"{words.of(row['method'], 'method')} {side} "
            f"{words.of(row['estimand'], 'estimand')} by {size} on average{words.place(row)}: its "
            f"largest bias{of_rmse}.",
            warns=row["share"] > 0.1,
        )
    rest = len(cells) - len(seen)
    if rest:
        yield Finding(f"In {rest} of {len(cells)} cells the bias is within its Monte Carlo error.")


def _standard_errors(frame: pd.DataFrame, words: _Words) -> Iterator[Finding]:
    cells = _of(frame, "relative_error_model_se")
    seen = cells[(cells["lower"] > 0) | (cells["upper"] < 0)]
    order = seen["value"].abs().sort_values(ascending=False, kind="stable").index
    worst = seen.loc[order].drop_duplicates(["method", "estimand"]).head(MOST)
    for row in worst.to_dict("records"):
        side = "larger" if row["value"] > 0 else "smaller"
        yield Finding(
            f"The standard errors that {words.of(row['method'], 'method')} reports for "
            f"{words.of(row['estimand'], 'estimand')} are "
            f"{percent(abs(row['value']), row['mcse'])} {side} than the spread of its "
            f"estimates{words.place(row)}.",
            warns=abs(row["value"]) > 0.1,
        )


def _comparisons(results: Reported, words: _Words) -> Iterator[Finding]:
    if results.study.get("keep", "rows") != "rows":
        return
    frame = _of(results.comparisons, "mse_difference")
    equal: dict[tuple[str, str], list[str]] = {}
    told = []
    for (method, reference, estimand), rows in frame.groupby(
        ["method", "reference", "estimand"], sort=False
    ):
        better, worse = int((rows["upper"] < 0).sum()), int((rows["lower"] > 0).sum())
        one, other = words.of(method, "method"), words.of(reference, "method")
        what = words.of(estimand, "estimand")
        if not better and not worse:
            equal.setdefault((one, other), []).append(what)
            continue
        told.append(
            f"The mean squared error of {one} for {what} is below that of {other} in {better} and "
            f"above it in {worse} of {len(rows)} condition{'s' * (len(rows) > 1)}, on the same "
            "data sets."
        )
    yield from map(Finding, told[:MOST])
    if len(told) > MOST:
        yield Finding(f"{len(told) - MOST} more pairs of methods differ in mean squared error.")
    for (one, other), names in list(equal.items())[:MOST]:
        yield Finding(
            f"The mean squared errors of {one} and {other} for {', '.join(names)} cannot be told "
            "apart."
        )


def _failures(frame: pd.DataFrame, words: _Words) -> Iterator[Finding]:
    shares = frame[frame["measure"].str.startswith("share_")]
    sound = shares["measure"].isin([f"share_{status}" for status in SOUND])
    failed = shares[~sound]
    some = False
    for method, rows in failed.groupby("method", sort=False):
        fits = int(rows.drop_duplicates(factor_columns(frame))["replicates"].sum())
        count = round((rows["value"] * rows["used"]).sum())
        if count:
            some = True
            share = count / fits
            error = math.sqrt(share * (1 - share) / fits)
            kinds = rows[rows["value"] > 0]["measure"].unique()
            yield Finding(
                f"{count} of {fits} fits of {words.of(method, 'method')} "
                f"({percent(share, error)}) failed: "
                f"{', '.join(kind.removeprefix('share_') for kind in kinds)}.",
                warns=True,
            )
    if len(failed) and not some:
        yield Finding("No fit failed.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
