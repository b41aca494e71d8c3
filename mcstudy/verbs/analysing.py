"""The verbs that answer from stored results: table, anova, failures."""

from __future__ import annotations

import argparse
from typing import Any

from mcstudy.terminal import show
from mcstudy.verbs.options import names, share, wanted_cells, where_argument


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
    verb.add_argument(
        "--format",
        choices=("text", "markdown", "latex", "csv", "html"),
        default="text",
        help="default: text",
    )
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
        format=options.format,
    )
    show(table)


def anova_verb(options: argparse.Namespace) -> None:
    """Print the analysis of variance of a measure."""
    from mcstudy.results import open_results

    show(open_results(options.results).anova(options.measure, where=wanted_cells(options)))


def failures_verb(options: argparse.Namespace) -> None:
    """Print how fits ended, which methods fail together and whether rankings survive it."""
    from mcstudy.analysis.select import select, wheres
    from mcstudy.columns import WORDS
    from mcstudy.comparison.failures import warnings_text
    from mcstudy.errors import ResultsError
    from mcstudy.results import open_results
    from mcstudy.tables.summary import endings_text

    results = open_results(options.results)
    failed = [] if options.failed == "none" else names(options.failed)
    level = share("--level", options.level)
    where = wanted_cells(options)
    select(results.performance, where)
    fits = {n: levels for n, levels in wheres(where).items() if n not in WORDS or n == "method"}
    chosen = select(results.performance, fits)
    texts = [endings_text(chosen)]
    if kinds := warnings_text(results.warnings(where=where)):
        texts.append(kinds)
    rows = results.study.get("keep", "rows") == "rows"
    several = rows and chosen["method"].nunique() > 1
    if not rows:
        texts.append("No rows are kept (keep='measures'), so which methods fail together is lost")
    if several:
        texts.append(str(results.failure_overlap(where=where, failed=failed or ())))
    known = set(results.performance["measure"])
    usual = [measure for measure in ("rmse", "coverage") if measure in known]
    for measure in (names(options.measure) or usual) if several else ():
        try:
            ranking = results.sensitivity(measure, where=where, failed=failed or (), level=level)
        except ResultsError as error:
            if options.measure:
                raise
            texts.append(f"No ranking by {measure}: {error}")
        else:
            texts.append(str(ranking))
    show("\n\n".join(texts))
