"""The estimates of a fit as a text table."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from mcstudy.method import Estimate

_WIDTH = 88  # of notes: narrower than the table


def summary_text(
    heading: Sequence[str],
    blocks: Sequence[Mapping[str, Estimate]],
    notes: Sequence[str],
    level: float,
) -> str:
    """Return a heading, a block of lines for each kind of estimates, and notes.

    Each estimate has one interval. Those of the last block, the fixed effects, have degrees of
    freedom and p-values.
    """
    width = max(18, *(len(name) + 1 for block in blocks for name in block))
    head = f"{'':<{width}}{'estimate':>14}{'std. error':>14}{f'{100 * level:g} % interval':>30}"
    test = f"{'df':>9}{'t':>9}{'p-value':>11}"
    lines = [*heading, "", head]
    for place, block in enumerate(blocks):
        tested = place == len(blocks) - 1
        if place:
            lines += ["", head + test] if tested else [""]
        for name, of in block.items():
            [(lower, upper)] = (of.intervals or {}).values()
            lines += [
                f"{name:<{width}}{number(of.value):>14}{number(of.std_error):>14}"
                f"  {number(lower):>12} to {number(upper):>12}"
            ]
            if tested:
                t = of.value / of.std_error if of.std_error else np.nan
                lines[-1] += f"{_short(of.df):>9}{_short(t):>9}{_short(of.p_value):>11}"
    for note in notes:
        lines += ["", textwrap.fill(f"note: {note}", _WIDTH, subsequent_indent="  ")]
    return "\n".join(lines)


def number(value: float) -> str:
    """Return a number with six digits, a dash where it is missing."""
    return "-" if np.isnan(value) else format(value, ".6g")


def _short(value: float) -> str:
    return "-" if np.isnan(value) else format(value, ".4g")
