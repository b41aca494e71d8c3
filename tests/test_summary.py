"""The summary that ends a run: a screen whatever the size of the study, and what is asked for."""

import dataclasses

import numpy as np
import pytest

from mcstudy import Estimate, Study, grid, run
from mcstudy.cli import main
from mcstudy.tables.summary import SCREEN

LONG = "a method whose name goes on and on and says nothing more " * 3


def study(
    *, methods=("a",), estimands=("x",), intervals=("i",), levels=range(2), own=None, **options
):
    def fit(name):
        def method(data):
            value = float(data.mean()) + len(name) / 50
            limits = dict.fromkeys(intervals, (value - 0.6, value + 0.6))
            return {each: Estimate(value, intervals=limits) for each in estimands}

        return method

    return Study(
        name="s",
        simulate=lambda rng, *, level: rng.normal(size=9),
        estimands=lambda *, level: dict.fromkeys(estimands, 0.0),
        methods={name: fit(name) for name in methods},
        conditions=grid(level=list(levels)),
        replicates=4,
        seed=3,
        measures=own or {},
        **options,
    )


def lines_of(made, tmp_path):
    return str(run(made, tmp_path, jobs=1, quiet=True)).splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("width", ["80", "200"])
@pytest.mark.parametrize(
    "size",
    [
        {},
        {"levels": range(60)},
        {"methods": [f"m{i}" for i in range(20)], "levels": range(5)},
        {"methods": [LONG + str(i) for i in range(9)], "intervals": ["a", "b", "c" * 60]},
        {"estimands": [f"e{i}" for i in range(40)]},
        {"own": {f"own {i}": lambda estimate: np.mean(estimate) for i in range(9)}},
        {"null": 0.0, "levels": [f"a level of very many words number {i}" * 2 for i in range(20)]},
    ],
)
def test_contract_it_is_a_screen_whatever_the_size(size, width, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", width)
    assert len(lines_of(study(**size), tmp_path)) <= SCREEN


def test_contract_what_is_small_is_shown_in_full(tmp_path):
    shown = "\n".join(lines_of(study(), tmp_path))
    assert "s: 2 conditions x 1 method x 4 replicates" in shown
    assert "level=0 " in shown
    assert "level=1 " in shown
    assert "conditions (Monte" not in shown


def test_contract_no_column_is_empty(tmp_path):
    shown = "\n".join(lines_of(study(intervals=()), tmp_path))
    assert "coverage" not in shown
    assert "bias" in shown
    assert "rejection" not in shown
    assert "All 8 fits ended ok" in shown


def test_contract_it_fits_the_study(tmp_path):
    own = {"share above": lambda estimate: np.mean(estimate > 0)}
    shown = "\n".join(lines_of(study(own=own, null=1.0), tmp_path))
    assert "share above" in shown
    assert "rejection" in shown


@pytest.mark.slow
def test_contract_the_worst_of_many_conditions_stands_first(tmp_path):
    results = run(study(methods=["a", "b" * 30], levels=range(40)), tmp_path, jobs=1, quiet=True)
    coverage = results.performance.query("measure == 'coverage'")
    worst = coverage.loc[coverage.value.idxmin()]
    lines = str(results).splitlines()
    first = lines.index(next(line for line in lines if line.startswith("Intervals"))) + 2
    assert lines[first].split()[0][:10] == worst["method"][:10]
    assert f"{worst.value:g} (" in lines[first]
    assert "lowest coverage over 40 conditions" in lines[first - 2]
    rmse = results.performance.query("measure == 'rmse' and method == 'a'").value.max()
    assert any(f"{rmse:.2f}" in line for line in lines)


def test_contract_labels_stand_in_place_of_names(tmp_path):
    labels = {"a": "the mean", "level": "size", "level=1": "large", "interval=i": "plain"}
    labels |= {"x": "centre", "coverage": "hit rate"}
    shown = "\n".join(lines_of(study(labels=labels), tmp_path))
    for words in ("the mean", "size=large", "plain", "centre", "hit rate"):
        assert words in shown


def test_contract_bounds_stand_where_intervals_are_missing(study_file, tmp_path):
    some = ("    return {", "    if abs(sample[0]) > 1: se = np.nan\n    return {")
    shown = str(run(study_file(some), tmp_path, jobs=1, quiet=True))
    assert "count as 0, and as 1" in shown
    assert "[0." in shown


@pytest.mark.slow
def test_contract_verbose_shows_every_condition(study_file, tmp_path, capsys):
    path = str(study_file(("n=[5, 10]", "n=list(range(5, 25))"), ("replicates=60", "replicates=2")))
    command = ["--results", str(tmp_path), "--jobs", "1", "--quiet"]
    assert main(["run", path, *command]) == 0
    assert "\nmean=0, n=7\n" not in capsys.readouterr().out
    assert main(["run", path, *command, "--verbose"]) == 0
    assert "\nmean=0, n=7\n" in capsys.readouterr().out
    assert main(["summarize", str(tmp_path / "normal"), "--verbose"]) == 0
    assert "\nmean=0, n=7\n" in capsys.readouterr().out


def test_contract_a_study_without_any_estimate_says_how_its_fits_ended(study_file, tmp_path):
    failing = ("return rng.normal(mean, size=n)", "raise ValueError('no')")
    shown = str(run(study_file(failing), tmp_path, jobs=1, quiet=True, keep_going=True))
    assert "Estimates" not in shown
    assert "error" in shown


@pytest.mark.slow
def test_contract_the_worst_counts_missing_intervals_as_misses(tmp_path):
    """A coverage of 1 of the intervals that exist is no good news where a third are missing."""

    def often_missing(data):
        value = float(data.mean())
        far = abs(value) > 0.15
        half = np.nan if far else 0.6
        return {"x": Estimate(value, intervals={"i": (value - half, value + half)})}

    made = study(levels=range(30))
    made = dataclasses.replace(made, methods={**made.methods, "often_missing": often_missing})
    made = dataclasses.replace(made, replicates=40)
    lines = lines_of(made, tmp_path)
    first = lines.index(next(line for line in lines if line.startswith("Intervals"))) + 2
    assert lines[first].split()[0] == "often_missing"
    assert "1 (>0." in lines[first]
    assert ", 1.00]" in lines[first]


def test_contract_the_lowest_coverage_and_the_lowest_bound_each_have_their_row(tmp_path):
    """Where intervals are missing under one condition, the lowest coverage may be another's."""

    def fit(data):
        value, n = float(data.mean()), len(data)
        exists = n > 5 or abs(value) < 0.4
        half = (0.35 if n > 5 else 9.0) if exists else np.nan
        return {"x": Estimate(value, intervals={"i": (value - half, value + half)})}

    made = Study(
        name="s",
        simulate=lambda rng, *, n, other: rng.normal(size=n),
        estimands=lambda *, n, other: {"x": 0.0},
        methods={"a": fit},
        conditions=grid(n=[5, 10], other=list(range(12))),
        replicates=40,
        seed=3,
    )
    results = run(made, tmp_path, jobs=1, quiet=True)
    coverage = results.performance.query("measure == 'coverage'").reset_index(drop=True)
    hits = coverage.value * coverage.used / coverage.replicates
    by_value, by_bound = coverage.loc[coverage.value.idxmin()], coverage.loc[hits.idxmin()]
    assert by_value.n == 10
    assert by_bound.n == 5
    lines = str(results).splitlines()
    first = lines.index(next(line for line in lines if line.startswith("Intervals"))) + 2
    both = [(by_value.value, f"n=10, other={by_value.other}", f"{by_value.value:.3f} (")]
    both.append((hits.min(), f"n=5, other={by_bound.other}", f"[{hits.min():.2f}, "))
    for line, (_, place, number) in zip(lines[first:], sorted(both), strict=False):
        assert number in line
        assert line.endswith(place)
    assert "its lowest coverage, and its lowest bound" in "\n".join(lines)


def test_contract_size_and_power_are_not_one_range(tmp_path):
    """A rejection of a true null value and of a false one mean opposite things."""
    shown = []
    for truth, kind in ((0.0, "true"), (1.0, "false")):
        made = study(null=truth, levels=range(3))
        shown.append("\n".join(lines_of(made, tmp_path / kind)))
    assert "rejection (null true)" in shown[0]
    assert "rejection (null false)" not in shown[0]
    assert "rejection (null false)" in shown[1]

    mixed = dataclasses.replace(
        study(null=0.0, levels=range(40)),
        name="mixed",
        estimands=lambda *, level: {"x": float(level % 2)},
    )
    results = run(mixed, tmp_path, jobs=1, quiet=True)
    rejects = results.performance.query("measure == 'rejection'")
    size = rejects[rejects.level % 2 == 0].value.max()
    text = str(results)
    assert "highest rejection (null true), lowest rejection (null false)" in text
    row = text.splitlines()[
        text.splitlines().index(
            next(line for line in text.splitlines() if line.startswith("Intervals"))
        )
        + 2
    ]
    assert f"{size:.2f} (" in row or f"{size:g} (" in row


@pytest.mark.slow
def test_contract_of_many_methods_those_with_the_highest_rmse_are_kept(tmp_path):
    """The method that is named last is not left out because of that."""
    methods = ["m" * (i + 1) for i in range(20)] + ["b" * 100]
    results = run(study(methods=methods, levels=range(5)), tmp_path, jobs=1, quiet=True)
    rmse = results.performance.query("measure == 'rmse'").groupby("method")["value"].max()
    assert rmse.idxmax() == "b" * 100
    text = str(results)
    assert "those with the highest RMSE" in text
    assert "b" * 20 in text.split("Intervals")[0]


@pytest.mark.slow
def test_contract_no_method_is_left_out_for_a_second_row_of_another(tmp_path):
    def never_fails(data):
        return {"mu": Estimate(data.mean(), 0.1)}

    def never_fails_either(data):
        return {"mu": Estimate(data.mean(), 0.2)}

    def often_missing(data):
        return {"mu": Estimate(data.mean(), 0.3 if data[0] > 0 else np.nan)}

    study = Study(
        name="rows",
        simulate=lambda rng, *, n, kind: rng.normal(size=n),
        estimands=lambda *, n, kind: {"mu": 0.0},
        methods={"a": often_missing, "b": never_fails, "c": never_fails_either},
        conditions=grid(
            n=list(range(5, 25)), kind=["a rather long name of one of its levels", "short"]
        ),
        replicates=20,
        seed=1,
    )
    text = str(run(study, tmp_path, jobs=1, quiet=True))
    for part in ("Estimates: ", "Intervals: "):
        lines = text[text.index(part) :].split("\n\n")[0].splitlines()
        assert {line.split()[0] for line in lines[2:]} >= {"a", "b", "c"}
    # A long condition is told by its levels alone.
    assert "at kind / n" in " ".join(text.split())


def test_contract_a_method_with_the_numbers_of_another_is_one_line(study_file, tmp_path):
    twice = ('"jittered": jittered', '"jittered": jittered, "again": average')
    results = run(study_file(twice), tmp_path, jobs=1, replicates=10, quiet=True)
    shown = str(results)
    assert "again: every measure is that of average, to the last bit" in shown
    rows = [line.split()[0] for line in shown.splitlines() if line.strip()]
    assert rows.count("average") > 1
    assert "x 3 methods x" in shown


def test_contract_the_worst_size_of_a_test_is_on_the_screen(tmp_path):
    """Each condition has a size or a power: both are rows, of which none is cut off unseen."""

    def test(sample):
        z = abs(sample.mean()) * len(sample) ** 0.5
        return {"mu": Estimate(p_value=float(min(1.0, 2 / (1 + z**2))))}

    made = Study(
        name="tests",
        simulate=lambda rng, *, n, mu: rng.normal(mu, size=n),
        estimands=lambda *, n, mu: {"mu": mu},
        methods={"one": test, "two": lambda sample: test(sample[1:])},
        conditions=grid(n=list(range(5, 17)), mu=[0.0, 1.0]),
        replicates=10,
        seed=1,
        null=0.0,
        alpha=[0.6, 0.01],
    )
    results = run(made, tmp_path, jobs=1, quiet=True)
    shown = str(results).split("Tests: ")[1].split("\n\n")[0]
    assert "highest rejection (null true)" in shown
    assert "of 48 rows" not in shown
    assert "nominal where the null is true: 0.6\n" in shown
    assert "other level: mcstudy table --measure rejection_0.01" in shown
    sizes = results.performance.query("measure == 'rejection' and mu == 0 and method == 'one'")
    worst = sizes.iloc[sizes.value.to_numpy().argsort(kind="stable")[-1]]
    (line,) = (line for line in shown.splitlines() if line.split()[0] == "one")
    assert f"mu=0, n={worst.n} " in line
    assert worst.value > 0.2


def test_contract_a_method_without_any_number_is_named_beside_the_others(tmp_path):
    def fails(sample):
        raise ValueError("no")

    made = Study(
        name="fails",
        simulate=lambda rng: rng.normal(size=4),
        estimands=lambda: {"mu": 0.0},
        methods={"never": fails, "mean": lambda sample: {"mu": Estimate(sample.mean())}},
        conditions=grid(),
        replicates=3,
        seed=1,
    )
    shown = str(run(made, tmp_path, jobs=1, quiet=True)).split("Estimates: ")[1].split("\n\n")[0]
    assert "no estimate in any replicate: never, mu" in shown
