"""Does EM find the best mixture, and is the best one any good where the components overlap?

Dempster, Laird & Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm,
Journal of the Royal Statistical Society B 39:1, section 4.3, in its smallest case: of n draws a
share of 0.3 is N(0, 1) and the others are N(distance, 1); share, means and the common variance are
unknown. EM begins with two of the observations as means, drawn at random: once, or ten times of
which the most likely end is kept. The closer the components, the slower it is (Redner & Walker
1984, SIAM Review 26:195). No numbers are published for this design. The log-likelihood that is
reached has no true value. 200 data sets of each kind take a minute.
"""

import numpy as np
from scipy.special import expit

from mcstudy import Fit, Status, Study, grid

MOST, CLOSE = 1_000, 1e-6  # iterations; gain in log-likelihood below which a start has ended
STARTS = 10


def mixture(rng, *, n, distance):
    return rng.normal(size=n) + distance * (rng.random(n) >= 0.3)


def expectation(x, share, first, second, variance):
    """Probability that each observation is of the first component, and the log-likelihood."""
    log_odds = np.log(share / (1 - share)) + ((x - second) ** 2 - (x - first) ** 2) / (2 * variance)
    log_second = np.log(1 - share) - (x - second) ** 2 / (2 * variance)
    log_density = log_second + np.logaddexp(0, log_odds) - np.log(2 * np.pi * variance) / 2
    return expit(log_odds), log_density.sum(axis=1)


def maximisation(x, weights):
    """Share, means and variance, each of shape (starts, 1)."""
    share = weights.mean(axis=1, keepdims=True)
    first = (weights * x).mean(axis=1, keepdims=True) / share
    second = ((1 - weights) * x).mean(axis=1, keepdims=True) / (1 - share)
    squares = weights * (x - first) ** 2 + (1 - weights) * (x - second) ** 2
    return share, first, second, squares.mean(axis=1, keepdims=True)


def answer(state, log_likelihood, iterations, n):
    """What one start ends with; the component with the smaller mean is the first one."""
    share, first, second, variance = state
    share = share if first <= second else 1 - share
    values = {"share": share, "distance": abs(second - first), "variance": variance}
    status = Status.NOT_CONVERGED if iterations == MOST else Status.OK
    if min(share, 1 - share) < 1 / n:  # a component of less than one observation
        status = Status.BOUNDARY
    diagnostics = {"iterations": int(iterations)}
    return Fit({**values, "log_likelihood": log_likelihood}, status, diagnostics=diagnostics)


def em(x, rng):
    """All starts at once; each counts its iterations until it gains no more."""
    first, second = np.array([rng.choice(x, 2, replace=False) for _ in range(STARTS)]).T[..., None]
    state = np.full((STARTS, 1), 0.5), first, second, np.full((STARTS, 1), x.var())
    weights, reached = expectation(x, *state)
    iterations, moving = np.zeros(STARTS, dtype=int), np.ones(STARTS, dtype=bool)
    while moving.any() and iterations.max() < MOST:
        state, before = maximisation(x, weights), reached
        weights, reached = expectation(x, *state)
        iterations, moving = iterations + moving, moving & (reached - before > CLOSE)
    ends = {"one_start": 0, "ten_starts": np.argmax(reached)}
    states = np.hstack(state)
    return {k: answer(states[i], reached[i], iterations[i], len(x)) for k, i in ends.items()}


study = Study(
    name="em_mixture",
    simulate=mixture,
    estimands=lambda *, n, distance: {"share": 0.3, "distance": distance, "variance": 1.0},
    methods={("one_start", "ten_starts"): em},
    conditions=grid(n=[100, 400], distance=[2.0, 3.0]),
    replicates=200,
    seed=20261123,
    time_limit=10,
)
