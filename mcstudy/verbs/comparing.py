"""The verb that compares: two runs, or two methods of one run."""

from __future__ import annotations

import argparse
from typing import Any

from mcstudy.verbs.options import names, share, show_answers, wanted_cells, where_argument


def add(verbs: Any) -> None:
    """Add this verb to the command line."""
    verb = verbs.add_parser(
        "compare",
        help="compare two runs, or two methods of one",
        description="With two folders: did any number move from A to B? Exit status 0: nothing "
        "did, 1: something did. With one folder and --methods: two methods on the same data.",
    )
    verb.set_defaults(verb=compare_verb)
    verb.add_argument("a", metavar="RESULTS", help="a folder like results/<study name>")
    verb.add_argument("b", metavar="RESULTS", nargs="?", help="another one")
    verb.add_argument("--methods", metavar="A,B", help="the method and its reference")
    verb.add_argument(
        "--equivalence",
        action="store_true",
        help="with --methods: how far apart two methods are that are meant to be equal",
    )
    verb.add_argument(
        "--intervals",
        metavar="A,B",
        help="with --methods: an interval of each, by default those of the same name",
    )
    where_argument(verb)
    verb.add_argument("--alpha", help="chance that anything seems to have moved; default: 0.05")


def compare_verb(options: argparse.Namespace) -> int:
    """Print what differs; return 1 if a number moved between two runs."""
    _check(options)
    if options.b is None:
        _compare_methods(options)
        return 0
    from mcstudy.comparison.runs import compare_runs

    alpha = share("--alpha", options.alpha or "0.05")
    compared = compare_runs(options.a, options.b, where=wanted_cells(options), alpha=alpha)
    show_answers(options, compared)
    return int(compared.moved)


def _check(options: argparse.Namespace) -> None:
    from mcstudy.errors import ResultsError

    methods = names(options.methods)
    if (options.b is None) == (methods is None):
        raise ResultsError("compare: give two folders, or one folder and --methods A,B")
    if methods is not None and len(methods) != 2:
        raise ResultsError(f"--methods is {options.methods!r}; give two, the reference last")
    intervals = names(options.intervals)
    if intervals is not None and len(intervals) != 2:
        raise ResultsError(f"--intervals is {options.intervals!r}; give two, the reference's last")
    if intervals is not None and (options.b is not None or options.equivalence):
        raise ResultsError("--intervals goes with one folder and --methods; leave it out")
    if options.b is not None and options.equivalence:
        raise ResultsError("--equivalence is for two methods of one run; give one folder")
    if options.b is None and options.alpha is not None:
        raise ResultsError("--alpha is for two runs; give two folders")
    if options.equivalence and options.where:
        raise ResultsError("--where does not go with --equivalence; leave one of them out")


def _compare_methods(options: argparse.Namespace) -> None:
    from mcstudy.results import open_results

    results = open_results(options.a)
    method, reference = names(options.methods) or ("", "")
    if options.equivalence:
        show_answers(options, results.equivalence(method, reference))
    else:
        where, intervals = wanted_cells(options), names(options.intervals)
        compared = results.compare(method, reference, where=where, intervals=intervals)
        show_answers(options, compared)
