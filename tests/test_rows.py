"""Results read back, condition by condition."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mcstudy
from mcstudy import MCStudyError, open_results, run
from mcstudy.analysis.load import rows_by_condition
from mcstudy.storage.checksums import read_seal
from mcstudy.storage.files import write_table
from mcstudy.storage.store import Store

KEY = ("condition", "replicate", "method", "estimand", "interval")
UNEVEN = """
def simulate(rng, *, n):
    return rng.normal(size=n)

def both(sample):
    mean = Estimate(sample.mean(), 1.0, intervals={"b": (-1, 1), "a": (-2, sample[0])})
    return {"mean": mean, "first": Estimate(sample[0])}

def fails(sample):
    if sample[0] < 0:
        raise ValueError("negative")
    return {"mean": Estimate(sample.mean() + 1)}

study = Study(
    name="uneven",
    simulate=simulate,
    estimands=lambda *, n: {"mean": 0.0, "first": n / 2},
    methods={"both": both, "fails": fails},
    conditions=grid(n=[10, 5]),
    replicates=30,
    seed=3,
)
"""


@pytest.fixture
def uneven(study_file, tmp_path):
    """Results in which one method has more replicates than the other."""
    path = study_file(body=UNEVEN)
    run(path, tmp_path / "r", jobs=1, quiet=True)
    run(path, tmp_path / "r", jobs=1, quiet=True, methods=["fails"], replicates=45)
    return open_results(tmp_path / "r" / "uneven")


def as_frames(pieces):
    """Return pieces as the tables they came from."""
    fits, estimates, intervals = [], [], []
    for piece in pieces:
        for method, rows in piece.methods.items():
            key = {"condition": piece.condition, "replicate": rows.replicate, "method": method}
            if piece.first:
                fits.append(pd.DataFrame({**key, "status": rows.status}))
            for estimand, of in rows.estimands.items():
                cell = {**key, "estimand": estimand}
                numbers = {"truth": of.truth, "estimate": of.estimate, "std_error": of.std_error}
                estimates.append(pd.DataFrame({**cell, **numbers}))
                for name, (lower, upper) in of.intervals.items():
                    limits = {"interval": name, "lower": lower, "upper": upper}
                    intervals.append(pd.DataFrame({**cell, **limits}))
    return {
        "fits": pd.concat(fits),
        "estimates": pd.concat(estimates),
        "intervals": pd.concat(intervals),
    }


def assert_same(results, pieces, keep=lambda table: table):
    for name, frame in as_frames(pieces).items():
        table = keep(getattr(results, name))
        key = [k for k in KEY if k in table]
        plain = table[list(frame)].sort_values(key).reset_index(drop=True)
        frame = frame.sort_values(key).reset_index(drop=True)
        pd.testing.assert_frame_equal(frame, plain, check_dtype=False)


@pytest.mark.parametrize("budget", [2**28, 1])
def test_identity_rows_are_those_of_the_tables(uneven, budget):
    pieces = list(rows_by_condition(uneven.folder, budget=budget))
    assert len(pieces) == (2 if budget > 1 else 4)
    assert sum(piece.first for piece in pieces) == 2
    assert_same(uneven, pieces)


@pytest.mark.parametrize("upto", [0, 1, 20, 35, 1000])
def test_identity_rows_up_to_a_replicate(uneven, upto):
    pieces = list(rows_by_condition(uneven.folder, upto=upto))
    if upto:
        assert_same(uneven, pieces, lambda table: table[table.replicate < upto])
    else:
        assert pieces == []


def test_contract_upto_by_condition(uneven):
    pieces = list(rows_by_condition(uneven.folder, upto={"n=5": 7}))
    counts = [(p.condition, [len(m.replicate) for m in p.methods.values()]) for p in pieces]
    assert counts == [("n=5", [7, 7]), ("n=10", [30, 45])]


def test_contract_rows_are_in_order(uneven):
    pieces = list(rows_by_condition(uneven.folder))
    assert [piece.factors for piece in pieces] == [{"n": 5}, {"n": 10}]
    for piece in pieces:
        assert list(piece.methods) == ["both", "fails"]
        assert list(piece.methods["both"].estimands) == ["first", "mean"]
        assert list(piece.methods["both"].estimands["mean"].intervals) == ["a", "b"]
        for rows in piece.methods.values():
            assert (np.diff(rows.replicate) > 0).all()
        assert set(piece.methods["fails"].status) == {"ok", "error"}


def test_contract_many_row_groups(uneven, monkeypatch, tmp_path):
    monkeypatch.setattr("mcstudy.storage.export.BLOCK", 8)
    study = mcstudy.load_study(uneven.folder.parents[1] / "study_file.py")
    small = run(study, tmp_path / "s", jobs=1, quiet=True)
    assert_same(small, rows_by_condition(small.folder))
    assert_same(small, rows_by_condition(small.folder, upto=11), lambda t: t[t.replicate < 11])


def test_contract_a_damaged_table_is_one_line(uneven):
    path = uneven.folder / "estimates.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MCStudyError, match="was damaged or changed by hand"):
        list(rows_by_condition(uneven.folder))
    path.unlink()
    with pytest.raises(MCStudyError, match=r"estimates\.parquet: is missing; to make the tables"):
        list(rows_by_condition(uneven.folder))


def test_contract_a_further_method_or_condition_changes_no_other_measure(study_file, tmp_path):
    few = ("grid(n=[10, 5])", "grid(n=[5])")
    alone = run(study_file(few, body=UNEVEN), tmp_path / "a", jobs=1, quiet=True, methods=["fails"])
    both = run(study_file(body=UNEVEN), tmp_path / "b", jobs=1, quiet=True).performance
    same = both[(both.n == 5) & (both.method == "fails") & (both.estimand != "first")]
    own = alone.performance[alone.performance.estimand != "first"]
    pd.testing.assert_frame_equal(
        same.reset_index(drop=True), own.reset_index(drop=True), check_exact=True
    )


def test_contract_an_unknown_status_is_one_line(uneven):
    path = uneven.folder / "fits.parquet"
    write_table(path, pa.Table.from_pandas(uneven.fits.replace("error", "lost")), {})
    store = Store(uneven.folder)
    tables = {**store.record["tables"], "fits": read_seal(path)}
    store.write_record({**store.record, "tables": tables})
    with pytest.raises(MCStudyError, match="has the status 'lost'"):
        list(rows_by_condition(uneven.folder))
