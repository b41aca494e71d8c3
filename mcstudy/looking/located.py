"""The study of a replay, and the folder that has its results."""

from __future__ import annotations

from pathlib import Path

from mcstudy.errors import ResultsError
from mcstudy.loading import load_study
from mcstudy.results import Results
from mcstudy.spoken import either
from mcstudy.stored.holding import has_parts, why_not_there
from mcstudy.stored.store import Store
from mcstudy.study import Study


def located(source: Study | Results | str | Path, results: str | Path) -> tuple[Study, Path]:
    """Return the study, and the folder that has its results.

    Parameters
    ----------
    source : Study, Results or path
        A study or its file, or the results of one whose file is where it was.
    results : path
        With a study: the folder that has its results, or the one above it.

    Raises
    ------
    ResultsError
        If the folder does not say where the study is, or is that of another one.
    """
    if isinstance(source, Results) or (not isinstance(source, Study) and Path(source).is_dir()):
        folder = source.folder if isinstance(source, Results) else Path(source)
        return _study_of(folder), folder
    study = source if isinstance(source, Study) else load_study(source)
    folder = Path(results)
    record = Store(folder).record
    if not record:
        return study, folder if has_parts(folder) else folder / study.name
    if (name := record.get("name")) != study.name:
        raise ResultsError(f"{folder}: holds the study {name!r}, not {study.name!r}")
    return study, folder


def _study_of(folder: Path) -> Study:
    record = Store(folder).record
    how = either("--study FILE", f'replay("FILE", ..., results="{folder}")')
    if not record:
        also = f", or say where the study is: {how}" if has_parts(folder) else ""
        raise ResultsError(f"{folder}: {why_not_there(folder)}{also}")
    path = record.get("study_file")
    if path is None:
        raise ResultsError(
            f"{folder}: its study was made in a session, not in a file; call "
            "mcstudy.replay(study, ...) there"
        )
    if not Path(path).is_file():
        raise ResultsError(f"{folder}: its study file {path} is gone; say where it is now: {how}")
    return load_study(path)
