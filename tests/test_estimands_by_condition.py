"""Estimands that exist under some conditions only, as coefficients where their number varies."""

import pytest

from mcstudy import run, status
from mcstudy.cli import main

BODY = """
def simulate(rng, *, n, p):
    return rng.normal(size=(n, p)) + np.arange(p)

def means(x):
    found = {}
    for j in range(x.shape[1]):
        m, s = x[:, j].mean(), x[:, j].std(ddof=1) / len(x) ** 0.5
        wide = {"wide": (m - 3 * s, m + 3 * s)} if x.shape[1] > 1 else {}
        found[f"b{j}"] = Estimate(m, s, m - 2 * s, m + 2 * s, wide)
    return found

def fragile(x):
    if x.shape[1] == 2 or x[0, 0] > 0:
        raise ValueError("too large")
    return means(x)

study = Study(
    name="coefficients",
    simulate=simulate,
    estimands=lambda *, n, p: {f"b{j}": float(j) for j in range(p)},
    methods={"means": means, "fragile": fragile},
    conditions=grid(n=[10], p=[1, 2, 3]),
    replicates=10,
    seed=1,
)
"""


@pytest.fixture
def results(study_file, tmp_path):
    return run(study_file(body=BODY), tmp_path / "results", jobs=1, quiet=True)


def test_contract_an_estimand_has_rows_where_it_exists_and_nowhere_else(results):
    for frame in (results.estimates, results.intervals, results.performance, results.comparisons):
        frame = frame[frame["estimand"].notna()]
        p = frame["p"] if "p" in frame else frame["condition"].str.extract(r"p=(\d)")[0]
        assert (frame["estimand"].str[1:].astype(int) < p.astype(int)).all()
    rows = results.estimates.groupby(["condition", "method", "estimand"]).size()
    assert len(rows) == 2 * (1 + 2 + 3)
    assert (rows == 10).all()
    assert results.estimates.query("method == 'means'")["estimate"].notna().all()


def test_contract_an_interval_has_rows_where_its_method_gave_it(results):
    of_one = results.intervals[results.intervals["condition"] == "n=10, p=1"]
    assert set(of_one["interval"]) == {"default"}
    others = results.intervals[results.intervals["condition"] != "n=10, p=1"]
    assert set(others["interval"]) == {"default", "wide"}


def test_contract_a_method_that_failed_throughout_a_condition_keeps_its_rows_there(results):
    performance = results.performance.query("p == 2 and method == 'fragile'")
    bias = performance[performance["measure"] == "bias"]
    assert bias["estimand"].tolist() == ["b0", "b1"]
    assert bias["used"].tolist() == [0, 0]
    assert set(performance["interval"].dropna()) == {"default", "wide"}
    failed = results.intervals.query("method == 'fragile' and condition == 'n=10, p=2'")
    assert len(failed) == 2 * 2 * 10
    assert failed["lower"].isna().all()


def test_contract_fits_that_give_all_that_exists_have_not_failed(results, capsys):
    frame = results.failure_overlap().frame
    endings = results.fits.groupby(["condition", "method"])["status"].apply(
        lambda word: int((word != "ok").sum())
    )
    for row in frame.itertuples():
        assert row.failed == endings[f"n=10, p={row.p}", row.method]
        assert row.other_failed == endings[f"n=10, p={row.p}", row.other]
    assert set(results.sensitivity("rmse").frame.query("p == 1")["estimand"]) == {"b0"}
    assert main(["failures", str(results.folder)]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    whole = [line for line in shown if "10/10" in line]
    assert whole
    assert all("fragile" in line for line in whole)  # at p=2, where it always fails
    assert status(results.folder).fits.query("method == 'means'")["failed"].sum() == 0


def test_contract_the_same_holds_where_measures_are_kept(results, study_file, tmp_path):
    path = study_file(("    seed=1,", '    seed=1,\n    keep="measures",'), body=BODY)
    kept = run(path, tmp_path / "kept", jobs=1, quiet=True).performance
    names = ["p", "method", "estimand", "interval"]
    cells = kept[kept["estimand"].notna()][names].drop_duplicates()
    of_rows = results.performance[results.performance["estimand"].notna()][names].drop_duplicates()
    assert cells.to_csv(index=False) == of_rows.to_csv(index=False)
    failed = kept.query("p == 2 and method == 'fragile' and measure == 'coverage'")
    assert failed["used"].tolist() == [0] * 4


def test_contract_two_such_runs_compare_cell_by_cell(results, capsys):
    assert main(["compare", str(results.folder), str(results.folder)]) == 0
    assert "identical" in capsys.readouterr().out


NEVER = (
    'methods={"means": means, "fragile": fragile}',
    'methods={"means": means, "never": never, "fragile": fragile}',
)
DEFINED = ("study = Study(", "def never(x):\n    raise RuntimeError('never')\n\nstudy = Study(")


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["rows", "measures"])
def test_contract_a_method_that_never_works_is_in_every_table(study_file, tmp_path, capsys, keep):
    kept = ("    seed=1,", f"    seed=1,\n    keep={keep!r},")
    path = study_file(NEVER, DEFINED, kept, body=BODY)
    results = run(path, tmp_path / "results", jobs=1, quiet=True, keep_going=True)
    bias = results.performance.query("method == 'never' and measure == 'bias'")
    assert [(row.p, row.estimand) for row in bias.itertuples()] == [
        *((p, f"b{j}") for p in (1, 2, 3) for j in range(p))
    ]
    assert bias["used"].eq(0).all()
    assert bias["replicates"].eq(10).all()
    assert main(["table", str(results.folder), "--measure", "bias"]) == 0
    assert "never" in capsys.readouterr().out
    if keep == "rows":
        overlap = results.failure_overlap().frame
        assert overlap.query("method == 'never'")["failed"].eq(10).all()
        ranked = results.sensitivity("rmse").frame.query("p == 1")
        worst = ranked[ranked["view"] == "worst"].set_index("method")["rank"]
        assert worst["never"] > worst["means"]
        common = ranked.query("view == 'common' and method == 'means'")
        assert common["used"].gt(0).all()


def test_contract_a_method_has_no_rows_of_an_estimand_that_it_leaves_out(study_file, tmp_path):
    partly = ("    return means(x)", "    return {'b0': means(x)['b0']}")
    results = run(study_file(partly, body=BODY), tmp_path / "results", jobs=1, quiet=True)
    assert set(results.estimates.query("method == 'fragile'")["estimand"]) == {"b0"}
