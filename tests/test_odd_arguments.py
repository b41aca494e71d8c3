"""Any public function given anything for any argument: an answer, or one line."""

import inspect
import itertools

import pandas as pd
import pytest

import mcstudy
from mcstudy import (
    Estimate,
    MCStudyError,
    grid,
    import_replicates,
    load_study,
    performance,
    replay,
    run,
    status,
    table,
)

METHODS = ("table", "compare", "equivalence", "sensitivity", "failure_overlap", "anova")
NOT_FUNCTIONS = {
    "MCStudyError",
    "Skip",
    "Status",
    "Results",
    "batched",
    "Estimate",
    "Fit",
    "Measured",
}
COSTLY = {"plan", "protocol", "run", "summarize", "replay", "collect", "solve"}
FUNCTIONS = sorted(set(mcstudy.__all__) - NOT_FUNCTIONS)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Return good arguments for each public function, and odd values for any argument."""
    from conftest import HEADER, NORMAL, STUDY

    where = tmp_path_factory.mktemp("odd")
    path = where / "study_file.py"
    path.write_text(HEADER + NORMAL + STUDY)
    (where / "binary").write_bytes(bytes(range(256)))
    (where / "text.csv").write_text("a,b\n1,2\n")
    (where / "empty").mkdir()
    results = run(path, where / "results", replicates=2, jobs=1, quiet=True)
    folder = results.folder
    frame = pd.DataFrame({"truth": [0.0, 0.0], "estimate": [0.1, -0.1], "replicate": [0, 1]})
    study = {
        "name": "odd",
        "simulate": lambda rng: rng.normal(),
        "estimands": lambda: {"a": 0.0},
        "methods": {"m": lambda data: {"a": Estimate(data)}},
        "conditions": grid(),
        "replicates": 2,
        "seed": 1,
    }
    quick = {"replicates": 2, "jobs": 1, "quiet": True}
    good = {
        "Study": study,
        "bootstrap_intervals": {"resampled": [1.0, 2.0, 3.0], "sizes": [2, 3]},
        "check": {"study": path, "seconds": 0.1},
        "collect": {"study": path, "results": where / "results", "replicates": 2, "quiet": True},
        "compare_runs": {"a": folder, "b": folder},
        "grid": {"a": [1]},
        "import_replicates": {"data": frame, "results": where / "imported", "name": "x"},
        "load_study": {"path": path},
        "open_results": {"folder": folder},
        "performance": {"data": frame},
        "plan": {"study": path, "seconds": 0.1, "jobs": 1, "results": where / "results"},
        "protocol": {"study": path},
        "replay": {"source": path, "condition": "n=5, mean=0", "results": folder},
        "run": {"study": path, "results": where / "results", **quick},
        "solve": {
            **{"study": path, "factor": "n", "measure": "empirical_se", "target": 0.35},
            **{"replicates": 20, "most": 200, "results": where / "results", "jobs": 1},
        },
        "status": {"results": folder},
        "summarize": {"results": folder},
        "table": {"performance": results.performance, "measure": "bias"},
    }
    for name in METHODS:
        good[f"Results.{name}"] = {"measure": "bias"} if name in ("table", "anova") else {}
    good["Results.sensitivity"] = {"measure": "rmse"}
    good["Results.compare"] = {"method": "average", "reference": "jittered"}
    good["Results.equivalence"] = {"method": "average", "reference": "jittered"}
    odd = [
        *(None, 5, "", "a\0b", "x" * 5000, b"x", [], [5], {5: 5}, object(), 1 + 2j),
        *(where / "none", where / "empty", where / "binary", where / "text.csv"),
    ]
    return good, odd, results


def tried(function, arguments):
    """Return what is wrong with how a call ends, nothing if it answers or says one line."""
    try:
        str(function(**arguments))
    except MCStudyError as error:
        return "" if "\n" not in str(error) else f"several lines: {error}"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {error}"[:300]
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.xslow)])
@pytest.mark.parametrize("name", [*FUNCTIONS, *(f"Results.{name}" for name in METHODS)])
def test_contract_anything_for_any_argument_is_an_answer_or_a_line(
    usual, name, every, monkeypatch, tmp_path
):
    good, odd, results = usual
    monkeypatch.chdir(tmp_path)
    owner = results if name.startswith("Results.") else mcstudy
    function = getattr(owner, name.removeprefix("Results."))
    taken = list(inspect.signature(function).parameters)
    if name == "import_replicates":  # into a folder that is not there yet
        numbers = itertools.count()
        function = lambda name, **rest: import_replicates(  # noqa: E731
            name=f"{name}{next(numbers)}" if isinstance(name, str) else name, **rest
        )
    assert not tried(function, good[name]), name
    names = ["a"] if name == "grid" else taken
    wrong = [
        f"{argument}={value!r:.60}: {said}"
        for argument in names
        for value in (odd if every or name not in COSTLY else odd[:: len(odd) // 5])
        if (said := tried(function, {**good[name], argument: value}))
    ]
    assert not wrong, "\n".join(wrong)


def test_contract_a_study_is_no_csv(usual):
    _, odd, results = usual
    for call in (load_study, run, lambda path: replay(path, results=results.folder)):
        with pytest.raises(MCStudyError, match=r"text.csv: cannot be read as a study file; name"):
            call(odd[-1])


@pytest.mark.parametrize(("given", "say"), [(None, "None"), (5, "5"), (object(), "<object")])
def test_contract_what_is_no_path_is_said(given, say):
    with pytest.raises(MCStudyError, match=f"^study is {say}.*; give the path of a study file"):
        run(given)
    with pytest.raises(MCStudyError, match=f"^results is {say}.*; give the path of a folder like"):
        status(given)
    with pytest.raises(MCStudyError, match=f"^performance is {say}"):
        table(given, "bias")


@pytest.mark.parametrize(
    "cells", [[[1.0], [2.0]], [{"a": 1}, {"b": 2}], [1 + 2j, 2 + 0j], [object(), object()]]
)
@pytest.mark.parametrize("column", ["estimate", "truth", "std_error", "lower", "replicate", "g"])
def test_contract_a_column_of_no_numbers_is_said(cells, column):
    frame = pd.DataFrame({"truth": [0.0, 0.0], "estimate": [1.0, 2.0], "upper": [3.0, 3.0]})
    frame["lower"], frame["std_error"], frame["replicate"], frame["g"] = -1.0, 1.0, [0, 1], [1, 2]
    frame[column] = pd.Series(cells)
    with pytest.raises(MCStudyError) as refused:
        performance(frame, by="g")
    assert "\n" not in str(refused.value)
