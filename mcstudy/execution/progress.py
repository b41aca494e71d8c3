"""What a run shows while it works: a bar on a terminal or in a notebook, else a line now and then.

A log, where one is asked for, gets every line with the time, whatever is shown.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from mcstudy.arguments import as_path
from mcstudy.errors import MCStudyError, ResultsError
from mcstudy.terminal import complain, harmless_line

FIRST_SECONDS, LINE_SECONDS = 5.0, 60.0
_SHOW_SECONDS = 0.2


class Left(Protocol):
    """What is still to be done."""

    @property
    def fits_left(self) -> int:
        """The number of fits."""

    @property
    def seconds_left(self) -> float:
        """The time they will take; NaN if nobody knows."""


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
        self._log = _Log(log) if log is not None else None
        self._screen: _Screen = _Nothing() if quiet else _Lines()
        self._begun = self._shown = self._line_due = self._log_due = 0.0

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self.note(line)
        self._screen.say(harmless_line(line))

    def note(self, line: str) -> None:
        """Write a line into the log only."""
        if self._log:
            self._log.write(harmless_line(line))

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

    def advance(self, done: int, left: Left) -> None:
        """Show that so many fits are done and what is left."""
        now = time.monotonic()
        due = self._screen.steady or now > self._line_due
        last = self._screen.steady and not left.fits_left
        if last or (due and now - self._shown > _SHOW_SECONDS):
            self._shown, self._line_due = now, now + LINE_SECONDS
            self._screen.show(done, done + left.fits_left, now - self._begun, left.seconds_left)
        if self._log and now > self._log_due:
            self._log_due = now + LINE_SECONDS
            self._log.write(in_words(done, done + left.fits_left, left.seconds_left))

    def __exit__(self, *_: object) -> None:
        self._screen.stop()
        self._screen = _Nothing() if self._quiet else _Lines()


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


class _Log:
    """A file to which lines with the time are appended, each at once."""

    def __init__(self, path: str | Path) -> None:
        self._path = as_path(path, "log", of="a file")
        self._lost = False
        try:
            self._path.open("a").close()
        except OSError as error:
            raise ResultsError(
                f"{path}: the log cannot be written ({error.strerror}); choose another file"
            ) from None

    def write(self, line: str) -> None:
        """Append a line; a disk that is full costs the log, and no work."""
        if self._lost:
            return
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{now} {line}\n")
        except OSError as error:
            self._lost = True
            complain(
                f"Note: {self._path}: the log cannot be written ({error.strerror}); "
                "the run goes on without it"
            )


class _Screen(Protocol):
    """Where lines and the state of the work are shown."""

    steady: bool

    def say(self, line: str) -> None: ...

    def show(self, done: int, total: int, spent: float, left: float) -> None: ...

    def stop(self) -> None: ...


def _screen() -> _Screen:
    if _in_notebook():
        return _Notebook()
    console = Console(stderr=True)
    return _Bar(console) if console.is_terminal else _Lines()


def _in_notebook() -> bool:
    """Return whether the output goes to a notebook, whose stderr calls itself a terminal."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return type(get_ipython()).__name__ == "ZMQInteractiveShell"


class _Nothing:
    steady = False

    def say(self, line: str) -> None:
        pass

    def show(self, done: int, total: int, spent: float, left: float) -> None:
        pass

    def stop(self) -> None:
        pass


class _Lines(_Nothing):
    """Plain lines on stderr."""

    def say(self, line: str) -> None:
        complain(line)

    def show(self, done: int, total: int, spent: float, left: float) -> None:
        self.say(in_words(done, total, left))


class _Bar:
    """A bar whose length is the share of the time, not of the fits: they differ in cost."""

    steady = True

    def __init__(self, console: Console) -> None:
        columns = (
            "fits {task.fields[fits]}",
            "{task.percentage:>3.0f}%",
            "left {task.fields[left]}",
        )
        fits, percent, left = (TextColumn(text, markup=False) for text in columns)
        self._bar = RichProgress(
            fits, BarColumn(), percent, TimeElapsedColumn(), left, console=console
        )
        self._task = self._bar.add_task("", total=1.0, fits="0", left="unknown time")
        self._bar.start()

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, done: int, total: int, spent: float, left: float) -> None:
        self._bar.update(
            self._task,
            completed=_share(spent, left),
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
        full = round(24 * _share(spent, left))
        text = f"{'█' * full}{'░' * (24 - full)} {in_words(done, total, left)}"
        bundle = {"text/plain": text}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def _share(spent: float, left: float) -> float:
    return 0.0 if math.isnan(left) else spent / max(spent + left, 1e-9)
