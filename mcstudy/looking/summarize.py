"""The tables made anew from the parts that are there, while a run is going on too."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from mcstudy.loading import load_study
from mcstudy.results import Results
from mcstudy.runs.summary import Wishes, write_measures, write_rows
from mcstudy.stored.holding import Holding
from mcstudy.stored.parts import DamagedError


def summarize(results: Results | str | Path) -> Results:
    """Make the tables anew from what is stored, without the study file.

    While a run is at work the folder is its own: the tables then go to a temporary folder, which
    is gone when this process ends.

    Parameters
    ----------
    results : Results or path
        ``results/<study name>``.

    Returns
    -------
    Results
        Of the folder itself, or of the temporary one.

    Raises
    ------
    ResultsError
        If the folder holds no record of a run.
    """
    holding = Holding.of(results.folder if isinstance(results, Results) else Path(results))
    if not holding.store.busy:
        with holding.store.locked():
            holding.store.write_record({**holding.record, "made_of": None})
            _make(holding, holding.folder)
        return Results(holding.folder)
    folder = Path(tempfile.mkdtemp(prefix=f"mcstudy-{holding.record['name']}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copy(holding.folder / "study.json", folder)
    _make(holding, folder)
    return Results(folder)


def _make(holding: Holding, folder: Path) -> None:
    """Write the tables without what is damaged; whoever holds the folder sets that aside."""
    damaged: set[Path] = set()
    whole = False
    while not whole:
        # Read anew each time: a run at work may have joined parts meanwhile.
        stored = {
            condition: [item for item in items if item.head.path not in damaged]
            for condition, items in holding.stored().items()
        }
        try:
            write_rows(folder, stored, holding.truths, holding.facts)
            whole = True
        except DamagedError as error:
            damaged.add(error.path)
    if holding.facts["keep"] == "rows":
        write_measures(folder, holding.facts, _wishes(holding))


def _wishes(holding: Holding) -> Wishes:
    """Return what the record says; measures of the user's own need the study file, if it is there.

    Without it they are missing.
    """
    record = holding.record
    wishes = Wishes({}, record["null"], record["reference"], record.get("precision"))
    path = record.get("study_file")
    if not record.get("measures") or path is None or not Path(path).is_file():
        return wishes
    return replace(wishes, measures=load_study(path).measures)
