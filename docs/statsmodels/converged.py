"""`converged` says True of fits of MixedLM that are far from the maximum.

Data without a group 1 variance: the fit with the defaults is held against the best of several
starts with the score's sign corrected (see score.py). Expected: converged=False where the
log-likelihood is below the maximum, or a fit that reaches it.
"""

import warnings

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

warnings.simplefilter("ignore")


class Signed(MixedLM):
    """MixedLM whose score has the sign of p."""

    def score(self, params, profile_fe=True):
        """Return the score with respect to p."""
        score = super().score(params, profile_fe)
        if isinstance(params, MixedLMParams) or not profile_fe:
            return score
        return score * np.where(np.asarray(params) < 0, -1.0, 1.0)


n_group1, n_group2, n_rep = 20, 5, 5
group1 = np.repeat(np.arange(n_group1), n_group2 * n_rep)
group2 = np.tile(np.repeat(np.arange(n_group2), n_rep), n_group1)
short = converged = 0
for seed in range(30):
    rng = np.random.default_rng(seed)
    y = rng.normal(0, 3, n_group1 * n_group2)[group1 * n_group2 + group2]
    y = y + rng.normal(0, 4, len(group1))
    data = pd.DataFrame({"y": y, "group1": group1, "group2": group2})
    given = {"groups": "group1", "re_formula": "1", "vc_formula": {"group2": "0 + C(group2)"}}
    found = smf.mixedlm("y ~ 1", data, **given).fit()
    best = Signed.from_formula("y ~ 1", data=data, **given).fit(gtol=1e-8)
    if found.llf < best.llf - 0.01:
        short += 1
        converged += bool(found.converged)
print(f"{short} of 30 fits are more than .01 below the maximum; {converged} say converged=True")
