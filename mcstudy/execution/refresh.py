"""Parts to tables, whenever they are asked for: joins what is small, writes what has changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from mcstudy.arguments import counted
from mcstudy.errors import ResultsError
from mcstudy.execution.progress import Progress
from mcstudy.execution.scheduler import covered
from mcstudy.execution.tables import MeasureOptions, make_tables
from mcstudy.storage.compaction import WORTHWHILE, compact
from mcstudy.storage.export import MEASURED, TABLES_OF, tables_of_rows
from mcstudy.storage.manifest import Stored
from mcstudy.storage.parts import DamagedError
from mcstudy.storage.store import Store
from mcstudy.storage.study_record import StudyRecord
from mcstudy.storage.table_set import are_those, made_apart, put_in_places


def update_tables(study_record: StudyRecord, progress: Progress | None = None) -> bool:
    """Make the tables, unless they are those of the stored parts already; all change at once.

    Parameters
    ----------
    study_record : StudyRecord
        The study and its stored rows.
    progress : Progress, optional
        Is told which of the study's own measures raise, and of tables that stay as they are because
        they rest on more than is stored; left out while a run is under way.

    Returns
    -------
    bool
        False if a part turned out to be damaged; it is set aside and its replicates miss.

    Raises
    ------
    ResultsError
        Where nothing is stored.
    """
    try:
        compact(study_record.store, fewest=WORTHWHILE if progress is None else 2)
        if _update(study_record, progress) or progress is None:
            return True
    except DamagedError as error:
        study_record.store.set_aside(error.path)
        _set_damaged_aside(study_record.store)
        return False
    # Nothing has read the parts, so a damaged one would stay unknown until it is needed.
    return not _set_damaged_aside(study_record.store)


def _set_damaged_aside(store: Store) -> bool:
    """Set aside the parts that are not what was written; return whether there were any."""
    damaged = store.damaged()
    for path in damaged:
        store.set_aside(path)
    return bool(damaged)


def _update(study_record: StudyRecord, progress: Progress | None) -> bool:
    """Make the tables; return False where they are those of the stored parts already."""
    folder, keep = study_record.store.folder, study_record.study.keep
    stored = study_record.stored()
    made_of = study_record.tables_digest(stored)
    measured_of = study_record.measures_digest(made_of)
    has_rows = study_record.made_of == made_of and are_those(
        folder, tables_of_rows(keep), study_record.tables
    )
    measured = keep == "measures" or study_record.measured_of == measured_of
    others = set(TABLES_OF[keep]) - set(tables_of_rows(keep))
    if has_rows and measured and are_those(folder, others, study_record.tables):
        return False
    extent = extent_of(stored)
    if not _may_replace(study_record, extent, progress):
        return True
    with made_apart(folder) as made:
        failures = make_tables(
            made,
            stored,
            study_record.truths,
            study_record.facts(),
            MeasureOptions.of(study_record.study),
            of_rows=not has_rows,
        )
        checksums = put_in_places(made, folder)
    study_record.tables = {**study_record.tables, **checksums}
    study_record.made_of, study_record.extent = made_of, extent
    study_record.measured_of = None if failures else measured_of
    study_record.write()
    if progress is not None:
        for text in failures:
            progress.say(f"Note: {text}")
    return True


def say_repaired(study_record: StudyRecord, progress: Progress) -> None:
    """Say that `study.json` could not be used, if so; it is made anew."""
    if study_record.repaired:
        record = study_record.store.folder / "study.json"
        progress.say(
            f"Note: {record}: {study_record.repaired}; it is made anew, and moved to "
            f"{record.parent / 'parts' / 'damaged'}; what it told of earlier runs is lost"
        )


def _may_replace(study_record: StudyRecord, extent: Extent, progress: Progress | None) -> bool:
    """Return whether tables that rest on `extent` may replace those that there are."""
    folder = study_record.store.folder
    there = any((folder / f"{name}.parquet").exists() for name in MEASURED)
    words = lost(study_record.extent, extent) if there else ""
    if progress is None:
        known = bool(study_record.tables) or not there
        return bool(extent) and known and not words
    if not extent:
        raise ResultsError(
            f"{folder}: holds no rows of {study_record.study.name}: no tables are made"
        )
    if words:
        progress.say(f"Note: {words}; {LEFT}")
    return not words


LEFT = (
    "the tables stay as they are. Run the study again with all its methods and as many replicates "
    "to compute what is gone, or delete the tables first to have them of what is left"
)


Extent: TypeAlias = dict[str, dict[str, int]]


def extent_of(stored: Stored) -> Extent:
    """Return the number of replicates by condition and method."""
    return {
        condition.key: {
            method: covered(parts, method, 0)[0]
            for method in sorted({part.method for part in parts})
        }
        for condition, parts in stored.items()
        if parts
    }


def lost(before: Extent, now: Extent) -> str:
    """Say in words what tables of `before` rest on and those of `now` would not, if anything."""
    cells = list(_lost(before, now))
    if not cells:
        return ""
    condition, method, had, has = cells[0]
    more = f", and likewise in {counted(len(cells) - 1, 'more cell')}" if len(cells) > 1 else ""
    return (
        f"the tables rest on {had} replicates of '{method}' at {condition}, of which only {has} "
        f"are stored{more}"
    )


def _lost(before: Extent, now: Extent) -> Iterator[tuple[str, str, int, int]]:
    for condition, methods in before.items():
        for method, had in methods.items():
            if (has := now.get(condition, {}).get(method, 0)) < had:
                yield condition, method, had, has
