"""What a run shows and writes down: the time left, the log, nothing at all."""

import io
import re

import pytest

from mcstudy import MCStudyError, grid, run
from mcstudy.cli import main
from mcstudy.execution import progress
from mcstudy.execution.progress import Progress, duration, in_words
from mcstudy.execution.scheduler import JobQueue
from mcstudy.simulation.replicates import Job

CHEAP, DEAR = grid(n=[1, 2]).conditions


def test_identity_the_time_left_goes_by_what_each_condition_costs():
    jobs = JobQueue([Job(CHEAP, 0, 100, ("a", "b")), Job(DEAR, 0, 100, ("a", "b"))], 2)
    assert jobs.fits_left == 400
    assert jobs.seconds_left != jobs.seconds_left
    jobs.task_done(Job(CHEAP, 0, 50, ("a", "b")), Job(CHEAP, 0, 50, ("a", "b")), 5.0)
    # What has not been measured costs what the others do: .1 s a replicate.
    assert jobs.seconds_left == pytest.approx((50 * 0.1 + 100 * 0.1) / 2)
    jobs.task_done(Job(DEAR, 0, 10, ("a", "b")), Job(DEAR, 0, 10, ("a", "b")), 20.0)
    assert jobs.fits_left == 280
    assert jobs.seconds_left == pytest.approx((50 * 0.1 + 90 * 2.0) / 2)
    jobs.task_done(Job(DEAR, 10, 100, ("a", "b")), Job(DEAR, 10, 100, ("a", "b")), 180.0)
    assert jobs.is_done_with(DEAR)
    assert not jobs.is_done_with(CHEAP)
    jobs.add([Job(DEAR, 100, 110, ("a",))])
    assert not jobs.is_done_with(DEAR)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59, "59 s"), (150, "2.5 min"), (5400, "90 min"), (6e5, "6.9 days")],
)
def test_contract_durations_have_two_digits(seconds, text):
    assert duration(seconds) == text
    assert duration(float("nan")) == "unknown time"


class Left:
    fits_left = 30
    seconds_left = 90.0


def test_contract_off_a_terminal_there_is_a_line_now_and_then(capfd, monkeypatch, tmp_path):
    clock = iter([0.0, 1.0, 6.0, 7.0, 65.0, 67.0, 68.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress(quiet=False) as shown:
        for done in range(10, 16):
            shown.advance(done, Left())
    assert capfd.readouterr().err.splitlines() == [
        in_words(done, 30 + done, 90) for done in (11, 14)
    ]


def test_contract_on_a_terminal_there_is_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("sys.stderr", Terminal())
    done = Left()
    done.fits_left, done.seconds_left = 0, 0.0
    with Progress(quiet=False) as shown:
        shown.say("Note: odd")
        shown.advance(40, done)
    import sys

    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sys.stderr.getvalue())
    assert "Note: odd" in text
    assert "fits 40/40" in text
    assert "100%" in text


def test_contract_a_log_has_every_line_with_its_time(study_file, tmp_path, capfd):
    log = tmp_path / "run.log"
    path = study_file(("se = sample.std", "raise KeyError('x'); se = sample.std"))
    command = ["run", str(path), "--results", str(tmp_path), "--jobs", "1", "--quiet"]
    assert main([*command, "--log", str(log), "--replicates", "5"]) == 3
    out, err = capfd.readouterr()
    assert err.startswith("mcstudy: method 'average' has no usable fit under 4 of 4 conditions")
    assert "How the fits ended" in out
    lines = log.read_text().splitlines()
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ")
    assert all(stamp.match(line) for line in lines)
    first, note, todo, last, useless = (stamp.sub("", line) for line in lines)
    assert useless.startswith("Note: method 'average' has no usable fit under 4 of 4")
    assert first.startswith("4 conditions x 2 methods x 5 replicates of normal into ")
    assert ", mcstudy " in first
    assert "numpy " in first
    assert note.startswith("Note: method 'average' raises at replicate 0")
    assert todo == f"40 fits to do, into {tmp_path / 'normal'}"
    assert re.fullmatch(r"done: 40 fits in \d+ s; stored: 20 ok, 20 error", last)

    study_file(("0.01 * rng", "0.02 * rng"))
    assert main([*command, "--log", str(log)]) == 2
    assert "stopped: " in log.read_text().splitlines()[-1]
    assert "the code of method" in log.read_text().splitlines()[-1]


def test_contract_a_log_that_cannot_be_written_is_said_before_any_work(study_file, tmp_path):
    with pytest.raises(MCStudyError, match="the log cannot be written"):
        run(study_file(), tmp_path, jobs=1, quiet=True, log=tmp_path / "none" / "run.log")
    assert not (tmp_path / "normal").exists()
