"""What does each defect of MixedLM cost, against the exact answer on the same data?

`matrices` is MixedLM as it comes, `matrices_tight` asks for a small gradient, `matrices_signed`
corrects the gradient's sign too, and `reml` is exact. Small group 1 variances are where it hurts.
"""

from mcstudy import Study, grid, nested

study = Study(
    name="defects",
    simulate=nested.generate_nested,
    estimands=nested.variances,
    methods={
        "matrices": nested.matrices,
        "matrices_tight": nested.matrices_tight,
        "matrices_signed": nested.matrices_signed,
        "reml": nested.reml.with_intervals("wald", "log", "mls", "profile"),
    },
    conditions=grid(
        n_group1=[20],
        n_group2=[5],
        n_rep=[5],
        group1_sd=[0.0, 0.5, 2.0],
        group2_sd=[0.5, 3.0],
        unexplained_sd=[4.0],
    ),
    replicates=200,
    seed=20261123,
)
