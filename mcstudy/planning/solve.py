"""`solve`: the level of a factor at which a measure reaches a target, with its confidence limits.

A few levels spread over the range show where the target lies; then pairs of levels around the root
of the curve that fits them are run, with more replicates each time, until the limits are as narrow
as wanted. Every replicate is stored as in a run, so that another call goes on from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mcstudy.analysis.select import Where
from mcstudy.arguments import counted, is_number, short
from mcstudy.errors import StudyError
from mcstudy.loader import as_study
from mcstudy.planning.level_search import LevelSearch
from mcstudy.study import Study
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import Printed
from mcstudy.tables.numbers import number_with_error

if TYPE_CHECKING:
    from mcstudy.figures import Figure

MOST = 200_000
"""Replicates in all, where nobody says: a share of one half has an error of .001 from these."""
WIDTH = 0.05
"""Of the confidence limits, as a share of the level, where nobody says."""
_FIRST = 500  # replicates of a level to begin with, at most: they only show where to look
_MOST_STEPS = 25
_MOST_TIMES = 100.0  # wider than wanted: limits may be infinite at first


@dataclass(frozen=True)
class Solution(Printed):
    """The level of a factor at which a measure reaches a target; ``str`` shows it.

    Parameters
    ----------
    factor, measure : str
        Which.
    target : float
        What the measure is to reach.
    cell : str
        Method, estimand and the other factors, in words.
    level, lower, upper : float
        The level, by a curve through all that was run, and its 95 % confidence limits.
    is_whole : bool
        Whether levels are whole numbers; `smallest` is the first that reaches the target then.
    rises : bool
        Whether the measure rises with the level.
    wanted : float
        How wide the limits were to be.
    frame : DataFrame
        By level what was measured, ``value``, ``mcse``, ``lower``, ``upper``, ``used``.
    path : DataFrame
        By step the replicates so far, the level and its limits.
    """

    factor: str
    measure: str
    target: float
    cell: str
    level: float
    lower: float
    upper: float
    is_whole: bool
    rises: bool
    wanted: float
    frame: pd.DataFrame
    path: pd.DataFrame

    @property
    def found(self) -> bool:
        """Whether the limits are as narrow as wanted."""
        return self.upper - self.lower <= self.wanted

    @property
    def smallest(self) -> int | None:
        """The whole level next to the root at which the target is reached; None of other levels.

        It is the smallest one where the measure rises towards a target that is to be passed.
        """
        return math.ceil(self.level - 1e-9) if self.is_whole else None

    def document(self) -> Document:
        """Return the answer, and what was measured at each level."""
        digits = max(0, 2 - math.floor(math.log10(max(self.upper - self.lower, 1e-300))))
        digits = min(digits, 6)
        level, lower, upper = (f"{x:.{digits}f}" for x in (self.level, self.lower, self.upper))
        said = f"{self.measure} = {self.target:g} at {self.factor} = {level} [{lower}, {upper}]"
        if self.smallest is not None:
            said += f", so at {self.factor} = {self.smallest}"
        heads = [self.factor, self.measure, "replicates"]
        rows = [
            [
                f"{row['level']:g}",
                number_with_error(row["value"], row["mcse"], row["lower"], row["upper"]),
                f"{row['used']}",
            ]
            for row in self.frame.to_dict("records")
        ]
        total = int(self.path["replicates"].iloc[-1])
        notes = [f"{self.cell}; {counted(total, 'replicate')}; [a, b]: 95 % confidence limits"]
        if not self.found:
            notes.append(
                f"the limits are wider than wanted, {self.wanted:.3g}: call it again with more "
                "replicates (most)"
            )
        block = Block(grid=Grid(heads, rows, labels=1))
        return Document(said, [block], notes, [self.frame, self.path])

    def plot(self) -> Figure:
        """Return the figure: what was measured, the target, the level with its limits."""
        from mcstudy.figures import Figure
        from mcstudy.figures.solution import solution_figure

        return Figure(solution_figure(self))


def solve(
    study: Study | str | Path,
    factor: str,
    measure: str,
    target: float,
    *,
    between: tuple[float, float] | None = None,
    where: Where = None,
    width: float | None = None,
    replicates: int | None = None,
    most: int = MOST,
    results: str | Path = "results",
    jobs: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> Solution:
    """Find the level of a numeric factor at which a measure reaches a target.

    Parameters
    ----------
    study : Study or path
        A study, or the path of a study file.
    factor : str
        A factor whose levels are numbers. If all of them are whole, only whole levels are run.
    measure : str
        Of `performance`. It should rise or fall over the range.
    target : float
        What it is to be.
    between : (float, float), optional
        The range of levels; the smallest and the largest one of the study by default.
    where : mapping or str, optional
        Levels of the other factors, method, estimand and interval, so that there is one number at
        each level of the factor.
    width : float, optional
        How wide the 95 % confidence limits of the level may be; 5 % of the level by default.
    replicates : int, optional
        Of each level in the first step; the study's own number, at most 500, by default.
    most : int, default 200_000
        Replicates in all, at which it stops in any case.
    results : path, default "results"
        Rows are stored in the folder ``NAME.solve`` in there.
    jobs : int, optional
        Worker processes, as in `run`.
    tell : callable, optional
        Hears of each step, in a line.

    Returns
    -------
    Solution

    Raises
    ------
    StudyError
        For a factor, range or number that cannot be used.
    ResultsError
        If there are several numbers at a level, or the target is not reached in the range.
    """
    study = as_study(study)
    search = LevelSearch.of(study, factor, measure, target, between, where, results, jobs)
    if width is not None and not (is_number(width) and width > 0):
        raise StudyError(f"solve: width is {short(width)}; give a number above 0")
    first = min(study.replicates, _FIRST) if replicates is None else replicates
    if not isinstance(first, int) or first < 2 or not isinstance(most, int) or most < first:
        raise StudyError(
            f"solve: replicates is {short(first)} and most is {short(most)}; give whole numbers, "
            "of which the second is not smaller"
        )
    steps = _steps(search, first, most, width, tell)
    last = steps[-1]
    return Solution(
        factor,
        measure,
        float(target),
        search.cell,
        last["level"],
        last["lower"],
        last["upper"],
        search.is_whole,
        search.points[-1].value >= search.points[0].value,
        WIDTH * last["level"] if width is None else float(width),
        search.frame(),
        pd.DataFrame(steps),
    )


def _steps(
    search: LevelSearch,
    first: int,
    most: int,
    width: float | None,
    tell: Callable[[str], None] | None,
) -> list[dict[str, float]]:
    """Run levels around the root until its limits are as narrow as wanted; return each root."""
    steps: list[dict[str, float]] = []
    levels, count = search.first_levels(), first
    for step in range(_MOST_STEPS):
        search.run(levels, count)
        root, total = search.root(), search.total
        if root is None or not search.low / 2 <= root.level <= search.high * 2:
            if total >= most or step > 3:
                raise search.not_reached()
            levels, count = search.first_levels(), 2 * count
            continue
        level, lower, upper, _ = root
        steps.append({"replicates": total, "level": level, "lower": lower, "upper": upper})
        if tell is not None:
            tell(f"{total} replicates: {search.factor} = {level:.4g} [{lower:.4g}, {upper:.4g}]")
        wanted, left = WIDTH * level if width is None else width, most - total
        if (upper - lower <= wanted and step) or left < 2:
            break
        levels = search.next_levels(root)
        # The width falls with the root of the replicates: not more at once than it may take.
        times = min((upper - lower) / wanted, _MOST_TIMES)
        need = total * times**2 - total
        share = math.ceil(max(need, first) / len(levels))
        count = max(2, min(share, 2 * max(total // len(levels), first), left // len(levels)))
    if not steps:
        raise search.not_reached()
    return steps
