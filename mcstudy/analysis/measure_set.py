"""All that a study wants measured of a cell: the built-in measures, and those of its own."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mcstudy.analysis.custom import Custom
from mcstudy.analysis.mcse import wilson
from mcstudy.analysis.measures import (
    INTERVAL_MEASURES,
    MEASURES,
    NEED_STD_ERROR,
    NEED_TRUTH,
    Cell,
)
from mcstudy.analysis.normal_theory import NORMAL_MCSE
from mcstudy.analysis.simulated_truth import with_error_of_truth
from mcstudy.measure import (
    MISSING,
    REJECTION,
    WITHOUT_TRUTH,
    Measured,
    alphas_of,
    rejection_at,
)
from mcstudy.simulation.call import attempt, in_words
from mcstudy.simulation.validation import TEST


def measured(measure: str, cell: Cell, *, normal: bool = False) -> Measured:
    """Return a built-in measure of a cell; with `normal` its MCSE is the published formula's."""
    of = MEASURES.get(measure) or INTERVAL_MEASURES[measure]

    def measure_of(cell: Cell) -> Measured:
        answer = of(cell)
        if normal and measure in NORMAL_MCSE and answer.used:
            limits = wilson(answer.value, answer.used) if answer.limits else None
            return answer._replace(mcse=NORMAL_MCSE[measure](cell, answer), limits=limits)
        return answer

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if measure in NEED_TRUTH:
            return with_error_of_truth(measure_of, cell)
        return measure_of(cell)


@dataclass
class MeasureSet:
    """Measures cells, and remembers which of the user's measures raised."""

    own: list[Custom] = field(default_factory=list)
    alphas: Sequence[float] = alphas_of(None, None)
    normal: bool = False
    _failed: dict[str, list[str]] = field(default_factory=dict)

    def at(self, levels: Mapping[str, Any]) -> MeasureSet:
        """Return the same for a condition, whose levels the user's measures may ask for."""
        if not any(custom.factors for custom in self.own):
            return self
        return replace(self, own=[custom.at(levels) for custom in self.own])

    def of(
        self, cell: Cell, kind: str, estimand: str | None = None, where: str = ""
    ) -> Iterator[tuple[str, Measured]]:
        """Yield name and value of the measures of a cell, the user's last.

        The kind is "" for measures of estimates, "interval", or `TEST`, as `Custom.kind`; `where`
        says in words where the cell is, for a measure that raises.
        """
        yield from self.built_in(cell, kind)
        yield from self.own_of(cell, kind, estimand, where)

    def built_in(self, cell: Cell, kind: str) -> Iterator[tuple[str, Measured]]:
        """Yield name and value of the built-in measures of a cell, or of a stack of cells."""
        if kind == TEST:  # how often it rejects, at each level
            for name, alpha in rejection_at(self.alphas).items():
                yield name, measured(REJECTION, replace(cell, alpha=alpha), normal=self.normal)
            return
        absent = frozenset[str]() if cell.has_truth else NEED_TRUTH
        if kind == "interval":
            names = [*INTERVAL_MEASURES]
            absent |= {"rejection"} if np.isnan(cell.null).any() else set()
        else:
            names = [name for name in MEASURES if name not in WITHOUT_TRUTH]
        if kind == "" and not cell.has_truth:
            names = [*WITHOUT_TRUTH, *names]
            absent |= {measure.name for measure in self.own}
            absent |= set() if np.isfinite(cell.std_error).any() else NEED_STD_ERROR
        for name in names:
            if name not in absent:
                yield name, measured(name, cell, normal=self.normal)

    def own_of(
        self, cell: Cell, kind: str, estimand: str | None, where: str
    ) -> Iterator[tuple[str, Measured]]:
        """Yield name and value of the user's measures of a cell; those that raise are missing."""
        for measure in self.own:
            if measure.kind == kind and measure.estimand in (None, estimand):
                step = functools.partial(with_error_of_truth, measure, cell.as_given or cell)
                outcome = attempt(step, None)
                if outcome.exception is not None:
                    text = f"{where}: {in_words(outcome.exception)}"
                    self._failed.setdefault(measure.name, []).append(text)
                yield measure.name, outcome.value or MISSING

    def failures(self) -> list[str]:
        """Return in a line for each of the user's measures that raised where that was, and why."""
        return [
            f"measure '{name}' fails in {len(texts)} cell{'s' * (len(texts) > 1)} and is missing "
            f"there; first: {texts[0]}"
            for name, texts in self._failed.items()
        ]
