"""The tables of a folder that belong together: all replaced at once, and read in one state only.

New tables are made in a folder of their own; when all are there they take the places of the old
ones, and `study.json` gets their checksums. A reader holds each table against those, so that what a
kill has left of two states, or a file that somebody has put there, is never taken for results.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mcstudy.errors import ResultsError
from mcstudy.storage.checksums import ChecksumError, checksum_of, open_verified, read_checksum
from mcstudy.storage.files import writing
from mcstudy.storage.record import read_record
from mcstudy.storage.store import Store

MADE = ".tables"
_LOOKS = 25
_PAUSE = 0.2
Checksums = Mapping[str, str]


class OtherStateError(ResultsError):
    """A table is not one of those that `study.json` lists."""


@contextmanager
def made_apart(folder: Path) -> Iterator[Path]:
    """Provide an empty folder for new tables, beside the old ones; it is gone afterwards."""
    made = folder / MADE
    with writing(made):
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def put_in_places(made: Path, folder: Path) -> dict[str, str]:
    """Give new tables the places of the old ones; return their checksums."""
    paths = sorted(made.glob("*.parquet"))
    checksums = {path.stem: read_checksum(path) for path in paths}
    for path in paths:
        with writing(folder / path.name):
            os.replace(path, folder / path.name)
    return checksums


def are_those(folder: Path, names: Iterable[str], checksums: Checksums) -> bool:
    """Return whether the tables in a folder have these checksums, every byte of them."""
    return all(
        name in checksums and checksum_of(folder / f"{name}.parquet") == checksums[name]
        for name in names
    )


def open_tables(
    folder: Path, names: Sequence[str], stack: ExitStack, checksums: Checksums | None = None
) -> dict[str, Any]:
    """Open some tables of a folder, of one state, every byte of them verified.

    The stack closes them. The checksums are those of the state that is wanted; by default the one
    that `study.json` lists now, unless they are nobody's results. ResultsError if one is missing or
    damaged, or they are not of one state.
    """
    looks = 0
    while True:
        try:
            listed = read_record(folder).get("tables") if checksums is None else checksums
            opened = {name: _opened(folder, name, listed) for name in names}
        except OtherStateError:
            looks += 1
            # A run that is replacing the tables right now is through with it in a moment.
            if checksums is not None or looks > _LOOKS or not (looks == 1 or Store(folder).busy):
                raise
            time.sleep(_PAUSE if looks > 1 else 0)
        else:
            for file in opened.values():
                stack.callback(file.close)
            return opened


def read_table(folder: Path, name: str, **which: Any) -> pa.Table:
    """Return a table of a folder, as `open_tables` opens it; `which` as in `pyarrow`'s own."""
    with ExitStack() as stack:
        file = open_tables(folder, [name], stack)[name]
        return pq.read_table(file, use_threads=False, **which)


def _opened(folder: Path, name: str, checksums: Checksums | None) -> Any:
    path = folder / f"{name}.parquet"
    try:
        file, checksum = open_verified(path)
    except FileNotFoundError:
        raise ResultsError(f"{path}: is missing; {_anew(folder)}") from None
    except ChecksumError as error:
        raise ResultsError(
            f"{path}: was damaged or changed by hand ({error}); {_anew(folder)}"
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ResultsError(f"{path}: cannot be read ({reason})") from None
    if checksums is not None and checksums.get(name) != checksum:
        file.close()
        raise OtherStateError(
            f"{path}: is of another state than the other tables: a run was cut off, or the file "
            f"was replaced; {_anew(folder)}"
        )
    return file


def _anew(folder: Path) -> str:
    return f"to make the tables anew: mcstudy summarize {shlex.quote(str(folder))}"
