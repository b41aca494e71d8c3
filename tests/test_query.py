"""Names and levels in text: --where, --condition, --rows, whatever they are called."""

import itertools

import numpy as np
import pandas as pd
import pytest

from mcstudy import MCStudyError, grid, open_results, performance, run, table
from mcstudy.analysis.query import (
    factors_of,
    find_condition,
    matching,
    names_in,
    parsed,
    written,
    written_condition,
    written_name,
)
from mcstudy.cli import main
from mcstudy.grid import RESERVED

NAMES = ("n", "a,b", "a=b", "a b", 'say "hi"', "a|b", " ", ":", "a:n", "x_factor")
LEVELS = (
    *("", " ", "None", None, "1", 1, "1.0", 2.5, "2.5", True, "True", "true", "a,b", "a|b", "a=b"),
    *('"', '"x"', "x", "\\", "line\nbreak", "line break", "n=1", "a, n=1", 1e-5, "Zürich", "nan"),
)


def test_contract_every_odd_level_can_be_asked_for_in_text():
    for level in LEVELS:
        wanted = parsed(f"n={written(level)}", several=True)
        assert matching(LEVELS, *wanted["n"]) == [level]
        assert type(matching(LEVELS, *wanted["n"])[0]) is type(level)


def test_contract_every_odd_name_and_several_levels_can_be_asked_for():
    for name in NAMES:
        text = f"k=3, {written_name(name)}={'|'.join(map(written, LEVELS))}, z=1"
        asked = parsed(text, several=True)
        assert list(asked) == ["k", name, "z"]
        assert [matching(LEVELS, one)[0] for one in asked[name]] == list(LEVELS)
        assert names_in(f"k,{written_name(name)} , z") == ["k", name, "z"]


def test_contract_without_quotes_a_level_is_what_it_looks_like_or_else_the_text():
    (one,) = parsed("n=1", several=True)["n"]
    assert matching(["1", 1], one) == [1]
    assert matching(["1", "2"], one) == ["1"]
    assert matching([False, True], parsed("n=true", several=True)["n"][0]) == [True]
    assert parsed("n=a, b", several=True) == {"n": ["a, b"]}
    assert parsed("n=a|b", several=False) == {"n": ["a|b"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n", "'n' is no condition; write name=level"),
        ("n=", "'n=' is no condition"),
        ("=3", "'=3' is no condition"),
        ('n="a', "double quote that is not closed"),
        ('n="a"b', "follows a text in double quotes"),
        ('n="a", b', "'b' is no condition"),
    ],
)
def test_contract_what_cannot_be_read_gets_one_line(text, message):
    with pytest.raises(MCStudyError, match=message) as caught:
        parsed(text, several=True)
    assert "\n" not in str(caught.value)


def test_contract_conditions_are_found_by_odd_names_and_levels():
    pairs = itertools.product(NAMES[1:5], [LEVELS[i : i + 4] for i in range(0, len(LEVELS), 4)])
    for name, levels in pairs:
        conditions = list(grid(**{name: levels, "n": [1, 2]}))
        for condition in conditions:
            assert find_condition(condition.key, conditions) is condition
            assert find_condition(written_condition(condition.factors), conditions) is condition
            assert find_condition(condition.factors, conditions) is condition
            assert factors_of(condition.key) == condition.factors


BODY = """
NAME, LEVELS = "a,b", ["", "None", None, "1", 1, True, "True", "a|b", "x, n=2", '"q"', "c\\nd"]

def simulate(rng, *, n, **odd):
    return rng.normal(size=n)

def method(x):
    return {"mean": Estimate(x.mean(), 1.0, x.mean() - 1, x.mean() + 1)}

study = Study(
    name="odd",
    simulate=simulate,
    estimands=lambda **factors: {"mean": 0.0},
    methods={"b": method, "a": method},
    conditions=grid(n=[2, 3], **{NAME: LEVELS}),
    replicates=3,
    seed=1,
)
"""
ODD = ["", "None", None, "1", 1, True, "True", "a|b", "x, n=2", '"q"', "c\nd"]


@pytest.fixture(scope="module")
def odd_results(tmp_path_factory):
    from tests.conftest import HEADER

    folder = tmp_path_factory.mktemp("odd")
    (folder / "study_file.py").write_text(HEADER + BODY)
    return run(folder / "study_file.py", folder / "results", jobs=1, quiet=True)


@pytest.mark.slow
def test_contract_tables_of_odd_names_and_levels(odd_results, capsys):
    folder = str(odd_results.folder)
    for level in ODD:
        where = f'"a,b"={written(level)}'
        made = odd_results.table("bias", where=where, rows='n,"a,b"')
        assert len(made.frame) == 2 * 2, level
        assert odd_results.table("bias", where={"a,b": level}).frame.equals(made.frame)
        arguments = ["--condition", f"{where}, n=2", "--replicate", "0"]
        assert main(["replay", folder, *arguments]) == 0
        assert main(["anova", folder, "--measure", "bias", "--where", where]) == 0
    arguments = ["--measure", "bias", "--rows", '"a,b",n', "--where", "n=2"]
    assert main(["table", folder, *arguments, "--where", f'"a,b"={written("a|b")}|None']) == 0
    assert main(["table", folder, *arguments, "--where", '"a,b"=zz']) == 2
    assert 'no "a,b"=zz here; it has' in capsys.readouterr().err
    assert main(["compare", folder, folder, "--where", '"a,b"="None"']) == 0


def test_contract_no_two_cells_of_a_comparison_are_one(odd_results):
    from mcstudy import compare_runs

    frame = compare_runs(odd_results, odd_results).frame
    values = open_results(odd_results.folder).performance["value"].notna().sum()
    assert len(frame) == values


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_contract_a_factor_cannot_have_the_name_of_a_column_of_ours(name):
    with pytest.raises(MCStudyError, match=f"cannot be called '{name}'"):
        grid(**{name: [1]})


def test_contract_reserved_names_are_those_of_the_tables(odd_results):
    made = {*odd_results.performance, *odd_results.comparisons, *odd_results.conditions}
    assert made - {"n", "a,b"} <= RESERVED
    assert "reached" in RESERVED


@pytest.mark.slow
def test_contract_whether_a_precision_is_reached_is_no_factor(study_file, tmp_path):
    path = study_file(
        ("    seed=7,", '    seed=7, precision={"coverage": 0.03}, max_replicates=80,')
    )
    results = run(path, tmp_path, jobs=1, quiet=True)
    assert results.performance["reached"].nunique() == 2
    assert "reached" not in str(results.table("coverage"))
    assert "reached" not in str(results.anova("bias"))
    from mcstudy import compare_runs

    compared = compare_runs(results, results)
    assert "reached" not in compared.frame
    assert compared.only_a.empty


def test_contract_a_column_that_a_user_adds_is_no_factor(odd_results):
    noted = odd_results.performance.assign(note=np.arange(len(odd_results.performance)))
    assert "note" not in str(table(noted, "bias", where='n=2, "a,b"=None'))


@pytest.mark.parametrize("name", ["reached", "measure", "value", "replicates"])
def test_contract_a_table_from_elsewhere_cannot_be_split_by_a_column_of_ours(name):
    frame = pd.DataFrame({name: [1, 1, 2, 2], "estimate": [0.0, 1.0, 2.0, 3.0]})
    with pytest.raises(MCStudyError, match=f"by has '{name}', a column of the result; rename it"):
        performance(frame, truth=0.0, by=[name])


def test_contract_factors_called_as_columns_of_other_tables(study_file, tmp_path):
    path = study_file(
        ("*, n, mean", "*, other, other_factor"),
        ("rng.normal(mean, size=n)", "rng.normal(other, size=other_factor)"),
        ('{"mean": mean},', '{"mean": other},'),
        ("grid(n=[5, 10], mean=[0.0, 1.5])", "grid(other_factor=[5, 10], other=[0.0, 1.5])"),
    )
    results = run(path, tmp_path, jobs=1, quiet=True)
    frame = results.failure_overlap().frame
    assert list(frame)[:2] == ["other_factor_factor", "other_factor"]
    assert frame["other"].tolist() == ["jittered"] * 4
    assert len(frame.drop_duplicates(list(frame)[:2])) == 4
