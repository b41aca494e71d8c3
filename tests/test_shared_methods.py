"""Methods that share their work: one function that answers for several."""

import dataclasses
import os

import numpy as np
import pytest

from mcstudy import Estimate, Fit, Skip, Study, batched, check, grid, replay, run
from mcstudy.errors import StudyError


def sample(rng, *, n, slope):
    x = rng.normal(size=n)
    return x, slope * x + rng.normal(size=n) * np.abs(x)


def least_squares(data):
    x, y = data
    slope = x @ y / (x @ x)
    rest = (y - slope * x) ** 2
    h = x**2 / (x @ x)
    variances = {
        "classical": rest.sum() / (len(x) - 1) / (x @ x),
        "hc0": (x**2 @ rest) / (x @ x) ** 2,
        "hc3": (x**2 @ (rest / (1 - h) ** 2)) / (x @ x) ** 2,
    }
    return {name: {"slope": Estimate(slope, v**0.5)} for name, v in variances.items()}


def alone(name):
    return lambda data, name=name: least_squares(data)[name]


def weighted(data):
    x, y = data
    return {"slope": Estimate((y / x).mean())}


NAMES = ("classical", "hc0", "hc3")
STUDY = Study(
    name="shared",
    simulate=sample,
    estimands=lambda *, n, slope: {"slope": slope},
    methods={NAMES: least_squares, "weighted": weighted},
    conditions=grid(n=[10, 40], slope=[0.0, 1.0]),
    replicates=30,
    seed=4,
)


def table(results, name="performance"):
    return getattr(results, name).reset_index(drop=True)


@pytest.mark.slow
def test_identity_a_shared_function_gives_what_each_method_alone_gives(tmp_path):
    shared = run(STUDY, tmp_path / "a", jobs=1, quiet=True)
    methods = {name: alone(name) for name in NAMES} | {"weighted": weighted}
    apart = run(dataclasses.replace(STUDY, methods=methods), tmp_path / "b", jobs=1, quiet=True)
    for name in ("performance", "estimates", "comparisons"):
        assert table(shared, name).equals(table(apart, name))
    assert list(STUDY.methods) == [*NAMES, "weighted"]


def test_contract_it_is_called_once_for_each_data_set(tmp_path):
    calls = []

    def counted(data):
        calls.append(1)
        return least_squares(data)

    study = dataclasses.replace(STUDY, methods={NAMES: counted})
    results = run(study, tmp_path, jobs=1, quiet=True)
    # Twice for the first replicate, which tells whether a method gives the same answer again.
    assert 120 <= len(calls) <= 120 + 2 * len(NAMES) * 4
    seconds = results.timings.pivot(index=["condition", "replicate"], columns="method")["seconds"]
    assert (seconds["hc0"] == seconds["hc3"]).all()


@pytest.mark.slow
def test_contract_some_of_them_can_be_run_and_others_added(tmp_path):
    first = run(STUDY, tmp_path, methods=["hc3"], jobs=1, quiet=True)
    assert set(first.performance["method"]) == {"hc3"}
    whole = run(STUDY, tmp_path, jobs=1, quiet=True)
    fresh = run(STUDY, tmp_path / "fresh", jobs=1, quiet=True)
    assert table(whole).equals(table(fresh))
    more = {(*NAMES, "twice"): lambda d: least_squares(d) | {"twice": {"slope": 2.0}}}
    assert set(dataclasses.replace(STUDY, methods=more).methods) == {*NAMES, "twice"}


def test_contract_an_exception_is_that_of_each_and_a_skip_of_one_alone(tmp_path):
    def fails(data):
        if data[0][0] > 1:
            raise ValueError("far out")
        answers = least_squares(data)
        if len(data[0]) == 10:
            answers["hc3"] = Fit({}, status="skipped", message="too few")
        return answers

    study = dataclasses.replace(STUDY, methods={NAMES: fails})
    fits = run(study, tmp_path, jobs=1, quiet=True).fits
    counts = fits.groupby("method")["status"].value_counts().unstack(fill_value=0)
    assert (counts["error"] == counts["error"].iloc[0]).all()
    assert counts["error"].iloc[0] > 0
    assert counts["skipped"].to_dict()["hc3"] > 0
    assert counts["skipped"].to_dict()["hc0"] == 0
    assert "far out" in fits["message"].dropna().iloc[0]


@pytest.mark.slow
def test_contract_a_batched_function_answers_for_several_too(tmp_path):
    @batched
    def together(batch):
        answers = [least_squares(data) for data in batch]
        return {
            name: {
                "slope": Estimate(
                    np.array([a[name]["slope"].value for a in answers]),
                    np.array([a[name]["slope"].std_error for a in answers]),
                )
            }
            for name in NAMES
        }

    one = run(STUDY, tmp_path / "a", methods=list(NAMES), jobs=1, quiet=True)
    study = dataclasses.replace(STUDY, methods={NAMES: together})
    assert table(run(study, tmp_path / "b", jobs=1, quiet=True)).equals(table(one))

    @batched
    def sometimes(batch):
        if any(data[0][0] > 1 for data in batch):
            raise ValueError("far out")
        return together.batch(batch)

    study = dataclasses.replace(STUDY, methods={NAMES: sometimes})
    fits = run(study, tmp_path / "c", jobs=1, quiet=True).fits
    assert 0 < (fits["status"] == "error").sum() < len(fits)
    assert (fits.groupby(["condition", "replicate"])["status"].nunique() == 1).all()


def test_contract_they_share_a_generator_whichever_are_run(tmp_path):
    def drawing(data, rng, condition):
        jitter = rng.normal()
        return {name: {"slope": Estimate(jitter + condition["slope"])} for name in ("a", "b")}

    study = dataclasses.replace(STUDY, methods={("a", "b"): drawing})
    both = run(study, tmp_path / "both", jobs=1, quiet=True).estimates
    one = run(study, tmp_path / "one", methods=["b"], jobs=1, quiet=True).estimates
    wide = both.pivot(index=["condition", "replicate"], columns="method", values="estimate")
    assert (wide["a"] == wide["b"]).all()
    assert (wide["b"].to_numpy() == one["estimate"].to_numpy()).all()


@pytest.mark.slow
def test_contract_two_workers_give_the_same_and_a_crash_is_a_row_of_each(tmp_path):
    def dies(data):
        if data[0][0] > 2:
            os._exit(3)
        return least_squares(data)

    study = dataclasses.replace(STUDY, methods={NAMES: dies})
    fits = run(study, tmp_path, jobs=2, quiet=True).fits
    crashed = fits[fits["status"] == "crashed"].groupby("method").size()
    assert set(crashed.index) == set(NAMES)
    assert crashed.nunique() == 1


@pytest.mark.slow
def test_contract_an_answer_that_lacks_a_method_is_a_problem():
    def lacks(data):
        return {"hc0": {"slope": 1.0}}

    found = check(dataclasses.replace(STUDY, methods={NAMES: lacks}))
    assert "without an answer for hc3; return {method: {estimand: Estimate(...)}}" in str(found)
    found = check(dataclasses.replace(STUDY, methods={NAMES: lambda data: 3.0}))
    assert not found.clean
    assert check(STUDY).clean


def test_contract_a_replicate_is_replayed_by_each(tmp_path):
    run(STUDY, tmp_path, jobs=1, quiet=True)
    again = replay(STUDY, "n=10, slope=0", 3, results=tmp_path)
    assert str(again).count("equal to what is stored, bit for bit") == 4
    one = replay(STUDY, "n=10, slope=0", 3, results=tmp_path, method="hc3")
    assert str(one).count("equal to what is stored, bit for bit") == 1


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({("a", "a"): least_squares}, "two methods are called 'a'; rename one"),
        ({("a", "b"): least_squares, "b": weighted}, "two methods are called 'b'"),
        ({("a", 3): least_squares}, "3 cannot name a method"),
        ({(): least_squares}, "() cannot name a method"),
        ({("a", "b"): 3}, "method 'a, b' is 3, not a function"),
    ],
)
def test_contract_names_are_checked(methods, said):
    with pytest.raises(StudyError) as caught:
        dataclasses.replace(STUDY, methods=methods)
    assert said in str(caught.value)


def test_contract_a_skip_is_said_by_all(tmp_path):
    def never(data):
        raise Skip("not here")

    study = dataclasses.replace(STUDY, methods={NAMES: never, "weighted": weighted})
    fits = run(study, tmp_path, jobs=1, quiet=True).fits
    assert (fits[fits["method"] != "weighted"]["status"] == "skipped").all()


@pytest.mark.slow
def test_contract_an_answer_that_one_lacks_is_no_failure_of_the_others(tmp_path):
    """So that rows do not depend on which methods were run together."""

    def sometimes(data):
        answers = least_squares(data)
        if data[0][0] < -0.5:
            del answers["hc3"]
        return answers

    study = dataclasses.replace(STUDY, methods={NAMES: sometimes})
    whole = run(study, tmp_path / "whole", jobs=1, quiet=True)
    run(study, tmp_path / "parts", methods=["hc0"], jobs=1, quiet=True)
    parts = run(study, tmp_path / "parts", jobs=1, quiet=True)
    assert table(whole).equals(table(parts))
    bad = whole.fits[whole.fits["status"] == "error"]
    assert set(bad["method"]) == {"hc3"}
    assert bad["message"].str.contains("without an answer for hc3").all()


def test_contract_the_order_of_the_names_changes_nothing(tmp_path):
    def drawing(data, rng):
        return {name: {"slope": rng.normal()} for name in ("a", "b")}

    made = [
        run(
            dataclasses.replace(STUDY, methods={names: drawing}),
            tmp_path / names[0],
            jobs=1,
            quiet=True,
        )
        for names in (("a", "b"), ("b", "a"))
    ]
    assert made[0].estimates.equals(made[1].estimates)


def test_contract_an_answer_for_no_method_is_said(tmp_path):
    def both(data):
        return {"one": {"mean": 1.0}, "two": {"mean": 1.0}, "thre": {"mean": 1.0}}

    made = Study(
        name="shared",
        simulate=lambda rng: rng.normal(size=3),
        estimands=None,
        methods={("one", "two"): both, "three": lambda data: {"mean": 0.0}},
        conditions=grid(),
        replicates=2,
        seed=1,
    )
    with pytest.raises(StudyError, match="an answer for 'thre', which is none of its methods"):
        run(made, tmp_path, jobs=1, quiet=True)
