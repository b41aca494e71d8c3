"""The search for a level: what was measured on the way, the target, and where it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import altair as alt

from mcstudy.figures.cells import rounded
from mcstudy.figures.drawing import data, finished
from mcstudy.figures.style import FAINT, INK
from mcstudy.labels import measure_words

if TYPE_CHECKING:
    import pandas as pd

_BLUE = "#0072B2"  # of Okabe and Ito, as the first method of every figure


class Solved(Protocol):
    """What is drawn of a search: `mcstudy.planning.solve.Solution` has it."""

    @property
    def factor(self) -> str:
        """Whose level is sought."""

    @property
    def measure(self) -> str:
        """What is to reach the target."""

    @property
    def target(self) -> float:
        """What the measure is to be."""

    @property
    def cell(self) -> str:
        """Of what, in words."""

    @property
    def level(self) -> float:
        """The level that is found."""

    @property
    def lower(self) -> float:
        """Its lower limit."""

    @property
    def upper(self) -> float:
        """Its upper limit."""

    @property
    def frame(self) -> pd.DataFrame:
        """What was measured, by level."""

    @property
    def path(self) -> pd.DataFrame:
        """The level and its limits, by step."""


def solution_figure(solution: Solved) -> Any:
    """Return the points by level, and below them the level by the replicates of each step."""
    words = measure_words(solution.measure)
    most = int(solution.frame["used"].max())
    points = [
        {"x": rounded(row["level"]), "v": rounded(row["value"]), "l": rounded(row["lower"])}
        | {"u": rounded(row["upper"]), "n": int(row["used"])}
        | {"s": round(20 + 100 * row["used"] / most)}
        for row in solution.frame.to_dict("records")
    ]
    x = alt.X("x:Q", title=solution.factor, scale=alt.Scale(zero=False))
    y = alt.Y("v:Q", title=words, scale=alt.Scale(zero=False))
    tips = [("x", solution.factor), ("v", words), ("l", "from"), ("u", "to"), ("n", "replicates")]
    shown = [alt.Tooltip(f"{name}:Q", title=title) for name, title in tips]
    base, low = alt.Chart(data(points)), alt.Y("l:Q", title=words)
    answer = [{"a": rounded(solution.lower), "b": rounded(solution.upper)}]
    answer[0]["x"] = rounded(solution.level)
    band = alt.Chart(data(answer)).mark_rect(color=FAINT, opacity=0.25)
    measured = alt.layer(
        band.encode(x=alt.X("a:Q", title=solution.factor), x2="b:Q"),
        alt.Chart(data([{}]))
        .mark_rule(strokeDash=[5, 3], color=FAINT)
        .encode(y=alt.YDatum(solution.target)),
        alt.Chart(data(answer)).mark_rule(color=INK).encode(x=x),
        base.mark_rule(color=_BLUE, strokeWidth=1.4).encode(x=x, y=low, y2="u:Q"),
        base.mark_point(filled=True, opacity=1, color=_BLUE).encode(
            x=x, y=y, size=alt.Size("s:Q", scale=None), tooltip=shown
        ),
    ).properties(width=420, height=220)
    steps = [
        {"x": int(row["replicates"]), "v": rounded(row["level"])}
        | {"l": rounded(row["lower"]), "u": rounded(row["upper"])}
        for row in solution.path.to_dict("records")
    ]
    log = alt.Scale(type="log", nice=False) if len(steps) > 1 else alt.Scale()
    count = alt.X("x:Q", title="Replicates so far", scale=log, axis=alt.Axis(format="~s"))
    level = alt.Y("v:Q", title=solution.factor, scale=alt.Scale(zero=False))
    path = alt.Chart(data(steps))
    search = alt.layer(
        path.mark_rule(color=_BLUE, strokeWidth=1.4).encode(
            x=count, y=alt.Y("l:Q", title=solution.factor, scale=alt.Scale(zero=False)), y2="u:Q"
        ),
        path.mark_point(filled=True, color=_BLUE, opacity=1).encode(x=count, y=level),
    ).properties(width=420, height=150)
    answer_in_words = str(solution).partition("\n")[0]
    lines = [
        solution.cell,
        "bars: 95 % Monte Carlo intervals, larger points: more replicates; dashed: the target; "
        "line and band: the level with its 95 % confidence limits; below: these after each step",
    ]
    title = f"{words} by {solution.factor}"
    return finished(alt.vconcat(measured, search, spacing=20), title, lines, answer_in_words)
