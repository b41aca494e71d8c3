"""What is installed, and so known by a version; all else is the user's own."""

from __future__ import annotations

import functools
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

_FOLDERS_OF_PACKAGES = ("site-packages", "dist-packages")
OURS = "mcstudy"


@functools.cache
def is_installed_path(path: str) -> bool:
    """Return whether a file belongs to Python itself or to an installed package."""
    place = Path(path)
    return any(name in place.parts for name in _FOLDERS_OF_PACKAGES) or any(
        place.is_relative_to(home) for home in _standard_library()
    )


@functools.cache  # asked of every module that is loaded; sysconfig works it out each time
def _standard_library() -> set[str]:
    import sysconfig

    return {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}


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
    if found is None:
        return False
    return bool(found.origin or found.submodule_search_locations)
