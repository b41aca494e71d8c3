"""Figures of a study: `figure` draws one, `save` writes it to a file.

Each module draws a figure or two from `Request`, what is asked for. Nothing here is imported
before a figure is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcstudy.analysis.query import names_of
from mcstudy.analysis.select import Where, known_column, levels_of, select, wheres
from mcstudy.arguments import is_proportion, short, suggestion
from mcstudy.errors import ResultsError
from mcstudy.figures.cells import MOST_ESTIMANDS, Request, StudyTables
from mcstudy.figures.estimates import estimates, se_against_estimate
from mcstudy.figures.grid import heat, nested_loop
from mcstudy.figures.measure import bias_se_rmse, lolly, measure_figure
from mcstudy.figures.methods import methods_figure
from mcstudy.figures.output import KINDS, Figure, rendered, save, specification
from mcstudy.figures.path import path
from mcstudy.figures.pvalues import pvalues
from mcstudy.figures.statuses import statuses
from mcstudy.figures.style import label
from mcstudy.figures.zip_plot import zip_plot
from mcstudy.measure import LEVEL

__all__ = ["FIGURES", "KINDS", "Figure", "figure", "label", "rendered", "save", "specification"]

FIGURES: Mapping[str, Callable[[Request], Any]] = {
    "zip": zip_plot,
    "lolly": lolly,
    "nested_loop": nested_loop,
    "heat": heat,
    "estimates": estimates,
    "se_against_estimate": se_against_estimate,
    "methods": methods_figure,
    "bias_se_rmse": bias_se_rmse,
    "statuses": statuses,
    "pvalues": pvalues,
    "path": path,
}
"""The figures by name; any measure is one too."""


def figure(
    results: StudyTables,
    name: str,
    *,
    x: str | None = None,
    y: str | None = None,
    facets: str | Sequence[str] | None = None,
    measure: str | None = None,
    where: Where = None,
    estimand: str | Sequence[str] | None = None,
    method: str | Sequence[str] | None = None,
    interval: str | Sequence[str] | None = None,
    level: float | None = None,
) -> Any:
    """Return the chart of a figure, of Altair; `save` writes it, `Figure` shows it.

    Parameters
    ----------
    results : Results
        Of the study.
    name : str
        A measure, which is shown against a factor, or one of `FIGURES`.
    x, y : str, optional
        The factors on the axes. By default x is the one that drives the measure most
        (`mcstudy.comparison.anova`); y is for ``heat``.
    facets : str or sequence of str, optional
        What has panels of its own. By default all that varies, as far as panels stay legible; the
        rest stands side by side. Nothing is averaged.
    measure : str, optional
        What ``lolly``, ``nested_loop``, ``heat`` and ``path`` show; coverage by default.
    where : mapping or str, optional
        Which cells; see `mcstudy.analysis.select.select`.
    estimand, method, interval : str or sequence of str, optional
        The same for these.
    level : float, optional
        Nominal coverage; by default that of the study.

    Raises
    ------
    ResultsError
        For an unknown figure, factor or level, and where there is nothing to draw.
    """
    performance = results.performance
    known = list(dict.fromkeys(performance["measure"].astype(str)))
    if not isinstance(name, str) or name not in (*FIGURES, *known):
        raise ResultsError(
            f"no figure {short(name)}{suggestion(name, [*FIGURES, *known])}; there are "
            f"{', '.join(FIGURES)}, and each measure: {', '.join(known)}"
        )
    if level is not None and not is_proportion(level):
        raise ResultsError(f"level is {short(level)}; give a share like 0.95")
    chosen = _where(where, estimand=estimand, method=method, interval=interval)
    panels = None if facets is None else names_of(facets, "facets")
    named = [factor for factor in (x, y, *(panels or ())) if factor is not None]
    for factor in named:
        known_column(performance, factor)
        if named.count(factor) > 1:
            raise ResultsError(f"{factor} is given twice among x, y and facets; give it once")
    nominal = float(level or results.study.get("level") or LEVEL)
    levels = levels_of(select(performance, chosen), "estimand")
    estimands = [level for level in levels if level is not None]
    note = ""
    if "estimand" not in chosen and len(estimands) > MOST_ESTIMANDS:
        chosen["estimand"] = estimands[:MOST_ESTIMANDS]
        note = f"the first {MOST_ESTIMANDS} of {len(estimands)} estimands"
    request = Request(results, x, y, panels, measure, chosen, nominal, note)
    draw = FIGURES.get(name)
    return draw(request) if draw else measure_figure(request, name)


def _where(where: Where, **given: str | Sequence[str] | None) -> dict[str, Any]:
    """Return `where` and what is given by name as one; ResultsError if a name stands in both."""
    found: dict[str, Any] = wheres(where)
    for name, value in given.items():
        if value is None:
            continue
        if name in found:
            raise ResultsError(f"{name} is given, and stands in where; give it once")
        found[name] = names_of(value, name)
    return found
