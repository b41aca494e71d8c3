"""`import_replicates`: replicates that were simulated elsewhere, to a folder of results."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcstudy.arguments import as_path
from mcstudy.errors import ResultsError, StudyError
from mcstudy.execution.progress import Progress
from mcstudy.execution.refresh import update_tables
from mcstudy.external.columns import Truth
from mcstudy.external.replicates import Imported, read_replicates
from mcstudy.grid import Condition, Grid
from mcstudy.measure import LEVEL
from mcstudy.results import Results
from mcstudy.storage.parts import Head, new_part, rows_of
from mcstudy.storage.store import Store
from mcstudy.storage.study_record import StudyRecord
from mcstudy.study import Study

_MOST_NOTES = 5
SEED = 0  # of no meaning: nothing is drawn here


def import_replicates(
    data: Any,
    results: str | Path = "results",
    *,
    name: str,
    by: Sequence[str] | str = (),
    columns: Mapping[str, str] | None = None,
    truth: Truth = None,
    own_truths: bool = False,
    null: float | Mapping[str, float] | None = None,
    alpha: float | Sequence[float] | None = None,
    level: float | None = LEVEL,
    reference: str | None = None,
    measures: Mapping[str, Callable[..., Any]] | None = None,
    aims: str = "",
    labels: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Results:
    """Make a folder of results from any table of replicates, with all that results can do.

    Parameters
    ----------
    data : data frame or path
        As in `performance`: a row for each replicate, by method and estimand or with columns for
        them.
    results : path, default "results"
        The folder `name` is made in there.
    name : str
        Of the study.
    by : sequence of str, or str, optional
        The columns of factors; a text has commas between them.
    columns : mapping of str to str, optional
        The column of each role that has another name than its role: method, estimand, replicate,
        estimate, std_error, lower, upper, p_value, truth, status, seconds. Without a method or an
        estimand there is one, an estimand that is called as the column of its estimates; without a
        replicate rows are counted in their order. In a wide table the name is a pattern,
        ``{"estimate": "b_{method}", "lower": "low_{method}_{interval}"}``, of ``{method}``,
        ``{estimand}`` and ``{interval}``.
    truth : float, str or mapping, optional
        The true value, the column that has it, or true values by the levels of a factor or by
        estimand, ``{"estimand": {"slope": 1.0, "intercept": 0.0}}``. By default the column truth
        if there is one; else there are no true values.
    own_truths : bool, default False
        Whether each replicate has a true value of its own, in a column.
    null, alpha, level, reference, measures, aims, labels
        As in a `Study`.
    quiet : bool, default False
        Print nothing.

    Returns
    -------
    Results
        A status of a fit is that of its column (a word of `Status`, or true and false for fits that
        converged or not), else ``ok`` with finite estimates and ``not_finite`` without. Where a
        method lacks a row of a replicate that others have, the fit counts as ``not_finite``.

    Raises
    ------
    TableError
        For a table that cannot be used.
    StudyError
        For a name, a null value or the like that cannot be used.
    ResultsError
        If the folder already exists.
    """
    folder = as_path(results, "results")
    imported = read_replicates(data, by, columns, truth, own_truths=own_truths)

    def estimands(**factors: Any) -> dict[str, float]:
        """They were given with the replicates."""
        return imported.truths.get(Condition(factors), {})

    study = Study(
        name=name,
        simulate=simulated_elsewhere,
        estimands=estimands if imported.truths else None,
        methods={method: fitted_elsewhere for _, method in imported.answers},
        conditions=Grid(tuple(imported.conditions)),
        replicates=max(answers.count for answers in imported.answers.values()),
        seed=SEED,
        null=null,
        alpha=alpha,
        level=level,
        reference=reference,
        measures=measures or {},
        aims=aims,
        labels=labels or {},
    )
    progress = Progress(quiet)
    store = Store(folder / study.name)
    if os.path.lexists(store.folder):
        raise ResultsError(f"{store.folder}: already exists; give another name, or delete it")
    study_record = StudyRecord(study, store)  # refuses what it must before the folder is made
    with store.locked():
        _store(study_record, imported, _origin(data))
        while not update_tables(study_record, progress):
            pass
        study_record.close(study.replicates, 0, 0)
    for line in imported.notes[:_MOST_NOTES]:
        progress.say(f"Note: {line}")
    if len(imported.notes) > _MOST_NOTES:
        progress.say(f"Note: {len(imported.notes) - _MOST_NOTES} more such notes")
    made = Results(store.folder)
    for line in made.unusable:
        progress.say(f"Note: {line}")
    return made


def simulated_elsewhere(rng: Any, **factors: Any) -> Any:
    """The data were simulated elsewhere."""  # noqa: D401 - said of the study, in its protocol
    raise StudyError("the replicates were imported; there is nothing here that simulates them")


def fitted_elsewhere(data: Any) -> Any:
    """The fits were made elsewhere."""  # noqa: D401 - said of the method, in its protocol
    raise StudyError("the replicates were imported; there is nothing here that fits them")


def _origin(data: Any) -> dict[str, str]:
    """Return when a table of replicates was imported, and which file it was."""
    origin = {"date": datetime.now(UTC).date().isoformat()}
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        origin["file"] = path.name
        if path.is_file():
            with path.open("rb") as file:
                origin["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return origin


def _store(study_record: StudyRecord, imported: Imported, origin: dict[str, str]) -> None:
    goals: dict[str, int] = {}
    for (condition, method), answers in imported.answers.items():
        goals[condition.key] = answers.count
        head = Head(condition.key, method, 0, answers.count, study_record.marks[method])
        study_record.store.add(new_part(rows_of(answers, 0), head))
    study_record.asked = {
        "replicates": study_record.study.replicates,
        "methods": sorted(study_record.study.methods),
        "goals": goals,
        "imported": origin,
    }
