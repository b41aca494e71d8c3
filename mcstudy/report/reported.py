"""What the report reads of a study: `mcstudy.results.Results` has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mcstudy.figures.cells import StudyTables

if TYPE_CHECKING:
    import pandas as pd

    from mcstudy.comparison.failures import Overlap


class Reported(StudyTables, Protocol):
    """A study with its tables and what lies between its fits."""

    @property
    def folder(self) -> Path:
        """Where its tables are."""

    @property
    def aims(self) -> str:
        """What it is to find out."""

    @property
    def labels(self) -> dict[str, str]:
        """The words that stand for names."""

    @property
    def fit_measures(self) -> pd.DataFrame:
        """The measures of the seconds and diagnostics of the fits."""

    @property
    def comparisons(self) -> pd.DataFrame:
        """Two methods on the same data."""

    @property
    def unusable(self) -> list[str]:
        """A line for each method without a usable fit under a condition."""

    def warnings(self) -> pd.DataFrame:
        """Return the kinds of warnings."""

    def failure_overlap(self) -> Overlap:
        """Return how often methods fail together."""


def keeps_rows(results: Reported) -> bool:
    """Return whether the study keeps its rows; what lies between its fits is known then only."""
    return bool(results.study.get("keep", "rows") == "rows")
