"""`protocol`: the plan of a study in the order of ADEMP, from its declarations.

The twenty questions are those of ADEMP-PreReg (B. S. Siepe, F. Bartoš, T. P. Morris, A.-L.
Boulesteix, D. W. Heck & S. Pawel, "Simulation studies for methodological research in psychology: a
standardized template for planning, preregistration, and reporting", 2024, Psychological Methods,
doi:10.1037/met0000695), in our own words.
"""

from __future__ import annotations

import inspect
import math
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mcstudy.analysis.definitions import DEFINITIONS, OWN_MCSE
from mcstudy.analysis.select import levels_in_words
from mcstudy.arguments import counted, short
from mcstudy.errors import StudyError
from mcstudy.execution.options import check_jobs, workers_for
from mcstudy.grid import Level, level_text
from mcstudy.labels import label
from mcstudy.loader import as_study, neighbours_forgotten
from mcstudy.measure import REJECTION, WITHOUT_TRUTH, functions_of, is_share, null_of, rejection_at
from mcstudy.method import Status, function_of
from mcstudy.planning.forecast import (
    expected_errors,
    largest_errors,
    stops_in_words,
    unit_errors,
)
from mcstudy.planning.pilot import run_pilot
from mcstudy.storage.facts import commit_of
from mcstudy.storage.source import source_of
from mcstudy.storage.versions import versions
from mcstudy.study import Study
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed
from mcstudy.truths import DATA, mcse_of

Expected: TypeAlias = tuple[int, list[tuple[str, str, str]]]
"""The fewest replicates of a pilot; by measure the largest error to expect, and where."""
Questions: TypeAlias = list[tuple[str, list[Block]]]
PERSON = "FOR A PERSON"
"""Begins what the declarations of a study do not tell."""
_MOST_CODE = 60  # lines of a function; a longer one is better read in the study file
_MOST_LEVELS = 30  # of a factor, shown one by one
_TITLE, _PART, _QUESTION = 1, 2, 3  # levels of headings
_MEASURES = (
    *("bias", "empirical_se", "mse", "rmse", "model_se", "relative_error_model_se"),
    *("coverage", "coverage_of_all", "width"),
)
"""Those that a plan names: each study has them all, where it has what they need."""
_OF_NUMBERS = (*WITHOUT_TRUTH, "empirical_se", "mad", "mean_difference", "mean_ratio")
"""Those of estimands that have no true value."""
_STREAMS = {
    "independent": "condition, replicate and method has a random stream of its own",
    "common": "replicate has a random stream, the same under all conditions (common random "
    "numbers), and so has each replicate by a method",
}
_SHARES = (0.95, 0.8, 0.5)  # a nominal coverage, a usual power, and where the error is largest


@dataclass(frozen=True)
class Protocol(Printed):
    """The plan of a study; ``to("markdown")`` is a file to be completed and registered.

    Parameters
    ----------
    sections : tuple of Block
        Title, parts and questions with their answers.
    """

    sections: tuple[Block, ...]

    def document(self) -> Document:
        """Return the sections in order."""
        return Document(blocks=self.sections)


@neighbours_forgotten()
def protocol(study: Study | str | Path, *, pilot: float | None = None) -> Protocol:
    """Write the plan of a study from its declarations, in the order of ADEMP.

    What the declarations do not tell is marked: ``FOR A PERSON``. Nothing is stored.

    Parameters
    ----------
    study : Study or path
        A study, or the path of a study file.
    pilot : float, optional
        Seconds of a pilot, from which the Monte Carlo errors of bias and the like are had; without
        one they are given as a share of the spread of the estimates.

    Raises
    ------
    StudyError
        For a study that cannot be used.
    """
    study = as_study(study)
    truths = [study.estimands_of(condition) for condition in study.conditions]
    study.check_labelled({name for of in truths for name in of} if study.estimands else None)
    expected = None if pilot is None else _expected(study, pilot)
    return Protocol(tuple(_sections(study, truths, expected)))


def _expected(study: Study, seconds: float) -> Expected:
    """Return the fewest replicates of a pilot, and the largest error of each measure to expect."""
    if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise StudyError(f"pilot is {short(seconds)}; give seconds, a number above 0")
    workers = workers_for(check_jobs(None), study.replicates * len(study.conditions))
    made = run_pilot(study, workers, seconds)
    cells = expected_errors(unit_errors(made.performance), study.replicates)
    rows = [(measure, largest, at) for measure, largest, _, at in largest_errors(cells)]
    return made.replicates[0], rows


def _sections(
    study: Study, truths: Sequence[Mapping[str, float | None]], expected: Expected | None
) -> Iterator[Block]:
    """Yield the title, and by part its questions and answers."""
    yield Block(f"Protocol of the simulation study {study.name}", level=_TITLE)
    yield Block(
        lines=[
            "In the order of ADEMP-PreReg (Siepe et al. 2024, doi:10.1037/met0000695). The "
            f"declarations of the study do not tell what is marked {PERSON}; write it, then "
            "register the whole before the run."
        ]
    )
    parts: dict[str, Questions] = {
        "General information": _general(study),
        "Aims": [("What is the study to find out?", _aims(study))],
        "Data-generating mechanism": _mechanism(study),
        "Estimands and targets": [
            ("What is estimated, and what is its true value?", _estimands(study, truths))
        ],
        "Methods": [("Which methods are compared, and what is taken from each?", _methods(study))],
        "Performance measures": _performance(study, truths, expected),
        "Other": _other(study),
    }
    number = 0
    for part, questions in parts.items():
        yield Block(part, level=_PART)
        for question, answer in questions:
            number += 1
            yield Block(f"{number}. {question}", level=_QUESTION)
            yield from answer


def _person(text: str) -> Block:
    return Block(lines=[f"{PERSON}: {text}"])


def _said(*lines: str) -> Block:
    return Block(lines=lines)


def _general(study: Study) -> Questions:
    conditions, methods = len(study.conditions), len(study.methods)
    at_least = "at least " if study.precision else ""
    about = (
        f"{at_least}{counted(study.replicates, 'data set')} are simulated under each of "
        f"{counted(conditions, 'condition')} and analysed by {counted(methods, 'method')}: "
        f"{at_least}{counted(study.replicates * conditions * methods, 'fit')}."
    )
    about = about[0].upper() + about[1:]
    return [
        ("What is the title of the project?", [_said(study.name), _person("a title to read.")]),
        ("Who takes part?", [_person("names, now and later.")]),
        (
            "What is the project about?",
            [_said(about), _person("the rest of the project, such as data it will analyse.")],
        ),
        (
            "Have those who take part simulated on this question before, pilots included?",
            [_person("earlier studies, and what is known from them.")],
        ),
    ]


def _aims(study: Study) -> list[Block]:
    given = [" ".join(part.split()) for part in study.aims.split("\n\n")]
    more = "the task (estimation, testing, prediction, selection, design), and what is expected."
    if not study.aims:
        return [_person(f"the aims; {more}")]
    return [_said(*filter(None, given)), _person(more)]


def _mechanism(study: Study) -> Questions:
    levels = _levels(study)
    varied = [name for name in levels if len(levels[name]) > 1]
    words = [label(study.labels, name, "factor") for name in varied]
    full = math.prod(len(of) for of in levels.values())
    count = len(study.conditions)
    design = (
        f"Fully factorial: {' x '.join(str(len(levels[name])) for name in varied) or '1'} = "
        f"{counted(count, 'condition')}."
        if count == full
        else f"Partially factorial: {count} of the {full} combinations are conditions."
    )
    rows = [
        (
            name,
            label(study.labels, name, "factor") if name in study.labels else "",
            levels_in_words(name, of[:_MOST_LEVELS], study.labels)
            + (f", ... ({len(of)} levels)" if len(of) > _MOST_LEVELS else ""),
        )
        for name, of in levels.items()
    ]
    table = Block(grid=Grid(("factor", "in words", "values"), rows, left=3)) if rows else None
    return [
        (
            "How do data arise, and where do the parameters come from?",
            [
                *_code("simulate", study.simulate),
                *(_code("prepare", study.prepare) if study.prepare else ()),
                _person("parametric, parametric after real data, or resampled; and why."),
            ],
        ),
        (
            "Which factors vary?",
            [_said(f"{', '.join(words)}." if words else "None: there is one condition.")],
        ),
        ("Which values do they have?", [*([table] if table else []), _person("why these.")]),
        ("How are they combined, and how many conditions are there?", [_said(design)]),
    ]


def _levels(study: Study) -> dict[str, list[Level]]:
    """Return the levels of each factor, in the order of the conditions."""
    found: dict[str, dict[str, Level]] = {name: {} for name in study.conditions.factors}
    for condition in study.conditions:
        for name, level in condition.factors.items():
            found[name].setdefault(level_text(level), level)
    return {name: list(of.values()) for name, of in found.items()}


def _estimands(study: Study, truths: Sequence[Mapping[str, float | None]]) -> list[Block]:
    rows = []
    for name in dict.fromkeys(name for of in truths for name in of):
        values = [of[name] for of in truths if name in of]
        known = [value for value in values if value is not None and math.isfinite(value)]
        simulated = any(map(mcse_of, known))
        ends = dict.fromkeys(f"{value:.6g}" for value in (min(known), max(known))) if known else ()
        null = null_of(study.null, name)
        words = label(study.labels, name, "estimand")
        rows.append(
            (
                name,
                "" if words == name else words,
                " to ".join(ends) + ", by simulation" * simulated or "none: its mean is measured",
                "" if math.isnan(null) else f"{null:g}",
            )
        )
    if study.truth_from == DATA:
        return [
            _said("Each data set has true values of its own, which `estimands` reads off it."),
            _person("what these are, and which of the estimands are primary."),
        ]
    if not rows:
        said = "Nothing has a true value: the numbers that the methods return are summarized."
        return [_said(said), _person("which numbers these are, and which of them are primary.")]
    kept = [j for j in range(4) if j in (0, 2) or any(row[j] for row in rows)]
    heads = ("estimand", "in words", "true value", "null value")
    grid = Grid([heads[j] for j in kept], [[row[j] for j in kept] for row in rows], left=len(kept))
    return [
        Block(grid=grid),
        *(_code("estimands", study.estimands) if study.estimands else ()),
        _person("which of them are primary."),
    ]


def _methods(study: Study) -> list[Block]:
    blocks = []
    for name, method in study.methods.items():
        words = label(study.labels, name, "method")
        blocks += _code(name if words == name else f"{name} ({words})", function_of(method))
    taken = "Of each fit: the estimates, with what of standard errors and intervals it returns, "
    taken += "how it ended, its warnings and its time."
    if study.level is not None:
        taken += (
            f" Where a method gives a standard error and no interval, a Wald interval of level "
            f"{study.level:g} is formed."
        )
    if study.reference is not None:
        taken += f" The others are compared with {study.reference}, on the same data sets."
    if study.time_limit is not None:
        limit = study.time_limit
        limits = limit if isinstance(limit, Mapping) else {"": limit}
        each = (f"{most:g} s{f' ({name})' if name else ''}" for name, most in limits.items())
        taken += f" A fit is ended after {', '.join(each)}."
    return [*blocks, _said(taken), _person("why these methods, and which defaults they leave.")]


def _measures(study: Study, *, has_truth: bool, all_true: bool) -> list[tuple[str, ...]]:
    """Return the measures of a study, each with what it is and its Monte Carlo error."""
    names = [
        *(_MEASURES if has_truth else ()),
        *(() if has_truth and all_true else _OF_NUMBERS),
        *((REJECTION,) if study.null is not None or study.alpha is not None else ()),
    ]
    rows = [(name, *DEFINITIONS[name]) for name in dict.fromkeys(names)]
    rows += [
        (name, f"share of the p-values of at most {alpha:g}", DEFINITIONS[REJECTION].mcse)
        for name, alpha in rejection_at(study.alphas).items()
        if name != REJECTION
    ]
    rows += [(name, _first_line(measure), OWN_MCSE) for name, measure in study.measures.items()]
    return [(label(study.labels, name, "measure"), *rest) for name, *rest in rows]


def _performance(
    study: Study, truths: Sequence[Mapping[str, float | None]], expected: Expected | None
) -> Questions:
    values = [value for of in truths for value in of.values()]
    has_truth = study.truth_from == DATA or any(value is not None for value in values)
    named = _measures(study, has_truth=has_truth, all_true=None not in values)
    statuses = ", ".join(f"{word} ({word.meaning})" for word in Status)
    uncertainty = (
        "Every number is reported with its Monte Carlo standard error and 95 % limits, in tables "
        "and figures, by the formulas of question 12. Methods see the same data sets, so the "
        "errors of their differences are paired."
    )
    missing = (
        f"A fit that fails is a row with a status: {statuses}. No data set is drawn anew and "
        "none is replaced. A measure rests on the fits that have what it needs, and says on how "
        "many of how many. Where more than 1 % of the intervals are missing, coverage is also "
        "given with each missing one counted as a miss, and as a hit. Rankings of methods are "
        "given for available fits, for replicates in which no method failed, and with failures "
        "counted as the worst."
    )
    return [
        (
            "Which performance measures are used?",
            [
                _said(
                    "e is estimate minus truth, n the number of replicates."
                    if has_truth
                    else "n is the number of replicates."
                ),
                Block(grid=Grid(("measure", "what it is", "Monte Carlo error"), named, left=3)),
                _person("which are primary, and why."),
            ],
        ),
        ("How is their Monte Carlo uncertainty computed and reported?", [_said(uncertainty)]),
        (
            "How many replicates are run of each condition, and why?",
            _replicates(study, expected, has_truth=has_truth),
        ),
        (
            "What becomes of fits that fail or do not converge?",
            [_said(missing), _person("from what share of failures on a condition is left out.")],
        ),
        (
            "How will the measures be read? (optional)",
            [_person("what difference matters; what is acceptable, such as a coverage of 93 %.")],
        ),
    ]


def _first_line(measure: Any) -> str:
    """Return what the docstring of a measure of the study's own says first, and what it is of."""
    ((estimand, function), *_) = functions_of(measure).items()
    said = (inspect.getdoc(function) or "the study's own").split("\n")[0]
    of = "" if estimand is None else f" (of {', '.join(measure)})"
    return f"{said}{of}"


def _replicates(study: Study, expected: Expected | None, *, has_truth: bool) -> list[Block]:
    """Return the number of replicates and the Monte Carlo errors that it gives."""
    n = study.replicates
    stops = stops_in_words(study, n)
    shares = "; ".join(
        f"{math.sqrt(p * (1 - p) / n):.2g} where the share is {p:g}" for p in _SHARES
    )
    spread = 1 / math.sqrt(n)
    lines = [
        f"{stops[0].upper()}{stops[1:]}. The errors that {n} replicates give:"
        if stops
        else f"{counted(n, 'replicate')}.",
        f"Shares{', such as coverage and rejection,' if has_truth else ''} have the Monte Carlo "
        f"error sqrt(p(1 - p)/n): {shares}.",
        f"{'Bias' if has_truth else 'A mean'} has sd/sqrt(n), which is {spread:.2g} of the "
        f"{'empirical SE' if has_truth else 'standard deviation'}; the empirical SE itself, "
        f"where estimates are normal, 1/sqrt(2(n - 1)) of its value"
        f"{f', which is {1 / math.sqrt(2 * (n - 1)):.2g}' if n > 1 else ''}.",
    ]
    for name, goal in (study.precision or {}).items():
        if is_share(name):
            most = math.ceil(0.25 / goal**2)
            lines.append(f"An error of {goal:g} of {name} takes at most 0.25/{goal:g}^2 = {most}.")
    question = _person("whether these errors are small enough for what is to be claimed.")
    return [_said(*lines), *_of_pilot(n, expected), question]


def _of_pilot(replicates: int, expected: Expected | None) -> list[Block]:
    """Return the errors that a pilot lets expect, or that none was made."""
    if expected is None:
        return [
            _said(
                "No pilot was made. mcstudy protocol STUDY --pilot 10 adds the errors to expect of "
                "all measures from a pilot of 10 seconds."
            )
        ]
    fewest, rows = expected
    about = f"A pilot of at least {counted(fewest, 'replicate')} of each condition it tried "
    about += f"lets these errors be expected at {counted(replicates, 'replicate')}:"
    return [_said(about), Block(grid=Grid(("measure", "largest error", "at"), rows, left=3))]


def _other(study: Study) -> Questions:
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    where = f"{platform.platform()}, {counted(os.cpu_count() or 1, 'core')}."
    made = [
        f"Seed {study.seed}. Each {_STREAMS[study.streams]}, "
        "so the tables are the same for any number of workers and any order, and any replicate can "
        "be replayed by its address.",
        "Stored are "
        + (
            "all answers of all fits, with checksums"
            if study.keep == "rows"
            else "the sums that measures are made of, with checksums"
        )
        + "; the record names the versions and the code that made them.",
    ]
    if study.source is not None:
        commit = commit_of(study)
        made.append(
            f"Study file: {study.source.name}, SHA-256 {study.source_digest}"
            f"{f', commit {commit}' if commit else ''}. To run it: mcstudy run {study.source.name}"
        )
    return [
        ("Which software is used?", [_said(f"{packages}.")]),
        (
            "On which computers is it run?",
            [_said(f"This protocol was written on {where}"), _person("others, if there are any.")],
        ),
        (
            "What else makes the results reproducible? (optional)",
            [_said(*made), _person("where code and results will be put.")],
        ),
        ("What else is laid down beforehand? (optional)", [_person("anything else.")]),
    ]


def _code(name: str, function: Callable[..., Any]) -> list[Block]:
    """Return what a function is called, its docstring's first paragraph and its code."""
    source = source_of(function)
    title = f"{name}: {source['home']}" if source["home"] else name
    options = f" ({source['options']})" if source["options"] else ""
    code = source.get("text", "").splitlines()
    more = [f"... {len(code) - _MOST_CODE} more lines"] if len(code) > _MOST_CODE else []
    said = f". {source['said']}" if source["said"] else ""
    return [_said(f"{title}{options}{said}", *(f"  {x}" for x in [*code[:_MOST_CODE], *more]))]
