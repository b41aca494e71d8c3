"""The command line: every verb with its options; what a verb does is in `verbs`."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias, TypeVar

from mcstudy import verbs
from mcstudy.errors import MCStudyError, ResultsError, StudyError
from mcstudy.tables.formats import FORMATS
from mcstudy.terminal import (
    complain,
    give_up,
    harmless_line,
    open_standard_streams,
    show_any_letter,
)

if TYPE_CHECKING:
    from mcstudy.execution.shards import Shard

Argument: TypeAlias = tuple[str, dict[str, Any]]
T = TypeVar("T")

_CURE = "give a value, or leave it out"
_FOLDER: dict[str, Any] = {"metavar": "DIR", "default": "results"}
_SWITCH: dict[str, Any] = {"action": "store_true"}


def text(given: str) -> str:
    """Return a value as it is, unless it is empty: what an unset variable of a shell becomes."""
    if not given.strip():
        raise argparse.ArgumentTypeError(f"{given!r} is empty; {_CURE}")
    return given


def names(given: str) -> list[str]:
    """Return the names in a list with commas; quotes as in `query`."""
    if not all(name.strip() for name in given.split(",")):
        what = "has an empty name" if given.strip(", ") else "is empty"
        raise argparse.ArgumentTypeError(f"{given!r} {what}; {_CURE}")
    from mcstudy.analysis.query import names_in

    return names_in(given)


def pair(flag: str, last: str) -> Callable[[str], list[str]]:
    """Return the type of an option that takes two names; `last` says whose the second one is."""

    def two_names(given: str) -> list[str]:
        two = names(given)
        if len(two) != 2:
            raise ResultsError(f"{flag} is {given!r}; give two, {last} last")
        return two

    return two_names


def integer(flag: str, least: int = 1) -> Callable[[str], int]:
    """Return the type of an option that takes an integer; how small is checked by what gets it."""
    return converted(int, flag, f"give an integer of {least} or more")


def number(flag: str) -> Callable[[str], float]:
    """Return the type of an option that takes any number."""
    return converted(float, flag, "give a number")


def converted(kind: Callable[[str], T], flag: str, cure: str) -> Callable[[str], T]:
    """Return the type of an option that takes a kind of number."""

    def convert(given: str) -> T:
        try:
            return kind(text(given))
        except ValueError:
            raise StudyError(f"{flag} is {given!r}; {cure}") from None

    return convert


def seconds(given: str) -> float:
    """Return a time above 0."""
    return between(given, math.inf, "--seconds", "give a number above 0")


def proportion(flag: str) -> Callable[[str], float]:
    """Return the type of an option that takes a number between 0 and 1."""
    return lambda given: between(given, 1, flag, "give a share like 0.95")


def between(given: str, most: float, flag: str, cure: str) -> float:
    """Return a number between 0 and another one."""
    try:
        if 0 < (number := float(text(given))) < most:
            return number
    except ValueError:
        pass
    raise StudyError(f"{flag} is {given!r}; {cure}")


def measure_and_number(flag: str, example: str) -> Callable[[str], tuple[str, float]]:
    """Return the type of an option that takes a measure and a number, as ``coverage=0.005``."""

    def both(given: str) -> tuple[str, float]:
        measure, _, number = text(given).partition("=")
        try:
            return measure.strip(), float(number)
        except ValueError:
            raise StudyError(f"{flag} is {given!r}; write it as {example}") from None

    return both


def settings(flag: str, example: str) -> Callable[[str], dict[str, str]]:
    """Return the type of an option that takes names with values, as ``estimate=b,std_error=se``."""

    def by_name(given: str) -> dict[str, str]:
        pairs = [each.partition("=") for each in text(given).split(",")]
        if not all(name.strip() and value.strip() for name, _, value in pairs):
            raise StudyError(f"{flag} is {given!r}; write it as {example}")
        return {name.strip(): value.strip() for name, _, value in pairs}

    return by_name


def truth(given: str) -> float | str | dict[str, dict[str, float]]:
    """Return a true value, a column of them, or those of ``estimand:slope=1,intercept=0``."""
    try:
        return float(text(given))
    except ValueError:
        pass
    column, colon, values = given.partition(":")
    if not colon or "=" not in values:
        return given
    example = "estimand:slope=1,intercept=0"
    by_level = settings("--truth", example)(values)
    try:
        return {column.strip(): {level: float(value) for level, value in by_level.items()}}
    except ValueError:
        raise StudyError(f"--truth is {given!r}; write it as {example}") from None


def two_numbers(given: str) -> tuple[float, float]:
    """Return the two numbers in ``5,200``."""
    try:
        low, high = map(float, text(given).split(","))
    except ValueError:
        raise StudyError(f"--between is {given!r}; give two numbers, as 5,200") from None
    return low, high


def positive(flag: str) -> Callable[[str], float]:
    """Return the type of an option that takes a number above 0."""
    return lambda given: between(given, math.inf, flag, "give a number above 0")


def share(given: str) -> Shard:
    """Return the share that ``3/100`` names."""
    from mcstudy.execution.shards import parse_share

    return parse_share(text(given))


class Verb(NamedTuple):
    """A verb: what it does, what is said of it in the list of verbs and above its own help."""

    does: Callable[[argparse.Namespace], int | None]
    help: str
    description: str | None
    arguments: tuple[Argument, ...]


def option(name: str, said: str, metavar: str | None = None, **settings: Any) -> Argument:
    """Return an argument: its name, and what argparse is told of it."""
    if metavar is not None:
        settings["metavar"] = metavar
    return name, {"help": said, **settings}


def names_option(name: str, said: str, **settings: Any) -> Argument:
    """Return an option that takes a list of names."""
    return option(name, said, "A,B", **{"type": names, **settings})


def integer_option(name: str, said: str, least: int = 1, **settings: Any) -> Argument:
    """Return an option that takes an integer."""
    return option(name, said, "N", type=integer(name, least), **settings)


_STUDY = option("study", "a study file, e.g. configs/quickstart.py", "STUDY")
_RESULTS = option("results", "a folder like results/<study name>", "RESULTS")
_REPLICATES = integer_option(
    "--replicates", "of each condition, in place of the study's own number"
)
_CHANGED_SAID = (
    "what becomes of stored rows whose code or packages have changed since: they stay and count, "
    "or are computed again, or (run only) stay if a sample of the fits comes out equal; without it "
    "such a change stops the command"
)
_CHANGED = option("--changed", _CHANGED_SAID, choices=("keep", "discard", "verify"))
_WHERE = option(
    "--where",
    "which cells, e.g. estimand=group1_var or n=10|30; a text with , = | or that looks like a "
    "number in double quotes; can be given again",
    "A=X|Y",
    action="append",
)
_LEVEL = option(
    "--level", "nominal coverage; default: 0.95", default=0.95, type=proportion("--level")
)
_STUDY_FILE = option("--study", "the study file, where it is now", "FILE")
_TRUST = option(
    "--trust",
    "run the study file that the folder names: code of whoever made the folder",
    **_SWITCH,
)
_VERBOSE = option(
    "--verbose", "show the measures of every condition, not a screen of them", **_SWITCH
)
_NO_REPORT = option(
    "--no-report",
    "write no report.html; MCSTUDY_REPORT=off in the environment says so too",
    **_SWITCH,
)
_FORMAT = option("--format", "of the answer; default: text", choices=tuple(FORMATS), default="text")

VERBS = {
    "new": Verb(
        verbs.new,
        "write a study file to begin with",
        "Write NAME.py, a study that runs as it stands and explains itself, and test_NAME.py, its "
        "test, into this folder.",
        (option("name", "of the study: small letters, digits and '_'", "NAME"),),
    ),
    "check": Verb(
        verbs.check,
        "try every condition and method once, list all problems",
        "Try one replicate of every condition by every method, and list all problems; nothing is "
        "stored. Exit status 0: no problem, 1: there are some, 2: no usable study.",
        (
            _STUDY,
            option(
                "--seconds",
                "how long to compare with the oracle, where the study has one; default: 5",
                "S",
                type=seconds,
            ),
        ),
    ),
    "plan": Verb(
        verbs.plan,
        "forecast time, disk, memory and precision of a run",
        "Forecast time, disk, memory and Monte Carlo errors of a run from a pilot of a few "
        "seconds; nothing is stored.",
        (
            _STUDY,
            _REPLICATES,
            option(
                "--target",
                "say how many replicates this Monte Carlo error needs, e.g. coverage=0.005; can be "
                "given again",
                "MEASURE=ERROR",
                action="append",
                default=[],
                type=measure_and_number("--target", "coverage=0.005"),
            ),
            option(
                "--seconds",
                "how long the pilot works; default: 4",
                "S",
                type=seconds,
            ),
            integer_option("--jobs", "worker processes; one per core by default"),
            option(
                "--results",
                "where the run would store; what is there counts as done; default: results",
                **_FOLDER,
            ),
        ),
    ),
    "solve": Verb(
        verbs.solve,
        "find the level of a factor at which a measure reaches a target",
        "Find the level of a numeric factor at which a measure reaches a target, such as the "
        "sample size of a power of 0.8, with its 95 % confidence limits. Replicates are stored; "
        "call it again to go on. Exit status 0: the limits are as narrow as wanted, 1: they are "
        "not, 2: bad input.",
        (
            _STUDY,
            option("--factor", "whose level is sought", "NAME", required=True),
            option(
                "--for",
                "the measure and what it is to be, e.g. rejection=0.8",
                "MEASURE=TARGET",
                dest="goal",
                required=True,
                type=measure_and_number("--for", "rejection=0.8"),
            ),
            option(
                "--between",
                "the range of levels; default: that of the study",
                "LOW,HIGH",
                type=two_numbers,
            ),
            _WHERE,
            option(
                "--width",
                "how wide the limits may be; default: 5 %% of the level",
                "W",
                type=positive("--width"),
            ),
            integer_option("--replicates", "of each level to begin with", 2),
            integer_option("--most", "replicates in all; default: 200000", 2),
            integer_option("--jobs", "worker processes; one per core by default"),
            option("--results", "where to store; default: results", **_FOLDER),
            option("--output", "draw the search into a .svg, .pdf, .png or .html file", "FILE"),
        ),
    ),
    "protocol": Verb(
        verbs.protocol,
        "write the plan of a study, in the order of ADEMP",
        "Write the plan of a study from its declarations: the questions of ADEMP-PreReg (Siepe et "
        "al. 2024), with what only a person can say marked. Nothing is run, but for a pilot.",
        (
            _STUDY,
            option(
                "--pilot",
                "justify the number of replicates by a pilot of so many seconds too",
                "S",
                type=seconds,
            ),
            option("--output", "write it to a new file, e.g. protocol.md", "FILE"),
            option(
                "--format",
                "of the plan; default: markdown",
                choices=tuple(FORMATS),
                default="markdown",
            ),
        ),
    ),
    "run": Verb(
        verbs.run,
        "compute what is missing of a study and show its measures",
        "Compute what is missing of a study, make its tables and show the measures. Stop it at any "
        "time and run it again to go on. Exit status 0: done, 2: bad input, 3: a method has no "
        "usable fit under some condition.",
        (
            _STUDY,
            _REPLICATES,
            integer_option(
                "--jobs", "worker processes; one per core by default, 1 works in this process"
            ),
            names_option("--methods", "run only these methods of the study"),
            option(
                "--part",
                "compute share K of N only, on any machine; mcstudy collect joins the shares",
                "K/N",
                type=share,
            ),
            option("--backend", "whose workers: local (default) or dask", "NAME", default="local"),
            option("--scheduler", "of dask, e.g. tcp://127.0.0.1:8786", "ADDRESS"),
            option("--results", "where to store; default: results", **_FOLDER),
            _CHANGED,
            names_option(
                "--retry",
                "compute stored fits again that ended so, e.g. error or timeout,crashed; after a "
                "method was mended, --changed keep --retry error keeps the rows of its other fits",
                default=(),
            ),
            option("--log", "append to this file what is done, with the time", "FILE"),
            option(
                "--keep-going",
                "go on though the first fits of a method, 200 or more, all fail with the same "
                "message",
                **_SWITCH,
            ),
            option("--quiet", "show no progress, only the measures", **_SWITCH),
            _VERBOSE,
            _NO_REPORT,
        ),
    ),
    "collect": Verb(
        verbs.collect,
        "join the shares of a study and make its tables",
        "Join what run --part has computed, make the tables, and say what is missing. Exit status "
        "0: the study is complete, 1: something is missing, 2: bad input, 3: complete, but a "
        "method has no usable fit under some condition.",
        (
            _STUDY,
            option(
                "folders",
                "the --results of shares that have one of their own",
                "FOLDER",
                nargs="*",
                default=[],
            ),
            _REPLICATES,
            option(
                "--results", "where the parts and tables are to be; default: results", **_FOLDER
            ),
            _CHANGED,
            _VERBOSE,
            _NO_REPORT,
        ),
    ),
    "status": Verb(
        verbs.status,
        "show what is done, missing and failed",
        "Show how many fits are done, missing and failed, by condition and method, and where the "
        "failures are. A run, or shares of a job array, may be at work.",
        (_RESULTS,),
    ),
    "import": Verb(
        verbs.import_replicates,
        "make results of replicates that were simulated elsewhere",
        "Make a folder of results from a table of replicates, from R or Stata, say: its report, "
        "tables, figures and comparisons are those of a run. A row is a replicate, by method and "
        "estimand, or a wide table has columns for these.",
        (
            option("data", "a CSV or Parquet file with a row for each replicate", "FILE"),
            option("--name", "of the study; default: that of the file", "NAME"),
            names_option("--by", "the columns of factors"),
            option(
                "--columns",
                "what is called otherwise than estimate, std_error, lower, upper, p_value, method, "
                "estimand, replicate, truth, status or seconds, e.g. estimate=b,std_error=se; in a "
                "wide table a pattern, estimate=b_{method},std_error=se_{method}",
                "ROLE=COLUMN,...",
                type=settings("--columns", "estimate=b,std_error=se"),
            ),
            option(
                "--truth",
                "a number, a column, or by the levels of a factor or by estimand, e.g. 0.5 or "
                "estimand:slope=1,intercept=0",
                "TRUTH",
                type=truth,
            ),
            option("--own-truths", "each replicate has a true value of its own", **_SWITCH),
            option("--null", "the value that tests reject", "X", type=number("--null")),
            option("--alpha", "the level of tests by p-values", "A", type=proportion("--alpha")),
            option(
                "--level",
                "of intervals formed from standard errors; default: 0.95",
                "L",
                type=proportion("--level"),
            ),
            option("--reference", "the method that the others are compared with", "METHOD"),
            option("--results", "where to store; default: results", **_FOLDER),
            option("--quiet", "print only the measures", **_SWITCH),
            _VERBOSE,
            _NO_REPORT,
        ),
    ),
    "summarize": Verb(
        verbs.summarize,
        "make the tables anew and show the measures",
        "Make the tables anew from what is stored, and show the measures. While a run is at work "
        "there they are only shown. Tables that rest on more than is stored by now stay as they "
        "are: exit status 2.",
        (_RESULTS, _STUDY_FILE, _TRUST, _VERBOSE, _NO_REPORT),
    ),
    "replay": Verb(
        verbs.replay,
        "simulate and fit one replicate again",
        "Simulate one replicate again, fit it, and compare with what is stored, bit for bit. Exit "
        "status 0: all is as stored, 1: something is not, 2: bad input, 3: a fit has nothing "
        "stored to compare with, or none was made.",
        (
            option(
                "results",
                "a folder like results/quickstart, or the study file: then the folder of its name "
                "in results",
                "RESULTS",
            ),
            option(
                "--condition",
                "factor values, e.g. 'n=5, mean=0'; those that tell it from the others are enough, "
                "and a study with one condition needs none",
                "TEXT",
            ),
            integer_option("--replicate", "its number; the first one is 0", 0, required=True),
            option("--method", "fit by this method only; all by default", "NAME"),
            _STUDY_FILE,
            _TRUST,
            option("--save", "write the data set to a file: .parquet, .csv or .pkl", "FILE"),
            option("--shell", "open a Python prompt with data, methods, answers", **_SWITCH),
            option(
                "--force", "fit even where the stored fit crashed or ran out of time", **_SWITCH
            ),
        ),
    ),
    "table": Verb(
        verbs.table,
        "lay out measures as a table",
        None,
        (
            _RESULTS,
            names_option("--measure", "e.g. coverage", required=True),
            names_option("--rows", "what runs down first; all else that varies follows"),
            names_option("--columns", "what runs across; method by default"),
            _WHERE,
            _LEVEL,
        ),
    ),
    "plot": Verb(
        verbs.plot,
        "draw a figure: a measure against a factor, zip, lolly, heat ...",
        "Draw a figure into a file. NAME is a measure, as coverage, or one of zip, lolly, "
        "nested_loop, heat, estimates, se_against_estimate, methods, bias_se_rmse, statuses, "
        "pvalues, path. While a run is at work the figure shows what is stored by now.",
        (
            _RESULTS,
            option("figure", "which figure, e.g. coverage or zip", "NAME"),
            option("--x", "on the axis; by default what drives the measure most", "FACTOR"),
            option("--y", "of heat: the other axis", "FACTOR"),
            names_option("--facets", "what has panels of its own; by default all that is legible"),
            option("--measure", "of lolly, nested_loop, heat and path; default: coverage", "NAME"),
            _WHERE,
            names_option("--estimand", "only these estimands"),
            names_option("--method", "only these methods"),
            names_option("--interval", "only these intervals"),
            option(
                "--level",
                "nominal coverage; by default the study's",
                type=proportion("--level"),
            ),
            option(
                "--output",
                "the file to write; it ends in .svg, .pdf, .png or .html (for a browser, with "
                "tooltips)",
                "FILE",
                required=True,
            ),
        ),
    ),
    "report": Verb(
        verbs.report,
        "write the report: findings, figures, tables, one page that opens offline",
        "Write the report of a study, one HTML file that needs no network. While a run is at work "
        "it shows what is stored by now.",
        (
            _RESULTS,
            option("--output", "the file; default: report.html in the folder", "FILE"),
        ),
    ),
    "anova": Verb(
        verbs.anova,
        "show which factors drive a measure",
        None,
        (_RESULTS, option("--measure", "e.g. coverage", required=True), _WHERE),
    ),
    "failures": Verb(
        verbs.failures,
        "show which fits failed and whether it matters",
        None,
        (
            _RESULTS,
            names_option("--measure", "by what methods are ranked; rmse and coverage by default"),
            names_option(
                "--failed",
                "statuses that count as failed, beside fits without an estimate; default: "
                "not_converged; warned for fits with a warning; 'none' for none of them",
                default=["not_converged"],
            ),
            _WHERE,
            _LEVEL,
        ),
    ),
    "compare": Verb(
        verbs.compare,
        "compare two runs, a run and published numbers, or two methods or conditions of one",
        "With two folders: did any number move from A to B? Exit status 0: nothing did, 1: "
        "something did. With a folder and a CSV or Parquet file of measures (columns measure, "
        "value, and mcse, replicates or digits where known): does any number differ from the "
        "published one? With one folder and --methods: two methods on the same data; with "
        "--contrast: two levels of a factor.",
        (
            option("a", "a folder like results/<study name>", "RESULTS"),
            option("b", "another one, or a table of published numbers", "RESULTS", nargs="?"),
            names_option(
                "--methods",
                "the method and its reference",
                type=pair("--methods", "the reference"),
            ),
            option(
                "--equivalence",
                "with --methods: how far apart two methods are that are meant to be equal",
                **_SWITCH,
            ),
            names_option(
                "--intervals",
                "with --methods: an interval of each; default: the same names, or the only ones",
                type=pair("--intervals", "the reference's"),
            ),
            option(
                "--contrast",
                "with one folder: two levels of a factor, or two methods, by any measure, the "
                "reference last, e.g. 'n=40|10' or 'method=reml|ml'",
                "A=X|Y",
            ),
            names_option("--measure", "with --contrast: e.g. coverage,rmse"),
            option("--ratio", "with --contrast: ratios in place of differences", **_SWITCH),
            _WHERE,
            option(
                "--alpha",
                "chance that anything seems to have moved; default: 0.05",
                type=proportion("--alpha"),
            ),
        ),
    ),
}


class _Parser(argparse.ArgumentParser):
    """Takes options by their whole names; an error is one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            from mcstudy.arguments import suggestion

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
    for name, verb in VERBS.items():
        subparser = subparsers.add_parser(name, help=verb.help, description=verb.description)
        subparser.set_defaults(verb=verb.does)
        subparser.register("type", None, text)  # of all that have no other
        named = {name for name, _ in verb.arguments}
        for argument, settings in (*verb.arguments, *(() if _FORMAT[0] in named else (_FORMAT,))):
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
        word, status = (
            ("terminated", 143) if isinstance(error, _Terminated) else ("interrupted", 130)
        )
        complain(f"mcstudy: {word}; what is stored is whole, run again to go on")
        return status
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(KeyboardInterrupt):
    """SIGTERM; an interrupt, so that it passes through a fit as Ctrl-C does."""


def _terminated(*_: Any) -> NoReturn:
    raise _Terminated
