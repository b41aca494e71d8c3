"""The verb that joins: collect."""

from __future__ import annotations

import argparse
from typing import Any

from mcstudy.verbs.options import whole


def add(verbs: Any) -> None:
    """Add this verb to the command line."""
    verb = verbs.add_parser("collect", help="join the shares of a study and make its tables")
    verb.set_defaults(verb=collect_verb)
    verb.add_argument("study", help="a study file, e.g. configs/quickstart.py")
    verb.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="a share's own --results, if it had one"
    )
    verb.add_argument("--replicates", metavar="N", help="in place of the study's own number")
    verb.add_argument("--results", metavar="DIR", default="results", help="default: results")
    verb.add_argument(
        "--changed",
        choices=("keep", "discard"),
        help="what becomes of stored rows that changed code or packages have made",
    )


def collect_verb(options: argparse.Namespace) -> int:
    """Collect a study; print its measures, and last whether it is complete (status 0) or not."""
    from mcstudy.runs.collect import collect

    collected = collect(
        options.study,
        options.folders,
        results=options.results,
        replicates=whole("--replicates", options.replicates),
        changed=options.changed,
    )
    if len(collected.results.performance):
        print(collected.results)
    print(collected.summary)
    return 1 if collected.missing else 0
