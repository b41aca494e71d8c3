"""The search for a level: what was measured on the way, the target, and where it is reached."""

from __future__ import annotations

from typing import Any

import altair as alt

from mcstudy.figures.cells import rounded
from mcstudy.figures.drawing import data, finished, free, line_at, tips
from mcstudy.figures.style import FAINT, INK, PALETTE
from mcstudy.labels import measure_words

_BLUE = PALETTE[0]  # as the first method of every figure
_WIDTH = 420  # pixels of both panels, one below the other


def solution_figure(solution: Any) -> Any:
    """Return the points by level, and below them the level by the replicates of each step.

    It is a `mcstudy.planning.solve.Solution`, which comes after this folder.
    """
    words, factor = measure_words(solution.measure), solution.factor
    lines = [
        solution.cell,
        "bars: 95 % Monte Carlo intervals, larger points: more replicates; dashed: the target; "
        "line and band: the level with its 95 % confidence limits; below: these after each step",
    ]
    chart = alt.vconcat(_measured(solution, words), _search(solution), spacing=20)
    return finished(chart, f"{words} by {factor}", lines, str(solution).partition("\n")[0])


def _measured(solution: Any, words: str) -> Any:
    """Return what was measured by level, and where the target is reached."""
    factor, most = solution.factor, int(solution.frame["used"].max())
    points = [
        {"x": rounded(row["level"]), "v": rounded(row["value"]), "l": rounded(row["lower"])}
        | {"u": rounded(row["upper"]), "n": int(row["used"])}
        | {"s": round(20 + 100 * row["used"] / most)}
        for row in solution.frame.to_dict("records")
    ]
    found = {"a": solution.lower, "b": solution.upper, "x": solution.level}
    answer = alt.Chart(data([{name: rounded(level) for name, level in found.items()}]))
    x, y = free(alt.X, "x", factor), free(alt.Y, "v", words)
    tooltip = tips(
        *(("x", factor), ("v", words), ("l", "from"), ("u", "to"), ("n", "replicates")), kind="Q"
    )
    base = alt.Chart(data(points))
    dots = base.mark_point(filled=True, opacity=1, color=_BLUE)
    return alt.layer(
        answer.mark_rect(color=FAINT, opacity=0.25).encode(x=alt.X("a:Q", title=factor), x2="b:Q"),
        line_at(solution.target),
        answer.mark_rule(color=INK).encode(x=x),
        base.mark_rule(color=_BLUE, strokeWidth=1.4).encode(
            x=x, y=alt.Y("l:Q", title=words), y2="u:Q"
        ),
        dots.encode(x=x, y=y, size=alt.Size("s:Q", scale=None), tooltip=tooltip),
    ).properties(width=_WIDTH, height=220)


def _search(solution: Any) -> Any:
    """Return the level and its limits after each step."""
    steps = [
        {"x": int(row["replicates"]), "v": rounded(row["level"])}
        | {"l": rounded(row["lower"]), "u": rounded(row["upper"])}
        for row in solution.path.to_dict("records")
    ]
    log = alt.Scale(type="log", nice=False) if len(steps) > 1 else alt.Scale()
    x = alt.X("x:Q", title="Replicates so far", scale=log, axis=alt.Axis(format="~s"))
    y, low = (free(alt.Y, end, solution.factor) for end in "vl")
    base = alt.Chart(data(steps))
    return alt.layer(
        base.mark_rule(color=_BLUE, strokeWidth=1.4).encode(x=x, y=low, y2="u:Q"),
        base.mark_point(filled=True, color=_BLUE, opacity=1).encode(x=x, y=y),
    ).properties(width=_WIDTH, height=150)
