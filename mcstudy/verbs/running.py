"""The verbs that compute: run."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from mcstudy.terminal import complain, show
from mcstudy.verbs.options import answers_alone, changed_argument, names, show_answers, whole


def add(verbs: Any) -> None:
    """Add these verbs to the command line."""
    verb = verbs.add_parser(
        "run",
        help="compute what is missing of a study and show its measures",
        description="Compute what is missing of a study, make its tables and show the measures. "
        "Stop it at any time and run it again to go on. Exit status 0: done, 2: bad input, 3: a "
        "method has no usable fit under some condition.",
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
        help="compute stored fits again that ended so, e.g. error or timeout,crashed; after a "
        "method was mended, --changed keep --retry error keeps the rows of its other fits",
    )
    verb.add_argument(
        "--log", metavar="FILE", help="append to this file what is done, with the time"
    )
    verb.add_argument(
        "--keep-going",
        action="store_true",
        help="go on though the first fits of a method, 200 or more, all fail with the same message",
    )
    verb.add_argument("--quiet", action="store_true", help="show no progress, only the measures")


def run_verb(options: argparse.Namespace) -> int:
    """Run a study and print its measures; status 3 if a method has no usable fit somewhere."""
    from mcstudy.analysis.unusable import unusable
    from mcstudy.execution.run import run
    from mcstudy.execution.shards import parse_share

    share = None if options.part is None else parse_share(options.part)
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
            keep_going=options.keep_going,
            quiet=options.quiet,
            log=options.log,
        )
    if share:
        again = ["mcstudy", "collect", options.study]
        again += [] if options.results == "results" else ["--results", options.results]
        show(f"Part {share} is in {results.folder}. When all parts are there: {shlex.join(again)}")
        return 0
    show_answers(options, results)
    lines = unusable(results.folder, results.measures, names(options.methods))
    for line in lines if options.quiet else ():
        complain(f"mcstudy: {line}")
    return 3 if lines else 0
