"""The tables of a study, opened for reading."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcstudy.analysis.moment_measures import NEED_ROWS
from mcstudy.analysis.precision import precision_lines
from mcstudy.analysis.query import names_of
from mcstudy.analysis.select import Columns, Where, levels_of, select, wheres, with_record
from mcstudy.analysis.unusable import unusable
from mcstudy.arguments import as_path, suggestion
from mcstudy.columns import BESIDE_DIAGNOSTICS, COUNTS, VALUES
from mcstudy.comparison.failure_rules import FAILED
from mcstudy.comparison.own_measures import DIFFERENCE, RATIO, of_pair
from mcstudy.comparison.paired_measures import COMPARISONS, INTERVAL_COMPARISONS
from mcstudy.errors import ResultsError
from mcstudy.measure import LEVEL, REJECTION
from mcstudy.storage.export import TABLES, TABLES_OF
from mcstudy.storage.folder import why_not_there
from mcstudy.storage.record import read_record
from mcstudy.storage.table_set import OtherStateError, open_tables
from mcstudy.tables.document import Block, Document
from mcstudy.tables.formats import Printed, render
from mcstudy.tables.summary import performance_summary

if TYPE_CHECKING:
    import pandas as pd

    from mcstudy.comparison.adequacy import Adequacy
    from mcstudy.comparison.anova import Anova
    from mcstudy.comparison.checks import Check
    from mcstudy.comparison.contrast import Contrast
    from mcstudy.comparison.equivalence import Equivalence
    from mcstudy.comparison.failures import Overlap
    from mcstudy.comparison.paired import Comparison
    from mcstudy.comparison.published import Published
    from mcstudy.comparison.runs import TwoRuns
    from mcstudy.comparison.sensitivity import Sensitivity
    from mcstudy.figures import Figure
    from mcstudy.tables.table import Names, Table

T = TypeVar("T")
RESULTS = "a folder like results/<study name>"

ENDINGS = (DIFFERENCE, RATIO)
"""Of the names of comparisons by measures of one's own."""


@dataclass(frozen=True)
class Results(Printed):
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
        record = read_record(self.folder)
        if not record:
            raise ResultsError(f"{self.folder}: {why_not_there(self.folder)}")
        return record

    @property
    def aims(self) -> str:
        """What the study is to find out, as it says; empty where it does not."""
        return str(self.study.get("aims", ""))

    @property
    def labels(self) -> dict[str, str]:
        """The words that stand for names, as the study gives them; see `Study`."""
        return dict(self.study.get("labels", {}))

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """One row per condition: its key and its factor values."""
        return self._frame("conditions")

    @cached_property
    def fits(self) -> pd.DataFrame:
        """One row per condition, replicate and method: how the fit ended."""
        return self._frame("fits")

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """One row per fit and estimand: truth, estimate, standard error."""
        return self._frame("estimates")

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """One row per fit, estimand and interval: its limits."""
        return self._frame("intervals")

    @cached_property
    def timings(self) -> pd.DataFrame:
        """One row per fit: the seconds it took."""
        return self._frame("timings")

    @cached_property
    def performance(self) -> pd.DataFrame:
        """One row per factor values, method, estimand, interval and measure."""
        return with_record(self._performance.to_pandas(), self.study)

    @cached_property
    def measures(self) -> Columns:
        """The columns of `performance` as arrays, by name."""
        # Not by `to_numpy`: it imports pandas, which a run with nothing missing can do without.
        kinds = {**dict.fromkeys(VALUES, float), **dict.fromkeys(COUNTS, int)}
        columns = self._performance.to_pydict()
        return {name: np.array(column, kinds.get(name, object)) for name, column in columns.items()}

    @cached_property
    def _performance(self) -> pa.Table:
        # Not by `pyarrow.parquet.read_table`, which imports pandas too.
        return self._table("performance", lambda file: pq.ParquetFile(file).read())

    @cached_property
    def endings(self) -> pd.DataFrame:
        """Addresses of fits that did not end well, of a study that keeps measures, not rows."""
        return self._frame("endings")

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """One row per factor values, method, reference, estimand, interval and measure."""
        return with_record(self._frame("comparisons"), self.study)

    @cached_property
    def fit_measures(self) -> pd.DataFrame:
        """As `performance`, of the numbers of the fits themselves: seconds and diagnostics.

        See `mcstudy.analysis.fit_measures.fit_measures`; empty where no rows are kept.
        """
        from mcstudy.analysis.fit_measures import fit_measures

        if self._keep == "measures":
            return self.performance.iloc[:0]
        return with_record(fit_measures(self._fit_numbers, self.conditions), self.study)

    @cached_property
    def _fit_numbers(self) -> pd.DataFrame:
        from mcstudy.analysis.fit_measures import fit_numbers

        taken = {*self.performance["measure"], *self.performance.columns}
        return fit_numbers(self.fits, self.timings, taken)

    def _table_of(self, measure: str) -> pd.DataFrame:
        """Return the table that has a measure: `performance`, or that of the fits."""
        known = set(self.performance["measure"])
        if not isinstance(measure, str) or measure in known or self._keep == "measures":
            return self.performance
        of_fits = levels_of(self.fit_measures, "measure")
        meant = suggestion(measure, of_fits)
        if measure not in of_fits and meant and not suggestion(measure, sorted(known)):
            raise ResultsError(f"no measure {measure!r}{meant}")
        return self.fit_measures if measure in of_fits else self.performance

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
        """Lay out measures as a table; see `mcstudy.table`.

        Measures of `comparisons`, like ``"bias_difference"``, are taken from there, and
        ``"seconds"`` and those of diagnostics from `fit_measures`.
        """
        from mcstudy.tables.table import table

        names = names_of(measure, "measure")
        of_fits = [name for name in names if self._table_of(name) is not self.performance]
        if 0 < len(of_fits) < len(names):
            raise ResultsError(
                f"{', '.join(of_fits)}: of the fits, and the other measures are of their answers; "
                "ask for them one after the other"
            )
        first = names[0]
        compared = first in {*COMPARISONS, *INTERVAL_COMPARISONS} or first.endswith(ENDINGS)
        compared = compared or first.startswith(f"{REJECTION}_difference")
        compared = compared and first not in set(self.performance["measure"])  # one of the study's
        frame = self.comparisons if compared else self._table_of(first)
        return table(
            frame, measure, rows=rows, columns=columns, where=where, level=level, format=format
        )

    def plot(self, name: str, **options: Any) -> Figure:
        """Return a figure, which a notebook shows: see `mcstudy.figures.figure` for the options.

        ``results.plot("coverage", x="n")`` shows a measure against a factor, and there are more
        by name: ``results.plot("zip")``. ``.save("zip.svg")`` writes it, ``.chart`` is Altair's.
        """
        from mcstudy.figures import Figure, figure

        measure = options.get("measure") or name
        shown = self
        if isinstance(measure, str) and (table := self._table_of(measure)) is not self.performance:
            shown = copy.copy(self)
            vars(shown)["performance"] = table
        return Figure(figure(shown, name, **options))

    def report(self, output: str | Path | None = None) -> Path:
        """Write the report, one HTML page; see `mcstudy.report.page.write_report`."""
        from mcstudy.report.page import write_report

        return write_report(self, output)

    def rows(self, table: str, conditions: Sequence[str]) -> pd.DataFrame:
        """Return the rows of a table under some conditions, given by their keys."""
        wanted = [("condition", "in", list(conditions))]
        found: pd.DataFrame = self._table(
            table, lambda file: pq.read_table(file, filters=wanted).to_pandas()
        )
        return found

    def compare(
        self,
        method: str,
        reference: str,
        *,
        where: Where = None,
        intervals: Sequence[str] | None = None,
    ) -> Comparison:
        """Compare two methods on the same data; see `mcstudy.comparison.paired.compare`."""
        from mcstudy.comparison.paired import compare

        self._check_pair(method, reference)
        pair, null, record = (method, reference), self.study.get("null"), self.study
        made = compare(
            self.folder, *pair, where=where, null=null, intervals=intervals, record=record
        )
        if intervals is None and (own := self.study.get("measures")):
            of_own = of_pair(self.comparisons, list(own), method, reference)
            made = made.with_rows(select(of_own, where))
        if not self._has_fits:
            return made
        return replace(made, fits=self._fit_comparisons(method, reference, where))

    def _fit_comparisons(self, method: str, reference: str, where: Where) -> pd.DataFrame:
        """Return how the numbers of the fits of two methods differ, where `where` leaves them."""
        from mcstudy.comparison.fit_comparisons import fit_comparisons

        factors = set(self.conditions.columns) - {"condition"}
        wanted = {name: of for name, of in wheres(where).items() if name in factors}
        conditions = select(self.conditions, wanted)
        made = fit_comparisons(self._fit_numbers, conditions, method, reference)
        return with_record(made, self.study)

    def contrast(
        self,
        factor: str,
        level: Any,
        reference: Any,
        *,
        measure: str | Sequence[str] | None = None,
        where: Where = None,
        ratio: bool = False,
    ) -> Contrast:
        """Compare two levels of a factor, or of ``"method"``, by any measure.

        See `mcstudy.comparison.contrast.contrast`.
        """
        from mcstudy.comparison.contrast import contrast

        return contrast(
            self.folder,
            self.performance,
            (factor, level, reference),
            measure=measure,
            where=where,
            ratio=ratio,
            record=self.study,
        )

    def extrapolated(self, name: str = "bootstrap", *, where: Where = None) -> pd.DataFrame:
        """Return coverage and width of bootstrap intervals at infinitely many resamples.

        See `mcstudy.analysis.bootstrap.extrapolated`; `table` of mcstudy lays it out.
        """
        from mcstudy.analysis.bootstrap import extrapolated

        made = extrapolated(self.estimates, self.intervals, self.conditions, name)
        return select(with_record(made, self.study), where)

    def equivalence(self, method: str, reference: str) -> Equivalence:
        """Show how far apart two methods are; see `mcstudy.comparison.equivalence.equivalence`."""
        from mcstudy.comparison.equivalence import equivalence

        self._check_pair(method, reference)
        return equivalence(self.folder, method, reference)

    def sensitivity(
        self,
        measure: str,
        *,
        where: Where = None,
        failed: Collection[str] = FAILED,
        level: float = 0.95,
    ) -> Sensitivity:
        """Rank methods with failures counted in three ways.

        See `mcstudy.comparison.sensitivity.sensitivity`.
        """
        from mcstudy.comparison.sensitivity import sensitivity

        self._check_rows()
        return sensitivity(
            self.folder, measure, where=where, failed=failed, level=level, record=self.study
        )

    def failure_overlap(self, *, where: Where = None, failed: Collection[str] = FAILED) -> Overlap:
        """Count how often methods fail together; `mcstudy.comparison.failures.failure_overlap`."""
        from mcstudy.comparison.failures import failure_overlap

        self._check_rows()
        select(self.performance, where)
        return failure_overlap(self.folder, where=where, failed=failed, record=self.study)

    def warnings(self, *, where: Where = None) -> pd.DataFrame:
        """Return the kinds of warnings, most frequent first.

        Parameters
        ----------
        where : mapping or str, optional
            Which conditions and methods; see `mcstudy.analysis.select.select`.

        Returns
        -------
        DataFrame
            method, message (numbers that differ are #), fits and the address of the first one:
            condition and replicate.
        """
        from mcstudy.comparison.failures import warning_kinds

        select(self.performance, where)
        rows = self._keep == "rows"
        # A diagnostic may have the name of a column of `endings`.
        fits = self.fits[list(BESIDE_DIAGNOSTICS)] if rows else self.endings
        return warning_kinds(self.folder, fits, where, self.study)

    def anova(self, measure: str, *, where: Where = None) -> Anova:
        """Show which factors drive a measure; see `mcstudy.comparison.anova.anova`."""
        from mcstudy.comparison.anova import anova

        common = self.study.get("streams") == "common"
        return anova(self._table_of(measure), measure, where=where, common=common)

    def adequacy(self) -> Adequacy:
        """Return whether the study itself is good enough for what is said from it.

        Returns
        -------
        Adequacy
            Checks, each with a verdict ("fine", "warning", "cannot be said") and a sentence: enough
            replicates for the differences between methods and for single cells, the precision that
            was asked for, missing standard errors and intervals, failures that could turn a
            ranking, dependence between successive replicates, outliers with the commands that
            replay them. What needs rows "cannot be said" with ``keep="measures"``.
        """
        from mcstudy.comparison.adequacy import adequacy

        self._check_state()
        ranked = partial(self.sensitivity, level=float(self.study.get("level") or LEVEL))
        return adequacy(self.folder, *self._compared, record=self.study, ranked=ranked)

    def checks_of_tables(self) -> list[Check]:
        """Return those checks of `adequacy` that read no rows, as `status` shows them."""
        from mcstudy.comparison.table_checks import table_checks

        return table_checks(*self._compared, self.study)

    @property
    def _compared(self) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """The tables of measures."""
        return self.performance, self.comparisons if self._keep == "rows" else None

    @property
    def unusable(self) -> list[str]:
        """A line for each method without a usable fit under a condition: where, and why."""
        self._check_state()
        return unusable(self.folder, self.measures)

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each table's file, of all that are a function of the study."""
        names = [name for name in TABLES_OF[self._keep] if name != "timings"]
        self._check_state()
        with ExitStack() as stack:
            opened = open_tables(self.folder, names, stack)
            return {name: hashlib.sha256(file.read()).hexdigest() for name, file in opened.items()}

    def _check_pair(self, method: str, reference: str) -> None:
        from mcstudy.comparison.paired import check_pair

        self._check_rows()
        check_pair(levels_of(self.performance, "method"), method, reference, self.labels)

    def _check_rows(self) -> None:
        if self._keep != "rows":
            raise ResultsError(
                f"{self.folder}: keeps {self._keep}, and what lies between fits needs rows; "
                "run the study with keep='rows' under another name"
            )
        self._check_state()

    @property
    def _keep(self) -> str:
        return str(self.study.get("keep", "rows"))

    def _frame(self, name: str) -> pd.DataFrame:
        import pandas as pd

        return self._table(name, pd.read_parquet)

    def _table(self, name: str, read: Callable[[Any], T]) -> T:
        if name not in TABLES_OF[self._keep]:
            raise ResultsError(
                f"{self.folder}: has no table '{name}', the study keeps {self._keep}; it has "
                f"{', '.join(TABLES_OF[self._keep])}"
            )
        with ExitStack() as stack:
            try:
                return read(open_tables(self.folder, [name], stack, self.study["tables"])[name])
            except OtherStateError:
                table = read(open_tables(self.folder, [name], stack)[name])
                self._check_state()
                return table

    def _check_state(self) -> None:
        """Go on with the tables that are there now; what was read of others is not to be mixed."""
        if read_record(self.folder).get("tables") == self.study["tables"]:
            return
        if not {*TABLES, "endings", "_performance"}.isdisjoint(self.__dict__):
            raise ResultsError(
                f"{self.folder}: a run has replaced the tables since they were opened here; "
                "open them again: open_results(folder)"
            )
        del self.__dict__["study"]

    @property
    def summary(self) -> str:
        """The measures that matter most and how the fits ended, as text: a screen at most."""
        return render(performance_summary(self.measures, self.study, beside=self._remarks), "text")

    def document(self, tables: str | None = None, *, verbose: bool = False) -> Document:
        """Return the summary and where the tables are.

        Parameters
        ----------
        tables : str, optional
            Where the tables are, in place of the folder.
        verbose : bool, default False
            Every cell, however many there are, in place of a screen.
        """
        place = f"Tables: {self.folder if tables is None else tables}"
        beside = [*self._remarks, Block(lines=[place])]
        if verbose and self._has_fits and len(self.fit_measures):
            beside = [self._fit_table(), *beside]
        made = performance_summary(self.measures, self.study, beside=beside, verbose=verbose)
        return replace(made, frames=[lambda: self.performance])

    @property
    def _has_fits(self) -> bool:
        """Whether there is a table of the fits: who removed it to save room has the measures."""
        return all((self.folder / f"{name}.parquet").exists() for name in ("fits", "timings"))

    def _fit_table(self) -> Block:
        """Return the mean of the seconds and of each diagnostic, by condition and method."""
        from mcstudy.tables.table import table

        means = self.fit_measures[~self.fit_measures["measure"].str.contains("_quantile|_median")]
        document = table(means, levels_of(means, "measure"), columns=["measure"]).document()
        block = next(block for block in document.blocks if isinstance(block, Block))
        heading = "Seconds and diagnostics of the fits: mean (Monte Carlo standard error)"
        return replace(block, heading=heading)

    @property
    def _remarks(self) -> list[Block]:
        """What is to be known of this kind of study."""
        remarks = []
        if self._keep == "measures":
            lost = (
                f"No rows are kept (keep='measures'): there is no {', '.join(NEED_ROWS)}, "
                "no measure of one's own and no comparison"
            )
            remarks.append(Block(lines=[lost]))
        if "precision" in self.study:
            wanted, most = self.study["precision"], self.study["max_replicates"]
            remarks.append(Block(lines=precision_lines(self.performance, wanted, most)))
        return remarks


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


def compare_runs(
    a: Any, b: Any, *, where: Where = None, alpha: float = 0.05, tolerance: float = 1e-9
) -> TwoRuns:
    """Compare every measure of two results folders, or of one and published numbers.

    Parameters
    ----------
    a, b : Results, path, or data frame
        The folders. Cells are matched by factors, method, estimand, interval and measure. One of
        the two may be a table of measures, in a CSV or Parquet file or any data frame: columns
        measure and value; factors, method, estimand and interval as far as they tell numbers
        apart; mcse, replicates and digits (the decimals of the value) where they are known.
    where : mapping or str, optional
        Which cells of both; see `mcstudy.analysis.select.select`.
    alpha : float, default 0.05
        Chance that anything is said to have moved if nothing has: each p-value is multiplied as
        Holm (1979, Scandinavian Journal of Statistics 6:65) has it.
    tolerance : float, default 1e-9
        A difference below this share of the value or of the replicates' spread is rounding.

    Returns
    -------
    TwoRuns

    Raises
    ------
    ResultsError
        If a folder has no tables, the two have no cell in common, or a table has a measure or
        level that the run lacks.
    TableError
        If a table cannot be read, or has no numbers where they are due.

    Notes
    -----
    z is the difference over its standard error. Where both runs saw the same data (the same seed,
    simulate, Python and numpy, or found out by equal estimates) the error is that of the paired
    differences by replicate, else of two independent runs; for shares never below that of half a
    replicate, so that 0 and 1 have one. The p-value is that of t with the smaller number of
    replicates less one.

    The error of a published number is its mcse, or else that of the run for as many replicates as
    it has, or else none; where digits are given, with that of rounding.
    """
    from mcstudy.comparison.runs import two_runs  # not above: it needs scipy.stats

    return two_runs(_run_of(a), _run_of(b), where=where, alpha=alpha, tolerance=tolerance)


def _run_of(given: Any) -> Results | Published:
    """Return opened results, or a table of published numbers."""
    from mcstudy.comparison.published import Published
    from mcstudy.external.published import is_table, read_published

    return Published(*read_published(given)) if is_table(given) else open_results(folder_of(given))
