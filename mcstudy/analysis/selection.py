"""Which cells of a table of measures are meant: ``where`` conditions and the order of levels."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mcstudy.arguments import names_of, short
from mcstudy.errors import ResultsError
from mcstudy.grid import level_text
from mcstudy.terminal import harmless_line

Where: TypeAlias = Mapping[str, Any] | str | None

NUMBERS = ("value", "mcse", "lower", "upper", "used", "replicates")
WORDS = ("method", "reference", "estimand", "interval", "measure")


def dimensions(frame: pd.DataFrame) -> list[str]:
    """Return the columns that tell the cells of a table of measures apart."""
    return [str(name) for name in frame.columns if name not in NUMBERS]


def select(frame: pd.DataFrame, where: Where = None) -> pd.DataFrame:
    """Return the rows of a table of measures that meet every condition.

    Parameters
    ----------
    frame : DataFrame
        Like ``Results.performance``.
    where : mapping or str, optional
        A level, or a list of levels, by column; or as text: ``"n=10|30, method=t"``. Rows that
        have no estimand (shares of a status) or no interval (bias) stay whatever is asked of it.

    Raises
    ------
    ResultsError
        For a column or a level that is not there.
    """
    for name, wanted in wheres(where).items():
        known_column(frame, name)
        levels = levels_of(frame, name)
        kept = [level for level in levels if any(is_level(level, one) for one in wanted)]
        for one in wanted:
            if not any(is_level(level, one) for level in levels):
                raise ResultsError(
                    f"where: no {name}={in_words(one)} here; it has "
                    f"{', '.join(in_words(level) for level in levels) or 'no level'}"
                )
        keep = frame[name].isin([level for level in kept if not pd.isna(level)])
        if name in ("estimand", "interval") or any(pd.isna(level) for level in kept):
            keep |= frame[name].isna()
        frame = frame[keep]
    return frame


def wheres(where: Where) -> dict[str, list[Any]]:
    """Return the wanted levels by column."""
    if where is None:
        return {}
    if isinstance(where, str):
        return _parsed(where)
    if not isinstance(where, Mapping):
        raise ResultsError(f"where is {short(where)}; write 'n=10|30', or {{'n': [10, 30]}}")
    plain = (str, bytes)
    found = {
        name: list(wanted)
        if isinstance(wanted, Iterable) and not isinstance(wanted, plain)
        else [wanted]
        for name, wanted in where.items()
    }
    for name, levels in found.items():
        if not levels:
            raise ResultsError(f"where: {name} has no level; give at least one")
    return found


def _parsed(text: str) -> dict[str, list[Any]]:
    """Read ``a=1|2, b=x``; a comma that no ``name=`` follows belongs to the level."""
    found: dict[str, list[Any]] = {}
    for condition in re.split(r",(?=\s*\w+\s*=)", text):
        name, sign, levels = condition.partition("=")
        if not sign or not name.strip() or not levels.strip():
            raise ResultsError(f"where: {condition.strip()!r} is no condition; write column=level")
        found.setdefault(name.strip(), []).extend(level.strip() for level in levels.split("|"))
    return found


def is_level(level: Any, wanted: Any) -> bool:
    """Return whether a level is the wanted one; as text, ``"10"`` is 10 and ``"None"`` is None."""
    if pd.isna(level) or wanted is None:
        return bool(pd.isna(level)) and (wanted is None or wanted == "None")
    if isinstance(wanted, str) and not isinstance(level, str):
        if isinstance(level, bool | np.bool_):
            return str(level).lower() == wanted.lower()
        try:
            return bool(float(wanted) == level)
        except ValueError:
            return False
    if isinstance(level, str) and not isinstance(wanted, str):
        return level == level_text(wanted)
    if isinstance(level, str):
        return level == wanted or level == level_text(wanted)
    return bool(level == wanted)


def levels_of(frame: pd.DataFrame, name: str) -> list[Any]:
    """Return the levels of a column: numbers by size, words as they come, None last."""
    levels = [level for level in frame[name].unique() if not pd.isna(level)]
    if levels and not isinstance(levels[0], str):
        levels = sorted(levels)
    return [*levels, None] if frame[name].isna().any() else levels


def known_column(frame: pd.DataFrame, name: str) -> None:
    """Raise ResultsError unless the table of measures can be split by the column."""
    if name not in dimensions(frame):
        raise ResultsError(
            f"no column {name!r}{suggestion(name, dimensions(frame))}; "
            f"there are {', '.join(dimensions(frame))}"
        )


def known_measures(frame: pd.DataFrame, measures: str | Sequence[str]) -> list[str]:
    """Return the measures as a list, from text with commas too; ResultsError for an unknown one."""
    wanted = names_of(measures, "measure")
    known = [str(name) for name in frame["measure"].unique()]
    for name in wanted:
        if name not in known:
            raise ResultsError(
                f"no measure {name!r}{suggestion(name, known)}; there are {', '.join(known)}"
            )
    return wanted


def suggestion(name: object, known: Sequence[str]) -> str:
    """Return " (did you mean ...?)" where a known name is close."""
    close = difflib.get_close_matches(name, known, 1) if isinstance(name, str) else []
    return f" (did you mean {close[0]!r}?)" if close else ""


def in_words(level: Any) -> str:
    """Return a level as a person writes it."""
    if level is None or level is pd.NA or (isinstance(level, float) and level != level):
        return "None"
    return harmless_line(level) if isinstance(level, str) else level_text(level)


def named(name: str, level: Any) -> str:
    """Return a level so that it explains itself: ``n=10``, but a method by its name alone."""
    if name in WORDS:
        return in_words(level) if not _missing(level) else f"no {name}"
    return f"{name}={in_words(level)}"


def beside(factors: Mapping[str, Any], taken: Sequence[str]) -> dict[str, Any]:
    """Return factors for a table with columns of its own: ``x`` becomes ``x_factor`` if taken."""
    return {f"{name}_factor" if name in taken else name: v for name, v in factors.items()}


def factors_in_words(factors: Mapping[str, Any]) -> str:
    """Return factor values in words, ``n=5, mean=0``."""
    return ", ".join(f"{name}={in_words(level)}" for name, level in factors.items())


def at(levels: Mapping[Any, Any], names: Sequence[str]) -> str:
    """Return some of the levels as a heading: ``n=10, sigma=2``."""
    return ", ".join(f"{name}={in_words(levels[name])}" for name in names)


def varying(frame: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Return those of the columns that have more than one level."""
    return [name for name in names if frame[name].nunique(dropna=False) > 1]


def _missing(level: Any) -> bool:
    return level is None or bool(pd.isna(level))
