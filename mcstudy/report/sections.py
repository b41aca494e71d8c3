"""The chapters on fits that failed, and on what a run was made with."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mcstudy.analysis.select import (
    columns_of,
    factor_columns,
    first_measure,
    levels_of,
    method_order,
    varying,
)
from mcstudy.comparison.adequacy import TITLE, adequacy
from mcstudy.comparison.checks import Verdict
from mcstudy.comparison.sensitivity import Sensitivity
from mcstudy.errors import MCStudyError
from mcstudy.figures.style import label, level_label
from mcstudy.method import SOUND, Status
from mcstudy.report.elements import Part, Section, Table, Term, as_table, reason
from mcstudy.report.reported import Reported, keeps_rows
from mcstudy.storage.record import is_imported
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed
from mcstudy.tables.summary import endings

_RANKED = ("rmse", "coverage")
"""The measures whose ranking of the methods is held against failures."""


def failures_section(results: Reported, ranked: Callable[[str], Sensitivity]) -> Section:
    """Return how the fits ended, what failures do to the rankings, and the warnings."""
    ends = endings(columns_of(results.performance), method_order(results.study), results.labels)
    blocks = [ends, *_ends_by_condition(results)]
    parts = [
        Part(
            "How the fits ended",
            [
                "A fit that fails is a row with a status. No data set is drawn anew and none is "
                "replaced; a measure rests on the fits that have what it needs, and used/of says "
                "on how many.",
                *_missing_intervals(results),
                *(f"{line}." for line in results.unusable),
            ],
            tables=[as_table(Document(blocks=[block])) for block in blocks],
        ),
        *_rankings(results, ranked),
        _warnings(results),
    ]
    return Section("failures", "Failures and missing results", parts)


def _missing_intervals(results: Reported) -> Iterator[str]:
    frame = results.performance
    of_intervals = frame[frame["measure"] == "coverage"]
    short = of_intervals[of_intervals["used"] < of_intervals["replicates"]]
    if len(short):
        yield (
            f"In {len(short)} of {len(of_intervals)} cells with intervals some do not exist. "
            "Coverage of all data sets counts a missing one as a miss."
        )
    elif len(of_intervals):
        yield "No interval is missing."


def _ends_by_condition(results: Reported) -> Iterator[Block]:
    """Yield the fits that did not end ok, by condition and method, where there are any."""
    frame = results.performance
    shares = frame[frame["measure"].str.startswith("share_") & (frame["value"] > 0)]
    others = shares[shares["measure"] != f"share_{Status.OK}"]
    moving = varying(frame, factor_columns(frame))
    if others.empty or not moving:
        return
    statuses = [f"share_{word}" for word in Status if f"share_{word}" in set(others["measure"])]
    rows, names = [], [*moving, "method"]
    for keys, cells in others.groupby(names, sort=False, dropna=False):
        counts = dict(zip(cells["measure"], cells["value"] * cells["used"], strict=True))
        shown = [level_label(results, name, key) for name, key in zip(names, keys, strict=True)]
        fits = int(cells["replicates"].max())
        rows.append(
            [*shown, str(fits), *(str(round(counts.get(status, 0))) for status in statuses)]
        )
    heads = [*(label(results, name, "factor") for name in moving), "method", "fits"]
    heads += [status.removeprefix("share_") for status in statuses]
    yield Block("Fits that did not end ok", Grid(heads, rows, labels=len(moving) + 1))


def _rankings(results: Reported, ranked: Callable[[str], Sensitivity]) -> Iterator[Part]:
    """Yield whether failures could turn the ranking of the methods, and which fail together."""
    frame, lines, tables = results.performance, list[str](), list[Table]()
    if len(levels_of(frame, "method")) < 2:
        return
    failures = [f"share_{status}" for status in Status if status not in SOUND]
    if not keeps_rows(results):
        lines.append("No rows are kept, so it is not known.")
    elif not (frame["value"][frame["measure"].isin(failures)] > 0).any():
        lines.append("No fit failed: the rankings are as shown.")
    else:
        names = [name for name in _RANKED if (frame["measure"] == name).any()]
        makers: list[Callable[[], Printed]] = [partial(ranked, name) for name in names]
        for make in (*makers, results.failure_overlap):
            try:
                tables.append(as_table(make().document()))
            except MCStudyError as error:
                lines.append(f"{reason(error, results.folder)}.")
    yield Part("Do failures change the ranking?", lines, tables=tables)


def _warnings(results: Reported) -> Part:
    from mcstudy.comparison.failures import warnings_document

    if not keeps_rows(results):
        return Part("Warnings", ["No rows are kept, so the texts of warnings are not known."])
    kinds = results.warnings()
    if kinds.empty:
        return Part("Warnings", ["No fit gave a warning."])
    return Part("Warnings", tables=[as_table(warnings_document(kinds, results.labels))])


def adequacy_section(
    results: Reported, folder: Path, ranked: Callable[[str], Sensitivity]
) -> Section:
    """Return whether the study is good enough for what is said from it, a part for each check."""
    comparisons = results.comparisons if keeps_rows(results) else None
    # Of the folder itself: while a run is at work the tables are in another, which has no rows.
    made = adequacy(folder, results.performance, comparisons, record=results.study, ranked=ranked)
    parts = []
    for check in made.checks:
        off = check.verdict == Verdict.WARNING
        table = [as_table(Document(blocks=[Block(grid=check.grid())]))] if len(check.frame) else []
        said = [line for line in (check.sentence, check.advice) if line]
        parts.append(Part(check.name, said, check.commands, tables=table, warns=off))
    return Section("adequacy", TITLE, parts)


def environment_section(results: Reported, folder: Path) -> Section:
    """Return what the study ran on, how to run it and one replicate again, and the digests."""
    study = results.study
    versions = [Term(name, str(version)) for name, version in study.get("versions", {}).items()]
    runs = [
        Term(
            f"Run of {str(run.get('started', ''))[:16].replace('T', ' ')}",
            f"{run.get('fits', 0)} fits in {run.get('seconds', 0):g} s, "
            f"{run.get('workers', '?')} workers, {run.get('platform', 'unknown platform')}, "
            f"{run.get('cpu', 'unknown processor')}, "
            f"commit {run.get('commit') or 'none'}",
        )
        for run in study.get("runs") or ()
    ]
    file = study.get("study_file")
    digests = [
        Term(f"{name}.parquet", digest) for name, digest in sorted(study.get("tables", {}).items())
    ]
    if file and study.get("source_digest"):
        digests.insert(0, Term(Path(file).name, study["source_digest"]))
    parts = [Part("Software", terms=versions)]
    if not is_imported(study):
        parts.append(Part("Runs", terms=runs))
        parts.append(Part("Decided on the way", [*_decisions(results)]))
    parts.append(Part("Commands", *_commands(results, folder)))
    parts.append(Part("SHA-256", terms=digests))
    return Section("environment", "Environment", parts)


def _decisions(results: Reported) -> Iterator[str]:
    """Yield what was decided after the study was declared."""
    study = results.study
    yield f"Runs that computed fits: {len(study.get('runs') or ())}."
    yield from (f"{line}." for line in study.get("older_rows") or ["No row is from older code"])
    if discarded := len(study.get("discarded") or ()):
        versions = f"{discarded} earlier version{'s' * (discarded > 1)} of the code"
        yield f"Rows of {versions} were discarded."
    else:
        yield "No row was discarded."
    if study.get("precision"):
        yield "The run ended in each condition by its precision; see Replicates in the protocol."


def _commands(results: Reported, folder: Path) -> tuple[list[str], list[str]]:
    study = results.study
    place = shlex.quote(str(folder))
    measure = first_measure(results.performance)
    commands, said = [], "A table"
    if study.get("study_file"):
        commands.append(f"mcstudy run {shlex.quote(Path(study['study_file']).name)}")
        key = next(iter(study["conditions"]), "")
        condition = f" --condition {shlex.quote(key)}" if key else ""
        commands.append(f"mcstudy replay {place}{condition} --replicate 0 --trust")
        said = "The same study again, one data set with its fits, and a table"
    commands.append(f"mcstudy table {place} --measure {measure} --format latex")
    return [f"{said} for a paper (--format csv, html, latex or markdown):"], commands
