"""The versions of what is installed: of Python, and of the packages that numbers come from."""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Iterable
from importlib import metadata

RESULTS_VERSION = 1
"""To be raised by hand, by one, whenever mcstudy comes to other rows than before: other random
streams, another copy of the data, another judgement of an answer, other numbers (also in the last
bit) of `mcstudy.nested`. It stands for all code of mcstudy in the marks of rows; a release that
leaves it alone leaves stored rows alone."""
PACKAGES = ("mcstudy", "numpy", "scipy", "pandas", "statsmodels")
_NONE = "not installed"


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that mcstudy itself computes with."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def versions_of_rows() -> dict[str, str]:
    """Return the versions that rows depend on: those, and of mcstudy only `RESULTS_VERSION`."""
    known = {name: version for name, version in versions().items() if name != "mcstudy"}
    return known | {"mcstudy results": str(RESULTS_VERSION)}


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that these packages come from, by its name.

    Packages are named as in ``import name``; what belongs to Python has no version of its own.
    """
    further = set(packages) - set(PACKAGES) - sys.stdlib_module_names
    names = {name for package in further for name in _distributions(package)}
    return {name: _version(name) for name in sorted(names)}


@functools.cache
def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return _NONE


@functools.cache
def _distributions(package: str) -> tuple[str, ...]:
    """Return the names of the distributions that hold a package."""
    if _holds(package, package):
        return (package,)
    return tuple(sorted(set(_all_distributions().get(package, (package,)))))


@functools.cache
def _all_distributions() -> dict[str, list[str]]:
    """Return what is installed; it takes a second where hundreds of packages are."""
    return dict(metadata.packages_distributions())


def _holds(distribution: str, package: str) -> bool:
    """Return whether there is such a distribution and the package comes from it."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    if listed := found.read_text("top_level.txt"):
        return package in listed.split()
    return any(path.parts[0].partition(".")[0] == package for path in found.files or ())
