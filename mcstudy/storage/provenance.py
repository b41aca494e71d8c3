"""What made a row: the seed, the code of its functions, the versions of the packages.

Two marks are equal where nothing changed that could change a number. Code is read from the
compiled functions, through everything they refer to, so that comments, formatting and the rest
of the study file do not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcstudy.method import SharedMethod, function_of
from mcstudy.storage.fingerprint import Fingerprint
from mcstudy.storage.versions import versions_of, versions_of_rows
from mcstudy.study import Study
from mcstudy.truths import DATA

Mark = dict[str, str]

CODE = ("simulate", "method", "prepare", "estimands")

_left: dict[str, str] = {}
"""The digest of a function before this process called it, by the one after."""


def method_marks(study: Study) -> dict[str, Mark]:
    """Return the mark of each method's rows: seed, simulate, method and versions by name."""
    simulate = Fingerprint(study.simulate, by_position=1)
    before = _left.get(simulate.digest, simulate.digest)
    # Rows of two seeds are never mixed, nor are those of independent and of common streams.
    seed = str(study.seed)
    seed += " (common streams)" if study.streams == "common" else ""
    common = {"seed": seed, "simulate": before} | versions_of_rows()
    packages = simulate.packages
    if study.prepare is not None:
        prepare = Fingerprint(study.prepare)
        common["prepare"] = _left.get(prepare.digest, prepare.digest)
        packages = packages | prepare.packages
    if study.truth_from == DATA:  # others are no part of the rows
        estimands = Fingerprint(study.estimands)
        common["estimands"] = _left.get(estimands.digest, estimands.digest)
        packages = packages | estimands.packages
    marks = {}
    for name, function in study.methods.items():
        method = Fingerprint(function_of(function), by_position=1)
        before = _left.get(method.digest, method.digest)
        further = versions_of(packages | method.packages)
        # Methods that share their work have the random stream of the first of them.
        shared = {"shared": function.first} if isinstance(function, SharedMethod) else {}
        marks[name] = {"method": before} | shared | common | further
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
    """Let what calls have left in memory since `marks` were made be no change: a method's memo."""
    for name, mark in marks.items():
        called = [
            (Fingerprint(study.simulate, by_position=1), mark["simulate"]),
            (Fingerprint(function_of(study.methods[name]), by_position=1), mark["method"]),
        ]
        if study.prepare is not None:
            called.append((Fingerprint(study.prepare), mark["prepare"]))
        if "estimands" in mark:
            called.append((Fingerprint(study.estimands), mark["estimands"]))
        for after, before in called:
            if after.digest != before:
                _left[after.digest] = before


def reference_digests(study: Study) -> dict[str, str]:
    """Return the digests of what a study uses of modules of the user's, by module and name."""
    found: dict[str, Any] = {}
    for function in (study.simulate, *map(function_of, study.methods.values())):
        found |= Fingerprint(function).references
    return {name: code_digest(thing) for name, thing in sorted(found.items())}
