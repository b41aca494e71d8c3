"""The verbs that answer from stored results: table, anova, failures."""

from __future__ import annotations

import argparse
from typing import Any

from mcstudy.tables.document import Document
from mcstudy.tables.formats import Printed
from mcstudy.verbs.options import names, share, show_answers, wanted_cells, where_argument


def add(verbs: Any) -> None:
    """Add these verbs to the command line."""
    verb = verbs.add_parser("table", help="lay out measures as a table")
    verb.set_defaults(verb=table_verb)
    verb.add_argument("results", help="a folder like results/<study name>")
    verb.add_argument("--measure", metavar="A,B", required=True, help="e.g. coverage")
    verb.add_argument(
        "--rows", metavar="A,B", help="what runs down first; all else that varies follows"
    )
    verb.add_argument("--columns", metavar="A,B", help="what runs across; method by default")
    where_argument(verb)
    verb.add_argument("--level", default="0.95", help="nominal coverage; default: 0.95")
    verb = verbs.add_parser("anova", help="show which factors drive a measure")
    verb.set_defaults(verb=anova_verb)
    verb.add_argument("results", help="a folder like results/<study name>")
    verb.add_argument("--measure", required=True, help="e.g. coverage")
    where_argument(verb)
    verb = verbs.add_parser("failures", help="show which fits failed and whether it matters")
    verb.set_defaults(verb=failures_verb)
    verb.add_argument("results", help="a folder like results/<study name>")
    verb.add_argument(
        "--measure",
        metavar="A,B",
        help="by what methods are ranked; rmse and coverage by default",
    )
    verb.add_argument(
        "--failed",
        metavar="A,B",
        default="not_converged",
        help="statuses that count as failed, beside fits without an estimate; default: "
        "not_converged; warned for fits with a warning; 'none' for none of them",
    )
    where_argument(verb)
    verb.add_argument("--level", default="0.95", help="nominal coverage; default: 0.95")


def table_verb(options: argparse.Namespace) -> None:
    """Print a table of measures."""
    from mcstudy.results import open_results

    table = open_results(options.results).table(
        options.measure,
        rows=options.rows,
        columns=options.columns,
        where=wanted_cells(options),
        level=share("--level", options.level),
    )
    show_answers(options, table)


def anova_verb(options: argparse.Namespace) -> None:
    """Print the analysis of variance of a measure."""
    from mcstudy.results import open_results

    results = open_results(options.results)
    show_answers(options, results.anova(options.measure, where=wanted_cells(options)))


def failures_verb(options: argparse.Namespace) -> None:
    """Print how fits ended, which methods fail together and whether rankings survive it."""
    from mcstudy.analysis.select import columns_of, method_order, select, wheres
    from mcstudy.columns import WORDS
    from mcstudy.comparison.failures import warnings_document
    from mcstudy.errors import ResultsError
    from mcstudy.results import open_results
    from mcstudy.tables.summary import endings

    results = open_results(options.results)
    failed = [] if options.failed == "none" else names(options.failed)
    level = share("--level", options.level)
    where = wanted_cells(options)
    select(results.performance, where)
    fits = {n: levels for n, levels in wheres(where).items() if n not in WORDS or n == "method"}
    chosen = select(results.performance, fits)
    answers: list[Printed | Document | str] = [
        Document(blocks=[endings(columns_of(chosen), method_order(results.study))])
    ]
    if len(kinds := results.warnings(where=where)):
        answers.append(warnings_document(kinds))
    rows = results.study.get("keep", "rows") == "rows"
    several = rows and chosen["method"].nunique() > 1
    if not rows:
        answers.append("No rows are kept (keep='measures'), so which methods fail together is lost")
    if several:
        answers.append(results.failure_overlap(where=where, failed=failed or ()))
    known = set(results.performance["measure"])
    usual = [measure for measure in ("rmse", "coverage") if measure in known]
    for measure in (names(options.measure) or usual) if several else ():
        try:
            ranking = results.sensitivity(measure, where=where, failed=failed or (), level=level)
        except ResultsError as error:
            if options.measure:
                raise
            answers.append(f"No ranking by {measure}: {error}")
        else:
            answers.append(ranking)
    show_answers(options, *answers)
