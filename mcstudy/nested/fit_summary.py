"""The estimates of a fit as a text table."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from mcstudy.method import Estimate

_WIDTH = 88  # of notes: as the lines of this package's own texts


def summary_text(
    heading: Sequence[str],
    components: Sequence[Mapping[str, Estimate]],
    fixed: Mapping[str, Estimate],
    notes: Sequence[str],
    level: float,
) -> str:
    """Return a heading, blocks of components with their interval, fixed effects, and notes."""
    width = max(18, *(len(name) + 1 for name in fixed))
    head = f"{'':<{width}}{'estimate':>14}{'std. error':>14}"
    lines = [*heading, "", f"{head}{f'{100 * level:g} % interval':>30}"]
    for place, block in enumerate(components):
        lines += [""] if place else []
        for name, of in block.items():
            [(lower, upper)] = (of.intervals or {}).values()
            lines += [f"{_begin(name, of, width)}  {number(lower):>12} to {number(upper):>12}"]
    lines += ["", f"{head}{'df':>10}{'t':>10}{'p-value':>12}"]
    for name, of in fixed.items():
        test = f"{number(of.df, 4):>10}{number(t_of(of), 4):>10}{number(of.p_value, 4):>12}"
        lines += [_begin(name, of, width) + test]
    for note in notes:
        lines += ["", textwrap.fill(f"note: {note}", _WIDTH, subsequent_indent="  ")]
    return "\n".join(lines)


def number(value: float, digits: int = 6) -> str:
    """Return a number in short, a dash where it is missing."""
    return "-" if np.isnan(value) else format(value, f".{digits}g")


def t_of(of: Estimate) -> float:
    """Return an estimate over its standard error; missing where that is 0."""
    return float(of.value / of.std_error) if of.std_error else np.nan


def _begin(name: str, of: Estimate, width: int) -> str:
    return f"{name:<{width}}{number(of.value):>14}{number(of.std_error):>14}"
