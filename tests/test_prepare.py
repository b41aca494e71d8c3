"""What all replicates of a condition share: prepared once, and part of the study."""

import dataclasses

import numpy as np
import pytest

from mcstudy import Estimate, Study, check, grid, replay, run
from mcstudy.errors import ChangedError, StudyError

CALLS = []


def design(rng, *, n):
    CALLS.append(n)
    return {"x": rng.normal(size=(n, 2))}


def respond(rng, *, n, prepared):
    return prepared["x"].sum(axis=1) + rng.normal(size=n)


def least_squares(y, prepared):
    x = prepared["x"]
    return {"slope": Estimate(np.linalg.solve(x.T @ x, x.T @ y)[0])}


def mean(y):
    return {"slope": Estimate(y.mean())}


STUDY = Study(
    name="designed",
    simulate=respond,
    estimands=lambda *, n: {"slope": 1.0},
    methods={"least_squares": least_squares, "mean": mean},
    conditions=grid(n=[10, 20, 30]),
    replicates=40,
    seed=6,
    prepare=design,
)


def frame(results):
    return results.performance.reset_index(drop=True)


def test_contract_it_is_called_once_for_a_condition(tmp_path):
    CALLS.clear()
    study = dataclasses.replace(STUDY)
    results = run(study, tmp_path, jobs=1, quiet=True)
    assert sorted(CALLS) == [10, 20, 30]
    assert set(results.fits["status"]) == {"ok"}


@pytest.mark.slow
def test_identity_the_same_for_any_number_of_workers_and_when_resumed(tmp_path):
    one = run(STUDY, tmp_path / "one", jobs=1, quiet=True)
    two = run(dataclasses.replace(STUDY), tmp_path / "two", jobs=2, quiet=True)
    half = dataclasses.replace(STUDY, replicates=15)
    run(half, tmp_path / "half", jobs=1, quiet=True)
    whole = run(dataclasses.replace(STUDY), tmp_path / "half", jobs=1, quiet=True)
    assert frame(one).equals(frame(two))
    assert frame(one).equals(frame(whole))
    again = replay(STUDY, "n=20", 7, results=tmp_path / "one")
    assert str(again).count("bit for bit") == 2


def test_contract_its_code_is_part_of_the_study(tmp_path):
    run(STUDY, tmp_path, jobs=1, quiet=True)
    other = dataclasses.replace(STUDY, prepare=lambda *, n: {"x": np.ones((n, 2))})
    with pytest.raises(ChangedError, match="the code of prepare"):
        run(other, tmp_path, jobs=1, quiet=True)


def test_contract_what_older_code_has_prepared_is_not_used_again(tmp_path):
    """Nor the true values that it has simulated, of a study that a session runs twice."""
    level = [2.0]
    study = Study(
        name="session",
        simulate=lambda rng, *, n, prepared: rng.normal(prepared, 1.0, size=n),
        estimands=lambda rng, *, n: {"mean": level[0] + 0.0 * rng.normal()},
        methods={"mean": lambda x: {"mean": Estimate(x.mean())}},
        conditions=grid(n=[5]),
        replicates=20,
        seed=1,
        prepare=lambda *, n: level[0],
    )
    run(study, tmp_path / "a", jobs=1, quiet=True)
    level[0] = 50.0
    again = run(study, tmp_path / "a", jobs=1, changed="discard", quiet=True)
    assert again.estimates["truth"].eq(50.0).all()
    anew = run(dataclasses.replace(study), tmp_path / "b", jobs=1, quiet=True)
    assert again.digests() == anew.digests()


def test_contract_nothing_can_write_to_what_is_shared(tmp_path):
    def writes(y, prepared):
        prepared["x"][0, 0] = 9.0
        return {"slope": 0.0}

    study = dataclasses.replace(STUDY, name="writes", methods={"writes": writes})
    results = run(study, tmp_path, jobs=1, quiet=True, keep_going=True)
    assert results.fits["message"].str.contains("read-only").all()


def test_contract_where_it_raises_all_fits_are_rows_that_say_so(tmp_path):
    def fails(*, n):
        if n == 20:
            raise OSError("no file")
        return {"x": np.eye(n, 2)}

    study = dataclasses.replace(STUDY, name="fails", prepare=fails)
    fits = run(study, tmp_path, jobs=1, quiet=True).fits
    lost = fits[fits["status"] == "error"]
    assert set(lost["condition"]) == {"n=20"}
    assert len(lost) == 80
    assert lost["message"].str.startswith("prepare: OSError: no file").all()
    assert "no file" in str(check(study))


def test_contract_a_study_that_prepares_is_checked():
    assert check(STUDY).clean


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prepare": None, "methods": {"mean": mean}}, "simulate does not take the factors"),
        (
            {"prepare": None, "simulate": lambda rng, *, n: 0.0},
            "asks for 'prepared', and the study",
        ),
        ({"prepare": lambda: 3}, "prepare does not take the factors n"),
        ({"prepare": 3}, "prepare is 3, not a function"),
        (
            {"conditions": grid(n=[1], prepared=[2])},
            "a factor is called 'prepared', as what prepare returns; rename it",
        ),
    ],
)
def test_contract_what_does_not_fit_is_said(changes, said):
    with pytest.raises(StudyError) as caught:
        dataclasses.replace(STUDY, **changes)
    assert said in str(caught.value)


def test_contract_check_sees_a_prepare_that_draws_without_a_seed():
    loose = dataclasses.replace(
        STUDY, prepare=lambda *, n: {"x": np.random.default_rng().normal(size=(n, 2))}
    )
    assert "prepare makes something else when called again; let it ask for rng" in str(check(loose))
