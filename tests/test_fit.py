"""`nested.fit`: anybody's data frame."""

import numpy as np
import pandas as pd
import pytest

from mcstudy import Status, nested
from mcstudy.nested.plain import plain_likelihood
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
    with pytest.raises(ValueError, match="level is 95; give a number between 0 and 1"):
        fitted.interval("wald", 95)


@pytest.mark.parametrize("kind", KINDS)
def test_contract_every_kind_of_interval_widens_with_its_level_and_repeats(frame, kind):
    fitted = nested.fit(frame)
    wide, narrow = fitted.interval(kind, 0.99), fitted.interval(kind, 0.8)
    assert narrow
    assert narrow == fitted.interval(kind, 0.8)
    for name, (lower, upper) in narrow.items():
        assert wide[name][0] <= lower < upper < wide[name][1]
        assert lower < fitted.variances[name] < upper


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
        (lambda frame: frame, "age", r"exog is 'age'; give a list of column names, as \['age'\]"),
        (lambda frame: frame, ["age", "age"], "column 'age' is asked for twice"),
        (lambda frame: frame[:0], None, "the frame has no rows"),
        (lambda frame: frame.assign(y=frame["y"].mask(frame.index < 9)), None, "column 'y' has "),
        (lambda frame: frame.assign(y=frame["y"].astype(str)), None, "column 'y' is .*not numbers"),
        (lambda frame: frame.assign(y=frame["y"] * 1j), None, "column 'y' is complex128"),
        (lambda frame: frame.assign(age=np.inf), ["age"], "column 'age' has infinite values"),
        (lambda frame: frame.assign(age=3.1), ["age"], "exog: 'age' is constant"),
        (
            lambda frame: frame.assign(b=2 * frame["age"] - frame["urban"]),
            ["age", "urban", "b"],
            "exog: 'b' is a linear combination of the columns before it",
        ),
        (set_value("group2", None), None, "column 'group2' has 1 missing labels; drop them"),
    ],
)
def test_contract_bad_input_gets_one_line(frame, change, exog, message):
    with pytest.raises(ValueError, match=message) as caught:
        nested.fit(change(frame), exog=exog)
    assert "\n" not in str(caught.value)
