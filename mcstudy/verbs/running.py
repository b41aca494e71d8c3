"""The verbs that compute: run."""

from __future__ import annotations

import argparse
from typing import Any

from mcstudy.verbs.options import names, whole


def add(verbs: Any) -> None:
    """Add these verbs to the command line."""
    verb = verbs.add_parser("run", help="compute what is missing of a study and show its measures")
    verb.set_defaults(verb=run_verb)
    verb.add_argument("study", help="a study file, e.g. configs/quickstart.py")
    verb.add_argument("--replicates", metavar="N", help="in place of the study's own number")
    verb.add_argument("--jobs", metavar="N", help="worker processes; 1 works in this process")
    verb.add_argument("--methods", metavar="A,B", help="run only these methods of the study")
    verb.add_argument("--results", metavar="DIR", default="results", help="default: results")
    verb.add_argument(
        "--changed",
        choices=("keep", "discard"),
        help="what becomes of stored rows that changed code or packages have made",
    )
    verb.add_argument(
        "--retry",
        metavar="A,B",
        help="compute stored fits again that ended as timeout, crashed, or both",
    )


def run_verb(options: argparse.Namespace) -> None:
    """Run a study and print its measures."""
    from mcstudy.runs.runner import run

    results = run(
        options.study,
        options.results,
        replicates=whole("--replicates", options.replicates),
        methods=names(options.methods),
        jobs=whole("--jobs", options.jobs),
        changed=options.changed,
        retry=names(options.retry) or (),
    )
    print(results)
