"""Is it precise enough? The error of each cell against the largest one that is wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mcstudy.analysis.select import factors_in_words
from mcstudy.arguments import suggestion
from mcstudy.columns import REACHED, WARNED
from mcstudy.errors import StudyError
from mcstudy.measure import BUILT_IN, Z, why_absent
from mcstudy.method import Status

PROPORTIONS = frozenset(
    (
        *("coverage", "bias_eliminated_coverage", "miss_below", "miss_above", "rejection"),
        *(f"share_{status}" for status in Status),
        WARNED,
    )
)


def check_targets(targets: object, listed: str, each: str, own: Iterable[str] = ()) -> None:
    """Raise StudyError unless `targets` gives measures, built in or a study's own, a number.

    `listed` and `each` say what they are all together, and one of them: they begin the messages.
    """
    if not isinstance(targets, Mapping) or not targets:
        raise StudyError(f"{listed} is {targets!r}; write {{'coverage': 0.005}}")
    known = [*BUILT_IN, *(f"share_{status}" for status in Status), WARNED, *own]
    for measure, target in targets.items():
        if measure not in known:
            raise StudyError(
                f"{listed} names {measure!r}{suggestion(measure, known)}, "
                f"which is no measure; the measures are {', '.join(known)}"
            )
        number = isinstance(target, int | float) and not isinstance(target, bool)
        if not number or not 0 < target < np.inf:
            shown = f"{target:g}" if number else repr(target)
            raise StudyError(f"{each} of {measure} is {shown}; give a number above 0")


def errors(performance: pd.DataFrame) -> NDArray[np.float64]:
    """Return the Monte Carlo standard error of each row, shape (rows,).

    A proportion of 0 or 1 has a binomial MCSE of 0, which says nothing: there it is the half width
    of the 95 % Wilson interval over 1.96 (Wilson 1927, JASA 22:209).
    """
    error = performance["mcse"].to_numpy(dtype=float, na_value=np.nan).copy()
    value = performance["value"].to_numpy(dtype=float, na_value=np.nan)
    used = performance["used"].to_numpy(dtype=float)
    edge = performance["measure"].isin(PROPORTIONS).to_numpy() & ((value == 0) | (value == 1))
    error[edge] = wilson_error(value[edge], used[edge])
    if {"lower", "upper"} <= set(performance):
        width = (performance["upper"] - performance["lower"]).to_numpy(dtype=float)
        own = (error == 0) & (width > 0)  # a share among the study's own measures
        error[own] = width[own] / (2 * Z)
    return error


def wilson_error(p: Any, n: Any) -> Any:
    """Return the half width of the 95 % Wilson interval of a proportion, over 1.96."""
    return np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)


def reached(performance: pd.DataFrame, precision: Mapping[str, float]) -> pd.Series[Any]:
    """Return whether each row is as precise as wanted; missing where there is nothing to judge.

    There is nothing to judge where no target is set or the measure does not exist.
    """
    target = performance["measure"].map(dict(precision)).to_numpy(dtype=float, na_value=np.nan)
    exists = np.isfinite(target) & (performance["used"].to_numpy() > 0)
    enough = errors(performance) <= target
    return pd.Series(pd.arrays.BooleanArray(enough, ~exists), performance.index)


def existing(performance: pd.DataFrame) -> set[str]:
    """Return the measures that exist in some cell."""
    return set(performance.loc[performance["used"] > 0, "measure"].astype(str))


def check_exist(targets: Iterable[str], there: Collection[str], listed: str) -> None:
    """Raise StudyError for a target whose measure exists in no cell; `listed` names them all.

    Where no fit has an estimate nothing exists, for another reason.
    """
    for measure in targets if "empirical_se" in there else ():
        if measure not in there:
            raise StudyError(
                f"{listed} names {measure!r}, which exists in no cell: {why_absent(measure)}"
            )


def _partial(performance: pd.DataFrame, precision: Mapping[str, float]) -> list[str]:
    """Say of which estimands of a method no cell has a measure that has a target."""
    there = performance[performance["used"] > 0]
    cells = there[["method", "estimand"]].dropna().drop_duplicates()
    lines = []
    for measure in precision:
        of = there[there["measure"] == measure]
        if of["estimand"].isna().all():
            continue
        has = set(zip(of["method"], of["estimand"], strict=True))
        lacking = [
            f"{name} of {m}" for m, name in cells.itertuples(index=False) if (m, name) not in has
        ]
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            lines.append(
                f"Precision: {measure} does not exist for {', '.join(lacking[:3])}{more}, "
                "and was not judged there"
            )
    return lines


def with_reached(table: pa.Table, precision: Mapping[str, float] | None) -> pa.Table:
    """Return the table `performance` with a column `reached`, where there are targets."""
    if precision is None:
        return table
    column = reached(table.to_pandas(), precision)
    return table.append_column(REACHED, pa.array(column, pa.bool_(), from_pandas=True))


def precision_text(performance: pd.DataFrame, precision: Mapping[str, float], most: int) -> str:
    """Say in a line or two which cells are not as precise as wanted, and why not."""
    short = performance[performance["reached"].eq(False).fillna(False)]
    wanted = ", ".join(f"{measure} {target:g}" for measure, target in precision.items())
    judged = int(performance["reached"].notna().sum())
    absent = _partial(performance, precision)
    if not judged:
        return f"Precision ({wanted}): exists in no cell"
    if short.empty:
        return "\n".join([f"Precision ({wanted}): reached in all {judged} cells", *absent])
    capped = short[short["replicates"] >= most]
    lines = [
        f"Precision ({wanted}): {len(cells)} of {judged} cells {how}: {_some(cells)}"
        for how, cells in (
            (f"stopped short of it at max_replicates={most}", capped),
            ("are still on the way", short.drop(capped.index)),
        )
        if len(cells)
    ]
    return "\n".join([*lines, *absent])


def _some(cells: pd.DataFrame) -> str:
    """Name the first few cells and their errors."""
    factors = cells.columns[: cells.columns.get_loc("method")]
    named = []
    for (_, cell), error in list(zip(cells.iterrows(), errors(cells), strict=True))[:3]:
        where = factors_in_words({str(factor): cell[factor] for factor in factors})
        words = [cell[name] for name in ("method", "estimand", "interval", "measure")]
        shown = [where, *(word for word in words if isinstance(word, str)), f"{error:.3g}"]
        named.append(" ".join(filter(None, shown)))
    return "; ".join(named) + (" ..." if len(cells) > 3 else "")
