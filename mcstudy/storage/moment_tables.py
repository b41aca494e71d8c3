"""Answers to tables of moments and back: what a method's part holds with ``keep="measures"``.

A table has two kinds of rows, both by block: moments of a quantity, and how many fits ended alike.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mcstudy.measure import alphas_of
from mcstudy.method import Status
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.call import message_kind
from mcstudy.simulation.validation import CODES, STATUSES
from mcstudy.storage.moments import (
    Blocks,
    Key,
    Moments,
    disjoint,
    folded,
    single_moments,
    stacked,
    total,
)

ADDRESSES = 100
"""How many addresses of fits that ended alike are kept: the first by number of replicate."""
KINDS = 100
"""How many kinds of endings a method can have per condition; which ones is left to chance."""
_CELLS = 2**17
"""Replicates times quantities that are held at a time: some 17 MB of moments."""

_BLOCK = [pa.field("start", pa.int64()), pa.field("size", pa.int64())]
_OF_MOMENTS = pa.schema(
    [
        *_BLOCK,
        *(pa.field(name, pa.string()) for name in ("quantity", "estimand", "interval")),
        *(
            pa.field(name, pa.int64() if type(zero) is int else pa.float64())
            for name, zero in Moments._field_defaults.items()
        ),
    ]
)
_OF_FITS = pa.schema(
    [
        *_BLOCK,
        pa.field("status", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("warned", pa.bool_()),
        pa.field("fits", pa.int64()),
        pa.field("seconds", pa.float64()),
        pa.field("replicates", pa.list_(pa.int64())),
        pa.field("messages", pa.list_(pa.string())),
    ]
)


class Outcome(NamedTuple):
    """How fits ended: status, message with ``#`` for its numbers, and whether with a warning.

    The message is None for what ended in one of too many ways.
    """

    status: str
    kind: str | None
    warned: bool

    @property
    def rank(self) -> tuple[str, bool, str, bool]:
        """What orders outcomes."""
        return self.status, self.kind is None, self.kind or "", self.warned

    @property
    def digest(self) -> bytes:
        """What decides on the kinds that are kept where there are too many."""
        return hashlib.sha256("\n".join(map(str, self)).encode(errors="backslashreplace")).digest()


_PLAIN = Outcome(str(Status.OK), "", False)


class _Fits(NamedTuple):
    """Fits of a block that ended alike, and the addresses and messages of the first."""

    start: int
    outcome: Outcome
    fits: int
    seconds: float
    addresses: list[tuple[int, str]]


class _Held(NamedTuple):
    """What a table holds: the moments of each block with a column for each key, and the fits."""

    blocks: Blocks
    keys: list[Key]
    fits: list[_Fits]


@dataclass(frozen=True)
class Summary:
    """What is known of all the answers of one method under one condition.

    How many fits ended how, and the first addresses (replicate, message) of each; not of plain
    success, and not of kinds too many to be kept. The moments are of all replicates; only the
    seconds, which the fits took, depend on the run.
    """

    outcomes: Mapping[Outcome, int]
    addresses: Mapping[Outcome, list[tuple[int, str]]]
    moments: Mapping[Key, Moments]
    seconds: float

    def of(self, quantity: str, estimand: str, interval: str = "") -> Moments:
        """Return the moments of a quantity, of no replicates where the method gave none."""
        return self.moments.get((quantity, estimand, interval), Moments())

    @property
    def replicates(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    @property
    def statuses(self) -> Counter[str]:
        """How many ended how."""
        found: Counter[str] = Counter()
        for outcome, fits in self.outcomes.items():
            found[outcome.status] += fits
        return found

    @property
    def warned(self) -> int:
        """How many warned."""
        return sum(fits for outcome, fits in self.outcomes.items() if outcome.warned)

    @property
    def given(self) -> list[tuple[str, str]]:
        """(estimand, interval) of what the method gave; the interval of estimates is empty."""
        return [key[1:] for key in self.moments if key[0] in ("error", "width")]


def moments_table(
    answers: Answers,
    start: int,
    truths: Mapping[str, float],
    nulls: Mapping[str, float],
    *,
    level: float | None = None,
    alpha: float = alphas_of(None, None)[0],
) -> pa.Table:
    """Return the table of a method's answers to a run of replicates that begins at `start`.

    With a `level` it has the intervals formed from standard errors too, by the name `FORMED`, of
    estimands without any other interval in this run. `alpha` is that of tests by p-values.
    """
    step = 1 << max(_CELLS // (1 + 2 * len(answers.numbers)), 1).bit_length() - 1
    edges = [start, *range((start // step + 1) * step, start + answers.count, step)]
    pieces = []
    for first, end in zip(edges, [*edges[1:], start + answers.count], strict=True):
        numbers = {c: values[first - start : end - start] for c, values in answers.numbers.items()}
        found = dict(sorted(single_moments(numbers, end - first, truths, nulls, level, alpha)))
        replicates = np.arange(first, end)
        moments = stacked(list(found.values()), end - first)
        single = Blocks(replicates, np.ones_like(replicates), moments)
        pieces.append(_Held(folded(single), list(found), []))
    whole = _joined(pieces)
    return _table(whole._replace(fits=_limited(_endings(answers, start, whole.blocks))))


def joined_moments(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the table of the replicates of several tables of the same code, each of them once."""
    pieces: list[_Held] = []
    rows = 0
    for table in tables:
        pieces.append(_held(table))
        rows += table.num_rows
        if rows > _CELLS:
            pieces, rows = [_joined(pieces)], 0
    return _table(_joined(pieces))


def summary(tables: Sequence[pa.Table]) -> Summary:
    """Return what is known of the replicates of some tables, each replicate once.

    Sums cannot be cut: of two blocks with common replicates the larger one counts, and of equal
    ones the first. So each of the tables has all that one code has made.
    """
    held = _joined([_held(table) for table in tables])
    outcomes: Counter[Outcome] = Counter()
    addresses: dict[Outcome, list[tuple[int, str]]] = {}
    for row in sorted(held.fits, key=lambda row: (row.outcome.rank, row.start)):
        outcomes[row.outcome] += row.fits
        if row.addresses:
            addresses[row.outcome] = addresses.get(row.outcome, []) + row.addresses
    of_all = total(held.blocks)
    return Summary(
        outcomes,
        addresses,
        {
            key: Moments(*(values[place].item() for values in of_all))
            for place, key in enumerate(held.keys)
        },
        sum(row.seconds for row in held.fits),
    )


def _endings(answers: Answers, start: int, blocks: Blocks) -> list[_Fits]:
    """Return the fits by how they ended: plain success by block, each other one by itself."""
    is_plain = answers.status == CODES[Status.OK]
    is_plain[[row for row in answers.messages if row < answers.count]] = False
    place = np.searchsorted(blocks.start, np.arange(start, start + answers.count), "right") - 1
    fits = np.bincount(place[is_plain], minlength=len(blocks.start))
    seconds = np.bincount(place[is_plain], answers.seconds[is_plain], len(blocks.start))
    firsts = blocks.start.tolist()
    found = [
        _Fits(firsts[i], _PLAIN, int(fits[i]), float(seconds[i]), []) for i in np.flatnonzero(fits)
    ]
    for row in np.flatnonzero(~is_plain).tolist():
        message = answers.messages.get(row, "")
        status, warned = str(STATUSES[answers.status[row]]), bool(answers.warned[row])
        outcome = Outcome(status, message_kind(message), warned)
        took, address = float(answers.seconds[row]), (start + row, message)
        found.append(_Fits(firsts[place[row]], outcome, 1, took, [address]))
    return found


def _joined(pieces: Sequence[_Held]) -> _Held:
    """Return the blocks of all that count, folded, and the fits of these blocks."""
    keys = sorted({key for piece in pieces for key in piece.keys})
    place = {key: i for i, key in enumerate(keys)}
    start = np.concatenate([piece.blocks.start for piece in pieces])
    size = np.concatenate([piece.blocks.size for piece in pieces])
    of_piece = np.repeat(np.arange(len(pieces)), [len(piece.blocks.start) for piece in pieces])
    moments = stacked([Moments()] * len(keys), len(start))
    first = 0
    for piece in pieces:
        rows = slice(first, first + len(piece.blocks.start))
        columns, first = [place[key] for key in piece.keys], rows.stop
        for whole, own in zip(moments, piece.blocks.moments, strict=True):
            whole[rows, columns] = own
    counting = disjoint(start, size)
    blocks = folded(Blocks(start[counting], size[counting], moments.rows(counting)))
    counted = set(zip(of_piece[counting].tolist(), start[counting].tolist(), strict=True))
    fits = [
        row._replace(start=int(blocks.start[np.searchsorted(blocks.start, row.start, "right") - 1]))
        for number, piece in enumerate(pieces)
        for row in piece.fits
        if (number, row.start) in counted
    ]
    return _Held(blocks, keys, _limited(fits))


def _limited(rows: Iterable[_Fits]) -> list[_Fits]:
    """Return a row for each block and outcome, sorted: of the kinds those whose digests are least.

    The limits are those of all rows together. What is within them is within those of each table
    that has some of the rows, so it is the same however tables were joined.
    """
    rows = list(rows)
    kinds = {row.outcome for row in rows if row.outcome.kind is not None} - {_PLAIN}
    if len(kinds) > KINDS:
        kinds = set(heapq.nsmallest(KINDS, kinds, key=lambda outcome: outcome.digest))
    alike: dict[tuple[int, Outcome], list[_Fits]] = {}
    for row in rows:
        is_kept = row.outcome in kinds or row.outcome == _PLAIN
        outcome = row.outcome if is_kept else row.outcome._replace(kind=None)
        alike.setdefault((row.start, outcome), []).append(row)
    left = dict.fromkeys(kinds, ADDRESSES)
    found = []
    for start, outcome in sorted(alike, key=lambda place: (place[0], place[1].rank)):
        own = alike[start, outcome]
        addresses = sorted(address for row in own for address in row.addresses)
        addresses = addresses[: left.get(outcome, 0)]
        if addresses:
            left[outcome] -= len(addresses)
        fits, seconds = sum(row.fits for row in own), sum(row.seconds for row in own)
        found.append(_Fits(start, outcome, fits, seconds, addresses))
    return found


def _table(held: _Held) -> pa.Table:
    (start, size, moments), keys, fits = held
    count = len(keys)
    names = list(zip(*keys, strict=True)) or [(), (), ()]
    columns = [
        np.repeat(start, count),
        np.repeat(size, count),
        *(list(own) * len(start) for own in names),
        *(values.reshape(-1) for values in moments),
    ]
    of_moments = [pa.array(c, f.type) for c, f in zip(columns, _OF_MOMENTS, strict=True)]
    sizes = dict(zip(start.tolist(), size.tolist(), strict=True))
    of_fits = [
        {
            **row._asdict(),
            **row.outcome._asdict(),
            "size": sizes[row.start],
            "replicates": [replicate for replicate, _ in row.addresses],
            "messages": [message for _, message in row.addresses],
        }
        for row in fits
    ]
    tables = [
        pa.Table.from_pylist(of_fits, _OF_FITS),
        pa.Table.from_arrays(of_moments, schema=_OF_MOMENTS),
    ]
    return pa.concat_tables(tables, promote_options="default")


def _held(table: pa.Table) -> _Held:
    last = table.num_rows - table["fits"].null_count
    of_fits, of_moments = table.slice(0, last), table.slice(last)
    fits = [
        _Fits(
            row["start"],
            Outcome(row["status"], row["kind"], row["warned"]),
            row["fits"],
            row["seconds"],
            list(zip(row["replicates"], row["messages"], strict=True)),
        )
        for row in of_fits.select(_OF_FITS.names).to_pylist()
    ]
    start, places = np.unique(of_fits["start"].to_numpy(), return_index=True)
    size = of_fits["size"].to_numpy()[places]
    count = of_moments.num_rows // len(start)
    names = (of_moments[name][:count].to_pylist() for name in ("quantity", "estimand", "interval"))
    moments = (of_moments[name].to_numpy().reshape(len(start), count) for name in Moments._fields)
    return _Held(Blocks(start, size, Moments(*moments)), list(zip(*names, strict=True)), fits)
