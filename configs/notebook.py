"""The data set of the statsmodels notebook on variance components, fitted by both paths.

200 groups of 20 with 10 rows each, drawn as the notebook draws them: from the legacy generator
with the seed 3123, group by group. It is one fixed data set, so `simulate` leaves its own rng
alone. statsmodels prints: scale 15.8825, group1 3.917, group2 8.742, log-likelihood -116022.3805.
"""

import numpy as np

from mcstudy import Study, grid, nested

SEED = 3123


def notebook_data(rng, *, n_group1, n_group2, n_rep):
    """Draw the notebook's data set: standard deviations 2, 3 and 4."""
    legacy = np.random.RandomState(SEED)
    cells = n_group1 * n_group2
    group1 = np.repeat(2 * legacy.normal(size=n_group1), n_group2 * n_rep)
    group2 = np.repeat(3 * legacy.normal(size=cells), n_rep)
    y = group1 + group2 + 4 * legacy.normal(size=cells * n_rep)
    return nested.NestedData(y, nested.NestedDesign.of_sizes(n_group1, n_group2, n_rep))


study = Study(
    name="notebook",
    simulate=notebook_data,
    estimands=lambda **sizes: {"group1_var": 4.0, "group2_var": 9.0, "unexplained_var": 16.0},
    methods={"formula": nested.formula, "matrices": nested.matrices},
    conditions=grid(n_group1=[200], n_group2=[20], n_rep=[10]),
    replicates=1,
    seed=3123,
)
