"""Missing values and contamination: the laws that are promised."""

import numpy as np
import pytest
from scipy import stats

from mcstudy.errors import StudyError
from mcstudy.generators import contaminate, make_missing

N = 200_000


def near(share, expected, count):
    return abs(share - expected) < 4 * (expected * (1 - expected) / count) ** 0.5


def test_law_values_are_missing_completely_at_random():
    rng = np.random.default_rng(1)
    x = rng.normal(size=N)
    made = make_missing(rng, x, 0.2)
    lost = np.isnan(made)
    assert near(lost.mean(), 0.2, N)
    assert near(lost[x > 0].mean(), 0.2, (x > 0).sum())
    assert (made[~lost] == x[~lost]).all()
    assert not np.isnan(x).any()


@pytest.mark.parametrize("slope", [1.5, -0.7])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_law_log_odds_are_a_line_in_the_covariate(slope, share):
    rng = np.random.default_rng(2)
    by = rng.exponential(3, size=N)
    lost = np.isnan(make_missing(rng, rng.normal(size=N), share, by=by, slope=slope))
    assert near(lost.mean(), share, N)
    z = (by - by.mean()) / by.std()
    odds = []
    for low in (-0.5, 0.0, 0.5):
        some = (low <= z) & (z < low + 0.1)
        p = lost[some].mean()
        odds.append((np.log(p / (1 - p)), 1 / (some.sum() * p * (1 - p)) ** 0.5 * 1))
    (first, e1), _, (last, e2) = odds
    assert abs((last - first) - slope) < 4 * np.hypot(e1, e2) + 0.05


def test_contract_each_column_loses_its_own_and_the_rows_of_a_covariate_count():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5000, 3))
    by = np.r_[np.zeros(2500), np.ones(2500)]
    lost = np.isnan(make_missing(rng, x, 0.3, by=by, slope=4.0))
    assert lost[2500:].mean() > 10 * lost[:2500].mean()
    assert abs(np.corrcoef(lost[2500:, 0], lost[2500:, 1])[0, 1]) < 0.1


def test_law_contamination_is_a_mixture():
    rng = np.random.default_rng(4)
    made = contaminate(rng, rng.normal(size=N), 0.1, scale=3.0)
    mixture = lambda v: 0.9 * stats.norm.cdf(v) + 0.1 * stats.norm.cdf(v, scale=3)  # noqa: E731
    assert stats.kstest(made, mixture).pvalue > 1e-4
    shifted = contaminate(rng, np.zeros(N), 0.25, shift=5.0)
    assert set(np.unique(shifted)) == {0.0, 5.0}
    assert near((shifted == 5).mean(), 0.25, N)


def test_contract_edges():
    rng = np.random.default_rng(5)
    assert (make_missing(rng, [1, 2, 3], 0.0, by=[1, 2, 3]) == [1, 2, 3]).all()
    assert np.isnan(make_missing(rng, np.ones(50), 0.99, by=np.ones(50))).any()
    assert (contaminate(rng, [1, 2], 1.0, shift=1) == [2, 3]).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda rng: make_missing(rng, [1.0], 1.0),
            "share is 1.0; give a number from 0",
        ),
        (lambda rng: make_missing(rng, [1.0], "a"), "share is 'a'"),
        (lambda rng: make_missing(rng, [1.0], 0.5, by=[1, 2]), "by has the shape"),
        (lambda rng: make_missing(rng, [1.0, 2.0], 0.5, by=[1, np.nan]), "one finite number"),
        (lambda rng: contaminate(rng, [1.0], 1.5), "contaminate: share is 1.5"),
    ],
)
def test_contract_what_cannot_be_is_said(call, said):
    with pytest.raises(StudyError, match=said):
        call(np.random.default_rng(1))
