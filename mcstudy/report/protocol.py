"""The chapter on how the study was made, in the order of ADEMP, from its record and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mcstudy.analysis.definitions import OWN_MCSE, Definition, definition_of
from mcstudy.analysis.precision import errors, precision_lines
from mcstudy.analysis.select import factor_columns, levels_in_words, levels_of, varying
from mcstudy.figures.style import label, labelled, level_label
from mcstudy.measure import LEVEL, is_share
from mcstudy.report.elements import Code, Part, Section, Table, Term, as_table
from mcstudy.report.reported import Reported, keeps_rows
from mcstudy.storage.provenance import CODE
from mcstudy.storage.record import is_imported
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.numbers import number_with_error

_NO_AIMS = 'To fill in: the study says no aims (aims="...").'
_SHARE_AT = 0.95  # the coverage whose error says what a number of replicates is good for


def protocol_section(results: Reported) -> Section:
    """Return aims, data-generating mechanism, estimands, methods and measures of a study."""
    path = results.study.get("study_file")
    study_file = Path(path).name if path else "STUDY"
    parts = [
        Part("Aims", ["See the head of this page." if results.aims.strip() else _NO_AIMS]),
        _mechanism(results),
        _estimands(results),
        _methods(results),
        _measures(results),
        Part("Replicates", [*_replicates(results)]),
    ]
    if not is_imported(results.study):
        plan = Part(
            "The whole plan",
            ["This command writes the plan as the twenty questions of ADEMP-PreReg:"],
            [f"mcstudy protocol {study_file} --output protocol.md --format markdown"],
        )
        parts.append(plan)
    return Section("protocol", "Protocol", parts)


def _sources(results: Reported, kind: str) -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = (results.study.get("sources") or {}).get(kind, {})
    return found


def _mechanism(results: Reported) -> Part:
    study, frame = results.study, results.performance
    factors = factor_columns(frame)
    moving = varying(frame, factors)
    count = len(study["conditions"])
    full = math.prod(len(levels) for levels in study["factors"].values())
    source = _sources(results, "study").get("simulate", {})
    lines = [source["said"]] if source.get("said") else []
    which = ", all" if count == full else f" of the {full}"
    lines.append(
        f"Conditions: {count}{which} combinations of the levels."
        if factors
        else "There is one condition, without factors."
    )
    terms = []
    for name in factors:
        levels = levels_in_words(name, levels_of(frame, name), results.labels)
        fixed = "" if name in moving else " (fixed)"
        terms.append(Term(_in_code(results, name, "factor"), f"{levels}{fixed}"))
    if is_imported(study):
        lines.append(_origin(study))
        return Part("Data-generating mechanism", lines, terms=terms)
    marks = study.get("marks") or {}
    if digests := sorted({mark["simulate"] for mark in marks.values() if "simulate" in mark}):
        lines.append(f"Digest of the code that makes the data: {', '.join(digests)}.")
    if source.get("home"):
        lines.append(f"The data come from {_home(source)}.")
    code = [*_code("simulate", source)]
    code += _code("prepare", _sources(results, "study").get("prepare", {}))
    return Part("Data-generating mechanism", lines, terms=terms, code=code)


def _origin(study: Mapping[str, Any]) -> str:
    """Return where imported replicates come from."""
    origin = study["asked"].get("imported", {})
    said = f"The replicates were imported from {origin.get('file') or 'a data frame'}"
    said += f" on {origin['date']}" if "date" in origin else ""
    return said + (f" (SHA-256 {origin['sha256']})." if "sha256" in origin else ".")


def _in_code(results: Reported, name: str, kind: str) -> str:
    """Return the label of a name, and the name where that is another word."""
    words = label(results, name, kind)
    return words if words == name else f"{words} ({name} in the code)"


def _home(source: Mapping[str, str]) -> str:
    options = f" with {source['options']}" if source["options"] else ""
    return f"{source['home']}{options}"


def _code(name: str, source: Mapping[str, str]) -> Iterator[Code]:
    if source.get("text"):
        yield Code(f"Code of {name}", source["text"])


def _estimands(results: Reported) -> Part:
    study = results.study
    truths, errors_of = study.get("truths") or {}, study.get("truth_errors") or {}
    names = list(dict.fromkeys(name for of in truths.values() for name in of))
    values = {name: {of.get(name) for of in truths.values()} for name in names}
    differ = [name for name in names if len(values[name]) > 1]
    own = results.performance.loc[results.performance["measure"] == "bias", "estimand"].unique()
    lines = [
        f"Each data set has a true {label(results, name, 'estimand')} of its own."
        for name in own
        if name not in names
    ]
    everywhere = " under every condition" if len(truths) > 1 else ""
    for name in (name for name in names if name not in differ):
        (value,) = values[name]
        found = {of.get(name, 0.0) for of in errors_of.values()}
        mcse = found.pop() if len(found) == 1 else 0.0
        known = "is not known" if value is None else f"is {_true_value(value, mcse)}"
        lines.append(f"The true {label(results, name, 'estimand')} {known}{everywhere}.")
    if any(errors_of.values()):
        lines.append("In brackets the Monte Carlo error of a true value that was simulated.")
    if (null := study.get("null")) is not None:
        given = null if isinstance(null, Mapping) else dict.fromkeys(names, null)
        said = ", ".join(f"{label(results, k, 'estimand')} = {v:.6g}" for k, v in given.items())
        lines.append(f"Null values, which rejection is about: {said}.")
    if (alpha := study.get("alpha")) is not None:
        lines.append(f"Level at which p-values reject: {', '.join(f'{x:.6g}' for x in alpha)}.")
    tables = [_true_values(results, differ)] if differ else []
    code = [*_code("estimands", _sources(results, "study").get("estimands", {}))]
    return Part("Estimands", lines, tables=tables, code=code)


def _true_values(results: Reported, estimands: Sequence[str]) -> Table:
    """Return the true values that are not the same under all conditions."""
    truths, errors_of = results.study["truths"], results.study.get("truth_errors") or {}
    moving = varying(results.performance, factor_columns(results.performance))
    rows = []
    for row in results.conditions.to_dict("records"):
        here, mcses = (of.get(str(row["condition"]), {}) for of in (truths, errors_of))
        known = [_true_value(here.get(name), mcses.get(name, 0.0)) for name in estimands]
        rows.append([*(level_label(results, name, row[name]) for name in moving), *known])
    heads = [label(results, name, "factor") for name in moving]
    heads += [label(results, name, "estimand") for name in estimands]
    grid = Grid(heads, rows, labels=len(moving))
    return as_table(Document(blocks=[Block("True values by condition", grid)]))


def _true_value(value: float | None, mcse: float) -> str:
    if value is None:
        return "-"
    return number_with_error(value, mcse) if mcse else f"{value:.6g}"


def _methods(results: Reported) -> Part:
    study = results.study
    terms, code = list[Term](), list[Code]()
    imported = is_imported(study)
    for name in study.get("method_order", study["methods"]):
        source = _sources(results, "method").get(name, {})
        said = [source["said"].rstrip(".")] if source.get("said") else []
        if not imported:
            said += _made_of(source, (study.get("marks") or {}).get(name, {}))
            code += _code(name, source)
        terms.append(Term(_in_code(results, name, "method"), f"{'; '.join(said)}."))
    level = 100 * float(study.get("level") or LEVEL)
    same = "All methods see the same data sets."
    if imported:
        same = "Replicates of one number count as one data set, which all methods see."
    lines = [
        f"{same} Where one gives a standard error and no interval, a "
        f"Wald interval of nominal {level:g} % is formed."
    ]
    if study.get("reference"):
        reference = label(results, study["reference"], "method")
        lines.append(f"The others are compared with {reference}.")
    return Part("Methods", lines, terms=terms, code=code)


def _made_of(source: Mapping[str, str], mark: Mapping[str, str]) -> Iterator[str]:
    """Yield where the code of a method is, its options, its digest and the packages it uses."""
    if source.get("home"):
        yield _home(source)
    elif source.get("options"):
        yield f"options {source['options']}"
    if "method" in mark:
        yield f"digest of its code {mark['method']}"
    no_packages = (*CODE, "shared", "seed", "python", "mcstudy results")
    packages = [f"{name} {version}" for name, version in mark.items() if name not in no_packages]
    if packages:
        yield f"with {', '.join(packages)}"


def _measures(results: Reported) -> Part:
    own = _sources(results, "measure")
    terms = []
    tables = [results.performance, *([results.comparisons] if keeps_rows(results) else [])]
    of_fits = levels_of(results.fit_measures, "measure")
    names = [*(name for frame in tables for name in levels_of(frame, "measure")), *of_fits]
    for name in sorted(names, key=lambda name: name.startswith(("share_", "warned"))):
        made = definition_of(name, of_fits=name in of_fits)
        if made is None:
            said = own.get(name, {}).get("said") or "a measure of the study's own"
            made = Definition(said.rstrip("."), OWN_MCSE)
        text = f"{made.meaning}. MCSE: {made.mcse}."
        terms.append(Term(label(results, name, "measure"), text, f"measure-{name}"))
    lines = [
        "e is estimate minus truth, n the number of replicates that have what the measure needs. "
        "Limits are value -/+ 1.96 MCSE; of shares they are Wilson's."
    ]
    code = [made for name, source in own.items() for made in _code(name, source)]
    return Part("Performance measures", lines, terms=terms, code=code)


def _replicates(results: Reported) -> Iterator[str]:
    """Yield how many replicates there are, what errors they give, and what was aimed at."""
    study, frame = results.study, results.performance
    counts = sorted({int(n) for n in frame["replicates"]})
    fewest, most = counts[0], counts[-1]
    yield f"Replicates of a condition: {fewest}{'' if most == fewest else f' to {most}'}."
    error = math.sqrt(_SHARE_AT * (1 - _SHARE_AT) / fewest)
    yield (
        f"With {fewest}, the Monte Carlo standard error of a coverage of 95 % is "
        f"{100 * error:.2g} percentage points, and the largest of any share "
        f"{100 * math.sqrt(0.25 / fewest):.2g}."
    )
    yield from _largest_errors(results)
    goals = study.get("precision")
    if not goals:
        if not is_imported(study):
            yield "No precision was asked for; the number of replicates was fixed beforehand."
        return
    wanted = ", ".join(f"{name} {goal:g}" for name, goal in goals.items())
    limit = study.get("max_replicates")
    yield (
        f"The run went on in each condition until these Monte Carlo standard errors were reached: "
        f"{wanted}{f', or {limit} replicates' if limit else ''}."
    )
    if "reached" in frame:
        most = limit or int(frame["replicates"].max())
        yield from (f"{line}." for line in precision_lines(frame, goals, most))


def _largest_errors(results: Reported) -> Iterator[str]:
    """Yield the largest Monte Carlo standard error of each measure that a study is about."""
    frame = results.performance
    factors = varying(frame, factor_columns(frame))
    for name in ("coverage", "rejection", "bias", "rmse", "mean"):
        rows = frame[frame["measure"] == name]
        error_of = errors(rows) if len(rows) else np.array([])
        if not np.isfinite(error_of).any():
            continue
        place = int(np.nanargmax(error_of))
        row = rows.iloc[place]
        names = [n for n in ("method", "estimand", "interval") if isinstance(row[n], str)]
        where = ", ".join(labelled(results, n, row[n]) for n in (*factors, *names))
        largest = error_of[place]
        shown = f"{100 * largest:.2g} percentage points" if is_share(name) else f"{largest:.2g}"
        words = label(results, name, "measure")
        yield f"Largest Monte Carlo standard error of {words}: {shown} ({where})."
