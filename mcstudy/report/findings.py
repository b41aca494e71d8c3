"""Measures to sentences: what a study found, in plain words, each number with its error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from mcstudy.analysis.select import columns_of, levels_by_row, levels_of, method_order
from mcstudy.figures.cells import with_error
from mcstudy.figures.style import label
from mcstudy.measure import BUILT_IN, REJECTION, is_share
from mcstudy.method import SOUND, Status
from mcstudy.report.comparison_findings import comparisons
from mcstudy.report.interval_findings import coverage, rejection, widths
from mcstudy.report.reported import Reported
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
from mcstudy.tables.numbers import number_with_error
from mcstudy.tables.summary import same_numbers
from mcstudy.wald import WALD

_MUCH = 0.1
"""A bias of this share of the RMSE, or an error of the standard errors, that is worth a sign."""


def findings(results: Reported) -> list[Finding]:
    """Return what a study found: coverage, bias, standard errors, methods compared, failures."""
    whole = StudyWords(results)
    frame = whole.performance
    # The reference first: it stands for those that are like it.
    known = [results.study.get("reference"), *method_order(results.study)]
    there = levels_of(frame, "method")
    order = list(dict.fromkeys([*(name for name in known if name in there), *there]))
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
        *comparisons(study),
        *_failures(whole),
    ]


def _bias(study: StudyWords) -> Iterator[Finding]:
    cells = study.cells("bias")
    if cells.empty:
        return
    keys = [*study.factors, "method", "estimand"]
    sizes = study.cells("rmse")[[*keys, "value"]].rename(columns={"value": "rmse"})
    cells = cells.merge(sizes, on=keys, how="left")
    cells["share"] = (cells["value"].abs() / cells["rmse"]).fillna(0.0)
    seen = cells[beyond(cells)]
    worst = seen.sort_values("share", ascending=False, kind="stable")
    for row in worst.drop_duplicates(["method", "estimand"]).head(MOST).to_dict("records"):
        of_rmse = f", {100 * row['share']:.0f} % of the RMSE" if row["share"] > 0 else ""
        largest = ", the largest share in any condition" if study.varying and of_rmse else ""
        yield Finding(
            f"{study.word(row, 'method')} {_side(row)} {study.word(row, 'estimand')} by "
            f"{_size(row)} on average{study.place(row)}{of_rmse}{largest}"
            f"{_elsewhere(study, _alike(worst, row), row)}.",
            warns=row["share"] > _MUCH,
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
        where = f" in {count} of {total} conditions, most" if total > 1 else ""
        side = "larger" if row["value"] > 0 else "smaller"
        yield Finding(
            f"The standard errors that {study.word(row, 'method')} returns for "
            f"{study.word(row, 'estimand')} are {percent(row | {'value': abs(row['value'])})} "
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
