"""Methods stand in the order of the study wherever they are shown, and not in the tables."""

import re

import pytest

import mcstudy
from mcstudy import run, status
from mcstudy.cli import main
from tests.conftest import HEADER

ORDER = ["zeta", "alpha", "mid"]
BODY = """
def simulate(rng, *, n):
    return rng.normal(size=n)

def method(shift):
    def fit(x):
        if x[0] > 1 + shift:
            raise ValueError("large")
        m = x.mean() + shift
        return {"mean": Estimate(m, 1.0, m - 1, m + 1)}
    return fit

study = Study(
    name="order",
    simulate=simulate,
    estimands=lambda *, n: {"mean": 0.0},
    methods={name: method(i / 10) for i, name in enumerate(ORDER)},
    conditions=grid(n=[4, 8]),
    replicates=40,
    seed=1,
)
"""


@pytest.fixture(scope="module", params=["rows", "measures"])
def results(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("order")
    body = BODY.replace("    seed=1,", f'    seed=1,\n    keep="{request.param}",')
    (folder / "study_file.py").write_text(HEADER + f"ORDER = {ORDER}\n" + body)
    return run(folder / "study_file.py", folder, jobs=1, quiet=True)


def in_order(text):
    """Return whether each run of three names in a text is in the study's order."""
    found = re.findall("|".join(ORDER), text.replace(r"\midrule", ""))  # of LaTeX
    return len(found) % 3 == 0 and found == ORDER * (len(found) // 3)


@pytest.mark.slow
def test_contract_summary_table_and_status_have_the_order_of_the_study(results):
    assert in_order(results.summary)
    assert in_order(str(status(results.folder)).split("Failures")[0])
    for form in ("text", "markdown", "latex", "csv", "html"):
        if form != "csv":  # which names each method four times
            assert in_order(str(results.table("bias", format=form)))
        assert in_order(str(results.table("bias", rows="n,method", columns=(), format=form)))


def test_contract_failures_have_the_order_of_the_study(results, capsys):
    assert main(["failures", str(results.folder)]) == 0
    assert in_order(capsys.readouterr().out.split("\n\n")[0])
    if results.study["keep"] == "rows":
        frame = results.failure_overlap().frame
        pairs = frame[frame["n"] == 4][["method", "other"]].to_numpy().tolist()
        assert pairs == [["zeta", "alpha"], ["zeta", "mid"], ["alpha", "mid"]]
        ranked = results.sensitivity("rmse").frame
        assert ranked["method"].iloc[::3].tolist() == ORDER * 2


def test_contract_tables_on_disk_do_not_know_the_order(results, tmp_path):
    path = results.folder.parent / "study_file.py"
    turned = tmp_path / "study_file.py"
    text = path.read_text()
    text = text.replace("for i, name in enumerate(ORDER)}", "for i, name in TURNED}")
    turned.write_text(text.replace("\nstudy =", "\nTURNED = list(enumerate(ORDER))[::-1]\nstudy ="))
    again = run(turned, tmp_path, jobs=1, quiet=True)
    assert again.digests() == results.digests()
    assert again.study["method_order"] == ORDER[::-1]
    assert sorted(ORDER) == results.performance["method"].drop_duplicates().tolist()


def test_contract_all_that_can_be_imported_is_listed():
    assert set(mcstudy.__all__) <= set(dir(mcstudy))
