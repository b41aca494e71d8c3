"""The tables made anew from the parts that are there, while a run is going on too."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from mcstudy.arguments import counted
from mcstudy.errors import ResultsError
from mcstudy.execution.refresh import LEFT, Extent, extent_of, lost
from mcstudy.execution.tables import MeasureOptions, make_tables
from mcstudy.loader import check_name, load_study, recorded_study
from mcstudy.measure import LEVEL, alphas_of
from mcstudy.results import Results, folder_of, open_results
from mcstudy.storage.folder import RecordedStudy
from mcstudy.storage.manifest import Stored
from mcstudy.storage.parts import DamagedError
from mcstudy.storage.store import Store
from mcstudy.storage.table_set import made_apart, put_in_places
from mcstudy.study import Study


def summarize(
    results: Results | str | Path,
    *,
    study: Study | str | Path | None = None,
    trust: bool = False,
) -> Results:
    """Make the tables anew from what is stored.

    The study is needed only where it has measures of its own, which are functions in its file.
    While a run is at work the folder is its own: the tables then go to a temporary folder, which
    is gone when this process ends.

    Parameters
    ----------
    results : Results or path
        ``results/<study name>``.
    study : Study or path, optional
        The study, or its file, if that is not where it was.
    trust : bool, default False
        Run the study file that the results name, for measures of its own. It is Python code,
        chosen by whoever made the results.

    Returns
    -------
    Results
        Of the folder itself, or of the temporary one.

    Raises
    ------
    ResultsError
        If the folder holds no record of a run, or no rows; if its tables rest on more than is
        stored by now, and are not deleted; if its study has measures of its own and cannot be
        found, or is not trusted.
    """
    where = folder_of(results)
    recorded = RecordedStudy.of(where)
    measure_options = _measure_options(recorded, study, trust)
    if not recorded.store.busy:
        # A lock of its own: what `recorded` finds damaged is left where it is.
        with Store(recorded.folder).locked(for_tables=True):
            # Anew: a run may have worked here until now.
            _make(replace(recorded, record=recorded.store.record), recorded.folder, measure_options)
        return Results(recorded.folder)
    folder = Path(tempfile.mkdtemp(prefix=f"mcstudy-{recorded.folder.name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _make(recorded, folder, measure_options)
    return Results(folder)


def results_now(results: Results | str | Path) -> Results:
    """Return what there is by now, for figures and reports: the tables, or newer ones of a run.

    While a run is at work its rows are measured in a temporary folder; where that cannot be done,
    the tables that are there are taken.
    """
    where = folder_of(results)
    try:
        if RecordedStudy.of(where).store.busy:
            return summarize(where)
    except ResultsError:
        if not (where / "performance.parquet").exists():
            raise
    return open_results(where)


def _make(recorded: RecordedStudy, folder: Path, measure_options: MeasureOptions) -> None:
    """Write the tables without what is damaged, unless better ones are there."""
    damaged: set[Path] = set()
    made_of: Stored | None = None
    with made_apart(folder) as made:
        while made_of is None:
            # Read anew each time: a run at work may have joined parts meanwhile.
            stored = {
                condition: [part for part in parts if part.path not in damaged]
                for condition, parts in recorded.stored().items()
            }
            _check_better(recorded, folder, extent_of(stored), damaged)
            try:
                make_tables(made, stored, recorded.truths, recorded.facts, measure_options)
                made_of = stored
            except DamagedError as error:
                damaged.add(error.path)
        checksums = put_in_places(made, folder)
    written = {"made_of": None, "tables": checksums, "counts": extent_of(made_of)}
    Store(folder).write_record({**recorded.record, **written})


def _check_better(
    recorded: RecordedStudy, folder: Path, extent: Extent, damaged: set[Path]
) -> None:
    """Raise ResultsError where tables would be replaced by poorer ones, or there are no rows."""
    words = lost(recorded.record.get("counts", {}), extent)
    if words and (folder / "performance.parquet").exists():
        count = len(damaged.union(recorded.store.damaged()))
        words += f" ({counted(count, 'damaged part')})" if count else ""
        raise ResultsError(f"{folder}: {words}; {LEFT}")
    if not extent:
        raise ResultsError(f"{recorded.folder}: holds no rows of its study, so no tables are made")


def _measure_options(
    recorded: RecordedStudy, given: Study | str | Path | None, trust: bool
) -> MeasureOptions:
    """Return what the record says; measures of the user's own need the study."""
    record, folder = recorded.record, recorded.folder
    measure_options = MeasureOptions(
        {},
        record["null"],
        record["reference"],
        record.get("precision"),
        alphas_of(record.get("alpha"), record.get("level", LEVEL)),
    )
    if not (names := record["measures"]):
        return measure_options
    if given is not None:
        study = given if isinstance(given, Study) else load_study(given)
        check_name(folder, record, study)
    else:
        if record["study_file"] is None:
            raise ResultsError(
                f"{folder}: its study was made in a session and has measures of its own, "
                f"{', '.join(names)}; call mcstudy.summarize(..., study=study) there"
            )
        study = recorded_study(folder, record, '--study FILE (study="FILE")', trust=trust)
    return replace(measure_options, measures=study.measures)
