"""The standard errors of variance components that MixedLM prints have the wrong unit.

y times 4 makes every variance 16 times as large, and its standard error too. What `bse_re` holds
and the summary prints becomes 4 times as large: it is the standard error of variance/scale times
the root of the scale. Expected: the standard error of the variance.
"""

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

rng = np.random.default_rng(1)
n_group1, n_group2, n_rep = 50, 5, 5
group1 = np.repeat(np.arange(n_group1), n_group2 * n_rep)
group2 = np.tile(np.repeat(np.arange(n_group2), n_rep), n_group1)
y = (
    rng.normal(0, 2, n_group1)[group1]
    + rng.normal(0, 3, n_group1 * n_group2)[group1 * n_group2 + group2]
    + rng.normal(0, 4, len(group1))
)


def printed(y):
    """Return variances of group 1 and group 2, and the standard errors that are printed."""
    data = pd.DataFrame({"y": y, "group1": group1, "group2": group2})
    model = smf.mixedlm(
        "y ~ 1", data, groups="group1", re_formula="1", vc_formula={"group2": "0 + C(group2)"}
    )
    result = model.fit()._results
    variances = np.array([result.cov_re[0, 0], result.vcomp[0]])
    return variances, np.sqrt(result.scale) * result.bse[result.k_fe :]


variances, errors = printed(y)
larger, larger_errors = printed(4 * y)
print("variances            ", variances)
print("printed errors       ", errors)
print("of 4 y: variances x  ", larger / variances, " expected 16")
print("of 4 y: errors x     ", larger_errors / errors, " expected 16")
