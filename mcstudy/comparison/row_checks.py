"""The rows to what they say of the study itself: rankings, dependence, outliers."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mcstudy.analysis.load import ConditionRows, EstimandRows, rows_by_condition, without_skipped
from mcstudy.analysis.select import beside, factor_columns, varying, with_labels
from mcstudy.analysis.serial_correlation import LEAST_PAIRS, serial_correlation
from mcstudy.arguments import counted
from mcstudy.arrays import Floats
from mcstudy.comparison.checks import Check, Verdict, Words
from mcstudy.comparison.failure_rules import FAILED
from mcstudy.comparison.sensitivity import Sensitivity
from mcstudy.errors import ResultsError
from mcstudy.storage.record import is_imported

RANKING = "Failures and the ranking"
DEPENDENCE = "Dependence between replicates"
OUTLIERS = "Outliers"
FAR = 10.0
"""Robust standard deviations: one of 1e22 normal estimates is as far from the median."""
NORMAL_MAD = 1.4826  # standard deviations of a normal distribution in its MAD
NORMAL_RANGE = 1.349  # and in its interquartile range
FALSE_ALARM = 0.01
"""The chance that independent replicates are said to depend."""
_SHOWN = 5  # data sets with outliers
_KEY = "condition"  # no factor has this name
_OF_RANKING = ("estimand", "interval", "measure", "ranking", "differs_in")
_OF_DEPENDENCE = ("method", "estimand", "correlation", "z", "pairs", "cells", "beyond")
_OF_OUTLIERS = ("replicate", "method", "estimand", "number", "value", "distance", "of_mse")
_KEPT = 100  # outliers in the frame
_HEAVY = 0.05  # of a cell: so many far ones are the distribution's, not slips


def ranking_check(
    folder: Path, performance: pd.DataFrame, ranked: Callable[[str], Sensitivity], words: Words
) -> Check:
    """Say in how many cells the ranking of the methods changes with how failures are counted.

    `ranked` returns the rankings by a measure.
    """
    if performance["method"].nunique() < 2:
        return Check(RANKING, Verdict.FINE, "There is one method, so nothing is ranked.")
    if not (performance["measure"] == "rmse").any():
        has_estimates = (performance["measure"] == "empirical_se").any()
        why = "No estimand has a true value" if has_estimates else "No method gives an estimate"
        return Check(RANKING, Verdict.FINE, f"{why}, so nothing is ranked.")
    if not _failures(performance):
        none = "No fit failed and no interval is missing, so the ranking is as it is."
        return Check(RANKING, Verdict.FINE, none)
    said, turned, unknown = list[str](), list[pd.DataFrame](), list[str]()
    has_intervals = ((performance["measure"] == "coverage") & (performance["used"] > 0)).any()
    for measure in ("rmse", "coverage") if has_intervals else ("rmse",):
        try:
            frame = ranked(measure).frame
        except ResultsError as error:
            unknown.append(reason(error, folder))
            continue
        names = factor_columns(frame)
        failed = frame.groupby(names, sort=False, dropna=False)["failed"].max() > 0
        other = frame[frame["ranking"] != "same"].drop_duplicates(names)
        said.append(_turned(measure, int(failed.sum()), other["ranking"]))
        # As the frame names them, where a factor has the name of one of its columns.
        varied = varying(frame, names[:-2])
        turned.append(other.assign(measure=measure)[[*varied, *_OF_RANKING]])
    if not said:
        return Check(RANKING, Verdict.UNKNOWN, f"{'; '.join(dict.fromkeys(unknown))}.")
    frame = pd.concat(turned, ignore_index=True)
    verdict, text = (Verdict.WARNING, _WAYS) if len(frame) else (Verdict.FINE, "")
    frame = with_labels(frame, words.labels)
    return Check(RANKING, verdict, " ".join(said), text, frame)


_NAMES = {"rmse": "RMSE", "coverage": "coverage"}
_WAYS = (
    "depends: some two methods are told apart in one way of counting and not in another; reversed: "
    "the other way round. Ways that differ from the estimates that there are: common, only "
    "replicates in which no method failed; worst, each failed fit as bad as its cell allows. "
    "mcstudy failures shows the ranks."
)


def _turned(measure: str, failed: int, rankings: pd.Series[str]) -> str:
    """Say in how many cells a ranking changes."""
    by = f"The ranking by {_NAMES[measure]}"
    if not failed:
        return f"No failure touches the ranking by {_NAMES[measure]}."
    of = f"{counted(failed, 'cell')} with failures"
    if rankings.empty:
        return f"{by} is the same however failures are counted, in {of}."
    reversed_in = int((rankings == "reversed").sum())
    also = f" ({reversed_in:,} reversed)" if reversed_in else ""
    return f"{by} changes with how failures are counted in {len(rankings):,}{also} of {of}."


def _failures(performance: pd.DataFrame) -> bool:
    """Return whether a fit failed, or lacks an estimate or an interval that others have."""
    measure = performance["measure"]
    failed = measure.isin([f"share_{status}" for status in FAILED]) & (performance["value"] > 0)
    lacks = measure.isin(["bias", "mean", "coverage"]) & (
        performance["used"] < performance["replicates"]
    )
    return bool((failed | lacks).any())


def row_checks(folder: Path, record: Mapping[str, Any], words: Words) -> list[Check]:
    """Read all rows once, condition by condition; say whether replicates depend, and outliers."""
    found = _Found()
    try:
        for rows in map(without_skipped, rows_by_condition(folder)):
            found.add(rows)
    except ResultsError as error:
        said = f"{reason(error, folder)}."
        return [Check(name, Verdict.UNKNOWN, said) for name in (DEPENDENCE, OUTLIERS)]
    return [_dependence(found, words), _outliers(found, folder, record, words)]


def reason(error: ResultsError, folder: Path) -> str:
    """Return the text of an error as the beginning of a sentence."""
    text = str(error).removeprefix(f"{folder}: ")
    return text[:1].upper() + text[1:]


@dataclass
class _Found:
    """What the rows give, a dictionary for each cell."""

    serial: list[dict[str, Any]] = field(default_factory=list)
    untold: int = 0
    far: list[dict[str, Any]] = field(default_factory=list)
    numbers: int = 0
    heavy: int = 0
    constant: int = 0

    def add(self, rows: ConditionRows) -> None:
        for name, method in rows.methods.items():
            for estimand, of in method.estimands.items():
                cell = {"factors": rows.factors, _KEY: rows.condition}
                cell |= {"method": name, "estimand": estimand}
                made = serial_correlation(method.replicate, of.main)
                if made is None:
                    self.untold += int(np.isfinite(of.main).any())
                else:
                    self.serial.append({**cell, **made._asdict(), "p": made.p_value})
                self.far += [cell | far for far in self._far(of, method.replicate)]

    def _far(self, of: EstimandRows, replicate: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
        """Yield the estimates and standard errors of a cell that are far from the others."""
        with np.errstate(over="ignore"):
            square = np.where(np.isfinite(of.estimate), (of.estimate - of.truth) ** 2, 0.0)
        for what, values in (("estimate", of.estimate), ("std_error", of.std_error)):
            count = int(np.isfinite(values).sum())
            self.numbers += count
            distance = robust_distance(values)
            if distance is None:
                self.constant += int(count > 1)
                continue
            places = np.flatnonzero(distance > FAR)
            if len(places) > max(_HEAVY * count, 2):
                self.heavy += 1
                continue
            for place in places:
                share = square[place] / square.sum() if what == "estimate" else np.nan
                yield {
                    "replicate": int(replicate[place]),
                    "number": what,
                    "value": float(values[place]),
                    "distance": float(distance[place]),
                    "of_mse": float(share),
                }


def robust_distance(values: Floats) -> Floats | None:
    """Return |x - median| in robust standard deviations, 0 for what is missing; None without any.

    The standard deviation is 1.4826 MAD (Hampel 1974, JASA 69:383), or the interquartile range over
    1.349 where that is larger: of estimates with a mass at a boundary the MAD is near 0. There is
    none where both are 0.
    """
    there = np.isfinite(values)
    if not there.any():
        return None
    away = np.abs(values - np.median(values[there]))
    low, high = np.quantile(values[there], (0.25, 0.75))
    scale = max(NORMAL_MAD * float(np.median(away[there])), float(high - low) / NORMAL_RANGE)
    return np.where(there, away / scale, 0.0) if scale > 0 else None


def _dependence(found: _Found, words: Words) -> Check:
    """Hold the largest |z| of each method against Bonferroni's limit over all cells."""
    if not found.serial:
        said = (
            f"It takes {LEAST_PAIRS} successive replicates whose numbers are not nearly all equal, "
            "and no cell has them."
        )
        return Check(DEPENDENCE, Verdict.UNKNOWN, said)
    cells = pd.DataFrame(found.serial).rename(columns={"value": "correlation"})
    count = len(cells)
    limit = NormalDist().inv_cdf(1 - FALSE_ALARM / (2 * count))
    cells = cells.assign(size=cells["z"].abs(), over=cells["z"].abs() > limit)
    cells = cells.sort_values("size", ascending=False, kind="stable")
    of_method = cells.groupby("method")["over"]
    cells = cells.assign(cells=of_method.transform("size"), beyond=of_method.transform("sum"))
    frame = _frame(cells.drop_duplicates("method"), _OF_DEPENDENCE, words)
    first, over = cells.iloc[0], int(cells["over"].sum())
    where = words.cell({**first["factors"], **first[["method", "estimand"]].to_dict()})
    worst = f"{first['z']:.1f} ({where})"
    advice = (
        "z is the rank correlation of each replicate with the next one, in standard errors; "
        f"independent replicates pass the limit in {100 * FALSE_ALARM:g} % of studies."
    )
    if found.untold:
        advice += f" {counted(found.untold, 'cell')} had too few replicates, or nearly equal ones."
    if not over:
        said = f"None is seen in {counted(count, 'cell')}: the largest z is {worst}, "
        return Check(DEPENDENCE, Verdict.FINE, f"{said}the limit {limit:.1f}.", advice, frame)
    said = (
        f"Successive replicates depend on each other in {over} of {counted(count, 'cell')}: the "
        f"largest z is {worst}, the limit {limit:.1f}."
    )
    advice = (
        "All Monte Carlo errors take replicates as independent. Look for what simulate or a method "
        f"carries over from one replicate to the next. {advice}"
    )
    return Check(DEPENDENCE, Verdict.WARNING, said, advice, frame)


def _frame(rows: pd.DataFrame, names: tuple[str, ...], words: Words) -> pd.DataFrame:
    """Return some columns of the rows, after those factors that vary."""
    lines = []
    for row in rows.to_dict("records"):
        factors = beside({name: row["factors"][name] for name in words.factors}, names)
        lines.append({**factors, **{name: row[name] for name in names}})
    return with_labels(pd.DataFrame(lines), words.labels)


def _outliers(found: _Found, folder: Path, record: Mapping[str, Any], words: Words) -> Check:
    """Count what is far from its cell; name the data sets of the farthest."""
    also = []
    if found.heavy:
        also.append(
            f"In {counted(found.heavy, 'cell')} more than {100 * _HEAVY:g} % are that far: a heavy "
            "tail, of which no single numbers are listed."
        )
    if found.constant:
        verb = "is" if found.constant == 1 else "are"
        also.append(
            f"{counted(found.constant, 'cell')} {verb} left out: most of the numbers are equal."
        )
    rule = f"more than {FAR:g} robust standard deviations from the median of"
    of = f"{found.numbers:,} estimates and standard errors"
    if not found.numbers:
        return Check(OUTLIERS, Verdict.FINE, "There are no estimates, so none is an outlier.")
    if not found.far:
        said = f"No single one of {of} is {rule} its cell."
        return Check(OUTLIERS, Verdict.FINE, said, " ".join(also))
    far = pd.DataFrame(found.far).sort_values("distance", ascending=False, kind="stable")
    are = "is" if len(far) == 1 else "are"
    sets = far.drop_duplicates([_KEY, "replicate"])
    said = f"{len(far):,} of {of} {are} {rule} their cell, in {counted(len(sets), 'data set')}."
    advice = "of_mse is the share of one estimate in the mean squared error of its cell."
    commands: tuple[str, ...] = ()
    if not is_imported(record):
        advice += " The commands make the data sets of the farthest again."
        commands = tuple(
            _replay(folder, record, row[_KEY], row["replicate"])
            for row in sets.head(_SHOWN).to_dict("records")
        )
    frame = _frame(far.head(_KEPT), _OF_OUTLIERS, words)
    return Check(OUTLIERS, Verdict.WARNING, said, " ".join([advice, *also]), frame, commands)


def _replay(folder: Path, record: Mapping[str, Any], condition: str, replicate: int) -> str:
    """Return the command line that makes a data set again; in Python for a study of a session."""
    if record.get("study_file") is None:
        return f"mcstudy.replay(study, {condition!r}, {replicate}, results={str(folder)!r})"
    where = f" --condition {shlex.quote(condition)}" if condition else ""
    return f"mcstudy replay {shlex.quote(str(folder))}{where} --replicate {replicate} --trust"
