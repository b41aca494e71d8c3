"""Two methods that are meant to be equal: how far apart their numbers are, by replicate."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mcstudy.analysis.comparisons import matched
from mcstudy.analysis.listing import aligned, without_repeats, wrapped
from mcstudy.analysis.rows import EstimandRows, rows_by_condition
from mcstudy.analysis.selection import in_words
from mcstudy.errors import ResultsError

Floats: TypeAlias = NDArray[np.float64]

_QUANTILES = (0.5, 0.9, 0.99)
_COUNTS = ("compared", "equal", "only_method", "only_reference", "first_difference")
_DISTANCES = tuple(
    f"{kind}_{name}" for kind in ("absolute", "relative") for name in ("50", "90", "99", "largest")
)


@dataclass(frozen=True)
class Equivalence:
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
        larger of the two, the ``first_difference`` (a replicate; -1 if there is none) and the
        command that replays it.
    """

    method: str
    reference: str
    frame: pd.DataFrame

    def __str__(self) -> str:
        names = [str(name) for name in self.frame.columns[: self.frame.columns.get_loc("number")]]
        rows = self.frame.to_dict("records")
        labels = [name for name in names[:-2] if self.frame[name].nunique(dropna=False) > 1]
        labels.append("estimand")
        numbers = ("equal/of", "in one only", "median", "99 %", "largest", "relative")
        head = (*labels, "number", *numbers)
        lines = without_repeats((_line(row, labels) for row in rows), len(labels))
        title = f"{self.method} and {self.reference}: differences on the same data"
        return "\n\n".join(
            [title, aligned(head, lines, texts=len(labels) + 1), wrapped(self._verdict(rows))]
        )

    def _verdict(self, rows: list[dict[Any, Any]]) -> Iterator[str]:
        compared = sum(row["compared"] for row in rows)
        equal = sum(row["equal"] for row in rows)
        yield (
            f"{equal} of {compared} numbers are bitwise equal; median, 99 % and largest are of the"
            " absolute differences, relative is the largest one over the larger of the two numbers"
        )
        parted = [row for row in rows if row["first_difference"] >= 0]
        if parted:
            farthest = max(parted, key=lambda row: _sortable(row["relative_largest"]))
            yield f"farthest apart: {farthest['number']} of {farthest['estimand']}; the first such:"
            yield f"  {farthest['replay']}"


def equivalence(folder: Path, method: str, reference: str) -> Equivalence:
    """Return how far apart the numbers of two methods are, replicate by replicate.

    Raises
    ------
    ResultsError
        If they have no replicate or no estimand in common.
    """
    lines: dict[tuple[int, str, str, int], dict[str, Any]] = {}
    places: dict[str, int] = {}
    for rows in rows_by_condition(folder):
        if method in rows.methods and reference in rows.methods:
            one, other = rows.methods[method], rows.methods[reference]
            at, at_other, count = matched(one, other)
            replicate = one.replicate[at]
            for estimand in sorted(one.estimands.keys() & other.estimands.keys() if count else ()):
                both = one.estimands[estimand], other.estimands[estimand]
                for order, (interval, number, values) in enumerate(_numbers(*both)):
                    made = _apart(values[0][at], values[1][at_other], replicate)
                    place = places.setdefault(rows.condition, len(places))
                    lines[place, estimand, interval or "", order] = {
                        **rows.factors,
                        "estimand": estimand,
                        "interval": interval,
                        "number": number,
                        **made,
                        "replay": _replay(folder, rows.condition, made["first_difference"]),
                    }
    if not lines:
        raise ResultsError(f"{method} and {reference} have no replicate or estimand in common here")
    return Equivalence(method, reference, pd.DataFrame([lines[key] for key in sorted(lines)]))


def _numbers(
    one: EstimandRows, other: EstimandRows
) -> Iterator[tuple[str | None, str, tuple[Floats, Floats]]]:
    """Yield (interval, what it is, the numbers of both) for all that both methods give."""
    yield None, "estimate", (one.estimate, other.estimate)
    if not (np.isnan(one.std_error).all() and np.isnan(other.std_error).all()):
        yield None, "std_error", (one.std_error, other.std_error)
    for interval in sorted(one.intervals.keys() & other.intervals.keys()):
        limits = zip(one.intervals[interval], other.intervals[interval], strict=True)
        for name, both in zip(("lower", "upper"), limits, strict=True):
            yield interval, name, both


def _apart(values: Floats, others: Floats, replicate: NDArray[np.int64]) -> dict[str, Any]:
    """Return counts, the quantiles of the differences and the first replicate that differs."""
    missing, missing_other = np.isnan(values), np.isnan(others)
    both = ~missing & ~missing_other
    equal = both & (values.view(np.int64) == others.view(np.int64))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        absolute = np.where(equal, 0.0, np.abs(values - others))[both]
        larger = np.maximum(np.abs(values), np.abs(others))[both]
        relative = np.where(absolute == 0, 0.0, absolute / larger)
    parted = replicate[~equal & ~(missing & missing_other)]
    counts = (
        int(both.sum()),
        int(equal.sum()),
        int((~missing & missing_other).sum()),
        int((missing & ~missing_other).sum()),
        int(parted[0]) if len(parted) else -1,
    )
    distances = [*_quantiles(absolute), *_quantiles(relative)]
    return dict(zip(_COUNTS, counts, strict=True)) | dict(zip(_DISTANCES, distances, strict=True))


def _quantiles(distances: Floats) -> list[float]:
    if not len(distances):
        return [np.nan] * (len(_QUANTILES) + 1)
    found = np.quantile(distances, _QUANTILES, method="inverted_cdf")
    return [*found.tolist(), float(distances.max())]


def _replay(folder: Path, condition: str, replicate: int) -> str | None:
    if replicate < 0:
        return None
    place, key = shlex.quote(str(folder)), shlex.quote(condition)
    return f"mcstudy replay {place} --condition {key} --replicate {replicate}"


def _line(row: dict[Any, Any], labels: list[str]) -> list[str]:
    number = row["number"] if pd.isna(row["interval"]) else f"{row['interval']} {row['number']}"
    return [
        *(in_words(row[name]) for name in labels),
        number,
        f"{row['equal']}/{row['compared']}",
        str(row["only_method"] + row["only_reference"]),
        *(_short(row[f"absolute_{name}"]) for name in ("50", "99", "largest")),
        _short(row["relative_largest"]),
    ]


def _short(distance: float) -> str:
    return "-" if np.isnan(distance) else "0" if distance == 0 else f"{distance:.1e}"


def _sortable(distance: float) -> float:
    return -1.0 if np.isnan(distance) else distance
