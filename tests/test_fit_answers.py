"""What a fit answers beside its variances: predictions, tables, tests, by a formula or by names."""

import numpy as np
import pandas as pd
import pytest
from plain_likelihood import plain_likelihood

from mcstudy import nested
from mcstudy.errors import TableError


@pytest.fixture
def frame():
    """Return unbalanced data, rows in no order, labels that are texts."""
    rng = np.random.default_rng(7)
    sizes = {"n_group1": 10, "n_group2": 4, "n_rep": 4}
    sds = {"group1_sd": 2.0, "group2_sd": 3.0, "unexplained_sd": 4.0}
    frame = nested.generate_nested(rng, **sizes, **sds).frame
    frame["age"] = 40 + 9 * rng.normal(size=len(frame))
    frame["sex"] = rng.choice(["male", "female"], len(frame))
    frame["size"] = rng.integers(1, 6, len(frame))
    frame["school"] = frame["group1"].map("school {}".format)
    frame["class"] = frame["group2"].map("class {}".format)
    frame = frame.rename(columns={"y": "score"}).drop(columns=["group1", "group2"])
    return frame.sample(frac=0.7, random_state=1)


GROUPS = ["school", "class"]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("weights", [None, "size"])
def test_identity_predictions_solve_hendersons_equations(frame, weights, reml):
    fitted = nested.fit(frame, "score ~ age + sex", groups=GROUPS, weights=weights, reml=reml)
    s1, s2, se = fitted.variances.values()
    assert min(s1, s2) > 0
    x = np.column_stack([np.ones(len(frame)), frame["sex"] == "male", frame["age"]])
    group1, group2 = fitted.random_effects["group1"], fitted.random_effects["group2"]
    z1 = np.equal.outer(frame["school"].to_numpy(), group1.index.to_numpy())
    pairs = frame["school"] + "/" + frame["class"]
    z2 = np.equal.outer(pairs.to_numpy(), np.array(["/".join(pair) for pair in group2.index]))
    both, a = np.column_stack([x, z1, z2]) * 1.0, len(group1)
    weight = np.ones(len(frame)) if weights is None else frame["size"].to_numpy()
    left = both.T @ (both * (weight / se)[:, None])
    left[3:, 3:] += np.diag(np.r_[np.full(a, 1 / s1), np.full(len(group2), 1 / s2)])
    found = np.linalg.solve(left, both.T @ (frame["score"].to_numpy() * weight / se))
    errors = np.sqrt(np.diagonal(np.linalg.inv(left)))
    given_fixed = np.sqrt(np.diagonal(np.linalg.inv(left[3:, 3:])))
    assert list(fitted.fixed_effects.values()) == pytest.approx(found[:3], rel=1e-8)
    for some, table in ((slice(0, a), group1), (slice(a, None), group2)):
        assert table["value"].tolist() == pytest.approx(found[3:][some].tolist(), rel=1e-8)
        assert table["std_error"].tolist() == pytest.approx(errors[3:][some].tolist(), rel=1e-8)
        assert table["conditional_sd"].tolist() == pytest.approx(given_fixed[some].tolist())
    np.testing.assert_allclose(fitted.fitted, both @ found, rtol=1e-9)
    np.testing.assert_allclose(fitted.residuals, frame["score"] - both @ found, atol=1e-9)


def test_identity_predictions_with_a_raw_cubic(frame):
    year = np.random.default_rng(3).integers(2000, 2020, len(frame))
    frame = frame.assign(year=year, centred=year - 2009.5)
    raw, centred = (
        nested.fit(frame, f"score ~ {x} + I({x}**2) + I({x}**3)", groups=GROUPS)
        for x in ("year", "centred")
    )
    np.testing.assert_allclose(raw.fitted, centred.fitted, rtol=1e-8)
    np.testing.assert_allclose(
        raw.random_effects["group2"], centred.random_effects["group2"], rtol=1e-7
    )


@pytest.mark.parametrize("factor", [1e-100, 1.0, 1e100])
def test_identity_predictions_in_other_units(frame, factor):
    plain = nested.fit(frame, "score ~ age", groups=GROUPS)
    other = nested.fit(frame.assign(score=frame["score"] * factor), "score ~ age", groups=GROUPS)
    np.testing.assert_allclose(other.fitted, factor * plain.fitted, rtol=1e-8)
    np.testing.assert_allclose(other.fixed["df"], plain.fixed["df"], rtol=1e-6)
    for kind in ("profile", "logit"):
        for name, limits in plain.icc_interval(kind).items():
            assert other.icc_interval(kind)[name] == pytest.approx(limits, rel=1e-5)
    p_value = plain.test_variance("group1_var").p_value
    assert other.test_variance("group1_var").p_value == pytest.approx(p_value, rel=1e-6)


def test_contract_answers_are_those_of_the_study_method(frame):
    fitted = nested.fit(frame, "score ~ age", groups=GROUPS)
    method = nested.reml.with_icc("profile").with_fixed_effects().with_tests("group2_var")
    of = method(fitted.data, np.random.default_rng(0))
    assert fitted.icc_interval()["group1"] == of.estimates["group1_icc"].intervals["profile"]
    assert fitted.fixed.loc["age", "p_value"] == of.estimates["age"].p_value
    test = fitted.test_variance("group2_var")
    assert test.p_value == of.estimates["group2_var"].p_value
    assert test.statistic == of.diagnostics["group2_var_lrt"]
    assert test.mixture == "0.5 chi2(0) + 0.5 chi2(1)"
    assert str(test).startswith("likelihood-ratio test of group2_var = 0: statistic ")


def test_contract_frames_of_answers(frame):
    fitted = nested.fit(frame, "score ~ age + C(sex)", groups=GROUPS)
    assert list(fitted.fixed.index) == ["intercept", "C(sex)[T.male]", "age"]
    columns = ["estimate", "std_error", "df", "t", "p_value", "lower", "upper"]
    assert list(fitted.fixed.columns) == columns
    narrow = fitted.fixed_table(level=0.5)
    assert (narrow["lower"] > fitted.fixed["lower"]).all()
    assert (narrow["upper"] < fitted.fixed["upper"]).all()
    effects = fitted.random_effects
    assert effects["group1"].index.name == "school"
    assert effects["group2"].index.names == GROUPS
    assert list(effects["group1"].columns) == ["value", "std_error", "conditional_sd"]
    assert fitted.fitted.index.equals(frame.index)
    np.testing.assert_allclose(fitted.fitted + fitted.residuals, frame["score"])
    text = fitted.summary()
    for words in ("group1_icc", "C(sex)[T.male]", "df", "p-value"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 88


def test_contract_a_variance_at_zero(frame):
    centred = frame["score"] - frame.groupby("school")["score"].transform("mean")
    fitted = nested.fit(frame.assign(score=centred), "score ~ age", groups=GROUPS)
    assert fitted.variances["group1_var"] == 0
    assert (fitted.random_effects["group1"] == 0).all(axis=None)
    zero, other = (fitted.test_variance(name) for name in ("group1_var", "group2_var"))
    assert (zero.statistic, zero.p_value, zero.mixture) == (0, 1, "0.5 chi2(0) + 0.5 chi2(1)")
    assert "where group1_var is zero as well, as estimated here, the p-value is too" in str(other)
    assert fitted.icc_interval()["group1"][0] == 0
    assert np.isnan(fitted.icc_interval("logit")["group1"]).all()


def test_contract_what_the_design_cannot_tell_is_missing(frame):
    """A group 2 for each group 1 leaves fitted values, which rest on the sum of both effects."""
    fitted = nested.fit(frame.assign(one=1), "score ~ age", groups=["school", "one"])
    assert fitted.random_effects["group1"].isna().all(axis=None)
    assert fitted.fitted.notna().all()
    assert np.isnan(fitted.test_variance("group1_var").p_value)
    constant = nested.fit(frame.assign(score=2.5), "score ~ age", groups=GROUPS)
    assert constant.fitted.isna().all()
    assert constant.fixed["df"].isna().all()
    assert "the response is constant" in constant.summary()


@pytest.mark.parametrize("formula", ["score ~ age + sex", "score ~ 1 + age + C(sex)"])
def test_identity_a_formula_is_as_names_of_columns(frame, formula):
    by_formula = nested.fit(frame, formula, groups=GROUPS)
    names = {"response": "score", "group1": "school", "group2": "class"}
    by_name = nested.fit(frame, **names, exog=["sex", "age"])
    assert by_formula.llf == pytest.approx(by_name.llf, rel=1e-13)
    fixed = [list(fitted.fixed_effects.values()) for fitted in (by_formula, by_name)]
    assert fixed[0] == pytest.approx(fixed[1], rel=1e-10)


def shifted(values):
    return values - 40


def test_contract_formulas_take_functions_interactions_and_other_names(frame):
    columns = {"age": "age in years", "class": 3}
    renamed = frame.rename(columns=columns).assign(score=np.exp(frame["score"] / 5))
    formula = "np.log(score) ~ shifted(Q('age in years')) * sex"
    fitted = nested.fit(renamed, formula, groups=["school", 3])
    names = ["intercept", "sex[T.male]", "shifted(Q('age in years'))"]
    assert list(fitted.fixed_effects) == [*names, "shifted(Q('age in years')):sex[T.male]"]
    plain = nested.fit(frame.assign(score=frame["score"] / 5), "score ~ age * sex", groups=GROUPS)
    assert fitted.llf == pytest.approx(plain.llf, rel=1e-10)


def test_contract_polars_frames_take_a_formula(frame):
    polars = pytest.importorskip("polars")
    other = polars.from_pandas(frame)
    plain = nested.fit(frame, "score ~ age + sex", groups=GROUPS, weights="size")
    fitted = nested.fit(other, "score ~ age + sex", groups=GROUPS, weights="size")
    assert fitted.fixed_effects == plain.fixed_effects
    assert fitted.fitted.tolist() == plain.fitted.tolist()


def test_law_weights_of_means_leave_the_fixed_effects(frame):
    """Rows that are means of n rows: the model of means with weights n, by the dense formula."""
    fitted = nested.fit(frame, "score ~ age", groups=GROUPS, weights="size")
    plain = plain_likelihood(fitted.data, np.array(list(fitted.variances.values())), exog=("age",))
    assert fitted.llf == pytest.approx(plain.llf, rel=1e-12)
    assert "weighted" in fitted.summary()


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        ("score ~ agee", {}, r"formula 'score ~ agee': .*name 'agee' is not defined"),
        ("score ~ age +", {}, "formula 'score ~ age \\+': "),
        ("~ age", {}, "formula '~ age' has no response; write 'score ~ age'"),
        ("age", {}, "formula 'age' has no response; write 'score ~ age'"),
        ("score ~ 0 + sex", {}, "the intercept is always there; take out 0 or -1"),
        ("score ~ age - 1", {}, "the intercept is always there; take out 0 or -1"),
        ("score ~ age + (1 | school/class)", {}, r"the groups stand apart: groups=\['school', 'cl"),
        ("sex ~ age", {}, "the response is the columns .*; it must be one column of numbers"),
        ("score ~ np.log(age - 100)", {}, "missing"),
        ("score ~ I(1 / (age - age))", {}, "has missing or infinite values"),
        ("score ~ gap", {}, "at 'gap': factor contains missing values; drop these rows"),
        ("score ~ age + C(zero)", {}, r"'C\(zero\)' has a single level; leave it out"),
        ("score ~ age + I(2 * age)", {}, "formula: the covariate .* is a linear combination of"),
        (5, {}, "the formula is 5; write a text, as 'score ~ age"),
        ("score ~ age", {"exog": "age"}, "exog='age' stands beside a formula; leave it out"),
        ("score ~ age", {"response": "y"}, "response='y' stands beside a formula; leave it out"),
        ("score ~ age", {"groups": "school"}, r"groups is 'school'; name two columns, of group 1"),
        ("score ~ age", {"groups": ["a", "b", "c"]}, r"groups is \['a', 'b', 'c'\]; name two"),
        ("score ~ age", {"groups": ["school", "room"]}, "the frame has no column 'room'; it has"),
        ("score ~ age", {"groups": ["class", "class"]}, "column 'class' is asked for twice"),
        ("score ~ age", {"group1": "school"}, "groups stands beside group1 or group2; give one"),
        ("score ~ age", {"weights": "heavy"}, "the frame has no column 'heavy'; it has score"),
        ("score ~ age", {"weights": "sex"}, "column 'sex' is .*, not numbers"),
        ("score ~ age", {"weights": "zero"}, "column 'zero' has the weight 0; give numbers above"),
        ("score ~ age", {"weights": "gap"}, "column 'gap' has 3 missing values; drop these rows"),
    ],
)
def test_contract_bad_formulas_groups_and_weights_get_one_line(frame, formula, options, message):
    frame = frame.assign(zero=0, gap=frame["age"].mask(np.arange(len(frame)) < 3))
    with pytest.raises(TableError, match=message) as caught:
        nested.fit(frame, formula, **{"groups": GROUPS, **options})
    assert "\n" not in str(caught.value)


def test_contract_bad_names_and_levels_get_one_line(frame):
    fitted = nested.fit(frame, "score ~ age", groups=GROUPS)
    with pytest.raises(ValueError, match="no test is of 'group3_var'; there are group1_var, gro"):
        fitted.test_variance("group3_var")
    with pytest.raises(ValueError, match="no interval is called 'wald'; there are logit, profile"):
        fitted.icc_interval("wald")
    for call in (fitted.icc_interval, fitted.fixed_table):
        with pytest.raises(ValueError, match="level is 95; give a number between 0 and 1"):
            call(level=95)


def test_contract_an_empty_frame_gets_one_line():
    empty = pd.DataFrame(columns=["score", *GROUPS])
    with pytest.raises(TableError, match="the frame has no rows"):
        nested.fit(empty, "score ~ 1", groups=GROUPS)


def small_frame():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"school": np.repeat(range(20), 6)})
    frame["class"] = np.tile([0, 0, 1, 1, 2, 2], 20)
    frame["age"], frame["score"] = rng.normal(size=(2, 120))
    return frame


def test_contract_numbers_stored_as_texts_are_no_factor():
    frame, groups = small_frame(), ["school", "class"]
    texts = frame.assign(age=frame["age"].astype(str))
    for asked in ({"formula": "score ~ age"}, {"response": "score", "exog": ["age"]}):
        with pytest.raises(TableError, match=r"'age' has 120 levels in 120 rows.*to_numeric"):
            nested.fit(texts, **asked, groups=groups)
    wrong = frame.assign(score=frame["score"].astype(str))
    with pytest.raises(TableError, match=r"the response is the columns .*, which texts") as said:
        nested.fit(wrong, "score ~ age", groups=groups)
    assert len(str(said.value)) < 300
    with pytest.raises(TableError, match="'scor' is not defined; the frame has school, class"):
        nested.fit(frame, "scor ~ age", groups=groups)


def test_contract_an_unused_category_has_no_column():
    rng = np.random.default_rng(1)
    frame = small_frame()
    frame["sex"] = pd.Categorical(rng.choice(["f", "m"], 120), categories=["f", "m", "x"])
    fit = nested.fit(frame, "score ~ sex", groups=["school", "class"])
    assert len(fit.fixed) == 2
