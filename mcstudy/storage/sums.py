"""Answers to sums: what a study with ``keep="measures"`` stores in place of rows.

Sums are Python integers, in units of ``2**-1074`` or counts, so that any parts of a study add up to
the same numbers. Fits that did not end well keep their addresses, up to a number per message.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcstudy.arrays import Floats
from mcstudy.method import Status
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.validation import STATUSES, Column
from mcstudy.storage.exact_sums import exact_sum, product, square_of, sum_of, times
from mcstudy.wald import wald_limits

ADDRESSES = 100
"""How many addresses of fits that ended alike are kept: the first by number of replicate."""
ENDINGS = 100
"""How many kinds of endings a method can have per condition; which ones is left to chance."""

FORMED = "\0wald"
"""The name of the interval formed from a standard error, which no interval of a method has."""

_NUMBERS = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)?")
Sums = dict[str, int]


class Ending(NamedTuple):
    """How fits ended: status, message with ``#`` for its numbers, and whether with a warning."""

    status: str
    message: str
    warned: bool


@dataclass(frozen=True)
class Tally:
    """What is kept of the answers of one method under one condition.

    Parameters
    ----------
    replicates : int
        How many there were.
    seconds : float
        How long they took; the only number that depends on the run.
    statuses : mapping of str to int
        How many ended how.
    warned : int
        How many warned.
    sums : mapping of (estimand, interval) to mapping of str to int
        The interval is empty for the sums of estimates and standard errors.
    endings : mapping of Ending to int
        How many ended so; plain success is not among them.
    addresses : mapping of Ending to list of (replicate, message)
        The first of each.
    """

    replicates: int
    seconds: float
    statuses: Mapping[str, int]
    warned: int
    sums: Mapping[tuple[str, str], Sums]
    endings: Mapping[Ending, int]
    addresses: Mapping[Ending, list[tuple[int, str]]]


def tally(
    answers: Answers,
    start: int,
    truths: Mapping[str, float],
    nulls: Mapping[str, float],
    *,
    level: float | None = None,
) -> Tally:
    """Return the tally of a method's answers to a run of replicates that begins at `start`.

    With a `level` it has the intervals formed from standard errors too, by the name `FORMED`, of
    estimands without any other interval in this run.
    """
    counts = np.bincount(answers.status, minlength=len(STATUSES)).tolist()
    statuses = {str(status): n for status, n in zip(STATUSES, counts, strict=True) if n}
    endings: Counter[Ending] = Counter()
    addresses: dict[Ending, list[tuple[int, str]]] = {}
    troubled = set(np.flatnonzero(answers.status != STATUSES.index(Status.OK)).tolist())
    for row in sorted(troubled | answers.messages.keys()):
        if row < answers.count:
            message = answers.messages.get(row, "")
            status, kind = str(STATUSES[answers.status[row]]), _NUMBERS.sub("#", message)
            ending = Ending(status, kind, bool(answers.warned[row]))
            endings[ending] += 1
            if endings[ending] <= ADDRESSES:
                addresses.setdefault(ending, []).append((start + row, message))
    sums = {
        (column.estimand, column.interval): _sums(
            answers,
            column,
            truths.get(column.estimand, np.nan),
            nulls.get(column.estimand, np.nan),
        )
        for column in answers.numbers
        if column.kind in ("estimate", "lower")
    }
    if level is not None:
        sums |= {
            (estimand, FORMED): found for estimand, found in _formed(answers, truths, nulls, level)
        }
    seconds = float(answers.seconds.sum())
    warned = int(answers.warned.sum())
    return _limited(answers.count, seconds, statuses, warned, sums, endings, addresses)


def merged(tallies: Iterable[Tally]) -> Tally:
    """Return the tally of the replicates of all."""
    replicates, seconds, warned = 0, 0.0, 0
    statuses: Counter[str] = Counter()
    endings: Counter[Ending] = Counter()
    sums: dict[tuple[str, str], Sums] = {}
    addresses: dict[Ending, list[tuple[int, str]]] = {}
    for each in tallies:
        replicates += each.replicates
        seconds += each.seconds
        statuses.update(each.statuses)
        warned += each.warned
        endings.update(each.endings)
        for key, own in each.sums.items():
            total = sums.setdefault(key, {})
            for name, value in own.items():
                total[name] = total.get(name, 0) + value
        for ending, found in each.addresses.items():
            addresses[ending] = sorted(addresses.get(ending, []) + found)[:ADDRESSES]
    return _limited(replicates, seconds, statuses, warned, sums, endings, addresses)


def _limited(
    replicates: int,
    seconds: float,
    statuses: Mapping[str, int],
    warned: int,
    sums: Mapping[tuple[str, str], Sums],
    endings: Mapping[Ending, int],
    addresses: Mapping[Ending, list[tuple[int, str]]],
) -> Tally:
    """Keep the endings whose digests are smallest: the same ones, however parts were merged."""
    kept = set(endings)
    if len(endings) > ENDINGS:
        kept = set(heapq.nsmallest(ENDINGS, endings, key=_digest))
    return Tally(
        replicates,
        seconds,
        statuses,
        warned,
        sums,
        {ending: endings[ending] for ending in sorted(kept)},
        {ending: addresses[ending] for ending in sorted(kept)},
    )


def _digest(ending: Ending) -> bytes:
    return hashlib.sha256("\n".join(map(str, ending)).encode(errors="backslashreplace")).digest()


def _sums(answers: Answers, column: Column, truth: float, null: float) -> Sums:
    """Return the sums of an estimand's estimates, or those of one of its intervals."""
    missing = np.full(answers.count, np.nan)
    if column.kind == "estimate":
        std_error = answers.numbers.get(Column("std_error", column.estimand), missing)
        return _estimate_sums(answers.numbers[column], std_error, truth)
    upper = answers.numbers.get(Column("upper", column.estimand, column.interval), missing)
    return _interval_sums(answers.numbers[column], upper, truth, null)


def no_sums(interval: str) -> Sums:
    """Return the sums of no estimate, or with an interval those of no interval."""
    nothing = np.empty(0)
    if interval:
        return _interval_sums(nothing, nothing, np.nan, np.nan)
    return _estimate_sums(nothing, nothing, np.nan)


def _formed(
    answers: Answers, truths: Mapping[str, float], nulls: Mapping[str, float], level: float
) -> Iterator[tuple[str, Sums]]:
    """Yield the estimands that have standard errors and no interval, and the sums of one."""
    numbers = answers.numbers
    own = {column.estimand for column in numbers if column.kind == "lower"}
    for column, std_error in numbers.items():
        name = column.estimand
        if column.kind == "std_error" and name not in own:
            limits = wald_limits(
                numbers[Column("estimate", name)], std_error, level, numbers.get(Column("df", name))
            )
            truth, null = truths.get(name, np.nan), nulls.get(name, np.nan)
            yield name, _interval_sums(*limits, truth, null)


def _estimate_sums(estimate: Floats, std_error: Floats, truth: float) -> Sums:
    """Return sums of powers of the error e and of the squared standard error u.

    Where there is no truth, e is the estimate. `both` are the replicates that have e and u.
    """
    has_e, has_u = np.isfinite(estimate), np.isfinite(std_error)
    has_both = has_e & has_u
    with np.errstate(over="ignore"):
        error = estimate - (truth if np.isfinite(truth) else 0.0)
    sums = {"n": int(has_e.sum()), "u_n": int(has_u.sum()), "both_n": int(has_both.sum())}
    if sums["n"]:
        sums |= _powers_of_error(error[has_e])
    if sums["u_n"]:
        square = product(std_error[has_u], std_error[has_u])
        sums |= {"u": sum_of(square), "uu": sum_of(square_of(square))}
    if sums["both_n"]:
        sums |= _products(sums, error[has_both], std_error[has_both])
    return sums


_POWERS = ("e", "ee", "eee", "eeee")


def _powers_of_error(e: Floats) -> Sums:
    ee = product(e, e)
    return {
        "e": exact_sum(e),
        "ee": sum_of(ee),
        "eee": sum_of(times(ee, e)),
        "eeee": sum_of(square_of(ee)),
    }


def _products(sums: Sums, e: Floats, std_error: Floats) -> Sums:
    """Return the sums over replicates with both, of which most are known where none lacks one."""
    u = product(std_error, std_error)
    ue = times(u, e)
    has_all_e, has_all_u = sums["both_n"] == sums["n"], sums["both_n"] == sums["u_n"]
    of_e = {name: sums[name] for name in _POWERS} if has_all_e else _powers_of_error(e)
    return {
        **{f"both_{name}": value for name, value in of_e.items()},
        "both_u": sums["u"] if has_all_u else sum_of(u),
        "both_uu": sums["uu"] if has_all_u else sum_of(square_of(u)),
        "ue": sum_of(ue),
        "uee": sum_of(times(ue, e)),
    }


def _interval_sums(lower: Floats, upper: Floats, truth: float, null: float) -> Sums:
    """Return how many intervals there are and what they contain, and the sums of their widths."""
    exist = ~(np.isnan(lower) | np.isnan(upper))
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(lower) & np.isfinite(upper)
        width = (upper - lower)[finite]
    sums = {
        "n": int(exist.sum()),
        "covered": _count(exist & (lower <= truth) & (truth <= upper)),
        "below": _count(exist & (upper < truth)),
        "above": _count(exist & (lower > truth)),
        "with_null": _count(exist & (lower <= null) & (null <= upper)),
        "width_n": len(width),
    }
    if len(width):
        sums |= {"w": exact_sum(width), "ww": sum_of(product(width, width))}
    return sums


def _count(hit: NDArray[np.bool_]) -> int:
    return int(hit.sum())
