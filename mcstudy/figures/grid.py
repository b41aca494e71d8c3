"""All conditions at once: nested loop plot and heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import pandas as pd

from mcstudy.analysis.select import first_measure, levels_of, own_intervals
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import (
    MOST_PANELS,
    Cells,
    Request,
    cells_of,
    checked_factor,
    level_codes,
    places,
    records,
    thinned,
)
from mcstudy.figures.drawing import (
    about,
    bounds_note,
    colour,
    data,
    extremes,
    faceted,
    finished,
    reference,
    shape,
    stacked,
    target_note,
    tooltip,
)
from mcstudy.figures.style import FAINT, INK

_PAGE = 820  # pixels of all conditions side by side
_STAIR = 26  # pixels of the steps of a factor
_MOST_TEXT = 12  # pixels: in a narrower cell its number cannot be read
_WIDE_TEXT = 40  # pixels: room for a number of three decimals
_MOST_SIDE = 60  # levels along one side of a heat map


def nested_loop(request: Request) -> Any:
    """Return the nested loop plot: every condition in order, the strongest factor outermost.

    Points are not joined: neighbours differ in whatever factor is innermost (Rucker & Schwarzer
    2014, BMC Medical Research Methodology 14:129).
    """
    measure = measure_of(request)
    cells = cells_of(request, [measure])
    if not cells.factors:
        raise ResultsError("nested_loop: no factor varies here; lolly shows a single condition")
    first = checked_factor(request, request.x, cells)
    order = [*([first] if first else []), *(f for f in cells.factors if f != first)]
    order = [name for name in order if name in cells.factors]
    frame, thin = thinned(cells.frame)
    codes = pd.DataFrame({name: level_codes(frame, name) for name in order}, index=frame.index)
    keys = sorted(set(codes.itertuples(index=False, name=None)))
    place = {key: i for i, key in enumerate(keys)}
    spots = [place[key] for key in codes.itertuples(index=False, name=None)]
    frame = frame.assign(**{_SPOT: spots})
    estimands = levels_of(frame, "estimand")
    blocks = []
    for estimand in estimands:
        own = frame[frame["estimand"].isna() if estimand is None else frame["estimand"] == estimand]
        blocks.append(_points(request, replace(cells, frame=own), order, measure, len(keys)))
    names = [request.say(str(name)) for name in estimands]
    blocks.append(_stairs(request, frame, order, keys))
    line = target_note(request, measure)
    what = "; ".join(filter(None, ["bars: 95 % Monte Carlo intervals", line]))
    said = "below: the levels of each factor, the outermost one first"
    titles = [*(names if len(names) > 1 else [""]), ""]
    return finished(
        stacked(blocks, titles),
        f"{request.say_measure(measure)} under {len(keys)} conditions",
        about(request, cells, what, said, bounds_note(frame, dotted=False), thin),
        extremes(request, cells, measure, order),
    )


_SPOT = "\0spot"  # no factor can be called so


def measure_of(request: Request) -> str:
    """Return the measure that was asked for, or else the one to look at first."""
    return request.measure or first_measure(request.results.performance)


def _points(request: Request, cells: Cells, order: Sequence[str], measure: str, count: int) -> Any:
    """Return a row of panels, one for each interval, or one if each method has its own."""
    frame, methods = cells.frame, levels_of(cells.frame, "method")
    several = ["interval"] if cells.varies("interval") else []
    row, all_rows = places(request, frame, [] if own_intervals(cells.frame) else several)
    names = [*order, *several]
    own = {name: i for i, name in enumerate(methods)}
    shift = [(own[m] - (len(methods) - 1) / 2) / (len(methods) + 1) for m in frame["method"]]
    drawn = [
        {**record, "x": round(spot + aside, 3), "r": r}
        for record, spot, aside, r in zip(
            records(request, frame, names), frame[_SPOT].tolist(), shift, row, strict=True
        )
    ]
    words = request.say_measure(measure)
    base, paint = alt.Chart(), colour(request, methods)
    scale = alt.Scale(domain=[-0.5, count - 0.5], nice=False, zero=False)
    x = alt.X("x:Q", scale=scale, axis=None)
    y = alt.Y("v:Q", title=words, scale=alt.Scale(zero=False))
    low = alt.Y("l:Q", title=words, scale=alt.Scale(zero=False))
    gap = _PAGE / (count * len(methods))
    layers = [
        reference(request.goal(measure)),
        base.mark_rule(strokeWidth=1, opacity=0.6).encode(x=x, y=low, y2="u:Q", color=paint),
        base.mark_point(filled=True, size=max(9.0, min(40.0, gap**2)), opacity=1).encode(
            x=x, y=y, color=paint, shape=shape(request, methods), tooltip=tooltip(words)
        ),
    ]
    return faceted(layers, all_rows, [""], drawn, width=_PAGE, height=170)


def _stairs(
    request: Request, frame: pd.DataFrame, order: Sequence[str], keys: Sequence[tuple[int, ...]]
) -> Any:
    """Return the steps of the levels of each factor under the conditions, each level named once."""
    steps, texts, names = [], [], []
    for i, name in enumerate(order):
        levels = levels_of(frame, name)
        shown = request.levels(name, levels)
        words = [text.partition(" = ")[2] or text for text in shown]
        names.append({"x": -0.5, "y": -i - 0.5, "t": request.say(name) + ": " + ", ".join(words)})
        for spot, key in enumerate(keys):
            height = -i - 0.95 + 0.4 * key[i] / max(1, len(levels) - 1)
            steps.append({"x": spot - 0.5, "x2": spot + 0.5, "y": round(height, 3), "g": i})
        texts.append(name)
    merged: list[dict[str, Any]] = []
    for step in steps:
        last = merged[-1] if merged else None
        if last and (last["g"], last["y"], last["x2"]) == (step["g"], step["y"], step["x"]):
            last["x2"] = step["x2"]
        else:
            merged.append(step)
    x = alt.X("x:Q", scale=alt.Scale(domain=[-0.5, len(keys) - 0.5], nice=False), axis=None)
    bounds = alt.Scale(domain=[-len(order), 0], nice=False)
    y = alt.Y("y:Q", scale=bounds, axis=None)
    lines = alt.Chart(data(merged)).mark_rule(strokeWidth=1.5, color=FAINT)
    words = alt.Chart(data(names)).mark_text(
        align="left", baseline="bottom", dy=-1, fontSize=10, color=INK, limit=_PAGE
    )
    both = alt.layer(lines.encode(x=x, x2="x2:Q", y=y), words.encode(x=x, y=y, text="t:N"))
    return both.properties(
        width=_PAGE, height=_STAIR * len(order) + 4, view=alt.ViewBackground(stroke=None)
    )


def heat(request: Request) -> Any:
    """Return a measure over two factors as a heat map, other factors joining the axes.

    The colours part at the target, where there is one.
    """
    measure = measure_of(request)
    cells = cells_of(request, [measure])
    x, y, facets = _sides(request, cells)
    frame, thin = thinned(cells.frame)
    all_columns, all_rows = places(request, frame, x)[1], places(request, frame, y)[1]
    panel, all_panels = places(request, frame, facets)
    if max(len(all_columns), len(all_rows)) > _MOST_SIDE or len(all_panels) > MOST_PANELS:
        raise ResultsError(
            f"heat: {len(all_columns)} x {len(all_rows)} cells in {len(all_panels)} panels are too "
            "many for a figure; choose levels with where"
        )
    columns, rows = short_places(request, frame, x), short_places(request, frame, y)
    names = [*cells.factors, *(n for n in ("estimand", "interval") if cells.varies(n))]
    per_row = max(1, min(len(all_panels), _PAGE // max(150, 34 * len(all_columns))))
    width = max(120, min(44 * len(all_columns), 420))
    digits = 3 if width >= _WIDE_TEXT * len(all_columns) else 2
    drawn = [
        {**record, "x": a, "y": b, "k": k, "w": f"{record['v']:.{digits}f}"}
        for record, a, b, k in zip(
            records(request, frame, names), columns[0], rows[0], panel, strict=True
        )
    ]
    return finished(
        _tiles(request, drawn, measure, (columns, rows), all_panels, per_row, width),
        f"{request.say_measure(measure)} by {_and(request, x)}"
        + (f" and {_and(request, y)}" if y else ""),
        about(
            request,
            cells,
            _colours(measure, request),
            _largest_error(frame),
            bounds_note(frame, dotted=False),
            thin,
        ),
        extremes(request, cells, measure, cells.factors),
    )


def _largest_error(frame: pd.DataFrame) -> str:
    """Return how large the Monte Carlo error of a tile is at most; its tooltip has its own."""
    error = frame["mcse"].max()
    return f"Monte Carlo standard error at most {error:.2g}" if error > 0 else ""


def _sides(request: Request, cells: Cells) -> tuple[list[str], list[str], list[str]]:
    """Return what runs across, down and over the panels of a heat map."""
    x, y = (checked_factor(request, name, cells) for name in (request.x, request.y))
    kinds = (
        ("estimand", "method") if own_intervals(cells.frame) else ("estimand", "interval", "method")
    )
    facets = [n for n in kinds if cells.varies(n)]
    if request.facets is not None:
        facets = [n for n in request.facets if cells.varies(n)]
    facets = [name for name in facets if name not in (x, y)]
    free = [name for name in cells.factors if name not in (x, y, *facets)]
    across = [x] if x else free[:1] or ["method"]
    free = [name for name in free if name not in across]
    if "method" in across:
        facets = [name for name in facets if name != "method"]
    if y:
        return across, [y], [*facets, *free]
    down: list[str] = []
    size = [1, 1]
    for name in free:
        # Two factors and more: the shorter side takes the next one.
        count = cells.frame[name].nunique(dropna=False)
        size[0] = max(1, len(cells.frame[across].drop_duplicates()))
        if not down or size[1] * count <= size[0] * 4:
            down.append(name)
            size[1] *= count
        else:
            across.append(name)
    return across, down, facets


def short_places(
    request: Request, frame: pd.DataFrame, names: Sequence[str]
) -> tuple[list[str], list[str], str]:
    """Return labels of levels alone, ``8 / 3``, all of them in order, and the title ``n / k``."""
    if not names:
        return [""] * len(frame), [""], ""
    long, all_long = places(request, frame, names)
    texts = dict(zip(all_long, all_long, strict=True))
    if names != ["method"]:
        for text, row in zip(long, frame[list(names)].to_dict("records"), strict=True):
            said = [request.levels(str(n), [level])[0] for n, level in row.items()]
            alone = [
                t.removeprefix(f"{request.say(str(n))} = ") for n, t in zip(row, said, strict=True)
            ]
            texts[text] = " / ".join(alone)
    if len(set(texts.values())) < len(texts):
        texts = dict(zip(all_long, all_long, strict=True))
    title = " / ".join(request.say(name) for name in names)
    return [texts[text] for text in long], [texts[text] for text in all_long], title


def _and(request: Request, names: Sequence[str]) -> str:
    return ", ".join(request.say(name) for name in names)


def _colours(measure: str, request: Request) -> str:
    wanted = request.goal(measure)
    if wanted is None:
        return "darker: larger"
    return f"white: {wanted:g}, blue: above, red: below; the darker, the further off"


_RED, _WHITE, _BLUE = (0xB2, 0x18, 0x2B), (0xFF, 0xFF, 0xFF), (0x21, 0x66, 0xAC)
"""The ends and the middle of ColorBrewer's scheme RdBu, which the colour-blind can tell apart."""


def _parted(low: float, wanted: float, high: float, far: float) -> alt.Scale:
    """Return colours that part at the target and are as dark as a value is far, `far` darkest."""

    def shade(end: tuple[int, int, int], share: float) -> str:
        return "#" + "".join(
            f"{round(w + share * (e - w)):02X}" for w, e in zip(_WHITE, end, strict=True)
        )

    ends = (low, shade(_RED, (wanted - low) / far)), (high, shade(_BLUE, (high - wanted) / far))
    stops = [ends[0], (wanted, shade(_WHITE, 0.0)), ends[1]]
    kept = [stop for stop in stops if stop[0] != wanted or stop is stops[1]]
    return alt.Scale(
        domain=[value for value, _ in kept], range=[paint for _, paint in kept], interpolate="rgb"
    )


def _tiles(
    request: Request,
    drawn: Sequence[dict[str, Any]],
    measure: str,
    sides: tuple[tuple[list[str], list[str], str], tuple[list[str], list[str], str]],
    panels: Sequence[str],
    per_row: int,
    width: int,
) -> Any:
    (_, all_columns, x_title), (_, all_rows, y_title) = sides
    wanted = request.goal(measure)
    values = [record["v"] for record in drawn]
    if wanted is None:
        scale = alt.Scale(scheme="blues", domain=[min(values), max(values)])
        middle, far = (min(values) + max(values)) / 2, (max(values) - min(values)) / 5
        dark = f"datum.v > {middle + far}"
    else:
        far = max(max(abs(v - wanted) for v in values), 1e-12)
        scale = _parted(min(*values, wanted), wanted, max(*values, wanted), far)
        dark = f"abs(datum.v - {wanted}) > {0.6 * far}"
    x = alt.X(
        "x:N",
        sort=all_columns,
        title=x_title or None,
        axis=alt.Axis(labelAngle=-45 if max(map(len, all_columns)) > 5 else 0),
    )
    beside = alt.Axis() if y_title else None
    y = alt.Y("y:N", sort=all_rows, title=y_title or None, axis=beside)
    base = alt.Chart().encode(x=x, y=y)
    legend = alt.Legend(
        title=request.say_measure(measure), orient="right", gradientLength=140, format=".3~g"
    )
    tiles = base.mark_rect(stroke="white").encode(
        color=alt.Color("v:Q", scale=scale, legend=legend),
        tooltip=tooltip(request.say_measure(measure)),
    )
    layers = [tiles]
    if width / len(all_columns) > 2.2 * _MOST_TEXT:
        shade = alt.condition(dark, alt.value("white"), alt.value(INK))
        layers.append(base.mark_text(fontSize=10).encode(text="w:N", color=shade))
    chart = alt.layer(*layers, data=data(drawn))
    chart = chart.properties(width=width, height=max(36, 20 * len(all_rows)))
    if len(panels) == 1:
        return chart
    return chart.facet(alt.Facet("k:N", sort=list(panels), title=None), columns=per_row)
