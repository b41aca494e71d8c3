"""Which analysis of a trial with a pre and a post measurement has the most power?

Siepe, Bartos, Morris, Boulesteix, Heck & Pawel (2024), Simulation studies for methodological
research in psychology, Psychological Methods: the worked example of the ADEMP-PreReg template.
Two groups of 50; pre and post are bivariate normal with unit variances and correlation rho, and
treatment shifts post by delta. Post is regressed on treatment, with pre as a covariate (ANCOVA),
with the change in place of post, or alone. Estimand: delta, tested at 5 %. 10,000 replicates, as
in the paper, take some ten seconds; `mcstudy protocol` writes the plan, `mcstudy check` holds it
against the closed form. The paper prints variances of the estimates; beside this file stand their
roots.
"""

import numpy as np
import pandas as pd
from scipy import stats

from mcstudy import Estimate, Study, batched, grid

N = 50  # per group


@batched
def pre_and_post(rngs, *, delta, rho):
    """Return the measurements, shape (replicates, pre or post, group, person)."""
    pre, post = np.stack([rng.normal(size=(2, 2, N)) for rng in rngs], axis=1)
    post = rho * pre + np.sqrt(1 - rho**2) * post
    post[:, 1] += delta
    return np.stack([pre, post], axis=1)


def least_squares(difference, leverage, squares, df):
    """A coefficient with its standard error, given residual squares and degrees of freedom."""
    return {"delta": Estimate(difference, np.sqrt(squares / df * leverage), df=df)}


@batched
def three_analyses(data):
    pre, post = data[:, 0], data[:, 1]

    def difference(x):
        return x[:, 1].mean(axis=-1) - x[:, 0].mean(axis=-1)

    def within(x, y):
        """Sum of products about the group means."""
        products = (x - x.mean(axis=-1, keepdims=True)) * (y - y.mean(axis=-1, keepdims=True))
        return products.sum(axis=-1).sum(axis=-1)

    slope, change, gap = within(pre, post) / within(pre, pre), post - pre, difference(pre)
    leverage = 2 / N + gap**2 / within(pre, pre)
    residual = within(post, post) - slope * within(pre, post)
    return {
        "ancova": least_squares(difference(post) - slope * gap, leverage, residual, 2 * N - 3),
        "change": least_squares(difference(change), 2 / N, within(change, change), 2 * N - 2),
        "post": least_squares(difference(post), 2 / N, within(post, post), 2 * N - 2),
    }


def exact(*, delta, rho):
    """Power of t tests. ANCOVA: given pre, whose imbalance is t(98) in its standard errors."""
    imbalance = stats.t.ppf((np.arange(2_000) + 0.5) / 2_000, 2 * N - 2)
    spread = 1 + imbalance**2 / (2 * N - 2)
    rows = []
    for method, variance, spreads, mean_spread, df in (
        ("ancova", 1 - rho**2, spread, 1 + 1 / (2 * N - 4), 2 * N - 3),
        ("change", 2 - 2 * rho, np.ones(1), 1, 2 * N - 2),
        ("post", 1, np.ones(1), 1, 2 * N - 2),
    ):
        shift, limit = delta / np.sqrt(variance * 2 / N * spreads), stats.t.isf(0.025, df)
        power = stats.nct.sf(limit, df, shift) + stats.nct.cdf(-limit, df, shift)
        rows.append((method, None, "empirical_se", np.sqrt(variance * 2 / N * mean_spread)))
        rows += [(method, "wald", "rejection", power.mean()), (method, "wald", "coverage", 0.95)]
    table = pd.DataFrame(rows, columns=["method", "interval", "measure", "value"])
    return table.assign(estimand="delta", mcse=0.0)


study = Study(
    name="siepe2024",
    simulate=pre_and_post,
    estimands=lambda *, delta, rho: {"delta": delta},
    methods={("ancova", "change", "post"): three_analyses},
    conditions=grid(delta=[0.0, 0.2, 0.5], rho=[0.0, 0.5, 0.7]),
    replicates=10_000,
    seed=20261123,
    null=0.0,
    oracle=exact,
)
