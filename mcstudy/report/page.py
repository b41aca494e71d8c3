"""Results to the page: gathers what stands in it, and writes one HTML file that opens offline."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcstudy.analysis.select import factor_columns, levels_of, varying
from mcstudy.arguments import as_path
from mcstudy.comparison.adequacy import TITLE, adequacy
from mcstudy.errors import MCStudyError, ResultsError
from mcstudy.figures import figure, rendered
from mcstudy.figures.output import script_safe
from mcstudy.figures.style import label, level_label
from mcstudy.measure import LEVEL
from mcstudy.report.cells import page_data
from mcstudy.report.findings import findings
from mcstudy.report.reported import Reported
from mcstudy.tables.formats import render

if TYPE_CHECKING:
    from mcstudy.tables.document import Document

NAME = "report.html"
_FIGURES = ("zip", "estimates", "se_against_estimate", "methods", "statuses")
_CONTENTS = (
    ("aims", "Aims"),
    ("findings", "Findings"),
    ("explore", "Explore"),
    ("figures", "Figures"),
    ("cells", "All cells"),
)


@dataclass(frozen=True)
class Section:
    """A chapter of the page: lines, blocks of HTML, terms with what they mean, and code."""

    name: str
    title: str
    lines: list[str] = field(default_factory=list)
    blocks: list[Any] = field(default_factory=list)
    terms: list[tuple[str, str]] = field(default_factory=list)
    code: str = ""
    code_title: str = ""


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
    if path.is_dir():
        raise ResultsError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise ResultsError(f"{path}: there is no folder {path.parent}; make it, or name another")
    content = page(results, folder, running=running)
    try:
        path.write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def page(results: Reported, folder: Path, *, running: bool = False) -> str:
    """Return the page; the same text for the same results."""
    import jinja2
    import vl_convert
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    sections = [*_sections(results, folder)]
    drawn, not_drawn = _figures(results)
    study = results.study
    level = 100 * float(study.get("level") or LEVEL)
    return environment.from_string(_text("page.html")).render(
        title=study["name"],
        subtitle=_subtitle(results),
        running=running,
        aims=results.aims.strip(),
        contents=[*_CONTENTS, *((section.name, section.title) for section in sections)],
        findings=findings(results),
        rule=(
            "Each number has its Monte Carlo standard error in parentheses. A sentence is marked "
            "with a triangle where something is off: coverage below its nominal "
            f"{level:g} % by more than the 95 % Monte Carlo limits allow, a bias of more than a "
            "tenth of the RMSE, standard errors off by more than a tenth, fits that failed."
        ),
        figures=[
            {
                "title": chart.usermeta["title"],
                "description": chart.description,
                "svg": Markup(rendered(chart, "svg").decode()),
            }
            for chart in drawn
        ],
        not_drawn=not_drawn,
        table_note=_table_note(results),
        sections=sections,
        style=Markup(_text("style.css")),
        script=Markup(_text("explorer.js")),
        vega=Markup(vl_convert.javascript_bundle()),  # type: ignore[call-arg]
        data=Markup(script_safe(page_data(results))),
    )


def _text(name: str) -> str:
    return resources.files("mcstudy.report").joinpath(name).read_text(encoding="utf-8")


def _subtitle(results: Reported) -> str:
    study, frame = results.study, results.performance
    counts = sorted({int(n) for n in frame["replicates"]})
    replicates = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    conditions = len(results.conditions)
    methods = levels_of(frame, "method")
    runs = study.get("runs") or [{}]
    date = str(runs[-1].get("started", ""))[:10]
    return (
        f"Simulation study: {conditions} condition{'s' * (conditions > 1)}, {len(methods)} method"
        f"{'s' * (len(methods) > 1)}, {replicates} replicates a condition; seed {study['seed']}"
        + (f"; {date}" if date else "")
    )


def _figures(results: Reported) -> tuple[list[Any], list[str]]:
    """Return the figures that the study allows, and a line for each that it does not."""
    drawn, lines = [], []
    for name in _FIGURES:
        try:
            drawn.append(figure(results, name))
        except MCStudyError as error:
            reason = str(error).removeprefix(f"{results.folder}: ")
            lines.append(f"No figure {name}: {reason}")
    return drawn, lines


def _table_note(results: Reported) -> str:
    frame = results.performance
    factors = factor_columns(frame)
    moving = varying(frame, factors)
    fixed = ", ".join(
        f"{label(results, name, 'factor')} = "
        f"{level_label(results, name, levels_of(frame, name)[0])}"
        for name in factors
        if name not in moving
    )
    return "Every condition, method and measure; nothing is averaged over conditions." + (
        f" Throughout: {fixed}." if fixed else ""
    )


def _block(document: Document) -> Any:
    from markupsafe import Markup

    # `render` escapes every cell and line.
    return Markup(f'<div class="scroll">{render(document, "html")}</div>')


def _sections(results: Reported, folder: Path) -> Iterator[Section]:
    yield _design(results)
    yield _missing(results)
    yield _adequacy(results, folder)
    yield _environment(results, folder)


def _design(results: Reported) -> Section:
    study = results.study
    terms = [
        (
            f"Factor {label(results, name, 'factor')}",
            ", ".join(level_label(results, name, value) for value in levels),
        )
        for name, levels in study["factors"].items()
    ]
    full = 1
    for levels in study["factors"].values():
        full *= len(levels)
    count = len(study["conditions"])
    combined = "all combinations" if full == count else f"{count} of {full} combinations"
    truths = study.get("truths") or {}
    estimands = {name for of in truths.values() for name in of}
    for name in sorted(estimands):
        values = sorted({of[name] for of in truths.values() if of.get(name) is not None})
        shown = ", ".join(f"{value:g}" for value in values[:8])
        more = f" and {len(values) - 8} more" if len(values) > 8 else ""
        terms.append((f"True {label(results, name, 'estimand')}", f"{shown}{more}" or "none"))
    for name in study.get("method_order", study["methods"]):
        mark = (study.get("marks") or {}).get(name, {})
        terms.append(
            (f"Method {label(results, name, 'method')}", f"digest of its code {mark['method']}")
            if "method" in mark
            else (f"Method {label(results, name, 'method')}", name)
        )
    source, title = _source(study)
    lines = [f"Conditions: {count}, {combined}."]
    return Section("design", "Design", lines, [], terms, source, title)


def _source(study: Mapping[str, Any]) -> tuple[str, str]:
    """Return the text of the study file, where it is still there, and what to call it."""
    try:
        path = Path(study["study_file"])
        content = path.read_bytes()
        text = content.decode()
    except (TypeError, OSError, UnicodeDecodeError):
        return "", ""
    digest = hashlib.sha256(content).hexdigest()[:16]
    return text, f"The study file {path.name} as it is now (SHA-256 begins with {digest})"


def _missing(results: Reported) -> Section:
    lines, blocks = [], []
    frame = results.performance
    short = frame[(frame["used"] < frame["replicates"]) & (frame["measure"] == "coverage")]
    if len(short):
        lines.append(
            f"In {len(short)} cells some intervals do not exist; used/of in the table says how "
            "many do."
        )
    if results.study.get("keep", "rows") == "rows":
        if len(levels_of(frame, "method")) > 1:
            for make in (results.failure_overlap, lambda: results.sensitivity("rmse")):
                try:
                    blocks.append(_block(make().document()))
                except MCStudyError as error:
                    lines.append(str(error).removeprefix(f"{results.folder}: "))
        kinds = results.warnings()
        if len(kinds):
            from mcstudy.comparison.failures import warnings_document

            blocks.append(_block(warnings_document(kinds)))
        else:
            lines.append("No fit gave a warning.")
    lines += results.unusable
    return Section("failures", "Failures and missing results", lines, blocks)


def _adequacy(results: Reported, folder: Path) -> Section:
    comparisons = results.comparisons if results.study.get("keep", "rows") == "rows" else None
    # Of the folder itself: while a run is at work the tables are elsewhere, without rows.
    made = adequacy(folder, results.performance, comparisons, record=results.study)
    blocks = [_block(check.document()) for check in made.checks]
    return Section("adequacy", TITLE, [], blocks)


def _environment(results: Reported, folder: Path) -> Section:
    study = results.study
    runs = study.get("runs") or []
    terms = [(name, str(version)) for name, version in study.get("versions", {}).items()]
    terms += [
        (
            f"Run of {str(run.get('started', ''))[:16]}",
            f"{run.get('fits', 0)} fits in {run.get('seconds', 0):g} s on "
            f"{run.get('workers', '?')} workers, {run.get('platform', '')}, "
            f"commit {run.get('commit') or 'none'}",
        )
        for run in runs
    ]
    for kind, words in (("kept", "Rows kept from older code"), ("discarded", "Rows discarded")):
        terms.append((words, "none" if not study.get(kind) else str(len(study[kind]))))
    terms += [
        (f"SHA-256 of {name}.parquet", digest)
        for name, digest in sorted(study.get("tables", {}).items())
    ]
    key = next(iter(study["conditions"]), "")
    command = f'mcstudy replay {folder} --condition "{key}" --replicate 0 --trust'
    return Section(
        "environment",
        "Environment",
        ["One data set and its fits again:", command],
        [],
        terms,
    )
