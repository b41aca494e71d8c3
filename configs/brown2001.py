"""How far can the coverage of a textbook interval for a proportion be from 95 %?

Brown, Cai & DasGupta (2001), Interval estimation for a binomial proportion, Statistical Science
16:101. The coverage of an interval for a binomial proportion is a finite sum over the outcomes, so
it is known exactly: `mcstudy check` holds the simulation against it. The Wald interval is erratic
in n, and far below 95 % at sizes that textbooks call large. 40,000 replicates of 25 designs take
half a minute; only sums are kept.
"""

import numpy as np
import pandas as pd
from scipy import stats

from mcstudy import Estimate, Study, batched, grid

Z = stats.norm.isf(0.025)
METHODS = ("wald", "wilson", "agresti_coull", "jeffreys", "clopper_pearson")
LUCKY, UNLUCKY = [17, 20, 25, 30, 35, 37, 42, 44, 49], [10, 12, 13, 15, 18, 23, 28, 33, 40]


@batched
def successes(rngs, *, n, p):
    return np.array([rng.binomial(n, p) for rng in rngs])


def limits(n):
    """Each interval for every number of successes from 0 to n: (lower, upper) by method."""
    x = np.arange(n + 1)
    share, centre = x / n, (x + Z**2 / 2) / (n + Z**2)
    spread = share * (1 - share) / n
    halves = {
        "wald": (share, Z * np.sqrt(spread)),
        "wilson": (centre, Z * np.sqrt(spread + Z**2 / (4 * n**2)) / (1 + Z**2 / n)),
        "agresti_coull": (centre, Z * np.sqrt(centre * (1 - centre) / (n + Z**2))),
    }
    found = {name: (middle - half, middle + half) for name, (middle, half) in halves.items()}
    for name, a, b in (("jeffreys", 0.5, 0.5), ("clopper_pearson", 0, 1)):  # of beta(x + a, ...)
        lower = stats.beta.ppf(0.025, x + a, n - x + b)
        upper = stats.beta.ppf(0.975, x + b, n - x + a)
        found[name] = np.where(x == 0, 0, lower), np.where(x == n, 1, upper)
    return found


@batched
def intervals(x, condition):
    n = condition["n"]
    return {
        name: {"p": Estimate(x / n, lower=lower[x], upper=upper[x])}
        for name, (lower, upper) in limits(n).items()
    }


def exact(*, n, p):
    """Coverage: the binomial probability of the outcomes whose interval contains p."""
    chance = stats.binom.pmf(np.arange(n + 1), n, p)
    rows = [
        (name, chance @ ((lower <= p) & (p <= upper))) for name, (lower, upper) in limits(n).items()
    ]
    table = pd.DataFrame(rows, columns=["method", "value"])
    return table.assign(estimand="p", interval="default", measure="coverage", mcse=0.0)


study = Study(
    name="brown2001",
    simulate=successes,
    estimands=lambda *, n, p: {"p": p},
    methods={METHODS: intervals},
    conditions=grid(n=LUCKY + UNLUCKY, p=[0.5])
    + grid(n=[30, 98], p=[0.2])
    + grid(n=[591, 592], p=[0.005])
    + grid(n=[20, 50], p=[0.1])
    + grid(n=[100], p=[0.05]),
    replicates=40_000,
    seed=20261123,
    keep="measures",
    oracle=exact,
)
