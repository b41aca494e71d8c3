"""The page of docs on planning: its study runs, its commands and arguments exist."""

import inspect
import re
from pathlib import Path

import mcstudy
from mcstudy import check, load_study, run
from mcstudy.cli import _parser

PAGE = (Path(mcstudy.__file__).parent.parent / "docs" / "planning.md").read_text()


def test_contract_the_study_of_the_page_is_right_and_stops_by_itself(tmp_path):
    path = tmp_path / "known.py"
    path.write_text(PAGE.split("```python\n")[1].split("```")[0])
    study = load_study(path)
    assert study.precision
    found = check(study, seconds=0.5)
    assert found.clean
    assert found.oracle.conditions == 4
    results = run(path, tmp_path, replicates=1000, jobs=1, quiet=True)
    done = results.fits.groupby("condition").replicate.nunique()
    assert (done > 1000).all()
    assert results.performance.reached.dropna().all()


def test_contract_the_verbs_and_options_of_the_page_exist():
    verbs = _parser()._subparsers._group_actions[0].choices
    for verb in re.findall(r"^mcstudy (\w+) ", PAGE, re.MULTILINE):
        assert verb in verbs
    for name in ("check", "plan", "status", "summarize", "replay"):
        assert f"`mcstudy {name} " in PAGE
        assert callable(getattr(mcstudy, name))
    options = {option for verb in verbs.values() for option in verb._option_string_actions}
    assert set(re.findall(r"(--[a-z]+)", PAGE)) <= options
    for argument in ("quiet", "log"):
        assert argument in inspect.signature(run).parameters
