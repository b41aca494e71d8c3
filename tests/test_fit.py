"""`nested.fit`: anybody's data frame."""

import numpy as np
import pandas as pd
import pytest
from plain_likelihood import plain_likelihood

from mcstudy import Status, nested
from mcstudy.errors import MCStudyError, TableError
from mcstudy.nested.mixedlm_diagnostics import identifiable
from mcstudy.nested.reml import KINDS


@pytest.fixture
def frame():
    """Return unbalanced data, rows in no order, with a covariate of rows and one of groups."""
    rng = np.random.default_rng(5)
    sizes = {
        "n_group1": 12,
        "n_group2": 4,
        "n_rep": 5,
        "group1_sd": 2.0,
        "group2_sd": 3.0,
        "unexplained_sd": 4.0,
    }
    frame = nested.generate_nested(rng, **sizes).frame
    frame["age"] = 40 + 9 * rng.normal(size=len(frame))
    frame["urban"] = (frame["group1"] % 3 == 0).astype(int)
    return frame.sample(frac=0.7, random_state=1)


def notebook_frame():
    """Return the data of the variance-components notebook of statsmodels."""
    draws = np.random.RandomState(3123)
    first, second, rest = (sd * draws.normal(size=n) for sd, n in ((2, 200), (3, 4000), (4, 40000)))
    return pd.DataFrame(
        {
            "y": np.repeat(first, 200) + np.repeat(second, 10) + rest,
            "group1": np.repeat(np.arange(200), 200),
            "group2": np.tile(np.repeat(np.arange(20), 10), 200),
        }
    )


def test_reference_the_notebooks_data_to_all_digits():
    fitted = nested.fit(notebook_frame())
    in_rational_arithmetic = [3.91813947435871, 8.74218382669322, 15.8825558180436]
    np.testing.assert_allclose(list(fitted.variances.values()), in_rational_arithmetic, rtol=1e-13)
    np.testing.assert_allclose(
        list(fitted.std_errors.values()), [0.444737, 0.237292, 0.118382], atol=6e-7
    )
    assert fitted.llf == pytest.approx(-116022.38051498772, rel=1e-13)
    assert fitted.status is Status.OK
    assert fitted.message == ""
    assert fitted.iterations == 0


@pytest.mark.parametrize("exog", [None, ["age"], ["age", "urban"]])
@pytest.mark.parametrize("reml", [True, False])
def test_reference_fixed_effects_and_likelihood_agree_with_mixedlm(frame, exog, reml):
    from statsmodels.regression.mixed_linear_model import MixedLM

    ours = nested.fit(frame, exog=exog, reml=reml)
    theirs = MixedLM.from_formula(
        "y ~ " + " + ".join(["1", *(exog or [])]),
        frame,
        groups="group1",
        re_formula="1",
        vc_formula={"group2": "0 + C(group2)"},
    ).fit(reml=reml, gtol=1e-8)
    assert ours.llf >= theirs.llf - 1e-9
    assert ours.llf == pytest.approx(theirs.llf, abs=1e-6)
    np.testing.assert_allclose(list(ours.fixed_effects.values()), theirs.fe_params, rtol=1e-3)
    dense = plain_likelihood(
        ours.data, np.array(list(ours.variances.values())), reml=reml, exog=tuple(exog or ())
    )
    assert ours.llf == pytest.approx(dense.llf, rel=1e-12)
    np.testing.assert_allclose(
        np.square(list(ours.fixed_effects_std_errors.values())),
        np.diagonal(dense.fixed_effects_cov),
        rtol=1e-7,
    )


def test_contract_order_of_rows_and_kind_of_labels_do_not_matter(frame):
    plain = nested.fit(frame, exog=["age"])
    renamed = frame.sample(frac=1, random_state=2).assign(
        group1=lambda data: data["group1"].map("district {}".format),
        group2=lambda data: data["group1"].astype(str) + "/" + data["group2"].astype(str),
    )
    renamed.index = [0] * len(renamed)
    other = nested.fit(renamed, exog=["age"])
    for name, value in plain.variances.items():
        assert other.variances[name] == pytest.approx(value, rel=1e-9)
    assert other.llf == pytest.approx(plain.llf, rel=1e-12)


@pytest.mark.parametrize(("factor", "shift"), [(1e-4, 0.0), (1e8, 0.0), (0.01, 1e6)])
def test_law_units_of_the_response_and_its_mean_change_nothing_else(frame, factor, shift):
    plain = nested.fit(frame)
    other = nested.fit(frame.assign(y=frame["y"] * factor / 4 + shift))
    rel = 1e-8 if not shift else 1e-6
    for name, value in plain.variances.items():
        assert other.variances[name] == pytest.approx(value * (factor / 4) ** 2, rel=rel)
        assert other.std_errors[name] == pytest.approx(
            plain.std_errors[name] * (factor / 4) ** 2, rel=rel
        )
    fixed = plain.fixed_effects["intercept"] * factor / 4 + shift
    assert other.fixed_effects["intercept"] == pytest.approx(fixed, rel=1e-9)
    assert other.status is plain.status


def test_law_units_of_a_covariate_change_its_coefficient_only(frame):
    plain = nested.fit(frame, exog=["age"])
    other = nested.fit(frame.assign(age=1e5 + 1e-3 * frame["age"]), exog=["age"], reml=True)
    assert other.fixed_effects["age"] == pytest.approx(1e3 * plain.fixed_effects["age"], rel=1e-6)
    assert other.variances["group1_var"] == pytest.approx(plain.variances["group1_var"], rel=1e-6)


@pytest.fixture
def years(frame):
    """Return the frame with powers of a year, raw and centred."""
    year = np.random.default_rng(3).integers(2000, 2020, len(frame))
    powers = {f"year{power}": year**power for power in (1, 2, 3)}
    centred = {f"centred{power}": (year - 2009.5) ** power for power in (1, 2, 3)}
    return frame.assign(**powers, **centred)


def three(name):
    return [f"{name}{power}" for power in (1, 2, 3)]


@pytest.mark.parametrize("reml", [True, False])
def test_identity_a_raw_cubic_is_as_good_as_a_centred_one(years, reml):
    """By x^3 = c^3 + 3 m c^2 + ...: the change of columns has determinant 1, so equal llf."""
    raw = nested.fit(years, exog=three("year"), reml=reml)
    centred = nested.fit(years, exog=three("centred"), reml=reml)
    assert raw.status is centred.status is Status.OK
    for one, other in ((raw.variances, centred.variances), (raw.std_errors, centred.std_errors)):
        assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-9)
    assert raw.llf == pytest.approx(centred.llf, abs=1e-8)
    cubic = centred.fixed_effects["centred3"]
    square = centred.fixed_effects["centred2"] - 3 * 2009.5 * cubic
    assert raw.fixed_effects["year3"] == pytest.approx(cubic, rel=1e-6)
    assert raw.fixed_effects["year2"] == pytest.approx(square, rel=1e-6)
    error = centred.fixed_effects_std_errors["centred3"]
    assert raw.fixed_effects_std_errors["year3"] == pytest.approx(error, rel=1e-6)
    limits = [fitted.interval("profile")["group2_var"] for fitted in (raw, centred)]
    assert limits[0] == pytest.approx(limits[1], rel=1e-5)
    assert len(identifiable(raw.data)) == 3


def test_reference_coefficients_of_correlated_covariates_are_those_of_the_dense_formula(years):
    names = ["age", "centred1", "centred2", "centred3"]
    fitted = nested.fit(years.assign(centred2=years["centred2"] + 5 * years["age"]), exog=names)
    dense = plain_likelihood(
        fitted.data, np.array(list(fitted.variances.values())), exog=tuple(names)
    )
    assert fitted.llf == pytest.approx(dense.llf, rel=1e-12)
    values, errors = fitted.fixed_effects.values(), fitted.fixed_effects_std_errors.values()
    assert list(values) == pytest.approx(dense.fixed_effects, rel=1e-8)
    assert np.square(list(errors)) == pytest.approx(np.diagonal(dense.fixed_effects_cov), rel=1e-8)


@pytest.mark.parametrize("power", [-500, -40, 500])
def test_identity_units_of_covariates_by_powers_of_two(years, power):
    names = three("centred")
    plain = nested.fit(years, exog=names)
    other = nested.fit(years.assign(centred2=years["centred2"] * 2.0**power), exog=names)
    assert other.variances == plain.variances
    assert other.fixed_effects["centred2"] * 2.0**power == plain.fixed_effects["centred2"]
    assert other.fixed_effects["centred3"] == plain.fixed_effects["centred3"]


def test_contract_a_response_without_a_fit_says_why(frame):
    constant = nested.fit(frame.assign(y=2.5))
    assert (constant.status, constant.message) == (Status.NOT_FINITE, "the response is constant")
    for factor in (1e-170, 1e170):
        extreme = nested.fit(frame.assign(y=frame["y"] * factor))
        assert extreme.status is Status.NOT_FINITE
        assert "beyond floating-point numbers; change the response's units" in extreme.message
        assert extreme.message in extreme.summary()


def test_contract_designs_that_cannot_tell_give_no_arbitrary_split(frame):
    cases = {
        "group1_var": frame[frame["group1"] == 3],
        "group1_var and group2_var": frame[frame["group2"] == 1],
        "group2_var and unexplained_var": frame.drop_duplicates(["group1", "group2"]),
    }
    for names, some in cases.items():
        fitted = nested.fit(some)
        assert fitted.status is Status.NOT_IDENTIFIABLE
        assert fitted.message == f"the design cannot tell: {names}"
        for name, value in fitted.variances.items():
            assert np.isnan(value) == (name in names)
        assert np.isfinite(fitted.llf)
        assert " - " in fitted.summary()


def test_contract_intervals_by_name_and_level(frame):
    fitted = nested.fit(frame)
    for kind in ("wald", "log"):
        wide, narrow = fitted.interval(kind, 0.99), fitted.interval(kind, level=0.5)
        for name, (lower, upper) in narrow.items():
            assert wide[name][0] < lower < fitted.variances[name] < upper < wide[name][1]
    with pytest.raises(ValueError, match="no interval is called 'walt'; there are "):
        fitted.interval("walt")
    half = fitted.interval("wald", np.float32(0.5))["group1_var"]
    assert half == pytest.approx(fitted.interval("wald", 0.5)["group1_var"], rel=1e-6)
    for level in (95, "0.95", None, np.nan):
        with pytest.raises(ValueError, match=r"level is .*; give a number between 0 and 1"):
            fitted.interval("wald", level)


@pytest.mark.parametrize("kind", KINDS)
def test_contract_every_kind_of_interval_widens_with_its_level_and_repeats(frame, kind):
    fitted = nested.fit(frame)
    wide, narrow = fitted.interval(kind, 0.99), fitted.interval(kind, 0.8)
    assert narrow
    assert narrow == fitted.interval(kind, 0.8)
    for name, (lower, upper) in narrow.items():
        assert wide[name][0] <= lower < upper < wide[name][1]
        assert lower < fitted.variances[name] < upper


@pytest.mark.parametrize(
    "exog",
    [
        pd.Index(["age", "urban"]),
        np.array(["age", "urban"]),
        ("age", "urban"),
        pd.Series(["age", "urban"]),
        iter(["age", "urban"]),
    ],
)
def test_contract_exog_takes_any_sequence_of_names(frame, exog):
    plain = nested.fit(frame, exog=["age", "urban"])
    assert nested.fit(frame, exog=exog).fixed_effects == plain.fixed_effects


def test_contract_exog_takes_a_single_name(frame):
    one = nested.fit(frame, exog=["age"])
    assert nested.fit(frame, exog="age").fixed_effects == one.fixed_effects
    numbered = frame.rename(columns={"age": 7})
    assert nested.fit(numbered, exog=7).fixed_effects["7"] == one.fixed_effects["age"]


def with_levels(frame):
    rng = np.random.default_rng(2)
    site = pd.Categorical(rng.choice(["a", "b", "z"], len(frame)), categories=["z", "-", "b", "a"])
    sex = rng.choice(["male", "female"], len(frame))
    return frame.assign(sex=sex, site=site, old=frame["age"] > 45)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [object, "str", "category", "string[pyarrow]"])
def test_reference_categories_are_coded_as_by_a_formula(frame, kind):
    from statsmodels.regression.mixed_linear_model import MixedLM

    frame = with_levels(frame).astype({"sex": kind})
    fitted = nested.fit(frame, exog=["sex", "old", "site", "age"])
    names = ["intercept", "sex[T.male]", "old[T.True]", "site[T.b]", "site[T.a]", "age"]
    assert list(fitted.fixed_effects) == names
    theirs = MixedLM.from_formula(
        "y ~ sex + old + site + age",
        frame.assign(site=frame["site"].cat.remove_unused_categories(), sex=list(frame["sex"])),
        groups="group1",
        re_formula="1",
        vc_formula={"group2": "0 + C(group2)"},
    ).fit(gtol=1e-8)
    by_name = {name.replace("Intercept", "intercept"): x for name, x in theirs.fe_params.items()}
    for name, value in fitted.fixed_effects.items():
        assert value == pytest.approx(by_name[name], rel=1e-3, abs=1e-4)
        assert name in fitted.summary()
    assert fitted.llf == pytest.approx(theirs.llf, abs=1e-6)


@pytest.mark.parametrize("library", ["polars", "arrow", "batch", "stream", "to_pandas"])
def test_contract_frames_of_other_libraries(frame, library):
    pa = pytest.importorskip("pyarrow")
    frame = with_levels(frame)
    table = pa.Table.from_pandas(frame)
    if library == "polars":
        polars = pytest.importorskip("polars")
        levels = polars.Enum(frame["site"].cat.categories.tolist())
        polars.Series(["male"], dtype=polars.Categorical)  # so it is known before "female"
        other = polars.from_arrow(table).cast({"site": levels, "sex": polars.Categorical})
    elif library == "to_pandas":
        other = type("Frame", (), {"to_pandas": lambda self: frame})()
    else:
        other = {
            "arrow": table,
            "batch": table.to_batches()[0],
            "stream": table.to_reader(),
        }[library]
    exog = ["sex", "old", "site", "age"]
    plain, fitted = nested.fit(frame, exog=exog), nested.fit(other, exog=exog)
    assert fitted.variances == plain.variances
    assert fitted.fixed_effects == plain.fixed_effects


def test_contract_a_lazy_frame_is_to_be_collected(frame):
    lazy = pytest.importorskip("polars").from_pandas(frame).lazy()
    with pytest.raises(TableError, match=r"a lazy LazyFrame; call its collect\(\) first"):
        nested.fit(lazy)


@pytest.mark.parametrize("kind", ["category", "str", bool])
def test_contract_labels_of_any_one_type(frame, kind):
    frame = frame.assign(group1=frame["group1"] % 2, group2=10 * frame["group1"] + frame["group2"])
    plain = nested.fit(frame)
    labels = frame["group1"].astype(kind)
    if kind == "category":
        labels = labels.cat.add_categories([99])
    assert nested.fit(frame.assign(group1=labels)).llf == pytest.approx(plain.llf, rel=1e-13)


def crossed(raters, things, rows):
    rng = np.random.default_rng(4)
    rater, thing = (x.ravel() for x in np.indices((raters, things * rows)))
    thing = thing % things
    y = rng.normal(size=raters)[rater] + 3 * rng.normal(size=things)[thing]
    return pd.DataFrame({"y": y + rng.normal(size=len(y)), "rater": rater, "thing": thing})


def test_contract_crossed_data_get_a_note():
    for rows in (1, 2):
        fitted = nested.fit(crossed(8, 12, rows), group1="rater", group2="thing")
        [note] = fitted.notes
        assert "'thing' occurs under 8 of the 8 labels of 'rater' (median of 12 labels)" in note
        assert f"with {rows} rows each time" in note
        assert "lme4" in note
        assert "note: a label of 'thing' occurs" in fitted.summary()
    some = crossed(40, 60, 4)
    some = some[(some["rater"] + some["thing"]) % 10 == 0]
    assert nested.fit(some, group1="rater", group2="thing").notes


def test_contract_nested_data_get_no_note(frame):
    reused = nested.fit(frame)
    own = nested.fit(frame.assign(group2=100 * frame["group1"] + frame["group2"]))
    assert reused.notes == own.notes == ()
    assert "note" not in reused.summary()


def test_contract_a_fit_and_its_data_are_shown_in_a_line(frame):
    fitted = nested.fit(frame, exog="age")
    assert str(fitted) == fitted.summary()
    assert repr(fitted).startswith("<NestedFit REML of 168 rows: group1_var=")
    assert repr(fitted).endswith(", status ok>")
    assert repr(fitted.data) == "<NestedData of 168 rows in 12 groups, covariates age>"
    assert repr(fitted.data.design) == "<NestedDesign of 168 rows in 12 groups, not balanced>"
    sizes = {"n_group1": 3, "n_group2": 2, "n_rep": 4}
    sds = {"group1_sd": 2.0, "group2_sd": 3.0, "unexplained_sd": 4.0}
    rngs = [np.random.default_rng(i) for i in range(5)]
    batch = nested.generate_nested.batch(rngs, **sizes, **sds)
    assert repr(batch) == "<NestedBatch of 5 data sets of 24 rows in 3 groups>"
    assert repr(batch.design) == "<NestedDesign of 24 rows, balanced: 3 x 2 x 4>"
    dropped = nested.generate_nested.batch(rngs, **sizes, **sds, dropped_rows=0.3)
    assert repr(dropped) == "<NestedBatch of 5 data sets of 24 rows in 3 groups, some dropped>"


def test_contract_summary_shows_every_number(frame):
    fitted = nested.fit(frame, exog=["age", "urban"])
    text = fitted.summary()
    for values in (fitted.variances, fitted.std_errors, fitted.fixed_effects):
        for name, value in values.items():
            assert name in text
            assert f"{value:.6g}" in text
    assert "status ok" in text


def set_value(name, value):
    return lambda frame: frame.assign(**{name: [value, *frame[name].astype(object).tolist()[1:]]})


@pytest.mark.parametrize(
    ("change", "exog", "message"),
    [
        (lambda frame: frame.drop(columns="y"), None, "the frame has no column 'y'; it has group1"),
        (lambda frame: frame, ["agee"], "the frame has no column 'agee'"),
        (lambda frame: frame, ["age", "age"], "column 'age' is asked for twice"),
        (lambda frame: frame[:0], None, "the frame has no rows"),
        (lambda frame: frame.assign(y=frame["y"].mask(frame.index < 9)), None, "column 'y' has "),
        (lambda frame: frame.assign(y=frame["y"].astype(str)), None, "column 'y' is .*not numbers"),
        (lambda frame: frame.assign(y=frame["y"] * 1j), None, "column 'y' is complex128"),
        (lambda frame: frame.assign(age=np.inf), ["age"], "column 'age' has infinite values"),
        (lambda frame: frame.assign(age=3.1), ["age"], "exog: the covariate 'age' is constant"),
        (lambda frame: frame.assign(age="b"), ["age"], "exog: 'age' is constant"),
        (lambda frame: frame.assign(age=[1, "b"] * 84), ["age"], "column 'age' is object, not num"),
        (
            lambda frame: frame.assign(age=pd.Timestamp("2020-01-01")),
            ["age"],
            "column 'age' is datetime.*, not numbers",
        ),
        (
            lambda frame: frame.assign(age=pd.Series("ab"[i % 2] for i in range(99))),
            ["age"],
            "column 'age' has [0-9]+ missing values; drop these rows",
        ),
        (lambda frame: frame.rename(columns={"age": "intercept"}), "intercept", "'intercept' is"),
        (
            lambda frame: frame.assign(**{"town[T.True]": frame["age"], "town": frame["age"] > 40}),
            ["town", "town[T.True]"],
            r"exog: two columns are called 'town\[T.True\]'; rename one",
        ),
        (lambda frame: frame, ["a", "b"], "the frame has no columns 'a', 'b'; it has y, group1"),
        (lambda frame: frame, 5, "the frame has no column 5"),
        (lambda frame: frame, np.ones((2, 2)), "exog has columns of its own; give their names"),
        (lambda frame: frame, pd.DataFrame({"age": [1]}), "exog has columns of its own; give th"),
        (lambda frame: frame, [["age"]], r"the frame has no column \['age'\]; it has y"),
        (lambda frame: frame, np.array(["agee"]), "the frame has no column 'agee'; it has y"),
        (lambda frame: pd.concat([frame, frame[["y"]]], axis=1), None, "more than one column 'y'"),
        (
            lambda frame: frame.assign(b=2 * frame["age"] - frame["urban"]),
            ["age", "urban", "b"],
            "exog: the covariate 'b' is a linear combination of those before it",
        ),
        (set_value("group2", None), None, "column 'group2' has 1 missing labels; drop them"),
        (set_value("group1", "3"), None, "column 'group1' has the labels .*make them one type"),
        (set_value("group1", "3.0"), None, "column 'group1' has the labels .*make them one type"),
        (set_value("group1", True), None, "column 'group1' mixes truth values and other labels"),
        (
            lambda frame: set_value("group1", "3")(frame).astype({"group1": "category"}),
            None,
            "column 'group1' has the labels .*make them one type",
        ),
        (lambda frame: frame.assign(group1=[[1]] * len(frame)), None, "'group1' has values that"),
    ],
)
def test_contract_bad_input_gets_one_line(frame, change, exog, message):
    with pytest.raises(TableError, match=message) as caught:
        nested.fit(change(frame), exog=exog)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "no_frame", [[1, 2], None, {}, {"y": [1.0]}, 5, "data.csv", np.ones((3, 3)), pd.Series([1.0])]
)
def test_contract_what_is_no_frame_gets_one_line(no_frame):
    with pytest.raises(MCStudyError, match=r"^the table is a .*; give a data frame of pandas") as e:
        nested.fit(no_frame)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("empty", [pd.DataFrame(), pd.DataFrame(columns=["y", "group1", "group2"])])
def test_contract_an_empty_frame_gets_one_line(empty):
    with pytest.raises(MCStudyError, match="the frame has no "):
        nested.fit(empty)


def test_identity_criteria_and_correlations_are_those_of_the_variances():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"group1": np.repeat(range(8), 6), "group2": np.tile(np.repeat([0, 1], 3), 8)}
    )
    frame["x"] = rng.normal(size=48)
    frame["y"] = rng.normal(size=8)[frame["group1"]] + rng.normal(size=48)
    for reml in (True, False):
        fitted = nested.fit(frame, exog="x", reml=reml)
        assert fitted.aic == pytest.approx(-2 * fitted.llf + 2 * 5)
        assert fitted.bic == pytest.approx(-2 * fitted.llf + 5 * np.log(48))
        first, second, rest = fitted.variances.values()
        assert fitted.icc["group1"] == pytest.approx(first / (first + second + rest))
        assert fitted.icc["group2"] == pytest.approx(1 - rest / (first + second + rest))
