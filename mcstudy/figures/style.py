"""The look of every figure: colours and shapes of methods, words for names, the theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import altair as alt

from mcstudy.analysis.select import in_words, is_missing
from mcstudy.columns import WORDS
from mcstudy.labels import label as given_label
from mcstudy.labels import level_label as given_level
from mcstudy.labels import measure_words
from mcstudy.terminal import harmless_line

# Okabe & Ito (2008), without yellow and black, which one of a white and a dark page hides.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
INK, FAINT, GRID = "#333333", "#767676", "#E4E4E4"
MISS = "#D55E00"
"""Of what is not as it should be: an interval that misses, a value off its target."""
STATUS_COLOURS = {
    "ok": "#BBBBBB",
    "boundary": "#56B4E9",
    "not_converged": "#E69F00",
    "not_identifiable": "#CC79A7",
    "not_finite": "#009E73",
    "error": "#D55E00",
    "timeout": "#0072B2",
    "crashed": "#333333",
    "skipped": "#EEEEEE",
}
_MOST_LETTERS = 60  # of a label: longer ones are cut, so that the figure stays one


def label(study: Any, name: str, kind: str = "") -> str:
    """Return a name in the words of a study: its label, or a measure's usual name, or itself.

    Parameters
    ----------
    study : Study, Results or mapping
        With ``labels``; a mapping is a record with that key.
    name : str
        A factor, method, estimand, interval or measure.
    kind : str, optional
        Which of these, as in `mcstudy.labels.label`.
    """
    text = given_label(_labels_of(study), name, kind)
    return _shown(measure_words(name) if text == name and kind == "measure" else text)


def _labels_of(study: Any) -> Mapping[str, str]:
    record = isinstance(study, Mapping)
    return (study.get("labels") or {}) if record else getattr(study, "labels", {})


def _shown(text: str) -> str:
    """Return a text in one line that a figure has room for."""
    line = harmless_line(text)
    return line if len(line) <= _MOST_LETTERS else line[: _MOST_LETTERS - 1] + "…"


def level_label(study: Any, name: str, level: Any) -> str:
    """Return a level of a factor, or the label of a method, estimand, interval or measure."""
    if name in WORDS:
        return f"no {name}" if is_missing(level) else label(study, str(level), name)
    return _shown(given_level(_labels_of(study), name, level) or in_words(level))


def labelled(study: Any, name: str, level: Any) -> str:
    """Return a level so that it explains itself: ``districts = 10``, but a method by its label."""
    if name in WORDS:
        return level_label(study, name, level)
    return f"{label(study, name, 'factor')} = {level_label(study, name, level)}"


def unlike(labels: Sequence[str]) -> list[str]:
    """Return labels of which no two are equal: later ones get a number."""
    made: list[str] = []
    for text in labels:
        own, count = text, 1
        while own in made:
            count += 1
            own = f"{text} ({count})"
        made.append(own)
    return made


def method_labels(study: Any, methods: Sequence[str]) -> dict[str, str]:
    """Return the label of each method, each its own."""
    return dict(zip(methods, unlike([label(study, m, "method") for m in methods]), strict=True))


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """Return the colour of each of *all* methods of a study, in its order."""
    return dict(zip(methods, cycle(PALETTE), strict=False))


def method_shapes(methods: Sequence[str]) -> dict[str, str]:
    """Return the shape of each of *all* methods of a study: the second sign beside its colour."""
    return dict(zip(methods, cycle(SHAPES), strict=False))


def theme() -> alt.theme.ThemeConfig:
    """Return the theme ``mcstudy``: plain axes, thin grid, text that prints."""
    axis = {
        **{"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12},
        **{"gridColor": GRID, "domainColor": FAINT, "tickColor": FAINT},
        **{"titleFontWeight": "normal", "labelLimit": 240, "titleLimit": 400},
    }
    words = {"labelFontSize": 11, "titleFontSize": 11, "labelColor": INK, "titleColor": INK}
    config = {
        "background": "white",
        "font": "Helvetica, Arial, 'Liberation Sans', sans-serif",
        "view": {"stroke": "#CCCCCC", "continuousWidth": 320, "continuousHeight": 200},
        "axis": axis,
        "axisX": {"grid": False},
        # Vega-Lite puts titles unquoted into the expression of a mark's own description, so that a
        # quote in one breaks the figure; the figure's description has the numbers.
        "mark": {"aria": False},
        "header": {**words, "labelLimit": 260, "labelFontWeight": "bold", "title": None},
        "legend": {
            **words,
            "orient": "top",
            "titleFontWeight": "normal",
            "labelLimit": 260,
            "symbolSize": 70,
        },
        "title": {
            "anchor": "start",
            "frame": "group",
            "fontSize": 14,
            "fontWeight": "bold",
            "color": INK,
            "subtitleColor": "#595959",
            "subtitleFontSize": 11,
            "subtitlePadding": 5,
            "offset": 10,
            "limit": 900,
        },
    }
    return alt.theme.ThemeConfig(config=config)  # type: ignore[typeddict-item]


alt.theme.register("mcstudy", enable=False)(theme)
