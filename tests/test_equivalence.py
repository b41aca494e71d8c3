"""Two methods that are meant to be equal."""

import shlex

import numpy as np
import pytest

from mcstudy import run

EDITS = (
    (
        "def jittered(sample, rng):\n"
        '    return {"mean": Estimate(sample.mean() + 0.01 * rng.normal())}',
        "def jittered(sample):\n"
        "    off = 1e-9 if sample[0] > 1 else 0.0\n"
        "    se = np.nan if sample[0] > 2 else sample.std(ddof=1) / len(sample) ** 0.5\n"
        '    return {"mean": Estimate(sample.mean() + off, se, sample.mean() - 2 * se, 9)}',
    ),
)


@pytest.fixture
def results(study_file, tmp_path):
    return run(study_file(*EDITS), tmp_path, jobs=1, quiet=True)


def test_identity_counts_and_quantiles_against_plain_pandas(results):
    frame = results.equivalence("jittered", "average").frame
    assert len(frame) == 4 * 4
    for row in frame.query("number in ('estimate', 'std_error')").itertuples():
        key = f"mean={row.mean:g}, n={row.n}"
        wide = results.estimates[results.estimates["condition"] == key].pivot(
            index="replicate", columns="method", values=row.number
        )
        one, other = wide["jittered"], wide["average"]
        both = one.notna() & other.notna()
        distance = (one - other).abs()[both].to_numpy()
        larger = np.maximum(one.abs(), other.abs())[both].to_numpy()
        assert row.compared == both.sum()
        assert row.equal == (distance == 0).sum()
        assert (row.only_method, row.only_reference) == (0, (~both).sum())
        assert row.absolute_largest == distance.max()
        assert row.relative_largest == (distance / larger).max()
        assert row.absolute_90 == np.sort(distance)[int(np.ceil(0.9 * len(distance))) - 1]
        parted = (one != other) & ~(one.isna() & other.isna())
        assert row.first_difference == (parted.idxmax() if parted.any() else -1)


def test_contract_the_command_that_replays_has_the_address(results):
    frame = results.equivalence("jittered", "average").frame
    row = frame[frame.first_difference >= 0].iloc[0]
    words = shlex.split(row["replay"])
    key = f"mean={row['mean']:g}, n={row['n']}"
    assert words[:3] == ["mcstudy", "replay", str(results.folder)]
    assert words[3:] == ["--condition", key, "--replicate", str(row["first_difference"])]
    assert key in set(results.conditions["condition"])
    shown = str(results.equivalence("jittered", "average"))
    assert row["replay"] in shown
    assert "numbers are bitwise equal" in shown


def test_contract_equal_methods_are_equal_in_one_line(study_file, tmp_path):
    same = ('"jittered": jittered', '"twin": lambda sample: average(sample)')
    made = run(study_file(same), tmp_path, jobs=1, quiet=True).equivalence("twin", "average")
    assert (made.frame["equal"] == made.frame["compared"]).all()
    assert (made.frame["first_difference"] == -1).all()
    assert made.frame["replay"].isna().all()
    assert str(made).endswith("960 of 960 numbers are bitwise equal")


def test_contract_unequal_replicates_are_matched_by_number(results, study_file, tmp_path):
    run(study_file(*EDITS), tmp_path, jobs=1, quiet=True, methods=["average"], replicates=90)
    frame = (
        run(study_file(*EDITS), tmp_path, jobs=1, quiet=True, methods=["average"], replicates=90)
        .equivalence("jittered", "average")
        .frame
    )
    assert frame.query("number == 'estimate'")["compared"].tolist() == [60] * 4
