"""How an option is called where its user is: a flag on the command line, an argument in Python."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_at_command_line: ContextVar[bool] = ContextVar("at_command_line", default=False)


@contextmanager
def at_command_line() -> Iterator[None]:
    """Let messages speak of the command line."""
    token = _at_command_line.set(True)
    try:
        yield
    finally:
        _at_command_line.reset(token)


def either(command: str, python: str) -> str:
    """Return the first text on the command line, the second in Python."""
    return command if _at_command_line.get() else python


def option(name: str, value: str | int | bool) -> str:
    """Return how to give an option: ``--changed keep``, or ``changed="keep"``."""
    flag = f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}"
    return either(flag, f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}")


def call(verb: str, *options: str) -> str:
    """Return how to call a verb of a study: ``mcstudy run STUDY --jobs 1``, ``run(study, jobs=1)``.

    The options are as `option` gives them.
    """
    arguments = ", ".join(["study", *options])
    return either(" ".join(["mcstudy", verb, "STUDY", *options]), f"{verb}({arguments})")
