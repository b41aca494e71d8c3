"""The study on its way to a worker process, of this machine or of another."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from mcstudy.arrays import has_own_layout, laid_out, layout_of
from mcstudy.errors import MCStudyError, StudyError
from mcstudy.loader import OURS, file_of, is_installed_path, load_study
from mcstudy.storage.provenance import reference_digests
from mcstudy.study import Study


@dataclass(frozen=True)
class StudyPayload:
    """What another process makes the study from: its file, or its pickle where it has none.

    Parameters
    ----------
    path : Path or None
        The study file; None for a pickled study.
    digest : str
        Of the file, as it was when this process loaded it.
    pickled : bytes
        The study with the digests of what it refers to; empty where there is a file.
    files : tuple of (str, bytes)
        For a machine without the study's folder: the study file, then the modules beside it that
        have been imported, by their path in there. Files that the study only reads are not there.
    """

    path: Path | None
    digest: str = ""
    pickled: bytes = b""
    files: tuple[tuple[str, bytes], ...] = ()

    def written_to(self, folder: Path) -> StudyPayload:
        """Write the files into a folder; return the payload for the processes of that machine."""
        for name, content in self.files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return replace(self, path=folder / self.files[0][0], files=()) if self.files else self


def pack(study: Study, *, with_files: bool = False) -> StudyPayload:
    """Return the payload of a study; `with_files` for a machine that has no such file.

    Raises
    ------
    StudyError
        If it has no file and cannot be pickled.
    """
    if study.source is not None:
        path = study.source
        files: tuple[tuple[str, bytes], ...] = ()
        if with_files:
            files = ((path.name, path.read_bytes()), *_imported_neighbours(path))
        return StudyPayload(path, study.source_digest, files=files)
    # What a study file defines cannot be imported by its name in another process.
    modules = {
        module
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("mcstudy_study_")
    }
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        pickled = io.BytesIO()
        _Pickler(pickled).dump((study, reference_digests(study)))
        return StudyPayload(None, pickled=pickled.getvalue())
    except Exception as error:
        raise StudyError(
            f"{study.name}: cannot be sent to worker processes ({type(error).__name__}: {error}); "
            "put it into a study file, or use one worker"
        ) from error
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no annotations
    """Sends arrays as they lie in memory, on which the last bits of their sums depend."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how an array of its own layout is made again; else what cloudpickle returns."""
        if type(obj) is np.ndarray and has_own_layout(obj) and not obj.dtype.hasobject:
            return laid_out, (np.ascontiguousarray(obj), layout_of(obj))
        return super().reducer_override(obj)


def unpack(payload: StudyPayload) -> Study:
    """Return the study.

    Raises
    ------
    MCStudyError
        If its file is no longer the one that was sent, or a module it uses is another one here.
    """
    if payload.path is None:
        study: Study
        study, references = cloudpickle.loads(payload.pickled)
        found = reference_digests(study)
        if other := [name for name in references if references[name] != found.get(name)]:
            raise MCStudyError(
                f"{', '.join(other)}: not the same in the worker processes as in this one; a "
                "module that was edited must be loaded again here, and hold the same whenever it "
                "is imported"
            )
        return study
    if hashlib.sha256(payload.path.read_bytes()).hexdigest() != payload.digest:
        raise MCStudyError(f"{payload.path} was edited while the run started; run again")
    return load_study(payload.path)


def _imported_neighbours(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the modules that stand in the folder of a study file and have been imported."""
    for name, module in sorted(sys.modules.items()):
        origin = file_of(module)
        ours = name.partition(".")[0] in (OURS, "__main__")
        if origin is None or ours or is_installed_path(origin):
            continue
        path = Path(origin).resolve()
        if path != source and path.is_relative_to(source.parent) and path.suffix == ".py":
            yield str(path.relative_to(source.parent)), path.read_bytes()
