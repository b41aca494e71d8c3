"""Measures to sentences: what a study found, in plain words, each number with its error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.select import columns_of, levels_by_row, levels_of
from mcstudy.figures.cells import with_error
from mcstudy.figures.style import label
from mcstudy.measure import BUILT_IN, REJECTION, is_share
from mcstudy.method import SOUND, Status
from mcstudy.report.interval_findings import coverage, rejection, widths
from mcstudy.report.reported import Reported, keeps_rows
from mcstudy.report.sentences import (
    MOST,
    Finding,
    StudyWords,
    beyond,
    cells_in_words,
    left_out,
    percent,
    range_of,
    share,
)
from mcstudy.tables.numbers import FEW_MISSING, number_with_error
from mcstudy.tables.summary import same_numbers
from mcstudy.wald import WALD

_SHARE = "\0share"  # a column beside the factors, none of which can be called so
_MUCH = 0.1
"""A bias of this share of the RMSE, or an error of the standard errors, that is worth a sign."""
_COMPARED = {"mse_difference": "mean squared errors", "mean_difference": "means"}
"""What is said of two methods that do not differ, too."""
_COVERAGE = "coverage_difference"
_GROUP = ["method", "reference", "estimand", "interval", "measure"]


def findings(results: Reported) -> list[Finding]:
    """Return what a study found: coverage, bias, standard errors, methods compared, failures."""
    whole = StudyWords(results)
    frame = whole.performance
    # The reference first: it stands for those that are like it.
    reference = results.study.get("reference")
    order = sorted(levels_of(frame, "method"), key=lambda name: name != reference)
    same = same_numbers(columns_of(frame), order)
    study = StudyWords(results, without=list(same))
    alike = [(label(results, m, "method"), label(results, n, "method")) for m, n in same.items()]
    return [
        *(
            Finding(
                f"Every measure of {one} is that of {first}, to the last bit: what follows is told "
                f"of {first}."
            )
            for one, first in alike
        ),
        *coverage(study),
        *rejection(study),
        *_bias(study),
        *_standard_errors(study),
        *widths(study),
        *_means(study),
        *_own_measures(study),
        *_comparisons(study),
        *_failures(whole),
    ]


def _bias(study: StudyWords) -> Iterator[Finding]:
    cells = study.cells("bias")
    if cells.empty:
        return
    keys = [*study.factors, "method", "estimand"]
    sizes = study.cells("rmse")[[*keys, "value"]].rename(columns={"value": _SHARE})
    cells = cells.merge(sizes, on=keys, how="left")
    cells[_SHARE] = (cells["value"].abs() / cells[_SHARE]).fillna(0.0)
    seen = cells[beyond(cells)]
    worst = seen.sort_values(_SHARE, ascending=False, kind="stable")
    for row in worst.drop_duplicates(["method", "estimand"]).head(MOST).to_dict("records"):
        of_rmse = f", {100 * row[_SHARE]:.0f} % of the RMSE" if row[_SHARE] > 0 else ""
        largest = ", the largest share in any condition" if study.varying and of_rmse else ""
        yield Finding(
            f"{study.word(row, 'method')} {_side(row)} {study.word(row, 'estimand')} by "
            f"{_size(row)} on average{study.place(row)}{of_rmse}{largest}"
            f"{_elsewhere(study, _alike(worst, row), row)}.",
            warns=row[_SHARE] > _MUCH,
        )
    if rest := len(cells) - len(seen):
        yield Finding(
            f"{cells_in_words(rest, len(cells))} no bias is seen beyond Monte Carlo error."
        )


def _side(row: Mapping[Any, Any]) -> str:
    return "overestimates" if row["value"] > 0 else "underestimates"


def _size(row: Mapping[Any, Any]) -> str:
    return number_with_error(abs(row["value"]), row["mcse"])


def _alike(rows: pd.DataFrame, row: Mapping[Any, Any]) -> pd.DataFrame:
    """Return the rows of the same method and estimand."""
    same = (rows["method"] == row["method"]) & (rows["estimand"] == row["estimand"])
    alike: pd.DataFrame = rows[same]
    return alike


def _elsewhere(study: StudyWords, seen: pd.DataFrame, row: Mapping[Any, Any]) -> str:
    """Return where a bias is larger, and where it is to the other side, first that of most RMSE."""
    text = ""
    largest = seen.iloc[(seen["value"] * (1 if row["value"] > 0 else -1)).argmax()]
    if abs(largest["value"]) > abs(row["value"]):
        shown = number_with_error(largest["value"], largest["mcse"])
        text = f"; the largest bias is {shown}{study.place(largest)}"
    others = seen[seen["value"] * row["value"] < 0]
    if others.empty:
        return text
    other = others.iloc[0]
    return f"{text}; it {_side(other)} it{study.place(other)}, by {_size(other)}"


def _standard_errors(study: StudyWords) -> Iterator[Finding]:
    cells = study.cells("relative_error_model_se")
    seen = cells[beyond(cells)]
    order = seen["value"].abs().sort_values(ascending=False, kind="stable").index
    worst = seen.loc[order].drop_duplicates(["method", "estimand"]).head(MOST)
    for row in worst.to_dict("records"):
        total = len(_alike(cells, row))
        count = int((_alike(seen, row)["value"] * row["value"] > 0).sum())
        up_to, most = ("up to ", " most") if count > 1 else ("", "")
        where = f" in {count} of {total} conditions,{most}" if total > 1 else ""
        side = "larger" if row["value"] > 0 else "smaller"
        yield Finding(
            f"The standard errors that {study.word(row, 'method')} returns for "
            f"{study.word(row, 'estimand')} are {up_to}"
            f"{percent(row | {'value': abs(row['value'])})} "
            f"{side} than the spread of its estimates{where}{study.place(row)}.",
            warns=abs(row["value"]) > _MUCH,
        )
    if len(seen) and (rest := len(cells) - len(seen)):
        yield Finding(
            f"{cells_in_words(rest, len(cells))} they differ from it by no more than Monte Carlo "
            "error."
        )
    if len(cells) and seen.empty:
        intervals = set(study.performance["interval"].dropna()) - {WALD}
        others = f" ({', '.join(sorted(intervals))} may rest on others)" if intervals else ""
        yield Finding(
            f"{cells_in_words(len(cells), len(cells))} the standard errors that methods return with"
            " their estimates differ from the spread of the estimates by no more than Monte Carlo "
            f"error{others}."
        )


def _means(study: StudyWords) -> Iterator[Finding]:
    """Yield the range of the mean of each estimand that has no true value."""
    if "mean" in study.results.study.get("measures", {}):
        return  # one of the study's own
    cells = study.cells("mean")
    told = []
    for _, of in cells.groupby("estimand", sort=False):
        whole = max(len(rows) for _, rows in of.groupby("method", sort=False))
        said = []
        for _, rows in of.groupby("method", sort=False):
            some = f" (in {len(rows)} of {whole} conditions)" if len(rows) < whole else ""
            word = study.word(rows.iloc[0], "method")
            said.append(f"{word} {range_of(rows, with_error)}{some}")
        if len(said) > MOST:
            said[MOST:] = [f"{len(said) - MOST} more: see the table"]
        word = study.word(of.iloc[0], "estimand")
        told.append((of["value"].nunique() > 1, f"The mean {word}: {', '.join(said)}."))
    told.sort(key=lambda one: not one[0])  # what is the same everywhere last
    yield from (Finding(text) for _, text in told[:MOST])
    yield from left_out(told, "mean")


def _own_measures(study: StudyWords) -> Iterator[Finding]:
    """Yield the range of each measure of the study's own."""
    frame = study.performance[study.performance["value"].notna()]
    known = {*BUILT_IN} - {*study.results.study.get("measures", {})}
    ours = frame["measure"].str.startswith(("share_", f"{REJECTION}_"))
    own = frame[~frame["measure"].isin(known) & ~ours]
    told = []
    for _, rows in own[own["measure"] != "warned"].groupby(["measure", "method"], sort=False):
        first = rows.iloc[0]
        numbers = range_of(rows, percent if is_share(first["measure"]) else with_error)
        told.append(f"{study.word(first, 'measure')} of {study.word(first, 'method')}: {numbers}.")
    yield from map(Finding, told[:MOST])
    yield from left_out(told, "measure")


def _comparisons(study: StudyWords) -> Iterator[Finding]:
    """Yield where two methods differ, and which do not."""
    if not keeps_rows(study.results) or study.results.comparisons.empty:
        return
    frame, methods = study.results.comparisons, list(study.performance["method"].unique())
    frame = frame[frame["method"].isin(methods) & frame["reference"].isin(methods)]
    frame = frame[frame["measure"].isin([*_COMPARED, _COVERAGE]) & frame["value"].notna()]
    of_errors, of_coverage, equal = list[Any](), list[Any](), dict[Any, list[Any]]()
    for group in _counts(frame):
        if group.better or group.worse:
            (of_coverage if group.measure == _COVERAGE else of_errors).append(group)
        elif group.measure != _COVERAGE:
            key = group.method, group.reference, group.measure, group.unequal
            equal.setdefault(key, []).append(group)
    for some in (of_errors, of_coverage):
        yield from (Finding(_difference(study, frame, group)) for group in some[:MOST])
        yield from left_out(some, "difference", " between two methods")
    yield from (Finding(_equality(study, alike)) for alike in list(equal.values())[:MOST])


def _counts(frame: pd.DataFrame) -> list[Any]:
    """Return for each pair of methods and measure in how many conditions which one is smaller.

    All at once: a study of many methods and estimands has 100,000 of them.
    """
    differs, value = beyond(frame), frame["value"]
    frame = frame.assign(
        better=differs & (value < 0), worse=differs & (value > 0), unequal=value != 0
    )
    summed = frame.groupby(_GROUP, sort=False, observed=True, dropna=False).agg(
        better=("better", "sum"),
        worse=("worse", "sum"),
        unequal=("unequal", "any"),
        size=("value", "size"),
        few=("used", "min"),
        most=("used", "max"),
        whole=("replicates", "max"),
    )
    return list(summed.reset_index().itertuples(index=False))


def _difference(study: StudyWords, frame: pd.DataFrame, group: Any) -> str:
    """Return the sentence of two methods that differ."""
    one, other = (label(study.results, n, "method") for n in (group.method, group.reference))
    what = label(study.results, group.estimand, "estimand")
    said = [f"below that of {other} in {group.better}"] if group.better else []
    above = "it" if group.better else f"that of {other}"
    said += [f"above {above} in {group.worse}"] if group.worse else []
    of = f" of {group.size} conditions" if group.size > 1 else " condition"
    few, most, whole = int(group.few), int(group.most), int(group.whole)
    on = f" ({f'{few}' if few == most else f'{few} to {most}'} of {whole}, where both have one)"
    on = on if few < (1 - FEW_MISSING) * whole else ""
    subject, largest = f"mean {what} of {one}", ""
    if group.measure == "mse_difference":
        subject = f"mean squared error of {one} for {what}"
    elif group.measure == _COVERAGE:
        name = label(study.results, group.interval, "interval")
        subject = f"coverage of the interval “{name}” of {one} for {what}"
        largest = _largest(study, frame, group)
    return f"On the same data sets{on}, the {subject} is {' and '.join(said)}{of}{largest}."


def _largest(study: StudyWords, frame: pd.DataFrame, group: Any) -> str:
    """Return the largest difference of a pair, and where it is."""
    ours = np.logical_and.reduce([frame[name] == getattr(group, name) for name in _GROUP])
    row = frame[ours].iloc[frame[ours]["value"].abs().argmax()]
    size = number_with_error(row["value"], row["mcse"])
    return f"; the largest difference is {size}{study.place(row)}"


def _equality(study: StudyWords, alike: Sequence[Any]) -> str:
    """Return the sentence of two methods that do not differ for some estimands."""
    first, more = alike[0], len(alike) - MOST
    one, other = (label(study.results, n, "method") for n in (first.method, first.reference))
    names = [label(study.results, group.estimand, "estimand") for group in alike[:MOST]]
    shown = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    differ = "do not differ beyond Monte Carlo error" if first.unequal else "are the same"
    few, whole = min(group.few for group in alike), max(group.whole for group in alike)
    on = f", on the data sets in which both have one (at least {few} of {whole})"
    on = on if few < (1 - FEW_MISSING) * whole else ""
    return f"The {_COMPARED[first.measure]} of {one} and {other} for {shown} {differ}{on}."


def _failures(study: StudyWords) -> Iterator[Finding]:
    frame = study.performance
    shares = frame[frame["measure"].str.startswith("share_")]
    failed = shares[~shares["measure"].isin([f"share_{status}" for status in SOUND])]
    skipped = shares[(shares["measure"] == f"share_{Status.SKIPPED}") & (shares["value"] > 0)]
    for _, rows in skipped.groupby("method", sort=False):
        count = round((rows["value"] * rows["used"]).sum())
        where = f"{len(rows)} of {len(study.results.conditions)} conditions"
        yield Finding(
            f"{study.word(rows.iloc[0], 'method')} says that it does not apply to {count} data sets"
            f"{f', in {where}' if study.varying else ''}."
        )
    some = False
    for _, rows in failed.groupby("method", sort=False):
        fits = int(rows["replicates"][rows["measure"] == rows["measure"].iloc[0]].sum())
        count = round((rows["value"] * rows["used"]).sum())
        if not count:
            continue
        some = True
        kinds = rows[rows["value"] > 0]["measure"].str.removeprefix("share_").unique()
        of, shown = "All", ""
        if count < fits:
            of = f"{count} of {fits}"
            shown = f" ({share(count / fits, fits)}{_most_failed(study, rows)})"
        yield Finding(
            f"{of} fits of {study.word(rows.iloc[0], 'method')} failed{shown}: {', '.join(kinds)}.",
            warns=True,
        )
    if len(failed) and not some:
        yield Finding("No fit failed.")


def _most_failed(study: StudyWords, rows: pd.DataFrame) -> str:
    """Return the largest share of failures in a condition, where there are several."""
    sums: dict[tuple[Any, ...], list[float]] = {}
    keys = levels_by_row(columns_of(rows), study.factors)
    for key, part, fits in zip(keys, rows["value"], rows["replicates"], strict=True):
        sums[key] = [sums.get(key, [0.0])[0] + part, fits]
    if len(sums) < 2:
        return ""
    worst = max(sums, key=lambda key: sums[key][0])
    place = study.place(dict(zip(study.factors, worst, strict=True)))
    return f"; at most {share(*sums[worst])},{place}"
