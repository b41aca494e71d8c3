"""An empty value is refused everywhere: it is what an unset variable of a shell becomes."""

import argparse

import pytest

from mcstudy import (
    MCStudyError,
    check,
    collect,
    compare_runs,
    open_results,
    plan,
    replay,
    run,
    status,
    summarize,
)
from mcstudy.cli import _parser, main

LIST = "A,B"  # the metavar of options that take names


def verbs():
    """Return the parser of each verb."""
    (actions,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return actions.choices


def values():
    """Yield verb and action of everything that takes a value."""
    for name, parser in verbs().items():
        for action in parser._actions:
            if action.nargs != 0:
                yield pytest.param(name, action, id=f"{name}-{action.dest}")


def words(action, value):
    return [f"{action.option_strings[0]}={value}"] if action.option_strings else [value]


def command(name, chosen, value):
    """Return a command line that gives all that is required, and a value for one action."""
    given = []
    for action in verbs()[name]._actions:
        if action.dest == chosen.dest:
            given += words(action, value)
        elif action.required and action.nargs not in ("*", "?"):
            given += words(action, "a=1" if "=" in (action.metavar or "") else "1")
        elif not action.option_strings and action.nargs == "?" and not chosen.option_strings:
            given += ["1"]
    return [name, *given]


def refusal(capfd, arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out, err = capfd.readouterr()
    assert end.value.code == 2
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(("name", "action"), list(values()))
@pytest.mark.parametrize("value", ["", " "])
def test_contract_no_verb_takes_an_empty_value(name, action, value, capfd):
    shown = refusal(capfd, command(name, action, value))
    if action.choices is None:
        assert f"{value!r} is empty" in shown
    assert f"mcstudy {name}: argument " in shown


@pytest.mark.parametrize(("name", "action"), list(values()))
def test_contract_no_list_has_an_empty_name(name, action, capfd):
    if action.metavar == LIST:
        for value in ("a,,b", ",a", "a,"):
            shown = refusal(capfd, command(name, action, value))
            assert f"{value!r} has an empty name; give a value" in shown


def test_contract_options_are_written_in_full(study_file, capfd):
    shown = refusal(capfd, ["run", str(study_file()), "--replicate", "5"])
    assert shown.startswith(
        "mcstudy run: unrecognized arguments: --replicate 5 (did you mean '--replicates'?); see "
    )


def test_contract_options_that_take_several_names_are_known_as_lists():
    lists = {(name, a.dest) for name, p in verbs().items() for a in p._actions if a.metavar == LIST}
    assert lists >= {
        *(("run", "methods"), ("run", "retry"), ("table", "measure"), ("table", "rows")),
        *(("table", "columns"), ("failures", "measure"), ("failures", "failed")),
        *(("compare", "methods"), ("compare", "intervals")),
    }


def test_contract_an_empty_part_runs_nothing(study_file, tmp_path, capfd):
    arguments = ["run", str(study_file()), "--results", str(tmp_path / "r"), "--part", ""]
    assert refusal(capfd, arguments) == (
        "mcstudy run: argument --part: '' is empty; give a value, or leave it out; see mcstudy run "
        "--help\n"
    )
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"results": ""},
        {"methods": []},
        {"methods": [""]},
        {"methods": ""},
        {"jobs": ""},
        {"replicates": ""},
        {"changed": ""},
        {"retry": ""},
        {"retry": [""]},
        {"retry": "timeout"},
        {"part": ""},
        {"part": ()},
        {"backend": ""},
        {"scheduler": ""},
        {"scheduler": "", "backend": "dask"},
        {"log": ""},
    ],
)
def test_contract_run_takes_no_empty_argument(study_file, tmp_path, wrong):
    with pytest.raises(MCStudyError) as refused:
        run(study_file(), **{"results": tmp_path / "r", "jobs": 1, "quiet": True, **wrong})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_contract_no_function_takes_an_empty_argument(study_file, tmp_path):
    path = study_file()
    results = run(path, tmp_path / "r", replicates=2, jobs=1, quiet=True)
    for call in (
        lambda: collect(path, [""], results=tmp_path / "r"),
        lambda: collect(path, "", results=tmp_path / "r"),
        lambda: collect(path, results=""),
        lambda: collect(path, results=tmp_path / "r", changed=""),
        lambda: plan(path, results=""),
        lambda: plan(path, targets={"": 0.1}),
        lambda: check(""),
        lambda: status(""),
        lambda: summarize(""),
        lambda: open_results(""),
        lambda: compare_runs("", results.folder),
        lambda: compare_runs(results.folder, ""),
        lambda: compare_runs(results.folder, results.folder, where=""),
        lambda: replay("", "n=5, mean=0", 0),
        lambda: replay(path, "n=5, mean=0", 0, results=""),
        lambda: replay(results, "n=5, mean=0", 0, method=""),
        lambda: replay(results, "", 0),
        lambda: results.table(""),
        lambda: results.table([]),
        lambda: results.table("bias,,rmse"),
        lambda: results.table("bias", rows=""),
        lambda: results.table("bias", rows="n,,mean"),
        lambda: results.table("bias", where=""),
        lambda: results.table("bias", where={"n": []}),
        lambda: results.table("bias", format=""),
        lambda: results.anova(""),
        lambda: results.compare("", "average"),
        lambda: results.compare("average", "jittered", intervals=[]),
        lambda: results.sensitivity(""),
        lambda: results.sensitivity("rmse", failed=""),
    ):
        with pytest.raises(MCStudyError) as refused:
            call()
        assert "\n" not in str(refused.value)
