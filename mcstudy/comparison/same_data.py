"""Did two runs see the same data? Then the errors of what differs between them are paired.

If the data of the two are independent, then under each condition every assignment of the estimates
of one run to the replicates of the other is as likely as any. Under such permutations

- a correlation r of ranks over n replicates has mean 0 and variance 1/(n - 1), so that the sum of
  r sqrt(n - 1) over C conditions, divided by sqrt(C), is a standard normal z, near enough;
- the number N of replicates in which both runs have the same value, one that occurs once under the
  condition in each, has E[binomial(N, t)] <= C^t / t!, and so P(N >= t) <= C^t / t!.

Both are had for each method and estimand, and their p-values multiplied by how many there are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from mcstudy.analysis.load import ConditionRows, MethodRows, rows_by_condition
from mcstudy.analysis.select import in_words
from mcstudy.arrays import Floats
from mcstudy.columns import WARNED
from mcstudy.comparison.influence import (
    KNOWN,
    OF_LIMITS,
    cells_of,
    centred,
    contributions,
    error_of_difference,
)
from mcstudy.comparison.paired import matched
from mcstudy.simulation.validation import STATUSES

CHANCE = 1e-6
"""Of calling independent data the same: less often than anybody compares two runs."""
_MOST_TIED = 0.5  # of the replicates: beyond it the correlation is far from normal
_WHOLE = 2**62  # bytes: a condition is read in one piece, so that its replicates can be matched
_DATA_MARKS = ("seed", "simulate", "python", "numpy")


@dataclass(frozen=True)
class Pairing:
    """What the rows of two runs say of the errors between them.

    Parameters
    ----------
    errors : mapping of str to float
        The standard error of the difference of a measure between the runs by `cell_key`, from the
        replicates that both have; empty if they did not see the same data.
    notes : tuple of str
        Whether they did, how that is known, and which fits of the same data ended otherwise.
    """

    errors: Mapping[str, float]
    notes: tuple[str, ...]


def cell_key(levels: Mapping[str, Any]) -> str:
    """Return the text by which a cell is known in both runs: its levels, by name."""
    return "\x1f".join(f"{name}={in_words(levels[name])}" for name in sorted(levels))


def pair_runs(
    folders: tuple[Path, Path], records: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> Pairing:
    """Find out whether two runs saw the same data, and pair the errors of their measures if so.

    Parameters
    ----------
    folders : (Path, Path)
        The results.
    records : (mapping, mapping)
        Their `study.json`.
    """
    if records[0].get("seed") != records[1].get("seed"):
        return Pairing({}, ("other data: the seeds differ, so the runs count as independent",))
    if any(record.get("keep", "rows") != "rows" for record in records):
        text = "no rows are kept to pair, so the runs count as independent, which is cautious"
        return Pairing({}, (text,))
    seen = _Seen()
    found = {
        key: error
        for one, other in _both(*folders)
        for key, error in _condition_errors(one, other, seen)
    }
    same, how = _verdict(_differing(*records), seen.agreement)
    equal = f"{seen.equal} of {seen.compared} estimates are bitwise equal"
    if not same:
        return Pairing({}, (f"{how}, {equal}; the runs count as independent",))
    note = f"the same data: {how}; {equal}; differences are paired"
    return Pairing(found, (note, *seen.endings_in_words()))


def _verdict(differing: str, agreement: Agreement) -> tuple[bool, str]:
    """Return whether two runs of one seed count as having seen the same data, and why."""
    recorded = "seed, code of simulate, Python and numpy are equal"
    if not differing:
        if agreement.found or not agreement.possible:
            return True, recorded
        return False, f"{recorded}, but the estimates of no method go together"
    if agreement.found:
        chance = f"{CHANCE:.0e}".replace("e-0", "e-")
        return True, f"though {differing}, the estimates go together (p < {chance})"
    if agreement.possible:
        return False, f"{differing} and the estimates of no method go together"
    return (
        False,
        f"{differing} and the replicates are too few to tell whether the data are the same",
    )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Say what data depend on and the records do not say is equal; empty if there is nothing."""
    marks, others = one.get("marks", {}), other.get("marks", {})
    shared = marks.keys() & others.keys()
    if not shared:
        return "the methods differ"
    names = [
        name
        for name in _DATA_MARKS
        if any(marks[method].get(name) != others[method].get(name) for method in shared)
    ]
    said = [f"{', '.join(names)} differ"] if names else []
    if one.get("kept") or other.get("kept"):
        said.append("some rows were kept from before a change")
    return " and ".join(said)


@dataclass
class _Series:
    """What the estimates of one method and estimand add up to over the conditions."""

    ranked: int = 0
    z: float = 0.0
    largest_z: float = 0.0
    conditions: int = 0
    matches: int = 0
    most_matches: int = 0

    def p_values(self) -> tuple[float, float]:
        """Return that of the correlations and that of the equal values."""
        return self._of_z(self.z), self._of_matches(self.matches)

    def smallest(self) -> tuple[float, float]:
        """Return what the p-values would be were all replicates in order, or all equal."""
        return self._of_z(self.largest_z), self._of_matches(self.most_matches)

    def _of_z(self, z: float) -> float:
        return float(special.ndtr(-z / math.sqrt(self.ranked))) if self.ranked else 1.0

    def _of_matches(self, count: int) -> float:
        log = count * math.log(self.conditions or 1) - math.lgamma(count + 1)
        return math.exp(min(log, 0.0))


@dataclass
class Agreement:
    """Whether the estimates of two runs go together, condition by condition added."""

    _series: dict[tuple[str, str], _Series] = field(default_factory=dict)

    def add(self, of: tuple[str, str], values: Floats, others: Floats) -> None:
        """Add finite estimates of the same replicates.

        Parameters
        ----------
        of : (str, str)
            The method and the estimand.
        values, others : arrays of shape (R,)
            The estimates under one condition in the two runs.
        """
        series, n = self._series.setdefault(of, _Series()), len(values)
        if n == 0:
            return
        once, once_other = _occur_once(values), _occur_once(others)
        series.conditions += 1
        series.matches += int(((values == others) & once & once_other).sum())
        series.most_matches += min(int(once.sum()), int(once_other.sum()))
        if n > 2 and max(_largest_tie(values), _largest_tie(others)) <= _MOST_TIED * n:
            ranks, other_ranks = stats.rankdata(values), stats.rankdata(others)
            series.ranked += 1
            series.z += float(np.corrcoef(ranks, other_ranks)[0, 1]) * math.sqrt(n - 1)
            series.largest_z += math.sqrt(n - 1)

    @property
    def found(self) -> bool:
        """Whether they do: were the data independent this would have a chance below `CHANCE`."""
        return self._least([p for s in self._series.values() for p in s.p_values()]) < CHANCE

    @property
    def possible(self) -> bool:
        """Whether there are replicates enough to find it."""
        return self._least([p for s in self._series.values() for p in s.smallest()]) < CHANCE

    def _least(self, p: list[float]) -> float:
        return len(p) * min(p, default=1.0)


def _occur_once(values: Floats) -> NDArray[np.bool_]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    once: NDArray[np.bool_] = (count == 1)[place]
    return once


def _largest_tie(values: Floats) -> int:
    return int(np.unique(values, return_counts=True)[1].max())


@dataclass
class _Seen:
    """How far the estimates and endings of methods that both runs have agree."""

    compared: int = 0
    equal: int = 0
    agreement: Agreement = field(default_factory=Agreement)
    endings: dict[str, Counter[tuple[int, int]]] = field(default_factory=dict)

    def add(self, of: tuple[str, str], values: Any, others: Any) -> None:
        """Add a method's estimates of an estimand under one condition, in both runs."""
        exist = np.isfinite(values) & np.isfinite(others)
        values, others = values[exist], others[exist]
        self.compared += len(values)
        self.equal += int((values == others).sum())
        self.agreement.add(of, values, others)

    def add_endings(self, method: str, codes: Any, other_codes: Any) -> None:
        pairs = zip(codes.tolist(), other_codes.tolist(), strict=True)
        self.endings.setdefault(method, Counter()).update(pairs)

    def endings_in_words(self) -> Iterator[str]:
        """Yield for each method how many fits ended otherwise in the other run, and how."""
        for method, counts in self.endings.items():
            changed = [(pair, n) for pair, n in counts.most_common() if pair[0] != pair[1]]
            if changed:
                ways = ", ".join(
                    f"{STATUSES[one]} to {STATUSES[other]} {n}" for (one, other), n in changed
                )
                total = sum(n for _, n in changed)
                yield f"{method}: {total} of {counts.total()} fits ended otherwise in B: {ways}"


def _both(a: Path, b: Path) -> Iterator[tuple[ConditionRows, ConditionRows]]:
    """Yield the conditions that both have, whole; they come in nearly the same order."""
    waiting: dict[str, ConditionRows] = {}
    others = rows_by_condition(b, budget=_WHOLE)
    for rows in rows_by_condition(a, budget=_WHOLE):
        while rows.condition not in waiting:
            ahead = next(others, None)
            if ahead is None:
                break
            waiting[ahead.condition] = ahead
        if rows.condition in waiting:
            yield rows, waiting.pop(rows.condition)


def _condition_errors(
    one: ConditionRows, other: ConditionRows, seen: _Seen
) -> Iterator[tuple[str, float]]:
    """Yield the paired error of each measure of a condition, and note how estimates agree."""
    for method in sorted(one.methods.keys() & other.methods.keys()):
        rows, others = one.methods[method], other.methods[method]
        at, at_other, count = matched(rows, others)
        if not count:
            continue
        seen.add_endings(method, rows.status_code[at], others.status_code[at_other])
        labels: dict[str, Any] = {**one.factors, "method": method}
        yield from _share_errors(rows, others, labels)
        for estimand in sorted(rows.estimands.keys() & others.estimands.keys()):
            of, of_other = rows.estimands[estimand], others.estimands[estimand]
            seen.add((method, estimand), of.estimate[at], of_other.estimate[at_other])
            cells, cells_other = dict(cells_of(of)), dict(cells_of(of_other))
            for interval in sorted(cells.keys() & cells_other.keys(), key=lambda name: name or ""):
                for measure in sorted(KNOWN - OF_LIMITS if interval is None else OF_LIMITS):
                    key = labels | {"estimand": estimand, "interval": interval, "measure": measure}
                    parts = contributions(measure, cells[interval])
                    parts_other = contributions(measure, cells_other[interval])
                    yield (
                        cell_key(key),
                        error_of_difference(parts, parts_other, rows.replicate, others.replicate),
                    )


def _share_errors(
    rows: MethodRows, others: MethodRows, labels: Mapping[str, Any]
) -> Iterator[tuple[str, float]]:
    shares = {
        f"share_{word}": (rows.status_code == code, others.status_code == code)
        for code, word in enumerate(STATUSES)
    }
    for measure, (here, there) in {**shares, WARNED: (rows.warned, others.warned)}.items():
        parts, parts_other = centred(here.astype(float)), centred(there.astype(float))
        key = {**labels, "estimand": None, "interval": None, "measure": measure}
        yield (
            cell_key(key),
            error_of_difference(parts, parts_other, rows.replicate, others.replicate),
        )
