"""What each verb of the command line does: call a function of mcstudy, print its answer."""

from __future__ import annotations

import argparse
import code
import ctypes
import os
import shlex
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mcstudy
from mcstudy.errors import ResultsError
from mcstudy.tables.document import Block, Document
from mcstudy.tables.formats import Printed, render
from mcstudy.terminal import complain, harmless, show

if TYPE_CHECKING:
    from mcstudy.inspection.replay import Replay

_STDOUT, _STDERR = 1, 2
_MOST_NUMBERS = 100_000  # of measures in the report of a run: its page has some 10 MB by then


def new(options: argparse.Namespace) -> None:
    """Write a study file and its test, and say what to do with them."""
    from mcstudy.planning.new_study import new

    study, test = new(options.name)
    show(f"Study: {study}\nTest: {test}\nNext: mcstudy run {study}")


def check(options: argparse.Namespace) -> int:
    """Print what is wrong with a study; return 1 if something is."""
    with _answers_alone():
        found = mcstudy.check(options.study, **given(options, "seconds"))
    _show(options, found)
    return 0 if found.clean else 1


def plan(options: argparse.Namespace) -> None:
    """Print what a run will cost and how precise it will be."""
    own = given(options, "replicates jobs results seconds")
    with _answers_alone():
        planned = mcstudy.plan(options.study, targets=dict(options.target) or None, **own)
    _show(options, planned)


def solve(options: argparse.Namespace) -> int:
    """Print the level that reaches a target; return 1 if its limits are wider than wanted."""
    own = given(options, "between where width replicates most results jobs")
    with _answers_alone():
        solution = mcstudy.solve(options.study, options.factor, *options.goal, tell=complain, **own)
    _show(options, solution)
    if options.output:
        solution.plot().save(options.output)
    return int(not solution.found)


def protocol(options: argparse.Namespace) -> None:
    """Print the plan of a study, or write it to a file that does not exist yet."""
    output = Path(options.output) if options.output else None
    if output is not None and output.exists():
        raise ResultsError(
            f"{output}: already exists, and may hold what a person has written; name a new file"
        )
    with _answers_alone():
        made = mcstudy.protocol(options.study, pilot=options.pilot)
    if output is None:
        _show(options, made)
        return
    try:
        output.write_text(harmless(made.to(options.format)) + "\n", encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{output}: cannot be written ({error.strerror})") from None
    show(f"Protocol: {output}")


def run(options: argparse.Namespace) -> int:
    """Run a study and print its measures; return 3 if a method has no usable fit somewhere."""
    from mcstudy.analysis.unusable import unusable

    share = options.part
    part = (share.number, share.of) if share else None
    own = "replicates methods jobs changed retry backend scheduler keep_going quiet log"
    with _answers_alone():
        results = mcstudy.run(options.study, options.results, part=part, **given(options, own))
    if share:
        again = ["mcstudy", "collect", options.study]
        again += [] if options.results == "results" else ["--results", options.results]
        show(f"Part {share} is in {results.folder}. When all parts are there: {shlex.join(again)}")
        return 0
    _show(options, results.document(verbose=options.verbose))
    _keep_report(options, results)
    lines = unusable(results.folder, results.measures, options.methods)
    return _three_if(lines, said=not options.quiet)


def collect(options: argparse.Namespace) -> int:
    """Print a study's measures, then what is missing; return 1 if something is, 3 as `run` does."""
    with _answers_alone():
        own = given(options, "results replicates changed")
        collected = mcstudy.collect(options.study, options.folders, **own)
    has_tables = len(collected.results.measures["measure"])
    tables = [collected.results.document(verbose=options.verbose)] if has_tables else []
    _show(options, *tables, collected.summary)
    if has_tables:
        _keep_report(options, collected.results)
    if collected.missing:
        return 1
    return _three_if(collected.results.unusable, said=False)


def _three_if(unusable: Sequence[str], *, said: bool) -> int:
    """Return 3 if a method has no usable fit somewhere, else 0; say so unless it was said."""
    for line in () if said else unusable:
        complain(f"mcstudy: {line}")
    return 3 if unusable else 0


def import_replicates(options: argparse.Namespace) -> int:
    """Print the measures of imported replicates; return 3 as `run` does."""
    name = options.name or Path(options.data).name.partition(".")[0]
    own = given(options, "by columns truth own_truths null alpha level reference aims quiet")
    with _answers_alone():
        results = mcstudy.import_replicates(options.data, options.results, name=name, **own)
    _show(options, results.document(verbose=options.verbose))
    _keep_report(options, results)
    return _three_if(results.unusable, said=not options.quiet)


def status(options: argparse.Namespace) -> None:
    """Print how far a study is and what failed."""
    _show(options, mcstudy.status(options.results))


def summarize(options: argparse.Namespace) -> None:
    """Make the tables anew and print the measures."""
    with _answers_alone():
        results = mcstudy.summarize(options.results, study=options.study, trust=options.trust)
    kept = results.folder == Path(options.results)
    where = None if kept else "not kept, since a run is at work there"
    _show(
        options,
        mcstudy.status(options.results).headline,
        results.document(where, verbose=options.verbose),
    )
    if kept:
        _keep_report(options, results)


def replay(options: argparse.Namespace) -> int:
    """Show a replicate again; return 1 if it is not what was stored, 3 if nothing is."""
    from mcstudy.inspection.save import check_path, save_data
    from mcstudy.storage.folder import why_not_there

    if options.save:
        check_path(options.save)
    folder = Path(options.results)
    if options.study and not folder.is_dir():
        raise ResultsError(f"{folder}: {why_not_there(folder)}")
    own = given(options, "condition replicate method force trust")
    with _answers_alone():
        again = mcstudy.replay(
            options.study or options.results,
            results=options.results if options.study else "results",
            **own,
        )
    _show(options, again)
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


def table(options: argparse.Namespace) -> None:
    """Print a table of measures."""
    own = given(options, "measure rows columns where level")
    _show(options, mcstudy.open_results(options.results).table(**own))


def plot(options: argparse.Namespace) -> None:
    """Draw a figure into a file, and say where it is."""
    from mcstudy.figures.output import kind_of, save
    from mcstudy.inspection.summarize import results_now

    kind_of(options.output)
    with _answers_alone():
        own = given(options, "x y facets measure where estimand method interval level")
        figure = results_now(options.results).plot(options.figure, **own)
    save(figure, options.output)
    _show(options, f"Figure: {options.output}")


def _keep_report(options: argparse.Namespace, results: mcstudy.Results) -> None:
    """Bring the report of a study up to date, and say where it is."""
    if options.no_report or os.environ.get("MCSTUDY_REPORT", "").lower() in ("off", "0", "no"):
        return
    path = results.folder / "report.html"
    try:
        tables = (results.folder / "performance.parquet").stat().st_mtime_ns
        line = f"Report: {path}"
        if not path.exists() or path.stat().st_mtime_ns <= tables:
            if (numbers := len(results.measures["measure"])) > _MOST_NUMBERS:
                folder = shlex.quote(str(results.folder))
                line = f"Report: not written for {numbers} numbers; mcstudy report {folder} does it"
            else:
                with _answers_alone():
                    results.report()
    except Exception as error:  # noqa: BLE001 - whatever it is, the results are complete
        line = f"Report: not written ({type(error).__name__}: {error})"
    (show if options.format == "text" else complain)(line)


def report(options: argparse.Namespace) -> None:
    """Write the report, and say where it is."""
    from mcstudy.inspection.summarize import results_now
    from mcstudy.report.page import write_report
    from mcstudy.results import folder_of
    from mcstudy.storage.store import Store

    folder = folder_of(options.results)
    running = Store(folder).busy
    with _answers_alone():
        path = write_report(results_now(folder), options.output, folder=folder, running=running)
    _show(options, f"Report: {path}")


def anova(options: argparse.Namespace) -> None:
    """Print the analysis of variance of a measure."""
    results = mcstudy.open_results(options.results)
    _show(options, results.anova(options.measure, where=options.where))


def failures(options: argparse.Namespace) -> None:
    """Print how fits ended, which methods fail together and whether rankings survive it."""
    from mcstudy.analysis.select import columns_of, method_order, select, wheres
    from mcstudy.columns import WORDS
    from mcstudy.comparison.failures import warnings_document
    from mcstudy.tables.summary import endings

    results = mcstudy.open_results(options.results)
    failed = () if options.failed == ["none"] else options.failed
    where = options.where
    select(results.performance, where)
    fits = {n: levels for n, levels in wheres(where).items() if n not in WORDS or n == "method"}
    chosen = select(results.performance, fits)
    answers: list[Printed | Document | str] = [
        Document(blocks=[endings(columns_of(chosen), method_order(results.study), results.labels)])
    ]
    if len(kinds := results.warnings(where=where)):
        answers.append(warnings_document(kinds, results.labels))
    rows = results.study.get("keep", "rows") == "rows"
    several = rows and chosen["method"].nunique() > 1
    if not rows:
        answers.append("No rows are kept (keep='measures'), so which methods fail together is lost")
    if several:
        answers.append(results.failure_overlap(where=where, failed=failed))
        answers += _rankings(options, results, failed)
    _show(options, *answers)


def _rankings(
    options: argparse.Namespace, results: mcstudy.Results, failed: Collection[str]
) -> Iterator[Printed | str]:
    """Yield the ranking of methods by each measure that is asked for, or by the usual ones."""
    known = set(results.performance["measure"])
    for measure in options.measure or [name for name in ("rmse", "coverage") if name in known]:
        try:
            yield results.sensitivity(measure, failed=failed, **given(options, "where level"))
        except ResultsError as error:
            if options.measure:
                raise
            yield f"No ranking by {measure}: {error}"


def compare(options: argparse.Namespace) -> int:
    """Print what differs; return 1 if a number moved between two runs, or from a published one."""
    _check_compared(options)
    where = options.where
    if options.b is not None:
        alpha = options.alpha or 0.05  # as often as a test of size 5 % is wrong
        moves = mcstudy.compare_runs(options.a, options.b, where=where, alpha=alpha)
        _show(options, moves)
        return int(moves.moved)
    results = mcstudy.open_results(options.a)
    if options.contrast is not None:
        from mcstudy.comparison.contrast import one_factor

        factor, levels = one_factor(options.contrast)
        own = given(options, "measure where ratio")
        _show(options, results.contrast(factor, *levels, **own))
    elif options.equivalence:
        _show(options, results.equivalence(*options.methods))
    else:
        _show(options, results.compare(*options.methods, where=where, intervals=options.intervals))
    return 0


def _check_compared(options: argparse.Namespace) -> None:
    """Raise ResultsError for options of `compare` that do not go together."""
    two, one_run = options.b is not None, options.methods is not None
    is_contrast = options.contrast is not None
    wrong = {
        "compare: give two folders, a folder and a table of measures, or one folder and "
        "--methods A,B or --contrast 'n=40|10'": two + one_run + is_contrast != 1,
        "--measure goes with --contrast: write --contrast 'method=A|B', or leave it out": (
            options.measure and not is_contrast
        ),
        "--ratio goes with --contrast; leave it out": options.ratio and not is_contrast,
        "--intervals goes with one folder and --methods; leave it out": (
            options.intervals and (not one_run or options.equivalence)
        ),
        "--equivalence is for two methods of one run; give one folder": (
            options.equivalence and not one_run
        ),
        "--alpha is for two runs; give two folders": options.alpha and not two,
        "--where does not go with --equivalence; leave one of them out": (
            options.equivalence and options.where
        ),
    }
    for message, applies in wrong.items():
        if applies:
            raise ResultsError(message)


def given(options: argparse.Namespace, names: str) -> dict[str, Any]:
    """Return those options that were given, or have a default here, of the names in a text."""
    values = {name: getattr(options, name) for name in names.split()}
    return {name: value for name, value in values.items() if value is not None}


def _show(options: argparse.Namespace, *answers: Printed | Document | str) -> None:
    """Print answers, or lines, one after the other in the format that was asked for."""
    blocks: list[Block | Document] = []
    for answer in answers:
        if isinstance(answer, str):
            blocks.append(Block(lines=[answer]))
        else:
            blocks.append(answer.document() if isinstance(answer, Printed) else answer)
    show(render(Document(blocks=blocks), options.format))


@contextmanager
def _answers_alone() -> Iterator[None]:
    """Send to stderr what is printed meanwhile, by compiled code too: stdout is for our answers."""
    sys.stdout.flush()
    try:
        kept = os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)
    except OSError:  # one of the two is closed
        kept = None
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        ctypes.CDLL(None).fflush(None)
        if kept is not None:
            os.dup2(kept, _STDOUT)
            os.close(kept)
