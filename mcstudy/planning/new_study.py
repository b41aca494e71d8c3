"""`new`: a study file to begin with, which runs as it stands, and its test."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from mcstudy.arguments import short
from mcstudy.errors import StudyError

SEED = 20261127
"""Of the study that is written; any number does."""
_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)  # of a module that a test can be called after


def new(name: str, folder: str | Path = ".") -> tuple[Path, Path]:
    """Write a study file that runs as it stands and explains itself, and its test.

    Parameters
    ----------
    name : str
        Of the study and its file: small letters, digits and ``_``.
    folder : path, default "."
        Where they are written.

    Returns
    -------
    study, test : Path
        ``NAME.py`` and ``test_NAME.py``.

    Raises
    ------
    StudyError
        For a name that cannot be used, or if one of the files already exists.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise StudyError(
            f"new: name is {short(name)}; use small letters, digits and '_', the first no digit"
        )
    place = Path(folder)
    paths = place / f"{name}.py", place / f"test_{name}.py"
    if there := [path for path in paths if path.exists()]:
        raise StudyError(f"{there[0]}: already exists; choose another name")
    templates = resources.files("mcstudy.planning").joinpath("templates")
    for path, kind in zip(paths, ("study", "test"), strict=True):
        text = templates.joinpath(f"{kind}.txt").read_text(encoding="utf-8")
        try:
            path.write_text(text.format(name=name, seed=SEED), encoding="utf-8")
        except OSError as error:
            raise StudyError(f"{path}: cannot be written ({error.strerror})") from None
    return paths
