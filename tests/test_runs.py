"""Two runs compared: which numbers moved."""

import json

import numpy as np
import pandas as pd
import pytest

from mcstudy import MCStudyError, open_results, run
from mcstudy.analysis.measure_set import measured
from mcstudy.analysis.measures import Cell
from mcstudy.cli import main
from mcstudy.comparison.influence import KNOWN, OF_LIMITS, contributions
from mcstudy.comparison.same_data import Agreement
from mcstudy.results import compare_runs

OTHER = ("sample.mean() + 0.01 * rng.normal()", "sample.mean() + 0.1 + 0.01 * rng.normal()")
SEED = ("seed=7", "seed=8")
SIMULATE = ("rng.normal(mean, size=n)", "rng.normal(mean, 1.0, size=n)")


@pytest.fixture
def make(study_file, tmp_path):
    """Run the plain study, edited, into a folder of its own."""

    def made(folder, *edits, **arguments):
        path = study_file(*edits)
        return run(path, tmp_path / folder, jobs=1, quiet=True, **arguments)

    return made


def cell(count=400, seed=1):
    rng = np.random.default_rng(seed)
    estimate = 2 + rng.chisquare(9, count) / 9
    std_error = rng.chisquare(9, count) / 20
    estimate[::11], std_error[::5] = np.nan, np.nan
    return Cell(2.9, estimate, std_error, estimate - 0.8, estimate + 0.4)


@pytest.mark.parametrize("measure", sorted(KNOWN - {"bias_eliminated_coverage"}))
def test_identity_contributions_add_up_to_the_mcse(measure):
    of = cell(4000)
    parts = contributions(measure, of)
    loose = measure not in (OF_LIMITS | {"bias", "relative_bias", "mse"})
    known = measured(measure, of).mcse
    assert np.sqrt((parts**2).sum()) == pytest.approx(known, rel=0.03 if loose else 1e-3)


def test_law_z_of_runs_without_a_difference_is_standard_normal():
    """Two methods' noise on the same data: the paired error is that of the difference."""
    rng = np.random.default_rng(4)
    z = {measure: [] for measure in ("bias", "rmse", "empirical_se", "coverage")}
    for _ in range(300):
        shared = rng.normal(size=300)
        cells = []
        for _ in range(2):
            x = shared + 0.3 * rng.normal(size=300)
            cells.append(Cell(0.0, x, x, x - 1.5, x + 1.5))
        for measure, found in z.items():
            a, b = (measured(measure, one).value for one in cells)
            difference = contributions(measure, cells[1]) - contributions(measure, cells[0])
            found.append((b - a) / np.sqrt((difference**2).sum()))
    for found in z.values():
        assert np.mean(found) == pytest.approx(0, abs=4 / np.sqrt(300))
        assert np.std(found) == pytest.approx(1, abs=0.15)


def test_contract_a_run_against_itself_is_identical(make):
    results = make("a")
    made = compare_runs(results, results.folder)
    assert not made.moved
    assert set(made.frame["outcome"]) == {"identical"}
    assert len(made.frame) == results.performance["value"].notna().sum()
    assert made.only_a.empty
    assert made.only_b.empty
    assert "Nothing moved" in str(made)


@pytest.mark.slow
def test_contract_a_changed_method_moves_and_the_other_is_identical(make):
    made = compare_runs(make("a"), make("b", OTHER))
    frame = made.frame
    assert made.moved
    assert set(frame[frame.method == "average"]["outcome"]) == {"identical"}
    assert frame["paired"].any()
    bias = frame[(frame.method == "jittered") & (frame.measure == "bias")]
    assert set(bias["outcome"]) == {"moved"}
    assert bias["difference"].to_numpy() == pytest.approx(0.1)
    assert "the same data: seed, code of simulate, Python and numpy are equal" in made.notes[0]


@pytest.mark.slow
def test_identity_paired_errors_are_those_of_the_differences(make):
    edits = ("0.01 * rng.normal()", "0.02 * rng.normal() - 0.001")
    a, b = make("a"), make("b", edits)
    frame = compare_runs(a, b).frame
    rows = [
        results.estimates.query("condition == 'mean=0, n=5' and method == 'jittered'")
        for results in (a, b)
    ]
    x, y = (one.set_index("replicate")["estimate"] for one in rows)
    bias = frame.query("method == 'jittered' and measure == 'bias' and n == 5 and mean == 0")
    assert bias["difference"].item() == pytest.approx((y - x).mean(), rel=1e-9)
    assert bias["error"].item() == pytest.approx((y - x).std() / np.sqrt(60), rel=1e-9)
    assert bias["z"].item() == pytest.approx(bias["difference"].item() / bias["error"].item())


@pytest.mark.slow
def test_contract_other_seeds_are_independent(make):
    a, b = make("a"), make("b", SEED)
    made = compare_runs(a, b)
    assert not made.frame["paired"].any()
    assert "the seeds differ" in made.notes[0]
    assert not made.moved
    bias = made.frame[made.frame.measure == "bias"]
    known = [results.performance.query("measure == 'bias'")["mcse"] for results in (a, b)]
    assert bias["error"].to_numpy() == pytest.approx(np.hypot(*known))
    shares = made.frame[made.frame.measure.str.startswith("share_")]
    assert set(shares["outcome"]) == {"identical"}


@pytest.mark.slow
def test_contract_the_data_decide_where_the_record_does_not(make):
    a = make("a")
    same = compare_runs(a, make("b", SIMULATE))
    assert "go together (p < 1e-6); 480 of 480" in same.notes[0]
    assert same.frame["paired"].any()
    other = compare_runs(a, make("c", ("rng.normal(mean, size=n)", "-rng.normal(-mean, size=n)")))
    assert "the estimates of no method go together" in other.notes[0]
    assert not other.frame["paired"].any()


def test_contract_longer_runs_and_missing_methods_are_matched(make):
    a, b = make("a"), make("b", replicates=90)
    made = compare_runs(a, b)
    assert made.frame["paired"].any()
    assert not made.moved
    alone = compare_runs(a, make("c", methods=["average"]))
    assert set(alone.frame["method"]) == {"average"}
    assert set(alone.only_a["method"]) == {"jittered"}
    assert "numbers are in A only, by method: jittered" in str(alone)


def test_contract_other_endings_and_lengths_are_said(make):
    a = make("a")
    failing = ("sample.mean() + 0.01", "sample.mean() + 0.01 / (sample[0] < 2.5)")
    b = make("b", failing, replicates=90)
    text = " ".join(str(compare_runs(a, b)).split())
    changed = (b.fits.query("replicate < 60 and method == 'jittered'").status == "not_finite").sum()
    assert changed > 0
    assert (
        f"jittered: {changed} of 240 fits ended otherwise in B: ok to not_finite {changed}" in text
    )
    assert "replicates in A and B differ (60 and 90)" in text


def test_law_an_extended_run_differs_by_the_error_of_what_was_added(make):
    a, b = make("a"), make("b", replicates=240)
    bias = compare_runs(a, b).frame.query("measure == 'bias' and method == 'average'")
    for row in bias.itertuples():
        mcse = a.performance.query(
            "measure == 'bias' and method == 'average' and n == @row.n and mean == @row.mean"
        )["mcse"].item()
        assert row.error == pytest.approx(mcse * np.sqrt(1 - 60 / 240), rel=0.25)


def test_contract_rounding_is_no_movement(make):
    made = compare_runs(
        make("a"), make("b", ("0.01 * rng.normal()", "0.01 * rng.normal() + 1e-13"))
    )
    jittered = made.frame[(made.frame.method == "jittered") & (made.frame.measure == "bias")]
    assert set(jittered["outcome"]) == {"rounding"}
    assert not made.moved


@pytest.mark.slow
def test_identity_holm_against_statsmodels(make):
    from statsmodels.stats.multitest import multipletests

    frame = compare_runs(make("a"), make("b", SEED, OTHER)).frame
    known = frame[frame["p_value"].notna()]
    plain = multipletests(known["p_value"], method="holm")[1]
    assert known["p_holm"].to_numpy() == pytest.approx(plain)


@pytest.mark.slow
def test_law_nothing_moves_between_equal_studies_more_often_than_alpha(make):
    seeds = [make(str(seed), ("seed=7", f"seed={seed}")) for seed in range(20, 32)]
    pairs = zip(seeds[::2], seeds[1::2], strict=True)
    assert sum(compare_runs(a, b).moved for a, b in pairs) <= 1


def test_contract_one_replicate_cannot_be_judged(make):
    made = compare_runs(make("a", replicates=1), make("b", OTHER, replicates=1))
    bias = made.frame[(made.frame.measure == "bias") & (made.frame.method == "jittered")]
    assert set(bias["outcome"]) == {"unjudged"}
    assert not made.moved


@pytest.mark.slow
def test_contract_exit_status_and_text(make, capsys):
    a, b = make("a"), make("b", OTHER)
    folders = [str(a.folder), str(b.folder)]
    assert main(["compare", folders[0], folders[0]]) == 0
    assert "Nothing moved" in capsys.readouterr().out
    assert main(["compare", *folders]) == 1
    out = capsys.readouterr().out
    assert out == f"{compare_runs(*folders)}\n"
    assert "Something moved (family-wise level 0.05)" in out
    assert main(["compare", *folders, "--where", "method=average"]) == 0
    capsys.readouterr()
    assert main(["compare", *folders, "--where", "method=lme4"]) == 2
    assert "no method=lme4 here" in capsys.readouterr().err


@pytest.mark.slow
def test_contract_runs_without_a_common_cell_are_said_to_be(make):
    a = make("a")
    b = make("b", ('"mean": mean', '"centre": mean'), ('"mean": Est', '"centre": Est'))
    frame = pd.read_parquet(b.folder / "performance.parquet")
    assert "share_ok" in set(frame["measure"])
    with pytest.raises(MCStudyError, match="have no cell in common to compare"):
        compare_runs(a, b, where="measure=bias")
    assert json.loads((a.folder / "study.json").read_text())["seed"] == 7
    assert not compare_runs(a, open_results(b.folder), where="measure=share_ok").moved


@pytest.mark.slow
def test_contract_runs_that_keep_no_rows_are_compared_as_independent(make):
    kept = ("seed=7", "keep='measures', seed=7")
    a, b = make("a", kept), make("b", kept, ("sample.mean() + 0.01", "sample.mean() + 2 + 0.01"))
    made = compare_runs(a, b)
    assert made.moved
    assert not made.frame["paired"].any()
    assert "no rows are kept to pair" in made.notes[0]
    for ask in (
        lambda: a.compare("jittered", "average"),
        lambda: a.equivalence("jittered", "average"),
        lambda: a.sensitivity("rmse"),
        a.failure_overlap,
    ):
        with pytest.raises(MCStudyError, match="keeps measures, and what lies between fits needs"):
            ask()


def test_contract_failures_of_a_study_without_rows(make, capsys):
    folder = make("a", ("seed=7", "keep='measures', seed=7")).folder
    assert main(["failures", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "How the fits ended" in out
    assert "No rows are kept" in out


DRAWN_LATER = ("rng.normal(mean, size=n)", "rng.normal(mean, size=n + 1)[1:]")
CONDITIONS = ("grid(n=[5, 10], mean=[0.0, 1.5])", "grid(n=[5], mean=range(20))")
OF_OTHER_DATA = (
    "    return rng.normal(mean, size=n)",
    "    return -rng.normal(mean, size=n)[::-1]",
)


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [20, pytest.param(200, marks=pytest.mark.xslow)])
@pytest.mark.parametrize("replicates", [5, 10, 50])
@pytest.mark.parametrize("kind", ["normal", "skewed", "tied", "rare"])
def test_law_independent_data_are_not_called_the_same(replicates, kind, pairs):
    rng = np.random.default_rng(12)
    draw = {
        "normal": lambda shape: rng.normal(size=shape),
        "skewed": lambda shape: rng.lognormal(sigma=2, size=shape),
        "tied": lambda shape: rng.binomial(4, 0.5, size=shape).astype(float),
        "rare": lambda shape: np.maximum(rng.normal(size=shape) - 1.5, 0),
    }[kind]
    for _ in range(pairs):
        apart, same, changed = Agreement(), Agreement(), Agreement()
        for values, others in zip(draw((20, replicates)), draw((20, replicates)), strict=True):
            apart.add(("method", "mean"), values, others)
            same.add(("method", "mean"), values, values)
            noise = 0.3 * rng.normal(size=replicates)
            changed.add(("method", "mean"), values, values + noise)
        assert not apart.found
        assert same.found == same.possible
        if kind != "rare" and (kind, replicates) != ("tied", 5):
            assert same.found
        if kind == "normal":
            assert changed.found


@pytest.mark.slow
def test_law_the_chance_of_the_correlations_is_as_said():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(1000):
        agreement = Agreement()
        for values, others in rng.normal(size=(4, 2, 6)):
            agreement.add(("method", "mean"), values, others)
        series = agreement._series["method", "mean"]
        found.append(series.p_values(series.z, series.matches)[0])
    for level in (0.1, 0.01):
        share = np.mean(np.array(found) < level)
        assert share < level + 4 * np.sqrt(level * (1 - level) / len(found))


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [5, 10])
def test_contract_data_drawn_otherwise_are_not_said_to_be_the_same(make, replicates):
    one = make("a", CONDITIONS, replicates=replicates)
    other = make("b", CONDITIONS, OF_OTHER_DATA, replicates=replicates)
    made = compare_runs(one, other)
    assert "the same data" not in " ".join(made.notes)
    assert "simulate differ and the estimates of no method go together" in made.notes[0]
    assert not made.frame["paired"].any()


@pytest.mark.slow
def test_contract_too_few_replicates_to_tell_are_said_to_be(make):
    one = make("a", replicates=2)
    other = make("b", DRAWN_LATER, replicates=2)
    assert "too few to tell whether the data are the same" in compare_runs(one, other).notes[0]
    same = compare_runs(one, make("c", OTHER, replicates=2))
    assert same.notes[0].startswith("the same data: seed, code of simulate, Python and numpy are")


@pytest.mark.slow
def test_contract_a_constant_estimate_without_a_standard_error_is_compared(make):
    constant = ("sample.mean() + 0.01 * rng.normal()", "1.0")
    one, other = make("a", constant), make("b", constant)
    made = compare_runs(one, other)
    assert not made.moved
    assert made.notes[0].startswith("the same data")
