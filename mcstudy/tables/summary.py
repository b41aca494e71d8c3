"""Measures to what ends a run: the worst of each method and estimand, and how the fits ended."""

from __future__ import annotations

import bisect
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from mcstudy.analysis.select import (
    Columns,
    at,
    factor_columns,
    in_order,
    levels_by_row,
    method_order,
)
from mcstudy.arguments import cut
from mcstudy.columns import COUNTS, VALUES, WARNED, WARNED_MEANING
from mcstudy.labels import Labels, label
from mcstudy.measure import BUILT_IN, LEVEL, REJECTION, alphas_of
from mcstudy.method import Status
from mcstudy.simulation.validation import TEST
from mcstudy.storage.export import null_hypotheses
from mcstudy.tables.document import Block, Document, Grid
from mcstudy.tables.formats import text
from mcstudy.tables.numbers import (
    BOUNDS_MEANING,
    FEW_MISSING,
    bounds_in_words,
    coverage_bounds,
    number_with_error,
)

SCREEN = 40
"""Lines that a short summary has at most, in a terminal of any usual width."""
_MOST_ROWS = (16, 12, 10, 8, 6, 4, 2)
"""Of each table in a short summary; the first with which all of it is a screen."""
_MOST_COLUMNS = 5  # measures of a table; a terminal has no room for more
_MOST_METHODS = 8  # of which each has a row, however small the screen
_LONGEST, _LONGEST_AT = 28, 44  # letters of a name, and of a condition, in a short summary
_REJECTION = {
    True: "rejection (null true)",
    False: "rejection (null false)",
    None: "rejection",
}
"""The size of a test and its power: numbers of opposite meanings, so columns of their own."""
_WORST = {
    "bias": "largest",
    "rmse": "highest",
    "coverage": "lowest",
    _REJECTION[True]: "highest",
    _REJECTION[False]: "lowest",
}
"""What is the worst of a measure over conditions; of others both ends are shown."""
_OURS = ("share_", f"{REJECTION}_")
_KINDS = {None: "estimates", TEST: "tests"}
_ERROR = "(Monte Carlo standard error)"
_SHOWN = {"rmse": "RMSE"}

_NAMES = ("method", "estimand", "interval")
_CELL = ("estimand", "interval", "measure")
_ALL = "--verbose, or mcstudy table"
_Key: TypeAlias = tuple[Any, ...]


class _Study:
    """The table of measures of a study with what its names mean."""

    def __init__(self, table: Columns, record: Mapping[str, Any]) -> None:
        self.table = table
        self.labels: Labels = record.get("labels", {})
        self.order = method_order(record)
        self.same = same_numbers(table, self.order)
        self.own = set(record.get("measures", {}))  # measures of the study's own
        self.names = factor_columns(table)
        self.levels = levels_by_row(table, self.names)
        by_factor = zip(self.names, zip(*self.levels, strict=True), strict=False)
        self.varied = [name for name, levels in by_factor if len(set(levels)) > 1]
        self.alpha, *self.alphas = alphas_of(record.get("alpha"), record.get("level", LEVEL))
        # By the levels of a condition and an estimand whether its true value is the null value.
        self.nulls = null_hypotheses(record, self.names)

    @cached_property
    def measures(self) -> list[str]:
        """The measure of each row; of a rejection also whether the null value is true."""
        names = self.table["measure"].tolist()
        for row in np.flatnonzero(self.table["measure"] == REJECTION):
            key = self.levels[row], self.table["estimand"][row]
            names[row] = _REJECTION[self.nulls.get(key)]
        return list(names)

    @cached_property
    def cells(self) -> list[_Key]:
        """Method, estimand and interval of each row."""
        return list(zip(*(self.table[name].tolist() for name in _NAMES), strict=True))

    @cached_property
    def answered(self) -> set[Any]:
        """The methods with a number of any estimand."""
        there = (self.table["estimand"] != None) & ~np.isnan(self.table["value"])  # noqa: E711 - an array
        return set(self.table["method"][there])

    @cached_property
    def conditions(self) -> dict[tuple[Any, ...], None]:
        """The levels of each condition, in order."""
        return dict.fromkeys(self.levels)

    @cached_property
    def least(self) -> list[float]:
        """Each number; of a coverage that lacks intervals its lower bound."""
        value, used, of = (self.table[name] for name in ("value", *COUNTS))
        lacks = (self.table["measure"] == "coverage") & (of - used > FEW_MISSING * of) & (used > 0)
        found: list[float] = np.where(lacks, value * (used / np.maximum(of, 1)), value).tolist()
        return found

    def condition(self, levels: tuple[Any, ...], which: Iterable[str]) -> str:
        """Return some of the levels of a condition in words."""
        return at(dict(zip(self.names, levels, strict=True)), list(which), self.labels)

    def title(self, name: str) -> str:
        """Return what the summary is about, and below it what is the same throughout."""
        fixed = [name for name in self.names if name not in self.varied]
        counts = self.table["replicates"]
        fewest, most = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
        counts_of = (
            (len(self.conditions), "condition"),
            (len(set(self.table["method"])), "method"),
        )
        size = [f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts_of]
        replicates = f"{most} replicate{'s' * (most != 1)}"
        size += [replicates if fewest == most else f"{fewest} to {replicates}"]
        title = f"{name}: {' x '.join(size)}"
        if fixed and self.levels:
            title += f"\nthroughout: {self.condition(self.levels[0], fixed)}"
        return title

    def number(self, row: int) -> str:
        """Return a number with its error."""
        return number_with_error(*(float(self.table[name][row]) for name in VALUES))

    def worst(self, measure: str, places: Sequence[int]) -> str:
        """Return the worst of some numbers, which rise, or the first and the last one."""
        value = self.table["value"]
        match _WORST.get(measure):
            case "largest":
                return self.number(max(places, key=lambda place: abs(value[place])))
            case "highest":
                return self.number(places[-1])
            case "lowest":
                return self.number(places[0])
        return " to ".join(dict.fromkeys(self.number(places[i]) for i in (0, -1)))

    def head(self, measure: str) -> str:
        """Return what a measure is called above its numbers."""
        name, *kind = measure.partition(" (null")
        words = label(self.labels, name, "measure")
        return cut(_SHOWN.get(words, words) + "".join(kind), _LONGEST)

    def bounds(self, row: int) -> tuple[float, float] | None:
        """Return the bounds of a coverage that lacks intervals."""
        return coverage_bounds(*(self.table[n][row] for n in ("measure", "value", *COUNTS)))

    @cached_property
    def place_head(self) -> str:
        """What stands above conditions: where these are long, the names of the factors."""
        whole = max((len(self.condition(key, self.varied)) for key in self.conditions), default=0)
        if whole <= _LONGEST_AT:
            return "at"
        names = (label(self.labels, name, "factor") for name in self.varied)
        return "\n".join(textwrap.wrap(f"at {' / '.join(names)}", _LONGEST))

    def where(self, row: int) -> tuple[str, str]:
        """Return the bounds of a coverage and its condition: ``n=10``, or ``10 / log``."""
        levels = self.levels[row]
        condition = self.condition(levels, self.varied)
        if self.place_head != "at":
            each = (self.condition(levels, [name]).partition("=")[2] for name in self.varied)
            condition = " / ".join(each)
        return bounds_in_words(self.bounds(row)), cut(condition, _LONGEST_AT)

    def words(self, cell: _Key) -> list[str]:
        """Return method, estimand and, where there is one, interval as a reader knows them."""
        return [label(self.labels, x, n) for n, x in zip(_NAMES, cell, strict=False)]


def performance_summary(
    table: Columns,
    record: Mapping[str, Any],
    *,
    beside: Sequence[Block] = (),
    verbose: bool = False,
) -> Document:
    """Return what a person needs to know of the measures of a study, and how its fits ended.

    Bias and RMSE of each method and estimand, coverage and rejection of each interval, and the
    study's own measures: of every condition, or the worst of all conditions where that is more
    than a screen.

    Parameters
    ----------
    table : Columns
        The measures.
    record : mapping
        Of the study.
    beside : sequence of Block
        What follows it on the same screen.
    verbose : bool, default False
        Every condition in any case.
    """
    study = _Study(table, record)
    truths = record.get("truths")
    named = {name for of in (truths or {}).values() for name in of}
    named |= set(table["estimand"][table["measure"] == "bias"])  # of each data set its own
    without_truth = set(table["estimand"]) - named - {None} if truths is not None else set()
    parts = [
        _Part(study, "Estimates", ("bias", "rmse"), left_out=without_truth),
        _Part(study, "Estimates without a true value", ("mean",), only=without_truth),
        _Part(study, "Intervals", ("coverage", *_REJECTION.values()), of="intervals"),
        _Part(study, "Tests", tuple(_REJECTION.values()), of="tests"),
    ]
    title = study.title(record["name"])
    for most in (len(table["measure"]),) if verbose else _MOST_ROWS:
        short = 0 if verbose else most
        blocks = [_section(study, part, short) for part in parts if part.measures]
        blocks += [Block(lines=_said_of_same(study))] if study.same else []
        blocks.append(endings(table, study.order, study.labels, most=short))
        made = Document(title, [*blocks, *beside])
        if verbose or text(made).count("\n") < SCREEN:
            break
    return made


def same_numbers(table: Columns, order: Sequence[str]) -> dict[str, str]:
    """Return methods whose numbers are all those of another, bit for bit, with that one.

    Parameters
    ----------
    table : Columns
        The columns of `performance`.
    order : sequence of str
        The methods; of several that are alike the first one stands for all.
    """
    levels = levels_by_row(table, factor_columns(table))
    numbers = np.stack([table[name].astype(float) for name in (*VALUES, *COUNTS)], axis=1)
    of_estimands = table["estimand"] != None  # noqa: E711 - an array
    first: dict[tuple[Any, ...], str] = {}
    same = {}
    for method in order:
        rows = np.flatnonzero((table["method"] == method) & of_estimands)
        places = [(levels[row], *(table[n][row] for n in _CELL)) for row in rows.tolist()]
        known = (tuple(places), numbers[rows].tobytes())
        if len(rows) and first.setdefault(known, method) != method:
            same[method] = first[known]
    return same


def _said_of_same(study: _Study) -> list[str]:
    """Say in a line for each method that its numbers are those of another."""
    said = "{}: every measure is that of {}, to the last bit"
    return [
        said.format(*(label(study.labels, name, "method") for name in pair))
        for pair in study.same.items()
    ]


class _Part:
    """The measures of estimates, of intervals or of tests.

    `measures` are those that have a number somewhere: the `built_in` ones, then the study's own.
    `found` has by method, estimand and, of intervals, interval the rows of each measure with a
    number. `unknown` are the intervals without any, and the cells of methods without any number.
    Neither has a method whose numbers are all those of another. The estimands may be `only` some,
    or all but those `left_out`.
    """

    def __init__(
        self,
        study: _Study,
        heading: str,
        built_in: Sequence[str],
        *,
        of: str = "estimates",
        only: Set[str] | None = None,
        left_out: Set[str] = frozenset(),
    ) -> None:
        missing = np.isnan(study.table["value"]).tolist()
        others = {*BUILT_IN, *_REJECTION.values(), WARNED} - study.own
        names = set(study.measures)
        wanted = {n for n in names if n not in others and not n.startswith(_OURS)} | {*built_in}
        found: dict[_Key, dict[str, list[int]]] = {}
        for row, name in enumerate(study.measures):
            _, estimand, interval = key = study.cells[row]
            kind = _KINDS.get(interval, "intervals")
            if name not in wanted or kind != of or estimand in left_out:
                continue
            if only is None or estimand in only:
                cell = found.setdefault(key if of == "intervals" else key[:2], {})
                if not missing[row]:
                    cell.setdefault(name, []).append(row)
        order = in_order(dict.fromkeys(cell[0] for cell in found), study.order)
        cells = sorted(found, key=lambda cell: order.index(cell[0]))
        cells = [cell for cell in cells if cell[0] not in study.same]
        measures = dict.fromkeys(name for cell in found.values() for name in cell)
        known = [name for name in built_in if name in measures]
        self.heading = heading
        self.measures = [*known, *(name for name in measures if name not in known)]
        self.found = {cell: found[cell] for cell in cells if found[cell]}
        self.unknown = [
            cell
            for cell in cells
            if not found[cell] and (of == "intervals" or cell[0] not in study.answered)
        ]
        self.kind = {"intervals": "interval", "estimates": "estimate", "tests": "p-value"}[of]


def _section(study: _Study, part: _Part, most: int) -> Block:
    """Return the table of a part with at most so many rows; 0 shows all conditions."""
    shown = part.measures[: _MOST_COLUMNS if most else None]
    # Of a test each condition has one of two columns: its size, or its power.
    rows = sum(
        len({study.levels[row] for places in of.values() for row in places})
        for of in part.found.values()
    )
    conditions = len(study.conditions)
    headings = conditions if rows > conditions else 0
    if most and conditions > 1 and rows + headings > most:
        block = _worst(study, part, shown, most)
    else:
        block = _every(study, part, shown, most)
    notes = [*block.lines, *_lacking(study, part)]
    if part.kind == "p-value":
        notes += _levels_of_tests(study, part)
    if left := len(part.measures) - len(shown):
        notes.append(f"{left} more measure{'s' * (left > 1)}: {_ALL}")
    return replace(block, lines=notes)


def _levels_of_tests(study: _Study, part: _Part) -> Iterator[str]:
    """Yield what the size of the tests should be, and where the other levels are."""
    if _REJECTION[True] in part.measures:
        yield f"nominal where the null is true: {study.alpha:g}"
    if study.alphas:
        others = ",".join(f"{REJECTION}_{alpha:g}" for alpha in study.alphas)
        yield f"other level{'s' * (len(study.alphas) > 1)}: mcstudy table --measure {others}"


def _lacking(study: _Study, part: _Part) -> Iterator[str]:
    """Yield which cells have no number, or fewer conditions with one than others."""
    if part.unknown:
        more = f" and {len(part.unknown) - 1} more" if len(part.unknown) > 1 else ""
        first = ", ".join(study.words(part.unknown[0]))
        yield f"no {part.kind} in any replicate: {first}{more}"
    covered = {
        cell: len({study.levels[row] for rows in of.values() for row in rows})
        for cell, of in part.found.items()
    }
    most_covered = max(covered.values(), default=0)
    lacking = [cell for cell, count in covered.items() if count < most_covered]
    if lacking:
        cell = min(lacking, key=covered.__getitem__)
        more = f"; {len(lacking) - 1} more lack some" if len(lacking) > 1 else ""
        where = f"only {covered[cell]} of {len(study.conditions)} conditions"
        yield f"{', '.join(study.words(cell))}: a number in {where}{more}"


def _every(study: _Study, part: _Part, measures: Sequence[str], most: int) -> Block:
    """Return a row for each condition and cell."""
    by_condition: dict[_Key, dict[_Key, dict[str, int]]] = {key: {} for key in study.conditions}
    for cell, of in part.found.items():
        for measure in measures:
            for place in of.get(measure, ()):
                by_condition[study.levels[place]].setdefault(cell, {})[measure] = place
    found = [
        (levels, cell, places)
        for levels, cells in by_condition.items()
        for cell, places in cells.items()
    ]
    notes = []
    if most and len(found) > most:
        notes.append(f"{most} of {len(found)} rows; all: {_ALL}")
        found = found[:most]
    firsts = [next(iter(places.values())) for _, _, places in found]
    used, of = (study.table[name][firsts].tolist() for name in COUNTS)
    lines = []
    for i, (levels, cell, places) in enumerate(found):
        numbers = [study.number(places[m]) if m in places else "-" for m in measures]
        count = "" if used == of else f"{used[i]}/{of[i]}"
        where = study.condition(levels, study.varied)
        bounds = bounds_in_words(study.bounds(firsts[i]))
        lines.append([where, *study.words(cell), *numbers, count, bounds])
    names = ["condition", *_NAMES[: len(next(iter(part.found)))]]
    heads = [*names, *(study.head(measure) for measure in measures), "used/of", "bounds"]
    heading = f"{part.heading}: value {_ERROR}"
    return _block(heading, heads, lines, notes, labels=len(names), short=most > 0)


def _worst(study: _Study, part: _Part, measures: Sequence[str], most: int) -> Block:
    """Return a row for each cell, with the worst of its conditions; the lowest coverage first.

    A cell has two rows where its lowest coverage and the lowest bound of one, which counts missing
    intervals as misses, are of different conditions; each stands where its own number belongs.
    Of estimates those are kept that have the highest RMSE of their estimand.
    """
    ranked = list(_ranked(study, part, measures))
    order = sorted(range(len(ranked)), key=lambda i: ranked[i][0])
    # No method is left out for the second row of another.
    whole = [i for i in order if ranked[i][1] == 0]
    first = list({ranked[i][2][0]: i for i in reversed(whole)}.values())[:_MOST_METHODS]
    kept = [*first, *(i for i in order if i not in first)][: max(most, len(first))]
    order = [i for i in order if i in kept]
    if "coverage" not in measures:
        order.sort()
    lines, notes = [ranked[i][2] for i in order], []
    if any(ranked[i][1] for i in order):
        notes.append("an interval with two rows: its lowest coverage, and its lowest bound")
    if len(ranked) > len(lines):
        which = ", those with the lowest coverage or bound" if "coverage" in measures else ""
        which = ", those with the highest RMSE" if "rmse" in measures else which
        notes.append(f"{len(lines)} of {len(ranked)} rows{which}; all: {_ALL}")
    names = _NAMES[: len(next(iter(part.found)))]
    heads, placed = [*names], _placed(measures)
    for measure in measures:
        heads.append(study.head(measure))
        heads += ["bounds"] if measure == "coverage" else []
        heads += [study.place_head] if measure == placed else []
    worst = [f"{_WORST[m]} {study.head(m)}" for m in measures if m in _WORST]
    others = ["range of the other measures"] if worst and len(worst) < len(measures) else []
    said = ", ".join([*worst, *others]) or "range"
    heading = f"{part.heading}: {said} over {len(study.conditions)} conditions {_ERROR}"
    return _block(heading, heads, lines, notes, labels=len(names), short=True)


def _ranked(
    study: _Study, part: _Part, measures: Sequence[str]
) -> Iterator[tuple[float, int, list[str]]]:
    """Yield the rows of each cell: what they are sorted by, which of the cell's it is, its texts.

    They are sorted by coverage; without one by how many cells of the estimand have a higher RMSE.
    """
    least, value = study.least.__getitem__, study.table["value"]
    highest = {
        cell: max(value[row] for row in of["rmse"])
        for cell, of in part.found.items()
        if "rmse" in of
    }
    by_estimand: defaultdict[str, list[float]] = defaultdict(list)
    for cell, number in sorted(highest.items(), key=lambda item: item[1]):
        by_estimand[cell[1]].append(number)
    placed = _placed(measures)
    for cell, of in part.found.items():
        errors = by_estimand[cell[1]]
        better = len(errors) - bisect.bisect_right(errors, highest.get(cell, 0.0))
        covers = of.get("coverage", ())
        lowest = list(dict.fromkeys(min(covers, key=by) for by in (value.item, least) if covers))
        for number, row in enumerate(lowest or [None]):
            line = study.words(cell)
            for measure in measures:
                if measure == "coverage":
                    line += ("-", "", "") if row is None else (study.number(row), *study.where(row))
                elif number:
                    line.append("")
                else:
                    places = sorted(of.get(measure, ()), key=value.item)
                    line.append(study.worst(measure, places) if places else "-")
                    if measure == placed:
                        end = 0 if _WORST[measure] == "lowest" else -1
                        line.append(study.where(places[end])[1] if places else "")
            yield better if row is None else least(row), number, line


def _placed(measures: Sequence[str]) -> str | None:
    """Return the measure whose worst condition is named; a line has no room for more than one."""
    wanted = ("coverage", _REJECTION[True], _REJECTION[False])
    return next((measure for measure in wanted if measure in measures), None)


def _block(
    heading: str,
    heads: Sequence[str],
    lines: Sequence[Sequence[str]],
    notes: list[str],
    *,
    labels: int,
    short: bool,
) -> Block:
    """Return a table without the columns behind its labels that say nothing."""
    columns = [[line[j] for line in lines] for j in range(len(heads))]
    kept = [
        j for j, head in enumerate(heads) if any(columns[j]) or (j < labels and head != "condition")
    ]
    labels = sum(j < labels for j in kept)
    grouped = heads[kept[0]] == "condition" and len(set(columns[0])) < len(lines)
    rows = [
        [
            cut(line[j], _LONGEST_AT if heads[j] == "condition" else _LONGEST)
            if short and j in kept[grouped:labels]
            else line[j]
            for j in kept
        ]
        for line in lines
    ]
    if "bounds" in (heads[j] for j in kept):
        notes = [*notes, BOUNDS_MEANING]
    grid = Grid(
        [heads[j] for j in kept],
        rows,
        labels=labels,
        repeated=labels - 1,
        grouped=grouped,
        folds=True,
    )
    return Block(heading, grid, notes)


def ends_in_words(table: Columns) -> str:
    """Return how many fits ended how, in one line: ``61 ok, 7 boundary``."""
    counts = {str(word): _counts_of(table, f"share_{word}").total() for word in Status}
    said = [f"{round(count)} {word}" for word, count in counts.items() if count]
    if warned := round(_counts_of(table, WARNED).total()):
        said.append(f"{warned} of them with a warning")
    return ", ".join(said)


def _counts_of(table: Columns, measure: str, *, all_fits: bool = False) -> Counter[str]:
    """Return how many fits a share counts, or has in all, by method, over all conditions."""
    there = np.flatnonzero(table["measure"] == measure)
    fits = table["replicates"][there]
    counts = fits if all_fits else table["value"][there] * fits
    made = Counter[str]()
    for method, count in zip(table["method"][there], counts.tolist(), strict=True):
        made[method] += count
    return made


def endings(
    table: Columns, order: Sequence[str], labels: Labels | None = None, *, most: int = 0
) -> Block:
    """Return how many fits ended how, by method, over all conditions.

    Parameters
    ----------
    table : Columns
        The measures.
    order : sequence of str
        Of the methods.
    labels : mapping of str to str, optional
        As in `Study`.
    most : int, optional
        How many methods, those with the most fits that did not end ok; all by default. Where all
        fits ended ok it is one line.
    """
    words_of, ok = labels or {}, str(Status.OK)
    totals = _counts_of(table, f"share_{ok}", all_fits=True)
    meanings = {str(word): word.meaning for word in Status} | {WARNED: WARNED_MEANING}
    counts = {
        word: _counts_of(table, word if word == WARNED else f"share_{word}") for word in meanings
    }
    words = [word for word, count in counts.items() if count.total() > 0]
    if most and words == [ok]:
        said = f"All {totals.total():.0f} fits" if totals.total() > 1 else "The only fit"
        return Block(lines=[f"{said} ended ok"])
    methods, notes = in_order(totals, order), []
    if most and len(methods) > (most := max(most, _MOST_METHODS)):
        first = sorted(methods, key=lambda name: counts[ok][name] - totals[name])[:most]
        notes.append(f"{most} of {len(methods)} methods, those with the fewest fits that ended ok")
        methods = [name for name in methods if name in first]
    lines = [
        (
            cut(name, _LONGEST) if most else name,
            str(totals[method]),
            *(str(round(counts[word][method])) for word in words),
        )
        for method in methods
        for name in [label(words_of, method, "method")]
    ]
    notes += [f"{word}: {meanings[word]}" for word in words if word != Status.OK]
    grid = Grid(("method", "fits", *words), lines, folds=bool(most))
    return Block("How the fits ended", grid, notes)
