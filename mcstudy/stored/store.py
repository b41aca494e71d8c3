"""Parts on disk: a folder of results, what it holds, and the record of what made it."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from mcstudy.errors import ResultsError
from mcstudy.stored.files import put_in_place, writing
from mcstudy.stored.parts import DamagedError, PartHead, name_of, read_content, read_head
from mcstudy.stored.record import NAME, read_record, record_content

_SHARE = ".share-"


class Store:
    """The folder of a study's results: `study.json`, the tables, and `parts`, which is ours.

    Parameters
    ----------
    folder : Path
        Made when the first thing is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / "parts"
        self._heads: dict[str, PartHead] = {}
        self._held = False
        self.aside: list[Path] = []
        self.damaged: list[Path] = []

    @contextmanager
    def locked(self, share: str = "") -> Iterator[None]:
        """Hold the folder for one run; a killed run lets go of it by itself.

        Parameters
        ----------
        share : str, optional
            Such as "3-100". Shares of a study can be at work in one folder at the same time, each
            once; nothing else can meanwhile.

        Raises
        ------
        ResultsError
            If another run holds it, or it cannot be written.
        """
        with ExitStack() as stack:
            try:
                self._parts.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(open(self._parts / ".lock", "a+"))
                if share:
                    own = stack.enter_context(open(self._parts / f"{_SHARE}{share}", "a+"))
            except OSError as error:
                raise ResultsError(
                    f"{self.folder}: cannot be written ({error.strerror}); choose another folder"
                ) from None
            if not _held(lock, fcntl.LOCK_SH if share else fcntl.LOCK_EX):
                raise ResultsError(
                    f"{self.folder}: another run is at work here; wait for it or stop it"
                )
            if share and not _held(own, fcntl.LOCK_EX):
                raise ResultsError(
                    f"{self.folder}: part {share.replace('-', '/')} is at work here already; "
                    "wait for it or stop it"
                )
            self._held = True
            try:
                yield
            finally:
                self._held = False

    @property
    def busy(self) -> bool:
        """Whether a run is at work here."""
        try:
            lock = open(self._parts / ".lock")  # noqa: SIM115 - closed by the with below
        except OSError:
            return False
        with lock:
            return not _held(lock, fcntl.LOCK_EX)

    def shares(self) -> list[tuple[int, int]]:
        """Return (number, of) of each share that has been at work here."""
        names = [path.name.removeprefix(_SHARE) for path in self._parts.glob(f"{_SHARE}*")]
        numbers = [name.split("-") for name in names]
        return sorted((int(number), int(of)) for number, of in numbers)

    def add(self, content: bytes) -> None:
        """Store a part, whole or not at all, under the name that its head gives it."""
        name = name_of(content)
        self._heads.pop(name, None)
        self._write(self._parts / name, content)

    def heads(self) -> list[PartHead]:
        """Return what each part holds, in the order of names, without what is no part.

        Whoever holds the folder sets a damaged part aside; whoever only looks leaves it alone, and
        finds it in `damaged`.
        """
        heads = {}
        self.damaged = []
        for path in sorted(self._parts.glob("[!.]*.parquet")):
            try:
                heads[path.name] = self._heads.get(path.name) or read_head(path)
            except DamagedError:
                if self._held:
                    self.set_aside(path)
                elif os.path.lexists(path):
                    self.damaged.append(path)
        self._heads = heads
        return list(heads.values())

    def look(self) -> tuple[list[PartHead], list[Path]]:
        """Return what each part holds, and the damaged ones; nothing is moved."""
        heads, damaged = [], []
        for path in sorted(self._parts.glob("[!.]*.parquet")):
            try:
                heads.append(read_head(path))
            except DamagedError:
                damaged.append(path)
        return heads, damaged

    def broken(self) -> list[Path]:
        """Return the parts that are not what was written, every byte of them verified."""
        broken = []
        for head in self.heads():
            try:
                read_content(head.path)
            except DamagedError:
                broken.append(head.path)
        return broken

    def set_aside(self, path: Path) -> None:
        """Move what is no part, or a damaged one, out of the way, where it can be looked at."""
        self._move(path, self._parts / "damaged")
        self.aside.append(path)

    def discard(self, heads: Iterable[PartHead]) -> Path:
        """Move parts that no longer count out of the way; return where they can be looked at."""
        discarded = self._parts / "discarded"
        for head in heads:
            self._move(head.path, discarded)
        return discarded

    def _move(self, path: Path, folder: Path) -> None:
        self._heads.pop(path.name, None)
        with writing(folder):
            folder.mkdir(exist_ok=True)
            names = (path.name + (f".{i}" if i else "") for i in itertools.count())
            if os.path.lexists(path):
                path.rename(next(folder / name for name in names if not (folder / name).exists()))

    def remove(self, heads: Iterable[PartHead]) -> None:
        """Delete parts whose rows another part holds; that one's name is on disk first."""
        folder = os.open(self._parts, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        for head in heads:
            head.path.unlink()

    @property
    def record(self) -> dict[str, Any]:
        """What `study.json` says; empty if there is none.

        Raises
        ------
        RecordError
            If it is not what a run has written.
        """
        return read_record(self.folder)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace `study.json`."""
        self._write(self.folder / NAME, record_content(record))

    def set_record_aside(self) -> None:
        """Move a `study.json` that cannot be used out of the way."""
        self._move(self.folder / NAME, self._parts / "damaged")

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.tmp")
        with writing(path):
            try:
                temporary.write_bytes(content)
                put_in_place(temporary, path)
            except OSError:
                temporary.unlink(missing_ok=True)  # what of it fitted on a full disk is in the way
                raise


def _held(file: TextIO, how: int) -> bool:
    """Return whether a lock could be had, at once."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
