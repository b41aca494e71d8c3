"""Rows that older code has made: is the code of now giving the same ones? A sample tells."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcstudy.arguments import counted
from mcstudy.errors import ChangedError
from mcstudy.execution.options import RunOptions
from mcstudy.execution.progress import Progress
from mcstudy.execution.run_loop import RunLoop
from mcstudy.execution.shards import Shard
from mcstudy.grid import Condition
from mcstudy.method import Status
from mcstudy.simulation.replicates import Job
from mcstudy.storage.answer import Answer, read_answer
from mcstudy.storage.parts import Part
from mcstudy.storage.store import Store
from mcstudy.storage.study_record import StudyRecord

MOST_EACH, MOST = 20, 1000
"""How many fits of a method under a condition are compared, and about how many in all; as many
again of those that are not ok. A change that shows in one fit of seven is missed by 20 fits in one
case of twenty (.86**20)."""

Cell = tuple[Condition, str]


def verify(study_record: StudyRecord, wanted: RunOptions, progress: Progress) -> None:
    """Compute a sample of the rows again that something else has made, and compare.

    Parameters
    ----------
    study_record : StudyRecord
        The study and its stored rows, on which nothing is decided yet.
    wanted : RunOptions
        Who does the work.
    progress : Progress
        Is told how it came out.

    Raises
    ------
    ChangedError
        Where a fit is not equal bit for bit, with the first such.
    """
    older = _whole(study_record)
    if not older:
        if study_record.manifest.kept:
            progress.say(
                "Note: nothing is verified: rows that were kept before count as decided; "
                "--changed discard computes them again"
            )
        return
    folder, ways = study_record.store.folder, '--changed keep (changed="keep") or discard'
    if study_record.study.keep != "rows":
        raise ChangedError(f"{folder}: keeps no rows that could be compared; say {ways}")
    if any(_other_seed(study_record, part) for part in older):
        return  # rows of another seed are other rows: that is said where it is decided on them
    sample = _sample(study_record, older)
    total = sum(map(len, sample.values()))
    progress.say(f"Note: {counted(total, 'stored fit')} computed again, to compare")
    differing: list[str] = []
    new, stored = (
        _computed(study_record, sample, wanted),
        dict(_answers(study_record, older, sample)),
    )
    for address, answer in new.items():
        if said := answer.differences(stored[address]):
            key, replicate, method = address
            differing.append(f"method '{method}' at {key}, replicate {replicate}: {said[0]}")
    if differing:
        raise ChangedError(
            f"{folder}: {len(differing)} of {counted(total, 'fit')} computed again are not equal "
            f"to what is stored, first {differing[0]}. Nothing was done: say {ways}"
        )
    progress.say(f"Note: {total} of {total} fits are equal bit for bit; the stored rows are kept")


def _whole(study_record: StudyRecord) -> list[Part]:
    """Return the parts to verify; a damaged one is set aside, and computed by the run."""
    for part in study_record.older_parts():
        with study_record.store.damaged_aside():
            part.content()
    return study_record.older_parts()


def _other_seed(study_record: StudyRecord, part: Part) -> bool:
    head = study_record.store.head_like(part)
    return head is not None and head.provenance["seed"] != str(study_record.study.seed)


def _sample(study_record: StudyRecord, older: Sequence[Part]) -> dict[Cell, list[int]]:
    """Return the replicates to compare: spread evenly over those there are, and over those not ok.

    The latter are few as a rule, and what a change of code is about.
    """
    there: dict[Cell, set[int]] = defaultdict(set)
    not_ok: dict[Cell, set[int]] = defaultdict(set)
    for part in older:
        rows = part.rows(["replicate", "status"])
        cell = study_record.manifest.conditions[part.condition], part.method
        there[cell] |= set(range(part.start, part.stop))
        bad = pc.not_equal(rows["status"].cast(pa.string()), str(Status.OK))
        not_ok[cell].update(rows["replicate"].filter(bad).to_pylist())
    each = max(1, min(MOST_EACH, MOST // len(there)))
    return {
        cell: sorted({*_spread(sorted(all_of_it), each), *_spread(sorted(not_ok[cell]), each)})
        for cell, all_of_it in there.items()
    }


def _spread(numbers: Sequence[int], count: int) -> list[int]:
    if not numbers:
        return []
    places = np.unique(np.linspace(0, len(numbers) - 1, count).round().astype(int))
    return [numbers[place] for place in places.tolist()]


def _computed(
    study_record: StudyRecord, sample: Mapping[Cell, Sequence[int]], wanted: RunOptions
) -> dict[tuple[str, int, str], Answer]:
    """Return the answers of the code of now, computed as in a run, by address."""
    methods: dict[tuple[Condition, int], list[str]] = defaultdict(list)
    for (condition, method), replicates in sample.items():
        for replicate in replicates:
            methods[condition, replicate].append(method)
    jobs = [Job(c, r, r + 1, tuple(sorted(names))) for (c, r), names in methods.items()]
    with tempfile.TemporaryDirectory(prefix="mcstudy-") as name:
        store = Store(Path(name))
        with store.locked():
            again = StudyRecord(study_record.study, store)
            RunLoop(again, wanted, Progress(True), Shard(1, 1), keep_going=True).compute(jobs)
            return dict(_answers(again, store.parts(), sample))


def _answers(
    study_record: StudyRecord, parts: Sequence[Part], sample: Mapping[Cell, Sequence[int]]
) -> Iterator[tuple[tuple[str, int, str], Answer]]:
    """Yield the answers of a sample that some parts hold, by address."""
    for part in parts:
        rows, condition = part.rows(), study_record.manifest.conditions[part.condition]
        for replicate in sample.get((condition, part.method), ()):
            if answer := read_answer(rows, replicate, {}):
                yield (condition.key, replicate, part.method), answer
