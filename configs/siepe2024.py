"""Which analysis of a trial with a pre and a post measurement has the most power?

Siepe, Bartos, Morris, Boulesteix, Heck & Pawel (2024), Simulation studies for methodological
research in psychology, Psychological Methods: the worked example of the ADEMP-PreReg template.
Two groups of 50; pre and post are bivariate normal with unit variances and correlation rho, and
treatment shifts post by delta. Post is regressed on treatment, with pre as a covariate (ANCOVA),
with the change in place of post, or alone. Estimand: delta, tested at 5 %. 40,000 replicates, four
times the paper's, take half a minute. `mcstudy protocol` writes the plan, `mcstudy check` holds it
against the closed form. Published are variances of estimates; beside this file stand their roots.
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


@batched
def three_analyses(data):
    pre, post = data[:, 0], data[:, 1]
    gap_pre, gap_post = np.diff(data.mean(axis=-1), axis=-1)[..., 0].T

    def within(x, y):
        """Sum of products about the group means."""
        products = (x - x.mean(axis=-1, keepdims=True)) * (y - y.mean(axis=-1, keepdims=True))
        return products.sum(axis=-1).sum(axis=-1)

    def fit(estimate, residual, leverage, df):
        return {"delta": Estimate(estimate, np.sqrt(residual / df * leverage), df=df)}

    slope, change = within(pre, post) / within(pre, pre), post - pre
    residual, extra = within(post, post) - slope * within(pre, post), gap_pre**2 / within(pre, pre)
    return {
        "ancova": fit(gap_post - slope * gap_pre, residual, 2 / N + extra, 2 * N - 3),
        "change": fit(gap_post - gap_pre, within(change, change), 2 / N, 2 * N - 2),
        "post": fit(gap_post, within(post, post), 2 / N, 2 * N - 2),
    }


def exact(*, delta, rho):
    """Power of t tests. ANCOVA: given pre, whose imbalance is t(98) in its standard errors."""
    imbalance = stats.t.ppf((np.arange(2_000) + 0.5) / 2_000, 2 * N - 2)
    spread, mean_spread = 1 + imbalance**2 / (2 * N - 2), 1 + 1 / (2 * N - 4)
    rows = []
    for method, variance, spreads, mean, df in (
        ("ancova", 1 - rho**2, spread, mean_spread, 2 * N - 3),
        ("change", 2 - 2 * rho, 1, 1, 2 * N - 2),
        ("post", 1, 1, 1, 2 * N - 2),
    ):
        shift, limit = delta / np.sqrt(variance * 2 / N * spreads), stats.t.isf(0.025, df)
        power = np.mean(stats.nct.sf(limit, df, shift) + stats.nct.cdf(-limit, df, shift))
        rows.append((method, None, "empirical_se", np.sqrt(variance * 2 / N * mean)))
        rows += [(method, "wald", "rejection", power), (method, "wald", "coverage", 0.95)]
    table = pd.DataFrame(rows, columns=["method", "interval", "measure", "value"])
    return table.assign(estimand="delta", mcse=0.0)


study = Study(
    name="siepe2024",
    simulate=pre_and_post,
    estimands=lambda *, delta, rho: {"delta": delta},
    methods={("ancova", "change", "post"): three_analyses},
    conditions=grid(delta=[0.0, 0.2, 0.5], rho=[0.0, 0.5, 0.7]),
    replicates=40_000,
    seed=20261123,
    null=0.0,
    oracle=exact,
)
