"""Panels of single replicates: their titles, and how they stand beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from mcstudy.errors import ResultsError
from mcstudy.figures.cells import Request
from mcstudy.figures.drawing import folded, stacked
from mcstudy.figures.rows import Replicates, labels_in_order

_MOST_PANELS = 36
_PAGE = 800


def tips(names: Sequence[tuple[str, str]]) -> list[alt.Tooltip]:
    """Return the lines of a tooltip: fields and what they are called."""
    # Vega-Lite writes a title into an expression and escapes its quotes, but no backslash.
    return [alt.Tooltip(f"{name}:N", title=title.replace("\\", "\\\\")) for name, title in names]


def titled(chart: Any, lines: Sequence[str]) -> Any:
    """Return a panel under a small title of several lines, each cut to its width."""
    texts = [line if len(line) <= 62 else line[:61] + "…" for line in lines if line]
    head, *rest = texts or [""]
    title = alt.TitleParams(head, subtitle=rest, fontSize=11, subtitleFontSize=10, offset=5)
    return chart.properties(title=title)


def check_panels(rows: Sequence[Replicates]) -> None:
    """Raise ResultsError where there is nothing to draw, or too much."""
    if not rows:
        raise ResultsError("there is nothing to draw here: no estimate with a true value")
    if len(rows) > _MOST_PANELS:
        raise ResultsError(
            f"{len(rows)} panels are too many for a figure ({_MOST_PANELS}); choose with where, "
            "estimand, method or interval"
        )


def rows_of_panels(
    request: Request, panels: Sequence[tuple[Replicates, Any]], *, height: int = 170
) -> Any:
    """Return panels, those of an estimand and condition in a row under their names."""
    blocks: dict[str, list[Any]] = {}
    several = len({one.condition for one, _ in panels}) > 1
    estimands = len({one.estimand for one, _ in panels}) > 1
    for one, panel in panels:
        names = [request.say(one.estimand)] if estimands else []
        names += [one.condition] if several else []
        blocks.setdefault(", ".join(names), []).append(panel)
    most = max(map(len, blocks.values()))
    width = round(max(105, min(320, _PAGE / min(most, 6) - 45)))
    rows = [
        alt.concat(*(p.properties(width=width, height=height) for p in own), columns=6, spacing=18)
        for own in blocks.values()
    ]
    return stacked(rows, list(blocks))


def by_panel(rows: Sequence[Replicates]) -> dict[tuple[str, str], list[Replicates]]:
    """Return the rows of each condition and estimand, all methods together."""
    panels: dict[tuple[str, str], list[Replicates]] = {}
    for one in rows:
        panels.setdefault((one.condition, one.estimand), []).append(one)
    return panels


def one_grid(request: Request, panels: Sequence[tuple[Replicates, Any]], *, height: int) -> Any:
    """Return panels side by side: conditions across, an estimand in each row."""
    estimands = labels_in_order([one.estimand for one, _ in panels])
    across = len({one.condition for one, _ in panels})
    width = round(max(150, min(430, _PAGE / across - 60)))
    rows = []
    for estimand in estimands:
        row = []
        for one, panel in panels:
            if one.estimand == estimand:
                sized = panel.properties(width=width, height=height)
                if across > 1:
                    lines = folded(one.condition, max(34, width // 7))[:3]
                    sized = sized.properties(title=alt.TitleParams(lines, fontSize=11, offset=5))
                row.append(sized)
        rows.append(alt.hconcat(*row, spacing=24))
    return stacked(rows, [request.say(name) for name in estimands])


def shown_methods(
    request: Request, rows: Sequence[Replicates], drawn: Sequence[str], lacks: str
) -> str:
    """Return the only method that is drawn, and those that are not, since they have no `lacks`."""
    left = [name for name in labels_in_order([one.method for one in rows]) if name not in drawn]
    words = request.method_labels
    said = [f"method {words[drawn[0]]}"] if len(drawn) == 1 else []
    said += [f"not shown, as without {lacks}: {', '.join(words[m] for m in left)}"] if left else []
    return "; ".join(said)


def only(request: Request, conditions: Mapping[str, str], rows: Sequence[Replicates]) -> str:
    """Return what all panels share: the condition, the estimand, how many replicates there are."""
    estimands = {one.estimand for one in rows}
    counts = {len(one.replicate) for one in rows}
    shared = [*conditions.values()] if len(conditions) == 1 else []
    shared += [request.say(name) for name in estimands] if len(estimands) == 1 else []
    most = f"{max(counts):,} replicates"
    count = most if len(counts) == 1 else f"up to {most}"
    return "; ".join(filter(None, [*shared, count, request.note]))
