"""Results read back, condition by condition."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mcstudy
from mcstudy import MCStudyError, open_results, run
from mcstudy.analysis.load import condition_rows, rows_by_condition
from mcstudy.storage.folder import RecordedStudy
from mcstudy.storage.rows import StudyRows

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


@pytest.mark.parametrize(("budget", "together"), [(2**28, 2**17), (2**28, 0), (1, 0)])
def test_identity_rows_are_those_of_the_tables(uneven, budget, together, monkeypatch):
    monkeypatch.setattr("mcstudy.storage.rows.NUMBERS", together)
    pieces = list(rows_by_condition(uneven.folder, budget=budget))
    assert len(pieces) == (2 if budget > 1 else 4)
    assert sum(piece.first for piece in pieces) == 2
    assert_same(uneven, pieces)


@pytest.mark.parametrize("first", [0, 1, 20, 35, 1000])
def test_identity_rows_up_to_a_replicate(uneven, first):
    holding = RecordedStudy.of(uneven.folder)
    rows = StudyRows(holding.stored(), holding.truths, level=0.95, first=first)
    pieces = list(condition_rows(rows))
    if first:
        assert_same(uneven, pieces, lambda table: table[table.replicate < first])
    else:
        assert pieces == []


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


VARIED = """
import warnings

from mcstudy import Skip

def simulate(rng, *, n):
    return n, rng.normal(size=n)

def mean(data):
    n, sample = data
    own = {"std_error": 1.0, "df": n - 1} if n % 2 else {"intervals": {"own": (-1, 1)}}
    diagnostics = {"text": "odd" if n % 2 else n, "place": None if n < 6 else 0.5}
    answer = {"mean": Estimate(sample.mean(), **own)}
    if n > 4:
        answer["first"] = Estimate(sample[0], p_value=0.5)
    return Fit(answer, diagnostics=diagnostics)

def picky(data):
    n, sample = data
    if n == 4:
        raise Skip("even")
    if sample[0] < 0:
        warnings.warn("negative")
    return {"mean": Estimate(sample[0], 1.0)}

study = Study(
    name="varied",
    simulate=simulate,
    estimands=lambda *, n: {"mean": n / 2},
    methods={"mean": mean, "picky": picky},
    conditions=grid(n=[2, 3, 4, 5, 6, 7, 8, 9, 11, 13]),
    replicates=6,
    seed=3,
)
"""


def test_contract_tables_are_the_same_whether_small_conditions_are_read_together(
    study_file, tmp_path, monkeypatch
):
    path = study_file(body=VARIED)
    together = run(path, tmp_path / "together", jobs=1, quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr("mcstudy.storage.rows.NUMBERS", 0)
        patch.setattr("mcstudy.storage.rows._WHOLE", 0)
        alone = run(path, tmp_path / "alone", jobs=1, quiet=True)
    holding = RecordedStudy.of(alone.folder)
    sizes = [len(group) for group in StudyRows(holding.stored(), holding.truths, level=0.95).groups]
    assert min(sizes) == 1 < max(sizes)
    assert sum(sizes) == 10
    assert together.digests() == alone.digests()
    assert set(together.fits["status"]) == {"ok", "skipped"}
    assert together.fits["warned"].any()


def test_contract_many_row_groups(uneven, monkeypatch, tmp_path):
    monkeypatch.setattr("mcstudy.storage.rows.BLOCK", 8)
    study = mcstudy.load_study(uneven.folder.parents[1] / "study_file.py")
    small = run(study, tmp_path / "s", jobs=1, quiet=True)
    assert_same(small, rows_by_condition(small.folder))


def test_contract_a_damaged_or_missing_part_is_one_line(uneven):
    first, *others = sorted((uneven.folder / "parts").glob("*/*/*.parquet"))
    content = bytearray(first.read_bytes())
    content[40] ^= 1
    first.write_bytes(content)
    with pytest.raises(MCStudyError, match=r"damaged .*; run the study again to have"):
        list(rows_by_condition(uneven.folder))
    for path in (first, *others):
        path.unlink()
    with pytest.raises(MCStudyError, match="its parts are gone, and this needs the rows in them"):
        list(rows_by_condition(uneven.folder))


def test_contract_the_long_tables_are_no_step_to_a_measure(uneven):
    before = str(replace(uneven.compare("fails", "both"), fits=None))
    for name in ("fits", "estimates", "intervals", "timings"):
        (uneven.folder / f"{name}.parquet").unlink()
    assert str(open_results(uneven.folder).compare("fails", "both")) == before


def test_contract_a_further_method_or_condition_changes_no_other_measure(study_file, tmp_path):
    few = ("grid(n=[10, 5])", "grid(n=[5])")
    alone = run(study_file(few, body=UNEVEN), tmp_path / "a", jobs=1, quiet=True, methods=["fails"])
    both = run(study_file(body=UNEVEN), tmp_path / "b", jobs=1, quiet=True).performance
    same = both[(both.n == 5) & (both.method == "fails") & (both.estimand != "first")]
    own = alone.performance[alone.performance.estimand != "first"]
    pd.testing.assert_frame_equal(
        same.reset_index(drop=True), own.reset_index(drop=True), check_exact=True
    )


def test_contract_an_unknown_status_is_one_line(uneven, monkeypatch):
    monkeypatch.setattr("mcstudy.analysis.load.STATUSES", ("ok",))
    with pytest.raises(MCStudyError, match="has the status 'error'"):
        list(rows_by_condition(uneven.folder))
