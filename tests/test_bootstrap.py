"""Bootstrap intervals of a few sizes, and their coverage at infinitely many resamples."""

import numpy as np
import pytest
from scipy import stats

import mcstudy
from mcstudy import Estimate, Study, bootstrap_intervals, grid, run
from mcstudy.analysis.bootstrap import intercept_weights
from mcstudy.errors import ResultsError, StudyError

SIZES = (19, 39, 79, 119)
LONG = 1999


def bootstrap(x, rng):
    """Percentile intervals of a mean, of small sizes and of a long bootstrap."""
    means = x[rng.integers(len(x), size=(LONG, len(x)))].mean(axis=1)
    intervals = bootstrap_intervals(means, SIZES)
    return {
        "mean": Estimate(
            x.mean(), intervals=intervals | bootstrap_intervals(means, [LONG], name="long")
        )
    }


STUDY = Study(
    name="bootstrapped",
    simulate=lambda rng, *, n: rng.exponential(size=n),
    estimands=lambda *, n: {"mean": 1.0},
    methods={"bootstrap": bootstrap},
    conditions=grid(n=[10, 25]),
    replicates=400,
    seed=7,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(STUDY, tmp_path_factory.mktemp("boot"), jobs=1, quiet=True)


def test_law_extrapolated_coverage_is_that_of_a_long_bootstrap(results):
    """The two are of the same data, so their difference has the error of the pairs."""
    made = results.extrapolated()
    rows = results.intervals.merge(results.estimates[["condition", "replicate", "truth"]])
    rows = rows.assign(hit=(rows["lower"] <= rows["truth"]) & (rows["truth"] <= rows["upper"]))
    hits = rows.pivot(index=["condition", "replicate"], columns="interval", values="hit")
    weights = intercept_weights(SIZES)
    for n in (10, 25):
        own = hits.loc[f"n={n}"].astype(float)
        line = own[[f"bootstrap_{size}" for size in SIZES]].to_numpy() @ weights
        (row,) = made.query("n == @n and measure == 'coverage'").to_dict("records")
        assert row["value"] == pytest.approx(line.mean())
        assert row["mcse"] == pytest.approx(line.std(ddof=1) / 20)
        d = line - own[f"long_{LONG}"]
        assert abs(d.mean()) < 4 * d.std(ddof=1) / 20
        # Each of the small sizes alone covers less.
        assert own["bootstrap_19"].mean() < own[f"long_{LONG}"].mean()


def test_law_the_line_ends_where_the_coverage_is_exact():
    """Percentiles of B normal draws cover a further draw with probability exactly 1 - 2k/(B + 1).

    The expected coverage of z by quantiles of B draws of its own law is 0.95 at each of these B,
    so the intercept is 0.95, too; of draws that are too narrow it is not.
    """
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=(20000, 199)), rng.normal(size=20000)
    hits = []
    for size in (39, 79, 199):
        low, high = np.quantile(x[:, :size], (0.025, 0.975), axis=1, method="weibull")
        hits.append((low <= z) & (z <= high))
    line = intercept_weights((39, 79, 199)) @ np.array(hits)
    assert abs(line.mean() - 0.95) < 4 * line.std() / 20000**0.5


def test_identity_weights_make_the_intercept_of_least_squares():
    y = np.array([0.9, 0.93, 0.945, 0.94])
    slope, intercept = np.polyfit(1 / np.array(SIZES), y, 1)
    assert intercept_weights(SIZES) @ y == pytest.approx(intercept)
    assert intercept_weights(SIZES).sum() == pytest.approx(1)
    assert slope != 0


def test_identity_kinds_are_those_of_the_textbook():
    rng = np.random.default_rng(2)
    x = rng.normal(3, 2, size=199)
    ordered = np.sort(x)
    made = bootstrap_intervals(x, [199])["bootstrap_199"]
    assert made == pytest.approx((ordered[4], ordered[194]))
    made = bootstrap_intervals(x, [199], kind="basic", estimate=2.5)["bootstrap_199"]
    assert made == pytest.approx((5 - ordered[194], 5 - ordered[4]))
    made = bootstrap_intervals(x, [199], kind="normal", estimate=2.5, level=0.9)["bootstrap_199"]
    half = stats.norm.isf(0.05) * x.std(ddof=1)
    assert made == pytest.approx((5 - x.mean() - half, 5 - x.mean() + half))


def test_contract_width_and_missing_intervals(results):
    made = results.extrapolated(where="n=10")
    assert set(made["measure"]) == {"coverage", "width"}
    assert "coverage: value" in str(mcstudy.table(made, "coverage"))
    lost = bootstrap_intervals(np.full(39, np.nan), [39])
    assert np.isnan(lost["bootstrap_39"]).all()
    few = bootstrap_intervals([1.0, np.nan, 2.0], [3])
    assert np.isfinite(few["bootstrap_3"]).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1.0, 2.0], [39]), "2 resampled estimates for sizes .39."),
        (([1.0, 2.0], [1]), "each of 2 or more"),
        (([1.0, 2.0], []), "give an array"),
        (([1.0, 2.0], 39), "sizes 39"),
        (([1.0, 2.0], ["2"]), "a list of whole numbers"),
        (("abc", [2]), "resampled is 'abc'"),
    ],
)
def test_contract_sizes_that_do_not_fit_are_refused(arguments, said):
    with pytest.raises(StudyError, match=said):
        bootstrap_intervals(*arguments)


def test_contract_options_are_checked(results):
    x = np.arange(39.0)
    with pytest.raises(StudyError, match="kind is 'bca'; choose from percentile, basic, normal"):
        bootstrap_intervals(x, [39], kind="bca")
    with pytest.raises(StudyError, match="kind='basic' needs estimate"):
        bootstrap_intervals(x, [39], kind="basic")
    with pytest.raises(StudyError, match="level is 95"):
        bootstrap_intervals(x, [39], level=95)
    with pytest.raises(ResultsError, match="no two intervals are called other_39"):
        results.extrapolated("other")
