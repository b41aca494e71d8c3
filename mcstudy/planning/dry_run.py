"""One replicate of every condition and method: whatever is wrong with a study, all at once."""

from __future__ import annotations

import functools
import math
import pickle
import shlex
import time
from dataclasses import dataclass, field

import numpy as np

from mcstudy.analysis.query import written_condition
from mcstudy.arguments import cut
from mcstudy.errors import MCStudyError, StudyError
from mcstudy.execution.transport import pack
from mcstudy.grid import Condition
from mcstudy.measure import OF_INTERVALS, REJECTION, why_absent
from mcstudy.method import Skip, Status, batch_of
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.call import TimeLimitExceeded, attempt, in_words, message_kind
from mcstudy.simulation.first_replicate import TWICE_SECONDS, UNSEEDED, misspelt
from mcstudy.simulation.global_random import Draws, advice, changed, shared_states, verdict
from mcstudy.simulation.prepare import prepared
from mcstudy.simulation.replicates import FitException, Job, do_job, draw
from mcstudy.simulation.retry_policy import RetryPolicy
from mcstudy.simulation.validation import CODES, MAIN, TEST, TRUTH, AnswerError, Column
from mcstudy.storage.answer import bits
from mcstudy.storage.provenance import code_digest
from mcstudy.study import Study

MOST_LETTERS = 300  # of a problem: three lines of a terminal
SLOW_SECONDS = 10.0  # a fit: a thousand replicates take hours
SLOW_TIMES = 100.0  # as slow as the fastest method: that one is then nothing of the whole
_NOTICED = 0.1  # seconds of a fit: a faster one is not called slow, whatever the fastest takes
# The first replicate of a job is a batch of its own, the others are the next.
_TOGETHER = 4
# Of a simulate that raises in a tenth of the replicates, one condition in 10,000 has all of these.
_TRIES = 4
# What the order of summation leaves, as in a product over the whole batch, and much more.
_LAST_BITS = 1e-6
_FINITE = ("estimate", "std_error")  # kinds of numbers; a limit may be infinite
_OTHER_LIMIT = {"lower": "upper", "upper": "lower"}


@dataclass
class Trial:
    """What the first replicates showed, by method; an empty name is simulate's."""

    study: Study
    answers: dict[str, list[Answers]] = field(default_factory=dict)
    worked: set[str] = field(default_factory=set)
    _raised: dict[str, list[tuple[str, Condition]]] = field(default_factory=dict)
    _found: dict[tuple[str, str], list[tuple[str, Condition | None]]] = field(default_factory=dict)
    _there: dict[tuple[str, Column], bool] = field(default_factory=dict)

    def problem(self, text: str, condition: Condition | None = None) -> None:
        """Write down what must be fixed."""
        self._found.setdefault(("problem", message_kind(text)), []).append((text, condition))

    def note(self, text: str, condition: Condition | None = None) -> None:
        """Write down what is odd but may be meant."""
        self._found.setdefault(("note", message_kind(text)), []).append((text, condition))

    def raised(self, method: str, text: str, condition: Condition) -> None:
        """Remember how a method, or simulate if `method` is empty, has failed."""
        self._raised.setdefault(method, []).append((text, condition))

    def judge_exceptions(self) -> None:
        """Say what has raised: it may on some data, but not at every condition."""
        for method, cases in self._raised.items():
            tell = self.note if method in self.worked else self.problem
            who = f"method '{method}'" if method else "simulate"
            for text, condition in cases:
                tell(f"{who} {text}", condition)
        if self._raised.keys() & self.worked:
            self.note("a run stores a fit that raises as a row with status error")
        if self._raised and self.study.source:
            _, condition = next(iter(self._raised.values()))[0]
            where = f" --condition {shlex.quote(written_condition(condition.factors))}"
            self.note(
                f"mcstudy replay {shlex.quote(str(self.study.source))}"
                f"{where * bool(condition.factors)} --replicate 0 shows the traceback"
            )

    def lines(self, kind: str) -> list[str]:
        """Return each "problem" or "note" in one line, with how many conditions have it."""
        total, lines = len(self.study.conditions), []
        for cases in [cases for (of, _), cases in self._found.items() if of == kind]:
            text, first = cases[0]
            where = f"{len(cases)} of {total} conditions, first " if total > 1 else ""
            at = f" (at {where}{first.key})" if first else ""
            lines.append(cut(" ".join(text.split()), MOST_LETTERS) + at)
        return lines

    def saw(self, method: str, answers: Answers) -> None:
        """Remember which numbers of a method are ever there, and its time."""
        self.answers.setdefault(method, []).append(answers)
        for column, (first, *_) in answers.numbers.items():
            # A limit may be infinite: that of a side which has none.
            finite = column.kind in _FINITE
            there = bool(np.isfinite(first) if finite else not np.isnan(first))
            self._there[method, column] = self._there.get((method, column), False) or there

    def judge_columns(self) -> None:
        """Say which numbers are never there; an estimate must be, the others may not exist."""
        for (method, column), there in sorted(self._there.items()):
            kind = _OTHER_LIMIT.get(column.kind, "")
            other = self._there.get((method, column._replace(kind=kind)))
            if there or (column.kind == "upper" and not other):
                continue
            of_interval = column.kind in ("lower", "upper")
            what = f"interval '{column.interval}'" if of_interval else column.kind
            lacks = f"is missing{' or infinite' * (column.kind in _FINITE)} at every condition"
            if other:
                lacks = (
                    f"has no {column.kind} limit at any condition, and so no coverage; a limit "
                    "that is not needed is -inf or inf"
                )
            tell = self.problem if column.kind in MAIN else self.note
            tell(f"method '{method}': {what} of {column.estimand!r} {lacks}")

    def judge_precision(self) -> None:
        """Say which targets of the study's precision exist nowhere."""
        kinds = {column.kind for _, column in self._there}
        formed = self.study.level is not None and "std_error" in kinds
        needs = OF_INTERVALS if not ("lower" in kinds or formed) else ()
        needs = tuple(name for name in needs if name != REJECTION or TEST not in kinds)
        needs += ("model_se", "relative_error_model_se") if "std_error" not in kinds else ()
        for measure in self.study.precision or () if kinds else ():
            if measure in needs:
                self.problem(f"precision names {measure!r}: {why_absent(measure)}")

    def judge_twins(self) -> None:
        """Say which methods are one: the same code, and the same answers everywhere.

        Functions that are made in a loop all see the last value of its variable.
        """
        codes = {name: code_digest(self.study.methods[name]) for name in self.answers}
        left = [name for name in codes if name in self.worked]
        while left:
            first, *others = left
            twins = [
                name
                for name in others
                if codes[name] == codes[first]
                and len(self.answers[name]) == len(self.answers[first])
                and all(map(Answers.same_as, self.answers[first], self.answers[name]))
            ]
            if twins:
                names = ", ".join(f"'{name}'" for name in (first, *twins))
                self.problem(
                    f"methods {names} have the same code and give the same answers; functions made "
                    "in a loop all see the last value of its variable: bind it, as in lambda "
                    "data, k=k: ... or functools.partial"
                )
            left = [name for name in others if name not in twins]

    def judge_times(self) -> None:
        """Say which methods are slow."""
        usual = {
            name: float(np.mean([answers.seconds[0] for answers in of]))
            for name, of in self.answers.items()
        }
        fastest = min(usual.values(), default=0.0)
        for name, seconds in usual.items():
            if seconds > SLOW_SECONDS or seconds > max(SLOW_TIMES * fastest, _NOTICED):
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
    trial.judge_precision()
    trial.judge_twins()
    trial.judge_times()
    return trial


def _try_condition(trial: Trial, condition: Condition) -> None:
    study = trial.study
    truths = _try_estimands(trial, condition)
    _try_prepare(trial, condition)
    before = shared_states()
    simulated = attempt(lambda: draw(study, condition, 0), study.limit_of(""))
    if names := changed(before, shared_states()):
        trial.problem(verdict("", names), condition)
    error = simulated.exception
    if isinstance(error, AnswerError):
        trial.problem(f"simulate {error}", condition)
    elif isinstance(error, Skip):
        trial.note(f"simulate says that it does not apply: {error}", condition)
    elif error is not None:
        text = in_words(error)
        if _raises_again(study, condition):
            trial.problem(f"simulate raises {text}, in each of {_TRIES} replicates", condition)
        else:
            trial.raised("", f"raises {text}", condition)
    else:
        trial.worked.add("")
        if simulated.warned:
            trial.note(f"simulate warns: {simulated.warned}", condition)
        _try_methods(
            trial, condition, set() if truths is None else {*study.estimands_of(condition)}
        )


def _try_methods(trial: Trial, condition: Condition, known: set[str]) -> None:
    """Fit by every method; problems if what they return is not what `known` estimands there are."""
    returned, whole = set[str](), True
    for name in trial.study.methods:
        columns = _try_method(trial, condition, name)
        whole = whole and columns is not None
        known |= {column.estimand for column in columns or () if column.kind == TRUTH}
        estimands = {column.estimand for column in columns or () if column.kind != TRUTH}
        returned |= estimands
        said = [*misspelt(estimands, sorted(known))]
        for text in said:
            trial.problem(f"method '{name}' {text}", condition)
        unnamed, left_out = sorted(estimands - known), sorted(known - estimands)
        if unnamed and left_out and not said:
            trial.note(
                f"method '{name}' returns {unnamed[0]!r}, of which estimands says nothing, and not "
                f"{left_out[0]!r}; if the two are one, give them one name",
                condition,
            )
    for estimand in sorted(known):
        if whole and estimand not in returned:
            trial.problem(f"no method returns the estimand {estimand!r}", condition)


def _try_prepare(trial: Trial, condition: Condition) -> None:
    """Make what is prepared twice; a problem if it is another thing each time."""
    study = trial.study
    if study.prepare is None:
        return
    made = []
    for _ in range(2):
        study.prepared_by_condition.clear()
        outcome = prepared(study, condition)
        if outcome is None or outcome.exception is not None:
            return
        try:
            made.append(pickle.dumps(outcome.value))
        except Exception:  # noqa: BLE001 - of any object: what cannot be compared is not
            return
    if made[0] != made[1]:
        trial.problem(
            "prepare makes something else when called again; let it ask for rng, or give what it "
            "draws from a seed of its own, np.random.default_rng(1)",
            condition,
        )


def _raises_again(study: Study, condition: Condition) -> bool:
    """Return whether simulate raises in the next replicates, too: no data would come of it."""
    tries = (functools.partial(draw, study, condition, k) for k in range(1, _TRIES))
    return all(attempt(one, study.limit_of("")).exception is not None for one in tries)


def _try_estimands(trial: Trial, condition: Condition) -> dict[str, float] | None:
    """Return the truths of a condition; a problem if they are none, or other ones each time."""
    study, before = trial.study, shared_states()
    try:
        truths = study.truths(condition)
        drawn = changed(before, shared_states())
        again = study.truths(condition)
    except StudyError as error:
        text = str(error).removeprefix(f"{study.name}: ").replace(f" at {condition.key}", "")
        trial.problem(text, condition)
        return None
    if drawn:
        trial.problem(
            "estimands draws from a global random state; let it make a generator with a seed of "
            "its own, np.random.default_rng(1)",
            condition,
        )
    elif others := [name for name in truths if bits(truths[name]) != bits(again.get(name))]:
        trial.problem(
            f"estimands gives another truth of {others[0]!r} when called again, "
            f"{truths[others[0]]:.6g} and {again.get(others[0], math.nan):.6g}; let what it "
            "draws have a seed of its own, np.random.default_rng(1)",
            condition,
        )
    return truths


def _try_method(trial: Trial, condition: Condition, name: str) -> set[Column] | None:
    """Fit one replicate; return the columns of the answer, None if there is none."""
    study, job = trial.study, Job(condition, 0, 1, (name,))
    troubles: list[FitException] = []
    draws, begun = Draws(), time.perf_counter()
    answers = do_job(study, job, 0.0, troubles.append, watch=draws)[1][name]
    draws.look()
    for call, names in draws.found.items():
        if call.method:
            trial.problem(verdict(call.method, names), condition)
    for trouble in troubles:
        if isinstance(trouble.exception, AnswerError):
            trial.problem(f"method '{name}' {trouble.exception}", condition)
        else:
            does = "takes" if isinstance(trouble.exception, TimeLimitExceeded) else "raises"
            trial.raised(name, f"{does} {trouble.text}{advice(trouble.text)}", condition)
    if answers.status[0] == CODES[Status.SKIPPED]:
        text = answers.messages.get(0, "")
        trial.note(f"method '{name}' says that it does not apply: {text}".rstrip(": "), condition)
        return None
    trial.saw(name, answers)
    if troubles:
        return None
    trial.worked.add(name)
    if answers.messages:
        trial.note(f"method '{name}' says: {answers.messages[0]}", condition)
    seconds = time.perf_counter() - begun
    if seconds < TWICE_SECONDS:
        same = answers.same_as(do_job(study, job, 0.0)[1][name])
        if same and seconds * (_TOGETHER + 1) < TWICE_SECONDS:
            # What a fit leaves behind may show only after some others.
            do_job(study, Job(condition, 1, _TOGETHER, (name,)), TWICE_SECONDS)
            same = answers.same_as(do_job(study, job, 0.0)[1][name])
        if not same and all(call.method for call in draws.found):  # else simulate is to blame
            trial.problem(f"method '{name}' {UNSEEDED}", condition)
    if batch_of(study.simulate) or batch_of(study.methods[name]):
        _try_batch(trial, condition, name)
    return {*answers.numbers}


def _try_batch(trial: Trial, condition: Condition, name: str) -> None:
    """Do replicates together and each alone: what a batch says must be what each of it says."""
    study, job = trial.study, Job(condition, 0, _TOGETHER, (name,))
    if trial.answers[name][-1].seconds[0] * 2 * _TOGETHER > TWICE_SECONDS:
        return
    troubles: list[FitException] = []
    together = do_job(study, job, TWICE_SECONDS, troubles.append)[1][name]
    alone = do_job(study, job, TWICE_SECONDS, policy=RetryPolicy(singly=True))[1][name]
    for trouble in troubles:
        if isinstance(trouble.exception, AnswerError):
            who = f"method '{trouble.method}'" if trouble.method else "simulate"
            trial.problem(f"{who} {trouble.exception}", condition)
    count = min(together.count, alone.count)
    together.truncate(count)
    alone.truncate(count)
    if not together.same_as(alone, within=_LAST_BITS):
        trial.problem(
            f"method '{name}' gives another answer for replicates in a batch than for each alone: "
            "it or simulate lets them influence one another, or mixes them up",
            condition,
        )
