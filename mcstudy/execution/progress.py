"""What a run shows while it works: a bar on a terminal or in a notebook, else a line now and then.

A log, where one is asked for, gets every line with the time, whatever is shown.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcstudy.arguments import as_path
from mcstudy.errors import MCStudyError, ResultsError
from mcstudy.simulation.output import MOST_CALLS
from mcstudy.terminal import complain, harmless_line

if TYPE_CHECKING:
    from mcstudy.execution.executor import Finished
    from mcstudy.execution.scheduler import JobQueue

# After these come the first line and the next ones: a log of a night has some hundred.
FIRST_SECONDS, LINE_SECONDS = 5.0, 60.0
_SHOW_SECONDS = 0.2  # between two states of a bar, which nobody could tell apart any faster
_NOTEBOOK_WIDTH = 24  # characters: with the words behind it a bar fits on a line of 80


class Progress:
    """Shows how far a run is; with `quiet`, nothing; into the file `log` all the same.

    Parameters
    ----------
    quiet : bool
        Print nothing at all.
    log : path, optional
        Lines with the time are appended to it.

    Raises
    ------
    ResultsError
        If the log cannot be written.
    """

    def __init__(self, quiet: bool, log: str | Path | None = None) -> None:
        self._quiet = quiet
        # Of this run alone, not of `logging.getLogger`: two runs of a process have two logs.
        self._log = logging.Logger("mcstudy.run")
        if log is not None:
            self._log.addHandler(_LogFile(log))
        self._screen = _Screen() if quiet else _Lines()
        self._begun = self._shown = self._line_due = self._log_due = 0.0

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self.note(line)
        self._screen.say(harmless_line(line))

    def note(self, line: str) -> None:
        """Write a line into the log only."""
        if self._log.handlers:  # without any, logging prints warnings by itself
            self._log.info(harmless_line(line))

    def begin(self, fits: int, folder: Path, *, at_least: bool = False) -> None:
        """Announce the work; it is more in the end where it is `at_least` so much."""
        count = f"{'at least ' if at_least else ''}{fits} {'fit' if fits == 1 else 'fits'}"
        self.say(f"{count} to do, into {folder}")

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Write down how it ended when it did not end well."""
        try:
            yield
        except MCStudyError as error:
            self.note(f"stopped: {error}")
            raise
        except BaseException as error:
            self.note(f"stopped by {type(error).__name__} {error}".rstrip())
            raise

    def __enter__(self) -> Progress:
        self._begun = time.monotonic()
        self._line_due = self._log_due = self._begun + FIRST_SECONDS
        if not self._quiet:
            self._screen = _screen()
        return self

    def advance(self, done: int, left: JobQueue) -> None:
        """Show that so many fits are done and what is left."""
        now = time.monotonic()
        due = self._screen.steady or now > self._line_due
        last = self._screen.steady and not left.fits_left
        if last or (due and now - self._shown > _SHOW_SECONDS):
            self._shown, self._line_due = now, now + LINE_SECONDS
            self._screen.show(done, done + left.fits_left, now - self._begun, left.seconds_left)
        if self._log.handlers and now > self._log_due:
            self._log_due = now + LINE_SECONDS
            self.note(in_words(done, done + left.fits_left, left.seconds_left))

    def __exit__(self, *_: object) -> None:
        self._screen.stop()
        self._screen = _Screen() if self._quiet else _Lines()


def in_words(done: int, total: int, left: float) -> str:
    """Return how far the work is in one line."""
    return f"{done} of {total} fits, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a time to about two digits: 12 s, 3.4 min, 2.5 h, 3.1 days."""
    if math.isnan(seconds):
        return "unknown time"
    for size, unit in ((1, "s"), (60, "min"), (3600, "h"), (86400, "days")):
        amount = seconds / size
        if amount < 99.5 or unit == "days":
            break
    return f"{amount:.0f} {unit}" if amount >= 9.95 or unit == "s" else f"{amount:.1f} {unit}"


class _LogFile(logging.Handler):
    """A file to which lines with the time are appended, each at once and whole."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._path = as_path(path, "log", of="a file")
        try:
            self._path.open("a").close()
        except OSError as error:
            raise ResultsError(
                f"{path}: the log cannot be written ({error.strerror}); choose another file"
            ) from None

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line; a disk that is full costs the log, and no work."""
        now = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{now} {record.getMessage()}\n")
        except OSError as error:
            self.setLevel(logging.CRITICAL)  # no further line is tried
            complain(
                f"Note: {self._path}: the log cannot be written ({error.strerror}); "
                "the run goes on without it"
            )


class PrintedLines:
    """Says what the first calls of a run have printed, and in the end how many more did."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._calls = self._shown = 0

    def add(self, finished: Finished) -> None:
        """Say what was printed in a job, unless enough was said."""
        self._calls += finished.calls_that_printed
        for printed in finished.printed[: MOST_CALLS - self._shown]:
            self._shown += 1
            call, more = printed.call, ""
            if printed.more:
                more = f"... ({printed.more} more characters)"
            self._progress.say(
                f"Note: {call.who} prints {call.where} of {finished.done.condition.key}: "
                f"{printed.text}{more}"
            )

    def close(self) -> None:
        """Say how many calls have printed beyond those that were shown."""
        if more := self._calls - self._shown:
            calls = "call prints" if more == 1 else "calls print"
            self._progress.say(f"Note: {more} more {calls} something, which is not shown")


class _Screen:
    """Where lines and the state of the work are shown: here nowhere."""

    steady = False

    def say(self, line: str) -> None:
        """Show a line."""

    def show(self, done: int, total: int, spent: float, left: float) -> None:
        """Show how many fits are done, the seconds that they took, and those that are left."""

    def stop(self) -> None:
        """Show nothing any more."""


def _screen() -> _Screen:
    # A notebook's stderr calls itself a terminal.
    if "IPython" in sys.modules:
        from IPython import get_ipython

        if type(get_ipython()).__name__ == "ZMQInteractiveShell":
            return _Notebook()
    return _Bar() if getattr(sys.stderr, "isatty", bool)() else _Lines()


class _Lines(_Screen):
    """Plain lines on stderr."""

    def say(self, line: str) -> None:
        complain(line)

    def show(self, done: int, total: int, spent: float, left: float) -> None:
        complain(in_words(done, total, left))


class _Bar(_Screen):
    """A bar whose length is the share of the time, not of the fits: they differ in cost."""

    steady = True

    def __init__(self) -> None:
        # Imported where there is a terminal: its import takes .1 s, the start of a run 2.5 s.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            "fits {task.fields[fits]}",
            "{task.percentage:>3.0f}%",
            "left {task.fields[left]}",
        )
        fits, percent, left = (TextColumn(text, markup=False) for text in columns)
        console = Console(stderr=True)
        self._bar = Progress(fits, BarColumn(), percent, TimeElapsedColumn(), left, console=console)
        self._task = self._bar.add_task("", total=1.0, fits="0", left="unknown time")
        self._bar.start()

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, done: int, total: int, spent: float, left: float) -> None:
        self._bar.update(
            self._task,
            completed=_time_done(spent, left),
            fits=f"{done}/{total}",
            left=duration(left),
        )

    def stop(self) -> None:
        self._bar.stop()


class _Notebook(_Lines):
    """One line of text in the output of a notebook's cell, renewed in place."""

    steady = True

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, done: int, total: int, spent: float, left: float) -> None:
        full = round(_NOTEBOOK_WIDTH * _time_done(spent, left))
        text = f"{'█' * full}{'░' * (_NOTEBOOK_WIDTH - full)} {in_words(done, total, left)}"
        bundle = {"text/plain": text}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def _time_done(spent: float, left: float) -> float:
    """Return the fraction of the time that is over."""
    return 0.0 if math.isnan(left) else spent / max(spent + left, 1e-9)
