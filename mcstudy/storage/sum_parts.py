"""Answers to parts, and the parts of a study with ``keep="measures"`` to summaries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from mcstudy.measure import alphas_of, null_of
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.replicates import Job
from mcstudy.storage import parts
from mcstudy.storage.moment_tables import Summary, joined_moments, moments_table, summary
from mcstudy.storage.parts import Head, NewPart, Part
from mcstudy.storage.provenance import Mark
from mcstudy.study import Study

_TRUTH = "the truth of "
_NULL = "the null value of "
_ALPHA = "the level of the tests"
_LEVEL = "the level of the intervals that are formed"


def encode(
    study: Study, job: Job, answers: Mapping[str, Answers], marks: Mapping[str, Mark]
) -> dict[str, NewPart]:
    """Return the part of each method of a finished job: its rows, or its sums alone."""
    start, about = job.start, None
    if study.keep == "rows":
        tables = {name: parts.rows_of(own, start) for name, own in answers.items()}
    else:
        truths = study.truths(job.condition)
        about = references(truths, study.null, study.level, study.alpha)
        nulls = {estimand: null_of(study.null, estimand) for estimand in truths}
        tables = {
            name: moments_table(own, start, truths, nulls, level=study.level, alpha=study.alphas[0])
            for name, own in answers.items()
        }
    key = job.condition.key
    heads = {name: Head(key, name, start, job.stop, marks[name], about) for name in sorted(tables)}
    return {name: parts.new_part(tables[name], head) for name, head in heads.items()}


def references(
    truths: Mapping[str, float],
    null: float | Mapping[str, float] | None,
    level: float | None,
    alpha: float | Sequence[float] | None = None,
) -> dict[str, float | None]:
    """Return by name what sums are made about: truths, null values, the level of formed intervals.

    And that of tests, where the study sets it.

    None is missing.
    """
    known = {f"{_TRUTH}{estimand}": value for estimand, value in truths.items()}
    known |= {f"{_NULL}{estimand}": null_of(null, estimand) for estimand in truths}
    known[_LEVEL] = math.nan if level is None else level
    known |= {} if alpha is None else {_ALPHA: alphas_of(alpha, level)[0]}
    return {name: value if value == value else None for name, value in sorted(known.items())}


def truths_of(heads: Sequence[Head]) -> dict[str, dict[str, float | None]]:
    """Return the true values that the sums of these parts are about, by condition and estimand."""
    return {
        head.condition: {
            name.removeprefix(_TRUTH): value
            for name, value in head.references.items()
            if name.startswith(_TRUTH)
        }
        for head in heads
        if head.references is not None
    }


def nulls_of(heads: Sequence[Head]) -> dict[str, float]:
    """Return the null values that the sums of these parts are about, by estimand."""
    return {
        name.removeprefix(_NULL): value
        for head in heads
        for name, value in (head.references or {}).items()
        if name.startswith(_NULL) and value is not None
    }


def read_summaries(stored: Sequence[Part]) -> dict[str, Summary]:
    """Return what is known of each method in some parts of one condition, each replicate once.

    DamagedError where a part turns out to be damaged.
    """
    return summaries([(part, part.rows()) for part in stored])


def summaries(read: Sequence[tuple[Part, pa.Table]]) -> dict[str, Summary]:
    """Return the same of parts that have been read."""
    tables: dict[str, dict[str, list[pa.Table]]] = {}
    for part, table in read:
        tables.setdefault(part.method, {}).setdefault(part.fingerprint, []).append(table)
    return {
        method: summary([joined_moments(same) for same in own.values()])
        for method, own in tables.items()
    }


def summary_of(part: NewPart) -> Summary:
    """Return what is known of the method in a part that has just been made."""
    return summary([part.rows()])
