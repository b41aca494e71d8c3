"""The shipped studies that others have published: their numbers, by z, and their methods."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from mcstudy import Skip, compare_runs, grid, load_study, run

ROOT = Path(__file__).parents[1]
CONFIGS, PUBLISHED = ROOT / "configs", ROOT / "configs" / "published"
STUDIES = ("morris2019", "siepe2024", "angrist2009", "boos2013", "brown2001")
REPLICATES = {"morris2019": 200, "boos2013": 5_000, "brown2001": 1_000}
"""So many that all take a few seconds together."""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Run a study with few replicates, once."""
    done = {}

    def made(name):
        if name not in done:
            few = REPLICATES.get(name, 1_000)
            # A time limit needs a process that imports all again, as scikit-learn is slow to.
            study = replace(load_study(CONFIGS / f"{name}.py"), replicates=few, time_limit=None)
            done[name] = run(study, tmp_path_factory.mktemp(name), jobs=1, quiet=True)
        return done[name]

    return made


def data_of(name, count=3, **condition):
    """Return data sets of a study, one at a time or as a batch, and the study."""
    study = load_study(CONFIGS / f"{name}.py")
    rngs = [np.random.default_rng(seed) for seed in range(count)]
    batch = getattr(study.simulate, "batch", None)
    if batch is not None:
        return study, study.simulate(rngs, **condition)
    return study, [study.simulate(rng, **condition) for rng in rngs]


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_reference_published_numbers_by_z(name, small):
    made = compare_runs(small(name), PUBLISHED / f"{name}.csv")
    assert len(made.frame) == len(pd.read_csv(PUBLISHED / f"{name}.csv"))
    assert not made.moved, str(made)


def test_reference_exact_coverage_is_the_published_one():
    study = load_study(CONFIGS / "brown2001.py")
    for row in pd.read_csv(PUBLISHED / "brown2001.csv").itertuples():
        exact = study.oracle(n=row.n, p=row.p).set_index("method")["value"][row.method]
        assert exact == pytest.approx(row.value, abs=0.5001 * 10.0**-row.digits)


def test_reference_exact_power_against_the_published_rates():
    """54 numbers of 10,000 replicates each: the largest |z| of a right law is below 3.5."""
    study = load_study(CONFIGS / "siepe2024.py")
    published = pd.read_csv(PUBLISHED / "siepe2024.csv")
    for (delta, rho), rows in published.groupby(["delta", "rho"]):
        exact = study.oracle(delta=delta, rho=rho).set_index(["method", "measure"])["value"]
        for row in rows.itertuples():
            value = exact[row.method, row.measure]
            share = row.measure == "rejection"
            error = np.sqrt(value * (1 - value)) if share else value / np.sqrt(2)
            assert abs(row.value - value) < 3.5 * error / np.sqrt(row.replicates)


def test_reference_exact_power_at_the_largest_effect():
    """.9316, .8917 and .6969 were computed apart from this, by numerical integration."""
    exact = load_study(CONFIGS / "siepe2024.py").oracle(delta=0.5, rho=0.7)
    power = exact[exact["measure"] == "rejection"]["value"].tolist()
    assert power == pytest.approx([0.9316, 0.8917, 0.6969], abs=6e-5)


def test_reference_published_errors_are_ours(small):
    """The MCSEs themselves, by z: that of an MCSE is from the fourth moment of squared errors."""
    results = small("boos2013")
    published = pd.read_csv(PUBLISHED / "boos2013.csv")
    rows = results.estimates.merge(results.conditions, on="condition")
    squares = rows.assign(square=rows["estimate"] ** 2).groupby(["distribution", "n", "method"])
    for row in published.itertuples():
        square = squares.get_group((row.distribution, row.n, row.method))["square"].to_numpy()
        ours = square.std(ddof=1) / np.sqrt(row.replicates)
        relative = np.sqrt(stats.kurtosis(square, fisher=False) - 1) / 2
        rounding = 0.001 / np.sqrt(12)  # of a uniform distribution over the last digit
        error = ours * relative * np.hypot(1 / np.sqrt(len(square)), 1 / np.sqrt(row.replicates))
        assert abs(row.mcse - ours) < 3.5 * np.hypot(error, rounding)


def test_identity_survival_models_against_statsmodels_and_plain_likelihood():
    from statsmodels.duration.hazard_regression import PHReg

    study, trials = data_of("morris2019", gamma=1.5)
    for treated, time, died in trials:
        found = {name: method((treated, time, died)) for name, method in study.methods.items()}
        cox = PHReg(time, treated.astype(float)[:, None], status=died).fit()
        assert found["cox"]["log_hr"][:2] == pytest.approx((cox.params[0], cox.bse[0]), rel=1e-5)

        def minus_log_likelihood(at, treated=treated, time=time, died=died):
            log_rate, log_hr, shape = at
            log_hazard = log_rate + log_hr * treated + np.log(shape) + (shape - 1) * np.log(time)
            cumulative = np.exp(log_rate + log_hr * treated) * time**shape
            return (cumulative - died * log_hazard).sum()

        for name, free in (("weibull", 3), ("exponential", 2)):
            fit = optimize.minimize(
                lambda at, free=free: minus_log_likelihood([*at, 1.0][:3] if free == 2 else at),
                [-2.0, 0.0, 1.0][:free],
                method="BFGS",
            )
            estimate, std_error = found[name]["log_hr"][:2]
            assert estimate == pytest.approx(fit.x[1], abs=1e-4)
            assert std_error == pytest.approx(np.sqrt(fit.hess_inv[1, 1]), rel=0.05)


def test_identity_three_analyses_against_statsmodels():
    import statsmodels.api as sm

    study, data = data_of("siepe2024", delta=0.5, rho=0.7)
    found = {name: method(data)["delta"] for name, method in study.methods.items()}
    for place, (pre, post) in enumerate(data.reshape(len(data), 2, -1)):
        treated = np.repeat([0.0, 1.0], len(pre) // 2)
        plain = sm.add_constant(treated)
        fits = {
            "ancova": sm.OLS(post, np.column_stack([plain, pre])).fit(),
            "change": sm.OLS(post - pre, plain).fit(),
            "post": sm.OLS(post, plain).fit(),
        }
        for name, fit in fits.items():
            assert found[name].value[place] == pytest.approx(fit.params[1], rel=1e-10)
            assert found[name].std_error[place] == pytest.approx(fit.bse[1], rel=1e-10)
            assert found[name].df == fit.df_resid


def test_identity_robust_standard_errors_against_statsmodels():
    import statsmodels.api as sm

    study, data = data_of("angrist2009", s=0.5)
    found = {name: method(data)["slope"] for name, method in study.methods.items()}
    treated = sm.add_constant((np.arange(30) >= 27).astype(float))
    for place, y in enumerate(data):
        fit = sm.OLS(y, treated).fit()
        errors = {"conventional": fit.bse[1]}
        errors |= {f"hc{k}": getattr(fit, f"HC{k}_se")[1] for k in range(4)}
        errors["max"] = max(errors["conventional"], errors["hc3"])
        for name, error in errors.items():
            assert found[name].value[place] == pytest.approx(fit.params[1], rel=1e-10)
            assert found[name].std_error[place] == pytest.approx(error, rel=1e-10)


def test_identity_binomial_intervals_against_statsmodels():
    from statsmodels.stats.proportion import proportion_confint

    study = load_study(CONFIGS / "brown2001.py")
    x = np.arange(1, 20)
    names = {"wald": "normal", "clopper_pearson": "beta"}
    for name, method in study.methods.items():
        estimate = method(x, {"n": 20})["p"]
        known = proportion_confint(x, 20, method=names.get(name, name))
        inside = (known[0] > 0) & (known[1] < 1)  # theirs are cut off there
        assert estimate.lower[inside] == pytest.approx(known[0][inside], rel=1e-10)
        assert estimate.upper[inside] == pytest.approx(known[1][inside], rel=1e-10)


def test_identity_the_penalties_against_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    study, (data, *_) = data_of("zou2005", example=1)
    x, y, x_new, y_new = data
    effects = [
        linear_model.Ridge(alpha=penalty, fit_intercept=False).fit(x, y).coef_
        for penalty in np.logspace(4, -3, 100)
    ]
    best = min(effects, key=lambda b: ((y_new - x_new @ b) ** 2).sum())
    off = best - [3, 1.5, 0, 0, 2, 0, 0, 0]
    distance = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    ridge = study.methods["ridge"](data, {"example": 1})
    assert ridge["test_error"] == pytest.approx(off @ 0.5**distance @ off, rel=1e-8)


def test_contract_without_scikit_learn_the_lasso_is_skipped(monkeypatch):
    study, (data, *_) = data_of("zou2005", example=1)
    monkeypatch.setitem(study.methods["lasso"].__globals__, "lasso_path", None)
    with pytest.raises(Skip, match="needs scikit-learn"):
        study.methods["lasso"](data, {"example": 1})


@pytest.mark.slow
def test_law_em_against_direct_maximisation(tmp_path):
    study = load_study(CONFIGS / "em_mixture.py")
    easy = replace(study, conditions=grid(n=[100], distance=[3.0]), replicates=15)
    results = run(easy, tmp_path, jobs=1, quiet=True)
    likelihood = results.estimates.query("estimand == 'log_likelihood'").pivot_table(
        index="replicate", columns="method", values="estimate"
    )
    assert (likelihood["ten_starts"] >= likelihood["one_start"]).all()
    assert (likelihood["ten_starts"] > likelihood["one_start"] + 1).any()
    study, samples = data_of("em_mixture", n=100, distance=3.0)
    for seed, x in enumerate(samples):
        found = study.methods["ten_starts"](x, rng=np.random.default_rng(seed)).estimates

        def minus_log_likelihood(at, x=x):
            share, first, gap, log_sd = at
            density = share * stats.norm.pdf(x, first, np.exp(log_sd))
            density += (1 - share) * stats.norm.pdf(x, first + gap, np.exp(log_sd))
            return -np.log(density).sum()

        bounds = [(0.01, 0.99), (-3, 3), (0.1, 6), (-1, 1)]
        fit = optimize.minimize(minus_log_likelihood, [0.3, 0.0, 3.0, 0.0], bounds=bounds)
        assert found["log_likelihood"] == pytest.approx(-fit.fun, abs=1e-3)
        assert found["share"] == pytest.approx(fit.x[0], abs=5e-3)
        assert found["distance"] == pytest.approx(fit.x[2], abs=0.05)


def test_contract_studies_are_short_and_stand_in_the_docs():
    page = (ROOT / "docs" / "published.md").read_text()
    assert {path.stem for path in PUBLISHED.glob("*.csv")} == set(STUDIES)
    for name in (*STUDIES, "em_mixture"):
        path = CONFIGS / f"{name}.py"
        assert len(path.read_text().splitlines()) <= 80
        assert f"`configs/{name}.py`" in page
        assert load_study(path).name == name
