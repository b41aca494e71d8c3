"""Parts on disk: a folder of results, what it holds, and the record of what made it."""

from __future__ import annotations

import fcntl
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcstudy.errors import ResultsError
from mcstudy.stored.files import put_in_place, writing
from mcstudy.stored.parts import DamagedError, PartHead, read_head


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
        self.aside: list[Path] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run; a killed run lets go of it by itself.

        Raises
        ------
        ResultsError
            If another run holds it, or it cannot be written.
        """
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            lock = open(self._parts / ".lock", "w")  # noqa: SIM115 - closed by the with below
        except OSError as error:
            raise ResultsError(
                f"{self.folder}: cannot be written ({error.strerror}); choose another --results"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ResultsError(
                    f"{self.folder}: another run is at work here; wait for it or stop it"
                ) from None
            yield

    def add(self, name: str, content: bytes) -> None:
        """Store a part, whole or not at all."""
        self._write(self._parts / name, content)

    def heads(self) -> list[PartHead]:
        """Return what each part holds, in the order of names; set aside what is no part."""
        heads = {}
        for path in sorted(self._parts.glob("[!.]*.parquet")):
            try:
                heads[path.name] = self._heads.get(path.name) or read_head(path)
            except DamagedError:
                self.set_aside(path)
        self._heads = heads
        return list(heads.values())

    def set_aside(self, path: Path) -> None:
        """Move what is no part, or a damaged one, out of the way, where it can be looked at."""
        aside = self._parts / "damaged"
        with writing(aside):
            aside.mkdir(exist_ok=True)
            names = (path.name + (f".{i}" if i else "") for i in itertools.count())
            path.rename(next(aside / name for name in names if not (aside / name).exists()))
        self.aside.append(path)

    def drop(self, path: Path) -> None:
        """Delete a part whose rows were all discarded."""
        path.unlink()

    @property
    def record(self) -> dict[str, Any]:
        """What `study.json` says; empty if there is none that can be read."""
        try:
            record = json.loads((self.folder / "study.json").read_text())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace `study.json`."""
        content = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        self._write(self.folder / "study.json", content.encode())

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.tmp")
        with writing(path):
            try:
                temporary.write_bytes(content)
                put_in_place(temporary, path)
            except OSError:
                temporary.unlink(missing_ok=True)  # what of it fitted on a full disk is in the way
                raise
