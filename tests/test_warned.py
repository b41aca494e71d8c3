"""Fits with a warning: counted, shown and named wherever endings are."""

import pytest

from mcstudy import MCStudyError, grid, open_results, run, status
from mcstudy.cli import main
from tests.conftest import HEADER

BODY = """
import warnings

def simulate(rng, *, n):
    x = rng.normal(size=n)
    return x

def interval(value):
    return Estimate(value, 1.0, value - 1, value + 1)

def separated(x):
    if x[0] > 0.5:
        warnings.warn(f"perfect separation at {x[0]:.3f}", stacklevel=1)
    if x[0] > 1.5:
        raise ValueError("no fit")
    return {"mean": interval(x.mean())}

def chatty(x):
    return Fit({"mean": interval(x.mean())}, message="all is well")

@batched
def together(xs):
    values = np.array([x.mean() for x in xs])
    if any(x[0] > 0.5 for x in xs):
        warnings.warn("large", stacklevel=1)
    return {"mean": Estimate(values, np.ones(len(values)), values - 1, values + 1)}

study = Study(
    name="warns",
    simulate=simulate,
    estimands=lambda *, n: {"mean": 0.0},
    methods={"separated": separated, "chatty": chatty, "together": together},
    conditions=grid(n=[2, 3]),
    replicates=50,
    seed=1,
)
"""


@pytest.fixture(scope="module", params=["rows", "measures"])
def results(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("warns")
    body = BODY.replace("    seed=1,", f'    seed=1,\n    keep="{request.param}",')
    (folder / "study_file.py").write_text(HEADER + body)
    return run(folder / "study_file.py", folder, jobs=1, quiet=True)


@pytest.fixture
def of_rows(results):
    if results.study["keep"] != "rows":
        pytest.skip("needs rows")
    return results


def counts(results, **levels):
    shares = results.performance[results.performance["measure"] == "warned"]
    for name, level in levels.items():
        shares = shares[shares[name] == level]
    return (shares["value"] * shares["replicates"]).round().groupby(shares["method"]).sum()


def test_identity_the_measure_counts_the_fits_that_warned(of_rows):
    fits = of_rows.fits
    assert fits["warned"].dtype == bool
    said = fits["message"].fillna("").str.contains("UserWarning")
    assert (fits["warned"] == said).all()
    assert 0 < fits["warned"].sum() < len(fits) / 2
    assert (counts(of_rows) == fits.groupby("method")["warned"].sum()).all()
    assert set(fits[fits["warned"]]["status"]) == {"ok", "error"}


def test_contract_a_methods_own_message_is_no_warning(results):
    assert counts(results)["chatty"] == 0
    assert counts(results)["together"] == counts(results)["separated"] > 0


def test_contract_warned_fits_have_a_column_wherever_endings_are_shown(results, capsys):
    known = counts(results)
    assert "warned" in str(results)
    lines = str(results).splitlines()
    line = next(line for line in lines if line.split()[:2] == ["together", "100"])
    assert line.split()[-1] == str(int(known["together"]))
    assert main(["failures", str(results.folder)]) == 0
    out = capsys.readouterr().out
    assert line in out
    assert "Warnings, by kind" in out
    assert "UserWarning: perfect separation at #" in out
    found = status(results.folder)
    assert (found.fits.groupby("method")["warned"].sum() == known).all()
    assert f"{int(known.sum())} with a warning" in found.headline
    assert "Warnings, by kind" in str(found)
    kinds = found.warnings.groupby("message")["count"].sum()
    assert kinds["UserWarning: large"] == known["together"]
    assert kinds.sum() == known.sum()


def test_contract_kinds_of_warnings_are_those_of_the_chosen_fits(results):
    kinds = results.warnings(where="n=2, method=separated|chatty")
    assert set(kinds["method"]) == {"separated"}
    assert kinds["fits"].sum() == counts(results, n=2)["separated"]
    assert results.warnings()["fits"].sum() == counts(results).sum()


def test_contract_fits_with_a_warning_can_count_as_failed(of_rows, capsys):
    frame = of_rows.failure_overlap(failed=["warned"]).frame.set_index(["n", "method", "other"])
    known = counts(of_rows, n=2)
    assert frame.loc[(2, "separated", "together"), "other_failed"] == known["together"]
    assert main(["failures", str(of_rows.folder), "--failed", "warned"]) == 0
    assert "failed: no estimate, or a warning" in capsys.readouterr().out
    with pytest.raises(
        MCStudyError, match=r"no status 'warnd' .did you mean 'warned'\?.; choose from .*, warned"
    ):
        of_rows.failure_overlap(failed=["warnd"])


@pytest.mark.slow
def test_contract_the_tables_do_not_depend_on_the_batch_or_the_history(of_rows, tmp_path):
    path = of_rows.folder.parent / "study_file.py"
    run(path, tmp_path, replicates=7, methods=["together"], jobs=1, quiet=True)
    again = run(path, tmp_path, jobs=2, quiet=True)
    assert again.digests() == open_results(of_rows.folder).digests()


def test_contract_simulate_that_warns_is_a_warning_of_its_fits(study_file, tmp_path):
    edit = ("    return x\n\ndef interval", "    np.log(-1.0)\n    return x\n\ndef interval")
    results = run(study_file(edit, body=BODY), tmp_path, jobs=1, quiet=True, replicates=5)
    assert results.fits["warned"].all()
    assert results.fits["message"].str.contains("simulate: RuntimeWarning").all()


def test_contract_the_name_is_ours(study_file, tmp_path):
    own = ("    seed=1,", "    seed=1,\n    measures={'warned': lambda estimate: 1.0},")
    with pytest.raises(MCStudyError, match="mcstudy has a measure 'warned'"):
        run(study_file(own, body=BODY), tmp_path)
    diagnostic = ('message="all is well")', 'diagnostics={"warned": 1})')
    with pytest.raises(MCStudyError, match="a diagnostic called 'warned', which fits has"):
        run(study_file(diagnostic, body=BODY), tmp_path, jobs=1, quiet=True, replicates=2)
    assert len(grid(warned=[1])) == 1


def test_contract_a_diagnostic_may_be_called_kind(tmp_path):
    body = BODY.replace('message="all is well"', 'diagnostics={"kind": 1.0}')
    (tmp_path / "study_file.py").write_text(HEADER + body)
    results = run(tmp_path / "study_file.py", tmp_path, jobs=1, quiet=True)
    assert results.warnings()["message"].str.contains("separation at #").any()
