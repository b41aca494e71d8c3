"""What becomes of stored rows when the study changes: noticed, kept, discarded, never mixed."""

import json

import pytest

from mcstudy import Estimate, Study, grid, open_results, run
from mcstudy.errors import ChangedError, StudyError
from mcstudy.execution import tables


def simulate(rng, *, n):
    return rng.normal(size=n)


def simulate_twice(rng, *, n):
    return 2 * rng.normal(size=n)


def plus(shift):
    return lambda sample: {"mean": Estimate(sample.mean() + shift)}


def wrong(sample):
    return 5


def study(*, n=(5,), seed=1, draw=simulate, truth=0.0, **methods):
    return Study(
        name="s",
        simulate=draw,
        estimands=lambda *, n: {"mean": truth},
        methods=methods,
        conditions=grid(n=n),
        replicates=10,
        seed=seed,
    )


@pytest.fixture
def go(tmp_path):
    """Run a study of this file's; return its results."""

    def run_(a_study, **options):
        return run(a_study, tmp_path, jobs=1, quiet=True, **options)

    return run_


def rounded(results, method="m"):
    rows = results.estimates.query("method == @method")
    return rows.estimate.round(-2).tolist()


def parts_in(results, folder="."):
    return sorted(path.name for path in (results.folder / "parts" / folder).glob("*/*/*.parquet"))


def test_contract_discarded_rows_leave_the_tables_too(go):
    go(study(m=plus(0)))
    results = go(study(m=plus(100)), changed="discard")
    assert rounded(results) == [100] * 10
    bias = results.performance.query("measure == 'bias'").value
    assert bias.round(-2).tolist() == [100]
    assert len(parts_in(results)) == len(parts_in(results, "discarded")) == 1


def test_contract_discarding_a_method_that_fails_costs_nothing(go):
    before = go(study(m=plus(0)))
    held, digests = parts_in(before), before.digests()
    with pytest.raises(StudyError, match="method 'm' returned 5"):
        go(study(m=wrong), changed="discard")
    assert parts_in(before) == held
    assert go(study(m=plus(0))).digests() == digests


def test_contract_only_rows_of_the_methods_asked_for_are_discarded(go):
    shared = go(study(a=plus(0), b=plus(0)))
    go(study(a=plus(100), b=plus(100)), changed="discard", methods=["a"])
    assert len(parts_in(shared)) == 2
    with pytest.raises(ChangedError, match="the code of method 'b'") as refused:
        go(study(a=plus(100), b=plus(100)))
    assert str(refused.value).endswith(
        'Nothing was done: --changed keep (changed="keep") goes on with those rows, --changed '
        "discard computes them anew, --changed verify keeps them if a sample of the fits comes out "
        "equal"
    )
    results = go(study(a=plus(100), b=plus(100)), changed="keep")
    assert rounded(results, "a") == [100] * 10
    assert rounded(results, "b") == [0] * 10


def test_contract_rows_of_a_method_that_is_gone_stay(go):
    results = go(study(a=plus(0), b=plus(7)))
    go(study(a=plus(100)), changed="discard")
    assert len(parts_in(results)) == 2
    assert len(parts_in(results, "discarded")) == 1
    both = go(study(a=plus(100), b=plus(7)))
    assert rounded(both, "a") == [100] * 10
    assert len(both.estimates.query("method == 'b'")) == 10


def test_contract_what_was_kept_can_be_discarded_later_and_is_told_of(go, tmp_path, capfd):
    go(study(m=plus(0)), replicates=5)
    results = run(study(m=plus(100)), tmp_path, jobs=1, changed="keep")
    said = "rows of 'm' made by older code or packages are among them: 5 of 10"
    assert f"Note: {said}" in capfd.readouterr().err
    assert results.study["older_rows"] == [said]
    assert rounded(results) == [0] * 5 + [100] * 5
    anew = go(study(m=plus(100)), changed="discard")
    assert rounded(anew) == [100] * 10
    assert anew.study["older_rows"] == []
    assert rounded(go(study(m=plus(100)))) == [100] * 10


@pytest.mark.parametrize("kept", ["keep", None])
def test_contract_another_seed_is_noticed_whatever_the_methods_are_called(go, kept):
    go(study(m=plus(0)))
    with pytest.raises(ChangedError, match=r"seed 1 and .* seed 2; .*, or --changed discard \("):
        go(study(q=plus(0), seed=2), changed=kept)
    assert rounded(go(study(q=plus(0), seed=2), changed="discard"), "q") == [0] * 10
    go(study(q=plus(0), seed=2))


def test_contract_another_simulate_is_noticed_whatever_the_methods_are_called(go):
    go(study(m=plus(0)))
    with pytest.raises(ChangedError, match="the code of simulate"):
        go(study(q=plus(0), draw=simulate_twice))
    go(study(q=plus(0)))


def test_contract_an_interrupted_look_leaves_no_foreign_conditions(go, monkeypatch):
    go(study(m=plus(0)))
    with monkeypatch.context() as patch:

        def interrupted(*_, **__):
            raise KeyboardInterrupt

        patch.setattr(tables, "measured_rows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            go(study(m=plus(0), n=(5, 6, 7)))
    results = go(study(m=plus(0)))
    assert set(results.estimates.condition) == {"n=5"}
    assert results.conditions.n.tolist() == [5]


def test_contract_the_commit_is_told_of_each_run_and_of_no_table(go, monkeypatch):
    import pyarrow.parquet as pq

    from mcstudy.storage import study_record

    monkeypatch.setattr(study_record, "commit_of", lambda _: "abc")
    first = go(study(m=plus(0)), replicates=5)
    tables = {path.name: path.read_bytes() for path in first.folder.glob("*.parquet")}
    monkeypatch.setattr(study_record, "commit_of", lambda _: "def")
    go(study(m=plus(0)), replicates=5)
    assert {path.name: path.read_bytes() for path in first.folder.glob("*.parquet")} == tables
    assert "commit" not in json.loads(
        pq.read_schema(first.folder / "fits.parquet").metadata[b"mcstudy"]
    )
    go(study(m=plus(0)))
    assert [line["commit"] for line in open_results(first.folder).study["runs"]] == ["abc", "def"]


def test_contract_the_record_is_json_and_says_what_is_there(go):
    a_study = Study(
        name="s",
        simulate=lambda rng, *, n: rng.normal(size=3),
        estimands=lambda *, n: {"mean": 0.0},
        methods={"m": plus(0)},
        conditions=grid(n=[True, 1, float("inf"), -0.0]),
        replicates=10,
        seed=1,
    )
    results = go(a_study)
    go(a_study, replicates=4)

    def refuse(constant):
        raise AssertionError(constant)

    text = (results.folder / "study.json").read_text()
    record = json.loads(text, parse_constant=refuse)
    assert record["factors"]["n"] == [True, 0, 1, float("inf")]
    assert record["replicates"] == 10
    assert record["asked"]["replicates"] == 4
    assert set(results.conditions.condition) == {"n=True", "n=0", "n=1", "n=inf"}


def test_contract_code_changed_back_and_forth_is_asked_about_each_time(go):
    go(study(m=plus(0)))
    go(study(m=plus(100)), changed="discard")
    back = go(study(m=plus(0)), changed="discard")
    with pytest.raises(ChangedError, match="the code of method 'm'"):
        go(study(m=plus(100)))
    assert rounded(back) == [0] * 10
    assert rounded(go(study(m=plus(100)), changed="keep")) == [0] * 10
