"""The tables of measures and comparisons to what the page's script reads: names stand once."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from numbers import Real
from typing import Any

import pandas as pd

from mcstudy.analysis.precision import target
from mcstudy.analysis.select import factor_columns, is_missing, levels_of, varying
from mcstudy.columns import COUNTS, VALUES
from mcstudy.figures.cells import by_influence
from mcstudy.figures.style import (
    label,
    level_label,
    method_colours,
    method_labels,
    method_shapes,
    theme,
    unlike,
)
from mcstudy.measure import LEVEL, OF_INTERVALS, Z, alphas_of, is_share, rejection_at
from mcstudy.report.reported import Reported, keeps_rows
from mcstudy.tables.numbers import bounds_in_words, coverage_bounds, number_with_error

_DIGITS = 6  # of a number on the page: its Monte Carlo error is never known to that many
_SHOWN = ("measure", *VALUES, *COUNTS)
_MOST_COMPARISONS = 100_000  # of some 60 bytes each on the page
_FIRST = ("coverage", "rejection", "bias", "mean")
"""The measures that the figure shows first: that of these which the study has."""


def page_data(results: Reported) -> dict[str, Any]:
    """Return the measures and comparisons of a study for the page's script.

    Names stand in lists; a row has their places in these. Limits are left out where they are those
    of the normal distribution.
    """
    performance = results.performance
    factors = factor_columns(performance)
    tables = [performance, results.fit_measures, _comparisons(results)]
    frame = pd.concat([one for one in tables if len(one)], ignore_index=True)
    words = {
        name: [level for level in levels_of(frame, name) if not is_missing(level)]
        for name in ("estimand", "interval", "measure")
    }
    first = next((name for name in _FIRST if name in words["measure"]), words["measure"][0])
    moving = by_influence(performance, first, None, varying(performance, factors))
    return {
        "factors": [
            {
                "label": label(results, name, "factor"),
                "levels": unlike([level_label(results, name, value) for value in levels]),
                "numbers": _numbers(levels),
            }
            for name in factors
            for levels in [levels_of(frame, name)]
        ],
        "varying": [factors.index(name) for name in moving],
        "methods": list(_methods(results).values()),
        "estimands": unlike([label(results, name, "estimand") for name in words["estimand"]]),
        "intervals": unlike([label(results, name, "interval") for name in words["interval"]]),
        "measures": [_measure(results, name, frame) for name in words["measure"]],
        "first": words["measure"].index(first),
        "config": dict(theme())["config"],
        "rows": _rows(frame, factors, list(_methods(results)), words),
    }


def _rows(
    frame: pd.DataFrame,
    factors: Sequence[str],
    methods: Sequence[Hashable],
    words: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the columns of the rows, with places in place of names."""
    references = frame["reference"] if "reference" in frame else [None] * len(frame)
    others = [None if is_missing(name) else name for name in references]
    return {
        **{
            f"f{place}": _places(frame[name], levels_of(frame, name))
            for place, name in enumerate(factors)
        },
        "method": _places(list(zip(frame["method"], others, strict=True)), methods),
        **{kind: _places(frame[kind], of) for kind, of in words.items()},
        "value": [_number(value) for value in frame["value"]],
        "mcse": [_number(value) for value in frame["mcse"]],
        "limits": [_limits(*cell) for cell in zip(*(frame[n] for n in VALUES), strict=True)],
        "shown": [_shown(*cell) for cell in zip(*(frame[n] for n in _SHOWN), strict=True)],
        "used": frame["used"].tolist(),
        "of": frame["replicates"].tolist(),
    }


def too_many_comparisons(results: Reported) -> int:
    """Return how many comparisons there are, where they are too many for the page; else 0."""
    count = len(results.comparisons) if keeps_rows(results) else 0
    return count if count > _MOST_COMPARISONS else 0


def _comparisons(results: Reported) -> pd.DataFrame:
    """Return the comparisons; none where no rows are kept, or there are too many."""
    if not keeps_rows(results) or too_many_comparisons(results):
        return results.performance.iloc[:0]
    return results.comparisons


def _methods(results: Reported) -> dict[Hashable, dict[str, Any]]:
    """Return each method, then each two that are compared, by name and name of the reference."""
    order = levels_of(results.performance, "method")
    colours, shapes = method_colours(order), method_shapes(order)
    labels = method_labels(results, order)
    words: dict[tuple[str, str | None], str] = {(name, None): labels[name] for name in order}
    frame = _comparisons(results)
    if "reference" in frame:
        pairs = sorted(
            {*zip(frame["method"], frame["reference"], strict=True)},
            key=lambda pair: [order.index(name) for name in reversed(pair)],
        )
        words |= {pair: " against ".join(labels[name] for name in pair) for pair in pairs}
    return {
        (one, other): {
            "label": text,
            "colour": colours[one],
            "shape": shapes[other or one],
            "pair": other is not None,
        }
        for (one, other), text in words.items()
    }


def _measure(results: Reported, name: str, frame: pd.DataFrame) -> dict[str, Any]:
    level = float(results.study.get("level") or LEVEL)
    nominal = rejection_at(alphas_of(results.study.get("alpha"), level)).get(name)
    aim = target(name, level)
    rows = frame[frame["measure"] == name]
    return {
        "name": name,
        "label": label(results, name, "measure"),
        "target": nominal if math.isnan(aim) else aim,
        "nominal": nominal is not None,
        "pair": "reference" in rows and bool(rows["reference"].notna().any()),
        "interval": name in OF_INTERVALS or bool(rows["interval"].notna().any()),
        "estimand": bool(rows["estimand"].notna().any()),
        "share": is_share(name) or name.startswith(("coverage", "rejection")),
    }


def _shown(
    measure: str, value: float, mcse: float, lower: float, upper: float, used: int, of: int
) -> str:
    """Return a number as the printed tables have it, of a coverage that lacks intervals bounds."""
    bounds = bounds_in_words(coverage_bounds(measure, value, used, of))
    return f"{number_with_error(value, mcse, lower, upper)} {bounds}".rstrip()


def _places(column: Any, levels: Sequence[Any]) -> list[int]:
    """Return the place of each value in a list of levels, -1 of a missing one."""
    known = {level: place for place, level in enumerate(levels)}
    return [known.get(None, -1) if is_missing(value) else known[value] for value in column]


def _numbers(levels: Sequence[Any]) -> list[float | int | None] | None:
    """Return the levels of a numeric factor, None of another."""
    numeric = all(
        isinstance(x, Real) and not isinstance(x, bool) and math.isfinite(x) for x in levels
    )
    return [_number(float(x)) for x in levels] if numeric else None


def _number(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def _limits(
    value: float, mcse: float, lower: float, upper: float
) -> list[float | int | None] | int:
    """Return the limits of a number, 0 where they are value +- 1.96 mcse."""
    near = 1e-9 * max(abs(value), abs(mcse), 1e-300)
    if not math.isfinite(lower) or (
        abs(lower - (value - Z * mcse)) <= near and abs(upper - (value + Z * mcse)) <= near
    ):
        return 0
    return [_number(lower), _number(upper)]
