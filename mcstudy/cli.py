"""The command line: one verb, one short function."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    from mcstudy.errors import MCStudyError

    signal.signal(signal.SIGTERM, _terminated)
    try:
        options.verb(options)
    except MCStudyError as error:
        print(f"mcstudy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mcstudy: interrupted; what is stored is whole, run again to go on", file=sys.stderr)
        return 130
    return 0


def run_verb(options: argparse.Namespace) -> None:
    """Run a study and print its measures."""
    from mcstudy.runner import run

    results = run(
        options.study,
        options.results,
        replicates=_whole("--replicates", options.replicates),
        methods=options.methods and [name.strip() for name in options.methods.split(",")],
        jobs=_whole("--jobs", options.jobs),
        changed=options.changed,
    )
    print(results)


def _parser() -> argparse.ArgumentParser:
    from mcstudy import __version__

    parser = _Parser(prog="mcstudy", description="Simulation studies of statistical methods.")
    parser.add_argument("--version", action="version", version=f"mcstudy {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)
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
    return parser


def _whole(flag: str, text: str | None) -> int | None:
    from mcstudy.errors import StudyError

    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise StudyError(f"{flag} is {text!r}; give an integer of 1 or more") from None


def _terminated(*_: Any) -> NoReturn:
    raise SystemExit("mcstudy: terminated; what is stored is whole, run again to go on")
