"""The tables made anew from the parts that are there, while a run is going on too."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from mcstudy.results import Results
from mcstudy.runs.summary import write_summary
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
            _make(holding, holding.folder)
        return Results(holding.folder)
    folder = Path(tempfile.mkdtemp(prefix=f"mcstudy-{holding.record['name']}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copy(holding.folder / "study.json", folder)
    _make(holding, folder)
    return Results(folder)


def _make(holding: Holding, folder: Path) -> None:
    """Write the tables without what is damaged; whoever holds the folder sets that aside."""
    stored = holding.stored()
    while True:
        try:
            write_summary(folder, stored, holding.truths, holding.facts)
        except DamagedError as error:
            stored = {
                condition: [item for item in items if item.head.path != error.path]
                for condition, items in stored.items()
            }
        else:
            return
