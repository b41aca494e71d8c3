"""The scripts that show MixedLM's defects show them, as long as statsmodels has them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "docs" / "statsmodels"


def shown(name):
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py"], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.slow
def test_contract_the_printed_errors_have_the_unit_of_y():
    ratio = re.search(r"errors x +\[(\S+) +(\S+)\]", shown("standard_errors")).groups()
    assert [float(x) for x in ratio] == pytest.approx([4, 4], rel=1e-3)


@pytest.mark.slow
def test_contract_the_score_has_another_sign_where_a_parameter_is_negative():
    found = re.findall(r"score (\S+), numeric derivative (\S+)", shown("score"))
    right, wrong = [(float(a), float(b)) for a, b in found]
    assert right[0] == pytest.approx(right[1], rel=1e-3)
    assert wrong[0] == pytest.approx(-wrong[1], rel=1e-3)


@pytest.mark.xslow
def test_contract_converged_is_true_of_fits_below_the_maximum():
    short, said = map(int, re.findall(r"\d+(?= of 30| say)", shown("converged")))
    assert short >= 5
    assert said >= 1
