"""What the user's functions print, told of in the run's own lines: the first few, then a number."""

from __future__ import annotations

from mcstudy.execution.executor import Finished
from mcstudy.execution.progress import Progress

MOST_CALLS = 5


class Echo:
    """Says what the first calls of a run have printed, and in the end how many more did.

    Parameters
    ----------
    progress : Progress
        Shows it where the run's lines are shown, and writes it into the log.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._calls = self._shown = 0

    def hear(self, finished: Finished) -> None:
        """Take note of what was printed in a job."""
        self._calls += finished.calls_that_printed
        for printed in finished.printed[: MOST_CALLS - self._shown]:
            self._shown += 1
            who = f"method '{printed.method}'" if printed.method else "simulate"
            last = printed.first + printed.count - 1
            to = f" to {last}" if printed.count > 1 else ""
            more = f"... ({printed.more} more characters)" if printed.more else ""
            self._progress.say(
                f"Note: {who} prints at replicate {printed.first}{to} of "
                f"{finished.done.condition.key}: {printed.text}{more}"
            )

    def close(self) -> None:
        """Say how many calls have printed beyond those that were shown."""
        if more := self._calls - self._shown:
            calls = "call prints" if more == 1 else "calls print"
            self._progress.say(f"Note: {more} more {calls} something, which is not shown")
