"""What options of the command line take: texts to values, and what is said of a wrong text."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from mcstudy.errors import ResultsError, StudyError

if TYPE_CHECKING:
    from mcstudy.execution.shards import Shard

_CURE = "give a value, or leave it out"


def text(given: str) -> str:
    """Return a value as it is, unless it is empty: what an unset variable of a shell becomes."""
    if not given.strip():
        raise argparse.ArgumentTypeError(f"{given!r} is empty; {_CURE}")
    return given


def names(given: str) -> list[str]:
    """Return the names in a list with commas; quotes as in `query`."""
    if not all(name.strip() for name in text(given).split(",")):
        what = "has an empty name" if given.strip(", ") else "is empty"
        raise argparse.ArgumentTypeError(f"{given!r} {what}; {_CURE}")
    from mcstudy.analysis.query import names_in

    return names_in(given)


def share(given: str) -> Shard:
    """Return the share that ``3/100`` names."""
    from mcstudy.execution.shards import parse_share

    return parse_share(text(given))


def pair(given: str) -> list[str]:
    """Return two names."""
    first, second = names(given)
    return [first, second]


def below(most: float) -> Callable[[str], float]:
    """Return what makes a number of a text, one between 0 and another."""

    def number_of(given: str) -> float:
        if not 0 < (number := float(given)) < most:
            raise ValueError
        return number

    return number_of


def alphas(given: str) -> float | list[float]:
    """Return the level of tests, or the levels in ``0.05,0.01``."""
    levels = list(map(below(1), given.split(",")))
    return levels if len(levels) > 1 else levels[0]


def two_numbers(given: str) -> tuple[float, float]:
    """Return the two numbers in ``5,200``."""
    low, high = map(float, given.split(","))
    return low, high


def measure_and_number(given: str) -> tuple[str, float]:
    """Return a measure and a number, as in ``coverage=0.005``."""
    measure, _, number = given.partition("=")
    return measure.strip(), float(number)


def named_values(given: str) -> dict[str, str]:
    """Return names with values, as in ``estimate=b,std_error=se``; quotes as in `query`."""
    from mcstudy.analysis.query import Bare, parsed

    try:
        pairs = parsed(given, several=False)
    except ResultsError as error:
        raise ValueError from error
    values = {}
    for name, (value, *others) in pairs.items():
        if others or (isinstance(value, Bare) and "," in value):
            raise ValueError
        values[name] = str(value)
    return values


def truth(given: str) -> float | str | dict[str, dict[str, float]]:
    """Return a true value, a column of them, or those of ``estimand:slope=1,intercept=0``."""
    with suppress(ValueError):
        return float(given)
    column, colon, values = given.partition(":")
    if not colon or "=" not in values:
        return given
    return {column.strip(): {level: float(value) for level, value in named_values(values).items()}}


class Kind(NamedTuple):
    """What an option takes: what makes it of a text, and what to do where that raises ValueError.

    How small an integer may be is checked by what gets it.
    """

    convert: Callable[[str], Any]
    cure: str

    def of(self, name: str) -> Callable[[str], Any]:
        """Return the type that argparse is told of an option."""

        def converted(given: str) -> Any:
            try:
                return self.convert(text(given))
            except ValueError:
                raise StudyError(f"{name} is {given!r}; {self.cure}") from None

        return converted


INTEGER = Kind(int, "give an integer of 1 or more")
FROM_0 = Kind(int, "give an integer of 0 or more")
FROM_2 = Kind(int, "give an integer of 2 or more")
NUMBER = Kind(float, "give a number")
POSITIVE = Kind(below(math.inf), "give a number above 0")
LEVEL = Kind(below(1), "give a share like 0.95")
ALPHA = Kind(below(1), "give a share like 0.05")
ALPHAS = Kind(alphas, "give a share like 0.05, or several as 0.05,0.01")
NAMED_VALUES = Kind(
    named_values, "write it as estimate=b,std_error=se, a name that has , or = in double quotes"
)
TRUTH = Kind(
    truth,
    "write it as estimand:slope=1,intercept=0, a level that has , or = in double quotes: "
    'dgm:"a=1"=0.5',
)
