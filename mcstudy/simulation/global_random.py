"""Draws from the generators that everybody shares: no seed of a study reaches them."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

from mcstudy.errors import StudyError
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.output import Capture
from mcstudy.simulation.replicates import Job, do_job
from mcstudy.simulation.retry_policy import FIRST_ATTEMPT, Call, RetryPolicy, Watch, who
from mcstudy.study import Study

# scikit-learn takes no Generator: https://scikit-learn.org/stable/glossary.html#term-random_state
WITHOUT_GENERATOR = (
    "a function that takes no Generator, as in scikit-learn: random_state=int(rng.integers(2**31))"
)


def shared_states() -> dict[str, object]:
    """Return the states of the generators that everybody shares, by their name."""
    legacy: Any = np.random.get_state()  # noqa: NPY002 - to see whether somebody draws from it
    states: dict[str, object] = {
        "random": random.getstate(),
        "numpy.random": (legacy[1].tobytes(), legacy[2:]),
    }
    numba: Any = sys.modules.get("numba._helperlib")  # compiled functions have states of their own
    for name in ("rnd_get_np_state_ptr", "rnd_get_py_state_ptr"):
        if hasattr(numba, name) and hasattr(numba, "rnd_get_state"):
            states[name] = numba.rnd_get_state(getattr(numba, name)())
    return states


_NO_LIMIT = 1e9  # seconds


class Draws:
    """A watch that sees which calls draw from a shared state; `found` is what each one drew from.

    Another `watch` hears of the calls as well.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        self.found: dict[Call, list[str]] = {}
        self._watch = watch
        self._call: Call | None = None
        self._before = shared_states()

    def __call__(self, method: str, first: int, count: int, *, timed: bool = False) -> None:
        """Hear of a call that begins."""
        call = Call(method, first, count) if count else None
        if call != self._call:
            self.look()
            self._call = call
        if self._watch is not None:
            self._watch(method, first, count, timed=timed)

    def look(self) -> None:
        """Blame the last call for what has changed since the one before."""
        now = shared_states()
        names = changed(self._before, now)
        if names and self._call is not None:
            self.found.setdefault(self._call, names)
        self._before = now


def changed(before: dict[str, object], now: dict[str, object]) -> list[str]:
    """Return the names of the states that are others now; a state that is new says nothing."""
    names = [name for name in before if before[name] != now.get(name)]
    return list(dict.fromkeys("numba" if name.startswith("rnd_") else name for name in names))


def do_seeded_job(
    study: Study,
    job: Job,
    seconds: float,
    *,
    policy: RetryPolicy = FIRST_ATTEMPT,
    watch: Watch | None = None,
    capture: Capture | None = None,
) -> tuple[Job, dict[str, Answers]]:
    """Do a job, as `do_job` does.

    Raises
    ------
    StudyError
        If something in it has drawn from a shared random state; nothing of such a job is kept.
    """
    before = shared_states()
    done, answers = do_job(study, job, seconds, policy=policy, watch=watch, capture=capture)
    if not (names := changed(before, shared_states())):
        return done, answers
    key = job.condition.key
    singly = RetryPolicy(True, policy.known_failures)
    for _ in range(2):  # numba keeps every second normal number, whose draw changes no state
        draws = Draws(watch)
        do_job(study, done, _NO_LIMIT, policy=singly, watch=draws)
        draws.look()
        for call in draws.found:
            said = f"{verdict(call.method, names)} (replicate {call.first} of {key})"
            raise StudyError(f"{study.name}: {said}")
    raise StudyError(
        f"{study.name}: simulate or a method ({', '.join(job.methods)}) draws from the global "
        f"random state of {' and '.join(names)}, which no seed of the study reaches, somewhere in "
        f"replicates {done.start} to {done.stop - 1} of {key}, but not when they are done again; "
        "use the rng that simulate gets, or let the method ask for rng"
    )


def verdict(method: str, names: list[str]) -> str:
    """Return that a method, or simulate if it is empty, draws from shared states; what to do."""
    what = "use the rng it gets" if not method else "let it ask for rng (rngs if it is batched)"
    compiled = " and pass it to the compiled function" if "numba" in names else ""
    return (
        f"{who(method)} draws from the global random state of {' and '.join(names)}, which no "
        f"seed of the study reaches; {what}{compiled}; {WITHOUT_GENERATOR}"
    )


def advice(message: str) -> str:
    """Return what to do about an exception that comes of a Generator; empty for any other."""
    known = "cannot be used to seed a numpy.random.RandomState"
    return f"; {WITHOUT_GENERATOR}" if known in message else ""
