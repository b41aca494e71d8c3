"""Results to the page: gathers what stands in it, and writes one HTML file that opens offline."""

from __future__ import annotations

import functools
import re
import textwrap
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from altair.utils.schemapi import debug_mode
from markupsafe import Markup, escape

from mcstudy.analysis.select import factor_columns, levels_of, varying
from mcstudy.arguments import as_path, counted
from mcstudy.comparison.sensitivity import Sensitivity, sensitivity
from mcstudy.errors import MCStudyError
from mcstudy.figures import figure, specification
from mcstudy.figures.output import check_place, script_safe, write
from mcstudy.figures.style import labelled
from mcstudy.measure import LEVEL
from mcstudy.report.cells import page_data, too_many_comparisons
from mcstudy.report.elements import reason
from mcstudy.report.findings import findings
from mcstudy.report.protocol import protocol_section
from mcstudy.report.reported import Reported
from mcstudy.report.sections import adequacy_section, environment_section, failures_section
from mcstudy.simulation.validation import TEST
from mcstudy.storage.record import is_imported
from mcstudy.tables.numbers import BOUNDS_MEANING
from mcstudy.terminal import harmless

NAME = "report.html"
_FIGURES = (
    *("nested_loop", "bias_se_rmse", "zip", "estimates", "se_against_estimate", "methods"),
    *("pvalues", "statuses"),
)
_OF_ESTIMATES = {"bias_se_rmse", "zip", "estimates", "se_against_estimate", "methods"}
_CONTENTS = (
    ("findings", "Findings"),
    ("explore", "Explore"),
    ("figures", "Figures"),
    ("cells", "All numbers"),
)
_LONG_TABLE = 25  # rows; a longer one is folded away
_RULE = (
    "Each number has its Monte Carlo standard error (MCSE) in parentheses. A sentence is marked "
    "with a triangle where something is off beyond Monte Carlo error, by 95 % limits that hold for "
    "all cells at once: coverage below its nominal {level:g} %, rejection of a true null value "
    "above {rejection:g} %, a bias of more than a tenth of the RMSE, standard errors off by more "
    "than a tenth; or where fits failed. Below, and in compare, each difference has limits of its "
    "own, so that more of them differ from 0."
)


def write_report(
    results: Reported,
    output: str | Path | None = None,
    *,
    folder: Path | None = None,
    running: bool = False,
) -> Path:
    """Write the report of a study, one HTML file that needs no network.

    Parameters
    ----------
    results : Results
        With all its tables.
    output : path, optional
        The file; ``report.html`` in the folder where it is not given.
    folder : Path, optional
        The folder of the study where that of `results` is a temporary one.
    running : bool, default False
        Whether a run is at work there.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    ResultsError
        If there are no tables, or the file cannot be written.
    """
    folder = results.folder if folder is None else folder
    path = folder / NAME if output is None else as_path(output, "output", of="a file")
    check_place(path)
    write(path, page(results, folder, running=running).encode())
    return path


def page(results: Reported, folder: Path, *, running: bool = False) -> str:
    """Return the page; the same text for the same results."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda text: text if isinstance(text, Markup) else harmless(text),
    )
    level = float(results.study.get("level") or LEVEL)

    @functools.cache  # two sections tell of them, and each reads all rows
    def ranked(measure: str) -> Sensitivity:
        return sensitivity(folder, measure, level=level, record=results.study)

    sections = [
        failures_section(results, ranked),
        adequacy_section(results, folder, ranked),
        protocol_section(results),
        environment_section(results, folder),
    ]
    figures, not_drawn = _figures(results)
    shown: str = environment.from_string(_text("page.html")).render(
        title=results.study["name"],
        subtitle=_subtitle(results),
        running=running,
        aims=_paragraphs(results.aims),
        imported=is_imported(results.study),
        contents=[*_CONTENTS, *((section.name, section.title) for section in sections)],
        findings=findings(results),
        rule=_RULE.format(level=100 * level, rejection=100 * (1 - level)),
        figures=figures,
        not_drawn=not_drawn,
        table_note=_table_note(results),
        sections=sections,
        long_table=_LONG_TABLE,
        style=Markup(_text("style.css")),
        script=Markup(_text("explorer.js")),
        vega=Markup(vl_convert.javascript_bundle()),  # type: ignore[call-arg]  # its stub errs
        data=Markup(script_safe(page_data(results))),
    )
    return shown


def _paragraphs(text: str) -> list[tuple[bool, str]]:
    """Return the paragraphs of a text, and of each whether it is indented: code keeps its lines."""
    made: list[tuple[bool, str]] = []
    for paragraph in text.strip("\n").split("\n\n"):
        indented = paragraph.startswith(" ")
        lines = textwrap.dedent(paragraph) if indented else _marked(" ".join(paragraph.split()))
        made += [(indented, lines)] if lines.strip() else []
    return made


def _marked(text: str) -> str:
    """Return a text as HTML in which what stands between backticks is code."""
    # Text, backticks, code, and so on: the pattern has two groups.
    pieces = re.split(r"(`+)([^`]+)\1", harmless(text))
    made = escape(pieces[0])
    for code, rest in zip(pieces[2::3], pieces[3::3], strict=True):
        made += Markup("<code>{}</code>{}").format(code, rest)
    return made


def _text(name: str) -> str:
    return resources.files("mcstudy.report").joinpath(name).read_text(encoding="utf-8")


def _subtitle(results: Reported) -> str:
    study, frame = results.study, results.performance
    fewest, most = int(frame["replicates"].min()), int(frame["replicates"].max())
    replicates = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    factors, whole = factor_columns(frame), len(results.conditions)
    stored = len(frame[factors].drop_duplicates()) if factors else whole
    conditions = counted(whole, "condition")
    if stored < whole:
        conditions = f"{stored} of {conditions} so far"
    parts = [
        f"Simulation study: {conditions}, {counted(len(levels_of(frame, 'method')), 'method')}, "
        f"{replicates} replicates of each condition",
    ]
    if is_imported(study):
        origin = study["asked"].get("imported", {})
        parts += ["imported", origin.get("date", "")]
    else:
        runs = study.get("runs") or [{}]
        parts += [f"seed {study['seed']}", str(runs[-1].get("started", ""))[:10]]
    return "; ".join(filter(None, parts))


def _figures(results: Reported) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the figures that the study allows, and a line for each other one."""
    drawn, lines = [], []
    # Altair checks each piece of a chart as it is made; our figures are checked by the tests.
    with debug_mode(False):
        for name in _FIGURES:
            if _says_nothing(results, name):
                continue
            try:
                made = specification(figure(results, name), validate=False)
            except MCStudyError as error:
                why = reason(error, results.folder).removeprefix(f"{name}: ")
                lines.append(f"No figure {name}: {why}.")
                continue
            # Title and caption are text of the page, which folds on a narrow screen.
            untitled = {key: made[key] for key in made if key != "title"}
            own = {
                "description": made["description"],
                "specification": Markup(script_safe(untitled)),
            }
            drawn.append(made["usermeta"] | own)
    return drawn, lines


def _says_nothing(results: Reported, name: str) -> bool:
    """Whether a figure would show less than the explorer, or what the study is not about."""
    frame = results.performance
    if name in _OF_ESTIMATES and TEST in set(frame["interval"]):
        return not (frame["measure"] == "empirical_se").any()
    if name == "nested_loop":
        return len(varying(frame, factor_columns(frame))) < 2
    if name == "methods":
        return len(levels_of(frame, "method")) < 2
    if name == "statuses":
        others = frame["measure"].str.startswith("share_") & (frame["measure"] != "share_ok")
        return not (frame["value"][others] > 0).any()
    return name == "pvalues" and results.study.get("null") is None


def _table_note(results: Reported) -> str:
    frame = results.performance
    factors = factor_columns(frame)
    moving = varying(frame, factors)
    fixed = ", ".join(
        labelled(results, name, levels_of(frame, name)[0]) for name in factors if name not in moving
    )
    notes = ["Every condition, method and measure; nothing is averaged over conditions."]
    notes += [f"Throughout: {fixed}."] if fixed else []
    notes.append(f"{BOUNDS_MEANING}.")
    if many := too_many_comparisons(results):
        notes.append(
            f"The {many:,} comparisons of methods are not on this page: mcstudy compare "
            f"{results.folder} --methods A,B."
        )
    return " ".join(notes)
