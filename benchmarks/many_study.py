"""10,000 conditions of ten trivial replicates each."""

import numpy as np

from mcstudy import Estimate, Study, grid

LEVELS = 100


def simulate(rng: np.random.Generator, *, a: int, b: int) -> float:
    """Draw one number."""
    return float(rng.normal())


def itself(number: float) -> dict[str, Estimate]:
    """Estimate the mean by the number."""
    return {"mean": Estimate(number, 1.0)}


study = Study(
    name="many",
    simulate=simulate,
    estimands=lambda *, a, b: {"mean": 0.0},
    methods={"itself": itself},
    conditions=grid(a=list(range(LEVELS)), b=list(range(LEVELS))),
    replicates=10,
    seed=1,
)
