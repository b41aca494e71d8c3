"""A study for the tests of the report, and names that could break a page."""

TRIAL = '''
"""Does the trimmed mean keep its level?

It is compared with the mean of the same samples: `mean` & ``shrunken``.

    mcstudy run trial.py
    mcstudy report results/trial
"""
import warnings

import numpy as np
from mcstudy import Estimate, Study, grid


def sample(rng, *, n, effect, kind):
    """Draw normal values around the effect."""
    return rng.normal(effect, size=n)


def mean(x):
    """Mean with its standard error."""
    return {"effect": Estimate(x.mean(), x.std(ddof=1) / len(x) ** 0.5)}


def shrunken(x):
    """Mean that is drawn to 0, with an error that is too small."""
    if x.max() > 2.6:
        raise ValueError("an outlier")
    if x.min() < -2:
        warnings.warn("a small value")
    return {"effect": Estimate(x.mean() / 2, x.std(ddof=1) / len(x) ** 0.5 / 4)}


def spread(truth, estimate):
    """Largest less smallest estimate."""
    return float(np.ptp(estimate))


study = Study(
    name="trial",
    simulate=sample,
    estimands=lambda *, n, effect, kind: {"effect": effect},
    methods={"mean": mean, "shrunken": shrunken},
    conditions=grid(n=[10, 20], effect=[0.0, 1.0], kind=["normal"]),
    replicates=60,
    seed=4,
    measures={"spread": spread},
    null=0.0,
    labels={"n": "sample size", "shrunken": "Shrunken mean"},
)
'''

HOSTILE = {
    "tag": "<script>alert(1)</script>",
    "quotes": "\"'`\\",
    "signs": "\N{GRINNING FACE} \u05e2\u05d1\u05e8\u05d9\u05ea",
    "long": "x" * 500,
    "control": "a\x1b[31mb\u202ec",
    "braces": "{{ 7*7 }} </td>&amp;",
}
