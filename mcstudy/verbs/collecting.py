"""The verb that joins: collect."""

from __future__ import annotations

import argparse
from typing import Any

from mcstudy.terminal import complain
from mcstudy.verbs.options import answers_alone, changed_argument, show_answers, whole


def add(verbs: Any) -> None:
    """Add this verb to the command line."""
    verb = verbs.add_parser(
        "collect",
        help="join the shares of a study and make its tables",
        description="Join what run --part has computed, make the tables, and say what is missing. "
        "Exit status 0: the study is complete, 1: something is missing, 2: bad input, "
        "3: complete, but a method has no usable fit under some condition.",
    )
    verb.set_defaults(verb=collect_verb)
    verb.add_argument("study", metavar="STUDY", help="a study file, e.g. configs/quickstart.py")
    verb.add_argument(
        "folders",
        nargs="*",
        default=[],
        metavar="FOLDER",
        help="the --results of shares that have one of their own",
    )
    verb.add_argument(
        "--replicates", metavar="N", help="of each condition, in place of the study's own number"
    )
    verb.add_argument(
        "--results",
        metavar="DIR",
        default="results",
        help="where the parts and tables are to be; default: results",
    )
    changed_argument(verb)


def collect_verb(options: argparse.Namespace) -> int:
    """Collect a study; print its measures, and last whether it is complete (status 0) or not."""
    from mcstudy.execution.collect import collect

    with answers_alone():
        collected = collect(
            options.study,
            options.folders,
            results=options.results,
            replicates=whole("--replicates", options.replicates),
            changed=options.changed,
        )
    tables = [collected.results] if len(collected.results.measures["measure"]) else []
    show_answers(options, *tables, collected.summary)
    if collected.missing:
        return 1
    lines = collected.results.unusable
    for line in lines:
        complain(f"mcstudy: {line}")
    return 3 if lines else 0
