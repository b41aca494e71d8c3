"""What a run shows while it works: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

LINE_SECONDS = 60.0


class Progress:
    """Shows how far a run is; with `quiet`, nothing.

    Parameters
    ----------
    quiet : bool
        Print nothing at all.
    """

    def __init__(self, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._bar: Bar | None = None
        self._total = self._done = 0
        self._begun = self._said = 0.0

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def begin(self, fits: int, folder: Path) -> None:
        """Announce the work."""
        self._total, self._done = fits, 0
        self.say(f"{fits} fits to do, into {folder}")

    def __enter__(self) -> Progress:
        self._begun = self._said = time.monotonic()
        if self._console.is_terminal and not self._console.quiet:
            self._bar = Bar(
                TextColumn("fits"),
                BarColumn(),
                MofNCompleteColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
                speed_estimate_period=120,
            )
            self._bar.add_task("", total=self._total)
            self._bar.start()
        return self

    def advance(self, fits: int) -> None:
        """Count fits as done."""
        self._done += fits
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], fits)
        elif time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            left = (self._said - self._begun) * (self._total / self._done - 1)
            self.say(f"{self._done} of {self._total} fits, about {left / 60:.0f} min left")

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
