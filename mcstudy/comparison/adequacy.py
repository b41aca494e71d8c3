"""Is the study itself good enough for what is said from it? Its checks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mcstudy.comparison.checks import Check, Verdict, Words
from mcstudy.comparison.row_checks import DEPENDENCE, OUTLIERS, RANKING, ranking_check, row_checks
from mcstudy.comparison.sensitivity import Sensitivity
from mcstudy.comparison.table_checks import table_checks
from mcstudy.tables.document import Document
from mcstudy.tables.formats import Printed

TITLE = "Is the study itself good enough?"


@dataclass(frozen=True)
class Adequacy(Printed):
    """Whether a study is good enough for what is said from it; ``str`` shows it.

    Parameters
    ----------
    checks : tuple of Check
        Each with ``name``, ``verdict`` ("fine", "warning", "cannot be said"), ``sentence``,
        ``advice``, ``frame`` and ``commands``.
    """

    checks: tuple[Check, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """One row per check: name, verdict, sentence, advice."""
        lines = [(c.name, str(c.verdict), c.sentence, c.advice) for c in self.checks]
        return pd.DataFrame(lines, columns=["name", "verdict", "sentence", "advice"])

    @property
    def warnings(self) -> list[Check]:
        """The checks that warn."""
        return [check for check in self.checks if check.verdict == Verdict.WARNING]

    def document(self) -> Document:
        """Return the checks."""
        frames = [self.frame, *(check.frame for check in self.checks if len(check.frame))]
        return Document(TITLE, [check.document() for check in self.checks], frames=frames)


def adequacy(
    folder: Path,
    performance: pd.DataFrame,
    comparisons: pd.DataFrame | None,
    *,
    record: Mapping[str, Any],
    ranked: Callable[[str], Sensitivity],
) -> Adequacy:
    """Check a study: replicates, failures, missing standard errors, dependence, outliers.

    Parameters
    ----------
    folder : Path
        With the stored rows.
    performance, comparisons : DataFrame
        As `Results` has them; no comparisons where a study keeps no rows.
    record : mapping
        The study's.
    ranked : callable
        Returns the rankings of the methods by a measure.
    """
    checks = table_checks(performance, comparisons, record)
    if record.get("keep", "rows") != "rows":
        lost = "keep='measures' keeps no rows, and this needs them."
        untold = [Check(name, Verdict.UNKNOWN, lost) for name in (RANKING, DEPENDENCE, OUTLIERS)]
        return Adequacy((*checks, *untold))
    words = Words.of(performance)
    ranking = ranking_check(folder, performance, ranked, words)
    return Adequacy((*checks, ranking, *row_checks(folder, record, words)))
