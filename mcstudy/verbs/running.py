"""The verbs that compute: run."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from mcstudy.verbs.options import answers_alone, changed_argument, names, whole


def add(verbs: Any) -> None:
    """Add these verbs to the command line."""
    verb = verbs.add_parser(
        "run",
        help="compute what is missing of a study and show its measures",
        description="Compute what is missing of a study, make its tables and show the measures. "
        "Stop it at any time and run it again to go on.",
    )
    verb.set_defaults(verb=run_verb)
    verb.add_argument("study", metavar="STUDY", help="a study file, e.g. configs/quickstart.py")
    verb.add_argument(
        "--replicates", metavar="N", help="of each condition, in place of the study's own number"
    )
    verb.add_argument(
        "--jobs",
        metavar="N",
        help="worker processes; one per core by default, 1 works in this process",
    )
    verb.add_argument("--methods", metavar="A,B", help="run only these methods of the study")
    verb.add_argument(
        "--part",
        metavar="K/N",
        help="compute share K of N only, on any machine; mcstudy collect joins the shares",
    )
    verb.add_argument(
        "--backend", metavar="NAME", default="local", help="whose workers: local (default) or dask"
    )
    verb.add_argument("--scheduler", metavar="ADDRESS", help="of dask, e.g. tcp://127.0.0.1:8786")
    verb.add_argument(
        "--results", metavar="DIR", default="results", help="where to store; default: results"
    )
    changed_argument(verb)
    verb.add_argument(
        "--retry",
        metavar="A,B",
        help="compute stored fits again that ended as timeout, crashed, or both",
    )
    verb.add_argument(
        "--log", metavar="FILE", help="append to this file what is done, with the time"
    )
    verb.add_argument("--quiet", action="store_true", help="show no progress, only the measures")


def run_verb(options: argparse.Namespace) -> None:
    """Run a study and print its measures."""
    from mcstudy.runs.runner import run
    from mcstudy.runs.shares import parse_share

    share = parse_share(options.part) if options.part else None
    with answers_alone():
        results = run(
            options.study,
            options.results,
            replicates=whole("--replicates", options.replicates),
            methods=names(options.methods),
            jobs=whole("--jobs", options.jobs),
            changed=options.changed,
            retry=names(options.retry) or (),
            backend=options.backend,
            scheduler=options.scheduler,
            part=(share.number, share.of) if share else None,
            quiet=options.quiet,
            log=options.log,
        )
    if share:
        again = ["mcstudy", "collect", options.study]
        again += [] if options.results == "results" else ["--results", options.results]
        print(f"Part {share} is in {results.folder}. When all parts are there: {shlex.join(again)}")
    else:
        print(results)
