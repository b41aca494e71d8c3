"""Which robust standard error is right in a small, unbalanced and heteroscedastic sample?

Angrist & Pischke (2009), Mostly Harmless Econometrics, Table 8.1.1. 30 observations of which 3 are
treated; no effect; errors have variance 1 for the treated and s^2 for the others. Conventional
standard errors, HC0 to HC3 (MacKinnon & White 1985), and the larger of the conventional one and
HC3, each tested by the normal distribution and by t(28). 25,000 replicates, as in the book, take
some twenty seconds. All published rates rest on the same random numbers and are a little low
together: the standard deviation of the slope is .581, .595, .604 there; exactly it is
sqrt(s^2/27 + 1/3), or .585, .600, .609.
"""

import numpy as np
from scipy import stats

from mcstudy import Estimate, Study, batched, grid

N, TREATED = 30, 3
SIZES = np.array([N - TREATED, TREATED])


@batched
def outcomes(rngs, *, s):
    """Return the outcomes, shape (replicates, observations), the treated last."""
    y = np.stack([rng.normal(size=N) for rng in rngs])
    y[:, : N - TREATED] *= s
    return y


def tested(slope, std_error):
    """The slope, with intervals by the normal distribution and by t."""
    widths = {"normal": stats.norm.isf(0.025), "t": stats.t.isf(0.025, N - 2)}
    limits = {k: (slope - w * std_error, slope + w * std_error) for k, w in widths.items()}
    return {"slope": Estimate(slope, std_error, intervals=limits)}


@batched
def standard_errors(y):
    """With one binary regressor all are sums of squares about the group means, weighted.

    An observation's leverage is one over the size of its group.
    """
    groups = y[:, : N - TREATED], y[:, N - TREATED :]
    slope = groups[1].mean(axis=1) - groups[0].mean(axis=1)
    squares = np.stack([group.var(axis=1) * group.shape[1] for group in groups], axis=1)
    hc0 = (squares / SIZES**2).sum(axis=1)
    variances = {
        "conventional": squares.sum(axis=1) / (N - 2) * (1 / SIZES).sum(),
        "hc0": hc0,
        "hc1": hc0 * N / (N - 2),
        "hc2": (squares / SIZES**2 / (1 - 1 / SIZES)).sum(axis=1),
        "hc3": (squares / SIZES**2 / (1 - 1 / SIZES) ** 2).sum(axis=1),
    }
    variances["max"] = np.maximum(variances["conventional"], variances["hc3"])
    return {name: tested(slope, np.sqrt(variance)) for name, variance in variances.items()}


study = Study(
    name="angrist2009",
    simulate=outcomes,
    estimands=lambda *, s: {"slope": 0.0},
    methods={("conventional", "hc0", "hc1", "hc2", "hc3", "max"): standard_errors},
    conditions=grid(s=[0.5, 0.85, 1.0]),
    replicates=25_000,
    seed=20261123,
    null=0.0,
    measures={
        "mean_se": lambda std_error: std_error,  # a value for each replicate: the mean is taken
        "sd_se": lambda std_error: std_error.std(ddof=1),
    },
    labels={"max": "max(conventional, HC3)", "s": "error SD of the untreated"},
)
