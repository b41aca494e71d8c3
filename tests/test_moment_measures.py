"""A study that keeps measures, not rows: the same values, whatever the way."""

import itertools
import signal
import subprocess
import sys

import numpy as np
import pytest

from mcstudy import MCStudyError, open_results, run, summarize
from mcstudy.analysis.measures import (
    Cell,
    empirical_se,
    model_se,
    relative_error_model_se,
    rmse,
    standardized_bias,
)
from mcstudy.analysis.moment_measures import summary_lines
from mcstudy.cli import main
from mcstudy.execution import scheduler
from mcstudy.execution.collect import collect
from mcstudy.method import Estimate
from mcstudy.simulation.answers import Answers
from mcstudy.simulation.validation import checked
from mcstudy.storage import moment_tables
from mcstudy.storage.moment_tables import joined_moments, moments_table, summary
from mcstudy.storage.store import Store

KEEP = ("seed=7,", 'seed=7, keep="measures", null=0.5,')
NULL = ("seed=7,", "seed=7, null=0.5,")
FEW = ("replicates=60", "replicates=25")
SAME = (
    "bias",
    "relative_bias",
    "mse",
    "coverage",
    "width",
    "miss_below",
    "miss_above",
    "rejection",
)
MOODY = (
    "def jittered(sample, rng):",
    """def jittered(sample, rng):
    if sample[0] > 1.0:
        raise ValueError(f"too much: {sample[0]:.6f}")
    if sample[0] < -1.0:
        return Fit({"mean": Estimate(0.0)}, Status.BOUNDARY)
    if sample[1] < -1.0:
        return {"mean": Estimate(float("nan"), 1.0)}
    if sample[1] > 1.0:
        return {"mean": Estimate(sample.mean(), 2.0)}
""",
)


def answers(estimate, std_error=None, lower=None, upper=None):
    found = Answers(len(estimate))
    answer = {"x": Estimate(estimate, std_error, lower, upper)}
    found.store_batch(np.arange(len(estimate)), checked(answer, len(estimate)))
    return found


def measured(found, truth):
    kept = summary([moments_table(found, 0, {"x": truth}, {})])
    lines = summary_lines({"m": kept}, {"m": kept.given}, {"x": truth}, {})
    return {(line[2], line[3]): (line[4], line[5], line[8]) for line in lines}


@pytest.fixture
def digests(study_file, tmp_path):
    return run(study_file(KEEP, MOODY), tmp_path / "plain", jobs=1, quiet=True).digests()


@pytest.mark.slow
def test_identity_measures_are_those_of_rows(study_file, tmp_path):
    rows = run(study_file(NULL, MOODY), tmp_path / "rows", replicates=1500, jobs=1, quiet=True)
    kept = run(study_file(KEEP, MOODY), tmp_path / "kept", replicates=1500, jobs=1, quiet=True)
    key = ["n", "mean", "method", "estimand", "interval", "measure"]
    both = rows.performance.merge(kept.performance, on=key, how="left", suffixes=("", "_kept"))
    assert len(both) == len(rows.performance)
    needs_rows = both.measure.isin(["median_bias", "mad", "bias_eliminated_coverage"])
    both = both[~needs_rows]
    assert both.used.equals(both.used_kept.astype(int))
    assert both.replicates.equals(both.replicates_kept.astype(int))
    np.testing.assert_allclose(both.value, both.value_kept, rtol=1e-12, atol=1e-14)
    same = both[both.measure.isin(SAME) | both.measure.str.startswith("share")]
    np.testing.assert_allclose(same.mcse, same.mcse_kept, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(same.lower, same.lower_kept, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(both.mcse, both.mcse_kept, rtol=0.1, atol=1e-14)
    assert "rejection" in set(both.measure)


@pytest.mark.parametrize("skewed", [False, True])
def test_identity_infinitesimal_jackknife_is_near_the_jackknife(skewed):
    rng = np.random.default_rng(11)
    n = 10_000
    x = rng.chisquare(4, n) if skewed else rng.normal(2.0, 3.0, n)
    u = np.abs(x) + rng.chisquare(9, n)
    found = measured(answers(x, u), 1.5)
    cell = Cell(1.5, x, u)
    for measure in (empirical_se, rmse, model_se, relative_error_model_se, standardized_bias):
        value, mcse, used, _ = measure(cell)
        assert found[None, measure.__name__][0] == pytest.approx(value, rel=1e-11)
        assert found[None, measure.__name__][1] == pytest.approx(mcse, rel=0.003)
        assert found[None, measure.__name__][2] == used == n


def test_identity_relative_error_is_of_the_replicates_that_have_both():
    rng = np.random.default_rng(8)
    x, u = rng.chisquare(4, 500), rng.chisquare(9, 500)
    x[::7], u[::5] = np.nan, np.nan
    both = np.isfinite(x) & np.isfinite(u)
    found = measured(answers(x, u), 1.5)[None, "relative_error_model_se"]
    alone = measured(answers(x[both], u[both]), 1.5)[None, "relative_error_model_se"]
    assert found == alone
    assert found[0] == pytest.approx(relative_error_model_se(Cell(1.5, x, u)).value, rel=1e-11)
    assert found[2] == both.sum()


@pytest.mark.slow
def test_law_missing_standard_errors_leave_the_error_of_relative_error_right():
    """The MCSE against the spread over 400 repetitions, where a third lacks its standard error."""
    rng = np.random.default_rng(5)
    values, errors = [], []
    for _ in range(400):
        x = rng.chisquare(6, 200)
        se = np.where(rng.random(200) < 1 / 3, np.nan, np.sqrt(x))
        value, mcse, used = measured(answers(x, se), 6.0)[None, "relative_error_model_se"]
        values.append(value)
        errors.append(mcse)
        assert used == np.isfinite(se).sum()
    assert abs(np.mean(errors) / np.std(values, ddof=1) - 1) < 3 / np.sqrt(2 * 400)


def test_identity_a_bias_far_above_the_spread_costs_no_digit():
    noise = np.random.default_rng(1).normal(size=1000)
    for power in (10, 20, 30):
        x = np.round(noise * 2.0**20) / 2.0**20
        near = measured(answers(x, np.exp(noise)), 0.0)
        found = measured(answers(x + 2.0**power, np.exp(noise)), 0.0)
        for name in ("empirical_se", "relative_error_model_se"):
            assert found[None, name] == pytest.approx(near[None, name], rel=1e-12)
    constant = measured(answers(np.full(100, 0.1)), 7.3)
    assert constant[None, "empirical_se"][:2] == (0.0, 0.0)
    assert constant[None, "bias"][:2] == (0.1 - 7.3, 0.0)


def test_contract_one_replicate_none_and_no_truth():
    one = measured(answers(np.array([2.0]), np.array([1.0])), 1.0)
    assert one[None, "bias"][0] == 1.0
    assert np.isnan(one[None, "bias"][1])
    assert np.isnan(one[None, "empirical_se"][0])
    assert np.isnan(one[None, "relative_error_model_se"][0])
    two = measured(answers(np.array([2.0, 3.0]), np.array([1.0, 2.0])), 1.0)
    for name in ("empirical_se", "standardized_bias", "relative_error_model_se"):
        assert np.isfinite(two[None, name][0])
        assert np.isnan(two[None, name][1])
    assert np.isfinite(two[None, "model_se"][1])
    none = measured(answers(np.array([np.nan, np.inf])), 1.0)
    assert none[None, "bias"][2] == none[None, "mse"][2] == none[None, "empirical_se"][2] == 0
    blind = measured(answers(np.array([2.0, 4.0, 9.0])), np.nan)
    assert np.isnan(blind[None, "bias"][0])
    assert blind[None, "empirical_se"][0] == pytest.approx(np.std([2, 4, 9], ddof=1))
    assert np.isnan(measured(answers(np.array([2.0, 4.0])), 0.0)[None, "relative_bias"][0])


def piece_of(found, start, stop):
    """Return the answers from row `start` to `stop`."""
    piece = Answers(stop - start)
    piece.status, piece.warned = found.status[start:stop], found.warned[start:stop]
    piece.messages = {r - start: m for r, m in found.messages.items() if start <= r < stop}
    piece.numbers = {key: column[start:stop] for key, column in found.numbers.items()}
    return piece


def table_of(found, start, stop, first=0):
    """Return the table of these rows, of which the first one is replicate `first`."""
    return moments_table(piece_of(found, start, stop), first + start, {"x": 0.3}, {"x": 1.0})


def wild(count, seed=3):
    rng = np.random.default_rng(seed)
    estimate, std_error = rng.standard_cauchy(count), rng.chisquare(3, count)
    estimate[::17], std_error[::11] = np.nan, np.inf
    found = answers(estimate, std_error, estimate - std_error, estimate + std_error)
    for row in range(0, count, 2):
        found.fail(row, f"number {row} of kind {'abcdefghijklm'[row % 13]}")
    return found


@pytest.mark.parametrize("seed", range(5))
def test_identity_any_cuts_overlaps_and_orders_give_the_same_bits(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    found = wild(500)
    whole = table_of(found, 0, 500, first=40)
    edges = [0, *sorted(rng.choice(np.arange(1, 500), 6, replace=False).tolist()), 500]
    cuts = list(itertools.pairwise(edges))
    for _ in range(4):
        start, stop = sorted(rng.choice(501, 2, replace=False).tolist())
        cuts.append((start, stop))
    monkeypatch.setattr(moment_tables, "_CELLS", int(rng.integers(100, 5000)))
    pieces = [table_of(found, start, stop, first=40) for start, stop in cuts]
    rng.shuffle(pieces)
    assert joined_moments(pieces).equals(whole)
    assert joined_moments([joined_moments(pieces[:4]), *pieces[4:]]).equals(whole)
    assert summary(pieces) == summary([joined_moments(pieces)]) == summary([whole])
    assert joined_moments([whole]).equals(whole)


def test_contract_a_range_takes_few_blocks_that_say_where_they_are():
    blocks = table_of(wild(1000), 0, 1000, first=37).select(["start", "size"]).to_pydict()
    found = sorted(set(zip(blocks["start"], blocks["size"], strict=True)))
    assert found[0][0] == 37
    assert all(a + n == b for (a, n), (b, _) in itertools.pairwise(found))
    assert sum(found[-1]) == 1037
    assert all(n & (n - 1) == 0 == start % n for start, n in found)
    assert len(found) <= 2 * np.log2(1000)


def test_contract_what_only_some_jobs_gave_is_that_of_these():
    rng = np.random.default_rng(4)
    both = Answers(70)
    x, y = rng.normal(size=70), rng.normal(size=70)
    both.store_batch(np.arange(70), checked({"x": Estimate(x)}, 70))
    for row in range(33, 50):
        both.store(row, checked({"x": Estimate(x[row]), "y": Estimate(y[row], 1.0)}))
    only_x = Answers(33)
    only_x.store_batch(np.arange(33), checked({"x": Estimate(x[:33])}, 33))
    pieces = [moments_table(only_x, 0, {}, {}), table_of(both, 33, 70)]
    pieces[1] = moments_table(piece_of(both, 33, 70), 33, {}, {})
    assert joined_moments(pieces).equals(moments_table(both, 0, {}, {}))
    assert summary(pieces).of("error", "y").n == 17


def test_contract_the_larger_of_two_blocks_counts_and_of_equal_ones_the_first():
    new, old = answers(np.arange(8.0)), answers(np.arange(8.0) + 100)
    tables = [moments_table(new, 0, {}, {}), moments_table(old, 0, {}, {})]
    part = moments_table(piece_of(new, 0, 3), 0, {}, {})
    assert summary(tables).of("error", "x").x == 3.5
    assert summary(tables[::-1]).of("error", "x").x == 103.5
    assert summary([part, tables[1]]).of("error", "x").x == 103.5


@pytest.mark.parametrize(("seed", "limits"), [(1, (3, 5)), (2, (1, 1)), (3, (100, 100))])
def test_contract_addresses_are_limited_the_same_way_for_any_cut(monkeypatch, seed, limits):
    monkeypatch.setattr(moment_tables, "ADDRESSES", limits[0])
    monkeypatch.setattr(moment_tables, "KINDS", limits[1])
    rng = np.random.default_rng(seed)
    words = rng.choice(list("abcdefghijklmnop"), 400)
    found = Answers(400)
    for row in range(400):
        found.fail(row, f"kind {words[row]} at {row}")
    whole = summary([moments_table(found, 0, {}, {})])
    assert len(whole.addresses) == min(limits[1], 16)
    assert whole.replicates == whole.statuses["error"] == 400
    for outcome, fits in whole.outcomes.items():
        rows = [r for r in range(400) if outcome.kind == f"kind {words[r]} at #"]
        if outcome.kind is not None:
            assert fits == len(rows)
            kept = [(r, f"kind {words[r]} at {r}") for r in rows[: limits[0]]]
            assert whole.addresses[outcome] == kept
    cuts = [(0, 3), (3, 50), (20, 130), (51, 300), (50, 51), (300, 400)]
    rng.shuffle(cuts)
    pieces = [moments_table(piece_of(found, *cut), cut[0], {}, {}) for cut in cuts]
    assert summary(pieces) == whole
    assert summary([joined_moments(pieces[:3]), joined_moments(pieces[3:])]) == whole


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.005, pytest.param(0.0, marks=pytest.mark.xslow)])
def test_contract_same_tables_for_any_job_size_workers_and_joining(
    study_file, tmp_path, monkeypatch, seconds
):
    plain = run(study_file(KEEP, MOODY, FEW), tmp_path / "plain", jobs=1, quiet=True)
    digests = plain.digests()
    assert set(plain.endings.status) == {"boundary", "error", "not_finite"}
    monkeypatch.setattr(scheduler, "JOB_SECONDS", seconds)
    path = study_file(KEEP, MOODY, FEW)
    assert run(path, tmp_path / "one", jobs=1, quiet=True).digests() == digests
    run(path, tmp_path / "two", jobs=2, replicates=9, methods=["jittered"], quiet=True)
    two = run(path, tmp_path / "two", jobs=2, quiet=True)
    assert two.digests() == digests
    assert set(two.digests()) == {"conditions", "endings", "performance"}


@pytest.mark.slow
def test_contract_a_part_within_another_counts_once(study_file, tmp_path, digests, monkeypatch):
    path = study_file(KEEP, MOODY)
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", lambda *_: None)
        both = run(path, tmp_path / "a", jobs=1, quiet=True)
        assert len(list((both.folder / "parts").glob("*/*/*.parquet"))) == 488
        assert both.digests() == digests
        assert summarize(both.folder).digests() == digests
    after = run(path, tmp_path / "a", jobs=1, quiet=True)
    assert len(list((both.folder / "parts").glob("*/*/*.parquet"))) == 8
    assert after.digests() == digests


@pytest.mark.slow
def test_contract_shares_of_different_cuts_are_collected(study_file, tmp_path, digests):
    path = study_file(KEEP, MOODY)
    for k, of in [(1, 2), (2, 3), (3, 3)]:
        run(path, tmp_path / "a", part=(k, of), jobs=1, quiet=True)
    done = collect(path, results=tmp_path / "a", quiet=True)
    assert not done.missing
    assert run(path, tmp_path / "a", jobs=1, quiet=True).digests() == digests


@pytest.mark.slow
def test_contract_killed_and_resumed(study_file, tmp_path, digests):
    path = study_file(
        KEEP,
        MOODY,
        ("return rng.normal(mean", "import time; time.sleep(0.002); return rng.normal(mean"),
    )
    code = (
        "import os, signal, sys; from mcstudy import run; from mcstudy.execution import scheduler\n"
        "from mcstudy.storage.store import Store\n"
        "scheduler.JOB_SECONDS, add, left = 0.02, Store.add, [9]\n"
        "def adding(*arguments):\n"
        "    left[0] -= 1\n"
        "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    add(*arguments)\n"
        "Store.add = adding\n"
        "run(sys.argv[1], sys.argv[2], jobs=1, quiet=True)"
    )
    child = subprocess.run([sys.executable, "-c", code, path, tmp_path / "a"])
    assert child.returncode == -signal.SIGKILL
    whole = run(path, tmp_path / "b", jobs=1, quiet=True)
    resumed = run(path, tmp_path / "a", jobs=1, quiet=True)
    assert resumed.digests() == whole.digests()
    assert resumed.performance.equals(
        run(study_file(KEEP, MOODY), tmp_path / "plain", jobs=1, quiet=True).performance
    )


def test_contract_what_is_kept_cannot_change(study_file, tmp_path):
    run(study_file(), tmp_path / "a", jobs=1, quiet=True)
    run(study_file(KEEP), tmp_path / "b", jobs=1, quiet=True)
    with pytest.raises(MCStudyError, match="a/normal: keeps rows and this study has keep='mea"):
        run(study_file(KEEP), tmp_path / "a", jobs=1, quiet=True)
    with pytest.raises(MCStudyError, match="b/normal: keeps measures and this study has keep='r"):
        run(study_file(), tmp_path / "b", jobs=1, changed="discard", quiet=True)
    with pytest.raises(MCStudyError, match="keep is 'all'; say 'rows' or 'measures'"):
        run(study_file(("seed=7,", 'seed=7, keep="all",')), tmp_path / "c")


@pytest.mark.slow
def test_contract_sums_of_another_truth_are_computed_anew(study_file, tmp_path):
    run(study_file(KEEP), tmp_path / "a", jobs=1, quiet=True)
    other = study_file(KEEP, ('{"mean": mean}', '{"mean": mean + 1}'), name="other.py")
    with pytest.raises(MCStudyError, match=r"the truth of mean at mean=0, n=5: 0.0 -> 1.0"):
        run(other, tmp_path / "a", jobs=1, quiet=True)
    with pytest.raises(MCStudyError, match="its sums are about other numbers: the truth of mean"):
        run(other, tmp_path / "a", jobs=1, changed="keep", quiet=True)
    anew = run(other, tmp_path / "a", jobs=1, changed="discard", quiet=True)
    assert anew.digests() == run(other, tmp_path / "b", jobs=1, quiet=True).digests()


@pytest.mark.slow
def test_contract_sums_of_other_code_are_kept_or_computed_anew(study_file, tmp_path):
    run(study_file(KEEP), tmp_path / "a", replicates=20, jobs=1, quiet=True)
    edited = study_file(KEEP, ("0.01 * rng", "0.02 * rng"), name="edited.py")
    with pytest.raises(MCStudyError, match="the code of method 'jittered'"):
        run(edited, tmp_path / "a", jobs=1, quiet=True)
    kept = run(edited, tmp_path / "a", changed="keep", jobs=1, quiet=True)
    assert set(kept.performance.replicates) == {60}
    run(study_file(KEEP), tmp_path / "b", replicates=20, jobs=1, quiet=True)
    anew = run(edited, tmp_path / "b", changed="discard", jobs=1, quiet=True)
    again = run(edited, tmp_path / "b", jobs=1, quiet=True)
    whole = run(edited, tmp_path / "c", jobs=1, quiet=True)
    assert anew.digests() == again.digests() == whole.digests()
    assert kept.digests() != whole.digests()


@pytest.mark.slow
def test_contract_another_null_value_is_another_sum(study_file, tmp_path):
    run(study_file(KEEP), tmp_path / "a", jobs=1, quiet=True)
    other = study_file(KEEP, ("null=0.5", "null=1.5"), name="other.py")
    with pytest.raises(MCStudyError, match=r"the null value of mean at mean=0, n=5 0.5 -> 1.5"):
        run(other, tmp_path / "a", jobs=1, quiet=True)
    anew = run(other, tmp_path / "a", jobs=1, changed="discard", quiet=True)
    assert anew.digests() == run(other, tmp_path / "b", jobs=1, quiet=True).digests()


def test_contract_the_summary_says_what_needs_rows(study_file, tmp_path, capfd):
    path = study_file(KEEP, MOODY)
    assert main(["run", str(path), "--results", str(tmp_path), "--jobs", "1"]) == 0
    out = capfd.readouterr().out
    assert "No rows are kept (keep='measures'): there is no median_bias, mad" in out
    results = open_results(tmp_path / "normal")
    with pytest.raises(MCStudyError, match="has no table 'fits', the study keeps measures"):
        _ = results.fits
    folder = str(results.folder)
    assert main(["compare", folder, "--methods", "average,jittered"]) == 2
    assert "normal: keeps measures, and " in capfd.readouterr().err
    endings = results.endings
    assert set(endings.status) == {"error", "boundary", "not_finite"}
    raised = endings[endings.status == "error"]
    assert set(raised.kind) == {"ValueError: too much: #"}
    assert raised.message.str.fullmatch(r"ValueError: too much: \d\.\d{6}").all()
    shares = results.performance.query("measure == 'share_error' and method == 'jittered'")
    assert raised.groupby("condition").fits.first().sum() == round(shares.value.sum() * 60)
