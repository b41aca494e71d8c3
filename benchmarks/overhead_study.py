"""A study whose fit costs next to nothing: mean and t interval of 20 normals."""

import numpy as np

from mcstudy import Estimate, Study, grid

T_975 = 2.093024054408263


def normal_sample(rng, *, n, mean):
    """Draw the sample."""
    return rng.normal(mean, size=n)


def t_interval(sample):
    """Estimate the mean, with its t interval for 20 observations."""
    mean = sample.mean()
    std_error = sample.std(ddof=1) / np.sqrt(len(sample))
    half = T_975 * std_error
    return {"mean": Estimate(mean, std_error, mean - half, mean + half)}


study = Study(
    name="overhead",
    simulate=normal_sample,
    estimands=lambda *, n, mean: {"mean": mean},
    methods={"t": t_interval},
    conditions=grid(n=[20], mean=[0.0, 1.0, 2.0, 3.0]),
    replicates=10_000,
    seed=1,
)
