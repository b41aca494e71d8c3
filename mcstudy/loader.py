"""A study file becomes a study; the modules of its folder are read as they stand on disk now."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import linecache
import os
import sys
import sysconfig
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from mcstudy.arguments import as_path
from mcstudy.errors import ResultsError, StudyError
from mcstudy.study import Study

_FOLDERS_OF_PACKAGES = ("site-packages", "dist-packages")
OURS = "mcstudy"
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
    """Run the study file that the record of a folder names; whoever made the folder has chosen it.

    Raises ResultsError if it is gone, or not trusted: without `trust` only a file is run that this
    process has run before. `how` says in words how to name another file instead.
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


def as_study(study: Study | str | Path) -> Study:
    """Return the study of a file, or the given one without what it has prepared and simulated.

    A session may have changed its code since.
    """
    if not isinstance(study, Study):
        return load_study(study)
    study.prepared_by_condition.clear()
    study.simulated.clear()
    return study


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
    neighbours = _neighbours(folder, {name.partition(".")[0] for name in sys.modules})
    old = [
        name
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in neighbours and _is_read_anew(module)
    ]
    for name in old:
        del sys.modules[name]
    importlib.invalidate_caches()
    _Finder.folder = str(folder)
    if _Finder not in sys.meta_path:
        places = [place for place, finder in enumerate(sys.meta_path) if finder is PathFinder]
        sys.meta_path.insert(places[0] if places else len(sys.meta_path), _Finder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _is_read_anew(module: ModuleType) -> bool:
    """Return whether a module can be imported again; one of compiled code cannot."""
    path = file_of(module)
    # A test beside the study that loads it at its top is still being imported itself.
    at_work = getattr(getattr(module, "__spec__", None), "_initializing", False)
    return not (
        path is None or path.endswith((".so", ".pyd")) or at_work or is_installed_path(path)
    )


def _neighbours(folder: Path, names: Collection[str]) -> set[str]:
    """Return which names of modules stand in a folder; its list says for most that they do not."""
    there: set[str] = set()
    with suppress(OSError):
        there.update(os.listdir(folder))
    return {
        top
        for top in names
        if (f"{top}.py" in there and (folder / f"{top}.py").exists())
        or (top in there and any((folder / top).rglob("*.py")))
    } - {OURS, "__main__"}


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
        ours = found is not None and found.origin is not None and not is_installed_package(name)
        return found if ours else None


@functools.cache
def is_installed_path(path: str) -> bool:
    """Return whether a file belongs to Python itself or to an installed package."""
    place = Path(path)
    return any(name in place.parts for name in _FOLDERS_OF_PACKAGES) or any(
        place.is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")
    )


def file_of(module: ModuleType | None) -> str | None:
    """Return a module's file, of a package without one its folder; None where there is neither."""
    known = getattr(module, "__dict__", {})
    path = known.get("__file__") or next(iter(known.get("__path__", ())), None)
    return path if isinstance(path, str) else None


def is_installed(name: str) -> bool:
    """Return whether a module is installed, by its name, wherever mcstudy itself stands."""
    top = name.partition(".")[0]
    if top in ("", "__main__"):
        return False
    if top == OURS:
        return True
    path = file_of(sys.modules.get(name) or sys.modules.get(top))
    if path is not None:
        return is_installed_path(path)
    return top in sys.stdlib_module_names or is_installed_package(top)


def is_installed_package(top: str) -> bool:
    """Return whether something installed has this name, wherever else it may stand too."""
    places = [place for place in sys.path if is_installed_path(place)]
    found = PathFinder.find_spec(top, places)
    return found is not None and bool(found.origin or found.submodule_search_locations)
