"""The command line: finds the verb, calls it, says in one line what is the user's to mend."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from mcstudy.tables.formats import FORMATS
from mcstudy.terminal import complain, give_up, harmless_line, show_any_letter
from mcstudy.verbs import analysing, collecting, comparing, looking, planning, running
from mcstudy.verbs.options import is_empty

_CURE = "give a value, or leave it out"
FAMILIES = (planning, running, collecting, looking, analysing, comparing)


class _Parser(argparse.ArgumentParser):
    """Takes no empty value, which is what an unset variable of a shell becomes, and whole names."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            given = getattr(parsed, action.dest, None)
            for value in given if isinstance(given, list) else [given]:
                if isinstance(value, str) and is_empty(action, value):
                    name = "/".join(action.option_strings) or action.metavar or action.dest
                    what = "has an empty name" if value.strip(", ") else "is empty"
                    self.error(f"argument {name}: {value!r} {what}; {_CURE}")
        if rest:
            from mcstudy.arguments import suggestion

            meant = suggestion(rest[0], list(self._option_string_actions))
            self.error(f"unrecognized arguments: {' '.join(rest)}{meant}")
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        self.exit(2, harmless_line(f"{self.prog}: {message}; see {self.prog} --help") + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: a verb's own, 2 for bad input."""
    show_any_letter()
    options = _parser().parse_args(arguments)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # gives back what it has freed
    from mcstudy.errors import MCStudyError

    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        status = options.verb(options) or 0
        sys.stdout.flush()
        return status
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


def _parser() -> argparse.ArgumentParser:
    from mcstudy import __version__

    parser = _Parser(prog="mcstudy", description="Simulation studies of statistical methods.")
    parser.add_argument("--version", action="version", version=f"mcstudy {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)
    for family in FAMILIES:
        family.add(verbs)
    for verb in verbs.choices.values():
        verb.add_argument(
            "--format", choices=tuple(FORMATS), default="text", help="of the answer; default: text"
        )
    return parser


class _Terminated(KeyboardInterrupt):
    """SIGTERM; an interrupt, so that it passes through a fit as Ctrl-C does."""


def _terminated(*_: Any) -> NoReturn:
    raise _Terminated
