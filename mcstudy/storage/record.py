"""`study.json`: written with a checksum of what it says, read if that and its shape are right."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import math
import os
import shlex
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, Union

from mcstudy.errors import MCStudyError, ResultsError
from mcstudy.grid import Condition
from mcstudy.storage.checksums import read_regular

FORMAT = 2
"""The number of the format of a results folder, in `study.json` and in each part."""
NAME = "study.json"
IMPORTED = "mcstudy.execution.import_replicates.simulated_elsewhere"
"""The function that stands in the place of `simulate` where replicates were imported."""
_CHECKSUM = "sha256"
_INFINITE = "\0infinite"

Level: TypeAlias = bool | int | float | str | None


class Asked(TypedDict):
    """What the last run was asked for."""

    replicates: NotRequired[int]
    methods: NotRequired[list[str]]
    goals: NotRequired[dict[str, int]]


class Record(TypedDict):
    """What `study.json` must say; there may be more in it."""

    name: str
    seed: int
    factors: dict[str, list[Level]]
    estimands: list[str]
    methods: list[str]
    keep: Literal["rows", "measures"]
    versions: dict[str, str]
    precision: NotRequired[dict[str, float]]
    max_replicates: NotRequired[int | None]
    aims: NotRequired[str]
    labels: NotRequired[dict[str, str]]
    sources: NotRequired[dict[str, dict[str, dict[str, str]]]]
    facts: list[str]
    conditions: dict[str, dict[str, Level]]
    study_file: str | None
    source_digest: NotRequired[str]
    asked: Asked
    replicates: int | None
    marks: dict[str, dict[str, str]]
    kept: list[str]
    older_rows: list[str]
    discarded: list[str]
    truths: dict[str, dict[str, float | None]]
    made_of: str | None
    measured_of: str | None
    tables: dict[str, str]
    counts: dict[str, dict[str, int]]
    measures: dict[str, str]
    null: float | dict[str, float] | None
    reference: str | None
    level: NotRequired[float | None]
    runs: list[dict[str, Level]]


def other_version(path: Path) -> ResultsError:
    """Return the error of a file of another format; it is left as it is."""
    return ResultsError(
        f"{path}: was written by another version of mcstudy, which this one cannot read; "
        "run with that version, or choose another --results (results)"
    )


class RecordError(ResultsError):
    """A `study.json` that cannot be used; `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        again = f"mcstudy run STUDY --results {shlex.quote(str(path.parent.parent))}"
        super().__init__(f"{path}: {reason}; to make it anew: {again}")
        self.reason = reason


def read_record(folder: Path) -> dict[str, Any]:
    """Return what the `study.json` of a folder says; empty where there is none.

    RecordError if it is not what a run has written; another ResultsError if it is of another
    format, or the system does not let us read it.
    """
    path = folder / NAME
    try:
        content = read_regular(path).decode()
        record = json.loads(content)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.EINVAL, errno.ELOOP):
            raise ResultsError(f"{path}: is no file; move it away and try again") from None
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ResultsError(f"{path}: cannot be read ({reason}); mend that and try again") from None
    except (ValueError, RecursionError) as error:
        kind = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "not JSON"
        raise RecordError(path, f"was damaged or changed by hand ({kind})") from None
    if reason := _wrong_with(path, content):
        raise RecordError(path, reason)
    del record[_CHECKSUM]
    return dict(record)


def record_content(record: Mapping[str, Any]) -> bytes:
    """Return the content of a `study.json`."""
    whole = {"format": FORMAT, **record}
    whole[_CHECKSUM] = _checksum(whole)
    return (as_json(whole, indent=2) + "\n").encode()


@functools.lru_cache(maxsize=1)  # the same one is read some times by each verb
def _wrong_with(path: Path, content: str) -> str:
    return _unusable(path, json.loads(content))


def _unusable(path: Path, record: Any) -> str:
    """Say what is wrong with a record, nothing if it is right; raise if of another format."""
    if not isinstance(record, dict):
        return f"was damaged or changed by hand (it is {type(record).__name__}, no object)"
    if "format" not in record or _CHECKSUM not in record:
        return "has no checksum: it was changed by hand, or an older version of mcstudy wrote it"
    try:
        right = record[_CHECKSUM] == _checksum(record)
    except (ValueError, RecursionError):
        right = False
    if not right:
        return "was damaged or changed by hand (its checksum is another one)"
    if record["format"] != FORMAT:
        if type(record["format"]) is int:
            raise other_version(path)
        return f"was written by something else (its format is {record['format']!r})"
    if found := misfit(record, Record):
        return f"was written by something else ({found})"
    try:
        keys = [Condition(factors).key for factors in record["conditions"].values()]
    except MCStudyError as error:
        return f"was written by something else ({error})"
    if keys != list(record["conditions"]) or not set(record["facts"]) <= record.keys():
        return "was written by something else (its conditions are not those of its keys)"
    return ""


def _checksum(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a record says, whatever its layout."""
    said = {key: value for key, value in record.items() if key != _CHECKSUM}
    return hashlib.sha256(as_json(said).encode(errors="surrogatepass")).hexdigest()


def as_json(thing: Any, *, indent: int | None = None) -> str:
    """Return JSON with an infinite number as 1e999, which JSON knows and every reader takes so."""
    text = json.dumps(_finite(thing), indent=indent, sort_keys=indent is None, ensure_ascii=False)
    return text.replace(json.dumps(_INFINITE), "1e999").replace(
        json.dumps("-" + _INFINITE), "-1e999"
    )


def _finite(thing: Any) -> Any:
    if isinstance(thing, Mapping):
        return {key: _finite(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_finite(value) for value in thing]
    if isinstance(thing, float) and math.isinf(thing):
        return _INFINITE if thing > 0 else "-" + _INFINITE
    return thing


def is_imported(record: Mapping[str, Any]) -> bool:
    """Return whether the replicates of a study were simulated elsewhere, and imported."""
    simulate = record.get("sources", {}).get("study", {}).get("simulate", {})
    return bool(simulate.get("home") == IMPORTED)


_hints = functools.cache(typing.get_type_hints)


@functools.cache
def _form(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return what a type is of, and the types in it."""
    return typing.get_origin(kind), typing.get_args(kind)


def misfit(value: object, kind: Any, where: str = "") -> str:
    """Return where a value read from JSON is not of a type, in words; empty where it is.

    The type is one that JSON has, a union or `Literal`, a list or dict of such types, or a class
    whose annotations say what is under each key; there may be further keys.
    """
    outer, inner = _form(kind)
    if outer in (Union, UnionType, NotRequired):
        if type(value) in inner:
            return ""
        tried = [misfit(value, each, where) for each in inner]
        return "" if "" in tried else max(tried, key=len)  # the one that looked furthest into it
    if outer is list and isinstance(value, list):
        found = (misfit(item, inner[0], f"{where}[{i}]") for i, item in enumerate(value))
    elif outer in (dict, Mapping) and isinstance(value, dict):
        found = (misfit(item, inner[1], f"{where}[{key!r}]") for key, item in value.items())
    elif outer is Literal and value in inner:
        return ""
    elif outer is None and type(value) in ((int, float) if kind is float else (kind,)):
        return ""  # a number without a fraction is whole in JSON; True and False are no numbers
    elif (typing.is_typeddict(kind) or is_dataclass(kind)) and isinstance(value, dict):
        hints = _hints(kind, include_extras=True)
        for key, own in hints.items():
            if key not in value and _form(own)[0] is not NotRequired:
                return f"{where}'{key}' is missing"
        found = (misfit(value[key], hints[key], f"{where}'{key}'") for key in hints if key in value)
    else:
        words = type(value).__name__ if isinstance(value, dict | list) else repr(value)
        short = words if len(words) <= 40 else words[:37] + "..."
        return f"{where or 'it'} is {short}"
    return next(filter(None, found), "")
