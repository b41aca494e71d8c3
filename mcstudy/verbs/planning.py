"""The verbs before the long run: check, plan."""

from __future__ import annotations

import argparse
from typing import Any

from mcstudy.verbs.options import answers_alone, seconds, show_answers, whole


def add(verbs: Any) -> None:
    """Add these verbs to the command line."""
    verb = verbs.add_parser(
        "check",
        help="try every condition and method once, list all problems",
        description="Try one replicate of every condition by every method, and list all problems; "
        "nothing is stored. Exit status 0: no problem, 1: there are some, 2: no usable study.",
    )
    verb.set_defaults(verb=check_verb)
    verb.add_argument("study", metavar="STUDY", help="a study file, e.g. configs/quickstart.py")
    verb.add_argument(
        "--seconds",
        metavar="S",
        help="how long to compare with the oracle, where the study has one; default: 5",
    )

    verb = verbs.add_parser(
        "plan",
        help="forecast time, disk, memory and precision of a run",
        description="Forecast time, disk, memory and Monte Carlo errors of a run from a pilot of a "
        "few seconds; nothing is stored.",
    )
    verb.set_defaults(verb=plan_verb)
    verb.add_argument("study", metavar="STUDY", help="a study file, e.g. configs/quickstart.py")
    verb.add_argument(
        "--replicates", metavar="N", help="of each condition, in place of the study's own number"
    )
    verb.add_argument(
        "--target",
        metavar="MEASURE=ERROR",
        action="append",
        default=[],
        help="say how many replicates this Monte Carlo error needs, e.g. coverage=0.005; can be "
        "given again",
    )
    verb.add_argument("--seconds", metavar="S", help="how long the pilot works; default: 4")
    verb.add_argument("--jobs", metavar="N", help="worker processes; one per core by default")
    verb.add_argument(
        "--results",
        metavar="DIR",
        default="results",
        help="where the run would store; what is there counts as done; default: results",
    )


def check_verb(options: argparse.Namespace) -> int:
    """Print what is wrong with a study; return 1 if something is."""
    from mcstudy.planning.check import GATE_SECONDS, check

    with answers_alone():
        found = check(options.study, seconds=seconds(options.seconds, GATE_SECONDS))
    show_answers(options, found)
    return 0 if found.clean else 1


def plan_verb(options: argparse.Namespace) -> None:
    """Print what a run will cost and how precise it will be."""
    from mcstudy.planning.plan import PILOT_SECONDS, plan

    with answers_alone():
        planned = plan(
            options.study,
            replicates=whole("--replicates", options.replicates),
            targets=_targets(options.target) or None,
            jobs=whole("--jobs", options.jobs),
            results=options.results,
            seconds=seconds(options.seconds, PILOT_SECONDS),
        )
    show_answers(options, planned)


def _targets(texts: list[str]) -> dict[str, float]:
    """Return the error wanted by measure."""
    from mcstudy.errors import StudyError

    targets = {}
    for text in texts:
        measure, _, number = text.partition("=")
        try:
            targets[measure.strip()] = float(number)
        except ValueError:
            raise StudyError(f"--target is {text!r}; write it as coverage=0.005") from None
    return targets
