"""What made a row: the seed, the code of its functions, the versions of the packages.

Two marks are equal where nothing changed that could change a number. Code is read from the
compiled functions, through everything they refer to, so that comments, formatting and the rest
of the study file do not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcstudy.storage.fingerprint import Fingerprint
from mcstudy.storage.versions import versions_of, versions_of_rows
from mcstudy.study import Study

Mark = dict[str, str]

CODE = ("simulate", "method")

_left: dict[str, str] = {}


def method_marks(study: Study) -> dict[str, Mark]:
    """Return the mark of each method's rows: seed, simulate, method and versions by name."""
    simulate = _described(study.simulate)
    common = {"seed": str(study.seed), "simulate": _before(simulate.digest)} | versions_of_rows()
    marks = {}
    for name, method in study.methods.items():
        description = _described(method)
        further = versions_of(simulate.packages | description.packages)
        marks[name] = {"method": _before(description.digest)} | common | further
    return marks


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Say in words what differs between two marks."""
    said = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, "nothing"), new.get(name, "nothing")
        if before != after:
            code = name in CODE
            said.append(f"the code of {name}" if code else f"{name} {before} -> {after}")
    return said


def code_digest(function: Any) -> str:
    """Return 16 hexadecimal digits that change when what `function` computes may change."""
    return Fingerprint(function).digest


def take_as_unchanged(study: Study, marks: Mapping[str, Mark]) -> None:
    """Let what calls have left in memory be no change: a memo that a method fills.

    Parameters
    ----------
    study : Study
        Whose functions this process has called.
    marks : mapping of str to dict
        What they were before.
    """
    for name, mark in marks.items():
        for function, before in (
            (study.simulate, mark["simulate"]),
            (study.methods[name], mark["method"]),
        ):
            after = _described(function).digest
            if after != before:
                _left[after] = before


def reference_digests(study: Study) -> dict[str, str]:
    """Return the digests of what a study uses of modules of the user's, by module and name."""
    found: dict[str, Any] = {}
    for function in (study.simulate, *study.methods.values()):
        found |= Fingerprint(function).references
    return {name: code_digest(thing) for name, thing in sorted(found.items())}


def _described(function: Any) -> Fingerprint:
    """Describe a simulate or a method: each gets its first argument without its name."""
    return Fingerprint(function, by_position=1)


def _before(digest: str) -> str:
    return _left.get(digest, digest)
