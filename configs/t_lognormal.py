"""Does the t interval for a mean hold up on skewed data?"""

import numpy as np
from scipy import stats

from mcstudy import Estimate, Study, grid


def lognormal_sample(rng, *, n, sigma):
    return rng.lognormal(sigma=sigma, size=n)


def t_interval(sample):
    mean, se = sample.mean(), stats.sem(sample)
    lower, upper = stats.t.interval(0.95, len(sample) - 1, mean, se)
    return {"mean": Estimate(mean, std_error=se, lower=lower, upper=upper)}


study = Study(
    name="t_lognormal",
    simulate=lognormal_sample,
    estimands=lambda *, n, sigma: {"mean": np.exp(sigma**2 / 2)},
    methods={"t": t_interval},
    conditions=grid(n=[10, 30, 100], sigma=[0.5, 1.0]) + grid(n=[1000], sigma=[2.0]),
    replicates=10_000,
    seed=20261123,
)
