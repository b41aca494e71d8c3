"""Common random numbers, and the difference of a measure between two levels of a factor."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from mcstudy import Estimate, Study, grid, open_results, run
from mcstudy.cli import main
from mcstudy.errors import ChangedError, ResultsError, StudyError


def sample(rng, *, n, slant, kind):
    x = rng.normal(size=40)[:n]
    return x + slant * (x**2 - 1) if kind == "sum" else x * (1 + slant)


def mean(x):
    return {
        "mu": Estimate(
            x.mean(), x.std(ddof=1) / len(x) ** 0.5, p_value=stats.ttest_1samp(x, 0).pvalue
        )
    }


def noisy(x, rng):
    return {"mu": Estimate(x.mean() + rng.normal())}


STUDY = Study(
    name="slanted",
    simulate=sample,
    estimands=lambda *, n, slant, kind: {"mu": 0.0},
    methods={"mean": mean, "noisy": noisy},
    conditions=grid(n=[10, 40], slant=[0.0, 0.2], kind=["sum", "product"]),
    replicates=200,
    seed=3,
    null=0.0,
    streams="common",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(STUDY, tmp_path_factory.mktemp("common"), jobs=1, quiet=True)


def estimates(results, condition, method="mean"):
    rows = results.estimates
    return rows[(rows["condition"] == condition) & (rows["method"] == method)].reset_index()


def test_contract_a_replicate_has_the_same_data_under_every_condition(results):
    one = estimates(results, 'kind="sum", n=10, slant=0')["estimate"]
    other = estimates(results, 'kind="product", n=10, slant=0')["estimate"]
    assert (one == other).all()
    noise = [
        estimates(results, f'kind="{kind}", n=10, slant=0', "noisy")["estimate"]
        for kind in ("sum", "product")
    ]
    assert (noise[0] == noise[1]).all()


@pytest.mark.slow
def test_contract_independent_streams_stay_what_they_were(tmp_path, results):
    study = dataclasses.replace(STUDY, name="apart", streams="independent")
    apart = run(study, tmp_path, jobs=1, quiet=True)
    one = estimates(apart, 'kind="sum", n=10, slant=0')["estimate"]
    assert not (one == estimates(apart, 'kind="product", n=10, slant=0')["estimate"]).any()
    made = apart.contrast("slant", 0.2, 0.0)
    assert not made.frame["paired"].any()
    assert "the conditions are independent" in str(made)


def test_identity_a_difference_of_biases_is_that_of_the_pairs(results):
    frame = results.contrast("slant", 0.2, 0.0, measure="bias,mse").frame
    row = frame.query("kind == 'sum' and n == 10 and method == 'mean' and measure == 'bias'")
    a = estimates(results, 'kind="sum", n=10, slant=0.2')["estimate"]
    b = estimates(results, 'kind="sum", n=10, slant=0')["estimate"]
    assert row["value"].item() == pytest.approx((a - b).mean(), abs=1e-12)
    assert row["mcse"].item() == pytest.approx((a - b).std() / len(a) ** 0.5)
    row = frame.query("kind == 'sum' and n == 10 and method == 'mean' and measure == 'mse'")
    assert row["mcse"].item() == pytest.approx((a**2 - b**2).std() / len(a) ** 0.5)
    assert frame["paired"].all()


def test_identity_a_difference_of_rejection_rates_is_that_of_the_pairs(results):
    frame = results.contrast("slant", 0.2, 0.0, measure="rejection").frame
    row = frame.query("kind == 'sum' and n == 10 and interval == 'p_value'")
    a, b = (
        (estimates(results, f'kind="sum", n=10, slant={s}')["p_value"] <= 0.05).astype(float)
        for s in ("0.2", "0")
    )
    assert row["value"].item() == pytest.approx((a - b).mean())
    error = max((a - b).std() / len(a) ** 0.5, 1 / (len(a) + 2))
    assert row["mcse"].item() == pytest.approx(error)


def test_law_the_paired_error_is_the_spread_of_the_difference_and_smaller():
    """Over 300 studies; that of independent conditions would be about four times as large."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(300, 100, 10))
    a, b = (x + 0.2 * (x**2 - 1)).mean(axis=2), x.mean(axis=2)
    spread = (a - b).mean(axis=1).std(ddof=1)
    error = ((a - b).std(axis=1, ddof=1) / 10).mean()
    assert error == pytest.approx(spread, rel=0.15)
    independent = np.hypot(a.std(axis=1, ddof=1), b.std(axis=1, ddof=1)).mean() / 10
    assert independent > 3 * error


def test_contract_the_command_shows_the_contrast(results, capsys):
    folder = str(results.folder)
    assert main(["compare", folder, "--contrast", "slant=0.2|0", "--measure", "bias,coverage"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("slant: 0.2 less 0\n")
    assert "paired by replicate" in shown
    assert main(["compare", folder, "--contrast", "n=40|10", "--where", "kind=sum"]) == 0
    assert main(["compare", folder, "--contrast", "n=40|10", "--format", "csv"]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n=40", "--contrast is 'n=40'; write a factor and two levels"),
        ("n=40|10|20", "write a factor and two levels"),
        ("n=40|11", "contrast: no n=11 here; it has 10, 40"),
        ("n=40|40", "contrast: n=40 is given twice; name two levels"),
        ("estimand=mu|nu", "estimand is no factor; name a factor, or method"),
        ("method=mean|none", "contrast: no method=none here; it has mean, noisy"),
        ("method=mean|niosy", "no method=niosy (did you mean 'noisy'?) here"),
        ("size=1|2", "no column 'size'"),
    ],
)
def test_contract_what_is_no_contrast_is_said(results, capsys, text, said):
    assert main(["compare", str(results.folder), "--contrast", text]) == 2
    assert said in capsys.readouterr().err


def test_contract_measures_without_pairs_are_said_to_have_none(results, tmp_path):
    with pytest.raises(ResultsError, match="no measure 'size'"):
        results.contrast("slant", 0.2, 0.0, measure="size")
    own = {"largest": lambda estimate: float(np.max(estimate))}
    small = dataclasses.replace(STUDY, name="own", replicates=10, measures=own)
    made = run(small, tmp_path, jobs=1, quiet=True).contrast(
        "slant", 0.2, 0.0, measure="bias,largest"
    )
    assert "but for largest" in str(made)


def test_identity_two_methods_have_the_paired_errors_of_comparisons(results):
    made = results.contrast("method", "noisy", "mean", measure="bias,mse,mad").frame
    table = results.comparisons
    swap = set(table["method"]) == {"mean"}
    for measure in ("bias", "mse"):
        ours = made[made["measure"] == measure].sort_values(["kind", "n", "slant"])
        theirs = table[table["measure"] == f"{measure}_difference"]
        theirs = theirs.sort_values(["kind", "n", "slant"])
        sign = -1 if swap else 1
        np.testing.assert_allclose(ours["value"], sign * theirs["value"], atol=1e-12)
        np.testing.assert_allclose(ours["mcse"], theirs["mcse"], rtol=1e-9)
    assert made["paired"].all()
    assert "both methods see the same data" in str(results.contrast("method", "noisy", "mean"))


@pytest.mark.slow
def test_law_a_measure_without_an_influence_has_the_spread_of_its_difference(tmp_path):
    found = []
    for seed in range(50):
        small = dataclasses.replace(
            STUDY,
            name="mads",
            seed=seed,
            replicates=120,
            conditions=grid(kind=["mean"], n=[10], slant=[0.0, 0.2]),
        )
        made = run(small, tmp_path / str(seed), jobs=1, quiet=True)
        (row,) = made.contrast(
            "method", "noisy", "mean", measure="mad", where="slant=0"
        ).frame.to_dict("records")
        found.append((row["value"], row["mcse"]))
    value, mcse = np.array(found).T
    # The spread of 50 values is known to 10 %, the jackknife of a median to some 15 %.
    assert np.sqrt((mcse**2).mean()) == pytest.approx(value.std(ddof=1), rel=0.5)


def test_identity_ratios_are_those_of_comparisons(results):
    made = results.contrast("method", "noisy", "mean", measure="mse,bias", ratio=True)
    ours = made.frame[made.frame["measure"] == "mse"].sort_values(["kind", "n", "slant"])
    table = results.comparisons
    theirs = table[table["measure"] == "relative_efficiency"].sort_values(["kind", "n", "slant"])
    value = theirs["value"] if set(table["method"]) == {"mean"} else 1 / theirs["value"]
    relative = theirs["mcse"] / theirs["value"]
    np.testing.assert_allclose(ours["value"], value, rtol=1e-12)
    np.testing.assert_allclose(ours["mcse"] / ours["value"], relative, rtol=0.05)
    assert "noisy over mean" in str(made)
    noise = made.frame[made.frame["measure"] == "bias"]
    assert noise["value"].isna().any()
    both = results.contrast("n", 40, 10, measure="mse", ratio=True).frame
    assert ((both["lower"] < both["value"]) & (both["value"] < both["upper"])).all()


def test_contract_rows_of_both_kinds_of_streams_are_never_mixed(tmp_path):
    small = dataclasses.replace(STUDY, name="mixed", replicates=10)
    run(small, tmp_path, jobs=1, quiet=True)
    with pytest.raises(ChangedError, match=r"seed 3 \(common streams\)"):
        run(dataclasses.replace(small, streams="independent"), tmp_path, jobs=1, quiet=True)
    assert open_results(tmp_path / "mixed").study["streams"] == "common"
    with pytest.raises(StudyError, match="streams is 'same'; say 'independent' or 'common'"):
        dataclasses.replace(small, streams="same")


def test_contract_a_difference_is_held_against_zero(results):
    text = str(results.contrast("slant", 0.2, 0.0, measure="coverage,bias"))
    assert "limits of coverage exclude" not in text
    assert "coverage_difference" in text
    assert "[" not in text.split("\n\n")[1]


def test_contract_a_ratio_over_a_measure_of_zero_is_missing(tmp_path):
    def zero(x):
        return {"mu": Estimate(0.0 if len(x) == 10 else x.mean())}

    study = dataclasses.replace(STUDY, name="zero", methods={"zero": zero}, replicates=5)
    results = run(study, tmp_path, jobs=1, quiet=True)
    frame = results.contrast("n", 40, 10, measure="rmse", ratio=True).frame
    assert frame[["value", "mcse", "lower", "upper"]].isna().all(axis=None)
