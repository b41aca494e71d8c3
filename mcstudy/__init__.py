"""Simulation studies of statistical methods, every number with its Monte Carlo standard error."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mcstudy.errors import MCStudyError
from mcstudy.grid import grid
from mcstudy.loader import load_study
from mcstudy.method import Estimate, Fit, Skip, Status, batched
from mcstudy.study import Study

__version__ = "0.2.0"
__all__ = [
    "Estimate",
    "Fit",
    "MCStudyError",
    "Measured",
    "Results",
    "Skip",
    "Status",
    "Study",
    "batched",
    "bootstrap_intervals",
    "check",
    "collect",
    "compare_runs",
    "grid",
    "import_replicates",
    "load_study",
    "open_results",
    "performance",
    "plan",
    "protocol",
    "replay",
    "run",
    "solve",
    "status",
    "summarize",
    "table",
]

if TYPE_CHECKING:
    from mcstudy.analysis.bootstrap import bootstrap_intervals
    from mcstudy.execution.collect import collect
    from mcstudy.execution.import_replicates import import_replicates
    from mcstudy.execution.run import run
    from mcstudy.external.performance import performance
    from mcstudy.inspection.replay import replay
    from mcstudy.inspection.status import status
    from mcstudy.inspection.summarize import summarize
    from mcstudy.measure import Measured
    from mcstudy.planning.check import check
    from mcstudy.planning.plan import plan
    from mcstudy.planning.protocol import protocol
    from mcstudy.planning.solve import solve
    from mcstudy.results import Results, compare_runs, open_results
    from mcstudy.tables.table import table

_HOMES = {
    "Measured": "measure",
    "Results": "results",
    "bootstrap_intervals": "analysis.bootstrap",
    "check": "planning.check",
    "collect": "execution.collect",
    "compare_runs": "results",
    "import_replicates": "execution.import_replicates",
    "open_results": "results",
    "performance": "external.performance",
    "plan": "planning.plan",
    "protocol": "planning.protocol",
    "replay": "inspection.replay",
    "run": "execution.run",
    "solve": "planning.solve",
    "status": "inspection.status",
    "summarize": "inspection.summarize",
    "table": "tables.table",
}


def __dir__() -> list[str]:
    """Return what can be imported, with what is imported when it is first used."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import what needs pandas and pyarrow when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mcstudy' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mcstudy.{_HOMES[name]}"), name)
