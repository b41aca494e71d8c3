"""Two methods that are meant to be equal: how far apart their numbers are, by replicate."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mcstudy.analysis.load import EstimandRows, rows_by_condition
from mcstudy.analysis.select import at, beside, in_words, varying
from mcstudy.arrays import Floats
from mcstudy.comparison.paired import matched
from mcstudy.errors import ResultsError
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed

_MOST_LINES = 30  # a screen; the frame has them all
_QUANTILES = (0.5, 0.9, 0.99, 1.0)
_COUNTS = ("compared", "equal", "only_method", "only_reference", "first_difference", "farthest")
_DISTANCES = tuple(
    f"{kind}_{name}" for kind in ("absolute", "relative") for name in ("50", "90", "99", "largest")
)
_SHOWN = ("absolute_50", "absolute_99", "absolute_largest", "relative_largest")
_TAKEN = ("number", "replay", "replay_farthest", *_COUNTS, *_DISTANCES)


@dataclass(frozen=True)
class Equivalence(Printed):
    """How far apart two methods are on the same data; ``str`` shows it.

    Parameters
    ----------
    method, reference : str
        The two methods.
    frame : DataFrame
        By condition (the factors), estimand, interval and number (estimate, std_error, lower,
        upper): ``compared`` replicates in which both have the number, in how many it is bitwise
        ``equal``, in how many only one has it (``only_method``, ``only_reference``), quantiles
        (50, 90, 99 %) and the largest of the absolute differences and of those relative to the
        larger of the two, the ``first_difference`` and the ``farthest`` replicate (-1 if there is
        none), and the commands that replay them.
    """

    method: str
    reference: str
    frame: pd.DataFrame

    def document(self) -> Document:
        """Return the numbers that differ most, the verdict, and how to replay the first of them."""
        factors = list(map(str, self.frame.columns[: self.frame.columns.get_loc("estimand")]))
        shared = varying(self.frame, factors)
        apart = self.frame[self.frame["first_difference"] >= 0]
        worst = apart.sort_values("relative_largest", ascending=False, kind="stable")
        shown = apart.loc[sorted(worst.index[:_MOST_LINES])]
        numbers = ("equal/of", "in one only", "median", "99 %", "largest", "relative")
        head = ("condition", "estimand", "number", *numbers)
        lines = []
        for row in shown.to_dict("records"):
            interval = "" if pd.isna(row["interval"]) else f"{row['interval']} "
            apart_by = [row[name] for name in _SHOWN]
            lines.append(
                [
                    at(row, shared),
                    in_words(row["estimand"]),
                    f"{interval}{row['number']}",
                    f"{row['equal']}/{row['compared']}",
                    str(row["only_method"] + row["only_reference"]),
                    *("-" if np.isnan(d) else "0" if d == 0 else f"{d:.1e}" for d in apart_by),
                ]
            )
        grid = Grid(head, lines, labels=3, repeated=2, grouped=True)
        return Document(
            f"{self.method} and {self.reference}: differences on the same data",
            [Block(grid=grid)] if lines else [],
            list(self._notes(worst, len(shown))),
            [self.frame],
        )

    def _notes(self, worst: pd.DataFrame, shown: int) -> Iterator[str]:
        if len(worst) > shown:
            yield (
                f"the {shown} lines with the largest relative differences; "
                f"{len(worst) - shown} more differ"
            )
        if shown:
            yield (
                "median, 99 % and largest: absolute differences; relative: the largest one over the"
                " larger of the two numbers"
            )
        count = self.frame[["compared", "equal", "only_method", "only_reference"]].sum()
        verdict = f"{count['equal']} of {count['compared']} numbers are bitwise equal"
        for name, column in ((self.method, "only_method"), (self.reference, "only_reference")):
            verdict += f"; {count[column]} are in {name} only" if count[column] else ""
        yield verdict
        if shown:
            first, farthest = worst.sort_index().iloc[0], worst.iloc[0]
            yield from ("where they first part:", f"  {first['replay']}")
            if farthest["relative_largest"] > 0:
                yield from ("where they are farthest apart:", f"  {farthest['replay_farthest']}")


def equivalence(folder: Path, method: str, reference: str) -> Equivalence:
    """Return how far apart the numbers of two methods are, replicate by replicate.

    Raises
    ------
    ResultsError
        If they have no replicate or no estimand in common.
    """
    lines = []
    for rows in rows_by_condition(folder):
        if method in rows.methods and reference in rows.methods:
            one, other = rows.methods[method], rows.methods[reference]
            at, at_other, count = matched(one, other)
            replicate = one.replicate[at]
            place, key = shlex.quote(str(folder)), shlex.quote(rows.condition)
            replay = f"mcstudy replay {place} --condition {key} --replicate"
            for estimand in sorted(one.estimands.keys() & other.estimands.keys() if count else ()):
                both = one.estimands[estimand], other.estimands[estimand]
                for interval, number, values in numbers_of_both(*both):
                    made = distances(values[0][at], values[1][at_other], replicate)
                    first, farthest = made["first_difference"], made["farthest"]
                    lines.append(
                        {
                            **beside(rows.factors, _TAKEN),
                            "estimand": estimand,
                            "interval": interval,
                            "number": number,
                            **made,
                            "replay": f"{replay} {first}" if first >= 0 else None,
                            "replay_farthest": f"{replay} {farthest}" if farthest >= 0 else None,
                        }
                    )
    if not lines:
        raise ResultsError(f"{method} and {reference} have no replicate or estimand in common here")
    return Equivalence(method, reference, pd.DataFrame(lines))


def numbers_of_both(
    one: EstimandRows, other: EstimandRows
) -> Iterator[tuple[str | None, str, tuple[Floats, Floats]]]:
    """Yield (interval, what it is, the numbers of both) for all that both methods give."""
    if one.estimated and other.estimated:
        yield None, "estimate", (one.estimate, other.estimate)
    if not (np.isnan(one.std_error).all() and np.isnan(other.std_error).all()):
        yield None, "std_error", (one.std_error, other.std_error)
    for interval in sorted(one.intervals.keys() & other.intervals.keys()):
        limits = zip(one.intervals[interval], other.intervals[interval], strict=True)
        for name, both in zip(("lower", "upper"), limits, strict=True):
            yield interval, name, both
    if one.p_value is not None and other.p_value is not None:
        yield None, "p_value", (one.p_value, other.p_value)


def distances(values: Floats, others: Floats, replicate: NDArray[np.int64]) -> dict[str, Any]:
    """Return counts, the quantiles of the differences and the first replicate that differs."""
    missing, missing_other = np.isnan(values), np.isnan(others)
    both = ~missing & ~missing_other
    equal = both & (values.view(np.int64) == others.view(np.int64))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        absolute = np.where(equal, 0.0, np.abs(values - others))[both]
        larger = np.maximum(np.abs(values), np.abs(others))[both]
        relative = np.where(absolute == 0, 0.0, absolute / larger)
    relative[np.isinf(absolute)] = np.inf
    parted = replicate[~equal & ~(missing & missing_other)]
    farthest = replicate[both][relative.argmax()] if relative.any() else (*parted, -1)[0]
    counts = (
        int(both.sum()),
        int(equal.sum()),
        int((~missing & missing_other).sum()),
        int((missing & ~missing_other).sum()),
        int(parted[0]) if len(parted) else -1,
        int(farthest),
    )
    quantiles = np.full((2, len(_QUANTILES)), np.nan)
    if len(absolute):
        quantiles[:] = [
            np.quantile(of, _QUANTILES, method="inverted_cdf") for of in (absolute, relative)
        ]
    numbers = (*counts, *quantiles.ravel().tolist())
    return dict(zip((*_COUNTS, *_DISTANCES), numbers, strict=True))
