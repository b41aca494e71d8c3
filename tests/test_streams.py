"""Where randomness is born."""

import copy
import pickle

import numpy as np

from mcstudy.streams import LazyStreams, stream, streams


def test_identity_hashed_together_or_one_by_one():
    replicates = [*range(8), 57, 2**31, 2**32 - 1]  # fewer than 8 are made one by one
    for address in [(0, "a=1", ""), (2**70, 'b="x"', "method")]:
        seed, condition, method = address
        for fast, replicate in zip(
            streams(seed, condition, replicates, method), replicates, strict=True
        ):
            plain = stream(seed, condition, replicate, method)
            assert fast.bit_generator.state == plain.bit_generator.state
            assert [g.random() for g in fast.spawn(2)] == [g.random() for g in plain.spawn(2)]


def test_contract_each_address_has_its_own_stream():
    draws = {
        stream(seed, condition, replicate, method).random()
        for seed in (1, 2)
        for condition in ("a=1", "a=2")
        for replicate in range(50)
        for method in ("", "x", "y")
    }
    assert len(draws) == 600


def test_law_streams_are_uniform_and_independent():
    draws = np.array([g.random(2) for g in streams(3, "a=1", range(20_000))])
    mcse = np.sqrt(1 / 12 / len(draws))
    assert abs(draws.mean() - 0.5) < 4 * mcse
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 4 / np.sqrt(len(draws))
    assert abs(np.corrcoef(draws.T)[0, 1]) < 4 / np.sqrt(len(draws))


def test_contract_a_batched_method_gets_its_generators_as_a_list():
    address = 7, "n=5", range(8), "m"
    plain = [each.bit_generator.state for each in streams(*address)]
    lazy = LazyStreams.of(*address)
    assert [each.bit_generator.state for each in copy.copy(lazy)] == plain
    assert [each.bit_generator.state for each in lazy[2:5]] == plain[2:5]
    assert len(lazy + [None]) == len([None] + lazy) == 9  # noqa: RUF005 - as a user may write
    assert pickle.loads(pickle.dumps(LazyStreams.of(*address)))[3].bit_generator.state == plain[3]
    last = lazy.pop()
    lazy.append(last)
    assert lazy.index(last) == 7
