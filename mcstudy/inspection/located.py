"""The study of a replay, and the folder that has its results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcstudy.arguments import as_path
from mcstudy.errors import ResultsError
from mcstudy.loader import load_study, was_run_here
from mcstudy.results import Results, folder_of
from mcstudy.spoken import either, option
from mcstudy.storage.folder import has_parts, why_not_there
from mcstudy.storage.store import Store
from mcstudy.study import Study


def located(
    source: Study | Results | str | Path, results: str | Path, *, trust: bool
) -> tuple[Study, Path]:
    """Return the study, and the folder that has its results.

    Parameters
    ----------
    source : Study, Results or path
        A study or its file, or the results of one whose file is where it was.
    results : path
        With a study: the folder that has its results, or the one above it.
    trust : bool
        Run the study file that the record of the results names.

    Raises
    ------
    ResultsError
        If the folder does not say where the study is, or is that of another one, or its study file
        is not trusted.
    """
    if not isinstance(source, Study | Results):
        source = as_path(source, "source", of="a study file, or of a folder of results")
    if isinstance(source, Results) or (isinstance(source, Path) and source.is_dir()):
        folder = folder_of(source)
        return _study_of(folder, trust), folder
    study = source if isinstance(source, Study) else load_study(source)
    folder = as_path(results, "results")
    record = Store(folder).record
    if not record:
        return study, folder if has_parts(folder) else folder / study.name
    check_name(folder, record, study)
    return study, folder


def check_name(folder: Path, record: Mapping[str, Any], study: Study) -> None:
    """Raise ResultsError unless the record of a folder is that of a study of this name."""
    if (name := record.get("name")) != study.name:
        raise ResultsError(f"{folder}: holds the study {name!r}, not {study.name!r}")


def _study_of(folder: Path, trust: bool) -> Study:
    record = Store(folder).record
    how = either("--study FILE", f'replay("FILE", ..., results="{folder}")')
    if not record:
        also = f", or say where the study is: {how}" if has_parts(folder) else ""
        raise ResultsError(f"{folder}: {why_not_there(folder)}{also}")
    if record.get("study_file") is None:
        raise ResultsError(
            f"{folder}: its study was made in a session, not in a file; call "
            "mcstudy.replay(study, ...) there"
        )
    return recorded_study(folder, record, how, trust=trust)


def recorded_study(folder: Path, record: Mapping[str, Any], how: str, *, trust: bool) -> Study:
    """Run the study file that a record names; whoever has made the folder has chosen that file.

    Parameters
    ----------
    folder : Path
        Begins the messages.
    record : mapping
        What its ``study.json`` says; it names a file.
    how : str
        How to name another file instead, in words.
    trust : bool
        Run it, whoever made the folder. One that this process has run before is run in any case.

    Raises
    ------
    ResultsError
        If the file is gone, or not trusted.
    """
    path = Path(str(record["study_file"]))
    if not path.is_file():
        raise ResultsError(f"{folder}: its study file {path} is gone; say where it is now: {how}")
    if not trust and not was_run_here(path):
        raise ResultsError(
            f"{folder}: this runs {path}, the study file that the folder names; if you trust it: "
            f"{option('trust', True)}, or name the study file yourself: {how}"
        )
    return load_study(path)
