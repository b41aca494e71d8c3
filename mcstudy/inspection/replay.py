"""One replicate again, by its address: its data set, its fits, beside what was stored."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex

import pandas as pd
from threadpoolctl import threadpool_limits

import mcstudy.simulation
from mcstudy.analysis.query import find_condition
from mcstudy.arguments import as_path, short, suggestion
from mcstudy.errors import ResultsError, StudyError
from mcstudy.grid import Condition
from mcstudy.inspection.failures import TRIES
from mcstudy.inspection.save import data_text
from mcstudy.inspection.status import open_recorded
from mcstudy.loader import check_name, load_study, recorded_study
from mcstudy.results import Results, folder_of
from mcstudy.simulation.call import attempt
from mcstudy.simulation.replicates import FitException, Job, do_job, draw
from mcstudy.storage.answer import Answer, read_answer, stored_answers, stored_endings
from mcstudy.storage.facts import take_simulated
from mcstudy.storage.folder import has_parts, why_not_there
from mcstudy.storage.manifest import Manifest
from mcstudy.storage.parts import DamagedError, Part, rows_of
from mcstudy.storage.provenance import Mark, changes, method_marks, take_as_unchanged
from mcstudy.storage.record import is_imported
from mcstudy.storage.store import Store
from mcstudy.study import MAX_REPLICATES, Study, as_integer
from mcstudy.tables.document import Block, Document
from mcstudy.tables.formats import Printed

DANGEROUS = ("crashed", "timeout")
_OURS = str(Path(mcstudy.simulation.__file__).parent)  # its frames are no news to the user


@dataclass(frozen=True)
class Replay(Printed):
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

    def document(self) -> Document:
        """Return the data set and what each method says of it, beside what is stored."""
        title = f"{self.study.name}: replicate {self.replicate} of {self.condition.key}"
        blocks = [
            Block(title, lines=self.notes),
            Block(lines=f"data: {data_text(self.data)}".split("\n")),
        ]
        blocks += [self._method(name) for name in sorted({*self.answers, *self.stored})]
        lines = [
            {"method": name, "answer": when, **row}
            for when, answers in (("now", self.answers), ("stored", self.stored))
            for name, answer in sorted(answers.items())
            for row in answer.estimates.to_dict("records")
        ]
        return Document(blocks=blocks, frames=[pd.DataFrame(lines)] if lines else [])

    def _method(self, name: str) -> Block:
        now, then = self.answers.get(name), self.stored.get(name)
        if now is None:
            assert then is not None
            return Block(f"method {name}: not fitted", lines=_answer_lines(then))
        if then is None:
            lacking = "not stored" if self.study.keep == "rows" else "no numbers are stored"
            heading = f"method {name}: {lacking}, so nothing to compare with"
            return Block(heading, lines=_answer_lines(now))
        differences = [f"  {line}" for line in now.differences(then)]
        verdict = "NOT what is stored" if differences else "equal to what is stored, bit for bit"
        return Block(f"method {name}: {verdict}", lines=[*differences, *_answer_lines(now)])


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
    study, folder = _located(source, results, trust=trust)
    store = Store(folder)
    known = store.record.get("conditions", {})
    also = [Condition(factors) for factors in known.values()] if isinstance(known, dict) else []
    found = find_condition(condition, [*study.conditions, *also])
    number = as_integer(replicate)
    if not isinstance(number, int) or not 0 <= number < MAX_REPLICATES:
        raise StudyError(f"replicate is {replicate!r}; give an integer of 0 or more")
    replicate = int(number)
    if method is not None and (not isinstance(method, str) or method not in study.methods):
        raise StudyError(
            f"{study.name}: no method {short(method)}"
            f"{suggestion(method, list(study.methods))}; it has {', '.join(study.methods)}"
        )
    names = sorted(study.methods) if method is None else [method]
    current = method_marks(study)
    take_simulated(study, store.record)
    truths = study.truths(found)
    stored, endings, notes = _stored(store, study, found, replicate, names, current)
    left_out = [n for n in names if endings.get(n) in DANGEROUS and not force]
    notes += [
        f"Note: the stored fit by '{name}' ended as {endings[name]}, which could end this "
        "process as well: not fitted again without --force (force=True)"
        for name in left_out
    ]
    simulate = functools.partial(draw, study, found, replicate)
    with threadpool_limits(1):
        data = attempt(simulate, None).value
        fitted = tuple(name for name in names if name not in left_out)
        answers = _answers(study, Job(found, replicate, replicate + 1, fitted), truths)
        take_as_unchanged(study, current)
    return Replay(study, found, replicate, data, answers, stored, notes, simulate)


def _located(
    source: Study | Results | str | Path, results: str | Path, *, trust: bool
) -> tuple[Study, Path]:
    """Return the study, and the folder that has its results."""
    if not isinstance(source, Study | Results):
        source = as_path(source, "source", of="a study file, or of a folder of results")
    if isinstance(source, Results) or (isinstance(source, Path) and source.is_dir()):
        folder = folder_of(source)
        record = Store(folder).record
        how = f'--study FILE (replay("FILE", ..., results="{folder}"))'
        if not record:
            also = f", or say where the study is: {how}" if has_parts(folder) else ""
            raise ResultsError(f"{folder}: {why_not_there(folder)}{also}")
        if is_imported(record):
            raise ResultsError(f"{folder}: its replicates were imported; nothing here makes them")
        if record.get("study_file") is None:
            raise ResultsError(
                f"{folder}: its study was made in a session, not in a file; call "
                "mcstudy.replay(study, ...) there"
            )
        return recorded_study(folder, record, how, trust=trust), folder
    study = source if isinstance(source, Study) else load_study(source)
    folder = as_path(results, "results")
    record = Store(folder).record
    if not record:
        return study, folder if has_parts(folder) else folder / study.name
    check_name(folder, record, study)
    return study, folder


def _stored(
    store: Store,
    study: Study,
    condition: Condition,
    replicate: int,
    names: Sequence[str],
    current: Mapping[str, Mark],
) -> tuple[dict[str, Answer], dict[str, str], list[str]]:
    """Return what is stored of a replicate by some methods, how these fits ended, and notes."""
    truths, sums = study.truths(condition), study.keep == "measures"
    for _ in range(TRIES):
        parts = [
            part
            for part in _that_count(store, study, condition, current)
            if part.start <= replicate < part.stop and part.method in names
        ]
        stored, marks = stored_answers(() if sums else parts, replicate, truths)
        endings, notes = stored_endings(parts if sums else (), replicate)
        if all(os.path.lexists(part.path) for part in parts):
            break
        # A run at work has joined parts meanwhile: look again.
    if not set(names) <= stored.keys():
        notes += _damaged(_manifest(store, study, condition, current), replicate)
    if not stored and not notes:
        notes.append(f"Note: replicate {replicate} is not stored, so nothing to compare with")
    changed = {  # each in words once, in order
        change.replace("of method", f"of method '{name}'"): None
        for name, mark in sorted(marks.items())
        for change in changes(mark, current[name])
    }
    notes += [f"Changed since the rows were made: {'; '.join(changed)}"] if changed else []
    return stored, endings | {name: answer.status for name, answer in stored.items()}, notes


def _that_count(
    store: Store, study: Study, condition: Condition, marks: Mapping[str, Mark]
) -> list[Part]:
    """Return the parts of a condition that count: in the tables, or else in those of a run now."""
    stored = []
    if store.record or has_parts(store.folder):
        stored = open_recorded(store.folder).stored().get(condition, [])
    known = {part.method for part in stored}
    now = _manifest(store, study, condition, marks)
    return [*stored, *(part for part in now.stored_of(condition) if part.method not in known)]


def _manifest(
    store: Store, study: Study, condition: Condition, marks: Mapping[str, Mark]
) -> Manifest:
    """Return what counts of a condition by the study as it is."""
    truths, kept = {condition: study.truths(condition)}, set(store.record.get("kept", ()))
    return Manifest(
        store, study.keep, marks, kept, truths, study.null, study.level, alpha=study.alpha
    )


def _damaged(manifest: Manifest, replicate: int) -> list[str]:
    """Say in words which parts that should hold a replicate of a condition cannot be read."""
    said = []
    for part in manifest.store.parts():
        if part.condition in manifest.conditions and part.start <= replicate < part.stop:
            try:
                part.content()
            except DamagedError:
                said.append(f"Note: {part.path}: damaged, and not read; run the study again")
    return said


def _answers(study: Study, job: Job, truths: Mapping[str, float]) -> dict[str, Answer]:
    """Fit the replicate and return the answers as they would be stored."""
    if not job.methods:
        return {}
    troubles: list[FitException] = []
    _, columns = do_job(study, job, 0.0, troubles.append)
    answers = {}
    for name in job.methods:
        answer = read_answer(rows_of(columns[name], job.start), job.start, truths)
        assert answer is not None
        for trouble in troubles:
            if trouble.method in ("", name):
                exception, step = trouble.exception, trouble.exception.__traceback__
                while step and step.tb_frame.f_code.co_filename.startswith(_OURS):
                    step = step.tb_next
                text = "".join(traceback.format_exception(type(exception), exception, step))
                answer = replace(answer, traceback=text.rstrip())
        answers[name] = answer
    return answers


def _answer_lines(answer: Answer) -> list[str]:
    """Return status, message, numbers and traceback, indented."""
    lines = [f"status {answer.status}, {answer.seconds:.3g} s"]
    lines += [f"message: {answer.message}"] if answer.message else []
    estimates = answer.estimates.dropna(axis="columns", how="all")
    if len(estimates):
        text = estimates.to_string(index=False, float_format="{:.8g}".format, na_rep="-")
        lines += text.splitlines()
    if answer.diagnostics:
        lines.append(", ".join(f"{name}={value}" for name, value in answer.diagnostics.items()))
    lines += answer.traceback.splitlines()
    return [f"  {part}" for line in lines for part in line.split("\n")]
