"""The verbs that look at a folder of results: status, summarize, replay."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcstudy.terminal import show
from mcstudy.verbs.options import answers_alone, show_answers, whole

if TYPE_CHECKING:
    from mcstudy.inspection.replay import Replay


def add(verbs: Any) -> None:
    """Add these verbs to the command line."""
    verb = verbs.add_parser(
        "status",
        help="show what is done, missing and failed",
        description="Show how many fits are done, missing and failed, by condition and method, and "
        "where the failures are. A run, or shares of a job array, may be at work.",
    )
    verb.set_defaults(verb=status_verb)
    verb.add_argument("results", metavar="RESULTS", help="a folder like results/quickstart")

    verb = verbs.add_parser(
        "summarize",
        help="make the tables anew and show the measures",
        description="Make the tables anew from what is stored, and show the measures. While a run "
        "is at work there they are only shown. Tables that rest on more than is stored by now stay "
        "as they are: exit status 2.",
    )
    verb.set_defaults(verb=summarize_verb)
    verb.add_argument("results", metavar="RESULTS", help="a folder like results/quickstart")
    _trust_arguments(verb)
    _add_replay(verbs)


def _add_replay(verbs: Any) -> None:
    verb = verbs.add_parser(
        "replay",
        help="simulate and fit one replicate again",
        description="Simulate one replicate again, fit it, and compare with what is stored, bit "
        "for bit. Exit status 0: all is as stored, 1: something is not, 2: bad input, 3: a fit "
        "has nothing stored to compare with, or none was made.",
    )
    verb.set_defaults(verb=replay_verb)
    verb.add_argument(
        "results",
        metavar="RESULTS",
        help="a folder like results/quickstart, or the study file: then the folder of its name in "
        "results",
    )
    verb.add_argument(
        "--condition",
        metavar="TEXT",
        help="factor values, e.g. 'n=5, mean=0'; those that tell it from the others are enough, "
        "and a study with one condition needs none",
    )
    verb.add_argument(
        "--replicate", metavar="N", required=True, help="its number; the first one is 0"
    )
    verb.add_argument("--method", metavar="NAME", help="fit by this method only; all by default")
    _trust_arguments(verb)
    verb.add_argument(
        "--save", metavar="FILE", help="write the data set to a file: .parquet, .csv or .pkl"
    )
    verb.add_argument(
        "--shell", action="store_true", help="open a Python prompt with data, methods, answers"
    )
    verb.add_argument(
        "--force",
        action="store_true",
        help="fit even where the stored fit crashed or ran out of time",
    )


def _trust_arguments(verb: argparse.ArgumentParser) -> None:
    """Add --study and --trust: whose code is run."""
    verb.add_argument("--study", metavar="FILE", help="the study file, where it is now")
    verb.add_argument(
        "--trust",
        action="store_true",
        help="run the study file that the folder names: code of whoever made the folder",
    )


def status_verb(options: argparse.Namespace) -> None:
    """Print how far a study is and what failed."""
    from mcstudy.inspection.status import status

    show_answers(options, status(options.results))


def summarize_verb(options: argparse.Namespace) -> None:
    """Make the tables anew and print the measures."""
    from pathlib import Path

    from mcstudy.inspection.status import status
    from mcstudy.inspection.summarize import summarize

    with answers_alone():
        results = summarize(options.results, study=options.study, trust=options.trust)
    kept = results.folder == Path(options.results)
    where = None if kept else "not kept, since a run is at work there"
    show_answers(options, status(options.results).headline, results.document(where))


def replay_verb(options: argparse.Namespace) -> int:
    """Show a replicate again; return 1 if it is not what was stored, 3 if nothing is."""
    from mcstudy.errors import ResultsError
    from mcstudy.inspection.replay import replay
    from mcstudy.inspection.save import check_path, save_data
    from mcstudy.storage.folder import why_not_there

    number = whole("--replicate", options.replicate, 0)
    assert number is not None
    if options.save:
        check_path(options.save)
    folder = Path(options.results)
    if options.study and not folder.is_dir():
        raise ResultsError(f"{folder}: {why_not_there(folder)}")
    with answers_alone():
        again = replay(
            options.study or options.results,
            options.condition,
            number,
            method=options.method,
            results=options.results if options.study else "results",
            force=options.force,
            trust=options.trust,
        )
    show_answers(options, again)
    if options.save:
        save_data(again.data, options.save)
        if options.format == "text":
            show(f"\nData: {options.save}")
    if options.shell:
        _open_shell(again)
    if again.equal is False:
        return 1
    return 3 if again.equal is None or again.unstored else 0


def _open_shell(again: Replay) -> None:
    """Open a prompt in which the replicate is at hand."""
    import code

    from mcstudy.streams import stream

    at_hand = {
        "again": again,
        "data": again.data,
        "simulate": again.simulate,
        "rng": stream(again.study.seed, again.condition.key, again.replicate),
        "methods": dict(again.study.methods),
        "answers": dict(again.answers),
        "stored": dict(again.stored),
        "condition": dict(again.condition.factors),
        "study": again.study,
    }
    code.interact(banner=f"At hand: {', '.join(at_hand)}", local=at_hand, exitmsg="")
