"""What all figures are drawn with: data, marks with Monte Carlo intervals, panels, captions."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import altair as alt
import pandas as pd

from mcstudy.analysis.select import levels_of, own_intervals
from mcstudy.arguments import counted
from mcstudy.figures.cells import Cells, Request, bounds_of, with_error
from mcstudy.figures.style import FAINT, method_colours, method_shapes, theme
from mcstudy.measure import REJECTION

Records = Sequence[Mapping[str, Any]]
_Place = TypeVar("_Place", alt.X, alt.Y)
ERROR_TIPS = (("l", "95 % Monte Carlo limits, from"), ("u", "to"), ("n", "used/of"))
_LETTER = 6.0  # pixels of a letter of a heading
_LETTERS = 110  # of a line of a caption, at the width of a page


def data(records: Records) -> alt.Data:
    """Return records as the data of a chart."""
    # A tuple: Altair copies lists with every step of a chart, at some seconds a figure.
    made: alt.Data = alt.Data(values=tuple(records))  # type: ignore[no-untyped-call]
    return made


def free(place: type[_Place], field: str, title: str | None, **more: Any) -> _Place:
    """Return a numeric axis that need not begin at 0."""
    return place(f"{field}:Q", title=title, scale=alt.Scale(zero=False), **more)


def colour(request: Request, methods: Sequence[str], *, legend: bool = True) -> alt.Color:
    """Return the colour of each method: the same in every figure of the study."""
    return alt.Color("m:N", **_by_method(request, methods, method_colours(request.methods), legend))


def shape(request: Request, methods: Sequence[str], *, legend: bool = True) -> alt.Shape:
    """Return the shape of each method, beside its colour."""
    return alt.Shape("m:N", **_by_method(request, methods, method_shapes(request.methods), legend))


def _by_method(
    request: Request, methods: Sequence[str], values: Mapping[str, str], legend: bool
) -> dict[str, Any]:
    labels = [request.method_labels[name] for name in methods]
    scale = alt.Scale(domain=labels, range=[values[name] for name in methods])
    shown = alt.Legend(title=None) if legend and len(methods) > 1 else None
    return {"scale": scale, "legend": shown}


def tips(*names: tuple[str, str], kind: str = "N") -> list[alt.Tooltip]:
    """Return the lines of a tooltip: fields and what they are called."""
    # Vega-Lite writes a title into an expression and escapes its quotes, but no backslash.
    return [
        alt.Tooltip(f"{name}:{kind}", title=title.replace("\\", "\\\\")) for name, title in names
    ]


def cell_tips(measure: str) -> list[alt.Tooltip]:
    """Return what is shown of a cell: where it is, value and error, on how many it rests."""
    return tips(("c", "cell"), ("m", "method"), ("t", f"{measure} (MCSE)"), *ERROR_TIPS)


def line_at(value: float, *, across: bool = False, **look: Any) -> alt.Chart:
    """Return a dashed line at a value, upright if the values run `across`."""
    line: alt.Chart = alt.Chart(data([{}])).mark_rule(strokeDash=[5, 3], color=FAINT, **look)
    return line.encode(x=alt.XDatum(value)) if across else line.encode(y=alt.YDatum(value))


def reference(value: float | None, *, across: bool = False) -> list[alt.Chart]:
    """Return the layer of the line of a target; none where there is no target."""
    return [] if value is None else [line_at(value, across=across, size=1.2)]


def faceted(
    layers: Sequence[alt.Chart],
    rows: Sequence[str],
    columns: Sequence[str],
    records: Records,
    *,
    width: float,
    height: float,
) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """Return layers in panels: fields `r` and `k` say in which row and column a record is."""
    chart = alt.layer(*layers, data=data(records)).properties(width=width, height=height)
    facets: dict[str, Any] = {}
    if len(columns) > 1 or columns[0]:
        heads = alt.Header(labelLimit=width + 10)
        if max(map(len, columns)) * _LETTER > width:  # a line for each factor
            heads = alt.Header(labelLimit=width + 10, labelExpr="split(datum.label, ', ')")
        facets["column"] = alt.Column("k:N", sort=list(columns), title=None, header=heads)
    if len(rows) > 1 or rows[0]:
        look: dict[str, Any] = {"labelAngle": -90, "labelOrient": "right", "labelAlign": "center"}
        if max(map(len, rows)) * _LETTER >= height:
            look = {"labelAngle": 0, "labelOrient": "top", "labelAlign": "left"}
            look |= {"labelAnchor": "start", "labelPadding": 4}
            look["labelLimit"] = 600 if len(columns) == 1 else width  # a longer one parts columns
        head = alt.Header(**look)
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


def by_estimand(
    request: Request, frame: pd.DataFrame, drawn: Callable[[pd.DataFrame], Any]
) -> tuple[list[Any], list[str]]:
    """Return what is drawn of the cells of each estimand, and the names of these."""
    estimands = levels_of(frame, "estimand")
    name = frame["estimand"]
    blocks = [
        drawn(frame[name.isna() if estimand is None else name == estimand])
        for estimand in estimands
    ]
    return blocks, [request.say(str(estimand)) for estimand in estimands]


def clauses(*texts: str) -> str:
    """Return texts as one line, without the empty ones."""
    return "; ".join(filter(None, texts))


def finished(chart: Any, title: str, lines: Sequence[str], alternative: str = "") -> Any:
    """Return a chart with title, caption, text alternative and the look of all figures.

    `usermeta` of the chart has both, ``{"title": ..., "caption": [...]}``, for a page around it.
    """
    said = {"title": title, "caption": [line for line in lines if line]}
    head = alt.TitleParams(
        title, subtitle=[text for line in lines for text in textwrap.wrap(line, _LETTERS)]
    )
    described = ". ".join(filter(None, [title, *lines, alternative]))
    return chart.properties(
        title=head, description=described, usermeta=said, config=theme()["config"]
    )


def about(request: Request, cells: Cells, *notes: str) -> list[str]:
    """Return the lines of a caption: what is fixed, on how many replicates, what is left out."""
    fixed = request.at({n: v for n, v in cells.fixed.items() if n != "method"})
    of = cells.frame["replicates"]
    low, high = int(of.min()), int(of.max())
    count = f"{high:,} replicates" if low == high else f"{low:,} to {high:,} replicates"
    own = ", ".join(
        f"{request.levels('interval', [interval])[0]} of {request.method_labels[method]}"
        for method, interval in own_intervals(cells.frame).items()
    )
    methods = cells.frame["method"].unique()
    first = clauses(
        f"method {request.method_labels[methods[0]]}" if len(methods) == 1 else "",
        fixed,
        f"intervals {own}" if own else "",
        count,
        f"{cells.lost} cells have no value" if cells.lost else "",
        request.note,
    )
    return [first, clauses(*notes)]


def target_note(request: Request, measure: str) -> str:
    """Return what the dashed line of a measure is; empty where it has none."""
    wanted = request.goal(measure)
    if wanted is None:
        return ""
    null = ", nominal where the null is true" if measure.startswith(REJECTION) else ""
    return f"dashed: {wanted:g}{null}"


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
    scale = alt.Scale(zero=False)
    ends: dict[str, Any] = {"y": alt.Y("b:Q", scale=scale), "y2": "d:Q"}
    if across:
        ends = {"x": alt.X("b:Q", scale=scale), "x2": "d:Q"}
    lines = alt.Chart().mark_rule(strokeWidth=1.4, strokeDash=[1, 3])
    return [lines.transform_filter("isValid(datum.b)").encode(**ends, **by)]


def extremes(request: Request, cells: Cells, measure: str, factors: Sequence[str]) -> str:
    """Return the lowest and the highest value in words, the text alternative's main numbers."""
    frame = cells.frame[cells.frame["measure"] == measure]
    names = [*factors, *cells.varying("method", "estimand", "interval")]
    said = []
    values = frame["value"].to_numpy(dtype=float)
    for word, row in (("lowest", values.argmin()), ("highest", values.argmax())):
        one = frame.iloc[int(row)].to_dict()
        where = request.at({name: one[name] for name in names})
        said.append(f"{word} {with_error(one)}" + (f" at {where}" if where else ""))
    return f"{request.say_measure(measure)} of {len(frame)} cells: {'; '.join(said)}"
