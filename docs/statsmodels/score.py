"""The score of MixedLM has the wrong sign where a square-root parameter is negative.

The optimiser works on p, whose square is the ratio of a variance to the scale. `fit` computes the
derivative with respect to abs(p). Line searches step over 0, and then stop where the likelihood can
still rise. Expected: the derivative with respect to p, which is that of abs(p) times the sign of p.
"""

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

rng = np.random.default_rng(1)
n_group1, n_group2, n_rep = 20, 5, 5
group1 = np.repeat(np.arange(n_group1), n_group2 * n_rep)
group2 = np.tile(np.repeat(np.arange(n_group2), n_rep), n_group1)
y = rng.normal(0, 3, n_group1 * n_group2)[group1 * n_group2 + group2]
y = y + rng.normal(0, 4, len(group1))
data = pd.DataFrame({"y": y, "group1": group1, "group2": group2})
model = smf.mixedlm(
    "y ~ 1", data, groups="group1", re_formula="1", vc_formula={"group2": "0 + C(group2)"}
)
model.fit()  # sets what the likelihood needs
for p in ([0.5, 0.3], [-0.5, 0.3]):
    p = np.array(p)
    step = np.array([1e-5, 0.0])
    numeric = (model.loglike(p + step) - model.loglike(p - step)) / 2e-5
    print(f"p = {p}: score {model.score(p)[0]:.4f}, numeric derivative {numeric:.4f}")
