"""The table of measures to what the page's script reads: names once, numbers without padding."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

from mcstudy.analysis.select import (
    factor_columns,
    is_missing,
    levels_of,
    method_order,
    varying,
)
from mcstudy.figures.style import label, level_label, method_colours, method_shapes
from mcstudy.measure import LEVEL, OF_INTERVALS, Z

if TYPE_CHECKING:
    from mcstudy.report.reported import Reported

_DIGITS = 6  # of a number on the page: its Monte Carlo error is never known to that many
_TARGETS = {
    **dict.fromkeys(("bias", "relative_bias", "standardized_bias", "median_bias"), 0.0),
    "relative_error_model_se": 0.0,
}


def page_data(results: Reported) -> dict[str, Any]:
    """Return the measures of a study for the page's script.

    Names stand once, in lists; a row has their places in these. Limits are left out where they are
    those of the normal distribution.
    """
    frame = results.performance
    factors = factor_columns(frame)
    names = {name: levels_of(frame, name) for name in factors}
    listed = {
        "method": _ordered(results, frame),
        **{name: levels_of(frame, name) for name in ("estimand", "interval", "measure")},
    }
    listed = {
        name: [level for level in levels if not is_missing(level)]
        for name, levels in listed.items()
    }
    level = float(results.study.get("level") or LEVEL)
    targets = {**_TARGETS, "coverage": level, "coverage_of_all": level}
    targets["bias_eliminated_coverage"] = level
    colours, shapes = method_colours(listed["method"]), method_shapes(listed["method"])
    return {
        "factors": [
            {
                "label": label(results, name, "factor"),
                "levels": [level_label(results, name, value) for value in names[name]],
                "numbers": [_number(value) for value in names[name]]
                if all(_is_number(value) for value in names[name])
                else None,
            }
            for name in factors
        ],
        "varying": [factors.index(name) for name in varying(frame, factors)],
        "methods": [
            {
                "label": label(results, name, "method"),
                "colour": colours[name],
                "shape": shapes[name],
            }
            for name in listed["method"]
        ],
        "estimands": [label(results, name, "estimand") for name in listed["estimand"]],
        "intervals": [label(results, name, "interval") for name in listed["interval"]],
        "measures": [
            {
                "name": name,
                "label": label(results, name, "measure"),
                "target": targets.get(name),
                "interval": name in OF_INTERVALS,
            }
            for name in listed["measure"]
        ],
        "rows": {
            **{
                f"f{place}": _places(frame[name], names[name]) for place, name in enumerate(factors)
            },
            **{
                kind: _places(frame[kind], listed[kind])
                for kind in ("method", "estimand", "interval", "measure")
            },
            "value": [_number(value) for value in frame["value"]],
            "mcse": [_number(value) for value in frame["mcse"]],
            "limits": [
                _limits(*cell)
                for cell in zip(
                    *(frame[n] for n in ("value", "mcse", "lower", "upper")), strict=True
                )
            ],
            "used": frame["used"].tolist(),
            "of": frame["replicates"].tolist(),
        },
    }


def _ordered(results: Reported, frame: Any) -> list[str]:
    there = levels_of(frame, "method")
    order = [name for name in method_order(results.study) if name in there]
    return [*order, *(name for name in there if name not in order)]


def _places(column: Any, levels: list[Any]) -> list[int]:
    """Return the place of each value in a list of levels, -1 of a missing one."""
    known = {level: place for place, level in enumerate(levels) if not is_missing(level)}
    missing = next((place for place, level in enumerate(levels) if is_missing(level)), -1)
    return [missing if is_missing(value) else known[value] for value in column]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


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
