"""`study.json`: written with a checksum of what it says, read if that and its shape are right."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcstudy.errors import MCStudyError, ResultsError
from mcstudy.grid import Condition
from mcstudy.storage.checksums import read_regular
from mcstudy.storage.schema import FORMAT, RECORD, misfit

NAME = "study.json"
_CHECKSUM = "sha256"
_INFINITE = "\0infinite"


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

    Raises
    ------
    RecordError
        If it is not what a run has written.
    ResultsError
        If it is of another format, or the system does not let us read it.
    """
    path = folder / NAME
    try:
        record = json.loads(read_regular(path).decode())
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
    if reason := _unusable(path, record):
        raise RecordError(path, reason)
    del record[_CHECKSUM]
    return dict(record)


def record_content(record: Mapping[str, Any]) -> bytes:
    """Return the content of a `study.json`."""
    whole = {"format": FORMAT, **record}
    whole[_CHECKSUM] = _checksum(whole)
    return (as_json(whole, indent=2) + "\n").encode()


def _unusable(path: Path, record: Any) -> str:
    """Say what is wrong with a record, nothing if it is as it was written.

    Raises
    ------
    ResultsError
        If it is of another format.
    """
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
    if found := misfit(record, RECORD):
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
