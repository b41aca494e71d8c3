"""Before the run: check lists what is wrong and knows a wrong pipeline, plan forecasts."""

import math

import pandas as pd
import pytest

from mcstudy import MCStudyError, Study, check, grid, nested, plan, run
from mcstudy.cli import main
from mcstudy.planning.forecast import expected_errors, forecast, method_costs, needed, unit_errors
from mcstudy.planning.pilot import Pilot, PilotRun, run_pilot
from mcstudy.simulation.replicates import Job

BROKEN = [
    ("def average(sample):", "def average(sample):\n    return {'mean': Estimate(float('nan'))}\n"),
    (
        "def jittered(sample, rng):",
        "def jittered(sample, rng):\n    if len(sample) == 10:\n        raise ValueError('ten')\n",
    ),
    (
        "study = Study(",
        "def wrong(sample):\n    return {'mean': 'text'}\n\n"
        "def loose(sample):\n    return {'mean': Estimate(np.random.normal())}\n\n"
        "def unseeded(sample):\n"
        "    return {'maen': Estimate(np.random.default_rng().normal())}\n\n"
        "study = Study(",
    ),
    (
        '"jittered": jittered}',
        '"jittered": jittered, "wrong": wrong, "loose": loose, "unseeded": unseeded}',
    ),
    ('{"mean": mean}', '{"mean": mean} if mean else {"mean": "x"}'),
]


def test_contract_check_lists_all_problems_at_once(study_file, capfd):
    path = study_file(*BROKEN)
    assert main(["check", str(path)]) == 1
    lines = capfd.readouterr().out.splitlines()
    problems = [line for line in lines if line.startswith("problem: ")]
    assert (
        "note: method 'jittered' raises ValueError: ten (at 2 of 4 conditions, first mean=0, n=10)"
    ) in lines
    assert "note: a run stores a fit that raises as a row with status error" in lines
    shown = f"mcstudy replay {path} --condition 'mean=0, n=10' --replicate 0 shows the traceback"
    assert f"note: {shown}" in lines
    for expected in (
        "estimands fails: ",
        "method 'average': estimate of 'mean' is missing or infinite at every condition",
        "method 'wrong' returned ",
        "method 'loose' draws from the global random state of numpy.random, which no seed of the "
        "study reaches; let it ask for rng",
        "method 'unseeded' gives another answer when the same replicate is done again",
        "method 'unseeded' returns 'maen', of which estimands says nothing (did you mean 'mean'?)",
    ):
        assert sum(line.startswith(f"problem: {expected}") for line in problems) == 1, expected
    assert lines[-1] == f"{len(problems)} problems; fix them, then run"


def test_contract_check_is_clean_or_says_that_there_is_no_study(study_file, tmp_path, capfd):
    assert main(["check", str(study_file())]) == 0
    assert capfd.readouterr().out == (
        "normal: 4 conditions x 2 methods, one replicate each\nno problems\n"
    )
    assert main(["check", str(tmp_path / "none.py")]) == 2
    assert not list(tmp_path.glob("results*"))


RAISES_AT = "if len(sample) {}:\n        raise {}\n    "


@pytest.mark.parametrize(
    ("when", "error", "clean"),
    [
        ("== 10", "ValueError('ten')", True),
        (">= 5", "ValueError('all')", False),
        (">= 5", "ValueError(str(len(sample) == 5))", False),
        ("== 10", "TypeError(f'{sample.mean()}')", True),
        ("== 10", "TypeError('x' * 900 + chr(10) + 'y')", True),
    ],
)
def test_contract_a_method_may_fail_on_some_data_but_not_on_all(study_file, when, error, clean):
    found = check(
        study_file(("se = sample.std", RAISES_AT.format(when, error) + "se = sample.std"))
    )
    assert found.clean is clean
    said = found.notes if clean else found.problems
    assert said[0].startswith("method 'average' raises ")
    assert len(said[0]) < 400


def test_contract_an_answer_of_the_wrong_form_is_a_problem_at_one_condition_too(study_file):
    found = check(
        study_file(("se = sample.std", "if len(sample) == 10: return 3\n    se = sample.std"))
    )
    assert [line.split(" (")[0] for line in found.problems] == [
        "method 'average' returned 3; return {estimand: Estimate(...)}"
    ]
    one = check(
        study_file(("return rng.normal", "if n == 5: raise OSError('x')\n    return rng.normal"))
    )
    assert one.problems[0].startswith(
        "simulate raises OSError: x, in each of 4 replicates (at 2 of 4 conditions"
    )
    some = ("return rng.normal", "if rng.random() < 0.6: raise OSError('x')\n    return rng.normal")
    rare = check(study_file(some))
    assert rare.clean
    assert rare.notes[0].startswith("simulate raises OSError: x (at ")


def test_contract_a_study_of_one_condition_has_no_first_one(study_file):
    one = ("n=[5, 10], mean=[0.0, 1.5]", "n=[5], mean=[0.0]")
    found = check(study_file(("se = sample.std", "return 3\n    se = sample.std"), one))
    assert [line.split("; ")[1] for line in found.problems] == [
        "return {estimand: Estimate(...)} (at mean=0, n=5)"
    ]


def test_contract_one_problem_is_not_one_problems(study_file, capfd):
    assert (
        main(["check", str(study_file(("se = sample.std", "return 3\n    se = sample.std")))]) == 1
    )
    assert capfd.readouterr().out.splitlines()[-1] == "1 problem; fix it, then run"


def test_contract_check_sees_what_simulate_does(study_file):
    loose = study_file(("rng.normal(mean, size=n)", "np.random.normal(mean, size=n)"))
    found = check(loose)
    assert [line for line in found.problems if "simulate draws from the global" in line]
    raising = check(
        study_file(("return rng.normal", "raise OSError('no data'); return rng.normal"))
    )
    assert raising.problems == [
        "simulate raises OSError: no data, in each of 4 replicates (at 4 of 4 conditions, first "
        "mean=0, n=5)"
    ]


@pytest.mark.parametrize(
    ("methods", "names"),
    [
        (
            "{f'm{k}': lambda s: {'mean': Estimate(s.mean() + k)} for k in (1, 2, 3)}",
            "'m1', 'm2', 'm3'",
        ),
        ('{"average": average, "again": average, "jittered": jittered}', "'average', 'again'"),
        ("{f'm{k}': lambda s, k=k: {'mean': Estimate(s.mean() + k)} for k in (1, 2)}", ""),
        ('{"average": average, "jittered": jittered, "other": jittered}', ""),
    ],
)
def test_contract_check_names_methods_that_are_one(study_file, methods, names):
    made = f"METHODS = {methods}\nstudy = Study("
    path = study_file(
        ("study = Study(", made), ('{"average": average, "jittered": jittered}', "METHODS")
    )
    problems = check(path).problems
    if names:
        assert problems[0].startswith(f"methods {names} have the same code and give the same")
    assert len(problems) == bool(names)


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ("np.random.default_rng().normal()", "estimands gives another truth of 'mean' when called"),
        ("np.random.normal()", "estimands draws from a global random state"),
        ("__import__('random').random()", "estimands draws from a global random state"),
        ("np.random.default_rng(1).normal()", ""),
        ("float('nan')", ""),
    ],
)
def test_contract_check_sees_estimands_that_draw(study_file, truth, said):
    problems = check(study_file(('{"mean": mean}', f'{{"mean": {truth}}}'))).problems
    assert len(problems) == bool(said)
    assert all(said in problem for problem in problems)


def test_contract_check_knows_what_does_not_reach_the_workers():
    import threading

    lock = threading.Lock()

    def held(sample):
        with lock:
            return nested.reml(sample)

    study = family(methods={"reml": held})
    assert any("cannot be sent to worker processes" in line for line in check(study).problems)


DESIGN = {
    "n_group1": 8,
    "n_group2": 4,
    "n_rep": 3,
    "group1_sd": 2.0,
    "group2_sd": 1.0,
    "unexplained_sd": 1.0,
}


def law(**condition):
    if condition["group1_sd"] == 0:
        return None
    return nested.exact_law(condition, draws=20_000)


def family(**changes):
    given = {
        "name": "family",
        "simulate": nested.generate_nested,
        "estimands": nested.variances,
        "methods": {"reml": nested.reml},
        "conditions": grid(**{name: [value] for name, value in DESIGN.items()}),
        "replicates": 100,
        "seed": 5,
        "oracle": law,
    }
    return Study(**{**given, **changes})


@pytest.mark.slow
def test_law_a_right_pipeline_passes_the_oracle():
    levels = {name: [value] for name, value in DESIGN.items()}
    both = grid(**{**levels, "group1_sd": [0.0, 2.0]})
    found = check(family(conditions=both), seconds=1.0)
    assert found.clean
    assert found.oracle.conditions == 1
    assert found.oracle.replicates >= 100
    assert len(found.oracle.cells) > 40
    assert "oracle: " in str(found)


@pytest.mark.slow
def test_contract_an_oracle_may_answer_with_a_frame_of_another_library():
    polars = pytest.importorskip("polars")
    given = check(
        family(oracle=lambda **condition: polars.from_pandas(law(**condition))), seconds=0.5
    )
    plain = check(family(), seconds=0.5)
    assert given.oracle is not None
    assert len(given.oracle.cells) == len(plain.oracle.cells)


def wrong_sd(rng, *, unexplained_sd, **factors):
    return nested.generate_nested(rng, unexplained_sd=1.1 * unexplained_sd, **factors)


@pytest.mark.slow
def test_law_a_wrong_pipeline_is_caught_by_the_oracle():
    found = check(family(simulate=wrong_sd), seconds=1.0)
    assert not found.clean
    assert found.oracle.cells.off.sum() > 3
    assert set(found.oracle.cells[:3].estimand) == {"unexplained_var"}
    assert "cells are not what the oracle knows" in found.problems[0]


Z = (
    "def average(sample):",
    "def z(sample):\n    m, half = sample.mean(), 1.96 / len(sample) ** 0.5\n"
    "    return {'mean': Estimate(m, half / 1.96, m - half, m + half)}\n\ndef average(sample):",
)


@pytest.mark.slow
def test_law_an_oracle_of_a_study_file(study_file, tmp_path, capfd):
    (tmp_path / "known_law.py").write_text(
        "import pandas as pd\nfrom scipy import stats\n"
        "def law(*, n, mean):\n"
        "    p = 2 * stats.norm.cdf(1.96) - 1\n"
        "    lines = [('z', 'mean', None, 'bias', 0.0, 0.0),\n"
        "             ('z', 'mean', 'default', 'coverage', p, 0.0)]\n"
        "    return pd.DataFrame(lines, columns=['method', 'estimand', 'interval', 'measure',\n"
        "                                        'value', 'mcse'])\n"
    )
    brief = ["--seconds", "0.8"]
    edits = [
        Z,
        ('{"average": average, "jittered": jittered}', '{"z": z}'),
        ("seed=7", "seed=7, oracle=law"),
        ("import numpy as np", "import numpy as np\nfrom known_law import law"),
    ]
    assert main(["check", *brief, str(study_file(*edits))]) == 0
    out = capfd.readouterr().out
    assert "oracle: 8 cells of 4 conditions compared" in out
    skewed = ("rng.normal(mean, size=n)", "mean + rng.exponential(size=n) - 1 + 0.2")
    assert main(["check", *brief, str(study_file(*edits, skewed))]) == 1
    assert "z = +" in capfd.readouterr().out
    lacking = ("oracle=law", "oracle=lambda *, n, mean: law(n=n, mean=mean)[['method']]")
    assert main(["check", *brief, str(study_file(*edits, lacking))]) == 1
    assert "oracle returns a DataFrame without estimand, interval" in capfd.readouterr().out


def test_law_the_error_to_expect_of_coverage_is_the_binomial_one():
    cells = pd.DataFrame(
        {
            "n": [5, 5],
            "method": ["z", "z"],
            "estimand": ["mean", "mean"],
            "interval": ["default", None],
            "measure": ["coverage", "bias"],
            "value": [0.95, 0.01],
            "mcse": [math.sqrt(0.95 * 0.05 / 40_000), 0.5 / math.sqrt(40_000)],
            "used": [40_000, 40_000],
            "replicates": [40_000, 50_000],
        }
    )
    expected = expected_errors(unit_errors(cells), 2000)
    assert expected.mcse[0] == pytest.approx(math.sqrt(0.05 * 0.95 / 2000), rel=1e-3)
    assert expected.mcse[1] == pytest.approx(0.5 / math.sqrt(2000 * 0.8), rel=1e-12)
    wanted = needed(unit_errors(cells), {"coverage": 0.005, "bias": 0.01})
    assert wanted.needed[0] == pytest.approx(0.05 * 0.95 / 0.005**2, rel=2e-3)
    assert wanted.needed[1] == math.ceil(0.25 / 0.8 / 0.01**2)


@pytest.mark.slow
def test_law_plan_expects_the_errors_that_the_run_has(study_file, tmp_path):
    path = study_file(Z, ('{"average": average, "jittered": jittered}', '{"z": z}'))
    planned = plan(path, replicates=400, jobs=1, results=tmp_path, seconds=1.5)
    assert planned.fits == 1600
    assert planned.stored == 0
    assert not list(tmp_path.glob("normal"))
    assert planned.pilot.replicates[0] > 50
    made = run(path, tmp_path, replicates=400, jobs=1, quiet=True).performance
    key = ["mean", "n", "measure"]
    both = planned.expected.merge(made, on=key, suffixes=("", "_made"))
    both = both[both.measure.isin(["bias", "empirical_se", "coverage"])]
    assert len(both) == 12
    bias = both[both.measure == "bias"]
    # An sd of R normal numbers is off by 1/sqrt(2R); four times that.
    few = planned.pilot.replicates[0]
    assert (bias.mcse / bias.n**-0.5 * 20 - 1).abs().max() < 4 / math.sqrt(2 * few)
    coverage = both[both.measure == "coverage"]
    theory = math.sqrt(0.05 * 0.95 / 400)
    slack = 4 * math.sqrt(0.05 * 0.95 / few) / (2 * 0.05)
    assert (coverage.mcse / theory).between(1 - slack, 1 + slack).all()
    again = plan(path, replicates=500, jobs=1, results=tmp_path, seconds=0.1)
    assert (again.fits, again.stored) == (400, 1600)


def lap(replicates, seconds, size, **by_method):
    return PilotRun(replicates, seconds, size, by_method)


def test_identity_the_forecast_is_the_sum_over_what_is_missing():
    first, second = grid(n=[1, 2]).conditions
    pilot = Pilot(
        laps={
            first: [lap(1, 9.0, 5_000, a=1.0, b=2.0), lap(10, 40.0, 5_900, a=1.0, b=2.0)],
            second: [lap(1, 9.0, 5_000, a=3.0, b=5.0), lap(10, 90.0, 5_900, a=3.0, b=5.0)],
        },
        performance=pd.DataFrame({"method": ["a"], "estimand": ["m"], "interval": [None]}),
        start=2.0,
        small=(4, 10_000),
        large=(44, 14_000),
        table_seconds=0.44,
        memory=1_000,
    )
    # Beside the methods: 1 s a replicate in longer laps, 6 s and 1 s in single ones, so that a
    # job costs max(median(6, 1) - 1, 0) = 2.5 s and a replicate of a longer lap .75 s.
    jobs = [Job(first, 0, 100, ("a", "b")), Job(second, 10, 20, ("a",))]
    cost = forecast(pilot, jobs, workers=2, fits_stored=56, check_seconds=1.0)
    replicates = 100 * (1 + 2 + 0.75) + 10 * (3 + 0.75)
    cpu = replicates + 2.5 * replicates / 2.0
    assert cost.cpu.value == pytest.approx(cpu)
    assert cost.wall.value == pytest.approx(1.0 + 2.0 + cpu / 2 + 0.01 * (210 + 56))
    assert cost.tables.value == pytest.approx(10_000 - 400 + 100 * (210 + 56))
    assert cost.wall.low < cost.wall.value / 1.3 < cost.wall.high / 1.6
    named = method_costs(pilot, jobs)
    assert named.to_dict("list") == {
        "method": ["b", "a"],
        "fits": [100, 110],
        "seconds_each": [2.0, 130 / 110],
        "seconds": [200.0, 130.0],
    }


def test_contract_a_batch_of_one_says_nothing_of_what_a_batched_method_costs():
    first, second = grid(n=[1, 2]).conditions
    table = pd.DataFrame({"method": ["a"], "estimand": ["m"], "interval": [None]})
    laps = {
        first: [lap(1, 0.06, 5_000, a=0.05), lap(1000, 0.2, 5_000, a=0.0002)],
        second: [lap(1, 0.06, 5_000, a=0.05), lap(1, 0.06, 5_000, a=0.05)],
    }
    jobs = [Job(first, 0, 1000, ("a",)), Job(second, 0, 1000, ("a",))]
    seconds = []
    for is_batched in (True, False):
        pilot = Pilot(laps, table, large=(44, 14_000), is_batched=is_batched)
        seconds.append(method_costs(pilot, jobs)["seconds"][0])
    assert seconds == pytest.approx([0.4, 50.2])


@pytest.mark.slow
def test_contract_a_pilot_tries_every_condition_or_says_how_many(study_file):
    from mcstudy import load_study

    study = load_study(study_file())
    pilot = run_pilot(study, 1, 0.5)
    assert set(pilot.laps) == set(study.conditions)
    assert all(laps[0].replicates == 1 for laps in pilot.laps.values())
    assert all(set(laps[0].by_method) == {"average", "jittered"} for laps in pilot.laps.values())
    slow = study_file(("return rng.normal", "import time; time.sleep(0.2)\n    return rng.normal"))
    planned = plan(slow, jobs=1, seconds=0.1)
    assert len(planned.pilot.laps) < 4
    assert f"{len(planned.pilot.laps)} of 4 conditions" in str(planned)


@pytest.mark.slow
def test_contract_plan_shows_cost_precision_and_targets(study_file, tmp_path, capfd):
    path = study_file(("replicates=60", "replicates=1000"))
    command = ["plan", str(path), "--jobs", "1", "--results", str(tmp_path)]
    command += ["--seconds", "0.5", "--target"]
    assert main([*command, "coverage=0.005", "--target", "bias=0.01"]) == 0
    out = capfd.readouterr().out
    for text in (
        "normal: 4 conditions x 2 methods x 1000 replicates, 8000 fits to do, 0 are stored",
        "replicates of every condition by every method",
        "time on 1 worker: ",
        "of parts, ",
        "memory: ",
        "  average: ",
        "Monte Carlo standard errors to expect",
        "Replicates that the targets need",
        "coverage 0.005",
    ):
        assert text in out
    assert main([*command, "coverage"]) == 2
    assert "--target is 'coverage'; write it as coverage=0.005" in capfd.readouterr().err
    assert main([*command[:-2], "x", "--target", "bias=1"]) == 2
    assert "--seconds is 'x'; give a number above 0" in capfd.readouterr().err
    assert main([*command, "covrage=1"]) == 2
    err = capfd.readouterr().err
    assert err.startswith(
        "mcstudy: --target (targets) names 'covrage' (did you mean 'coverage'?), which is no "
    )
    assert main([*command, "bias=0"]) == 2
    assert "the target of bias is 0; give a number above 0" in capfd.readouterr().err


@pytest.mark.slow
def test_contract_plan_counts_in_plain_words(study_file, tmp_path):
    only = (', "jittered": jittered', "")
    text = str(plan(study_file(only), replicates=1, jobs=1, results=tmp_path, seconds=0.2))
    assert text.startswith("normal: 4 conditions x 1 method x 1 replicate, 4 fits to do, 0 are")
    assert " at 1 replicate a condition" in text
    one = study_file(("n=[5, 10], mean=[0.0, 1.5]", "n=[5], mean=[0.0]"))
    run(one, tmp_path, replicates=1, methods=["average"], jobs=1, quiet=True)
    text = str(plan(one, replicates=1, jobs=1, results=tmp_path, seconds=0.2))
    assert "1 fit to do, 1 is stored\npilot: " in text
    pilot = text.splitlines()[1]
    numbers = pilot.removeprefix("pilot: ").split(" replicates")[0]
    assert numbers.isdigit()


@pytest.mark.slow
def test_contract_a_run_that_stops_by_itself_says_at_least(study_file, tmp_path, capfd):
    precise = ("replicates=60", 'replicates=20, precision={"bias": 0.05}, max_replicates=160')
    path = study_file(precise)
    run(path, tmp_path, jobs=1)
    assert f"at least 160 fits to do, into {tmp_path}" in capfd.readouterr().err


@pytest.mark.slow
def test_contract_plan_knows_where_precision_will_lead(study_file, tmp_path):
    precise = ("replicates=60", 'replicates=20, precision={"bias": 0.05}, max_replicates=160')
    path = study_file(precise, ("n=[5, 10]", "n=[2, 100]"))
    planned = plan(path, jobs=1, results=tmp_path, seconds=4.0)
    assert "x about 20 to 160 replicates" in planned.size
    assert planned.replicates == (20, 160)
    text = str(planned)
    assert text.startswith(f"normal: {planned.size}, about {planned.fits} fits to do, 0 are ")
    assert "a condition starts with 20 replicates and stops when its errors are small" in text
    assert "errors to expect at about 20 to 160 replicates a condition\n" in text
    bias = planned.expected[planned.expected.measure == "bias"].groupby("n").mcse.max()
    assert bias[100] == pytest.approx(100**-0.5 / 20**0.5, rel=0.3)
    assert bias[2] == pytest.approx(2**-0.5 / 160**0.5, rel=0.3)
    assert planned.targets.measure.tolist() == ["bias"]
    with pytest.raises(MCStudyError, match="jobs is 0"):
        plan(path, jobs=0)


@pytest.mark.slow
def test_contract_plan_of_a_study_that_keeps_measures_forecasts_sums(study_file, tmp_path):
    rows = study_file(("replicates=60", "replicates=100_000"))
    of_rows = plan(rows, jobs=1, results=tmp_path, seconds=0.3).forecast
    sums = study_file(("replicates=60", "replicates=100_000, keep='measures'"))
    planned = plan(sums, jobs=1, results=tmp_path, seconds=0.3)
    assert planned.forecast.parts.value < of_rows.parts.value / 20
    assert planned.forecast.tables.value < of_rows.tables.value / 20
    assert "coverage" in str(planned)
    assert set(planned.methods.method) == {"average", "jittered"}


@pytest.mark.slow
def test_contract_a_pilot_whose_jobs_end_their_workers_says_so(study_file):
    crash = ("def average(sample):", "def average(sample):\n    import os; os._exit(3)\n")
    with pytest.raises(MCStudyError, match="no job of the pilot came back, its workers died"):
        plan(study_file(crash), jobs=2, seconds=0.5)


ONE_SIDED = """
def simulate(rng, *, n, mean):
    return rng.normal(mean, size=n)

def half(sample):
    return {"mean": Estimate(sample.mean(), lower=sample.mean() - 1)}

def one_sided(sample):
    return {"mean": Estimate(sample.mean(), lower=-np.inf, upper=sample.mean() + 1)}

def broken(sample):
    raise ValueError("no")

study = Study(
    name="normal",
    simulate=simulate,
    estimands=lambda *, n, mean: {"mean": mean},
    methods={"half": half, "one_sided": one_sided},
    conditions=grid(n=[5, 10], mean=[0.0, 1.5]),
    replicates=60,
    seed=7,
)
"""


def test_contract_check_names_an_interval_with_one_limit(study_file):
    found = check(study_file(body=ONE_SIDED))
    assert found.clean
    assert found.notes == [
        "method 'half': interval 'default' of 'mean' has no upper limit at any condition, and so "
        "no coverage; a limit that is not needed is -inf or inf"
    ]


@pytest.mark.slow
def test_contract_plan_says_what_the_run_will_say(study_file, tmp_path):
    broken = ('"half": half', '"half": broken')
    precise = ("replicates=60", 'replicates=20, precision={"coverage": 0.01}, max_replicates=40')
    path = study_file(broken, precise, body=ONE_SIDED)
    run(path, tmp_path, jobs=1, replicates=20, methods=["one_sided"], quiet=True)
    text = str(plan(path, jobs=1, results=tmp_path, seconds=2.0))
    assert "note: in the pilot method 'half' has no usable fit under 4 of 4 conditions" in text
    assert text.endswith("\nnote: max_replicates, 40, is too few for coverage")
    assert "Nothing was done" not in text
    other = study_file(broken, ("seed=7", "seed=8"), body=ONE_SIDED, name="other.py")
    planned = plan(other, jobs=1, results=tmp_path, seconds=2.0)
    assert planned.stored == 0
    assert "normal: holds rows of seed 7 and this study has seed 8" in planned.changed
    told = f"count as missing here; run will say: {planned.changed}"
    assert "\nnote: stored rows that are not of the study as it is " + told in str(planned)
    assert "\nnote: max_replicates" not in str(planned)


REMEMBERS = """
seen = []
def remembers(sample):
    seen.append(sample.mean())
    return {"mean": Estimate(sample.mean() if len(seen) < 3 else seen[-2])}
"""


def test_contract_check_notices_what_a_method_keeps_of_earlier_fits(study_file):
    edit = ("study = Study(", f"{REMEMBERS}\nstudy = Study(")
    path = study_file(edit, ('"jittered": jittered', '"remembers": remembers'))
    (found,) = check(path).problems
    assert found.startswith(
        "method 'remembers' gives another answer when the same replicate is done"
    )
    assert "or keeps something of earlier fits (at " in found
