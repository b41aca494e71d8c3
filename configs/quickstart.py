"""Can you trust the variance components, and their intervals, that MixedLM reports?

20 groups (say districts) of 5 (say schools) with 5 rows each, fitted by MixedLM along its two paths
(`formula`; `matrices`, design matrices made by hand) and by the exact engine (`reml`). The interval
`reported` is what one computes from the standard error that statsmodels prints; `wald` uses the
standard error brought to the scale of the variance, `mls` needs none. Nominal coverage is 95 %:
look at the coverage.
"""

from mcstudy import Study, grid, nested

study = Study(
    name="quickstart",
    simulate=nested.generate_nested,
    estimands=nested.variances,
    methods={
        "formula": nested.formula,
        "matrices": nested.matrices,
        "reml": nested.reml.with_intervals("wald", "mls"),
    },
    conditions=grid(
        n_group1=[20],
        n_group2=[5],
        n_rep=[5],
        group1_sd=[0.5, 2.0],
        group2_sd=[3.0],
        unexplained_sd=[4.0],
    ),
    replicates=40,
    seed=20261123,
)
