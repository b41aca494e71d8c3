"""The tables of a study, opened for reading."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from mcstudy.analysis.precision import precision_text
from mcstudy.analysis.selection import Where
from mcstudy.analysis.summed import NEED_ROWS
from mcstudy.arguments import as_path, names_of, short
from mcstudy.comparing.anova import Anova, anova
from mcstudy.comparing.comparisons import Comparison, check_pair, compare
from mcstudy.comparing.equivalence import Equivalence, equivalence
from mcstudy.comparing.failures import FAILED, Overlap, failure_overlap
from mcstudy.comparing.pairs import COMPARISONS, INTERVAL_COMPARISONS
from mcstudy.comparing.sensitivity import Sensitivity, sensitivity
from mcstudy.errors import ResultsError
from mcstudy.printing.show import summary_text
from mcstudy.printing.table import Names, Table, table
from mcstudy.stored.files import check_regular
from mcstudy.stored.holding import why_not_there
from mcstudy.stored.tables import TABLES_OF
from mcstudy.terminal import printable

RESULTS = "a folder like results/<study name>"


@dataclass(frozen=True)
class Results:
    """The results of a study: each table as a DataFrame, read when first asked for.

    Parameters
    ----------
    folder : Path
        The folder with the tables, ``results/<study name>``.
    """

    folder: Path

    @cached_property
    def study(self) -> dict[str, Any]:
        """What made the numbers: name, seed, factors, methods, versions, commit."""
        path = self.folder / "study.json"
        try:
            check_regular(path)
            record = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise ResultsError(f"{path}: cannot be read ({_reason(error)}); {_REPAIR}") from None
        if not isinstance(record, dict):
            raise ResultsError(f"{path}: is no record of a study; {_REPAIR}")
        return record

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """One row per condition: its key and its factor values."""
        return self._table("conditions")

    @cached_property
    def fits(self) -> pd.DataFrame:
        """One row per condition, replicate and method: how the fit ended."""
        return self._table("fits")

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """One row per fit and estimand: truth, estimate, standard error."""
        return self._table("estimates")

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """One row per fit, estimand and interval: its limits."""
        return self._table("intervals")

    @cached_property
    def timings(self) -> pd.DataFrame:
        """One row per fit: the seconds it took."""
        return self._table("timings")

    @cached_property
    def performance(self) -> pd.DataFrame:
        """One row per factor values, method, estimand, interval and measure."""
        return self._table("performance")

    @cached_property
    def endings(self) -> pd.DataFrame:
        """Addresses of fits that did not end well, of a study that keeps measures, not rows."""
        return self._table("endings")

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """One row per factor values, method, reference, estimand, interval and measure."""
        return self._table("comparisons")

    def table(
        self,
        measure: str | Sequence[str],
        *,
        rows: Names = None,
        columns: Names = None,
        where: Where = None,
        level: float = 0.95,
        format: str = "text",  # noqa: A002 - the command line's word
    ) -> Table:
        """Lay out measures as a table; see `mcstudy.printing.table.table`.

        Measures of `comparisons`, like ``"bias_difference"``, are taken from there.
        """
        compared = names_of(measure, "measure")[0] in {
            *COMPARISONS,
            *INTERVAL_COMPARISONS,
            "rejection_difference",
        }
        frame = self.comparisons if compared else self.performance
        return table(
            frame, measure, rows=rows, columns=columns, where=where, level=level, format=format
        )

    def compare(
        self,
        method: str,
        reference: str,
        *,
        where: Where = None,
        intervals: Sequence[str] | None = None,
    ) -> Comparison:
        """Compare two methods on the same data; see `mcstudy.comparing.comparisons.compare`."""
        self._check_rows()
        check_pair(self._methods, method, reference)
        null = self.study.get("null")
        return compare(self.folder, method, reference, where=where, null=null, intervals=intervals)

    def equivalence(self, method: str, reference: str) -> Equivalence:
        """Show how far apart two methods are; see `mcstudy.comparing.equivalence.equivalence`."""
        self._check_rows()
        check_pair(self._methods, method, reference)
        return equivalence(self.folder, method, reference)

    def sensitivity(
        self,
        measure: str,
        *,
        where: Where = None,
        failed: Collection[str] = FAILED,
        level: float = 0.95,
    ) -> Sensitivity:
        """Rank methods with failures counted in three ways; `mcstudy.comparing.sensitivity`."""
        self._check_rows()
        return sensitivity(self.folder, measure, where=where, failed=failed, level=level)

    def failure_overlap(self, *, failed: Collection[str] = FAILED) -> Overlap:
        """Count how often methods fail together; see `mcstudy.comparing.failures`."""
        self._check_rows()
        return failure_overlap(self.folder, failed=failed)

    @property
    def _methods(self) -> list[str]:
        return sorted(self.performance["method"].unique())

    def anova(self, measure: str, *, where: Where = None) -> Anova:
        """Show which factors drive a measure; see `mcstudy.comparing.anova.anova`."""
        return anova(self.performance, measure, where=where)

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each table's file, of all that are a function of the study."""
        return {
            name: hashlib.sha256((self.folder / f"{name}.parquet").read_bytes()).hexdigest()
            for name in TABLES_OF[self._keep]
            if name != "timings"
        }

    def _check_rows(self) -> None:
        if self._keep != "rows":
            raise ResultsError(
                f"{self.folder}: keeps {self._keep}, and what lies between fits needs rows; "
                "run the study with keep='rows' under another name"
            )

    @property
    def _keep(self) -> str:
        return str(self.study.get("keep", "rows"))

    def _table(self, name: str) -> pd.DataFrame:
        if name not in TABLES_OF[self._keep]:
            raise ResultsError(
                f"{self.folder}: has no table '{name}', the study keeps {self._keep}; it has "
                f"{', '.join(TABLES_OF[self._keep])}"
            )
        path = self.folder / f"{name}.parquet"
        try:
            check_regular(path)
            return pd.read_parquet(path)
        except (OSError, pa.ArrowException) as error:
            raise ResultsError(f"{path}: cannot be read ({_reason(error)}); {_REPAIR}") from None

    @property
    def summary(self) -> str:
        """The measures that matter most and how the fits ended, as text."""
        summary = summary_text(self.study["name"], self.performance)
        if self._keep == "measures":
            summary += (
                f"\n\nNo rows are kept (keep='measures'): there is no {', '.join(NEED_ROWS)}, "
                "no measure of one's own and no comparison"
            )
        if "precision" in self.study:
            wanted, most = self.study["precision"], self.study["max_replicates"]
            summary += f"\n\n{precision_text(self.performance, wanted, most)}"
        return summary

    @printable
    def __str__(self) -> str:
        return f"{self.summary}\n\nTables: {self.folder}"


_REPAIR = "run the study again to make it anew"


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or short(error, plain=True)


def folder_of(results: object) -> Path:
    """Return the folder of results, which are given as such or by its path."""
    if isinstance(results, Results):
        return results.folder
    return as_path(results, "results", of=RESULTS)


def open_results(folder: str | Path) -> Results:
    """Return the results in a folder that `run` has written.

    Raises
    ------
    ResultsError
        If the folder holds no finished tables.
    """
    folder = as_path(folder, "folder", of=RESULTS)
    if not os.path.lexists(folder / "performance.parquet"):
        raise ResultsError(f"{folder}: {why_not_there(folder)}")
    return Results(folder)
