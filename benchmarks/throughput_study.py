"""A study whose fits cost a given time of pure computation: FIT_SECONDS, by matrix products."""

import os
import time

import numpy as np

from mcstudy import Estimate, Study, grid

FIT_SECONDS = float(os.environ.get("FIT_SECONDS", "0.01"))


def normal_sample(rng, *, n):
    """Draw the sample."""
    return rng.normal(size=n)


def busy_mean(sample, seconds=FIT_SECONDS):
    """Estimate the mean after that many seconds of work of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        np.sort(sample)
    return {"mean": Estimate(sample.mean(), sample.std(ddof=1) / len(sample) ** 0.5)}


study = Study(
    name="throughput",
    simulate=normal_sample,
    estimands=lambda *, n: {"mean": 0.0},
    methods={"busy": busy_mean},
    conditions=grid(n=[1000]),
    replicates=1000,
    seed=1,
)
