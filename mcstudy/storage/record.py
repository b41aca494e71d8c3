"""`study.json`: written with a checksum of what it says, read if that and its shape are right."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from mcstudy.errors import MCStudyError, ResultsError
from mcstudy.grid import Condition
from mcstudy.storage.checksums import read_regular
from mcstudy.storage.schema import misfit

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
    imported: NotRequired[dict[str, str]]  # the table of replicates: its file, sha256, date


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
    retried: NotRequired[dict[str, dict[str, int]]]
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
        raise ResultsError(f"{path}: cannot be read ({reason}); fix that and try again") from None
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
    # An entry a line: with an indent json's encoder is the one in Python, which is slow.
    lines = (f"  {json.dumps(key)}: {_in_lines(value)}" for key, value in whole.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _in_lines(value: Any) -> str:
    """Return JSON with a line for each entry of a mapping."""
    if not isinstance(value, Mapping) or not value:
        return as_json(value, sort_keys=False)
    lines = (
        f"    {json.dumps(key, ensure_ascii=False)}: {as_json(entry, sort_keys=False)}"
        for key, entry in value.items()
    )
    return "{\n" + ",\n".join(lines) + "\n  }"


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


def as_json(thing: Any, *, sort_keys: bool = True) -> str:
    """Return JSON with an infinite number as 1e999, which JSON knows and every reader takes so."""
    encode = functools.partial(json.dumps, sort_keys=sort_keys, ensure_ascii=False, default=dict)
    try:
        return encode(thing, allow_nan=False)
    except ValueError:
        text = encode(_finite(thing))
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
