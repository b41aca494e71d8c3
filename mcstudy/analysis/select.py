"""Which cells of a table of measures are meant: ``where`` conditions and the order of levels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mcstudy.analysis.query import (
    Bare,
    level_of,
    listed,
    matching,
    names_of,
    parsed,
    written,
    written_name,
)
from mcstudy.arguments import short, suggestion
from mcstudy.columns import NUMBERS, WORDS
from mcstudy.errors import ResultsError
from mcstudy.grid import level_text
from mcstudy.labels import Labels, label, level_label
from mcstudy.measure import BUILT_IN, REJECTION, why_absent
from mcstudy.terminal import harmless_line

if TYPE_CHECKING:
    import pandas as pd

Where: TypeAlias = Mapping[str, Any] | str | None
Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""A table of measures as an array for each column, which needs no pandas."""

FACTORS, METHODS, LABELS = "factors", "methods", "labels"
"""What a table of measures carries of its study: levels by factor, methods in order, words."""
_NO_LABELS: Labels = MappingProxyType({})
METHODS_IN_ORDER = "method_order"
"""Where the record of a study has its methods as the study gives them."""


def dimensions(frame: pd.DataFrame) -> list[str]:
    """Return the columns that tell the cells of a table of measures apart.

    The factors are those that the study's record names; in a table without one, all columns that
    are not numbers of measures.
    """
    factors = frame.attrs.get(FACTORS)
    others = NUMBERS if factors is None else ()
    known = None if factors is None else {*factors, *WORDS}
    return [str(n) for n in frame.columns if n not in others and (known is None or n in known)]


def with_record(frame: pd.DataFrame, record: Mapping[str, Any]) -> pd.DataFrame:
    """Return a table of measures that knows the factors and the order of the methods of its study.

    Parameters
    ----------
    frame : DataFrame
        Like ``Results.performance``.
    record : mapping
        The study's, `study.json`.
    """
    if isinstance(factors := record.get("factors"), Mapping):
        frame.attrs[FACTORS] = {name: list(levels) for name, levels in factors.items()}
    frame.attrs[METHODS] = method_order(record)
    frame.attrs[LABELS] = dict(record.get("labels", {}))
    return frame


def with_labels(frame: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """Return a table that knows the words of a study for its names, and nothing else of it."""
    frame.attrs[LABELS] = dict(labels)
    return frame


def labels_of(frame: pd.DataFrame) -> Labels:
    """Return the labels of the study that a table of measures is of."""
    found: Labels = frame.attrs.get(LABELS, {})
    return found


def method_order(record: Mapping[str, Any]) -> list[str]:
    """Return the methods of a study in its order, of its record."""
    return list(record.get(METHODS_IN_ORDER, record.get("methods", ())))


def select(frame: pd.DataFrame, where: Where = None) -> pd.DataFrame:
    """Return the rows of a table of measures that meet every condition.

    Parameters
    ----------
    frame : DataFrame
        Like ``Results.performance``.
    where : mapping or str, optional
        A level, or a list of levels, by column; or as text: ``"n=10|30, method=t"``, as
        `mcstudy.analysis.query` reads it. Rows that have no estimand (shares of a status) or no
        interval (bias) stay whatever is asked of it.

    Raises
    ------
    ResultsError
        For a column or a level that is not there.
    """
    for name, wanted in wheres(where).items():
        known_column(frame, name)
        levels = levels_of(frame, name)
        meant = [_meant(frame, name, level) for level in levels]
        kept = []
        for one in wanted:
            if not (found := matching(meant, one)):
                asked = str(one) if isinstance(one, Bare) else written(one)
                words = {_shown(labels_of(frame), name, level): level for level in meant}
                if str(one) in words:
                    raise ResultsError(
                        f"where: {asked} is a label; write "
                        f"{written_name(name)}={written(words[str(one)])}"
                    )
                without = name in ("estimand", "interval")  # rows without one stay in any case
                shown = [level for level in meant if level is not None or not without]
                raise ResultsError(
                    f"where: no {written_name(name)}={asked} here"
                    f"{suggestion(one, [str(level) for level in meant])}; it has "
                    f"{listed(shown) or 'no level'}"
                )
            keys = {level_text(level) for level in found}
            kept += [
                level for level, of in zip(levels, meant, strict=True) if level_text(of) in keys
            ]
        keep = frame[name].isin([level for level in kept if not is_missing(level)])
        if name in ("estimand", "interval") or any(is_missing(level) for level in kept):
            keep |= frame[name].isna()
        frame = frame[keep]
    return frame


def _shown(labels: Labels, name: str, level: Any) -> str | None:
    """Return the label of a level of a factor, or of a name in a column of names."""
    return label(labels, str(level), name) if name in WORDS else level_label(labels, name, level)


def wheres(where: Where) -> dict[str, list[Any]]:
    """Return the wanted levels by column."""
    if where is None:
        return {}
    if isinstance(where, str):
        return {name: list(levels) for name, levels in parsed(where, several=True).items()}
    if not isinstance(where, Mapping):
        raise ResultsError(f"where is {short(where)}; write 'n=10|30', or {{'n': [10, 30]}}")
    found = {}
    for name, wanted in where.items():
        single = isinstance(wanted, str | bytes) or not isinstance(wanted, Iterable)
        found[name] = [wanted] if single else list(wanted)
        if not found[name]:
            raise ResultsError(f"where: {name} has no level; give at least one")
    return found


def _meant(frame: pd.DataFrame, name: str, level: Any) -> Any:
    """Return the level of a factor that a table shows: levels of mixed types stand there as text.

    `mcstudy.storage.export.factor_column` writes them so.
    """
    if is_missing(level):
        return None
    level = level.item() if isinstance(level, np.generic) else level
    known = frame.attrs.get(FACTORS, {}).get(name, ())
    kinds = {float if type(one) is int else type(one) for one in known if one is not None}
    return level_of(level) if len(kinds) > 1 and isinstance(level, str) else level


def levels_of(frame: pd.DataFrame, name: str) -> list[Any]:
    """Return the levels of a column: numbers by size, words as they come, None last.

    Methods come in the order of the study, where the table knows it.
    """
    levels = [level for level in frame[name].unique() if not is_missing(level)]
    if name in ("method", "reference"):
        return in_order(levels, frame.attrs.get(METHODS, ()))
    if levels and not isinstance(levels[0], str):
        levels = sorted(levels)
    return [*levels, None] if frame[name].isna().any() else levels


def in_order(methods: Iterable[str], order: Sequence[str]) -> list[str]:
    """Return methods in an order; those that it lacks come last, as they are."""
    place = {name: i for i, name in enumerate(order)}
    return sorted(methods, key=lambda name: place.get(name, len(place)))


def known_column(frame: pd.DataFrame, name: str) -> None:
    """Raise ResultsError unless the table of measures can be split by the column."""
    if name not in dimensions(frame):
        _check_no_label(frame, name, dimensions(frame), "factor")
        raise ResultsError(
            f"no column {name!r}{suggestion(name, dimensions(frame))}; "
            f"there are {', '.join(dimensions(frame))}"
        )


def _check_no_label(frame: pd.DataFrame, text: str, names: Iterable[str], kind: str) -> None:
    """Raise ResultsError with the name that is meant if a text is the label of one."""
    labels = labels_of(frame)
    if meant := [name for name in names if label(labels, name, kind) == text]:
        raise ResultsError(f"{text!r} is a label; write {written_name(meant[0])}")


def known_measures(frame: pd.DataFrame, measures: str | Sequence[str]) -> list[str]:
    """Return the measures as a list, from text with commas too; ResultsError for an unknown one."""
    wanted = names_of(measures, "measure")
    known = [str(name) for name in frame["measure"].unique()]
    for name in wanted:
        if name == "coverage_of_all" and name not in known and "coverage" in known:
            raise ResultsError(
                f"there is no {name} here: the tables are older than it; mcstudy summarize makes "
                "them anew"
            )
        if name in BUILT_IN and name not in known and known:
            raise ResultsError(f"there is no {name} here: {why_absent(name)}")
        if name not in known:
            _check_no_label(frame, name, known, "measure")
            raise ResultsError(
                f"no measure {name!r}{suggestion(name, known)}; there are {', '.join(known)}"
            )
    return wanted


def first_measure(frame: pd.DataFrame) -> str:
    """Return the measure to look at first: coverage, else bias, the mean, or rejection."""
    wanted = ("coverage", "bias", "mean", REJECTION)
    for known in (frame["measure"][frame["value"].notna()], frame["measure"]):
        if found := [name for name in wanted if (known == name).any()]:
            return found[0]
    return "share_ok"


def is_missing(level: Any) -> bool:
    """Return whether a level is None, NaN, or NA of pandas, which is equal to nothing either."""
    return level is None or type(level).__name__ == "NAType" or bool(level != level)


def in_words(level: Any) -> str:
    """Return a level as a person writes it; quoted if it would not show or looks missing."""
    if is_missing(level):
        return "None"
    if isinstance(level, str):
        odd = level in ("", "None") or level != level.strip() or not level.isprintable()
        return harmless_line(level_text(level) if odd else level)
    return level_text(level)


def labelled(name: str, level: Any, labels: Labels) -> str:
    """Return a level of a factor, or a method, estimand and so on, in the words of a study."""
    if name in WORDS and isinstance(level, str):
        words = label(labels, level, "method" if name == "reference" else name)
        return in_words(level) if words == level else words
    return (None if is_missing(level) else level_label(labels, name, level)) or in_words(level)


def levels_in_words(name: str, levels: Iterable[Any], labels: Labels) -> str:
    """Return levels and their labels as a list: ``0 (none), 1 (some)``."""
    shown = []
    for level in levels:
        value, words = in_words(level), labelled(name, level, labels)
        shown.append(value if words == value else f"{value} ({words})")
    return ("; " if any("," in text for text in shown) else ", ").join(shown)


def named(name: str, level: Any, labels: Labels = _NO_LABELS) -> str:
    """Return a level so that it explains itself: ``n=10``, but a method by its name alone."""
    if name in WORDS:
        return f"no {name}" if is_missing(level) else labelled(name, level, labels)
    return f"{label(labels, name, 'factor')}={labelled(name, level, labels)}"


def beside(factors: Mapping[str, Any], taken: Sequence[str]) -> dict[str, Any]:
    """Return factors for a table with columns of its own: ``x`` becomes ``x_factor`` if taken."""
    made: dict[str, Any] = {}
    for name, level in factors.items():
        own = name
        while own in taken or own in made or (own != name and own in factors):
            own += "_factor"
        made[own] = level
    return made


def factors_in_words(factors: Mapping[str, Any], labels: Labels = _NO_LABELS) -> str:
    """Return factor values in words, ``n=5, mean=0``."""
    return ", ".join(named(name, level, labels) for name, level in factors.items())


def columns_of(frame: pd.DataFrame) -> Columns:
    """Return the columns of a frame as arrays."""
    return {str(name): frame[name].to_numpy() for name in frame}


def factor_columns(table: pd.DataFrame | Columns) -> list[str]:
    """Return the factors of a table of measures: the columns before the method."""
    return [str(name) for name in itertools.takewhile(lambda name: name != "method", table)]


def levels_by_row(table: Columns, names: Iterable[str]) -> list[tuple[Any, ...]]:
    """Return the levels of each row, None for a missing one, so that equal rows are equal."""
    columns = [_none_if_missing(table[name]) for name in names]
    return list(zip(*columns, strict=True)) if columns else [()] * len(table["method"])


def _none_if_missing(column: Any) -> list[Any]:
    if column.dtype.kind in "biu":
        return list(column.tolist())
    levels = column.tolist()
    plain = (str, int, bool)
    return [x if type(x) in plain or not is_missing(x) else None for x in levels]


def at(levels: Mapping[Any, Any], names: Sequence[str], labels: Labels = _NO_LABELS) -> str:
    """Return some of the levels as a heading: ``n=10, sigma=2``."""
    return factors_in_words({name: levels[name] for name in names}, labels)


def own_intervals(frame: pd.DataFrame) -> dict[str, str]:
    """Return the interval of each method, where these differ and none has more than one.

    Such intervals stand beside one another, as their methods do; elsewhere it is empty.
    """
    if not {"method", "interval"} <= set(frame.columns):
        return {}
    pairs = frame[["method", "interval"]].dropna().drop_duplicates()
    if pairs["interval"].nunique() < 2 or pairs["method"].duplicated().any():
        return {}
    return dict(pairs.itertuples(index=False))


def varying(frame: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Return those of the columns that have more than one level."""
    return [name for name in names if frame[name].nunique(dropna=False) > 1]
