"""Measures to the methods that have no usable fit under a condition."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from mcstudy.analysis.select import factor_columns, factors_in_words, in_words
from mcstudy.arguments import cut
from mcstudy.method import Status
from mcstudy.simulation.call import message_kind
from mcstudy.storage.table_set import read_table

MOST_LETTERS = 300  # of a message: three lines of a terminal, as the line names a method too


def unusable(
    folder: Path, performance: pd.DataFrame, methods: Collection[str] | None = None
) -> list[str]:
    """Say of each method under which conditions none of its fits has an estimate, and why.

    Conditions under which it does not apply, all of its fits being skipped, do not count.

    Parameters
    ----------
    folder : Path
        With the tables.
    performance : DataFrame
        The table of that name.
    methods : collection of str, optional
        Those that are asked about; all by default.

    Returns
    -------
    list of str
        A line for each method.
    """
    factors = factor_columns(performance)
    cell = [*factors, "method"]
    used = performance[performance["measure"] == "empirical_se"]
    skipped = performance[performance["measure"] == f"share_{Status.SKIPPED}"]
    fine = [*_keys(used[used["used"] > 0], cell), *_keys(skipped[skipped["value"] == 1], cell)]
    lines, known = [], set(fine)
    shares = performance[performance["measure"] == f"share_{Status.OK}"]
    for method, rows in shares.groupby("method", sort=False):
        bad = rows[[key not in known for key in _keys(rows, cell)]]
        if len(bad) and (methods is None or method in methods):
            first = factors_in_words({name: bad.iloc[0][name] for name in factors})
            where = f" under {len(bad)} of {len(rows)} conditions" if len(rows) > 1 else ""
            where += f" ({first}{', ...' if len(bad) > 1 else ''})" if first and where else ""
            said = _most_often(folder, str(method), set(_keys(bad, factors)))
            lines.append(f"method '{method}' has no usable fit{where}; {said}")
    return lines


def _keys(rows: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what tells rows apart, in words: a missing level is equal to itself there."""
    columns = [[in_words(level) for level in rows[name]] for name in names]
    return list(zip(*columns, strict=True)) if columns else [()] * len(rows)


def _most_often(folder: Path, method: str, where: set[tuple[str, ...]]) -> str:
    """Say how most of the fits of a method ended under these conditions."""
    conditions = read_table(folder, "conditions").to_pandas()
    factors = [str(name) for name in conditions.columns if name != "condition"]
    among = [key in where for key in _keys(conditions, factors)]
    wanted = [("method", "==", method), ("condition", "in", list(conditions["condition"][among]))]
    if (folder / "fits.parquet").exists():
        ends = read_table(folder, "fits", columns=["status", "message"], filters=wanted).to_pandas()
        ends["fits"] = 1
    else:
        ends = read_table(folder, "endings", filters=wanted).to_pandas()
        ends = ends.drop_duplicates(["condition", "status", "kind"])
    ends = ends[ends["status"] != Status.SKIPPED]
    ends = ends.assign(text=ends["message"].fillna("").astype(str))
    ends = ends.assign(shape=ends["text"].map(message_kind), word=ends["status"].astype(str))
    kinds = ends.groupby(["word", "shape"], as_index=False)["fits"].sum()
    most = kinds.loc[kinds["fits"].idxmax()]
    alike = ends[(ends["word"] == most["word"]) & (ends["shape"] == most["shape"])]["text"].unique()
    text = str(alike[0] if len(alike) == 1 else most["shape"])
    message = cut(" ".join(text.split()), MOST_LETTERS)
    said = f"{most['word']}: {message}" if message else most["word"]
    return f"most often ({most['fits']} of {kinds['fits'].sum()}): {said}"
