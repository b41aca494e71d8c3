"""One replicate of every condition and method: whatever is wrong with a study, all at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mcstudy.errors import MCStudyError, StudyError
from mcstudy.fits.answers import Answers
from mcstudy.fits.attempt import attempt, in_words, message_kind
from mcstudy.fits.checked import AnswerError, Column
from mcstudy.fits.replicates import Job, Trouble, do_job, draw
from mcstudy.grid import Condition
from mcstudy.runs.check import global_states
from mcstudy.runs.delivery import pack
from mcstudy.study import Study

MOST_LETTERS = 300
SLOW_SECONDS = 10.0
SLOW_TIMES = 100.0
_TWICE_SECONDS = 1.0


@dataclass
class Trial:
    """What the first replicates showed.

    Parameters
    ----------
    study : Study
        The one that is tried.
    seconds : dict of str to list of float
        The time of each fit, by method.
    worked : set of str
        The methods that have given an answer; an empty name is simulate's.
    """

    study: Study
    seconds: dict[str, list[float]] = field(default_factory=dict)
    worked: set[str] = field(default_factory=set)
    _raised: dict[str, list[tuple[str, Condition]]] = field(default_factory=dict)
    _problems: dict[str, list[tuple[str, Condition | None]]] = field(default_factory=dict)
    _notes: dict[str, list[tuple[str, Condition | None]]] = field(default_factory=dict)
    _finite: dict[tuple[str, Column], bool] = field(default_factory=dict)

    def problem(self, text: str, condition: Condition | None = None) -> None:
        """Write down what must be mended."""
        self._problems.setdefault(message_kind(text), []).append((text, condition))

    def note(self, text: str, condition: Condition | None = None) -> None:
        """Write down what is odd but may be meant."""
        self._notes.setdefault(message_kind(text), []).append((text, condition))

    def raised(self, method: str, text: str, condition: Condition) -> None:
        """Remember that a method, or simulate if `method` is empty, has raised."""
        self._raised.setdefault(method, []).append((text, condition))

    def judge_exceptions(self) -> None:
        """Say what has raised: it may on some data, but not at every condition."""
        for method, cases in self._raised.items():
            tell = self.note if method in self.worked else self.problem
            who = f"method '{method}'" if method else "simulate"
            for text, condition in cases:
                tell(f"{who} raises {text}", condition)
        if self._raised.keys() & self.worked:
            self.note("a run stores a fit that raises as a row with status error")

    @property
    def problems(self) -> list[str]:
        """Each problem in one line, with the number of conditions that have it."""
        return list(self._in_lines(self._problems))

    @property
    def notes(self) -> list[str]:
        """What is odd, each in one line."""
        return list(self._in_lines(self._notes))

    def _in_lines(self, found: Mapping[str, list[tuple[str, Condition | None]]]) -> Iterator[str]:
        total = len(self.study.conditions)
        for cases in found.values():
            text, first = cases[0]
            text = " ".join(text.split())
            text = text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 3]}..."
            if first is None:
                yield text
            else:
                where = f"{len(cases)} of {total} conditions, first " if total > 1 else ""
                yield f"{text} (at {where}{first.key})"

    def saw(self, method: str, answers: Answers) -> None:
        """Remember which numbers of a method are ever finite, and its time."""
        self.seconds.setdefault(method, []).append(float(answers.seconds[0]))
        for column, values in answers.numbers.items():
            key = (method, column)
            self._finite[key] = self._finite.get(key, False) or bool(np.isfinite(values[0]))

    def judge_columns(self) -> None:
        """Say which numbers are never finite; an estimate must be, the others may not exist."""
        for (method, column), finite in sorted(self._finite.items()):
            if finite:
                continue
            if column.kind == "upper":
                continue
            what = f"interval '{column.interval}'" if column.interval else column.kind
            text = f"method '{method}': {what} of {column.estimand!r} is missing at every condition"
            if column.kind == "estimate":
                self.problem(text)
            else:
                self.note(text)

    def judge_times(self) -> None:
        """Say which methods are slow."""
        usual = {name: float(np.mean(times)) for name, times in self.seconds.items()}
        if not usual:
            return
        fastest = min(usual.values())
        for name, seconds in usual.items():
            if seconds > SLOW_SECONDS or seconds > max(SLOW_TIMES * fastest, 0.1):
                self.note(
                    f"method '{name}' is slow: {seconds:.2g} s a fit, the fastest takes "
                    f"{fastest:.2g} s; mcstudy plan forecasts the whole"
                )


def try_out(study: Study) -> Trial:
    """Do the first replicate of every condition by every method and judge all that happens."""
    trial = Trial(study)
    try:
        pack(study)
    except MCStudyError as error:
        trial.problem(str(error))
    for condition in study.conditions:
        _try_condition(trial, condition)
    trial.judge_exceptions()
    trial.judge_columns()
    trial.judge_times()
    return trial


def _try_condition(trial: Trial, condition: Condition) -> None:
    study = trial.study
    try:
        truths: Mapping[str, float] | None = study.truths(condition)
    except StudyError as error:
        text = str(error).removeprefix(f"{study.name}: ").replace(f" at {condition.key}", "")
        trial.problem(text, condition)
        truths = None
    before = global_states()
    simulated = attempt(draw, study.limit_of(""), study, condition, 0)
    if global_states() != before:
        trial.problem("simulate draws from a global random state; use the rng it gets", condition)
    if simulated.exception is not None:
        trial.raised("", in_words(simulated.exception), condition)
        return
    trial.worked.add("")
    if simulated.warned:
        trial.note(f"simulate warns: {simulated.warned}", condition)
    returned: set[str] = set()
    whole = True
    for name in study.methods:
        columns = _try_method(trial, condition, name, drawn=global_states() == before)
        whole = whole and columns is not None
        returned |= {column.estimand for column in columns or ()}
        for estimand in sorted({column.estimand for column in columns or ()} - set(truths or ())):
            if truths is not None:
                trial.problem(
                    f"method '{name}' returns {estimand!r}, of which estimands gives no truth",
                    condition,
                )
    for estimand in truths or ():
        if whole and estimand not in returned:
            trial.problem(f"no method returns the estimand {estimand!r}", condition)


def _try_method(
    trial: Trial, condition: Condition, name: str, *, drawn: bool
) -> set[Column] | None:
    """Fit one replicate; return the columns of the answer, None if it raised."""
    study, job = trial.study, Job(condition, 0, 1, (name,))
    troubles: list[Trouble] = []
    before, begun = global_states(), time.perf_counter()
    answers = do_job(study, job, 0.0, troubles.append)[1][name]
    if drawn and global_states() != before:
        trial.problem(
            f"method '{name}' draws from a global random state; let it ask for rng", condition
        )
    for trouble in troubles:
        if isinstance(trouble.exception, AnswerError):
            trial.problem(f"method '{name}' {trouble.exception}", condition)
        else:
            trial.raised(name, trouble.text, condition)
    trial.saw(name, answers)
    if troubles:
        return None
    trial.worked.add(name)
    if answers.messages:
        trial.note(f"method '{name}' says: {answers.messages[0]}", condition)
    if time.perf_counter() - begun < _TWICE_SECONDS:
        again = do_job(study, job, 0.0)[1][name]
        if not _same(answers, again):
            trial.problem(
                f"method '{name}' answers otherwise when the same replicate is done again: it or "
                "simulate draws from what no seed of ours reaches",
                condition,
            )
    return set(answers.numbers)


def _same(one: Answers, other: Answers) -> bool:
    return one.numbers.keys() == other.numbers.keys() and all(
        np.array_equal(values, other.numbers[column], equal_nan=True)
        for column, values in one.numbers.items()
    )
