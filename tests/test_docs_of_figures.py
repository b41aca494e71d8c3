"""The documentation of figures: every figure is there, its lines are ones that can be run."""

import re
import shlex
from pathlib import Path

from mcstudy.cli import _parser
from mcstudy.figures import FIGURES

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "figures.md").read_text()


def test_contract_every_figure_is_described():
    described = re.findall(r"^\| (?:a measure, as )?`(\w+)` \|", TEXT, flags=re.MULTILINE)
    assert sorted(described) == sorted([*FIGURES, "coverage"])


def test_contract_python_and_command_line_say_the_same():
    pairs = re.findall(r"^\| `results\.plot\((.*?)\)` \| `mcstudy (.*?)` \|", TEXT, re.MULTILINE)
    shown = set()
    for python, command in pairs:
        name, options = eval(f"(lambda name, **options: (name, options))({python})")
        asked = vars(_parser().parse_args(shlex.split(command)))
        assert asked["figure"] == name
        for option, value in options.items():
            assert str(asked[option]).strip("[]'") == _as_text(value)
        shown.add(name)
    assert shown == {*FIGURES, "coverage"}


def _as_text(value):
    return ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
