"""Simulation studies of statistical methods, every number with its Monte Carlo standard error."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mcstudy.errors import MCStudyError
from mcstudy.grid import grid
from mcstudy.method import Estimate, Fit, Status, batched
from mcstudy.study import Study, load_study

__version__ = "0.1.0"
__all__ = [
    "Estimate",
    "Fit",
    "MCStudyError",
    "Results",
    "Status",
    "Study",
    "batched",
    "grid",
    "load_study",
    "open_results",
    "run",
]

if TYPE_CHECKING:
    from mcstudy.analysis.anytable import performance as performance
    from mcstudy.measure import Measured as Measured
    from mcstudy.results import Results, open_results
    from mcstudy.runs.runner import run

_HOMES = {
    "Measured": "measure",
    "Results": "results",
    "open_results": "results",
    "performance": "analysis.anytable",
    "run": "runs.runner",
}


def __getattr__(name: str) -> Any:
    """Import what needs pandas and pyarrow when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mcstudy' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mcstudy.{_HOMES[name]}"), name)
