"""Methods of which no fit of a run is usable so far, all for the same reason."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow.parquet as pq

from mcstudy.execution.executor import Finished
from mcstudy.grid import Condition
from mcstudy.method import Status
from mcstudy.simulation.call import message_kind
from mcstudy.simulation.replicates import Job
from mcstudy.spoken import either
from mcstudy.storage.moment_tables import Summary
from mcstudy.storage.parts import DamagedError, column_key
from mcstudy.storage.rows import Stored
from mcstudy.storage.sum_parts import read_summaries, summaries_of

ENOUGH_FITS = 200
"""Were 1.5 % of the fits of a method usable, 200 without any would be met in one run of twenty
(the rule of three, 3/200: Hanley & Lippman-Hand 1983, JAMA 249:1743)."""


class EarlyStop:
    """Says when a run is of no use: the methods without a usable fit yet, and how their fits ended.

    Parameters
    ----------
    missing : iterable of Job
        What a run is to do: a method counts when each of its conditions has been tried.
    keep : {"rows", "measures"}
        What parts hold.
    stored : iterable of Stored
        What earlier runs have stored: a method of which anything is usable there does not count.
    """

    def __init__(self, missing: Iterable[Job], keep: str, stored: Iterable[Stored] = ()) -> None:
        self._untried: dict[str, set[Condition]] = {}
        for job in missing:
            for method in job.methods:
                self._untried.setdefault(method, set()).add(job.condition)
        for item in stored:
            if known := self._untried.keys() & set(item.methods):
                for method in known & _with_estimates(item):
                    del self._untried[method]
        self._keep = keep
        self._failed: Counter[str] = Counter()
        self._ends: dict[str, tuple[str, str]] = {}

    def reason(self, finished: Finished) -> str:
        """Count the fits of a part; return in a line why to stop, empty where nothing says so."""
        if not self._untried.keys() & set(finished.done.methods):
            return ""
        for method, usable, ends in _ends_of(finished.part, self._keep):
            if method not in self._untried:
                continue
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
            f"usable, and all end alike: {' '.join(said.split())}; mend the method, or go on with "
            f"{either('--keep-going', 'keep_going=True')}"
        )


def _with_estimates(item: Stored) -> set[str]:
    """Return the methods of which a part has an estimate."""
    if item.head.keep == "measures":
        try:
            summaries = read_summaries([item])
        except DamagedError:  # it is set aside when the tables are made
            return set()
        return {method for method, kept in summaries.items() if _is_usable(kept)}
    return {
        method
        for method in item.methods
        if any((column_key(name) or ("",))[0] == "estimate" for name in item.head.columns[method])
    }


def _is_usable(kept: Summary) -> bool:
    return any(moments.n for key, moments in kept.moments.items() if key[0] == "error")


def _ends_of(part: bytes, keep: str) -> Iterator[tuple[str, bool, Mapping[tuple[str, str], int]]]:
    """Yield of each method in a part whether a fit is usable, and how the others ended."""
    if keep == "measures":
        for method, kept in summaries_of(part).items():
            ends = {
                (outcome.status, addresses[0][1]): kept.outcomes[outcome]
                for outcome, addresses in kept.addresses.items()
                if outcome.status != Status.SKIPPED
            }
            yield method, _is_usable(kept), ends
        return
    table = pq.read_table(io.BytesIO(part))
    good = np.zeros(table.num_rows, bool)
    for name in table.column_names:
        if (column_key(name) or ("",))[0] == "estimate":
            good |= np.isfinite(table[name].to_numpy().astype(float))
    found: dict[str, tuple[list[bool], Counter[tuple[str, str]]]] = {}
    words = (table[name].to_pylist() for name in ("method", "status", "message"))
    for method, status, message, is_good in zip(*words, good.tolist(), strict=True):
        goods, ends = found.setdefault(method, ([], Counter()))
        goods.append(is_good)
        if not is_good and status != Status.SKIPPED:
            ends[status, message or ""] += 1
    for method, (goods, ends) in found.items():
        yield method, any(goods), ends
