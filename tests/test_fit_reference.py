"""`nested.fit` against lme4 and lmerTest: predictions, degrees of freedom, weights, tests."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mcstudy import nested
from mcstudy.nested.solution import COMPONENTS

REFERENCE = Path(__file__).parent / "reference"
FORMULAS = {"intercept": "y ~ 1", "arms": "y ~ arm + high + x"}
CASE = ["data", "model", "reml", "weighted"]
FIXED, VARIANCES, EFFECTS = (
    pd.read_csv(REFERENCE / f"lmertest_{name}.csv") for name in ("fixed", "variances", "effects")
)
CASES = [tuple(case) for case in VARIANCES[CASE].to_numpy()]


def fit_of(data, model, reml, weighted):
    """Return the fit that lmertest.R asks of lme4."""
    frame = pd.read_csv(REFERENCE / "lme4_data.csv")
    frame = frame[frame["data"] == data]
    frame = frame.assign(
        weight=0.5 + 7 * np.arange(1, len(frame) + 1) % 5,
        arm=frame["group2"].mod(3).map({0: "a", 1: "b", 2: "c"}),
        high=np.where(frame["group1"] % 2, "no", "yes"),
    )
    weights = "weight" if weighted else None
    groups = ["group1", "group2"]
    return nested.fit(frame, FORMULAS[model], groups=groups, weights=weights, reml=reml)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reference_lme4(case):
    """lme4's optimum is right to about 6 digits, a variance at zero to 1e-5 of the others."""
    fitted = fit_of(*case)
    [theirs] = VARIANCES[(VARIANCES[CASE] == list(case)).all(axis=1)].to_dict("records")
    assert fitted.llf == pytest.approx(theirs["llf"], rel=1e-9)
    total = sum(theirs[name] for name in COMPONENTS)
    for name in COMPONENTS:
        assert fitted.variances[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6 * total)
    assert fitted.fitted.iloc[[0, -1]].tolist() == pytest.approx(
        [theirs["fitted_first"], theirs["fitted_last"]], rel=1e-6
    )
    assert fitted.residuals.iloc[0] == pytest.approx(theirs["residual_first"], rel=1e-5)
    test = fitted.test_variance("group1_var")
    assert test.statistic == pytest.approx(theirs["lrt_group1"], rel=1e-6, abs=1e-6)
    table = FIXED[(FIXED[CASE] == list(case)).all(axis=1)].set_index("name")
    names = {"(Intercept)": "intercept", "x": "x", "highyes": "high[T.yes]"}
    names |= {"armb": "arm[T.b]", "armc": "arm[T.c]"}
    ours = fitted.fixed.loc[[names[name] for name in table.index]]
    for column, their, rel in (
        ("estimate", "Estimate", 1e-5),
        ("std_error", "Std. Error", 1e-5),
        ("df", "df", 1e-4),
        ("t", "t value", 1e-5),
        ("p_value", "Pr(>|t|)", 2e-3),  # where it is 1e-40, its digits go by 20 times those of df
    ):
        assert ours[column].tolist() == pytest.approx(table[their].tolist(), rel=rel), column


@pytest.mark.parametrize("data", ["pastes", "simulated5"])
@pytest.mark.parametrize("weighted", [False, True])
def test_reference_random_effects_of_lme4(data, weighted):
    fitted = fit_of(data, "intercept", True, weighted)
    theirs = EFFECTS[(EFFECTS["data"] == data) & (EFFECTS["weighted"] == weighted)]
    group1 = theirs[theirs["grpvar"] == "group1"].set_index("grp")
    group1.index = group1.index.astype(int)
    ours = fitted.random_effects["group1"].loc[group1.index]
    assert ours["value"].tolist() == pytest.approx(group1["condval"].tolist(), rel=1e-5)
    assert ours["conditional_sd"].tolist() == pytest.approx(group1["condsd"].tolist(), rel=1e-5)
    group2 = theirs[theirs["grpvar"] == "group2:group1"].set_index("grp")
    ours = fitted.random_effects["group2"].copy()
    ours.index = [f"{second}:{first}" for first, second in ours.index]
    ours = ours.loc[group2.index]
    assert len(ours) == len(fitted.random_effects["group2"])
    assert ours["value"].tolist() == pytest.approx(group2["condval"].tolist(), rel=1e-5)
    assert ours["conditional_sd"].tolist() == pytest.approx(group2["condsd"].tolist(), rel=1e-5)


def test_reference_pastes_as_published():
    """Bates (2010), lme4: Mixed-effects modeling with R, chapter 2: standard deviations."""
    variances = fit_of("pastes", "intercept", True, False).variances
    sds = np.sqrt(list(variances.values()))
    assert sds.tolist() == pytest.approx([1.2874, 2.9041, 0.8234], abs=5e-5)


def test_reference_dyestuff_as_published():
    """Bates (2010), chapter 1: one level of groups, so that a row is a cell."""
    frame = pd.read_csv(REFERENCE / "dyestuff.csv").reset_index(names="row")
    fitted = nested.fit(frame, "Yield ~ 1", groups=["Batch", "row"])
    effects = fitted.random_effects["group1"]
    published = [-17.60685, 0.3912634, 28.56223, -23.08454, 56.73319, -44.99529]
    assert effects["value"].tolist() == pytest.approx(published, rel=1e-6)
    theirs = EFFECTS[EFFECTS["data"] == "dyestuff"]
    assert effects["conditional_sd"].tolist() == pytest.approx(theirs["condsd"].tolist(), rel=1e-6)
    assert effects.index.tolist() == list("ABCDEF")
    assert fitted.fixed.loc["intercept", "df"] == pytest.approx(5)
    assert fitted.random_effects["group2"].isna().all(axis=None)
    assert fitted.fitted.isna().all()
