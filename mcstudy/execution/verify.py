"""Rows that older code has made: is the code of now giving the same ones? A sample tells."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcstudy.errors import ChangedError
from mcstudy.execution.options import RunOptions, counted
from mcstudy.execution.progress import Progress
from mcstudy.execution.run_loop import RunLoop
from mcstudy.execution.shards import Share
from mcstudy.grid import Condition
from mcstudy.method import Status
from mcstudy.simulation.replicates import Job
from mcstudy.storage.answer import Answer, read_answer
from mcstudy.storage.parts import DamagedError, PartHead, read, read_content, rows_of
from mcstudy.storage.store import Store
from mcstudy.storage.study_record import Ledger

MOST_EACH, MOST = 20, 1000
"""How many fits of a method under a condition are compared, and about how many in all; as many
again of those that are not ok. A change that shows in one fit of seven is missed by 20 fits in one
case of twenty (.86**20)."""

Cell = tuple[Condition, str]


def verify(ledger: Ledger, wanted: RunOptions, progress: Progress) -> None:
    """Compute a sample of the rows again that something else has made, and compare.

    Parameters
    ----------
    ledger : Ledger
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
    older = _whole(ledger)
    if not older:
        return
    folder, ways = ledger.store.folder, '--changed keep (changed="keep") or discard'
    if ledger.study.keep != "rows":
        raise ChangedError(f"{folder}: keeps no rows that could be compared; say {ways}")
    if any(mark["seed"] != str(ledger.study.seed) for h, ms in older for mark in _marks(h, ms)):
        return  # rows of another seed are other rows: that is said where it is decided on them
    sample = _sample(ledger, older)
    total = sum(map(len, sample.values()))
    progress.say(f"Note: {counted(total, 'stored fit')} computed again, to compare")
    differing: list[str] = []
    new, stored = _computed(ledger, sample, wanted), _stored(older, sample)
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


def _whole(ledger: Ledger) -> list[tuple[PartHead, list[str]]]:
    """Return the parts to verify; a damaged one is set aside, and computed by the run."""
    for head, _ in ledger.older_parts():
        try:
            read_content(head.path)
        except DamagedError:
            ledger.store.set_aside(head.path)
    return ledger.older_parts()


def _marks(head: PartHead, methods: Sequence[str]) -> list[Mapping[str, str]]:
    return [head.marks[method] for method in methods]


def _sample(
    ledger: Ledger, older: Sequence[tuple[PartHead, Sequence[str]]]
) -> dict[Cell, list[int]]:
    """Return the replicates to compare: spread evenly over those there are, and over those not ok.

    The latter are few as a rule, and what a change of code is about.
    """
    by_key = {condition.key: condition for condition in ledger.study.conditions}
    there: dict[Cell, set[int]] = defaultdict(set)
    not_ok: dict[Cell, set[int]] = defaultdict(set)
    for head, methods in older:
        rows = read(head.path, ["replicate", "status"])
        for method in methods:
            cell, own = (by_key[head.condition], method), rows_of(head, rows, method)
            there[cell] |= set(range(head.start, head.stop))
            bad = pc.not_equal(own["status"].cast(pa.string()), str(Status.OK))
            not_ok[cell].update(own["replicate"].filter(bad).to_pylist())
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
    ledger: Ledger, sample: Mapping[Cell, Sequence[int]], wanted: RunOptions
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
            again = Ledger(ledger.study, store)
            RunLoop(again, wanted, Progress(True), Share(1, 1), keep_going=True).compute(jobs)
            parts = [(head, head.methods) for head in store.heads()]
            return dict(_answers(parts, sample))


def _stored(
    older: Sequence[tuple[PartHead, Sequence[str]]], sample: Mapping[Cell, Sequence[int]]
) -> dict[tuple[str, int, str], Answer]:
    return dict(_answers(older, sample))


def _answers(
    parts: Sequence[tuple[PartHead, Sequence[str]]], sample: Mapping[Cell, Sequence[int]]
) -> Iterator[tuple[tuple[str, int, str], Answer]]:
    """Yield the answers of a sample that some parts hold, by address."""
    wanted = {(condition.key, method): numbers for (condition, method), numbers in sample.items()}
    for head, methods in parts:
        rows = read(head.path)
        for method in methods:
            for replicate in wanted.get((head.condition, method), ()):
                if head.start <= replicate < head.stop:
                    answer = read_answer(rows, method, replicate, {})
                    if answer is not None:
                        yield (head.condition, replicate, method), answer
