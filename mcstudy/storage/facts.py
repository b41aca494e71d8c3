"""What is written down of a study beside its rows: in `study.json`, and in every table."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcstudy.arguments import counted
from mcstudy.grid import Condition, level_text
from mcstudy.measure import LEVEL
from mcstudy.storage.provenance import code_digest
from mcstudy.storage.versions import versions
from mcstudy.study import Study
from mcstudy.truths import RNG, SimulatedTruth, mcse_of

Truths = Mapping[Condition, Mapping[str, float]]


def facts_of(study: Study, truths: Truths) -> dict[str, Any]:
    """Return what a reader needs to know where the numbers came from; every table carries it."""
    factors: dict[str, dict[str, Any]] = {name: {} for name in study.conditions.factors}
    for condition in sorted(study.conditions, key=lambda condition: condition.sort_key):
        for name, level in condition.factors.items():
            factors[name].setdefault(level_text(level), level)
    facts = {
        "name": study.name,
        "seed": study.seed,
        "factors": {name: list(levels.values()) for name, levels in factors.items()},
        "estimands": sorted({estimand for known in truths.values() for estimand in known}),
        "methods": sorted(study.methods),
        "keep": study.keep,
        "versions": versions(),
    }
    if study.streams != "independent":
        facts["streams"] = study.streams
    if study.level != LEVEL:
        facts["level"] = study.level
    if study.precision is not None:
        facts |= {"precision": dict(study.precision), "max_replicates": study.max_replicates}
    return facts


def measures_record(study: Study) -> dict[str, Any]:
    """Return what the measures depend on beside the rows."""
    null = study.null
    return {
        "measures": {name: code_digest(f) for name, f in sorted(study.measures.items())},
        "null": dict(sorted(null.items())) if isinstance(null, Mapping) else null,
        "reference": study.reference,
    } | ({} if study.alpha is None else {"alpha": list(study.alphas)})


def truth_errors_record(truths: Truths) -> dict[str, Any]:
    """Return the Monte Carlo errors of truths that have one, by condition and estimand."""
    errors = {
        condition.key: {name: error for name, value in known.items() if (error := mcse_of(value))}
        for condition, known in sorted(truths.items(), key=lambda item: item[0].sort_key)
    }
    return {"truth_errors": errors} if any(errors.values()) else {}


def simulated_record(study: Study) -> dict[str, Any]:
    """Return the true values that a study has simulated, so that nobody does it again."""
    if study.truth_from != RNG:
        return {}
    values = {
        key: {name: [value, mcse_of(value)] for name, value in known.items() if value is not None}
        | {name: None for name, value in known.items() if value is None}
        for key, known in sorted(study.simulated.items())
    }
    return {"simulated_truths": {"made_by": _made_by(study), "values": values}}


def take_simulated(study: Study, record: Mapping[str, Any]) -> None:
    """Let a study have the true values that it has simulated before, by the record of a run."""
    stored = record.get("simulated_truths", {})
    if study.truth_from == RNG and stored.get("made_by") == _made_by(study):
        for key, known in stored["values"].items():
            study.simulated.setdefault(
                key,
                {
                    name: None if of is None else SimulatedTruth(*of) if of[1] else float(of[0])
                    for name, of in known.items()
                },
            )


def _made_by(study: Study) -> str:
    """Return what tells whether simulated truths are those of a study: its code and seed."""
    return f"{code_digest(study.estimands)}, seed {study.seed}"


def truths_record(truths: Truths) -> dict[str, dict[str, float | None]]:
    """Return the truths as JSON can say them, by condition and estimand."""
    return {
        condition.key: {name: value if value == value else None for name, value in known.items()}
        for condition, known in sorted(truths.items(), key=lambda item: item[0].sort_key)
    }


def processor() -> str:
    """Return the name of the processor and how many cores it has."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = found[0] if found else name
    except OSError:  # not Linux
        pass
    return f"{name}, {counted(os.cpu_count() or 1, 'core')}"


def commit_of(study: Study) -> str | None:
    """Return the commit of the study file's repository, None where there is none."""
    folder = study.source.parent if study.source else Path.cwd()
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
