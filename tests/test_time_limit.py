"""A call within its time limit: ended in the middle, and nothing escapes afterwards."""

import itertools
import signal
import threading
import time

import pytest

from mcstudy.errors import MCStudyError
from mcstudy.simulation.call import TimeLimitExceeded, attempt, within


def test_contract_a_call_that_hangs_is_ended_and_handlers_are_restored():
    before = signal.getsignal(signal.SIGALRM)
    outcome = attempt(lambda: time.sleep(100), 0.05)
    assert isinstance(outcome.exception, TimeLimitExceeded)
    assert str(outcome.exception) == "longer than its time limit of 0.05 s"
    assert 0.05 <= outcome.seconds < 5
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_contract_a_call_that_swallows_the_alarm_or_ends_late_is_over_its_limit():
    def swallow():
        try:
            time.sleep(100)
        except BaseException:  # noqa: BLE001 - that is what the test is of
            return 3

    def late():
        sum(itertools.islice(itertools.repeat(0), 10**7))
        raise ValueError("at last")

    for function in (swallow, late):
        outcome = attempt(function, 0.01)
        assert outcome.value is None
        assert isinstance(outcome.exception, TimeLimitExceeded)


def test_contract_a_timer_of_somebody_else_goes_on():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        assert attempt(lambda: 7, 10.0).value == 7
        assert not rung
        time.sleep(0.2)
        assert rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_contract_no_alarm_escapes_the_call_that_it_was_set_for():
    """The limit falls on the moment of return over and over again."""

    def spin(until):
        while time.perf_counter() < until:
            pass
        return True

    returned = set()
    for i in range(4000):
        duration = 1e-4 + 1e-7 * (i % 400 - 200)
        try:
            returned.add(within(1e-4, spin, (time.perf_counter() + duration,), {}))
        except TimeLimitExceeded:
            returned.add(False)
        for _ in range(20):  # where one that escapes would show
            pass
    assert returned == {True, False}


def test_contract_another_thread_is_measured_only():
    outcomes = []
    thread = threading.Thread(
        target=lambda: outcomes.append(attempt(lambda: time.sleep(0.05), 0.01))
    )
    thread.start()
    thread.join()
    assert isinstance(outcomes[0].exception, TimeLimitExceeded)
    assert outcomes[0].seconds >= 0.05


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (0, "time_limit is 0; give seconds, a number above 0"),
        (-1.5, "time_limit is -1.5"),
        (float("inf"), "time_limit is inf"),
        (1e12, "time_limit is 1000000000000.0; give seconds, a number above 0 and at most 1e"),
        (float("nan"), "time_limit is nan"),
        ("2", "time_limit is '2'"),
        (True, "time_limit is True"),
        ({"average": None}, "time_limit of 'average' is None"),
        ({"averag": 2}, "time_limit names 'averag'; name simulate or a method: average, jittered"),
    ],
)
def test_contract_a_bad_time_limit_is_one_line(study_file, limit, message):
    import dataclasses

    from mcstudy import load_study

    study = load_study(study_file())
    with pytest.raises(MCStudyError) as error:
        dataclasses.replace(study, time_limit=limit)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_contract_a_time_limit_by_name(study_file):
    import dataclasses

    from mcstudy import load_study

    study = load_study(study_file())
    named = dataclasses.replace(study, time_limit={"simulate": 3, "average": 0.5})
    assert [named.limit_of(name) for name in ("", "average", "jittered")] == [3, 0.5, None]
    assert dataclasses.replace(study, time_limit=2).limit_of("jittered") == 2
    assert study.limit_of("") is None
