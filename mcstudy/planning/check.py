"""`check`: is the study right? Everything that is wrong with it, before the long run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from mcstudy.arguments import check_seconds, counted
from mcstudy.errors import StudyError
from mcstudy.loader import as_study, neighbours_forgotten
from mcstudy.planning.dry_run import try_out
from mcstudy.planning.oracle import OracleComparison, compare_with_oracle
from mcstudy.storage.provenance import method_marks, take_as_unchanged
from mcstudy.study import Study
from mcstudy.tables.document import Block, Document
from mcstudy.tables.formats import Printed

GATE_SECONDS = 5.0  # for the oracle: a wait that nobody minds each time a study is edited


@dataclass(frozen=True)
class Check(Printed):
    """What a check found.

    Parameters
    ----------
    name : str
        Of the study.
    tried : str
        How much was tried, in words.
    problems : list of str
        What must be fixed, a line each.
    notes : list of str
        What is odd but may be meant.
    oracle : OracleComparison, optional
        The comparison with the oracle, where there is one.
    """

    name: str
    tried: str
    problems: list[str]
    notes: list[str]
    oracle: OracleComparison | None

    @property
    def clean(self) -> bool:
        """Whether nothing must be fixed."""
        return not self.problems

    def document(self) -> Document:
        """Return problems, notes, the worst cells beside the oracle, and the verdict."""
        found = [("problem", text) for text in self.problems]
        found += [("note", text) for text in self.notes]
        lines = [f"{kind}: {text}" for kind, text in found]
        frames = [pd.DataFrame(found, columns=["kind", "text"])]
        if self.oracle is not None:
            lines += self.oracle.lines()
            frames.append(self.oracle.cells)
        count = len(self.problems)
        cure = f"{counted(count, 'problem')}; fix {'it' if count == 1 else 'them'}, then run"
        lines.append(cure if count else "no problems")
        block = Block(f"{self.name}: {self.tried}", lines=lines)
        return Document(blocks=[block], frames=frames)


@neighbours_forgotten()
def check(study: Study | str | Path, *, seconds: float = GATE_SECONDS) -> Check:
    """Try one replicate of every condition and method, and compare with the oracle if there is one.

    Nothing is stored.

    Parameters
    ----------
    study : Study or path
        A study, or the path of a study file.
    seconds : float, default 5
        How long replicates are run for the comparison with the oracle, in all.

    Raises
    ------
    StudyError
        If there is no study: the file does not run, or `Study` refuses its arguments.
    """
    check_seconds(seconds)
    study = as_study(study)
    marks = method_marks(study)
    with threadpool_limits(1):
        trial = try_out(study)
        problems, compared = trial.lines("problem"), None
        try:
            if study.labels and not problems:
                truths = [study.estimands_of(condition) for condition in study.conditions]
                names = {name for of in truths for name in of}
                study.check_labelled(names if study.estimands else None)
            if study.oracle is not None and not problems:
                compared = compare_with_oracle(study, seconds)
        except StudyError as error:
            problems.append(str(error).removeprefix(f"{study.name}: "))
    take_as_unchanged(study, marks)
    if compared is not None and (off := int(compared.cells["off"].sum())):
        problems.append(
            f"{off} of {len(compared.cells)} cells are not what the oracle knows (see below)"
        )
    conditions = counted(len(study.conditions), "condition")
    tried = f"{conditions} x {counted(len(study.methods), 'method')}, one replicate each"
    return Check(study.name, tried, problems, trial.lines("note"), compared)
