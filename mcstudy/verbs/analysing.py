"""The verbs that answer from stored results: table, anova."""

from __future__ import annotations

import argparse
from typing import Any


def add(verbs: Any) -> None:
    """Add these verbs to the command line."""
    verb = verbs.add_parser("table", help="lay out measures as a table")
    verb.set_defaults(verb=table_verb)
    verb.add_argument("results", help="a folder like results/<study name>")
    verb.add_argument("--measure", metavar="A,B", required=True, help="e.g. coverage")
    verb.add_argument("--rows", metavar="A,B", help="what runs down; all that varies by default")
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


def where_argument(verb: argparse.ArgumentParser) -> None:
    """Add --where, which can be given several times."""
    verb.add_argument(
        "--where",
        metavar="A=X|Y",
        action="append",
        help="which cells, e.g. estimand=group1_var or n=10|30; can be given again",
    )


def wanted_cells(options: argparse.Namespace) -> str | None:
    """Return all the conditions of --where as one text."""
    return ", ".join(options.where) if options.where else None


def share(flag: str, text: str) -> float:
    """Return the share that was given.

    Raises
    ------
    ResultsError
        For anything that is not between 0 and 1.
    """
    from mcstudy.errors import ResultsError

    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise ResultsError(f"{flag} is {text!r}; give a share like 0.95")
    return value


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
    print(table)


def anova_verb(options: argparse.Namespace) -> None:
    """Print the analysis of variance of a measure."""
    from mcstudy.results import open_results

    print(open_results(options.results).anova(options.measure, where=wanted_cells(options)))
