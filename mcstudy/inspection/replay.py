"""One replicate again, by its address: its data set, its fits, beside what was stored."""

from __future__ import annotations

import contextlib
import io
import operator
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex

import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from mcstudy.analysis.select import suggestion
from mcstudy.arguments import short
from mcstudy.errors import StudyError
from mcstudy.grid import Condition
from mcstudy.inspection.address import find_condition
from mcstudy.inspection.answer import Answer, read_answer, traceback_text
from mcstudy.inspection.located import located
from mcstudy.inspection.save import data_text
from mcstudy.inspection.uncollected import open_holding
from mcstudy.results import Results
from mcstudy.simulation.call import attempt
from mcstudy.simulation.replicates import FitException, Job, do_job, draw
from mcstudy.spoken import option
from mcstudy.storage.accepted import Counting
from mcstudy.storage.export import Stored
from mcstudy.storage.folder import has_parts
from mcstudy.storage.parts import DamagedError, PartHead, encode, read, read_content
from mcstudy.storage.provenance import Mark, changes, method_marks, take_as_unchanged
from mcstudy.storage.store import Store
from mcstudy.storage.sum_parts import read_tallies
from mcstudy.study import MAX_REPLICATES, Study
from mcstudy.terminal import harmless_line, printable

DANGEROUS = ("crashed", "timeout")


@dataclass(frozen=True)
class Replay:
    """A replicate simulated and fitted again.

    Parameters
    ----------
    study : Study
        As it is now.
    condition : Condition
        Its `key` and `factors`.
    replicate : int
        Which of its data sets.
    data : object
        The data set; None if simulate raised.
    answers : mapping of str to Answer
        What each method says now.
    stored : mapping of str to Answer
        What each method said when the row was made; without those that have none.
    notes : list of str
        What is worth knowing: changes since then, what was left out and why.
    simulate : callable
        Draws the data set anew, without arguments.
    """

    study: Study
    condition: Condition
    replicate: int
    data: Any
    answers: Mapping[str, Answer]
    stored: Mapping[str, Answer]
    notes: list[str]
    simulate: Callable[[], Any]

    @property
    def equal(self) -> bool | None:
        """Whether all is as stored, bit for bit; None if nothing is there to compare."""
        both = self.answers.keys() & self.stored.keys()
        if not both:
            return None
        return not any(self.answers[name].differences(self.stored[name]) for name in both)

    @property
    def unstored(self) -> list[str]:
        """The methods that were fitted and have nothing stored to compare with."""
        return sorted(self.answers.keys() - self.stored.keys())

    @printable
    def __str__(self) -> str:
        title = f"{self.study.name}: replicate {self.replicate} of {self.condition.key}"
        blocks = [
            "\n".join(map(harmless_line, [title, *self.notes])),
            f"data: {data_text(self.data)}",
        ]
        blocks += [self._method_text(name) for name in sorted({*self.answers, *self.stored})]
        return "\n\n".join(blocks)

    def _method_text(self, name: str) -> str:
        now, then = self.answers.get(name), self.stored.get(name)
        if now is None:
            assert then is not None
            return f"method {name}: not fitted\n{_answer_text(then)}"
        if then is None:
            lacking = "not stored" if self.study.keep == "rows" else "no numbers are stored"
            return f"method {name}: {lacking}, so nothing to compare with\n{_answer_text(now)}"
        differences = now.differences(then)
        if not differences:
            return f"method {name}: equal to what is stored, bit for bit\n{_answer_text(now)}"
        lines = "\n".join(f"  {line}" for line in differences)
        return f"method {name}: NOT what is stored\n{lines}\n{_answer_text(now)}"


def replay(
    source: Study | Results | str | Path,
    condition: str | Mapping[str, Any] | Condition | None = None,
    replicate: SupportsIndex = 0,
    *,
    method: str | None = None,
    results: str | Path = "results",
    force: bool = False,
    trust: bool = False,
) -> Replay:
    """Simulate and fit one replicate again, beside what was stored of it.

    Parameters
    ----------
    source : Study, Results or path
        A study or its file, or the results of one whose file is where it was.
    condition : str, mapping or Condition, optional
        Factor values as in the tables, ``"n=5, mean=0"``; as many as tell it from the others. A
        study with one condition needs none.
    replicate : int, default 0
        From 0; stored or not.
    method : str, optional
        Fit by this one only.
    results : path, default "results"
        With a study: the folder that has its results, or the one above it.
    force : bool, default False
        Fit even where the stored fit crashed or ran out of time, in this process.
    trust : bool, default False
        With results: run the study file that they name. It is Python code, chosen by whoever made
        the results. A file that this process has run already needs no further trust.

    Raises
    ------
    StudyError, ResultsError
        With one line, if there is no such study, condition, replicate or method.
    """
    study, folder = located(source, results, trust=trust)
    store = Store(folder)
    known = store.record.get("conditions", {})
    also = [Condition(factors) for factors in known.values()] if isinstance(known, dict) else []
    found = find_condition(condition, [*study.conditions, *also])
    replicate = _whole(replicate)
    if method is not None and (not isinstance(method, str) or method not in study.methods):
        raise StudyError(
            f"{study.name}: no method {short(method)}"
            f"{suggestion(method, list(study.methods))}; it has {', '.join(study.methods)}"
        )
    names = sorted(study.methods) if method is None else [method]
    current = method_marks(study)
    truths = study.truths(found)
    items = _that_count(store, study, found, current)
    items = [item for item in items if item.head.start <= replicate < item.head.stop]
    stored, marks = _stored(items, replicate, names, truths)
    endings, notes = _endings(items, replicate, names)
    notes += [] if set(names) <= stored.keys() else _damaged(store, found, replicate)
    if not stored and not notes:
        notes.append(f"Note: replicate {replicate} is not stored, so nothing to compare with")
    notes += _changes(marks, current)
    endings |= {name: answer.status for name, answer in stored.items()}
    left_out = [n for n in names if endings.get(n) in DANGEROUS and not force]
    notes += [
        f"Note: the stored fit by '{name}' ended as {endings[name]}, which could end this "
        f"process as well: not fitted again without {option('force', True)}"
        for name in left_out
    ]

    def simulate() -> Any:
        return draw(study, found, replicate)

    with threadpool_limits(1):
        data = attempt(simulate, None).value
        fitted = [name for name in names if name not in left_out]
        answers = _answers(study, Job(found, replicate, replicate + 1, tuple(fitted)), truths)
        take_as_unchanged(study, current)
    return Replay(study, found, replicate, data, answers, stored, notes, simulate)


def _whole(replicate: SupportsIndex) -> int:
    """Return the number of a replicate, also of numpy's kinds."""
    try:
        number = operator.index(replicate)
    except TypeError:
        number = -1
    if not 0 <= number < MAX_REPLICATES:
        raise StudyError(f"replicate is {replicate!r}; give an integer of 0 or more")
    return number


def _that_count(
    store: Store, study: Study, condition: Condition, marks: Mapping[str, Mark]
) -> list[Stored]:
    """Return the rows of a condition that count: in the tables, or else in those of a run now."""
    record, stored = store.record, []
    if record or has_parts(store.folder):
        stored = open_holding(store.folder).stored().get(condition, [])
    known = {method for item in stored for method in item.methods}
    truths = {condition: study.truths(condition)}
    now = Counting(study.keep, marks, set(record.get("kept", ())), truths, study.null, study.level)
    for item in now.stored(store.heads())[condition]:
        if methods := tuple(method for method in item.methods if method not in known):
            stored.append(Stored(item.head, methods))
    return stored


def _stored(
    items: Sequence[Stored], replicate: int, methods: Sequence[str], truths: Mapping[str, float]
) -> tuple[dict[str, Answer], dict[str, Mark]]:
    """Return what is stored of a replicate by each method, and what made it."""
    answers: dict[str, Answer] = {}
    marks: dict[str, Mark] = {}
    for item in items:
        head = item.head
        for name in set(methods) & set(item.methods) if head.keep == "rows" else ():
            # Of rows that are there twice the tables have the first.
            answer = None if name in answers else _read(head, name, replicate, truths)
            if answer is not None:
                answers[name], marks[name] = answer, head.marks[name]
    return answers, marks


def _endings(
    items: Sequence[Stored], replicate: int, methods: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Return what sums still know of a replicate: how it ended by method, and that in words."""
    endings: dict[str, str] = {}
    notes: list[str] = []
    for item in items:
        if item.head.keep == "rows":
            continue
        notes = notes or ["No rows are kept (keep='measures'): there are no numbers to compare"]
        with contextlib.suppress(DamagedError):
            for name, tally in read_tallies(item.head.path).items():
                for ending, addresses in tally.addresses.items():
                    texts = dict(addresses)
                    if name in methods and name in item.methods and replicate in texts:
                        endings[name] = ending.status
                        words = f"{ending.status}: {texts[replicate]}".rstrip(": ")
                        notes.append(f"Stored of '{name}': {words}")
    return endings, notes


def _damaged(store: Store, condition: Condition, replicate: int) -> list[str]:
    """Say in words which parts of a condition, or of the replicate, cannot be read."""
    heads, damaged = store.look()
    damaged = [path for path in damaged if path.name.startswith(condition.digest)]
    for head in heads:
        if head.condition == condition.key and head.start <= replicate < head.stop:
            try:
                read_content(head.path)
            except DamagedError:
                damaged.append(head.path)
    return [f"Note: {path}: damaged, and not read; run the study again" for path in damaged]


def _read(
    head: PartHead, method: str, replicate: int, truths: Mapping[str, float]
) -> Answer | None:
    try:
        return read_answer(read(head.path), method, replicate, truths)
    except DamagedError:
        return None


def _answers(study: Study, job: Job, truths: Mapping[str, float]) -> dict[str, Answer]:
    """Fit the replicate and return the answers as they would be stored."""
    if not job.methods:
        return {}
    troubles: list[FitException] = []
    done, columns = do_job(study, job, 0.0, troubles.append)
    part = encode(done, columns, {name: {} for name in job.methods})
    rows: pa.Table = pq.read_table(io.BytesIO(part))
    answers = {}
    for name in job.methods:
        answer = read_answer(rows, name, job.start, truths)
        assert answer is not None
        texts = [traceback_text(t.exception) for t in troubles if t.method in ("", name)]
        answers[name] = replace(answer, traceback=texts[-1] if texts else "")
    return answers


def _changes(marks: Mapping[str, Mark], current: Mapping[str, Mark]) -> list[str]:
    """Say in one line what changed since the rows were made, nothing if nothing did."""
    said = {
        change.replace("of method", f"of method '{name}'"): None
        for name, mark in sorted(marks.items())
        for change in changes(mark, current[name])
    }
    return [f"Changed since the rows were made: {'; '.join(said)}"] if said else []


def _answer_text(answer: Answer) -> str:
    """Return status, message, numbers and traceback, indented."""
    lines = [f"status {answer.status}, {answer.seconds:.3g} s"]
    lines += [f"message: {answer.message}"] if answer.message else []
    estimates = answer.estimates.dropna(axis="columns", how="all")
    if len(estimates):
        lines += estimates.to_string(index=False, float_format=_number, na_rep="-").splitlines()
    if answer.diagnostics:
        lines.append(", ".join(f"{name}={value}" for name, value in answer.diagnostics.items()))
    lines += answer.traceback.splitlines()
    return textwrap.indent("\n".join(lines), "  ", lambda line: True)


def _number(value: float) -> str:
    return f"{value:.8g}"
