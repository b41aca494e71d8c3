"""300 estimands by 20 methods, 20 replicates."""

from collections.abc import Callable

import numpy as np

from mcstudy import Estimate, Study, grid

ESTIMANDS, METHODS = 300, 20


def simulate(rng: np.random.Generator, *, n: int) -> np.ndarray:
    """Draw a row of numbers for each estimand."""
    return rng.normal(size=(ESTIMANDS, n))


def method(shift: int) -> Callable[[np.ndarray], dict[str, Estimate]]:
    """Return a method that takes the mean of each row, and adds a little."""

    def means(data: np.ndarray) -> dict[str, Estimate]:
        mean, error = data.mean(axis=1) + shift / 100, data.std(axis=1, ddof=1)
        return {f"mean{i:03d}": Estimate(mean[i], error[i]) for i in range(ESTIMANDS)}

    return means


study = Study(
    name="wide",
    simulate=simulate,
    estimands=lambda *, n: {f"mean{i:03d}": 0.0 for i in range(ESTIMANDS)},
    methods={f"m{shift:02d}": method(shift) for shift in range(METHODS)},
    conditions=grid(n=[10]),
    replicates=20,
    seed=1,
)
