"""The tables of measures to what they say of the study: whether it is large enough and complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mcstudy.analysis.precision import errors, precision_lines
from mcstudy.analysis.select import columns_of, factor_columns, labelled, levels_by_row, with_labels
from mcstudy.arguments import counted
from mcstudy.arrays import Floats
from mcstudy.comparison.checks import Check, Verdict, Words, about
from mcstudy.measure import LEVEL, REJECTION, Z
from mcstudy.method import Status
from mcstudy.simulation.validation import TEST
from mcstudy.tables.numbers import FEW_MISSING

MATTERS = 0.1
"""Of the RMSE, a bias; of the MSE, a difference in it: what the report calls off, too."""
_COMPARED = {
    "bias_difference": "bias",
    "mean_difference": "mean",
    "mse_difference": "MSE",
    "coverage_difference": "coverage",
    "rejection_difference": "rejection",
}
_CELLS = "Replicates for single cells"
_TWO = 2.0  # Monte Carlo errors, by which a difference is told from 0
_STD_ERROR = "std_error"
_MOST = "largest share"  # of a condition
_INTERVAL = (("method", "method"), ("estimand", "estimand"), ("interval", "what"))
_CHANCE = 0.05  # of differences that are 0, outside 95 % limits


def table_checks(
    performance: pd.DataFrame, comparisons: pd.DataFrame | None, record: Mapping[str, Any]
) -> list[Check]:
    """Return the checks that need no rows.

    Parameters
    ----------
    performance, comparisons : DataFrame
        As `Results` has them; None where a study keeps no rows.
    record : mapping
        The study's.
    """
    words = Words.of(performance)
    level = float(record.get("level") or LEVEL)
    checks = [
        _differences(performance, comparisons, level, words),
        _precision(performance, level, words),
    ]
    if "precision" in record:
        checks.append(_goals(performance, record))
    return [*checks, _missing(performance, words)]


def coverage_margin(level: float) -> float:
    """Return by how much a coverage may be off: half of what may miss (Bradley 1978, BJMSP 31:144).

    It is .025 for intervals of 95 %: his liberal limits.
    """
    return (1 - level) / 2


def _differences(
    performance: pd.DataFrame, comparisons: pd.DataFrame | None, level: float, words: Words
) -> Check:
    """Compare each difference between two methods with its paired Monte Carlo error."""
    name = "Differences between methods"
    if performance["method"].nunique() < 2:
        return Check(name, Verdict.FINE, "There is one method, so nothing is compared.")
    if comparisons is None:
        lost = "keep='measures' keeps no rows, so differences on the same data sets are lost."
        return Check(name, Verdict.UNKNOWN, lost)
    some = comparisons[comparisons["measure"].isin(_COMPARED) & comparisons["value"].notna()]
    # An interval rejects a null value where it would not cover it: coverage tells of that.
    some = some[(some["measure"] != "rejection_difference") | (some["interval"] == TEST)]
    if some.empty:
        none = "No two methods have an estimate or a p-value of the same data set."
        return Check(name, Verdict.UNKNOWN, none)
    lines = _compared(some, _margins(some, performance, level))
    kinds = [word for name, word in _COMPARED.items() if (some["measure"] == name).any()]
    counts = _by_pair(lines)
    frame, undecided = with_labels(counts, words.labels), int(counts["open"].sum())
    said, chance = _counts_in_words(counts, kinds)
    if not chance:
        return Check(name, Verdict.FINE, said, frame=frame)
    advice = (
        f"If no methods differed, about {chance:.0f} would be told apart by chance. Large enough "
        f"to matter: {_margins_in_words(kinds, level)}."
    )
    needed = float(lines["needed"].max())
    if needed > 0:
        now = int(some["replicates"].max())
        advice += (
            f" About {about(needed)} replicates a condition (now {now:,}) would make each of these "
            "twice its error, if it stays as large."
        )
    verdict = Verdict.WARNING if undecided else Verdict.FINE
    return Check(name, verdict, said, advice, frame)


def _counts_in_words(counts: pd.DataFrame, kinds: Sequence[str]) -> tuple[str, float]:
    """Return how many differences there are of which kind, and how many chance would tell apart."""
    in_what = " and ".join([", ".join(kinds[:-1]), kinds[-1]] if kinds[1:] else kinds)
    total, same, apart, undecided = (
        int(counts[column].sum()) for column in ("differences", "equal", "told_apart", "open")
    )
    if same == total:
        return f"All {total:,} differences in {in_what} are exactly 0.", 0.0
    of = f"{counted(total, 'difference')} in {in_what}"
    of += f" ({same:,} exactly 0)" if same else ""
    are, its = ("is", "its") if undecided == 1 else ("are", "their")
    said = (
        f"Of {of}, {apart:,} are told apart from 0 and {undecided:,} {are} large enough to matter "
        f"but within {its} error."
    )
    return said, _CHANCE * (total - same)


def _by_pair(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the counts by pair of methods and measure."""
    groups = lines.groupby(["method", "reference", "measure"], sort=False, as_index=False)
    counts = groups.agg(
        differences=("same", "size"),
        equal=("same", "sum"),
        told_apart=("apart", "sum"),
        open=("open", "sum"),
        replicates_needed=("needed", "max"),
    )
    return counts.assign(measure=counts["measure"].map(_COMPARED))


def _compared(some: pd.DataFrame, margins: Floats) -> pd.DataFrame:
    """Return which differences are 0, told apart from it, open, and the replicates these need."""
    value = some["value"].to_numpy(dtype=float)
    # Half the width of the limits: the MCSE but for shares, whose error is never 0.
    error = ((some["upper"] - some["lower"]) / (2 * Z)).to_numpy(dtype=float)
    same = (value == 0) & ~(some["mcse"].to_numpy(dtype=float) > 0)
    apart = ((some["lower"] > 0) | (some["upper"] < 0)).to_numpy() & ~same
    undecided = (np.abs(value) >= margins) & ~apart & ~same
    size = np.where(value == 0, np.nan, np.abs(value))
    replicates = some["replicates"].to_numpy()
    needed = np.maximum((_TWO * error / size) ** 2 * replicates, replicates + 1)
    return some[["method", "reference", "measure"]].assign(
        same=same, apart=apart, open=undecided, needed=np.where(undecided, needed, np.nan)
    )


def _margins_in_words(kinds: Sequence[str], level: float) -> str:
    """Return what `_margins` are."""
    words = {
        "bias": f"{MATTERS:g} of the reference's RMSE for bias",
        "mean": f"{MATTERS:g} of the reference's standard deviation for a mean",
        "MSE": f"{MATTERS:g} of its MSE",
        "coverage": f"{coverage_margin(level):.3g} for coverage",
        "rejection": f"{coverage_margin(level):.3g} for rejection",
    }
    return ", ".join(words[kind] for kind in kinds)


def _margins(some: pd.DataFrame, performance: pd.DataFrame, level: float) -> Floats:
    """Return how large each difference must be to matter, shape (rows,)."""
    factors = factor_columns(performance)
    keys = levels_by_row(columns_of(some), [*factors, "reference", "estimand"])
    rmse, spread = (
        np.array([sizes.get(key, np.nan) for key in keys], dtype=float)
        for sizes in (_by_cell(performance, n, "value") for n in ("rmse", "empirical_se"))
    )
    of = {
        "bias_difference": MATTERS * rmse,
        "mean_difference": MATTERS * spread,
        "mse_difference": MATTERS * rmse**2,
    }
    # A coverage or a rejection rate is a share.
    share = coverage_margin(level)
    made: Floats = np.select([some["measure"] == name for name in of], list(of.values()), share)
    return made


def _by_cell(
    performance: pd.DataFrame, measure: str, column: str, kinds: tuple[str, ...] = ()
) -> dict[tuple[Any, ...], Any]:
    """Return a number of a measure by factors, method, estimand and `kinds`."""
    some = performance[performance["measure"] == measure]
    names = [*factor_columns(performance), "method", "estimand", *kinds]
    return dict(zip(levels_by_row(columns_of(some), names), some[column], strict=True))


def _precision(performance: pd.DataFrame, level: float, words: Words) -> Check:
    """Compare the errors of bias and coverage with what they should tell."""
    margin = coverage_margin(level)
    # Where nothing has a true value the means stand for the biases.
    measured = set(performance["measure"])
    one, unit, of = (
        ("bias", "RMSE", "rmse")
        if "bias" in measured or "mean" not in measured
        else ("mean", "standard deviation", "empirical_se")
    )
    biases = performance[(performance["measure"] == one) & performance["mcse"].notna()]
    sizes = _by_cell(performance, of, "value")
    keys = levels_by_row(columns_of(biases), [*factor_columns(performance), "method", "estimand"])
    scale = np.array([sizes.get(key) or np.nan for key in keys], dtype=float)
    with np.errstate(invalid="ignore"):  # an infinite error of an infinite RMSE says nothing
        ratio = biases["mcse"].to_numpy(dtype=float) / scale
    tested = (performance["measure"] == REJECTION) & (performance["interval"] == TEST)
    tests = performance[tested & performance["value"].notna()]
    if not np.isfinite(ratio).any() and len(tests):
        return _precision_of_tests(tests, margin, words)
    if not np.isfinite(ratio).any():
        said = f"No {one} has a Monte Carlo error: that takes two estimates of a cell that differ."
        return Check(_CELLS, Verdict.UNKNOWN, said)
    said = f"The Monte Carlo error is at most {np.nanmax(ratio):.2g} of the {unit} for a {one}"
    where = f"Largest: {_place(biases, ratio, words)}"
    needed = _needed(biases, ratio, MATTERS)
    covers = performance[(performance["measure"] == "coverage") & performance["value"].notna()]
    if len(covers):
        error = errors(covers)
        said += f" and {np.nanmax(error):.2g} for a coverage"
        where += f"; {_place(covers, error, words)}"
        # A coverage that is told from nominal needs no more; its own error may be 0 by chance.
        near = (covers["lower"] <= level) & (covers["upper"] >= level)
        at_level = np.sqrt(level * (1 - level) / covers["used"].to_numpy())
        needed = max(needed, _needed(covers[near], at_level[near], margin))
    what = f"a {one} of {MATTERS:g} of the {unit}"
    what += f" and a coverage {margin:.3g} off {level:g}" if len(covers) else ""
    counts = performance["replicates"]
    now = " to ".join(f"{n:,}" for n in sorted({int(counts.min()), int(counts.max())}))
    return _judged(said, where, (what, "are"), needed, now)


def _precision_of_tests(cells: pd.DataFrame, margin: float, words: Words) -> Check:
    """Compare the errors of rejection rates with what they should tell."""
    error, now = errors(cells), f"{int(cells['replicates'].max()):,}"
    said = f"The Monte Carlo error is at most {np.nanmax(error):.2g} for a rejection rate"
    where = f"Largest: {_place(cells, error, words)}"
    return _judged(said, where, (f"{margin:.3g}", "is"), _needed(cells, error, margin), now)


def _judged(said: str, where: str, what: tuple[str, str], needed: float, now: str) -> Check:
    """Return the check of single cells: whether all have the replicates to tell what is asked."""
    if not needed:
        advice = f"{where}. Everywhere {' '.join(what)} at least twice the error."
        return Check(_CELLS, Verdict.FINE, f"{said}.", advice)
    advice = (
        f"{where}. For {what[0]} to be twice the error everywhere takes about {about(needed)} "
        f"replicates a condition (now {now})."
    )
    return Check(_CELLS, Verdict.WARNING, f"{said}.", advice)


def _place(cells: pd.DataFrame, error: Floats, words: Words) -> str:
    """Return where the largest error is."""
    return words.cell(cells.iloc[int(np.nanargmax(error))].to_dict())


def _needed(cells: pd.DataFrame, error: Floats, margin: float) -> float:
    """Return the replicates that make `margin` twice the error in all cells; 0 if it is."""
    times = (_TWO * error / margin) ** 2
    needed = np.where(times > 1, times * cells["replicates"].to_numpy(), 0.0)
    return float(np.nanmax(needed, initial=0.0))


def _goals(performance: pd.DataFrame, record: Mapping[str, Any]) -> Check:
    """Say whether the study is as precise as it was to be."""
    lines = precision_lines(performance, record["precision"], record["max_replicates"])
    short = performance["reached"].eq(False).fillna(False).any()
    judged = performance["reached"].notna().any()
    verdict = Verdict.UNKNOWN if not judged else Verdict.WARNING if short else Verdict.FINE
    return Check("Precision that was asked for", verdict, "; ".join(lines) + ".")


def _missing(performance: pd.DataFrame, words: Words) -> Check:
    """Count missing standard errors and intervals of methods that give them.

    A standard error is missing of an estimate; an interval is missing of a data set, so that those
    of failed fits count, as in the bounds of a coverage.
    """
    name = "Standard errors and intervals"
    counts: dict[tuple[str, str, str], tuple[int, int, float]] = {}
    for key, expected, there in _given(performance):
        of, given, most = counts.get(key, (0, 0, 0.0))
        here = 1 - min(there, expected) / expected if expected else 0.0
        counts[key] = (of + expected, given + min(there, expected), max(most, here))
    lines = [(*key, n, n - there, most) for key, (n, there, most) in counts.items() if there]
    if not lines:
        said = "No method gives standard errors or intervals, so none are missing."
        return Check(name, Verdict.FINE, said)
    heads = ["method", "estimand", "what", "of", "missing", _MOST]
    frame = pd.DataFrame(lines, columns=heads)
    bad = frame[frame[_MOST] > FEW_MISSING].sort_values(_MOST, ascending=False, kind="stable")
    said = _missing_std_errors(frame[frame["what"] == _STD_ERROR], words)
    if bad.empty:
        few = "no interval is missing in more than 1 % of the data sets of a condition"
        return Check(name, Verdict.FINE, f"{said}; {few}.")
    gaps = bad[bad["what"] != _STD_ERROR]
    if len(gaps):
        worst = gaps.iloc[0]
        which = [labelled(k, worst[n], words.labels) for k, n in _INTERVAL]
        said += (
            f"; {counted(len(gaps), 'interval')}, by method and estimand, "
            f"{'is' if len(gaps) == 1 else 'are'} missing in more than 1 % of the data sets of "
            f"some condition, at most in {100 * worst[_MOST]:.0f} % ({', '.join(which)})"
        )
    advice = (
        "Measures of what is missing rest on the other data sets, which may be the easier ones; "
        "coverage_of_all counts a missing interval as a miss."
    )
    frame = with_labels(bad.reset_index(drop=True), words.labels)
    return Check(name, Verdict.WARNING, f"{said}.", advice, frame)


def _missing_std_errors(frame: pd.DataFrame, words: Words) -> str:
    by_method = frame.groupby("method", sort=False)
    if not len(by_method):
        return "No method gives standard errors"
    lacking = [
        f"{int(some['missing'].sum()):,} of {int(some['of'].sum()):,} by "
        f"{words.list('method', [method])}"
        for method, some in by_method
        if some["missing"].any()
    ]
    if not lacking:
        return "Each estimate of a method that gives standard errors has one"
    return f"Estimates without a standard error: {', '.join(lacking)}"


def _given(performance: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], int, int]]:
    """Yield (method, estimand, what), how many there might be and how many there are, by cell.

    A method that was skipped might give nothing.
    """
    estimates = _by_cell(performance, "bias", "used") | _by_cell(performance, "mean", "used")
    for key, used in _by_cell(performance, "relative_error_model_se", "used").items():
        yield (key[-2], key[-1], _STD_ERROR), int(estimates.get(key, 0)), int(used)
    shares = _by_cell(performance, f"share_{Status.SKIPPED}", "value")
    skipped = {key[:-1]: share for key, share in shares.items()}
    sizes = _by_cell(performance, "coverage", "replicates", ("interval",))
    # A width needs finite limits, a coverage a truth.
    widths = _by_cell(performance, "width", "used", ("interval",))
    for key, used in _by_cell(performance, "coverage", "used", ("interval",)).items():
        fits = round(sizes[key] * (1 - skipped.get(key[:-2], 0.0)))
        yield key[-3:], fits, max(int(used), int(widths.get(key, 0)))
