"""The level at which a measure reaches a target, held against exact power."""

import numpy as np
import pytest
from scipy import stats

from mcstudy import Estimate, Study, batched, grid, solve
from mcstudy.cli import main
from mcstudy.errors import ResultsError, StudyError
from mcstudy.planning.level_curve import Curve, Point


@batched
def two_groups(rngs, *, n, shift, ratio):
    return np.array(
        [np.concatenate([r.normal(size=n), r.normal(shift, ratio, 2 * n)]) for r in rngs]
    )


def groups(batch):
    n = batch.shape[1] // 3
    return batch[:, :n], batch[:, n:]


@batched
def student(batch):
    return {"difference": Estimate(p_value=stats.ttest_ind(*groups(batch), axis=1).pvalue)}


@batched
def welch(batch):
    test = stats.ttest_ind(*groups(batch), axis=1, equal_var=False)
    first, second = groups(batch)
    difference = second.mean(axis=1) - first.mean(axis=1)
    return {
        "difference": Estimate(difference, np.abs(difference / test.statistic), p_value=test.pvalue)
    }


STUDY = Study(
    name="power",
    simulate=two_groups,
    estimands=lambda *, n, shift, ratio: {"difference": shift},
    methods={"student": student, "welch": welch},
    conditions=grid(n=[5, 60], shift=[0.0, 0.8], ratio=[1.0, 2.0]),
    replicates=300,
    seed=3,
    null=0.0,
)


def power_of_student(n, shift):
    df, centre = 3 * n - 2, shift / (1 / n + 1 / (2 * n)) ** 0.5
    limit = stats.t.isf(0.025, df)
    return stats.nct.sf(limit, df, centre) + stats.nct.cdf(-limit, df, centre)


def power_of_welch(n, shift, ratio):
    """By quadrature over the two sample variances."""
    m = 2 * n
    u = (np.arange(80) + 0.5) / 80
    v = (stats.chi2.ppf(u, n - 1) / (n - 1) / n)[:, None]
    w = (ratio**2 * stats.chi2.ppf(u, m - 1) / (m - 1) / m)[None, :]
    df = (v + w) ** 2 / (v**2 / (n - 1) + w**2 / (m - 1))
    limit = stats.t.isf(0.025, df) * np.sqrt(v + w)
    error = (1 / n + ratio**2 / m) ** 0.5
    reject = stats.norm.sf((limit - shift) / error) + stats.norm.cdf((-limit - shift) / error)
    return reject.mean()


def exact(power, target):
    """Return the level at which an increasing power is the target, between whole ones by a line."""
    n = next(n for n in range(3, 500) if power(n) >= target)
    below, above = power(n - 1), power(n)
    return n - (above - target) / (above - below)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "power"),
    [
        ("shift=0.8, ratio=1, method=student", lambda n: power_of_student(n, 0.8)),
        (
            "shift=0.8, ratio=2, method=welch, interval=p_value",
            lambda n: power_of_welch(n, 0.8, 2.0),
        ),
    ],
)
def test_law_the_level_is_that_of_the_exact_power(tmp_path, where, power):
    made = solve(STUDY, "n", "rejection", 0.8, where=where, results=tmp_path, jobs=1, width=1.5)
    level = exact(power, 0.8)
    error = (made.upper - made.lower) / (2 * 1.96)
    assert abs(made.level - level) < 3.3 * error
    assert made.found
    assert made.upper - made.lower <= 1.5
    assert made.smallest == int(np.ceil(made.level))
    assert made.rises


@pytest.mark.slow
def test_law_limits_hold_the_exact_level_as_often_as_they_say():
    """400 searches' worth of draws at levels around the root, by exact power and no simulation."""
    rng = np.random.default_rng(4)
    levels = [14, 19, 22, 26, 32]
    power = np.array([power_of_student(n, 0.8) for n in levels])
    level = exact(lambda n: power_of_student(n, 0.8), 0.8)
    hits = 0
    for _ in range(400):
        values = rng.binomial(800, power) / 800
        points = [Point(n, p, 0.01, 800) for n, p in zip(levels, values, strict=True)]
        root = Curve("rejection", 0.8).root(points)
        hits += root.lower <= level <= root.upper
    assert abs(hits / 400 - 0.95) < 3.3 * (0.95 * 0.05 / 400) ** 0.5


def test_identity_the_root_of_exact_power_is_the_exact_level():
    levels = [14, 19, 22, 26, 32]
    points = [Point(n, power_of_student(n, 0.8), 0.01, 10**6) for n in levels]
    root = Curve("rejection", 0.8).root(points)
    assert root.level == pytest.approx(exact(lambda n: power_of_student(n, 0.8), 0.8), rel=0.01)
    slope = (power_of_student(20, 0.8) - power_of_student(18, 0.8)) / 2
    assert root.slope == pytest.approx(slope, rel=0.1)


@pytest.mark.slow
def test_law_a_measure_that_is_no_share_is_solved_too(tmp_path):
    """The empirical SE of the difference is sqrt(3/(2 n)) where both groups have variance 1."""
    made = solve(
        STUDY,
        "n",
        "empirical_se",
        0.3,
        where={"shift": 0.8, "ratio": 1.0, "method": "welch"},
        results=tmp_path,
        jobs=1,
        width=2.0,
    )
    assert abs(made.level - 1.5 / 0.09) < 3.3 * (made.upper - made.lower) / (2 * 1.96)
    assert not made.rises
    assert made.plot().to_dict()["usermeta"]["title"] == "Empirical SE by n"


@pytest.mark.slow
def test_contract_another_call_goes_on_from_what_is_stored(tmp_path, monkeypatch):
    where = "shift=0.8, ratio=1, method=student"
    short = solve(STUDY, "n", "rejection", 0.8, where=where, results=tmp_path, jobs=1, most=2000)
    assert not short.found
    assert "call it again with more replicates" in str(short)
    assert short.path["replicates"].iloc[-1] <= 2000
    longer = solve(STUDY, "n", "rejection", 0.8, where=where, results=tmp_path, jobs=1, width=2.0)
    assert longer.found
    stored = short.frame.set_index("level")["used"]
    assert (longer.frame.set_index("level")["used"].reindex(stored.index).dropna() > 0).all()
    assert (tmp_path / "power.solve").is_dir()


@pytest.mark.slow
def test_contract_levels_of_floats_are_not_rounded(tmp_path):
    made = solve(
        STUDY,
        "shift",
        "rejection",
        0.5,
        between=(0.0, 2.0),
        where="n=5, ratio=1, method=student",
        results=tmp_path,
        jobs=1,
        most=6000,
    )
    assert made.smallest is None
    assert made.frame["level"].max() == 2.0
    error = (made.upper - made.lower) / (2 * 1.96)
    assert abs(power_of_student(5, made.level) - 0.5) < 0.02 + 2 * error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factor": "m"}, "no factor 'm'; the factors are n, ratio, shift"),
        ({"where": None}, "where leaves 4 conditions: ratio, shift vary"),
        ({"where": "shift=3"}, "where leaves 0 conditions: none fits"),
        ({"where": "size=3"}, "where names 'size'"),
        ({"target": 1.5}, "the target is 1.5; give a number between 0 and 1"),
        ({"between": (60, 5)}, "between is (60, 5); give two levels"),
        ({"width": 0}, "width is 0; give a number above 0"),
        ({"replicates": 1}, "replicates is 1"),
        ({"most": 10}, "most is 10"),
    ],
)
def test_contract_what_cannot_be_sought_is_said(tmp_path, options, said):
    asked = {"factor": "n", "target": 0.8, "where": "shift=0.8, ratio=1", **options}
    with pytest.raises(StudyError) as caught:
        solve(STUDY, measure="rejection", results=tmp_path, jobs=1, **asked)
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_contract_several_numbers_and_targets_out_of_reach_are_said(tmp_path):
    with pytest.raises(ResultsError, match=r"several numbers at each level: method=student"):
        solve(STUDY, "n", "rejection", 0.8, where="shift=0.8, ratio=1", results=tmp_path, jobs=1)
    where = "shift=0, ratio=1, method=student"
    with pytest.raises(ResultsError, match=r"0\.8 is not found between; give another range"):
        solve(STUDY, "n", "rejection", 0.8, where=where, results=tmp_path, jobs=1, most=4000)
    with pytest.raises(ResultsError, match=r"no measure 'rejetion' \(did you mean 'rejection'\?\)"):
        solve(STUDY, "n", "rejetion", 0.8, where=where, results=tmp_path, jobs=1)


@pytest.mark.slow
def test_contract_the_command_prints_the_level_and_draws_the_search(study_file, tmp_path, capsys):
    path = study_file()
    figure = tmp_path / "search.svg"
    asked = ["--factor", "n", "--for", "empirical_se=0.3", "--where", "mean=0,method=average"]
    more = ["--between", "4,40", "--most", "3000", "--jobs", "1", "--results", str(tmp_path)]
    code = main(["solve", str(path), *asked, *more, "--output", str(figure)])
    shown = capsys.readouterr()
    assert code in (0, 1)
    assert shown.out.startswith("empirical_se = 0.3 at n = ")
    assert "replicates: n = " in shown.err
    assert figure.read_text().startswith("<svg")
    assert main(["solve", str(path), "--factor", "n", "--for", "rejection"]) == 2
    assert "write it as rejection=0.8" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_law_limits_of_a_measure_that_is_no_share_hold_its_exact_level(tmp_path, seed):
    """The RMSE of a mean is 1/sqrt(n): 0.2 at n = 25."""

    @batched
    def normal(rngs, *, n):
        return np.array([rng.normal(size=n) for rng in rngs])

    @batched
    def mean(batch):
        return {"mu": Estimate(batch.mean(axis=1))}

    study = Study(
        name="means",
        simulate=normal,
        estimands=lambda *, n: {"mu": 0.0},
        methods={"mean": mean},
        conditions=grid(n=[5, 200]),
        replicates=500,
        seed=seed,
    )
    made = solve(study, "n", "rmse", 0.2, results=tmp_path, jobs=1, width=1.0)
    assert made.found
    assert abs(made.level - 25) < 3.3 * (made.upper - made.lower) / (2 * 1.96)
