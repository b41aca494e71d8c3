"""Where randomness is born: a generator for each address (seed, condition, replicate, method).

The stream of an address is, in plain numpy::

    words = np.frombuffer(sha256(f"{seed}|{condition}|{method}").digest()[:16], "<u4")
    np.random.default_rng(np.random.SeedSequence(words.tolist(), spawn_key=(replicate,)))

128 bits of address enter the SeedSequence whole, and its pool keeps 128. `streams` makes the same
generators for a run of replicates at a third of the cost: it hashes all of them at once.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import UserList
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISpawnableSeedSequence
from numpy.typing import NDArray

Words = NDArray[np.uint32]

# The constants of SeedSequence (M. E. O'Neill, "Developing a seed_seq alternative", 2015).
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = 0xCA01F9DD, 0x4973F715
_SHIFT = 16  # XSHIFT there: half a word
_WORD = 0xFFFFFFFF
_POOL = 4  # words, DEFAULT_POOL_SIZE of numpy's SeedSequence
_WORTHWHILE = 6  # fewer generators take numpy 25 us each, hashed together 140 us in all


def stream(seed: int, condition: str, replicate: int, method: str = "") -> np.random.Generator:
    """Return the generator of one address; without a method it is that of simulate.

    `condition` is the condition's key, `replicate` is from 0, below 2**32.
    """
    return np.random.default_rng(seed_sequence(seed, condition, replicate, method))


def seed_sequence(seed: int, condition: str, replicate: int, method: str) -> np.random.SeedSequence:
    """Return numpy's SeedSequence of an address."""
    words = _address(seed, condition, method).tolist()
    return np.random.SeedSequence(words, spawn_key=(replicate,))


def streams(
    seed: int, condition: str, replicates: Sequence[int], method: str = ""
) -> list[np.random.Generator]:
    """Return `stream` of every replicate, bit for bit, hashed together."""
    if len(replicates) < _WORTHWHILE:
        return [stream(seed, condition, replicate, method) for replicate in replicates]
    states = _states(_address(seed, condition, method), np.asarray(replicates, dtype=np.uint32))
    hashed: list[Any] = [
        _Hashed(state, (seed, condition, replicate, method))
        for state, replicate in zip(states, replicates, strict=True)
    ]
    return [np.random.Generator(np.random.PCG64(sequence)) for sequence in hashed]


class LazyStreams(UserList[np.random.Generator]):
    """A list of generators that is made when it is first looked at: not every method does."""

    def __init__(self, generators: Iterable[np.random.Generator]) -> None:
        self._generators = generators

    @classmethod
    def of(cls, *address: Any) -> LazyStreams:
        """Return what `streams` returns of an address."""

        def made() -> Iterator[np.random.Generator]:
            yield from streams(*address)

        return cls(made())

    @cached_property
    def data(self) -> list[np.random.Generator]:  # type: ignore[override]  # as UserList has it
        """The list itself."""
        return list(self._generators)

    def __copy__(self) -> LazyStreams:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (self.data,)


class _Hashed(ISpawnableSeedSequence):
    """A SeedSequence whose first words are hashed already; it spawns like the plain one."""

    def __init__(self, state: NDArray[np.uint64], address: tuple[int, str, int, str]) -> None:
        self._state = state
        self._address = address

    @cached_property
    def _plain(self) -> np.random.SeedSequence:
        return seed_sequence(*self._address)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        if n_words == len(self._state) and dtype is np.uint64:
            return self._state
        return self._plain.generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> Any:
        return self._plain.spawn(n_children)


@lru_cache(maxsize=1024)
def _address(seed: int, condition: str, method: str) -> Words:
    digest = hashlib.sha256(f"{seed}|{condition}|{method}".encode()).digest()
    return np.frombuffer(digest[:16], dtype="<u4")


def _states(address: Words, replicates: Words) -> NDArray[np.uint64]:
    """Return what SeedSequence(address, spawn_key=(replicate,)) gives PCG64, shape (R, 4)."""
    # As 64-bit words, of which 32 bits count: those of the address are integers of Python, which
    # are faster than arrays of one.
    step = iter(itertools.pairwise(_constants(_INIT_A, _MULT_A, _POOL * (_POOL + 1) + 1)))
    pool = [_hash(word, *next(step)) for word in address.tolist()]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                pool[target] = _mix(pool[target], _hash(pool[source], *next(step)))
    numbers = replicates.astype(np.uint64)
    pools = [_mix(word, _hash(numbers, *next(step))) for word in pool]
    constants = _constants(_INIT_B, _MULT_B, 2 * _POOL + 1)
    words = [_hash(pools[i % _POOL], constants[i], constants[i + 1]) for i in range(2 * _POOL)]
    return np.stack(words, axis=-1).astype(np.uint32).view(np.uint64)


def _constants(first: int, factor: int, count: int) -> list[int]:
    values = [first]
    while len(values) < count:
        values.append(values[-1] * factor & _WORD)
    return values


def _hash(words: Any, before: int, after: int) -> Any:
    hashed = (words ^ before) * after & _WORD
    return hashed ^ (hashed >> _SHIFT)


def _mix(left: int, right: Any) -> Any:
    mixed = (_MIX_LEFT * left - _MIX_RIGHT * right) & _WORD
    return mixed ^ (mixed >> _SHIFT)
