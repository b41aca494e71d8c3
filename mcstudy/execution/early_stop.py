"""Methods of which no fit of a run is usable so far, all for the same reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from mcstudy.execution.executor import Finished
from mcstudy.grid import Condition
from mcstudy.method import Status
from mcstudy.simulation.call import message_kind
from mcstudy.simulation.replicates import Job
from mcstudy.simulation.validation import MAIN, TEST
from mcstudy.storage.moment_tables import Summary
from mcstudy.storage.parts import DamagedError, NewPart, Part, column_key
from mcstudy.storage.sum_parts import read_summaries, summary_of

ENOUGH_FITS = 200
"""Were 1.5 % of the fits of a method usable, 200 without any would be met in one run of twenty
(the rule of three, 3/200: Hanley & Lippman-Hand 1983, JAMA 249:1743)."""


class EarlyStop:
    """Says when a run is of no use: the methods without a usable fit yet, and how their fits ended.

    A method counts when each condition that it misses has been tried; not if anything of it that
    earlier runs have stored is usable.
    """

    def __init__(self, missing: Iterable[Job], keep: str, stored: Iterable[Part] = ()) -> None:
        self._untried: dict[str, set[Condition]] = {}
        for job in missing:
            for method in job.methods:
                self._untried.setdefault(method, set()).add(job.condition)
        for part in stored:
            if part.method in self._untried and _has_estimates(part, keep):
                del self._untried[part.method]
        self._keep = keep
        self._failed: Counter[str] = Counter()
        self._ends: dict[str, tuple[str, str]] = {}

    def reason(self, finished: Finished) -> str:
        """Count the fits of a part; return in a line why to stop, empty where nothing says so."""
        ends_of = _ends_of_sums if self._keep == "measures" else _ends_of_rows
        for method, part in finished.parts.items():
            if method not in self._untried:
                continue
            usable, ends = ends_of(part)
            self._untried[method].discard(finished.done.condition)
            kinds = {(status, message_kind(message)) for status, message in ends}
            known = self._ends.setdefault(method, next(iter(ends))) if ends else None
            if usable or (known and kinds != {(known[0], message_kind(known[1]))}):
                del self._untried[method]
                continue
            self._failed[method] += sum(ends.values())
            if self._failed[method] >= ENOUGH_FITS and not self._untried[method]:
                return self._in_words(method)
        return ""

    def _in_words(self, method: str) -> str:
        said = ": ".join(filter(None, self._ends[method]))
        return (
            f"stopped: none of the first {self._failed[method]} fits of method '{method}' is "
            f"usable, and all end alike: {' '.join(said.split())}; fix the method, or go on with "
            "--keep-going (keep_going=True)"
        )


def _has_estimates(part: Part, keep: str) -> bool:
    """Return whether there is an estimate or a p-value in a part."""
    try:
        if keep == "measures":
            return _is_usable(read_summaries([part])[part.method])
        return any(column_key(name)[0] in MAIN for name in part.types())
    except DamagedError:  # it is set aside when the tables are made
        return False


def _is_usable(kept: Summary) -> bool:
    return any(
        moments.intervals if key[2] == TEST else moments.n
        for key, moments in kept.moments.items()
        if key[0] == "error" or key[2] == TEST
    )


def _ends_of_sums(part: NewPart) -> tuple[bool, Mapping[tuple[str, str], int]]:
    """Return whether a fit of a part is usable, and how the others ended."""
    kept = summary_of(part)
    ends = {
        (outcome.status, addresses[0][1]): kept.outcomes[outcome]
        for outcome, addresses in kept.addresses.items()
        if outcome.status != Status.SKIPPED
    }
    return _is_usable(kept), ends


def _ends_of_rows(part: NewPart) -> tuple[bool, Mapping[tuple[str, str], int]]:
    """Return the same of a part that has rows."""
    rows = part.rows()
    good = np.zeros(rows.num_rows, bool)
    for name in rows.column_names:
        if column_key(name)[0] in MAIN:
            good |= np.isfinite(rows[name].to_numpy().astype(float))
    bad = rows.select(["status", "message"]).filter(pa.array(~good)).to_pylist()
    ends = Counter((row["status"], row["message"] or "") for row in bad)
    return bool(good.any()), {end: n for end, n in ends.items() if end[0] != Status.SKIPPED}
