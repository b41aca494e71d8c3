"""A study file becomes a study; the modules of its folder are read as they stand on disk now."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import linecache
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from mcstudy.arguments import as_path
from mcstudy.errors import ResultsError, StudyError
from mcstudy.installed import OURS, file_of, is_installed_package, is_installed_path
from mcstudy.study import Study

_run_here: set[Path] = set()
"""The study files that this process has run, since somebody named or trusted them."""


def load_study(path: str | Path) -> Study:
    """Run a study file and return its `study`.

    It may import its neighbours, the modules of its folder. They are read anew each time, and come
    before modules of the same name elsewhere, save what is installed.

    Raises
    ------
    StudyError
        With file and line, for a file that is missing, does not run, or has no `study`.
    """
    path = as_path(path, "study", StudyError, of="a study file, or a Study")
    if path.exists() and not (path.is_file() and path.suffix == ".py"):
        raise StudyError(f"{path}: cannot be read as a study file; name one that ends in .py")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); name a study file") from None
    _run_here.add(path.resolve())
    module = _run_module(path.resolve(), source)
    study = getattr(module, "study", None)
    if study is None:
        raise StudyError(f"{path}: defines no 'study'; end it with study = Study(...)")
    if not isinstance(study, Study):
        raise StudyError(f"{path}: 'study' is a {type(study).__name__}; make it study = Study(...)")
    object.__setattr__(study, "aims", inspect.cleandoc(study.aims or module.__doc__ or ""))
    object.__setattr__(study, "source", path.resolve())
    object.__setattr__(study, "source_digest", hashlib.sha256(source).hexdigest())
    return study


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
    if not trust and path.resolve() not in _run_here:
        raise ResultsError(
            f"{folder}: this runs {path}, the study file that the folder names; if you trust it: "
            f"--trust (trust=True), or name the study file yourself: {how}"
        )
    return load_study(path)


def check_name(folder: Path, record: Mapping[str, Any], study: Study) -> None:
    """Raise ResultsError unless the record of a folder is that of a study of this name."""
    if (name := record.get("name")) != study.name:
        raise ResultsError(f"{folder}: holds the study {name!r}, not {study.name!r}")


def _run_module(path: Path, source: bytes) -> ModuleType:
    """Run the source as a module of a name of its own, registered so that its classes work."""
    name = f"mcstudy_study_{hashlib.sha256(bytes(path) + source).hexdigest()[:16]}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module
    _look_around(path.parent)
    linecache.checkcache(str(path))
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise StudyError(_in_one_line(path, error)) from error
    return module


def _in_one_line(path: Path, error: BaseException) -> str:
    """Say where in the study file and why it does not run."""
    if isinstance(error, StudyError):
        reason = str(error)
    else:
        reason = f"{type(error).__name__}: {getattr(error, 'msg', None) or error}"
    reason = " ".join(reason.split())
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}: {reason}: {(error.text or '').strip()}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    if not frames:
        return f"{path}: {reason}"
    line = frames[-1].line or ""
    # The first line of a call that goes on below says nothing.
    where = "" if line.endswith(("(", "[", "{", ",")) else f" (in: {line})"
    return f"{path}:{frames[-1].lineno}: {reason}{where}"


@contextmanager
def neighbours_forgotten() -> Iterator[None]:
    """Take out of Python's search for modules what `load_study` puts in meanwhile."""
    path, finders, folder = list(sys.path), list(sys.meta_path), _Finder.folder
    try:
        yield
    finally:
        sys.path[:] = [place for place in sys.path if place in path]
        if _Finder not in finders and _Finder in sys.meta_path:
            sys.meta_path.remove(_Finder)
        _Finder.folder = folder


def _look_around(folder: Path) -> None:
    """Let the next imports find the modules of a folder anew, before others of their names.

    Modules imported before under the name of one of them are forgotten: they are of another folder,
    or from before an edit. What is installed comes first all the same.
    """
    for name, module in list(sys.modules.items()):
        if _is_in_the_way(name, module, folder):
            del sys.modules[name]
    importlib.invalidate_caches()
    _Finder.folder = str(folder)
    if _Finder not in sys.meta_path:
        places = [place for place, finder in enumerate(sys.meta_path) if finder is PathFinder]
        sys.meta_path.insert(places[0] if places else len(sys.meta_path), _Finder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


class _Finder:
    """Finds the neighbours of the study that was loaded last."""

    folder = ""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or name == OURS or name in sys.stdlib_module_names:
            return None
        found = PathFinder.find_spec(name, [cls.folder])
        if found is None or found.origin is None or is_installed_package(name):
            return None
        return found


def _is_in_the_way(name: str, module: ModuleType, folder: Path) -> bool:
    top, path = name.partition(".")[0], file_of(module)
    if top in (OURS, "__main__") or path is None:
        return False
    if path.endswith((".so", ".pyd")) or is_installed_path(path):
        return False
    return (folder / f"{top}.py").exists() or any((folder / top).glob("*.py"))
