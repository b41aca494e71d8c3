"""Parts on disk: a folder of results, what it holds, and the record of what made it."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mcstudy.errors import ResultsError
from mcstudy.storage.files import write_content, writing
from mcstudy.storage.parts import (
    ASIDE,
    DamagedError,
    Head,
    NewPart,
    Part,
    part_at,
    read_head,
)
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
        self._lock, self._tables = self._parts / ".lock", self._parts / ".tables"
        self._held = False
        self._listed: dict[str, dict[Path, Part]] | None = None
        self._heads: dict[tuple[str, str], Head] = {}
        self.aside: list[Path] = []

    @contextmanager
    def locked(self, share: str = "", *, for_tables: bool = False) -> Iterator[None]:
        """Hold the folder for one run; a killed run lets go of it by itself.

        Whoever only looks, or makes the tables anew (`for_tables`, which is no run), is waited
        for. Shares of a study, such as "3-100", can be at work in one folder at the same time, each
        once; nothing else can meanwhile. ResultsError if another run holds it, or it cannot be
        written.
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
            self._held, self._listed = True, None
            try:
                yield
            finally:
                self._held, self._listed = False, None

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

    def shares(self) -> list[tuple[int, int]]:
        """Return (number, of) of each share that has been at work here."""
        names = [path.name.removeprefix(_SHARE) for path in self._parts.glob(f"{_SHARE}*")]
        numbers = [found for name in names if (found := re.fullmatch(r"(\d+)-(\d+)", name))]
        return sorted((int(found[1]), int(found[2])) for found in numbers)

    def add(self, part: NewPart, *, flush: bool = False) -> None:
        """Store a part, whole or not at all.

        Without `flush` the system writes it to disk within some seconds. After a power cut a part
        that is not there, or not whole, by its checksum, is computed again; to wait for the disk
        would cost each part as much as its rows. One that others are removed for needs it.
        """
        path = self._parts / part.place
        if not path.parent.is_dir():
            for folder in (path.parent.parent, path.parent):
                if os.path.lexists(folder) and not folder.is_dir():
                    self.set_aside(folder)
                with writing(folder):
                    folder.mkdir(exist_ok=True)
        write_content(path, part.content, flush=flush)
        if self._listed is not None and (added := part_at(path)):
            self._listed.setdefault(added.condition, {})[path] = added

    def parts(self, condition: str | None = None) -> list[Part]:
        """Return the parts that are stored, by their names alone, in the order of the names.

        Only those of a condition (`condition_id`) if it is given. Whoever holds the folder sets
        aside what is named as no part is. ResultsError where an earlier version of mcstudy has
        stored parts.
        """
        listed = self._listed
        if listed is None:
            listed, found = {}, self._files()
            for path, part in found.items():
                if part is not None:
                    listed.setdefault(part.condition, {})[path] = part
                    continue
                with suppress(DamagedError):
                    read_head(path)  # says so where it is of an earlier format, before any is moved
            if self._held:
                for path in (path for path, part in found.items() if part is None):
                    self.set_aside(path)
                self._listed = listed
        if condition is not None:
            parts = list(listed.get(condition, {}).values())
        else:
            parts = [part for cell in listed.values() for part in cell.values()]
        return parts if len(parts) == 1 else sorted(parts, key=lambda part: os.fspath(part.path))

    def _files(self) -> dict[Path, Part | None]:
        """Return what is named as Parquet files are, where parts have their places, or beside."""
        found: dict[str, int] = {}  # with their depth
        folders = [(os.fspath(self._parts), 0)]
        while folders:
            within, depth = folders.pop()
            with suppress(OSError), os.scandir(within) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or (depth == 0 and entry.name in ASIDE):
                        continue
                    if entry.name.endswith(".parquet"):
                        found[entry.path] = depth
                    elif depth < 2 and entry.is_dir():
                        folders.append((entry.path, depth + 1))
        paths = ((Path(path), depth) for path, depth in sorted(found.items()))
        return {path: part_at(path) if depth == 2 else None for path, depth in paths}

    def strays(self) -> list[Path]:
        """Return the Parquet files that are named as no part is."""
        return [path for path, part in self._files().items() if part is None]

    def damaged(self) -> list[Path]:
        """Return the parts that are not what was written, every byte verified, and the strays."""
        parts = self.parts()
        damaged = [] if self._held else self.strays()  # whoever holds the folder has moved them
        for part in parts:
            try:
                part.content()
            except DamagedError:
                damaged.append(part.path)
        return damaged

    def head(self, part: Part) -> Head | None:
        """Return the head of a part, None if it is damaged; who holds the folder sets it aside."""
        try:
            return read_head(part.path)
        except DamagedError:
            if self._held:
                self.set_aside(part.path)
            return None

    def head_like(self, part: Part) -> Head | None:
        """Return the head of a part, or of another with the same provenance where it is damaged."""
        made = part.method, part.fingerprint
        if made not in self._heads:
            alike = (p for p in self.parts() if (p.method, p.fingerprint) == made)
            for each in itertools.chain([part], alike):
                if head := self.head(each):
                    self._heads[made] = head
                    break
        return self._heads.get(made)

    def set_aside(self, path: Path) -> None:
        """Move what is no part, or a damaged one, out of the way, where it can be looked at."""
        self._move(path, "damaged")
        self.aside.append(path)

    @contextmanager
    def damaged_aside(self) -> Iterator[None]:
        """Set aside a part that turns out to be damaged, and go on after the block."""
        try:
            yield
        except DamagedError as error:
            self.set_aside(error.path)

    def discard(self, parts: Iterable[Part]) -> Path:
        """Move parts that no longer count out of the way; return where they can be looked at."""
        for part in parts:
            self._move(part.path, "discarded")
        return self._parts / "discarded"

    def _move(self, path: Path, aside: str) -> None:
        """Move a file to where it had its place, below one of the folders of what is set aside."""
        self._forget(path)
        place = path.relative_to(self._parts) if path.is_relative_to(self._parts) else path.name
        wanted = self._parts / aside / place
        names = (wanted.name + (f".{i}" if i else "") for i in itertools.count())
        with writing(wanted.parent):
            wanted.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(path):
                free = (wanted.with_name(name) for name in names)
                path.rename(next(to for to in free if not os.path.lexists(to)))

    def remove(self, parts: Sequence[Part]) -> None:
        """Delete parts whose rows another part holds; that one's name is on disk first."""
        for parent in {part.path.parent for part in parts}:
            folder = os.open(parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        for part in parts:
            self._forget(part.path)
            part.path.unlink()

    def _forget(self, path: Path) -> None:
        if self._listed is not None and (part := part_at(path)):
            self._listed.get(part.condition, {}).pop(path, None)

    @property
    def record(self) -> dict[str, Any]:
        """What `study.json` says; empty if there is none. RecordError if no run has written it."""
        return read_record(self.folder)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace `study.json`."""
        write_content(self.folder / NAME, record_content(record))

    def set_record_aside(self) -> None:
        """Move a `study.json` that cannot be used out of the way."""
        self._move(self.folder / NAME, "damaged")


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
