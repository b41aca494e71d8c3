"""What a method may return, and what becomes of it: a number, a missing one, or a clear refusal."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mcstudy import Estimate, Fit, Study, batched, grid, run
from mcstudy.errors import StudyError
from mcstudy.simulation.call import MOST_CHARACTERS, in_words
from mcstudy.simulation.validation import AnswerError, checked


def mean(sample, **more):
    return {"mean": Estimate(sample.mean(), **more)}


def together(value, **more):
    return {"mean": Estimate(np.asanyarray(value), **more)}


@pytest.fixture
def go(tmp_path):
    """Run a method, or some, on samples of normals."""

    def run_(method, *, simulate=None, replicates=20, truths=None, folder="r", jobs=1, **options):
        study = Study(
            name="s",
            simulate=simulate or (lambda rng, *, n: rng.normal(size=n)),
            estimands=lambda *, n: truths or {"mean": 0.0},
            methods=method if isinstance(method, dict) else {"m": method},
            conditions=grid(n=[5]),
            replicates=replicates,
            seed=1,
            **options,
        )
        return run(study, tmp_path / folder, jobs=jobs, quiet=True)

    return run_


def estimand(**more):
    return {"mean": Estimate(1.0, **more)}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({1: Estimate(1.0)}, "returned 1 as the name of an estimand"),
        ({"": Estimate(1.0)}, "returned '' as the name of an estimand"),
        ({"\ud800": Estimate(1.0)}, "as the name of an estimand; use a plain text"),
        (estimand(intervals={0.95: (0, 1)}), "returned 0.95 as the name of an interval of 'mean'"),
        (estimand(intervals={"": (0, 1)}), "returned '' as the name of an interval"),
        (
            estimand(lower=0, upper=1, intervals={"default": (0, 1)}),
            "two intervals called 'default'",
        ),
        (estimand(lower=1, upper=0), "a lower limit above the upper one as interval 'default'"),
        (estimand(std_error=-1.0), "a standard error below 0 for 'mean'"),
        (Fit(estimand(), diagnostics={1: 2}), "returned 1 as the name of a diagnostic"),
        *(
            (Fit(estimand(), diagnostics={name: "x"}), f"a diagnostic called '{name}', which fits")
            for name in ("condition", "replicate", "method", "status", "message")
        ),
        (Fit(estimand(), diagnostics={"k": 2**70}), "as diagnostic 'k'; return a bool, int"),
        (Fit(estimand(), diagnostics={"k": [1]}), r"returned \[1\] as diagnostic 'k'"),
        (Fit(estimand(), diagnostics={"k": np.datetime64("2020-01-01")}), "as diagnostic 'k'"),
    ],
)
def test_contract_what_no_table_can_hold_is_refused(answer, message):
    with pytest.raises(AnswerError, match=message):
        checked(answer)


def three(**more):
    return {"mean": Estimate(np.zeros(3), **more)}


SHUFFLED = pd.Series([1.0, 2.0, 3.0], index=[2, 0, 1], name="k")


def test_contract_a_series_is_taken_in_its_order_whatever_its_labels_are():
    labelled = pd.Series([1.0, 2.0, 3.0], index=["a", "b", "c"])
    (values,) = checked({"mean": Estimate(labelled)}, 3).numbers.values()
    assert values.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (three(std_error=np.array([1.0, -1, 1])), "a standard error below 0"),
        (three(lower=np.array([0, 2, 0]), upper=np.ones(3)), "a lower limit above the upper one"),
        (Fit(three(), ["ok"]), "returned 1 values as status of 3 replicates"),
        (Fit(three(), "ok", ["a", "b"]), "returned 2 values as message of 3 replicates"),
        (Fit(three(), diagnostics={"k": np.arange(2)}), "returned 2 values as diagnostic k of 3"),
        (
            Fit(three(), {"ok": 1, "boundary": 2, "error": 3}),
            "as status; return a list or an array",
        ),
        (Fit(three(), "ok", {"a", "b", "c"}), "as message; return a list or an array"),
        (Fit(three(), diagnostics={"k": SHUFFLED}), "as diagnostic k; return a list or an array"),
        (Fit(three(), diagnostics={"k": SHUFFLED.to_frame()}), "as diagnostic k; return a list"),
        ({"mean": Estimate(SHUFFLED)}, "whose index is 0 to 2 in another order; sort it"),
        (three(std_error=SHUFFLED), "whose index is 0 to 2 in another order; sort it"),
        (
            {"mean": Estimate(np.zeros((3, 1)))},
            r"shape \(3, 1\) and type float64 .* of shape \(3,\)",
        ),
        ({"mean": Estimate(SHUFFLED.sort_index().to_frame())}, r"shape \(3, 1\)"),
        ({"mean": Estimate(np.array([1.0, None, 2.0]))}, "and type object in the Estimate"),
        ({"mean": Estimate({0: 1.0, 1: 2.0, 2: 3.0})}, "and type object in the Estimate"),
        ({"mean": Estimate(x for x in range(3))}, "and type object in the Estimate"),
        ({"mean": Estimate(0.5)}, r"shape \(\) and type float64"),
        (Fit(three(), diagnostics={"k": [[1], [2, 3], [4]]}), r"returned \[1\] as diagnostic 'k'"),
        (
            Fit(three(), diagnostics={"k": np.array(["2020-01-01"] * 3, "datetime64[D]")}),
            "as diagnostic 'k'",
        ),
        (Fit(three(), diagnostics={"k": np.array([2**63] * 3, "uint64")}), "as diagnostic 'k'"),
    ],
)
def test_contract_what_no_table_can_hold_is_refused_of_a_batch(answer, message):
    with pytest.raises(AnswerError, match=message):
        checked(answer, 3)


def test_contract_an_answer_that_is_refused_leaves_nothing_behind(go):
    def moody(sample):
        return mean(sample) | ({"var": "five"} if sample[0] > 1.0 else {})

    results = go(moody)
    failed = results.fits[results.fits.status == "error"].replicate
    assert 0 < len(failed) < 20
    assert results.estimates[results.estimates.replicate.isin(failed)].estimate.isna().all()


@pytest.mark.parametrize("masked", [np.ma.masked, np.ma.array(3.0, mask=True)])
def test_contract_a_masked_value_is_missing(masked):
    answer = checked(Fit({"mean": Estimate(masked, std_error=masked)}, diagnostics={"k": masked}))
    assert np.isnan(list(answer.numbers.values())).all()
    assert answer.diagnostics == {"k": None}


def test_contract_a_masked_value_of_a_batch_is_missing():
    values = np.ma.array([1, 2, 3], mask=[False, True, False])
    answer = checked(Fit({"mean": Estimate(values)}, diagnostics={"k": values}), 3)
    np.testing.assert_array_equal(next(iter(answer.numbers.values())), [1, np.nan, 3])
    assert answer.diagnostics == {"k": [1, None, 3]}


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("exception", "text"),
    [
        (MuteError(), "MuteError: (its text raises RuntimeError)"),
        (ValueError("half \udc80"), "ValueError: half \\udc80"),
        (ValueError("é" * 3), "ValueError: ééé"),
        (ValueError("x" * 10**6), "x" * (MOST_CHARACTERS - 12) + "... (998012 more characters)"),
    ],
)
def test_contract_any_exception_can_be_put_into_words(exception, text):
    assert in_words(exception).endswith(text)


@pytest.mark.parametrize("action", ["once", "default", "module", "always"])
def test_contract_a_warning_is_in_every_row_whatever_filter_python_has(go, action):
    def warns(sample):
        warnings.simplefilter(action)
        warnings.warn("as ever", stacklevel=1)
        return mean(sample)

    assert set(go(warns).fits.message) == {"UserWarning: as ever"}


def test_contract_texts_that_are_no_texts_end_no_run(go):
    def moody(sample):
        if sample[0] > 0.5:
            raise ValueError("bad \udc80 byte")
        if sample[0] > 0:
            warnings.warn("bad \udc81 byte", stacklevel=1)
        return Fit(mean(sample), message="bad \udc82 byte")

    messages = set(go(moody).fits.message)
    assert messages == {
        "ValueError: bad \\udc80 byte",
        "bad \\udc82 byte; UserWarning: bad \\udc81 byte",
        "bad \\udc82 byte",
    }


@pytest.mark.parametrize("kind", ["bool", "int", "str", "nothing"])
def test_contract_diagnostics_do_not_depend_on_how_jobs_are_cut(go, monkeypatch, kind):
    from mcstudy.execution import scheduler

    values = {"bool": True, "int": 3, "str": "text", "nothing": None}

    def moody(sample):
        missing = float("nan") if sample[1] > 0 else None
        return Fit(mean(sample), diagnostics={"k": missing if sample[0] > 0 else values[kind]})

    whole = go(moody)
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.0)
    pieces = go(moody, folder="pieces")
    assert whole.digests() == pieces.digests()
    expected = {"bool": "bool", "int": "int64", "str": "string", "nothing": "double"}
    import pyarrow.parquet as pq

    assert pq.read_schema(whole.folder / "fits.parquet").field("k").type == expected[kind]


def test_contract_a_batch_that_warns_leaves_nothing_of_the_first_attempt(go):
    @batched
    def moody(samples):
        if len(samples) > 1:
            warnings.warn("together", stacklevel=1)
            return Fit(
                together([s.mean() for s in samples]) | {"ghost": Estimate(np.ones(len(samples)))},
                diagnostics={"ghost": np.ones(len(samples))},
            )
        return together([s.mean() for s in samples])

    results = go(moody, truths={"mean": 0.0})
    assert "ghost" not in results.fits
    assert set(results.estimates.estimand) == {"mean"}


def test_contract_each_method_gets_the_same_data_whoever_else_is_there(go):
    def simulate(rng, *, n):
        return rng.normal(size=(n, 8))[:, ::2]

    def layout(data):
        return Fit({"mean": Estimate(data.sum())}, diagnostics={"strides": str(data.strides)})

    both = go({"a": layout, "z": layout}, simulate=simulate)
    alone = go({"a": layout}, simulate=simulate, folder="alone")
    assert both.fits.query("method == 'a'").reset_index(drop=True).equals(alone.fits)
    assert both.fits.strides.nunique() == 1
    pd.testing.assert_series_equal(
        both.estimates.query("method == 'z'").estimate.reset_index(drop=True),
        alone.estimates.estimate,
    )


def test_contract_a_data_set_that_others_hold_is_copied(go):
    held = np.empty(5)

    def simulate(rng, *, n):
        held[:] = rng.normal(size=n)
        return held

    def spoil(sample):
        value = sample.mean()
        sample += 100
        return {"mean": Estimate(value)}

    held_results = go({"a": spoil, "b": spoil}, simulate=simulate)
    plain = go({"a": spoil, "b": spoil}, folder="plain")
    assert held_results.digests()["estimates"] == plain.digests()["estimates"]


def test_contract_a_factor_may_be_called_function(tmp_path):
    study = Study(
        name="s",
        simulate=lambda rng, *, function, simulate: rng.normal(size=3),
        estimands=lambda *, function, simulate: {"mean": 0.0},
        methods={"m": mean},
        conditions=grid(function=["exp"], simulate=[1]),
        replicates=3,
        seed=1,
    )
    assert set(run(study, tmp_path, jobs=1, quiet=True).fits.status) == {"ok"}


def test_contract_an_unusable_answer_is_told_of_before_the_run(go):
    with pytest.raises(StudyError, match=r"method 'm' returned 0\.95 as the name of an interval"):
        go(lambda sample: mean(sample, intervals={0.95: (-1.0, 1.0)}))


@pytest.mark.parametrize("seconds", [0.0, 100.0])
def test_contract_an_estimand_that_is_left_out_makes_a_fit_not_finite(go, monkeypatch, seconds):
    from mcstudy.execution import scheduler

    def some(sample):
        more = {"variance": Estimate(sample.var())} if sample[0] > 0 else {}
        return mean(sample) | more

    monkeypatch.setattr(scheduler, "JOB_SECONDS", seconds)
    results = go(some, truths={"mean": 0.0, "variance": 1.0})
    wide = results.estimates.pivot_table(index="replicate", columns="estimand", values="estimate")
    status = results.fits.set_index("replicate").status
    assert (status[wide.variance.isna()] == "not_finite").all()
    assert (status[wide.variance.notna()] == "ok").all()
    assert status.nunique() == 2
    share = results.performance.query("measure == 'share_ok'").value
    assert share.tolist() == [(status == "ok").mean()]


TRUTH_BASED = [
    *("bias", "relative_bias", "mse", "rmse", "median_bias", "standardized_bias"),
    *("coverage", "miss_below", "miss_above"),
]


@pytest.mark.parametrize("keep", ["rows", "measures"])
@pytest.mark.parametrize("truth", [float("nan"), float("inf")])
def test_contract_without_a_truth_what_needs_it_is_missing(go, keep, truth):
    def interval(sample):
        return mean(sample, std_error=1.0, lower=-1.0, upper=1.0)

    performance = go(interval, truths={"mean": truth}, keep=keep).performance
    rows = performance[performance.measure.isin(TRUTH_BASED)]
    assert (rows.used == 0).all()
    assert rows[["value", "mcse", "lower", "upper"]].isna().all(axis=None)
    others = performance[performance.measure.isin(["empirical_se", "width", "model_se"])]
    assert (others.used == 20).all()


@pytest.mark.parametrize("keep", ["rows", "measures"])
def test_contract_a_truth_under_some_conditions_only_is_told_of(tmp_path, capfd, keep):
    study = Study(
        name="s",
        simulate=lambda rng, *, n: rng.normal(size=n),
        estimands=lambda *, n: {"mean": 0.0} | ({"top": 1.0} if n == 5 else {}),
        methods={"m": lambda x: mean(x) | {"top": Estimate(x.max(), lower=0.0, upper=x.max())}},
        conditions=grid(n=[5, 6, 7]),
        replicates=10,
        seed=1,
        keep=keep,
    )
    performance = run(study, tmp_path, jobs=1).performance
    said = "Note: some estimands have a truth under some conditions only ('top'); where a method"
    assert said in capfd.readouterr().err
    coverage = performance.query("measure == 'coverage' and estimand == 'top'")
    assert coverage.used.tolist() == [10, 0, 0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("keep", ["rows", "measures"])
@pytest.mark.parametrize("size", [1e-200, 1e160, 1e200, 1e307])
def test_contract_huge_estimates_neither_warn_nor_end_the_run(go, capfd, keep, size):
    def huge(sample):
        value = float(sample.mean() * size)
        limits = {"lower": value - 0.5 * size, "upper": value + 0.5 * size}
        return {"mean": Estimate(value, std_error=size, **limits)}

    results = go({"a": huge, "b": huge}, keep=keep)
    bias = results.performance.query("measure == 'bias'")
    assert (bias.used == 20).all()
    assert str(results)
    assert capfd.readouterr() == ("", "")
