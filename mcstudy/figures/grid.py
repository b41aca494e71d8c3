"""All conditions at once: nested loop plot and heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from mcstudy.analysis.select import levels_of, own_intervals
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import (
    MOST_PANELS,
    Cells,
    Request,
    cells_of,
    check_axes,
    level_codes,
    places,
    records,
    rounded,
    short_places,
    thinned,
)
from mcstudy.figures.drawing import (
    about,
    bounds_note,
    by_estimand,
    cell_tips,
    colour,
    data,
    extremes,
    faceted,
    finished,
    free,
    reference,
    shape,
    stacked,
    target_note,
)
from mcstudy.figures.style import FAINT, INK

_PAGE = 820  # pixels of all conditions side by side
_STAIR = 26  # pixels of the steps of a factor
_MOST_TEXT = 12  # pixels: in a narrower cell its number cannot be read
_WIDE_TEXT = 40  # pixels: room for a number of three decimals
_MOST_SIDE = 60  # levels along one side of a heat map
_SPOT = "\0spot"  # no factor can be called so


def nested_loop(request: Request) -> Any:
    """Return the nested loop plot: every condition in order, the strongest factor outermost.

    Points are not joined: neighbours differ in whatever factor is innermost (Rucker & Schwarzer
    2014, BMC Medical Research Methodology 14:129).
    """
    measure = request.first_measure()
    cells = cells_of(request, [measure])
    if not cells.factors:
        raise ResultsError("nested_loop: no factor varies here; lolly shows a single condition")
    check_axes(request.x)
    order = sorted(cells.factors, key=lambda name: name != request.x)
    frame, thin = thinned(cells.frame)
    codes = np.stack([level_codes(frame, name) for name in order], axis=1)
    keys, spots = np.unique(codes, axis=0, return_inverse=True)
    frame = frame.assign(**{_SPOT: spots.ravel()})
    blocks, names = by_estimand(
        request,
        frame,
        lambda own: _points(request, replace(cells, frame=own), order, measure, len(keys)),
    )
    notes = [
        "bars: 95 % Monte Carlo intervals",
        target_note(request, measure),
        "below: the levels of each factor, the outermost one first",
        bounds_note(frame, dotted=False),
        thin,
    ]
    stairs = _stairs(request, frame, order, keys.tolist())
    return finished(
        stacked([*blocks, stairs], [*(names if len(names) > 1 else [""]), ""]),
        f"{request.say_measure(measure)} under {len(keys)} conditions",
        about(request, cells, *notes),
        extremes(request, cells, measure, order),
    )


def _points(request: Request, cells: Cells, order: Sequence[str], measure: str, count: int) -> Any:
    """Return a row of panels, one for each interval, or one if each method has its own."""
    frame, methods = cells.frame, levels_of(cells.frame, "method")
    several = cells.varying("interval")
    row, all_rows = places(request, frame, [] if own_intervals(frame) else several)
    own = {name: i for i, name in enumerate(methods)}
    shift = [(own[m] - (len(methods) - 1) / 2) / (len(methods) + 1) for m in frame["method"]]
    x = [round(spot + aside, 3) for spot, aside in zip(frame[_SPOT].tolist(), shift, strict=True)]
    drawn = records(request, frame, [*order, *several], x=x, r=row)
    words = request.say_measure(measure)
    scale = alt.Scale(domain=[-0.5, count - 0.5], nice=False, zero=False)
    by: dict[str, Any] = {"x": alt.X("x:Q", scale=scale, axis=None)}
    by["color"] = colour(request, methods)
    y, low = (free(alt.Y, end, words) for end in "vl")
    gap = _PAGE / (count * len(methods))
    bars = alt.Chart().mark_rule(strokeWidth=1, opacity=0.6)
    points = alt.Chart().mark_point(filled=True, size=max(9.0, min(40.0, gap**2)), opacity=1)
    layers = [
        *reference(request.goal(measure)),
        bars.encode(y=low, y2="u:Q", **by),
        points.encode(y=y, shape=shape(request, methods), tooltip=cell_tips(words), **by),
    ]
    return faceted(layers, all_rows, [""], drawn, width=_PAGE, height=170)


def _stairs(
    request: Request, frame: pd.DataFrame, order: Sequence[str], keys: Sequence[Sequence[int]]
) -> Any:
    """Return the steps of the levels of each factor under the conditions, each level named once."""
    steps, names = [], []
    for i, name in enumerate(order):
        levels = levels_of(frame, name)
        words = ", ".join(request.levels_alone(name, levels))
        names.append({"x": -0.5, "y": -i - 0.5, "t": f"{request.say(name)}: {words}"})
        heights = [round(-i - 0.95 + 0.4 * key[i] / max(1, len(levels) - 1), 3) for key in keys]
        for height, spots in groupby(range(len(keys)), key=heights.__getitem__):
            run = list(spots)
            steps.append({"x": run[0] - 0.5, "x2": run[-1] + 0.5, "y": height, "g": i})
    x = alt.X("x:Q", scale=alt.Scale(domain=[-0.5, len(keys) - 0.5], nice=False), axis=None)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[-len(order), 0], nice=False), axis=None)
    lines = alt.Chart(data(steps)).mark_rule(strokeWidth=1.5, color=FAINT)
    texts = alt.Chart(data(names)).mark_text(
        align="left", baseline="bottom", dy=-1, fontSize=10, color=INK, limit=_PAGE
    )
    both = alt.layer(lines.encode(x=x, x2="x2:Q", y=y), texts.encode(x=x, y=y, text="t:N"))
    height = _STAIR * len(order) + 4
    return both.properties(width=_PAGE, height=height, view=alt.ViewBackground(stroke=None))


class _Side(NamedTuple):
    """One side of a heat map: the place of each tile, all places in order, and the title."""

    own: list[str]
    known: list[str]
    title: str


def heat(request: Request) -> Any:
    """Return a measure over two factors as a heat map, other factors joining the axes.

    The colours part at the target, where there is one.
    """
    measure = request.first_measure()
    cells = cells_of(request, [measure])
    x, y, facets = _sides(request, cells)
    frame, thin = thinned(cells.frame)
    across, down = (_Side(*short_places(request, frame, names)) for names in (x, y))
    panel, all_panels = places(request, frame, facets)
    if max(len(across.known), len(down.known)) > _MOST_SIDE or len(all_panels) > MOST_PANELS:
        raise ResultsError(
            f"heat: {len(across.known)} x {len(down.known)} cells in {len(all_panels)} panels are "
            "too many for a figure; choose levels with where"
        )
    per_row = max(1, min(len(all_panels), _PAGE // max(150, 34 * len(across.known))))
    width = max(120, min(44 * len(across.known), 420))
    digits = 3 if width >= _WIDE_TEXT * len(across.known) else 2
    names = [*cells.factors, *cells.varying("estimand", "interval")]
    texts = [f"{rounded(value):.{digits}f}" for value in frame["value"]]
    drawn = records(request, frame, names, x=across.own, y=down.own, k=panel, w=texts)
    chart = _tiles(request, drawn, measure, across, down, width)
    if len(all_panels) > 1:
        chart = chart.facet(alt.Facet("k:N", sort=all_panels, title=None), columns=per_row)
    wanted, error = request.goal(measure), frame["mcse"].max()
    notes = [
        "darker: larger"
        if wanted is None
        else f"white: {wanted:g}, blue: above, red: below; the darker, the further off",
        f"Monte Carlo standard error at most {error:.2g}" if error > 0 else "",
        bounds_note(frame, dotted=False),
        thin,
    ]
    sides = " and ".join(", ".join(map(request.say, names)) for names in (x, y) if names)
    return finished(
        chart,
        f"{request.say_measure(measure)} by {sides}",
        about(request, cells, *notes),
        extremes(request, cells, measure, cells.factors),
    )


def _sides(request: Request, cells: Cells) -> tuple[list[str], list[str], list[str]]:
    """Return what runs across, down and over the panels of a heat map."""
    x, y = request.x, request.y
    check_axes(x, y)
    kinds = ["estimand", *([] if own_intervals(cells.frame) else ["interval"]), "method"]
    panels = kinds if request.facets is None else request.facets
    facets = [name for name in cells.varying(*panels) if name not in (x, y)]
    free = [name for name in cells.factors if name not in (x, y, *facets)]
    across = [x] if x else free[:1] or ["method"]
    free = [name for name in free if name not in across]
    if "method" in across:
        facets = [name for name in facets if name != "method"]
    if y:
        return across, [y], [*facets, *free]
    down: list[str] = []
    height = 1
    for name in free:
        # Two factors and more: the shorter side takes the next one.
        count = cells.frame[name].nunique(dropna=False)
        width = len(cells.frame[across].drop_duplicates())
        if not down or height * count <= width * 4:
            down.append(name)
            height *= count
        else:
            across.append(name)
    return across, down, facets


_RED, _WHITE, _BLUE = (0xB2, 0x18, 0x2B), (0xFF, 0xFF, 0xFF), (0x21, 0x66, 0xAC)
"""The ends and the middle of ColorBrewer's scheme RdBu, which the colour-blind can tell apart."""


def _parted(low: float, wanted: float, high: float, far: float) -> alt.Scale:
    """Return colours that part at the target and are as dark as a value is far, `far` darkest."""

    def shade(end: tuple[int, int, int], share: float) -> str:
        return "#" + "".join(
            f"{round(w + share * (e - w)):02X}" for w, e in zip(_WHITE, end, strict=True)
        )

    # The target is one of the ends where all values are on one side of it.
    stops = {low: shade(_RED, (wanted - low) / far), wanted: shade(_WHITE, 0.0)}
    stops[high] = shade(_BLUE, (high - wanted) / far)
    return alt.Scale(domain=list(stops), range=list(stops.values()), interpolate="rgb")


def _tiles(
    request: Request,
    drawn: Sequence[dict[str, Any]],
    measure: str,
    across: _Side,
    down: _Side,
    width: int,
) -> Any:
    """Return the tiles of all panels, with their numbers where these can be read."""
    wanted, words = request.goal(measure), request.say_measure(measure)
    values = [record["v"] for record in drawn]
    low, high = min(values), max(values)
    if wanted is None:
        scale = alt.Scale(scheme="blues", domain=[low, high])
        dark = f"datum.v > {(low + high) / 2 + (high - low) / 5}"
    else:
        far = max(max(abs(v - wanted) for v in values), 1e-12)
        scale = _parted(min(wanted, low), wanted, max(wanted, high), far)
        dark = f"abs(datum.v - {wanted}) > {0.6 * far}"
    angle = -45 if max(map(len, across.known)) > 5 else 0
    below, beside = alt.Axis(labelAngle=angle), alt.Axis() if down.title else None
    base = alt.Chart().encode(
        x=alt.X("x:N", sort=across.known, title=across.title or None, axis=below),
        y=alt.Y("y:N", sort=down.known, title=down.title or None, axis=beside),
    )
    legend = alt.Legend(title=words, orient="right", gradientLength=140, format=".3~g")
    colours = alt.Color("v:Q", scale=scale, legend=legend)
    layers = [base.mark_rect(stroke="white").encode(color=colours, tooltip=cell_tips(words))]
    if width / len(across.known) > 2.2 * _MOST_TEXT:
        shade = alt.condition(dark, alt.value("white"), alt.value(INK))
        layers.append(base.mark_text(fontSize=10).encode(text="w:N", color=shade))
    height = max(36, 20 * len(down.known))
    return alt.layer(*layers, data=data(drawn)).properties(width=width, height=height)
