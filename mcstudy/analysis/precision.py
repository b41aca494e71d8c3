"""Is it precise enough? Each cell's Monte Carlo limits and error, against what is wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mcstudy.analysis.mcse import wilson
from mcstudy.analysis.select import factor_columns, factors_in_words
from mcstudy.arrays import Booleans, Floats
from mcstudy.columns import REACHED
from mcstudy.errors import StudyError
from mcstudy.measure import Z, is_share, why_absent

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("measure", "value", "mcse", "used")
# What a measure should be; the rest have nothing that they should be.
_ZERO = (
    *("bias", "relative_bias", "standardized_bias", "median_bias"),
    *("relative_error_model_se", "relative_precision"),
)
_ONE = ("empirical_se_ratio", "relative_efficiency", "mean_ratio")


def shares(frame: pd.DataFrame) -> Booleans:
    """Return which rows of a table of measures are shares, shape (rows,)."""
    return frame["measure"].map(is_share).to_numpy(dtype=bool)


def errors(frame: pd.DataFrame, *, by_limits: bool = False) -> Floats:
    """Return the Monte Carlo standard error of each row, shape (rows,).

    Where the MCSE is 0 and the limits say more, as of a share of 0 or 1, it is half the width of
    the limits over 1.96: for a share Wilson's (1927, JASA 22:209).

    Parameters
    ----------
    frame : DataFrame
        Like ``Results.performance``, with or without lower and upper.
    by_limits : bool, default False
        Half the width for all shares: what is compared wants an error that is not too small near 0
        and 1 either, while a precision is judged by the MCSE that the tables show.
    """
    frame = with_limits(frame)
    error = frame["mcse"].to_numpy(dtype=float, na_value=np.nan)
    width = (frame["upper"] - frame["lower"]).to_numpy(dtype=float, na_value=np.nan)
    wide = (error == 0) & (width > 0)
    return np.where(wide | shares(frame) if by_limits else wide, width / (2 * Z), error)


def reached(performance: pd.DataFrame, precision: Mapping[str, float]) -> pd.Series[Any]:
    """Return whether each row is as precise as wanted; missing where there is nothing to judge.

    There is nothing to judge where no target is set or the measure does not exist.
    """
    import pandas as pd

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


def precision_lines(
    performance: pd.DataFrame, precision: Mapping[str, float], most: int
) -> list[str]:
    """Say in a line or two which cells are not as precise as wanted, and why not."""
    short = performance[performance["reached"].eq(False).fillna(False)]
    wanted = ", ".join(f"{measure} {target:g}" for measure, target in precision.items())
    judged = int(performance["reached"].notna().sum())
    absent = _partial(performance, precision)
    if not judged:
        return [f"Precision ({wanted}): exists in no cell"]
    if short.empty:
        return [f"Precision ({wanted}): reached in all {judged} cells", *absent]
    capped = short[short["replicates"] >= most]
    lines = [
        f"Precision ({wanted}): {len(cells)} of {judged} cells {how}: {_some(cells)}"
        for how, cells in (
            (f"stopped short of it at max_replicates={most}", capped),
            ("are still on the way", short.drop(capped.index)),
        )
        if len(cells)
    ]
    return [*lines, *absent]


def _some(cells: pd.DataFrame) -> str:
    """Name the first few cells and their errors."""
    factors = factor_columns(cells)
    named = []
    for (_, cell), error in list(zip(cells.iterrows(), errors(cells), strict=True))[:3]:
        where = factors_in_words({factor: cell[factor] for factor in factors})
        words = [cell[name] for name in ("method", "estimand", "interval", "measure")]
        shown = [where, *(word for word in words if isinstance(word, str)), f"{error:.3g}"]
        named.append(" ".join(filter(None, shown)))
    return "; ".join(named) + (" ..." if len(cells) > 3 else "")


def target(measure: str, level: float) -> float:
    """Return what a measure should be: `level` for coverage, 0 for bias; NaN if there is none."""
    if measure in ("coverage", "coverage_of_all", "bias_eliminated_coverage"):
        return level
    if measure in ("miss_below", "miss_above"):
        return (1 - level) / 2
    if measure in _ZERO or measure.endswith("_difference") or "_difference_" in measure:
        return 0.0
    return 1.0 if measure in _ONE or measure.endswith("_ratio") else float("nan")


def with_limits(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of measures that has `lower` and `upper`: its own, or else made here."""
    if {"lower", "upper"} <= set(frame.columns):
        return frame
    rows = zip(*(frame[name] for name in _COLUMNS), strict=True)
    limits = [
        wilson(value, used) if is_share(measure) and used else (value - Z * mcse, value + Z * mcse)
        for measure, value, mcse, used in rows
    ]
    lower, upper = np.array(limits, dtype=float).reshape(-1, 2).T
    return frame.assign(lower=lower, upper=upper)
