"""Measures of the user's own: their errors by influence, and two methods compared by them."""

import numpy as np
import pandas as pd
import pytest

from mcstudy import Estimate, MCStudyError, Study, grid, performance, run


def squared(estimate, truth):
    return (estimate - truth) ** 2


def root(estimate, truth):
    return np.sqrt(np.nanmean((estimate - truth) ** 2))


def root_with_influence(estimate, truth):
    square = (estimate - truth) ** 2
    value = np.sqrt(np.nanmean(square))
    return value, square / (2 * value)


def score(lower, upper, truth):
    return upper - lower + 40 * np.maximum(lower - truth, 0) + 40 * np.maximum(truth - upper, 0)


def rejects(p_value):
    return p_value <= 0.05


ORDER = [("squared", squared), ("root", root)]


def interval(sample, shrink):
    se = sample.std(ddof=1) / len(sample) ** 0.5
    mean = shrink * sample.mean()
    return {"mean": Estimate(mean, se, mean - 2 * se, mean + 2 * se, p_value=min(1.0, se / 2))}


def shrunken(sample):
    if sample[0] < -1:
        raise ValueError("low")
    return interval(sample, 0.9)


def study(**changes):
    return Study(
        **{
            "name": "own",
            "simulate": lambda rng, *, n: rng.normal(1, 1, n),
            "estimands": lambda *, n: {"mean": 1.0},
            "methods": {"plain": lambda sample: interval(sample, 1.0), "shrunken": shrunken},
            "conditions": grid(n=[10, 20]),
            "replicates": 300,
            "seed": 1,
            "reference": "plain",
            "measures": {
                "squared": squared,
                "root": root,
                "root_by_influence": root_with_influence,
                "score": score,
                "rejects": rejects,
            },
            **changes,
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return run(study(), tmp_path_factory.mktemp("own"), jobs=1, quiet=True)


def of(table, measure):
    rows = table[table["measure"] == measure].set_index("n")
    return rows[["value", "mcse", "used"]]


def test_identity_a_number_for_each_replicate_has_the_error_of_pairs(made):
    table = made.comparisons
    pd.testing.assert_frame_equal(of(table, "squared_difference"), of(table, "mse_difference"))
    ratio, efficiency = of(table, "squared_ratio"), of(table, "relative_efficiency")
    np.testing.assert_allclose(ratio["value"], 1 / efficiency["value"], rtol=1e-12)
    error = efficiency["mcse"] / efficiency["value"] ** 2
    np.testing.assert_allclose(ratio["mcse"], error, rtol=0.05)


def test_identity_of_true_or_false_the_limits_are_those_of_shares(made):
    table = made.comparisons
    for name in ("value", "mcse", "lower", "upper"):
        own = table[table["measure"] == "rejects_difference"].set_index("n")[name]
        ours = table[table["measure"] == "rejection_difference"].set_index("n")[name]
        np.testing.assert_allclose(own, ours, rtol=1e-12)


def test_identity_an_influence_gives_the_error_of_the_jackknife(made):
    table = made.performance
    by_influence, jackknife = of(table, "root_by_influence"), of(table, "rmse")
    for name, within in (("value", 1e-12), ("mcse", 0.02), ("used", 0)):
        pd.testing.assert_series_equal(
            by_influence.reset_index()[name], jackknife.reset_index()[name], rtol=within
        )
    table = made.comparisons
    for ending in ("difference", "ratio"):
        groups, each = of(table, f"root_{ending}"), of(table, f"root_by_influence_{ending}")
        np.testing.assert_allclose(groups["value"], each["value"], rtol=1e-12)
        np.testing.assert_allclose(groups["mcse"], each["mcse"], rtol=0.4)  # of 40 groups: sd 0.11


@pytest.mark.slow
def test_law_the_error_of_a_difference_is_its_spread(tmp_path):
    rng = np.random.default_rng(1)
    found = []
    for seed in range(60):
        table = run(
            study(seed=seed, replicates=60, conditions=grid(n=[10])),
            tmp_path / str(seed),
            quiet=True,
            jobs=1,
        ).comparisons
        found.append(table.set_index("measure").loc["root_difference", ["value", "mcse"]])
    frame = pd.DataFrame(found).astype(float)
    spread = frame["value"].std()
    # The spread of 60 studies is known to 9 %.
    assert abs(np.sqrt((frame["mcse"] ** 2).mean()) / spread - 1) < 4 * 0.09
    assert rng is not None


@pytest.mark.slow
def test_contract_everything_shows_them(made, tmp_path):
    both = made.compare("shrunken", "plain")
    assert "root_difference" in str(both)
    assert "score_ratio" in str(both)
    turned = made.compare("plain", "shrunken").frame.set_index(["measure", "n"])
    here = both.frame.set_index(["measure", "n"])
    for name in ("root_difference", "score_difference"):
        np.testing.assert_allclose(turned.loc[name, "value"], -here.loc[name, "value"])
        np.testing.assert_allclose(turned.loc[name, "lower"], -here.loc[name, "upper"])
    one, other = turned.loc["score_ratio"], here.loc["score_ratio"]
    np.testing.assert_allclose(one["value"], 1 / other["value"])
    np.testing.assert_allclose(one["upper"], 1 / other["lower"])
    only = made.compare("shrunken", "plain", where="n=10").frame
    assert set(only["n"]) == {10}
    assert "score_difference" in str(made.table("score_difference"))
    assert "score_difference" in made.report(tmp_path / "page.html").read_text()


def test_contract_a_measure_that_raises_is_missing(tmp_path):
    def odd(estimate):
        if len(estimate) < 300:
            raise ValueError("few")
        return 1.0

    results = run(study(measures={"odd": odd}), tmp_path, jobs=1, quiet=True)
    rows = results.comparisons[results.comparisons["measure"] == "odd_difference"]
    assert rows["value"].isna().all()


def test_identity_a_measure_gets_the_level_of_a_factor(tmp_path):
    def scaled(estimate, n):
        return n * (estimate - np.nanmean(estimate)) ** 2

    results = run(study(measures={"scaled": scaled}), tmp_path, jobs=1, quiet=True)
    values = of(results.performance.query("method == 'plain'"), "scaled")["value"]
    for n in (10, 20):
        rows = results.estimates.query(f"condition == 'n={n}' and method == 'plain'")["estimate"]
        assert values[n] == pytest.approx(n * rows.var(ddof=0))
    frame = results.estimates.merge(results.conditions).query("method == 'plain'")
    found = performance(frame, by="n", measures={"scaled": scaled})
    assert of(found, "scaled")["value"].tolist() == pytest.approx(values.tolist())
    assert "scaled_ratio" in set(results.comparisons["measure"])
    with pytest.raises(MCStudyError, match="measure 'm' asks for k; its arguments must be among"):
        study(measures={"m": lambda estimate, k: 1.0})


def test_identity_the_error_of_a_simulated_truth_is_in_the_comparison(tmp_path):
    def truth(rng, *, n):
        return {"mean": (1.0, 0.1)}

    results = run(study(estimands=truth), tmp_path, jobs=1, quiet=True)
    table = results.comparisons
    ours, theirs = of(table, "mse_difference"), of(table, "squared_difference")
    pd.testing.assert_frame_equal(ours, theirs)


def test_contract_shares_that_are_1_have_limits_and_ratios_of_noise_are_missing(tmp_path):
    own = {
        "covers": lambda lower, upper, truth: np.mean((lower <= truth) & (truth <= upper)),
        "noise": lambda estimate, truth: np.nanmean(estimate - truth),
    }
    wide = {
        name: lambda sample, shift=shift: {
            "mean": Estimate(sample.mean() + shift, lower=-99.0, upper=99.0)
        }
        for name, shift in (("plain", 0.0), ("shrunken", 0.01))
    }
    results = run(study(measures=own, methods=wide), tmp_path, jobs=1, quiet=True)
    table = results.comparisons.query("n == 10").set_index("measure")
    own_row, ours = table.loc["covers_difference"], table.loc["coverage_difference"]
    assert (own_row["lower"], own_row["upper"]) == (ours["lower"], ours["upper"])
    assert ours["lower"] < 0 < ours["upper"]
    assert np.isnan(table.loc["noise_ratio", "value"])


def test_contract_tables_follow_the_order_of_the_measures(tmp_path):
    one, other = map(dict, (ORDER, ORDER[::-1]))
    run(study(measures=one, replicates=5), tmp_path / "a", jobs=1, quiet=True)
    again = run(study(measures=other, replicates=5), tmp_path / "a", jobs=1, quiet=True)
    anew = run(study(measures=other, replicates=5), tmp_path / "b", jobs=1, quiet=True)
    assert again.digests() == anew.digests()


def test_contract_an_influence_of_another_length_is_said(tmp_path, capsys):
    own = {"w": lambda estimate: (1.0, np.ones(3))}
    run(study(measures=own, replicates=20), tmp_path, jobs=1)
    said = "it returned an influence of shape (3,) of 20 replicates; return a number for each"
    assert said in capsys.readouterr().err
