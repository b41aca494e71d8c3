"""The tables in results/published, and the page that quotes them."""

import re
from pathlib import Path

import pytest

import mcstudy
from mcstudy import compare_runs, open_results

ROOT = Path(mcstudy.__file__).parents[1]
PUBLISHED = ROOT / "results" / "published"
PAGE = (ROOT / "docs" / "mixedlm.md").read_text()
COVERAGE = r"^\| (\d+) x (\d+) x (\d+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$"
SHORT = r"^\| (\d+) \| (0|\.5|2) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$"


@pytest.mark.parametrize("name", ["nested", "nested_large", "nested_engine", "intervals"])
def test_contract_a_published_folder_can_be_read_and_compared(name):
    results = open_results(PUBLISHED / name)
    assert (results.folder / "report.html").exists()
    assert not (results.folder / "parts").exists()
    cells = results.performance
    assert results.table("coverage", where="method=reml,estimand=group2_var")
    same = compare_runs(results, cells)
    assert set(same.frame["outcome"]) == {"identical"}


def test_reference_coverages_of_the_page_are_the_published_ones():
    cells = open_results(PUBLISHED / "nested_engine").performance
    cells = cells[(cells["group1_shape"] == "normal") & (cells["dropped_rows"] == 0)]
    cells = cells[(cells["method"] == "reml") & (cells["estimand"] == "group1_var")]
    cells = cells[cells["group2_sd"] == 3]
    rows = re.findall(COVERAGE, PAGE, re.M)
    assert len(rows) == 10
    for i, (groups, _, _, zero, *shown) in enumerate(rows):
        here = cells[(cells["n_group1"] == int(groups)) & (cells["group1_sd"] == (2, 0.5)[i // 5])]
        wald = here[(here["interval"] == "wald") & (here["measure"] == "coverage")].iloc[0]
        assert 1 - wald["used"] / wald["replicates"] == pytest.approx(float(zero), abs=6e-4)
        of_all = here[here["measure"] == "coverage_of_all"].set_index("interval")["value"]
        for kind, text in zip(("mls", "wald", "log", "satterthwaite"), shown, strict=True):
            assert of_all[kind] == pytest.approx(float(text), abs=6e-4)


def test_reference_fits_that_stop_short_are_the_published_ones():
    cells = open_results(PUBLISHED / "nested").performance
    cells = cells[(cells["group1_shape"] == "normal") & (cells["dropped_rows"] == 0)]
    rows = re.findall(SHORT, PAGE, re.M)
    assert len(rows) == 12
    for groups, sd, *shown in rows:
        here = cells[(cells["n_group1"] == int(groups)) & (cells["group1_sd"] == float(sd))]
        short = here[(here["measure"] == "share_not_converged") & (here["method"] == "formula")]
        short = short.set_index("group2_sd")["value"]
        small = here[(here["group2_sd"] == 0.5) & (here["estimand"] == "group1_var")]
        bias = small[small["measure"] == "bias"].set_index("method")["value"]
        found = [short[0.5], short[3.0], *(float(sd) ** 2 + bias[m] for m in ("formula", "reml"))]
        assert found == pytest.approx([float(text) for text in shown], abs=6e-3)
