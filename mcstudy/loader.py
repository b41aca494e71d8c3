"""A study file becomes a study."""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import sys
import traceback
from pathlib import Path
from types import ModuleType

from mcstudy.arguments import as_path
from mcstudy.errors import StudyError
from mcstudy.neighbours import look_around
from mcstudy.study import Study

_run_here: set[Path] = set()


def was_run_here(path: Path) -> bool:
    """Return whether this process has run a study file, since somebody named or trusted it."""
    return path.resolve() in _run_here


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
    object.__setattr__(study, "source", path.resolve())
    object.__setattr__(study, "source_digest", hashlib.sha256(source).hexdigest())
    return study


def _run_module(path: Path, source: bytes) -> ModuleType:
    """Run the source as a module of a name of its own, registered so that its classes work."""
    name = f"mcstudy_study_{hashlib.sha256(bytes(path) + source).hexdigest()[:16]}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module
    look_around(path.parent)
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
