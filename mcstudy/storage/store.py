"""Parts on disk: a folder of results, what it holds, and the record of what made it."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from mcstudy.errors import ResultsError
from mcstudy.storage.files import put_in_place, writing
from mcstudy.storage.parts import DamagedError, PartHead, name_of, read_content, read_head
from mcstudy.storage.record import NAME, read_record, record_content

_SHARE = ".share-"
PATIENCE = 600.0
"""Seconds for which a run waits for somebody who makes the tables anew."""
_PAUSE = 0.001, 0.01
_RANDOM = random.SystemRandom()  # the study's functions see no draw from the global state


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
    def locked(self, share: str = "", *, for_tables: bool = False) -> Iterator[None]:
        """Hold the folder for one run; a killed run lets go of it by itself.

        Whoever only looks, or makes the tables anew, is waited for.

        Parameters
        ----------
        share : str, optional
            Such as "3-100". Shares of a study can be at work in one folder at the same time, each
            once; nothing else can meanwhile.
        for_tables : bool, default False
            Hold it to make the tables anew, which is no run.

        Raises
        ------
        ResultsError
            If another run holds it, or it cannot be written.
        """
        wanted = {self._lock: fcntl.LOCK_SH if share else fcntl.LOCK_EX}
        if share:
            wanted |= {self._parts / f"{_SHARE}{share}": fcntl.LOCK_EX}
        if for_tables:  # first, so that nobody takes it for a run
            wanted = {self._tables: fcntl.LOCK_EX} | wanted
        with ExitStack() as stack:
            try:
                self._parts.mkdir(parents=True, exist_ok=True)
                files = [
                    (stack.enter_context(open(path, "a+")), how) for path, how in wanted.items()
                ]
            except OSError as error:
                raise ResultsError(
                    f"{self.folder}: cannot be written ({error.strerror}); choose another folder"
                ) from None
            end = time.monotonic() + PATIENCE
            while not _all_held(files):
                self._refuse_where_at_work(share)
                if time.monotonic() > end:
                    raise ResultsError(
                        f"{self.folder}: its tables are being made anew by somebody; wait for that"
                    )
                time.sleep(_RANDOM.uniform(*_PAUSE))
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def _refuse_where_at_work(self, share: str) -> None:
        """Raise ResultsError where a run is at work that does not go with this share, or run."""
        if share and _is_held(self._parts / f"{_SHARE}{share}"):
            raise ResultsError(
                f"{self.folder}: part {share.replace('-', '/')} is at work here already; "
                "wait for it or stop it"
            )
        if self._run_at_work() if share else self.busy:
            raise ResultsError(
                f"{self.folder}: another run is at work here; wait for it or stop it"
            )

    @property
    def busy(self) -> bool:
        """Whether a run or a share is at work here.

        A shared lock is asked for, for a moment: it keeps nobody out who looks as well, and a run
        that begins meanwhile waits for it.
        """
        return self._run_at_work() or any(map(_is_held, self._parts.glob(f"{_SHARE}*")))

    def _run_at_work(self) -> bool:
        return _is_held(self._lock) and not _is_held(self._tables)

    @property
    def _lock(self) -> Path:
        return self._parts / ".lock"

    @property
    def _tables(self) -> Path:
        return self._parts / ".tables"

    def shares(self) -> list[tuple[int, int]]:
        """Return (number, of) of each share that has been at work here."""
        names = [path.name.removeprefix(_SHARE) for path in self._parts.glob(f"{_SHARE}*")]
        numbers = [found for name in names if (found := re.fullmatch(r"(\d+)-(\d+)", name))]
        return sorted((int(found[1]), int(found[2])) for found in numbers)

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
                temporary.unlink(missing_ok=True)
                temporary.write_bytes(content)
                put_in_place(temporary, path)
            except OSError:
                temporary.unlink(missing_ok=True)  # what of it fitted on a full disk is in the way
                raise


def _all_held(files: Sequence[tuple[IO[str] | int, int]]) -> bool:
    """Return whether all the locks could be had, at once; none is held otherwise."""
    try:
        for file, how in files:
            fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError:
        for file, _ in files:
            fcntl.flock(file, fcntl.LOCK_UN)
        return False
    return True


def _is_held(path: Path) -> bool:
    """Return whether somebody holds the lock of a file alone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # of a pipe in its place, at once
    except OSError:
        return False
    try:
        return not _all_held([(file, fcntl.LOCK_SH)])
    finally:
        os.close(file)
