"""What all figures are drawn with: data, marks with Monte Carlo intervals, panels, captions."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from mcstudy.analysis.select import own_intervals
from mcstudy.arguments import counted
from mcstudy.figures.axis import Axis
from mcstudy.figures.cells import Cells, Request, bounds_of, shown
from mcstudy.figures.style import FAINT, method_colours, method_shapes, theme
from mcstudy.measure import REJECTION

Records = Sequence[Mapping[str, Any]]
_LETTER = 6.0  # pixels of a letter of a heading
LETTERS = 110  # of a line of a caption, at the width of a page


def data(records: Records) -> alt.Data:
    """Return records as the data of a chart."""
    # A tuple: Altair copies lists with every step of a chart, at some seconds a figure.
    made: alt.Data = alt.Data(values=tuple(records))  # type: ignore[no-untyped-call]
    return made


def colour(request: Request, methods: Sequence[str], *, legend: bool = True) -> alt.Color:
    """Return the colour of each method: the same in every figure of the study."""
    colours, labels = method_colours(request.methods), request.method_labels
    return alt.Color(
        "m:N",
        scale=alt.Scale(
            domain=[labels[name] for name in methods], range=[colours[name] for name in methods]
        ),
        legend=alt.Legend(title=None) if legend and len(methods) > 1 else None,
    )


def shape(request: Request, methods: Sequence[str], *, legend: bool = True) -> alt.Shape:
    """Return the shape of each method, beside its colour."""
    shapes, labels = method_shapes(request.methods), request.method_labels
    return alt.Shape(
        "m:N",
        scale=alt.Scale(
            domain=[labels[name] for name in methods], range=[shapes[name] for name in methods]
        ),
        legend=alt.Legend(title=None) if legend and len(methods) > 1 else None,
    )


def tooltip(measure: str, *more: tuple[str, str]) -> list[alt.Tooltip]:
    """Return what is shown of a cell: where it is, value and error, on how many it rests."""
    lines = [("c", "cell"), ("m", "method"), ("t", f"{measure} (MCSE)")]
    lines += [("l", "95 % Monte Carlo limits, from"), ("u", "to"), ("n", "used/of"), *more]
    return [alt.Tooltip(f"{name}:N", title=title) for name, title in lines]


def x_of(axis: Axis, *, grid: bool = False) -> alt.X:
    """Return the place on an axis of levels."""
    return alt.X(
        "x:Q",
        scale=alt.Scale(domain=[0, axis.width], nice=False, zero=False),
        title=axis.title or None,
        axis=alt.Axis(
            values=list(axis.places),
            labelExpr=axis.label_expression,
            grid=grid,
            ticks=bool(axis.title),
            labelAngle=0 if not _crowded(axis) else -35,
            labelLimit=max(int(axis.step * 1.1), 60) if not _crowded(axis) else 160,
            labelOverlap="greedy" if axis.numeric else False,
        ),
    )


def _crowded(axis: Axis) -> bool:
    """Return whether the labels, at six pixels a letter, need more than their places."""
    return not axis.numeric and max(map(len, axis.labels)) * 6 > axis.step


def reference(value: float | None, *, across: bool = False) -> Any:
    """Return the line of a target, None where there is none."""
    if value is None:
        return None
    line = alt.Chart(data([{}])).mark_rule(strokeDash=[5, 3], color=FAINT, size=1.2)
    return line.encode(x=alt.XDatum(value)) if across else line.encode(y=alt.YDatum(value))


def faceted(
    layers: Sequence[alt.Chart | None],
    rows: Sequence[str],
    columns: Sequence[str],
    records: Records,
    *,
    width: float,
    height: float,
) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """Return layers in panels: fields `r` and `k` say in which row and column a record is."""
    own = [layer for layer in layers if layer is not None]
    chart = alt.layer(*own, data=data(records)).properties(width=width, height=height)
    facets: dict[str, Any] = {}
    if len(columns) > 1 or columns[0]:
        wide = max(map(len, columns)) * _LETTER > width
        heads = alt.Header(labelLimit=width + 10)
        if wide:  # a line for each factor
            heads = alt.Header(labelLimit=width + 10, labelExpr="split(datum.label, ', ')")
        facets["column"] = alt.Column("k:N", sort=list(columns), title=None, header=heads)
    if len(rows) > 1 or rows[0]:
        angle = -90 if max(map(len, rows)) * 6 < height else 0
        head = alt.Header(labelAngle=angle, labelOrient="right", labelAlign="center")
        if angle == 0:
            head = alt.Header(
                labelAngle=0,
                labelOrient="top",
                labelAnchor="start",
                labelAlign="left",
                labelPadding=4,
                labelLimit=600 if len(columns) == 1 else width,  # a longer one parts the columns
            )
        facets["row"] = alt.Row("r:N", sort=list(rows), title=None, header=head)
    between = {"row": 10, "column": 20}  # pixels; Vega's 20 make a page of many rows half empty
    return chart.facet(**facets, spacing=between).resolve_axis(x="shared") if facets else chart


def stacked(blocks: Sequence[Any], names: Sequence[str]) -> Any:
    """Return blocks one below the other, each under its name, colours and shapes shared."""
    if len(blocks) == 1:
        return blocks[0]
    titled = [
        block.properties(title=alt.TitleParams(name, fontSize=12, offset=6))
        for block, name in zip(blocks, names, strict=True)
    ]
    return alt.vconcat(*titled, spacing=14).resolve_scale(color="shared", shape="shared")


def finished(chart: Any, title: str, lines: Sequence[str], alternative: str = "") -> Any:
    """Return a chart with title, caption, text alternative and the look of all figures.

    `usermeta` of the chart has both, ``{"title": ..., "caption": [...]}``, for a page around it.
    """
    said = {"title": title, "caption": [line for line in lines if line]}
    head = alt.TitleParams(title, subtitle=[text for line in lines for text in folded(line)])
    described = ". ".join(filter(None, [title, *lines, alternative]))
    return chart.properties(
        title=head, description=described, usermeta=said, config=theme()["config"]
    )


def folded(line: str, letters: int = LETTERS) -> list[str]:
    """Return a line in pieces of at most so many letters, cut between words where there are any."""
    return textwrap.wrap(line, letters) or []


def about(request: Request, cells: Cells, *notes: str) -> list[str]:
    """Return the lines of a caption: what is fixed, on how many replicates, what is left out."""
    fixed = request.at({n: v for n, v in cells.fixed.items() if n != "method"})
    of = cells.frame["replicates"]
    low, high = int(of.min()), int(of.max())
    count = f"{high:,} replicates" if low == high else f"{low:,} to {high:,} replicates"
    lost = f"{cells.lost} cells have no value" if cells.lost else ""
    own = ", ".join(
        f"{request.levels('interval', [interval])[0]} of {request.method_labels[method]}"
        for method, interval in own_intervals(cells.frame).items()
    )
    intervals = f"intervals {own}" if own else ""
    first = "; ".join(
        filter(None, [only_method(request, cells), fixed, intervals, count, lost, request.note])
    )
    return [first, *("; ".join(filter(None, notes)),)]


def target_note(request: Request, measure: str) -> str:
    """Return what the dashed line of a measure is; empty where it has none."""
    wanted = request.goal(measure)
    if wanted is None:
        return ""
    return f"dashed: {wanted:g}" + ", nominal where the null is true" * measure.startswith(
        REJECTION
    )


def bounds_note(frame: pd.DataFrame, *, dotted: bool) -> str:
    """Return that a coverage lacks intervals, and what the dotted lines of such cells are."""
    count = sum(bounds_of(row) is not None for row in frame.to_dict("records"))
    if not count:
        return ""
    lacks = f"in {counted(count, 'cell')} more than 1 % of the intervals are missing"
    if dotted:
        return f"{lacks} (dotted: the share if these count as 0, and as 1)"
    return f"{lacks}: coverage_of_all counts these as misses"


def bounds_layer(drawn: Sequence[Mapping[str, Any]], *, across: bool, **by: Any) -> list[Any]:
    """Return the layer of the dotted lines from bound to bound; none where nothing is missing."""
    if not any("b" in record for record in drawn):
        return []
    first, second = ("x", "x2") if across else ("y", "y2")
    channel = alt.X if across else alt.Y
    ends = {first: channel("b:Q", scale=alt.Scale(zero=False)), second: "d:Q"}
    lines = alt.Chart().mark_rule(strokeWidth=1.4, strokeDash=[1, 3])
    return [lines.transform_filter("isValid(datum.b)").encode(**ends, **by)]


def only_method(request: Request, cells: Cells) -> str:
    """Return the label of the only method; empty where there are several."""
    methods = cells.frame["method"].unique()
    return f"method {request.method_labels[methods[0]]}" if len(methods) == 1 else ""


def extremes(request: Request, cells: Cells, measure: str, factors: Sequence[str]) -> str:
    """Return the lowest and the highest value in words, the text alternative's main numbers."""
    frame = cells.frame[cells.frame["measure"] == measure]
    names = [*factors, *(n for n in ("method", "estimand", "interval") if cells.varies(n))]
    said = []
    values = frame["value"].to_numpy(dtype=float)
    for word, row in (("lowest", values.argmin()), ("highest", values.argmax())):
        one = frame.iloc[int(row)].to_dict()
        where = request.at({name: one[name] for name in names})
        said.append(f"{word} {shown(one)}" + (f" at {where}" if where else ""))
    return f"{request.say_measure(measure)} of {len(frame)} cells: {'; '.join(said)}"
