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
from collections.abc import Iterable, Iterator, Mapping
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
    centred,
    contributions,
    error_of_difference,
    error_of_truths,
)
from mcstudy.comparison.paired import matched
from mcstudy.simulation.validation import STATUSES
from mcstudy.storage.record import is_imported

CHANCE = 1e-6
"""Of calling independent data the same: less often than anybody compares two runs."""
_MOST_TIED = 0.5  # of the replicates: beyond it the correlation is far from normal
_WHOLE = 2**62  # bytes: a condition is read in one piece, so that its replicates can be matched
_DATA_MARKS = ("seed", "simulate", "python", "numpy")


def cell_key(levels: Mapping[str, Any]) -> str:
    """Return the text by which a cell is known in both runs: its levels, by name."""
    return "\x1f".join(f"{name}={in_words(levels[name])}" for name in sorted(levels))


def pair_runs(
    folders: tuple[Path, Path], records: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Find out whether two runs saw the same data, and pair the errors of their measures if so.

    Returns
    -------
    errors : dict of str to float
        The standard error of the difference of a measure between the runs by `cell_key`, from the
        replicates that both have; empty if they did not see the same data.
    notes : tuple of str
        Whether they did, how that is known, and which fits of the same data ended otherwise.
    """
    imported = any(map(is_imported, records))  # such a record has no seed to speak of
    if not imported and records[0].get("seed") != records[1].get("seed"):
        return {}, ("other data: the seeds differ, so the runs count as independent",)
    if any(record.get("keep", "rows") != "rows" for record in records):
        return {}, (
            "no rows are kept to pair, so the runs count as independent, which is cautious",
        )
    agreement = Agreement()
    found = {
        key: error
        for one, other in conditions_of_both(*folders)
        for key, error in paired_errors(one, other, agreement)
    }
    differs = differing(*records)
    same = agreement.found or not (differs or agreement.possible)
    how = differs or "seed, code of simulate, Python and numpy are equal"
    if agreement.found and differs:
        chance = f"{CHANCE:.0e}".replace("e-0", "e-")
        how = f"though {differs}, the estimates go together (p < {chance})"
    elif agreement.possible and not agreement.found:
        how += f"{' and' if differs else ', but'} the estimates of no method go together"
    elif differs:
        how += " and the replicates are too few to tell whether the data are the same"
    equal = f"{agreement.equal} of {agreement.compared} estimates are bitwise equal"
    if not same:
        return {}, (f"{how}, {equal}; the runs count as independent",)
    note = f"the same data: {how}; {equal}; differences are paired"
    return found, (note, *agreement.endings_in_words())


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Say what data depend on and the records do not say is equal; empty if there is nothing."""
    if is_imported(one) or is_imported(other):
        return "nothing tells how the imported replicates were made"
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
    """What the estimates of one method and estimand add up to over the conditions.

    Beside the sums of z and the equal values: what they would be were all replicates in the same
    order, or all equal.
    """

    ranked: int = 0
    z: float = 0.0
    largest_z: float = 0.0
    conditions: int = 0
    matches: int = 0
    most_matches: int = 0

    def p_values(self, z: float, matches: int) -> tuple[float, float]:
        """Return that of the correlations and that of the equal values."""
        log = matches * math.log(self.conditions or 1) - math.lgamma(matches + 1)
        of_z = float(special.ndtr(-z / math.sqrt(self.ranked))) if self.ranked else 1.0
        return of_z, math.exp(min(log, 0.0))


@dataclass
class Agreement:
    """How far the estimates and endings of methods that both runs have agree."""

    compared: int = 0
    equal: int = 0
    endings: dict[str, Counter[tuple[int, int]]] = field(default_factory=dict)
    _series: dict[tuple[str, str], _Series] = field(default_factory=dict)

    def add(self, of: tuple[str, str], values: Floats, others: Floats) -> None:
        """Add the estimates of a method and estimand in the same replicates of one condition."""
        exist = np.isfinite(values) & np.isfinite(others)
        values, others = values[exist], others[exist]
        series, n = self._series.setdefault(of, _Series()), len(values)
        if n == 0:
            return
        equal = values == others
        self.compared += n
        self.equal += int(equal.sum())
        ties, other_ties = ties_of(values), ties_of(others)
        series.conditions += 1
        series.matches += int((equal & (ties == 1) & (other_ties == 1)).sum())
        series.most_matches += min(int((ties == 1).sum()), int((other_ties == 1).sum()))
        if n > 2 and max(ties.max(), other_ties.max()) <= _MOST_TIED * n:
            ranks, other_ranks = stats.rankdata(values), stats.rankdata(others)
            series.ranked += 1
            series.z += float(np.corrcoef(ranks, other_ranks)[0, 1]) * math.sqrt(n - 1)
            series.largest_z += math.sqrt(n - 1)

    @property
    def found(self) -> bool:
        """Whether they go together: of independent data this has a chance below `CHANCE`."""
        return unlikely(s.p_values(s.z, s.matches) for s in self._series.values())

    @property
    def possible(self) -> bool:
        """Whether there are replicates enough to find it."""
        return unlikely(s.p_values(s.largest_z, s.most_matches) for s in self._series.values())

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


def unlikely(pairs: Iterable[tuple[float, float]]) -> bool:
    """Return whether the least p-value, times their number (Bonferroni), is below `CHANCE`."""
    p = [one for pair in pairs for one in pair]
    return len(p) * min(p, default=1.0) < CHANCE


def ties_of(values: Floats) -> NDArray[np.int64]:
    """Return how often each value occurs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return count[place]


def conditions_of_both(a: Path, b: Path) -> Iterator[tuple[ConditionRows, ConditionRows]]:
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


def paired_errors(
    one: ConditionRows, other: ConditionRows, agreement: Agreement
) -> Iterator[tuple[str, float]]:
    """Yield the paired error of each measure of a condition, and note how estimates agree."""
    for method in sorted(one.methods.keys() & other.methods.keys()):
        rows, others = one.methods[method], other.methods[method]
        at, at_other, count = matched(rows, others)
        if not count:
            continue
        endings = rows.status_code[at].tolist(), others.status_code[at_other].tolist()
        agreement.endings.setdefault(method, Counter()).update(zip(*endings, strict=True))
        for labels, parts, parts_other, further in contributions_of_both(rows, others):
            key = cell_key({**one.factors, "method": method, **labels})
            error = error_of_difference(parts, parts_other, rows.replicate, others.replicate)
            yield key, float(np.hypot(error, further))
        for estimand in sorted(rows.estimands.keys() & others.estimands.keys()):
            values = rows.estimands[estimand].estimate[at]
            agreement.add((method, estimand), values, others.estimands[estimand].estimate[at_other])


def contributions_of_both(
    rows: MethodRows, others: MethodRows
) -> Iterator[tuple[dict[str, str | None], Floats, Floats, float]]:
    """Yield what the replicates of both contribute to each measure, and which one it is.

    Then the error of simulated true values in the difference.
    """
    found = {
        f"share_{word}": (rows.status_code == code, others.status_code == code)
        for code, word in enumerate(STATUSES)
    }
    for measure, both in {**found, WARNED: (rows.warned, others.warned)}.items():
        here, there = (centred(hits.astype(float)) for hits in both)
        yield {"estimand": None, "interval": None, "measure": measure}, here, there, 0.0
    for estimand in sorted(rows.estimands.keys() & others.estimands.keys()):
        cells, cells_other = (dict(of.estimands[estimand].cells()) for of in (rows, others))
        for interval in sorted(cells.keys() & cells_other.keys(), key=lambda name: name or ""):
            for measure in sorted(KNOWN - OF_LIMITS if interval is None else OF_LIMITS):
                here, there = (contributions(measure, of[interval]) for of in (cells, cells_other))
                further = error_of_truths(measure, cells[interval], cells_other[interval])
                labels = {"estimand": estimand, "interval": interval, "measure": measure}
                yield labels, here, there, further
