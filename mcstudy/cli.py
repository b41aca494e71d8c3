"""The command line: every verb with its options; what a verb does is in `verbs`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

from mcstudy import verbs
from mcstudy.arguments import suggestion
from mcstudy.errors import MCStudyError
from mcstudy.option_values import (
    ALPHA,
    ALPHAS,
    FROM_0,
    FROM_2,
    INTEGER,
    LEVEL,
    NAMED_VALUES,
    NUMBER,
    POSITIVE,
    TRUTH,
    Kind,
    measure_and_number,
    names,
    pair,
    share,
    text,
    two_numbers,
)
from mcstudy.tables.formats import FORMATS
from mcstudy.terminal import (
    complain,
    give_up,
    harmless_line,
    open_standard_streams,
    show_any_letter,
)

Argument: TypeAlias = tuple[str, dict[str, Any]]


def option(name: str, said: str, kind: Kind | None = None, **settings: Any) -> Argument:
    """Return an argument, whose value may have a name behind its own: what argparse is told."""
    name, _, metavar = name.partition(" ")
    if metavar:
        settings["metavar"] = metavar
    if kind:
        settings["type"] = kind.of(name)
    return name, {"help": said, **settings}


def switch(name: str, said: str) -> Argument:
    """Return an option without a value."""
    return option(name, said, action="store_true")


class _Joined(argparse.Action):
    """Makes one text, with commas, of the values of an option that is given again."""

    def __call__(self, _: Any, options: argparse.Namespace, given: Any, __: Any = None) -> None:
        before = getattr(options, self.dest)
        setattr(options, self.dest, given if before is None else f"{before}, {given}")


_STUDY = option("study STUDY", "a study file, e.g. configs/quickstart.py")
_RESULTS = option("results RESULTS", "a folder like results/<study name>")
_STORE = option("--results DIR", "where to store; default: results", default="results")
_REPLICATES = option(
    "--replicates N", "of each condition, in place of the study's own number", INTEGER
)
_JOBS = option("--jobs N", "worker processes; one per core by default", INTEGER)
_CHANGED = option(
    "--changed",
    "what becomes of stored rows whose code or packages have changed since: they stay and count, "
    "or are computed again, or (run only) stay if a sample of the fits comes out equal; without it "
    "such a change stops the command",
    choices=("keep", "discard", "verify"),
)
_WHERE = option(
    "--where A=X|Y",
    "which cells, e.g. estimand=group1_var or n=10|30; a text with , = | or that looks like a "
    "number in double quotes; can be given again",
    action=_Joined,
)
_LEVEL = option("--level", "nominal coverage; default: 0.95", LEVEL, default=0.95)
_STUDY_FILE = option("--study FILE", "the study file, where it is now")
_TRUST = switch(
    "--trust", "run the study file that the folder names: code of whoever made the folder"
)
_VERBOSE = switch("--verbose", "show the measures of every condition, not a screen of them")
_NO_REPORT = switch(
    "--no-report", "write no report.html; MCSTUDY_REPORT=off in the environment says so too"
)
_FORMAT = option("--format", "of the answer; default: text", choices=tuple(FORMATS), default="text")


VERBS: dict[str, tuple[Any, ...]] = {
    "new": (
        verbs.new,
        "write a study file to begin with",
        "Write NAME.py, a study that runs as it stands and explains itself, and test_NAME.py, its "
        "test, into this folder.",
        option("name NAME", "of the study: small letters, digits and '_'"),
    ),
    "check": (
        verbs.check,
        "try every condition and method once, list all problems",
        "Try one replicate of every condition by every method, and list all problems; nothing is "
        "stored. Exit status 0: no problem, 1: there are some, 2: no usable study.",
        _STUDY,
        option(
            "--seconds S",
            "how long to compare with the oracle, where the study has one; default: 5",
            POSITIVE,
        ),
    ),
    "plan": (
        verbs.plan,
        "forecast time, disk, memory and precision of a run",
        "Forecast time, disk, memory and Monte Carlo errors of a run from a pilot of a few "
        "seconds; nothing is stored.",
        _STUDY,
        _REPLICATES,
        option(
            "--target MEASURE=ERROR",
            "say how many replicates this Monte Carlo error needs, e.g. coverage=0.005; can be "
            "given again",
            Kind(measure_and_number, "write it as coverage=0.005"),
            action="append",
            default=[],
        ),
        option("--seconds S", "how long the pilot works; default: 4", POSITIVE),
        _JOBS,
        option(
            "--results DIR",
            "where the run would store; what is there counts as done; default: results",
            default="results",
        ),
    ),
    "solve": (
        verbs.solve,
        "find the level of a factor at which a measure reaches a target",
        "Find the level of a numeric factor at which a measure reaches a target, such as the "
        "sample size of a power of 0.8, with its 95 % confidence limits. Replicates are stored; "
        "call it again to go on. Exit status 0: the limits are as narrow as wanted, 1: they are "
        "not, 2: bad input.",
        _STUDY,
        option("--factor NAME", "whose level is sought", required=True),
        option(
            "--for MEASURE=TARGET",
            "the measure and what it is to be, e.g. rejection=0.8",
            Kind(measure_and_number, "write it as rejection=0.8"),
            dest="goal",
            required=True,
        ),
        option(
            "--between LOW,HIGH",
            "the range of levels; default: that of the study",
            Kind(two_numbers, "give two numbers, as 5,200"),
        ),
        _WHERE,
        option("--width W", "how wide the limits may be; default: 5 %% of the level", POSITIVE),
        option("--replicates N", "of each level to begin with", FROM_2),
        option("--most N", "replicates in all; default: 200000", FROM_2),
        _JOBS,
        _STORE,
        option("--output FILE", "draw the search into a .svg, .pdf, .png or .html file"),
    ),
    "protocol": (
        verbs.protocol,
        "write the plan of a study, in the order of ADEMP",
        "Write the plan of a study from its declarations: the questions of ADEMP-PreReg (Siepe et "
        "al. 2024), with what only a person can say marked. Nothing is run, but for a pilot.",
        _STUDY,
        option(
            "--pilot S",
            "justify the number of replicates by a pilot of so many seconds too",
            POSITIVE,
        ),
        option("--output FILE", "write it to a new file, e.g. protocol.md"),
        option(
            "--format", "of the plan; default: markdown", choices=tuple(FORMATS), default="markdown"
        ),
    ),
    "run": (
        verbs.run,
        "compute what is missing of a study and show its measures",
        "Compute what is missing of a study, make its tables and show the measures. Stop it at any "
        "time and run it again to go on. Exit status 0: done, 2: bad input, 3: a method has no "
        "usable fit under some condition.",
        _STUDY,
        _REPLICATES,
        option(
            "--jobs N",
            "worker processes; one per core by default, 1 works in this process",
            INTEGER,
        ),
        option("--methods A,B", "run only these methods of the study", type=names),
        option(
            "--part K/N",
            "compute share K of N only, on any machine; mcstudy collect joins the shares",
            type=share,
        ),
        option("--backend NAME", "whose workers: local (default) or dask", default="local"),
        option("--scheduler ADDRESS", "of dask, e.g. tcp://127.0.0.1:8786"),
        _STORE,
        _CHANGED,
        option(
            "--retry A,B",
            "compute stored fits again that ended so, e.g. error or timeout,crashed; after a "
            "method was fixed, --changed keep --retry error keeps the rows of its other fits",
            type=names,
            default=(),
        ),
        option("--log FILE", "append to this file what is done, with the time"),
        switch(
            "--keep-going",
            "go on though the first fits of a method, 200 or more, all fail with the same message",
        ),
        switch("--quiet", "show no progress, only the measures"),
        _VERBOSE,
        _NO_REPORT,
    ),
    "collect": (
        verbs.collect,
        "join the shares of a study and make its tables",
        "Join what run --part has computed, make the tables, and say what is missing. Exit status "
        "0: the study is complete, 1: something is missing, 2: bad input, 3: complete, but a "
        "method has no usable fit under some condition.",
        _STUDY,
        option(
            "folders FOLDER",
            "the --results of shares that have one of their own",
            nargs="*",
            default=[],
        ),
        _REPLICATES,
        option(
            "--results DIR",
            "where the parts and tables are to be; default: results",
            default="results",
        ),
        _CHANGED,
        _VERBOSE,
        _NO_REPORT,
    ),
    "status": (
        verbs.status,
        "show what is done, missing and failed",
        "Show how many fits are done, missing and failed, by condition and method, and where the "
        "failures are. A run, or shares of a job array, may be at work.",
        _RESULTS,
    ),
    "import": (
        verbs.import_replicates,
        "make results of replicates that were simulated elsewhere",
        "Make a folder of results from a table of replicates, from R or Stata, say: its report, "
        "tables, figures and comparisons are those of a run. A row is a replicate, by method and "
        "estimand, or a wide table has columns for these. Exit status 0: done, 2: bad input, 3: a "
        "method has no usable fit under some condition.",
        option("data FILE", "a CSV or Parquet file with a row for each replicate"),
        option("--name NAME", "of the study; default: that of the file"),
        option("--by A,B", "the columns of factors", type=names),
        option(
            "--columns ROLE=COLUMN,...",
            "what is called otherwise than estimate, std_error, lower, upper, p_value, method, "
            "estimand, replicate, truth, status or seconds, e.g. estimate=b,std_error=se; in a "
            "wide table a pattern, estimate=b_{method},std_error=se_{method}; a name with , or = "
            "in double quotes",
            NAMED_VALUES,
        ),
        option(
            "--truth TRUTH",
            "a number, a column, or by the levels of a factor or by estimand, e.g. 0.5 or "
            "estimand:slope=1,intercept=0; a level with , or = in double quotes",
            TRUTH,
        ),
        switch("--own-truths", "each replicate has a true value of its own"),
        option("--null X", "the value that tests reject", NUMBER),
        option(
            "--alpha A", "the level of tests by p-values, or several with commas: 0.05,0.01", ALPHAS
        ),
        option("--level L", "of intervals formed from standard errors; default: 0.95", LEVEL),
        option("--reference METHOD", "the method that the others are compared with"),
        option("--aims TEXT", "what the study is to find out, for its report"),
        _STORE,
        switch("--quiet", "print only the measures"),
        _VERBOSE,
        _NO_REPORT,
    ),
    "summarize": (
        verbs.summarize,
        "make the tables anew and show the measures",
        "Make the tables anew from what is stored, and show the measures. While a run is at work "
        "there they are only shown. Tables that rest on more than is stored by now stay as they "
        "are: exit status 2.",
        _RESULTS,
        _STUDY_FILE,
        _TRUST,
        _VERBOSE,
        _NO_REPORT,
    ),
    "replay": (
        verbs.replay,
        "simulate and fit one replicate again",
        "Simulate one replicate again, fit it, and compare with what is stored, bit for bit. Exit "
        "status 0: all is as stored, 1: something is not, 2: bad input, 3: a fit has nothing "
        "stored to compare with, or none was made.",
        option(
            "results RESULTS",
            "a folder like results/quickstart, or the study file: then the folder of its name in "
            "results",
        ),
        option(
            "--condition TEXT",
            "factor values, e.g. 'n=5, mean=0'; those that tell it from the others are enough, and "
            "a study with one condition needs none",
        ),
        option("--replicate N", "its number; the first one is 0", FROM_0, required=True),
        option("--method NAME", "fit by this method only; all by default"),
        _STUDY_FILE,
        _TRUST,
        option("--save FILE", "write the data set to a file: .parquet, .csv or .pkl"),
        switch("--shell", "open a Python prompt with data, methods, answers"),
        switch("--force", "fit even where the stored fit crashed or ran out of time"),
    ),
    "table": (
        verbs.table,
        "lay out measures as a table",
        None,
        _RESULTS,
        option("--measure A,B", "e.g. coverage", type=names, required=True),
        option("--rows A,B", "what runs down first; all else that varies follows", type=names),
        option("--columns A,B", "what runs across; method by default", type=names),
        _WHERE,
        _LEVEL,
    ),
    "plot": (
        verbs.plot,
        "draw a figure: a measure against a factor, zip, lolly, heat ...",
        "Draw a figure into a file. NAME is a measure, as coverage, or one of zip, lolly, "
        "nested_loop, heat, estimates, se_against_estimate, methods, bias_se_rmse, statuses, "
        "pvalues, path. While a run is at work the figure shows what is stored by now.",
        _RESULTS,
        option("figure NAME", "which figure, e.g. coverage or zip"),
        option("--x FACTOR", "on the axis; by default what drives the measure most"),
        option("--y FACTOR", "of heat: the other axis"),
        option(
            "--facets A,B", "what has panels of its own; by default all that is legible", type=names
        ),
        option("--measure NAME", "of lolly, nested_loop, heat and path; default: coverage"),
        _WHERE,
        option("--estimand A,B", "only these estimands", type=names),
        option("--method A,B", "only these methods", type=names),
        option("--interval A,B", "only these intervals", type=names),
        option("--level", "nominal coverage; by default the study's", LEVEL),
        option(
            "--output FILE",
            "the file to write; it ends in .svg, .pdf, .png or .html (for a browser, with "
            "tooltips)",
            required=True,
        ),
    ),
    "report": (
        verbs.report,
        "write the report: findings, figures, tables, one page that opens offline",
        "Write the report of a study, one HTML file that needs no network. While a run is at work "
        "it shows what is stored by now.",
        _RESULTS,
        option("--output FILE", "the file; default: report.html in the folder"),
    ),
    "anova": (
        verbs.anova,
        "show which factors drive a measure",
        None,
        _RESULTS,
        option("--measure", "e.g. coverage", required=True),
        _WHERE,
    ),
    "failures": (
        verbs.failures,
        "show which fits failed and whether it matters",
        None,
        _RESULTS,
        option(
            "--measure A,B", "by what methods are ranked; rmse and coverage by default", type=names
        ),
        option(
            "--failed A,B",
            "statuses that count as failed, beside fits without an estimate; default: "
            "not_converged; warned for fits with a warning; 'none' for none of them",
            type=names,
            default=["not_converged"],
        ),
        _WHERE,
        _LEVEL,
    ),
    "compare": (
        verbs.compare,
        "compare two runs, a run and published numbers, or two methods or conditions of one",
        "With two folders: did any number move from A to B? Exit status 0: nothing did, 1: "
        "something did. With a folder and a CSV or Parquet file of measures (columns measure, "
        "value, and mcse, replicates or digits where known): does any number differ from the "
        "published one? With one folder and --methods: two methods on the same data; with "
        "--contrast: two levels of a factor.",
        option("a RESULTS", "a folder like results/<study name>"),
        option("b RESULTS", "another one, or a table of published numbers", nargs="?"),
        option(
            "--methods A,B",
            "the method and its reference",
            Kind(pair, "give two, the reference last"),
        ),
        switch(
            "--equivalence",
            "with --methods: how far apart two methods are that are meant to be equal",
        ),
        option(
            "--intervals A,B",
            "with --methods: an interval of each; default: the same names, or the only ones",
            Kind(pair, "give two, the reference's last"),
        ),
        option(
            "--contrast A=X|Y",
            "with one folder: two levels of a factor, or two methods, by any measure, the "
            "reference last, e.g. 'n=40|10' or 'method=reml|ml'",
        ),
        option("--measure A,B", "with --contrast: e.g. coverage,rmse", type=names),
        switch("--ratio", "with --contrast: ratios in place of differences"),
        _WHERE,
        option("--alpha", "chance that anything seems to have moved; default: 0.05", ALPHA),
    ),
}
"""What does it, its line in the list of verbs, what stands above its own help, its arguments."""


class _Parser(argparse.ArgumentParser):
    """Takes options by their whole names; an error is one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = list(action.choices)
            said = f"{value!r}{suggestion(value, known)}; choose from {', '.join(known)}"
            raise argparse.ArgumentError(action, f"no {said}")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            meant = suggestion(rest[0], list(self._option_string_actions))
            self.error(f"unrecognized arguments: {' '.join(rest)}{meant}")
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        self.exit(2, harmless_line(f"{self.prog}: {message}; see {self.prog} --help") + "\n")


def _parser() -> argparse.ArgumentParser:
    from mcstudy import __version__

    parser = _Parser(prog="mcstudy", description="Simulation studies of statistical methods.")
    parser.add_argument("--version", action="version", version=f"mcstudy {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)
    for name, (does, line, description, *arguments) in VERBS.items():
        subparser = subparsers.add_parser(name, help=line, description=description)
        subparser.set_defaults(verb=does)
        subparser.register("type", None, text)  # of all that have no other
        formats = [] if _FORMAT[0] in dict(arguments) else [_FORMAT]
        for argument, settings in arguments + formats:
            subparser.add_argument(argument, **settings)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: a verb's own, 2 for bad input."""
    open_standard_streams()
    show_any_letter()
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # gives back what it has freed
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        options = _parser().parse_args(arguments)
        status = options.verb(options) or 0
        sys.stdout.flush()
        return int(status)
    except MCStudyError as error:
        complain(f"mcstudy: {error}")
        return error.exit_status
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        give_up(sys.stdout)
        return 141
    except OSError as error:  # of the output: files are read and written elsewhere
        give_up(sys.stdout)
        reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        complain(f"mcstudy: the output cannot be written ({reason}); what was stored is whole")
        return 2
    except KeyboardInterrupt as error:
        is_ended = isinstance(error, _Terminated)
        word = "terminated" if is_ended else "interrupted"
        complain(f"mcstudy: {word}; what is stored is whole, run again to go on")
        return 143 if is_ended else 130
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(KeyboardInterrupt):
    """SIGTERM; an interrupt, so that it passes through a fit as Ctrl-C does."""


def _terminated(*_: Any) -> NoReturn:
    raise _Terminated
