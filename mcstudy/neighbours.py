"""A study file's neighbours: the modules of its folder, as they stand on disk now."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from mcstudy.installed import OURS, file_of, is_installed_package, is_installed_path


@contextmanager
def neighbours_forgotten() -> Iterator[None]:
    """Take out of Python's search for modules what `look_around` puts in meanwhile."""
    path, finders, folder = list(sys.path), list(sys.meta_path), _Finder.folder
    try:
        yield
    finally:
        sys.path[:] = [place for place in sys.path if place in path]
        if _Finder not in finders and _Finder in sys.meta_path:
            sys.meta_path.remove(_Finder)
        _Finder.folder = folder


def look_around(folder: Path) -> None:
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
