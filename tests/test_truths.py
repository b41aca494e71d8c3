"""True values that each data set has of its own, and those that are found by simulation."""

import dataclasses
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mcstudy import (
    Estimate,
    MCStudyError,
    Study,
    batched,
    check,
    compare_runs,
    grid,
    open_results,
    performance,
    protocol,
    replay,
    run,
    status,
)
from mcstudy.analysis.simulated_truth import widened
from mcstudy.measure import Measured
from mcstudy.truths import SimulatedTruth


def random_mean(rng, *, n):
    mean = rng.normal(1, 2)
    return {"mean": mean, "sample": rng.normal(mean, 1, n)}


def true_mean(data, *, n):
    return {"mean": data["mean"]}


def average(data):
    if data["mean"] < -3:
        raise ValueError("too low")
    sample = data["sample"]
    return {"mean": Estimate(sample.mean(), sample.std(ddof=1) / len(sample) ** 0.5)}


def shrunken(data):
    sample = data["sample"]
    mean, se = 0.8 * sample.mean(), 0.9 * sample.std(ddof=1) / len(sample) ** 0.5
    return {"mean": Estimate(mean, se)}


def study(**changes):
    return Study(
        **{
            "name": "own",
            "simulate": random_mean,
            "estimands": true_mean,
            "methods": {"average": average, "shrunken": shrunken},
            "conditions": grid(n=[5, 20]),
            "replicates": 150,
            "seed": 3,
            "null": 0.0,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return run(study(), tmp_path_factory.mktemp("own"), jobs=1, quiet=True)


def value(table, **where):
    for name, level in where.items():
        table = table[table[name] == level]
    (row,) = table.to_dict("records")
    return row


def test_identity_measures_are_those_of_the_errors(own):
    table, interval = own.performance, own.intervals
    for (n, method), rows in own.estimates.merge(own.conditions).groupby(["n", "method"]):
        error = (rows["estimate"] - rows["truth"]).dropna()
        here = {"n": n, "method": method}
        plain = {
            "bias": error.mean(),
            "empirical_se": error.std(),
            "rmse": np.sqrt((error**2).mean()),
            "relative_bias": error.sum() / rows["truth"][error.index].sum(),
        }
        for name, expected in plain.items():
            assert value(table, measure=name, **here)["value"] == pytest.approx(expected, rel=1e-12)
        keys = ["condition", "replicate", "method", "estimand"]
        both = rows.merge(interval, on=keys).dropna(subset=["lower", "truth"])
        hits = (both["lower"] <= both["truth"]) & (both["truth"] <= both["upper"])
        assert value(table, measure="coverage", **here)["value"] == pytest.approx(hits.mean())
        powers = (both["lower"] > 0) | (both["upper"] < 0)
        assert value(table, measure="rejection", **here)["value"] == pytest.approx(powers.mean())


def test_identity_a_table_from_elsewhere_has_the_same_measures(own):
    frame = own.estimates.merge(own.conditions).drop(columns="condition")
    by = ["n", "method", "estimand"]
    with pytest.raises(MCStudyError, match="or say own_truths=True if each replicate has its own"):
        performance(frame, by=by)
    found = performance(frame, by=by, own_truths=True, null=0.0).set_index([*by, "measure"])[
        "value"
    ]
    here = own.performance.set_index([*by, "measure"])["value"]
    common = found.index.intersection(here.index)
    assert len(common) > 40
    pd.testing.assert_series_equal(found[common], here[common], rtol=1e-12)


def test_identity_comparisons_are_those_of_errors(own):
    wide = own.estimates[own.estimates["condition"] == "n=20"].pivot(
        index="replicate", columns="method", values="estimate"
    )
    truth = (
        own.estimates[own.estimates["condition"] == "n=20"].groupby("replicate")["truth"].first()
    )
    kept = wide.dropna()
    errors = kept.sub(truth[kept.index], axis=0)
    table = own.comparisons[own.comparisons["n"] == 20]
    found = table.set_index("measure")["value"]["mse_difference"]
    assert found == pytest.approx((errors["shrunken"] ** 2 - errors["average"] ** 2).mean())
    ratio = table.set_index("measure")["value"]["empirical_se_ratio"]
    assert ratio == pytest.approx(errors["shrunken"].std() / errors["average"].std())


def test_contract_a_failed_fit_keeps_the_true_value_of_its_data_set(own):
    failed = own.fits[own.fits["status"] == "error"]
    assert len(failed)
    rows = failed.merge(own.estimates, on=["condition", "replicate", "method"])
    assert rows["truth"].max() < -3
    of_all = own.performance[own.performance["measure"] == "coverage_of_all"]
    assert (of_all["used"] == 150).all()


def test_contract_own_measures_get_the_numbers_themselves(tmp_path):
    def correlation(estimate, truth):
        both = np.isfinite(estimate)
        return np.corrcoef(estimate[both], truth[both])[0, 1]

    made = study(measures={"correlation": correlation})
    results = run(made, tmp_path, jobs=1, quiet=True)
    frame = results.estimates.query("method == 'shrunken' and condition == 'n=5'")
    found = value(results.performance, measure="correlation", method="shrunken", n=5)["value"]
    assert found == pytest.approx(frame["estimate"].corr(frame["truth"]), rel=1e-12)


@pytest.mark.slow
def test_contract_batches_jobs_and_parts_make_no_difference(own, tmp_path):
    @batched
    def simulate(rngs, *, n):
        return [random_mean(rng, n=n) for rng in rngs]

    @batched
    def estimands(data, *, n):
        return {"mean": np.array([one["mean"] for one in data])}

    together = study(simulate=simulate, estimands=estimands)
    results = run(together, tmp_path / "a", jobs=1, quiet=True)
    pd.testing.assert_frame_equal(results.performance, own.performance)
    run(study(replicates=40), tmp_path / "b", jobs=1, quiet=True)
    results = run(study(), tmp_path / "b", jobs=2, quiet=True)
    pd.testing.assert_frame_equal(results.performance, own.performance)


def test_contract_estimands_that_raise_are_rows(tmp_path):
    def estimands(data, *, n):
        if data["mean"] > 3:
            raise ValueError("no such parameter")
        return {"mean": data["mean"]}

    results = run(study(estimands=estimands), tmp_path, jobs=1, quiet=True)
    failed = results.fits[results.fits["message"].fillna("").str.contains("estimands: ")]
    assert set(failed["status"]) == {"error"}
    assert len(failed) == 2 * failed.groupby(["condition", "replicate"]).ngroups > 0


def test_contract_a_change_of_estimands_is_a_change_of_the_rows(own, tmp_path):
    run(study(), tmp_path, jobs=1, quiet=True)
    other = study(estimands=lambda data, *, n: {"mean": data["mean"] + 1})
    with pytest.raises(MCStudyError, match="the code of estimands"):
        run(other, tmp_path, jobs=1, quiet=True)


@pytest.mark.slow
def test_contract_everything_shows_it(own, tmp_path):
    assert "Estimates without" not in str(own)
    assert "Each data set has true values of its own" in str(protocol(study()))
    assert "Each data set has a true mean of its own" in own.report(tmp_path / "r.html").read_text()
    assert "no problems" in str(check(study()))
    assert str(status(own.folder))
    answer = replay(study(), "n=5", 4, results=own.folder.parent)
    assert "truth" in str(answer)
    for name in ("zip", "estimates", "se_against_estimate", "methods", "path"):
        own.plot(name).save(tmp_path / f"{name}.svg")


def test_contract_what_cannot_be_is_said(tmp_path):
    with pytest.raises(MCStudyError, match="sums about true values that all replicates share"):
        study(keep="measures")
    with pytest.raises(MCStudyError, match="estimands asks for data and for rng"):
        study(estimands=lambda data, rng, *, n: {})
    misspelt = study(estimands=lambda data, *, n: {"mea": 1.0}, seed=4)
    with pytest.raises(MCStudyError, match="returns 'mean', of which estimands says nothing"):
        run(misspelt, tmp_path, jobs=1, quiet=True)
    assert "returns 'mean', of which estimands says nothing" in str(check(misspelt))


def test_law_mean_coverage_over_random_probabilities(tmp_path):
    """That of the Wald and the Wilson interval by finite sums, p uniform on (0, 1)."""
    size, z = 12, stats.norm.ppf(0.975)
    count = np.arange(size + 1)

    def limits(x):
        p = x / size
        half = z * np.sqrt(p * (1 - p) / size)
        middle = (x + z**2 / 2) / (size + z**2)
        wilson = z * np.sqrt(size) / (size + z**2) * np.sqrt(p * (1 - p) + z**2 / 4 / size)
        return {"wald": (p - half, p + half), "wilson": (middle - wilson, middle + wilson)}

    @batched
    def simulate(rngs):
        made = []
        for rng in rngs:
            p = rng.uniform()
            made.append((p, rng.binomial(size, p)))
        return np.array(made)

    @batched
    def share(data):
        return {"p": Estimate(data[:, 1] / size, intervals=limits(data[:, 1]))}

    made = Study(
        name="binomial",
        simulate=simulate,
        estimands=batched(lambda data: {"p": data[:, 0]}),
        methods={"share": share},
        conditions=grid(),
        replicates=4000,
        seed=2,
    )
    table = run(made, tmp_path, jobs=1, quiet=True).performance
    # P(x) is 1 / (size + 1) for each x, and p given x is Beta(x + 1, size - x + 1).
    law = stats.beta(count + 1, size - count + 1)
    for name, (lower, upper) in limits(count).items():
        exact = (law.cdf(upper) - law.cdf(lower)).mean()
        found = value(table, measure="coverage", interval=name)
        assert abs(found["value"] - exact) < 4 * found["mcse"]


def simulated(rng, *, shape, **_):
    draws = rng.gamma(shape, size=2000)
    return {"mean": (draws.mean(), draws.std(ddof=1) / len(draws) ** 0.5), "known": shape}


def gamma_study(**changes):
    def average(sample):
        se = sample.std(ddof=1) / len(sample) ** 0.5
        return {"mean": Estimate(sample.mean(), se), "known": Estimate(sample.mean(), se)}

    def half(sample):
        return {name: Estimate(0.5 * of.value) for name, of in average(sample).items()}

    return Study(
        **{
            "name": "gamma",
            "simulate": lambda rng, *, n, shape: rng.gamma(shape, size=n),
            "estimands": simulated,
            "methods": {"average": average, "half": half},
            "conditions": grid(n=[5, 20], shape=[1.0, 3.0]),
            "replicates": 200,
            "seed": 5,
            **changes,
        }
    )


def test_contract_a_true_value_is_simulated_once_for_the_factors_it_uses(tmp_path):
    calls = []

    def estimands(rng, *, shape, **others):
        calls.append((shape, others))
        return simulated(rng, shape=shape)

    results = run(gamma_study(estimands=estimands), tmp_path, jobs=1, quiet=True)
    assert calls == [(1.0, {}), (3.0, {})]
    record = json.loads((results.folder / "study.json").read_text())
    truths = record["truths"]
    assert truths["n=20, shape=1"] == truths["n=5, shape=1"]
    run(gamma_study(estimands=estimands), tmp_path, jobs=1, replicates=210, quiet=True)
    assert len(calls) == 2
    study = gamma_study(seed=6)
    assert study.truths(study.conditions.conditions[0])["mean"] != truths["n=5, shape=1"]["mean"]


@pytest.mark.parametrize("keep", ["rows", "measures"])
def test_identity_the_error_of_the_true_value_is_in_that_of_the_bias(tmp_path, keep):
    results = run(gamma_study(keep=keep), tmp_path, jobs=1, quiet=True)
    record = json.loads((results.folder / "study.json").read_text())
    for n in (5, 20):
        error = record["truth_errors"][f"n={n}, shape=3"]["mean"]
        here = {"n": n, "shape": 3.0, "method": "average"}
        bias, known = (
            value(results.performance, measure="bias", estimand=name, **here)
            for name in ("mean", "known")
        )
        assert bias["mcse"] == pytest.approx(np.hypot(known["mcse"], error), rel=1e-12)
        assert value(results.performance, measure="rmse", estimand="mean", **here)["mcse"] > 0
        if keep == "rows":
            cover = [
                value(results.performance, measure="coverage", estimand=name, **here)["mcse"]
                for name in ("mean", "known")
            ]
            assert cover[0] != cover[1]
    if keep == "rows":
        table = results.comparisons.query("n == 5 and shape == 3 and measure == 'mse_difference'")
        mean, known = (
            table[table["estimand"] == name]["mcse"].iloc[0] for name in ("mean", "known")
        )
        assert mean > known
        assert open_results(results.folder).performance.equals(results.performance)
        assert "by simulation" in str(protocol(gamma_study()))


def test_contract_a_simulated_truth_is_a_number_with_an_error():
    truth = pickle.loads(pickle.dumps(SimulatedTruth(2.0, 0.5)))
    assert (truth, truth.mcse) == (2.0, 0.5)
    made = widened(Measured(0.5, 0.03, 10, (0.4, 0.7)), 0.54, 0.46)
    assert made[:3] == (0.5, pytest.approx(0.05), 10)
    assert made.limits == (pytest.approx(1 / 3), pytest.approx(5 / 6))
    wrong = gamma_study(estimands=lambda rng, **_: {"mean": (1.0, -1.0)})
    with pytest.raises(MCStudyError, match=r"the MCSE of a true value is -1.0; give 0 or more"):
        wrong.truths(wrong.conditions.conditions[0])


def drawn_truth_study(seed, *, shared, streams):
    """A study whose true value is known to .1 only: one for all n, or one for each."""

    def estimands(rng, **others):
        return {"m": (0.1 * rng.normal(), 0.1)}

    def estimands_of_n(rng, *, n):
        return {"m": (0.1 * rng.normal(), 0.1)}

    return Study(
        name="drawn",
        simulate=lambda rng, *, n: rng.normal(size=n),
        estimands=estimands if shared else estimands_of_n,
        methods={"mean": lambda sample: {"m": Estimate(sample.mean(), 0.1)}},
        conditions=grid(n=[100, 110]),
        replicates=40,
        seed=seed,
        streams=streams,
    )


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("streams", ["common", "independent"])
def test_law_a_difference_of_conditions_has_the_errors_of_their_true_values(
    tmp_path, shared, streams
):
    found = []
    for seed in range(40):
        study = drawn_truth_study(seed, shared=shared, streams=streams)
        results = run(study, tmp_path / str(seed), jobs=1, quiet=True)
        (row,) = results.contrast("n", 110, 100, measure="bias").frame.to_dict("records")
        found.append((row["value"], row["mcse"]))
    value, mcse = np.array(found).T
    # The spread of 40 values is known to 11 %.
    assert abs(np.sqrt((mcse**2).mean()) / value.std(ddof=1) - 1) < 4 * 0.11


def test_identity_a_data_set_without_a_true_value_counts_where_none_is_needed(tmp_path):
    def some(data, *, n):
        return {"mean": data["mean"] if data["mean"] > 0 else None}

    methods = {"shrunken": shrunken, "also": lambda data: average({**data, "mean": 0.0})}
    made = study(estimands=some, methods=methods)
    table = run(made, tmp_path, jobs=1, quiet=True).performance.query("method == 'shrunken'")
    used = table.groupby("measure")["used"].first()
    assert used["width"] == used["rejection"] == 150
    assert used["coverage"] == used["coverage_of_all"] == used["bias"] < 140
    shares = table.set_index("measure")["value"]
    assert shares["coverage"].tolist() == shares["coverage_of_all"].tolist()


def test_identity_two_runs_about_two_simulated_truths_agree(tmp_path):
    folders = []
    for name, value in (("a", 0.0094), ("b", 0.05)):
        study = drawn_truth_study(1, shared=True, streams="independent")
        study = dataclasses.replace(study, estimands=given_truth(value))
        folders.append(run(study, tmp_path / name, jobs=1, quiet=True).folder)
    made = compare_runs(*folders)
    assert not made.moved


def given_truth(value):
    return lambda rng, **others: {"m": (value, 0.1)}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((0.0, 0.5, 1.0), "is no true value; give a number, or .value, mcse."),
        ((0.0, np.inf), "the MCSE of a true value is inf; give 0 or more"),
    ],
)
def test_contract_odd_true_values_are_refused(answer, message):
    wrong = gamma_study(estimands=lambda rng, **_: {"mean": answer})
    with pytest.raises(MCStudyError, match=message):
        wrong.truths(wrong.conditions.conditions[0])


def test_contract_a_precision_below_the_error_of_the_truth_is_refused(tmp_path):
    study = drawn_truth_study(1, shared=True, streams="independent")
    study = dataclasses.replace(study, precision={"bias": 0.05}, max_replicates=400)
    with pytest.raises(MCStudyError, match="which no number of replicates makes smaller"):
        run(study, tmp_path, jobs=1, quiet=True)


def test_contract_estimands_of_the_wrong_form_stop_the_run_at_once(tmp_path):
    wrong = study(estimands=lambda data, *, n: [1.0], seed=4)
    said = r"gets no true values: of estimands, it returns \[1.0\]; return {'name': number}"
    with pytest.raises(MCStudyError, match=said):
        run(wrong, tmp_path, jobs=1, quiet=True)
    assert "gets no true values: of estimands" in str(check(wrong))
