"""Which interval for a variance component keeps its promise?

Every kind of interval that the exact engine knows, from 8 groups to 50, with the variance of group
1 at zero, small and large. For balanced data the answer is known exactly too: `nested.exact_law`.
"""

import pandas as pd

from mcstudy import Study, grid, nested

KNOWN = nested.reml.with_intervals("exact", "wald", "log", "satterthwaite", "mls", "profile")


def law(**condition):
    """Return what `check` compares with: not the two kinds that would take long."""
    tables = [
        nested.exact_law(condition, method=method, draws=20_000) for method in (KNOWN, nested.ml)
    ]
    return pd.concat(tables, ignore_index=True)


study = Study(
    name="intervals",
    simulate=nested.generate_nested,
    estimands=nested.variances,
    methods={
        "reml": nested.reml.with_intervals(
            "exact",
            "wald",
            "log",
            "satterthwaite",
            "mls",
            "generalized",
            "profile",
            "bootstrap",
        ),
        "ml": nested.ml,
    },
    conditions=grid(
        n_group1=[8, 20, 50],
        n_group2=[5],
        n_rep=[5],
        group1_sd=[0.0, 0.5, 2.0],
        group2_sd=[3.0],
        unexplained_sd=[4.0],
    ),
    replicates=2_000,
    seed=20261123,
    oracle=law,
)
