"""The analysis of variance of a study."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mcstudy import MCStudyError
from mcstudy.analysis.mcse import wilson
from mcstudy.cli import main
from mcstudy.comparison.anova import anova


def cells(levels, value, mcse=0.01, measure="bias", keep=lambda **_: True, seed=0):
    """Return a table of measures over a grid, its values a function of the levels plus noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in itertools.product(*levels.values()):
        factors = dict(zip(levels, row, strict=True))
        if keep(**factors):
            error = mcse(rng) if callable(mcse) else mcse
            noisy = value(**factors) + error * rng.normal()
            rows.append({**factors, "value": noisy, "mcse": error})
    frame = pd.DataFrame(rows).assign(method="m", estimand="e", interval=None, measure=measure)
    return frame.assign(used=1000, replicates=1000)


GRID = {"a": [1, 2, 3], "b": ["x", "y"], "c": [0.5, 1.5, 2.5, 3.5]}
EFFECT = {"x": 0.0, "y": 0.3}


def test_identity_unbalanced_as_anova_lm_and_tests_as_its_weighted_ones():
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    frame = cells(
        GRID,
        lambda a, b, c: 0.1 * a + EFFECT[b] + 0.05 * a * c,
        mcse=lambda rng: rng.uniform(0.005, 0.05),
        keep=lambda a, b, c: (a, b, c) not in [(1, "x", 0.5), (3, "y", 2.5)],
    )
    made = anova(frame, "bias").frame.set_index("term")
    formula = "value ~ C(a) * C(b) + C(a) * C(c) + C(b) * C(c)"
    fitted = smf.ols(formula, frame).fit()
    plain = anova_lm(fitted, typ=2)
    weighted = anova_lm(smf.wls(formula, frame, weights=1 / frame["mcse"] ** 2).fit(), typ=2)
    for term in plain.index[:-1]:
        name = term.replace("C(", "").replace(")", "")
        assert made.loc[name, "sum_of_squares"] == pytest.approx(
            plain.loc[term, "sum_sq"], rel=1e-8
        )
        assert made.loc[name, "df"] == plain.loc[term, "df"]
        p = stats.chi2.sf(weighted.loc[term, "sum_sq"], weighted.loc[term, "df"])
        assert made.loc[name, "p_value"] == pytest.approx(p, rel=1e-6, abs=1e-300)
    assert made.loc["residual", "sum_of_squares"] == pytest.approx(fitted.ssr, rel=1e-8)
    assert made.loc["residual", "df"] == fitted.df_resid


POWER = {"delta": [0.2, 0.5, 0.8], "n": [20, 40, 80, 160], "kind": ["t", "rank"]}


def rejections(seed=None, keep=lambda **_: True):
    """Return powers from .13 to nearly 1, whose errors differ by a factor of 500 and more."""
    frame = cells(POWER, lambda **_: 0.0, mcse=0.0, measure="rejection", keep=keep)
    z = frame["delta"] * np.sqrt(frame["n"] / 2) * np.where(frame["kind"] == "t", 1, 0.97)
    power = stats.norm.sf(1.96 - z)
    if seed is not None:
        power = np.random.default_rng(seed).binomial(1000, power) / 1000
    return frame.assign(value=power, mcse=np.sqrt(power * (1 - power) / 1000))


def test_identity_shares_of_a_balanced_grid_are_plain_eta_squared_and_add_up():
    frame = rejections()
    made = anova(frame, "rejection")
    table = made.frame.set_index("term")
    deviation = frame["value"] - frame["value"].mean()
    means = deviation.groupby(frame["delta"]).transform("mean")
    eta = (means**2).sum() / (deviation**2).sum()
    share = table["sum_of_squares"] / table.loc["total", "sum_of_squares"]
    assert share["delta"] == pytest.approx(eta)
    assert table.loc["delta", "share"] == pytest.approx(eta, abs=0.002)
    parts = table["share"].drop("total")
    assert parts.sum() == pytest.approx(1, abs=1e-9)
    assert table.loc["total", "share"] == pytest.approx(1)
    assert "balanced" not in str(made)


@pytest.mark.slow
def test_law_noise_is_taken_off_without_bias_where_errors_differ():
    true = rejections()
    shares = anova(true.assign(mcse=1e-9, used=10**9), "rejection").frame.set_index("term")["share"]
    found = pd.concat(
        [
            anova(rejections(seed), "rejection").frame.set_index("term")["share"]
            for seed in range(60)
        ],
        axis=1,
    )
    error = found.std(axis=1) / np.sqrt(60) + 1e-5
    assert ((found.mean(axis=1) - shares).abs() < 4 * error).all()


def test_contract_shares_that_do_not_add_up_are_said_not_to():
    frame = rejections(keep=lambda delta, n, kind: (delta, n) not in [(0.2, 160), (0.8, 20)])
    made = anova(frame, "rejection")
    added = made.frame.iloc[:-1]["share"].sum()
    assert abs(added - 1) > 0.01
    text = " ".join(str(made).split())
    assert (
        f"combination of the levels has a value, so terms overlap: the shares add up to {added:.4f}"
        in text
    )


def test_contract_cells_that_differ_by_noise_alone_have_no_shares():
    frame = cells(GRID, lambda **_: 2.0, mcse=0.1).assign(value=2.0)
    made = anova(frame, "bias")
    assert made.frame["share"].isna().all()
    assert "no more than Monte Carlo error would make them" in " ".join(str(made).split())


def test_contract_factors_called_as_terms_are_told_apart():
    levels = {"a": [1, 2, 3], "b": [1, 2, 3], "a:b": [1, 2], "total": [1, 2]}
    frame = cells(levels, lambda **of: of["a"] + of["a:b"] + 2 * of["total"])
    made = anova(frame, "bias")
    terms = made.frame["term"].tolist()
    assert terms[:4] == ["a", "b", '"a:b"', '"total"']
    assert terms[-2:] == ["residual", "total"]
    assert len(set(terms)) == len(terms)
    assert 'a:"a:b"' in terms


def test_contract_terms_that_cannot_be_told_apart_are_named():
    frame = cells(GRID, lambda a, b, c: a + c, keep=lambda a, b, c: (a == 1) == (b == "x"))
    text = " ".join(str(anova(frame, "bias")).split())
    assert "these cells cannot tell b, a:b, b:c apart from the other terms" in text


def test_reference_shares_of_a_constructed_study_are_the_known_ones():
    frame = cells(GRID, lambda a, b, c: 3 * (a - 2) + 4 * (b == "y"), mcse=1e-6)
    shares = anova(frame, "bias").frame.set_index("term")["share"]
    known = {"a": 9 * 2 / 3, "b": 16 / 4}
    total = sum(known.values())
    for term in ("a", "b"):
        assert shares[term] == pytest.approx(known[term] / total, abs=1e-4)
    assert shares.drop(["a", "b", "total"]).max() < 1e-9


@pytest.mark.slow
def test_law_noise_alone_gives_each_term_its_noise_and_uniform_p_values():
    frames = [
        anova(cells(GRID, lambda **_: 2.0, mcse=0.1, seed=seed), "bias").frame
        for seed in range(120)
    ]
    terms = pd.concat(frames).groupby("term", sort=False)
    ratio = terms["sum_of_squares"].mean() / terms["noise"].first()
    error = np.sqrt(2 / terms["df"].first() / len(frames))
    assert ((ratio - 1).abs() < 4 * error).all()
    for _, p in terms["p_value"]:
        assert stats.kstest(p, "uniform").pvalue > 1e-4
    assert frames[0]["noise"].iloc[-1] == pytest.approx(23 * 0.1**2)


def test_contract_coverage_of_one_has_an_error():
    frame = cells(GRID, lambda **_: 1.0, mcse=0.0, measure="coverage")
    frame.loc[0, ["value", "mcse"]] = 0.5, np.sqrt(0.25 / 1000)
    made = anova(frame, "coverage").frame.set_index("term")
    (low, high), (lowest, highest) = wilson(1.0, 1000), wilson(0.5, 1000)
    variances = np.full(24, ((high - low) / 3.92) ** 2)
    variances[0] = ((highest - lowest) / 3.92) ** 2
    values = np.where(np.arange(24) == 0, 0.5, 1.0)
    assert made.loc["total", "sum_of_squares"] == pytest.approx(
        ((values - values.mean()) ** 2).sum()
    )
    assert made.loc["total", "noise"] == pytest.approx(23 / 24 * variances.sum(), rel=1e-3)


def test_contract_interactions_stop_where_the_cells_cannot_tell_them_apart():
    kept = [(1, "x"), (2, "x"), (2, "y")]
    frame = cells({"a": [1, 2], "b": ["x", "y"]}, lambda a, b: a, keep=lambda a, b: (a, b) in kept)
    made = anova(frame, "bias").frame
    assert made["term"].tolist() == ["a", "b", "residual", "total"]
    assert made["df"].tolist() == [1, 1, 0, 2]


def test_contract_cells_without_an_error_are_left_out_and_counted():
    frame = cells(GRID, lambda a, b, c: a)
    frame.loc[:1, "mcse"] = np.nan
    made = anova(frame, "bias")
    assert made.frame["df"].iloc[-1] == 21
    assert "2 cells without value or error left out" in made.notes[0]


def test_contract_nothing_varies_or_nothing_is_random_is_said_in_a_line(tmp_path, capfd):
    frame = cells(GRID, lambda a, b, c: a)
    with pytest.raises(MCStudyError, match="1 cell has a bias with an error and nothing varies"):
        anova(frame, "bias", where="a=1, b=x, c=0.5")
    with pytest.raises(MCStudyError, match="no cell's bias has an error above 0"):
        anova(frame.assign(mcse=0.0), "bias")
    assert main(["anova", str(tmp_path), "--measure", "bias"]) == 2
    assert "no tables here" in capfd.readouterr().err


def test_contract_the_text_has_every_term_by_its_share():
    shown = str(anova(cells(GRID, lambda a, b, c: a + EFFECT[b]), "bias")).splitlines()
    assert shown[3].split()[:2] == ["a", "2"]
    assert shown[4].split()[:2] == ["b", "1"]
    assert len([line for line in shown if line.startswith("  ")]) == 9


def test_contract_residual_and_total_stand_last_whatever_the_shares():
    made = anova(cells(GRID, lambda **_: 0.0), "bias")
    below = made.frame.assign(share=[-7.0 - i for i in range(len(made.frame))])
    lines = str(dataclasses.replace(made, frame=below)).splitlines()
    terms = [
        line.split()[0]
        for line in lines
        if line.split()[:1] and line.split()[0] in set(below["term"])
    ]
    assert terms == below["term"].tolist()


def test_contract_interactions_of_too_many_levels_are_left_out_and_said_to_be(monkeypatch):
    monkeypatch.setattr("mcstudy.comparison.anova._MOST_COLUMNS", 14)
    made = anova(cells(GRID, lambda a, b, c: a), "bias")
    assert made.frame["term"].tolist() == ["a", "b", "c", "a:b", "b:c", "residual", "total"]
    assert "too many levels for the interactions a:c" in str(made)
