"""Parts to arrays, condition by condition: the one way by which rows are read for a measure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcstudy.analysis.measures import Cell
from mcstudy.arrays import Floats, joined
from mcstudy.columns import WARNED
from mcstudy.errors import ResultsError
from mcstudy.grid import Condition, Level
from mcstudy.measure import LEVEL
from mcstudy.method import Status
from mcstudy.simulation.validation import STATUSES, TEST, TRUTH
from mcstudy.storage.export import conditions_table
from mcstudy.storage.folder import RecordedStudy
from mcstudy.storage.parts import DamagedError
from mcstudy.storage.rows import BLOCK, Block, Key, StudyRows, array_of, columns_of

BUDGET = 2**27
"""Bytes of the numbers of one condition that are held at a time."""


@dataclass(frozen=True)
class EstimandRows:
    """What a method says of one estimand; NaN is missing.

    Parameters
    ----------
    truth : float or array of shape (R,)
        NaN where it is missing; an array where each data set has its own.
    estimate, std_error : arrays of shape (R,)
        In the estimand's units, in the order of the method's replicates.
    intervals : mapping of str to (lower, upper)
        Arrays of shape (R,), by the interval's name, sorted.
    has_truth : bool, default True
        Whether the study names a true value of it under some condition.
    p_value : array of shape (R,), optional
        Of a test of its null hypothesis.
    estimated : bool, default True
        Whether there are estimates; a test may have none.
    own_truth : array of shape (R,), optional
        What was taken off, see `about_truth`.
    """

    truth: float | Floats
    estimate: Floats
    std_error: Floats
    intervals: Mapping[str, tuple[Floats, Floats]]
    has_truth: bool = True
    p_value: Floats | None = None
    estimated: bool = True
    own_truth: Floats | None = None

    def cells(self, null: float = np.nan) -> Iterator[tuple[str | None, Cell]]:
        """Yield the estimates, and each interval by its name, as cells of which measures are made.

        `null` is what the intervals test.
        """
        has_truth, numbers = self.has_truth, (self.truth, self.estimate, self.std_error)
        if self.estimated:
            yield None, Cell(*numbers, has_truth=has_truth).about_truth()
        for interval, limits in self.intervals.items():
            yield interval, Cell(*numbers, *limits, null, has_truth).about_truth()

    def about_truth(self) -> EstimandRows:
        """Return the same with each number less the data set's own true value, if it has one."""
        truth = self.truth
        if not isinstance(truth, np.ndarray):
            return self
        truth = np.where(np.isfinite(truth), truth, np.nan)
        intervals = {name: (a - truth, b - truth) for name, (a, b) in self.intervals.items()}
        estimate = self.estimate - truth
        return replace(self, truth=0.0, estimate=estimate, intervals=intervals, own_truth=truth)

    @property
    def main(self) -> Floats:
        """The estimates, or the p-values of a test that estimates nothing."""
        return self.estimate if self.estimated or self.p_value is None else self.p_value

    def test(self) -> Cell:
        """Return the test as a cell."""
        numbers = (self.truth, self.estimate, self.std_error)
        return Cell(*numbers, has_truth=self.has_truth, p_value=self.p_value)


@dataclass(frozen=True)
class MethodRows:
    """The fits of one method under one condition.

    Parameters
    ----------
    replicate : array of shape (R,)
        Rising; methods are paired by it and by nothing else.
    status_code : array of int8, shape (R,)
        The place of each fit's status in `mcstudy.simulation.validation.STATUSES`.
    estimands : mapping of str to EstimandRows
        Sorted by name.
    warned : array of bool, shape (R,)
        Which of the fits gave a warning.
    """

    replicate: NDArray[np.int64]
    status_code: NDArray[np.int8]
    estimands: Mapping[str, EstimandRows]
    warned: NDArray[np.bool_]

    @property
    def status(self) -> NDArray[np.object_]:
        """The status of each fit, a word; shape (R,)."""
        return np.array([str(status) for status in STATUSES], dtype=object)[self.status_code]


@dataclass(frozen=True)
class ConditionRows:
    """The rows of one condition, or of some of its estimands.

    Parameters
    ----------
    condition : str
        Its key.
    factors : mapping of str to level
        As the table `conditions` has them.
    methods : mapping of str to MethodRows
        Sorted by name.
    first : bool
        False for a further piece of a large condition: it has other estimands of the same fits,
        whose statuses are counted already.
    """

    condition: str
    factors: Mapping[str, Level]
    methods: Mapping[str, MethodRows]
    first: bool = True


def without_skipped(rows: ConditionRows) -> ConditionRows:
    """Return the rows of a condition as if no method had been run where it does not apply."""
    skipped = STATUSES.index(Status.SKIPPED)
    methods = {}
    for name, method in rows.methods.items():
        kept = method.status_code != skipped
        if kept.all():
            methods[name] = method
        elif kept.any():
            estimands = {
                estimand: replace(
                    of,
                    estimate=of.estimate[kept],
                    std_error=of.std_error[kept],
                    intervals={name: (a[kept], b[kept]) for name, (a, b) in of.intervals.items()},
                    p_value=None if of.p_value is None else of.p_value[kept],
                    truth=of.truth[kept] if isinstance(of.truth, np.ndarray) else of.truth,
                )
                for estimand, of in method.estimands.items()
            }
            replicate, code = method.replicate[kept], method.status_code[kept]
            methods[name] = MethodRows(replicate, code, estimands, method.warned[kept])
    return replace(rows, methods=methods)


def rows_by_condition(
    folder: Path, *, formed: bool = True, budget: int = BUDGET
) -> Iterator[ConditionRows]:
    """Yield the rows that count in a folder of results, one condition after the other.

    Parameters
    ----------
    folder : Path
        ``results/<study name>``, with its parts.
    formed : bool, optional
        False leaves out the intervals that are formed from standard errors.
    budget : int, optional
        As in `condition_rows`.

    Raises
    ------
    ResultsError
        If there are no rows, or a part is damaged.
    """
    recorded = RecordedStudy.of(folder)
    if recorded.record["keep"] == "measures":
        raise ResultsError(
            f"{folder}: keeps measures and no rows, which this needs (keep='measures')"
        )
    stored = recorded.stored()
    if not any(stored.values()):
        raise ResultsError(
            f"{folder}: its parts are gone, and this needs the rows in them; run the study again"
        )
    level = recorded.record.get("level", LEVEL) if formed else None
    try:
        yield from condition_rows(StudyRows(stored, recorded.truths, level=level), budget=budget)
    except DamagedError as error:
        if not error.path.exists():
            raise ResultsError(
                f"{folder}: a run at work has joined parts meanwhile; try again"
            ) from None
        raise ResultsError(f"{error}; run the study again to have its rows anew") from None


def condition_rows(rows: StudyRows, *, budget: int = BUDGET) -> Iterator[ConditionRows]:
    """Yield the rows of a study as arrays, in the order of the table `conditions`.

    A condition whose numbers need more than `budget` bytes comes in pieces, each with some of the
    estimands and all of the methods. One estimand is always whole. One without rows is left out.

    Raises
    ------
    DamagedError
        Where a part turns out to be damaged.
    """
    factors = {
        condition: {name: level for name, level in of.items() if name != "condition"}
        for condition, of in zip(
            rows.conditions, conditions_table(rows.conditions).to_pylist(), strict=True
        )
    }
    for group in rows.groups:
        keys = rows.keys[group[0]]
        names = sorted({estimand for own in keys.values() for estimand, _ in own})
        # Two numbers of 8 bytes each: an estimate with its standard error, or two limits. Groups of
        # several conditions are small.
        most = max((len(own) for own in keys.values()), default=0)
        held = 16 * most * rows.replicates(group[0])
        if held <= budget or len(names) < 2 or len(group) > 1:
            for condition, methods in _read(rows, group, names):
                yield ConditionRows(condition.key, factors[condition], methods)
            continue
        blocks = rows.blocks(group, lambda key: key[0] in ("estimate", TEST))
        fits = dict(_by_condition(blocks, {}, rows))
        count = min(len(names), -(-held // budget))
        for index, some in enumerate(np.array_split(np.array(names, object), count)):
            for condition, methods in _read(rows, group, some.tolist()):
                of = fits[condition]
                methods = {m: replace(of[m], estimands=own.estimands) for m, own in methods.items()}
                yield ConditionRows(condition.key, factors[condition], methods, first=index == 0)


def _read(
    rows: StudyRows, group: Sequence[Condition], estimands: Collection[str]
) -> Iterator[tuple[Condition, dict[str, MethodRows]]]:
    """Yield each condition of a group with what its methods say of some estimands."""
    some = frozenset(estimands)
    keys = {m: [key for key in of if key[0] in some] for m, of in rows.keys[group[0]].items()}
    blocks = rows.blocks(group, lambda key: key[0] != "diagnostic" and key[1] in some)
    yield from _by_condition(blocks, keys, rows)


_KINDS = {"": ("estimate", "std_error"), TEST: (TEST,)}
"""The numbers of an estimate and of a test; an interval has two limits."""
Arrays: TypeAlias = dict[Key, NDArray[Any]]
"""The arrays of one method: by (kind, estimand, interval), or (column,)."""


def _by_condition(
    blocks: Iterable[Block], keys: Mapping[str, Sequence[Key]], rows: StudyRows
) -> Iterator[tuple[Condition, dict[str, MethodRows]]]:
    """Yield each condition of a group with the fits of its methods, and the numbers of some keys.

    No column is held twice; those of a condition are views.
    """
    group: Sequence[Condition] = ()
    pieces: dict[str, dict[Key, list[NDArray[Any]]]] = {}
    counts: dict[str, NDArray[np.int64]] = {}
    for block in blocks:
        group = block.conditions
        own_truths = rows.own_truths[group[0]]
        for method, table in block.tables.items():
            counts[method] = counts.get(method, 0) + block.counts[method]
            found = pieces.setdefault(method, defaultdict(list))
            is_piece = table.num_rows >= BLOCK  # of more: the memory of what was read is used again
            for key, column in _columns(table, keys.get(method, ()), own_truths):
                found[key].append(column.copy() if is_piece else column)
    pool = pa.default_memory_pool()
    pool.release_unused()
    whole = {m: {key: joined(of.pop(key)) for key in list(of)} for m, of in sorted(pieces.items())}
    pool.release_unused()
    ends = {method: np.cumsum(of) for method, of in counts.items()}
    for place, condition in enumerate(group):
        methods = {}
        for method, arrays in whole.items():
            if count := counts[method][place]:
                end = ends[method][place]
                own = {key: array[end - count : end] for key, array in arrays.items()}
                truths = rows.truths[condition]
                estimands = _estimands(own, keys.get(method, ()), truths, rows.named)
                fit = own["replicate",], own["status",], estimands, own[WARNED,]
                methods[method] = MethodRows(*fit)
        if methods:
            yield condition, methods


def _columns(
    table: pa.Table, keys: Sequence[Key], own_truths: Collection[str]
) -> Iterator[tuple[Key, NDArray[Any]]]:
    """Yield the columns of the fits in a table, and of some estimands and intervals."""
    columns = columns_of(table)
    yield ("replicate",), table["replicate"].to_numpy()
    yield ("status",), _codes(table["status"])
    yield (WARNED,), table[WARNED].to_numpy()
    for estimand, interval in keys:
        for kind in _KINDS.get(interval, ("lower", "upper")):
            yield (kind, estimand, interval), array_of(columns, kind, estimand, interval)
        if interval in ("", TEST) and estimand in own_truths:
            yield (TRUTH, estimand, interval), array_of(columns, TRUTH, estimand, "")


def _estimands(
    arrays: Arrays, keys: Sequence[Key], truths: Mapping[str, float], named: Collection[str]
) -> dict[str, EstimandRows]:
    """Return the rows of each estimand."""
    found = {}
    intervals_of: defaultdict[str, list[str]] = defaultdict(list)
    for estimand, interval in keys:
        intervals_of[estimand].append(interval)
    for name, of in sorted(intervals_of.items()):
        p_value = arrays[TEST, name, TEST] if TEST in of else None
        estimated = "" in of
        if estimated:
            estimate, std_error = (arrays[kind, name, ""] for kind in ("estimate", "std_error"))
        else:
            assert p_value is not None
            estimate = std_error = np.full(len(p_value), np.nan)
        intervals = sorted({*of} - {"", TEST})
        limits = {i: (arrays["lower", name, i], arrays["upper", name, i]) for i in intervals}
        own = [arrays.get((TRUTH, name, place)) for place in ("", TEST)]
        given = next((each for each in own if each is not None), None)
        truth = truths.get(name, np.nan) if given is None else given
        numbers = (truth, estimate, std_error, limits)
        found[name] = EstimandRows(*numbers, name in named, p_value, estimated)
    return found


def _codes(column: Any) -> NDArray[np.int8]:
    """Return statuses as their places in `STATUSES`."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    words, places = column.dictionary.to_pylist(), column.indices.to_numpy()
    known = {str(status): code for code, status in enumerate(STATUSES)}
    codes: NDArray[np.int8] = np.array([known.get(word, -1) for word in words], np.int8)[places]
    if (codes < 0).any():
        raise ResultsError(
            f"a part has the status '{words[places[codes.argmin()]]}', which this version of "
            f"mcstudy does not know; it knows {', '.join(STATUSES)}"
        )
    return codes
