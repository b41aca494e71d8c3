"""The study on its way to a worker process: by its file, or as a pickle."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import cloudpickle

from mcstudy.errors import MCStudyError, StudyError
from mcstudy.loader import load_study
from mcstudy.storage.provenance import reference_digests
from mcstudy.study import Study

Parcel = tuple[str, bytes | str, str]


def pack(study: Study) -> Parcel:
    """Return what a worker makes the study from: its file and the file's digest, or its pickle.

    Raises
    ------
    StudyError
        If it has no file and cannot be pickled.
    """
    if study.source is not None:
        return "file", str(study.source), study.source_digest
    modules = {
        module
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("mcstudy_study_")
    }
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return "pickle", cloudpickle.dumps((study, reference_digests(study))), ""
    except Exception as error:
        raise StudyError(
            f"{study.name}: cannot be sent to worker processes ({type(error).__name__}: {error}); "
            "put it into a study file, or use one worker"
        ) from error
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def unpack(parcel: Parcel) -> Study:
    """Return the study.

    Raises
    ------
    MCStudyError
        If its file is no longer the one that was sent, or a module it uses is another one here.
    """
    kind, content, digest = parcel
    if kind == "pickle":
        study: Study
        study, references = cloudpickle.loads(content)
        _check_references(references, reference_digests(study))
        return study
    path = Path(str(content))
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise MCStudyError(f"{path} was edited while the run started; run again")
    return load_study(path)


def _check_references(sent: Mapping[str, str], found: Mapping[str, str]) -> None:
    if other := [name for name in sent if sent[name] != found.get(name)]:
        raise MCStudyError(
            f"{', '.join(other)}: not the same in the worker processes as in this one; a module "
            "that was edited must be loaded again here, and hold the same whenever it is imported"
        )
